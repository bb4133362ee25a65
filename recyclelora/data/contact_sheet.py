"""A sheet of samples to look at: image, label, prediction and errors side by side, with captions and a legend."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from recyclelora.data.labels import IGNORE, Image, Label, LabelSpace, colourise

PAPER, INK, FAINT = (255, 255, 255), (32, 33, 36), (110, 114, 120)
WRONG, RIGHT = (214, 39, 40), (222, 225, 229)
GAP, TEXT, LINE = 12, 14, 24  # pixels: between pictures, font size, height of a line of text

Picture = PillowImage.Image


class Row(NamedTuple):
    """One sample: (H, W, 3) RGB, (H, W) train ids, and a prediction of the label's size where there is one."""

    caption: str
    image: Image
    label: Label
    prediction: Label | None = None


def draw_sheet(rows: Sequence[Row], space: LabelSpace, *, errors: bool = False, width: int = 320) -> Picture:
    """Rows of pictures `width` pixels wide: image, label, and prediction (and errors) where any row has one.

    The legend below names the classes that occur, in train id order. Colours are the palette of `space`; pixels
    without a class are black, and white in the error map.
    """
    columns = ["image", "label"]
    if any(row.prediction is not None for row in rows):
        columns += ["prediction", "errors"] if errors else ["prediction"]
    sheet_width = GAP + len(columns) * (width + GAP)
    strips = [_draw_titles(columns, width, sheet_width)]
    strips += [_draw_row(row, space, columns, width, sheet_width) for row in rows]
    strips.append(_draw_legend(_occurring(rows, space), space, sheet_width))
    return _stack(strips, sheet_width)


def _stack(strips: Sequence[Picture], sheet_width: int) -> Picture:
    sheet = PillowImage.new("RGB", (sheet_width, sum(strip.height for strip in strips) + GAP), PAPER)
    top = GAP // 2
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


class Prediction(NamedTuple):
    """One image without a label: (H, W, 3) RGB, and predicted train ids (H, W)."""

    caption: str
    image: Image
    label: Label


def draw_predictions(rows: Sequence[Prediction], space: LabelSpace, *, width: int = 480) -> Picture:
    """As `draw_sheet`, of images with what was predicted laid over them. The legend starts with what covers most."""
    sheet_width = GAP + 2 * (width + GAP)
    strips = [_draw_titles(["image", "prediction"], width, sheet_width)]
    pixels = np.zeros(256, np.int64)
    for row in rows:
        pictures = [row.image, lay_over(row.image, row.label, space)]
        strips.append(_draw_strip(row.caption, pictures, (0, 1), width, sheet_width))
        pixels += np.bincount(row.label.ravel(), minlength=256)
    by_share = np.argsort(-pixels[: len(space.classes)], kind="stable").tolist()
    strips.append(_draw_legend([train_id for train_id in by_share if pixels[train_id]], space, sheet_width))
    return _stack(strips, sheet_width)


def lay_over(image: Image, label: Label, space: LabelSpace) -> Image:
    """The image with each class in its colour, half transparent, and a dark line where two classes meet."""
    mixed = (image.astype(np.uint16) + colourise(label, space)) // 2
    edge = np.zeros(label.shape, dtype=bool)
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    edge[1:] |= label[1:] != label[:-1]
    mixed[edge] //= 3
    return mixed.astype(np.uint8)


def colour_errors(label: Label, prediction: Label) -> Image:
    """(H, W) train ids twice -> (H, W, 3) RGB: red where they differ, grey where they agree, white where ignored."""
    picture = np.full((*label.shape, 3), RIGHT, dtype=np.uint8)
    picture[label != prediction] = WRONG
    picture[label == IGNORE] = PAPER
    return picture


def _draw_titles(columns: list[str], width: int, sheet_width: int) -> Picture:
    strip, draw, font = _blank_strip(sheet_width, LINE)
    for column, title in enumerate(columns):
        draw.text((GAP + column * (width + GAP) + width / 2, LINE / 2), title, FAINT, font, anchor="mm")
    return strip


def _draw_row(row: Row, space: LabelSpace, columns: list[str], width: int, sheet_width: int) -> Picture:
    return _draw_strip(row.caption, _pixels(row, space, columns), (0,), width, sheet_width)


def _draw_strip(caption: str, pictures: Sequence[Image], smooth: Sequence[int], width: int,
                sheet_width: int) -> Picture:
    height = max(1, round(width * pictures[0].shape[0] / pictures[0].shape[1]))
    strip, draw, font = _blank_strip(sheet_width, height + LINE + GAP)
    for column, pixels in enumerate(pictures):
        # label colours by nearest pixel: a mixture of two would show a third class
        resampling = PillowImage.Resampling.LANCZOS if column in smooth else PillowImage.Resampling.NEAREST
        picture = PillowImage.fromarray(pixels).resize((width, height), resampling)
        strip.paste(picture, (GAP + column * (width + GAP), LINE))
    draw.text((GAP, LINE / 2), _shorten(caption, sheet_width - 2 * GAP, font), INK, font, anchor="lm")
    return strip


def _pixels(row: Row, space: LabelSpace, columns: list[str]) -> list[Image]:
    """The picture of each column; a row without prediction leaves its places white."""
    pictures = [row.image, colourise(row.label, space)]
    if row.prediction is not None:
        pictures += [colourise(row.prediction, space), colour_errors(row.label, row.prediction)]
    return pictures[: len(columns)]


def _shorten(text: str, width: float, font: ImageFont.FreeTypeFont) -> str:
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _occurring(rows: Sequence[Row], space: LabelSpace) -> list[int]:
    present = np.zeros(256, dtype=bool)
    for row in rows:
        present[row.label] = True
        if row.prediction is not None:
            present[row.prediction] = True
    return np.flatnonzero(present[: len(space.classes)]).tolist()


def _draw_legend(train_ids: list[int], space: LabelSpace, sheet_width: int) -> Picture:
    """A grid of colour and name, as many to a line as the longest name allows."""
    names = [space.classes[train_id] for train_id in train_ids] or ["no class"]
    swatch = 14
    _, _, font = _blank_strip(1, 1)
    key_width = swatch + 2 * GAP + int(max(font.getlength(name) for name in names))
    per_line = max(1, (sheet_width - GAP) // key_width)
    strip, draw, _ = _blank_strip(sheet_width, LINE * -(-len(names) // per_line))
    for place, train_id in enumerate(train_ids):
        x, y = GAP + place % per_line * key_width, place // per_line * LINE
        top = y + (LINE - swatch) // 2
        draw.rectangle((x, top, x + swatch - 1, top + swatch - 1), fill=space.palette[train_id])
        draw.text((x + swatch + GAP // 2, y + LINE / 2), space.classes[train_id], INK, font, anchor="lm")
    return strip


def _blank_strip(width: int, height: int) -> tuple[Picture, ImageDraw.ImageDraw, ImageFont.FreeTypeFont]:
    strip = PillowImage.new("RGB", (width, height), PAPER)
    font = ImageFont.load_default(TEXT)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType
    return strip, ImageDraw.Draw(strip), font
