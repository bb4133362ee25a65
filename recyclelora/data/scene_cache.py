"""Scenes on disk: each is rendered once, kept as two PNG files, and rendered again when a file is absent or torn."""

from pathlib import Path

from PIL import Image as PillowImage

from recyclelora import scenes
from recyclelora.data.labels import Image, Label
from recyclelora.data.many_files import save_whole
from recyclelora.data.pairs import decode
from recyclelora.errors import InputError


def read_scene(cache: Path, domain: str, split: str, index: int) -> tuple[Image, Label]:
    """What `scenes.render(domain, split, index)` returns, bitwise, through `<cache>/scenes-v<VERSION>/`.

    Raises InputError when the cache cannot be written.
    """
    folder = cache / f"scenes-v{scenes.VERSION}" / domain / split
    image_path, label_path = folder / f"{index:05d}.png", folder / f"{index:05d}_label.png"
    try:
        return decode(image_path, "image", ("RGB",)), decode(label_path, "label", ("L",))
    except InputError:  # absent, or cut short when a machine went down
        image, label = scenes.render(domain, split, index)
        _save(image, image_path)
        _save(label, label_path)
        return image, label


def _save(pixels: Image | Label, path: Path) -> None:
    """Write a PNG so that others see all of it or nothing: several processes may render the same scene at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_whole(PillowImage.fromarray(pixels), path, format="PNG", compress_level=1)  # 1: read far more than stored
    except OSError as error:
        raise InputError(f"cannot write scene cache {path}: {error.strerror}; choose another cache folder") from error
