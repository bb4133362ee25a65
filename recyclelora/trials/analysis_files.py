"""The files in which a trial keeps the analysis of its adapters. Read without torch: it takes seconds to import."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from recyclelora.errors import InputError
from recyclelora.writing import write_bytes, write_text

NUMBERS, COSINES, PICTURE = FILES = ("analysis.json", "analysis.safetensors", "feature_change.png")


class Analysis(NamedTuple):
    """Names are those of a record: `adapter/<measure>/<which>` after training, `adapter_start/...` at the start, with
    the measures of `adapters.DEFINITIONS`. All empty for a frozen backbone."""

    summary: dict[str, float]  # means over the layers
    layers: list[tuple[str, dict[str, float]]]  # by name, in the model's order
    cosines: dict[str, NDArray[np.float32]]  # a_main, b_main, start/a_main, ...: |cos| (r, r), mean over layers


def write_numbers(analysis: Analysis, folder: Path) -> None:
    """Write NUMBERS and COSINES."""
    named = [{"name": name, **numbers} for name, numbers in analysis.layers]
    content = json.dumps({"summary": analysis.summary, "layers": named}, indent=1, allow_nan=False)
    write_text(folder / NUMBERS, content)
    write_bytes(folder / COSINES, save(analysis.cosines))


def read_analysis(folder: Path) -> Analysis | None:
    """The analysis in a trial's folder (or one its artifacts were fetched to), None where there is none. Raises
    InputError for a damaged one."""
    try:
        content = json.loads((folder / NUMBERS).read_text())
        layers = [(layer.pop("name"), layer) for layer in content["layers"]]
        cosines = dict(sorted(load((folder / COSINES).read_bytes()).items()))
        return Analysis(content["summary"], layers, cosines)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise InputError(f"{folder}: {NUMBERS} or {COSINES} is damaged ({error}); delete both and analyse it "
                         "again") from None


def series_of(analysis: Analysis) -> dict[str, list[float]]:
    """`<measure>/<which>` -> its values after training, layer by layer: those that every layer has."""
    names = [name for name in (analysis.layers[0][1] if analysis.layers else {}) if name.startswith("adapter/")]
    return {name.removeprefix("adapter/"): [numbers[name] for _, numbers in analysis.layers] for name in names
            if all(name in numbers for _, numbers in analysis.layers)}
