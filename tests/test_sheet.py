import numpy as np
import pytest
from PIL import Image

from recyclelora.data.contact_sheet import PAPER, RIGHT, WRONG, Row, colour_errors, draw_sheet
from recyclelora.data.labels import CAMVID11, CITYSCAPES19, LabelSpace, colourise


def row(caption: str = "camvid/0001", height: int = 30, width: int = 40, predicted: bool = True) -> Row:
    rng = np.random.default_rng(0)
    label = np.kron(rng.integers(0, 4, (height // 10, width // 10)), np.ones((10, 10))).astype(np.uint8)
    image = np.full((height, width, 3), (10, 200, 30), dtype=np.uint8)
    return Row(caption, image, label, np.roll(label, 10, axis=1) if predicted else None)


def find(sheet: Image.Image, pixels: np.ndarray) -> list[tuple[int, int]]:
    """Top left corners where `pixels` stands in the sheet, to the pixel."""
    canvas, (height, width) = np.array(sheet), pixels.shape[:2]
    corners = np.argwhere((canvas[: 1 - height or None, : 1 - width or None] == pixels[0, 0]).all(-1))
    return [(int(y), int(x)) for y, x in corners if np.array_equal(canvas[y : y + height, x : x + width], pixels)]


def has_colour(sheet: Image.Image, colour: tuple[int, int, int]) -> bool:
    return bool((np.array(sheet) == colour).all(-1).any())


def test_image_label_prediction_and_errors_stand_side_by_side() -> None:
    sample = row()
    assert sample.prediction is not None
    sheet = draw_sheet([sample], CAMVID11, errors=True, width=40)  # the images' own size: pictures appear unchanged
    pictures = [
        sample.image,
        colourise(sample.label, CAMVID11),
        colourise(sample.prediction, CAMVID11),
        colour_errors(sample.label, sample.prediction),
    ]
    corners = [find(sheet, picture) for picture in pictures]
    assert all(len(found) == 1 for found in corners)
    tops, lefts = zip(*(found[0] for found in corners), strict=True)
    assert len(set(tops)) == 1 and list(lefts) == sorted(lefts) and min(np.diff(lefts)) > 40


@pytest.mark.parametrize(("predicted", "errors", "columns"), [(False, True, 2), (True, False, 3), (True, True, 4)])
def test_columns_are_those_there_is_something_for(predicted: bool, errors: bool, columns: int) -> None:
    sheets = [draw_sheet([row(predicted=predicted)], CAMVID11, errors=errors, width=width) for width in (40, 41)]
    assert sheets[1].width - sheets[0].width == columns


def test_a_row_without_prediction_stays_empty_there() -> None:
    sheet = np.array(draw_sheet([row(), row(predicted=False)], CAMVID11, width=40))
    right = sheet[:, 2 * sheet.shape[1] // 3 + 8 :]
    coloured = np.flatnonzero((right != PAPER).any((1, 2)))
    assert coloured.max() < sheet.shape[0] / 2 + 10  # title, first row; nothing beside the second


def test_rows_of_different_shape_keep_their_aspect() -> None:
    tall, flat = row(height=80, width=40), row(height=20, width=40)
    both = draw_sheet([tall, flat], CAMVID11, width=40)
    assert both.height - draw_sheet([flat], CAMVID11, width=40).height > 80
    assert find(both, tall.image) and find(both, flat.image)


def test_labels_are_enlarged_without_new_colours() -> None:
    label = colourise(row().label, CAMVID11)
    sheet = draw_sheet([row(predicted=False)], CAMVID11, width=97)
    start = np.array(sheet)[60:90, -100:-20].reshape(-1, 3)
    assert {tuple(c) for c in start.tolist()} <= {tuple(c) for c in label.reshape(-1, 3).tolist()}


@pytest.mark.parametrize("space", [CAMVID11, CITYSCAPES19])
def test_the_legend_shows_every_class_that_occurs_and_no_other(space: LabelSpace) -> None:
    sample = row(predicted=False)
    present = {*np.unique(sample.label).tolist(), 9}
    sample.label[0, 0] = 9
    sheet = draw_sheet([sample], space, width=200)
    legend = sheet.crop((0, sheet.height - 60, sheet.width, sheet.height))
    shown = {i for i, colour in enumerate(space.palette) if has_colour(legend, colour)}
    assert shown == present


def test_a_long_legend_and_a_long_caption_fit_a_narrow_sheet() -> None:
    label = np.arange(20, dtype=np.uint8).repeat(2).reshape(5, 8)
    label[label == 19] = 255
    sample = Row("a name\nof two lines " * 40, np.zeros((5, 8, 3), dtype=np.uint8), label)
    sheet = draw_sheet([sample], CITYSCAPES19, width=90)
    assert sheet.width < 220
    assert all(has_colour(sheet, colour) for colour in CITYSCAPES19.palette)
    margin = np.array(sheet)[:, -6:]
    assert (margin == PAPER).all()  # no text runs over the edge


def test_errors_are_red_agreement_grey_and_ignored_white() -> None:
    label = np.array([[0, 1, 255, 255]], dtype=np.uint8)
    prediction = np.array([[0, 2, 3, 255]], dtype=np.uint8)
    assert colour_errors(label, prediction).tolist() == [[list(RIGHT), list(WRONG), list(PAPER), list(PAPER)]]
