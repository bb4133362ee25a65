"""Predictions of a trained model for photographs: label images, overlays and a contact sheet; the body of `predict`."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from recyclelora.data.contact_sheet import Prediction, draw_predictions, lay_over
from recyclelora.data.faults import Fault, fault, summarise
from recyclelora.data.labels import IGNORE, Image, Label, LabelSpace
from recyclelora.data.many_files import save_whole
from recyclelora.data.photos import name_photos, read_photo
from recyclelora.errors import InputError
from recyclelora.trials.device import choose_device
from recyclelora.verbs.console import CONSOLE, ERRORS, paths_of, watched
from recyclelora.verbs.model_folders import find_model

SHEET, MOST, WIDTH = "sheet.png", 24, 480  # images on the contact sheet, pixels of each in width


def predict(given: argparse.Namespace) -> int:
    """Write NAME_overlay.png and NAME_label.png for each image, and one contact sheet. Returns 1 if an image could not
    be read. Raises InputError where there is no image at all."""
    from recyclelora.trials.scores import predict_image

    paths = paths_of(given)
    photos, missing = name_photos(given.images)
    if not photos:
        raise InputError("; ".join(missing))
    faults: list[Fault] = []
    model = find_model(given, paths)
    device = choose_device()
    out: Path = given.out or paths.results / "predictions"
    rows: list[Prediction] = []
    done = 0
    segmentor = model.segmentor.to(device)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with segmentor.merged():  # once, not for each image
            for name, path in watched(photos.items(), len(photos), "predicting"):
                try:
                    image = read_photo(path)
                except InputError as error:
                    faults.append(fault(error, name, path))
                    continue
                label = predict_image(segmentor, model.config, image, device)
                save_label(label, model.space, out / f"{name}_label.png")
                save_whole(PillowImage.fromarray(lay_over(image, label, model.space)), out / f"{name}_overlay.png")
                done += 1
                if len(rows) < MOST:
                    rows.append(_shrink(name, image, label))
        if rows:
            save_whole(draw_predictions(rows, model.space, width=WIDTH), out / SHEET)
    except OSError as error:
        raise InputError(f"{error.filename or out}: cannot be written ({error.strerror or error}); choose another "
                         "folder with --out") from None
    problems = [*missing, *summarise(faults)]
    for problem in problems:
        ERRORS.print(problem, style="red", highlight=False, markup=False)
    if rows:
        some = f", the first {MOST}" if done > MOST else ""
        CONSOLE.print(f"{done} overlays and label images of {model.space.name}: {out}", highlight=False)
        CONSOLE.print(f"contact sheet{some}: {out / SHEET}", highlight=False)
    return 1 if problems else 0


def save_label(label: Label, space: LabelSpace, path: Path) -> None:
    """Write a palette PNG. The index of a pixel is its train id, its colour that of the class; 255 is black."""
    picture = PillowImage.fromarray(label)
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(space.palette)] = space.palette
    palette[IGNORE] = 0
    picture.putpalette(palette.tobytes())
    save_whole(picture, path)


def _shrink(name: str, image: Image, label: Label) -> Prediction:
    """Keep only the pixels that the sheet shows, so that hundreds of large photographs do not fill the memory."""
    height, width = label.shape
    if width <= WIDTH:
        return Prediction(name, image, label)
    size = (WIDTH, max(1, round(WIDTH * height / width)))
    small = PillowImage.fromarray(image).resize(size, PillowImage.Resampling.LANCZOS)
    return Prediction(name, np.asarray(small),
                      np.asarray(PillowImage.fromarray(label).resize(size, PillowImage.Resampling.NEAREST)))
