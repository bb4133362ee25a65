"""Street scenes rendered from a seed: images and exact labels in eight conditions, without any files.

A scene is a mesh of flat polygons in perspective. `layout` places the objects, `raster` draws them, and `weather` turns
the drawing into a picture taken by day, at night, in fog, ... The layouts of all domains follow one distribution,
except that "city" builds another city and "camera" uses another camera, so the domains differ in appearance."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from recyclelora.errors import InputError
from recyclelora.scenes.camera import HEIGHT, WIDTH, bend
from recyclelora.scenes.domains import CONDITIONS, aim_camera, draw_look
from recyclelora.scenes.layout import build_scene
from recyclelora.scenes.raster import render_mesh
from recyclelora.scenes.street import FEATURED
from recyclelora.scenes.weather import develop

DOMAINS: tuple[str, ...] = ("day", "night", "fog", "rain", "snow", "dusk", "city", "camera")
SPLITS: dict[str, int] = {"train": 512, "val": 64, "test": 64}  # images per domain
SIZE = (HEIGHT, WIDTH)
VERSION = 2  # raised whenever a pixel changes

__all__ = ["DOMAINS", "SIZE", "SPLITS", "VERSION", "render", "render_seed", "scene_seed"]


def check_domain(domain: str) -> None:
    if domain not in DOMAINS:
        raise InputError(f"no scene domain {domain!r}: choose one of {', '.join(DOMAINS)}")


def scene_seed(domain: str, split: str, index: int) -> int:
    """The number a scene is made from; its remainder by len(FEATURED) says what is on the street for certain.

    Raises InputError for a domain, split or index that does not exist."""
    check_domain(domain)
    if split not in SPLITS:
        raise InputError(f"no split {split!r} of scenes: choose one of {', '.join(SPLITS)}")
    if not 0 <= index < SPLITS[split]:
        raise InputError(f"no image {index} in split {split!r} of scenes: choose 0 to {SPLITS[split] - 1}")
    digest = hashlib.sha256(f"scenes/{domain}/{split}/{index}".encode()).digest()
    seed = int.from_bytes(digest[:8], "big")
    return seed - seed % len(FEATURED) + index % len(FEATURED)  # so that few images in a row feature all rare vehicles


def render(domain: str, split: str, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Image (240, 320, 3) and label (240, 320) uint8, Cityscapes train ids; a pure function of its arguments.

    As in Cityscapes, what is seen through the bars of a fence or the spokes of a wheel is labelled fence or bicycle.
    Raises InputError for a domain, split or index that does not exist."""
    return render_seed(scene_seed(domain, split, index), domain)


def render_seed(seed: int, domain: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The street `seed` in a domain: one seed gives the same street in all domains, but for "city" and "camera".

    Raises InputError for a domain that does not exist."""
    check_domain(domain)
    layout, appearance = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    scene = build_scene(layout, "city" if domain == "city" else "home", FEATURED[seed % len(FEATURED)])
    conditions = CONDITIONS[domain]
    camera, look = aim_camera(domain, scene.street, appearance), draw_look(conditions, appearance)
    frame = render_mesh(scene.mesh, camera, look.light)
    display = develop(scene, camera, frame, conditions, look, appearance)
    image, label = (np.clip(display, 0, 1) * 255 + 0.5).astype(np.uint8), frame.label
    if camera.barrel:
        image, label = bend(image, camera.barrel, smooth=True), bend(label, camera.barrel, smooth=False)
    return image, label
