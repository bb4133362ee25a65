"""Heat maps of the cosines within the adapters' factors, as they started and as they ended."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from recyclelora.tables.figures import canvas

Matrix = np.ndarray[Any, np.dtype[Any]]
NAMES = {"a_main": "rows of A, main", "b_main": "columns of B, main", "a_sub": "rows of A, sub",
         "b_sub": "columns of B, sub"}
PAIRS = 2  # start beside end, twice in a row


def cosines(matrices: Mapping[str, Matrix]) -> canvas.Drawing:
    """`matrices`: `a_main`, `b_main`, `a_sub`, `b_sub` (those there are) -> (r, r) of |cos| after training, and the
    same under `start/...`, which may be missing. Raises ValueError where there is none or one is not square."""
    shown = {key: {"start": matrices.get(f"start/{key}"), "end": matrices[key]} for key in NAMES if key in matrices}
    if not shown or any(np.ndim(matrix) != 2 or len(set(np.shape(matrix))) != 1
                        for pair in shown.values() for matrix in pair.values() if matrix is not None):
        raise ValueError(f"expected square matrices of cosines, some of {', '.join(NAMES)}")

    def paint(figure: Figure) -> None:
        panels = iter(every := canvas.lay_panels(figure, 2 * len(shown), 2 * min(PAIRS, len(shown))))
        for key, pair in shown.items():
            for when, matrix in pair.items():
                panel = next(panels)
                panel.set_title(f"{NAMES[key]}\n{when}")
                if matrix is None:
                    _say_undefined(panel)
                else:
                    image = _draw_matrix(panel, np.asarray(matrix))
        bar = figure.colorbar(image, ax=every, shrink=0.6, aspect=24, pad=0.02, ticks=[0, 0.5, 1])
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.set_label("|cos|", color=canvas.FAINT)

    rows = -(-len(shown) // PAIRS)
    return canvas.draw(canvas.WIDTH if len(shown) > 1 else canvas.WIDTH * 0.6, rows * 2.05, paint,
                       "Drawn: the absolute cosine between any two rows of A, or any two columns of B, of an adapter, "
                       "before and after training; mean over the layers in which it is defined. 0 (light): at right "
                       "angles; 1 (dark): the same direction, as on the diagonal. Not defined where B starts at 0.")


def _draw_matrix(panel: Axes, matrix: Matrix) -> AxesImage:
    colours = colormaps["Blues"].with_extremes(bad=canvas.RULE)
    last = matrix.shape[0] - 1
    panel.set_xticks([0, last] if last else [0])
    panel.set_yticks([0, last] if last else [0])
    panel.tick_params(length=0, labelcolor=canvas.FAINT)
    panel.spines[:].set_visible(False)
    return panel.imshow(np.ma.masked_invalid(matrix), vmin=0, vmax=1, cmap=colours)


def _say_undefined(panel: Axes) -> None:
    panel.set_axis_off()
    panel.set_aspect("equal")
    panel.text(0.5, 0.5, "not defined", transform=panel.transAxes, ha="center", va="center", color=canvas.FAINT)
