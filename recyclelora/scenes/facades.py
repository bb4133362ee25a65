"""House fronts, drawn once: upper floors and ground floors of two cities, with the windows that are lit at night.

A tile holds BAYS x BAYS windows, or BAYS bays of one ground floor."""

from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from recyclelora.scenes.textures import SEED, TILE, Floats, Material, draw_courses, draw_noise

BAYS = 3
FIRST = len(Material)
Box: TypeAlias = tuple[float, float, float, float]
Fill: TypeAlias = tuple[int, int, int, int]  # red, green, blue and the share of the wall's colour


class Style(NamedTuple):
    """How the windows of one front look; widths and heights are shares of a bay and a floor."""

    wall: str  # plaster, brick, stone or glass
    width: float
    height: float
    frame: int  # brightness of the frames
    bars: tuple[int, int]  # panes across and up
    shutters: bool = False
    balcony: bool = False
    lintel: bool = True


HOME = (
    Style("plaster", 0.38, 0.58, 235, (2, 2), lintel=True), Style("plaster", 0.42, 0.50, 240, (2, 1), shutters=True),
    Style("brick", 0.36, 0.55, 225, (2, 3)), Style("stone", 0.40, 0.62, 200, (2, 2)),
    Style("plaster", 0.62, 0.46, 90, (3, 1), lintel=False), Style("plaster", 0.46, 0.60, 235, (2, 2), balcony=True),
    Style("brick", 0.50, 0.50, 235, (2, 2), lintel=False), Style("stone", 0.34, 0.66, 120, (1, 2), shutters=True),
)  # fmt: skip
CITY = (
    Style("glass", 0.94, 0.86, 70, (2, 1), lintel=False), Style("glass", 0.88, 0.62, 150, (3, 1), lintel=False),
    Style("brick", 0.46, 0.60, 60, (1, 2)), Style("concrete", 0.76, 0.48, 50, (3, 1), lintel=False),
    Style("brick", 0.40, 0.66, 190, (1, 2), balcony=True), Style("concrete", 0.55, 0.72, 60, (2, 1), lintel=False),
)  # fmt: skip
SHOPS = 4  # ground floors per city
FACADES = {
    "home": tuple(range(FIRST, FIRST + len(HOME))),
    "city": tuple(range(FIRST + len(HOME), FIRST + len(HOME) + len(CITY))),
}
GROUND_FLOORS = {
    "home": tuple(range(FIRST + len(HOME) + len(CITY), FIRST + len(HOME) + len(CITY) + SHOPS)),
    "city": tuple(range(FIRST + len(HOME) + len(CITY) + SHOPS, FIRST + len(HOME) + len(CITY) + 2 * SHOPS)),
}


class Front:
    """A front being drawn, top row first, and beside it the mask of its lit windows."""

    def __init__(self) -> None:
        self.picture = Image.new("RGBA", (TILE, TILE), (230, 230, 230, 255))
        self.lit = Image.new("L", (TILE, TILE), 0)
        self._brush, self._light = ImageDraw.Draw(self.picture), ImageDraw.Draw(self.lit)

    def fill(self, box: Box, colour: Fill, light: int = 0) -> None:
        """Paints x0, y0, x1, y1 (tile pixels); `light` is what the area gives off at night."""
        self._brush.rectangle(box, fill=colour)
        self._light.rectangle(box, fill=light)

    def glaze(self, box: Box, rng: np.random.Generator, chance: float) -> None:
        """A pane: the sky mirrored at its top, sometimes a curtain or blind, sometimes a lamp behind it."""
        x0, y0, x1, y1 = box
        light = int(rng.integers(110, 255)) if rng.random() < chance else 0
        tone = int(rng.integers(38, 80))
        for step in range(6):
            top, bottom = y0 + (y1 - y0) * step / 6, y0 + (y1 - y0) * (step + 1) / 6
            bright = tone + 58 * (1 - step / 5) ** 2
            self.fill((x0, top, x1, bottom), (int(bright * 0.88), int(bright), int(bright * 1.12), 0), light)
        kind = rng.random()
        if kind < 0.35:  # curtains at both sides
            cloth, width = int(rng.integers(120, 190)), (x1 - x0) * rng.uniform(0.12, 0.3)
            self.fill((x0, y0, x0 + width, y1), (cloth, cloth, cloth - 8, 0), light * 2 // 3)
            self.fill((x1 - width, y0, x1, y1), (cloth, cloth, cloth - 8, 0), light * 2 // 3)
        elif kind < 0.5:  # a blind
            cloth = int(rng.integers(130, 200))
            self.fill((x0, y0, x1, y0 + (y1 - y0) * rng.uniform(0.2, 0.9)), (cloth, cloth, cloth, 0), light // 2)


def draw_window(front: Front, box: Box, style: Style, rng: np.random.Generator) -> None:
    """One window of an upper floor in its frame, with what surrounds it."""
    x0, y0, x1, y1 = box
    frame = (style.frame, style.frame, style.frame, 0)
    if style.lintel:
        front.fill((x0 - 4, y0 - 7, x1 + 4, y0 - 2), (250, 250, 250, 200))
        front.fill((x0 - 4, y1 + 2, x1 + 4, y1 + 5), (250, 250, 250, 200))
        front.fill((x0 - 3, y1 + 6, x1 + 3, y1 + 8), (165, 165, 165, 255))
    front.fill((x0 - 3, y0 - 3, x1 + 3, y1 + 3), frame)
    across, up = style.bars
    for i in range(across):
        for j in range(up):
            left, top = x0 + (x1 - x0) * i / across, y0 + (y1 - y0) * j / up
            front.glaze((left, top, x0 + (x1 - x0) * (i + 1) / across - 2, y0 + (y1 - y0) * (j + 1) / up - 2), rng, 0.0)
    front.fill((x0, y0, x1, y0 + 3), (40, 40, 44, 0))  # the reveal's shadow
    if style.shutters:
        for left in (x0 - 15, x1 + 4):
            front.fill((left, y0 - 2, left + 11, y1 + 2), (150, 160, 150, 90))
            for row in range(int(y0), int(y1), 5):
                front.fill((left + 1, row, left + 10, row + 1), (105, 115, 105, 90))
    if style.balcony:
        front.fill((x0 - 14, y1 + 2, x1 + 14, y1 + 8), (190, 190, 190, 255))
        front.fill((x0 - 14, y1 - 20, x1 + 14, y1 - 18), (60, 60, 62, 0))
        for bar in range(int(x0) - 14, int(x1) + 15, 5):
            front.fill((bar, y1 - 18, bar + 1, y1 + 2), (60, 60, 62, 0))


def draw_upper(style: Style, rng: np.random.Generator) -> Front:
    """BAYS x BAYS windows; about two in five lit."""
    front, cell = Front(), TILE / BAYS
    for floor in range(BAYS):
        for bay in range(BAYS):
            middle, low = (bay + 0.5) * cell, (floor + 1) * cell - cell * (0.94 - style.height) * 0.55
            x0, x1 = middle - style.width * cell / 2, middle + style.width * cell / 2
            window = (x0, low - style.height * cell, x1, low)
            draw_window(front, window, style, rng)
            if rng.random() < 0.4:
                glow = Image.new("L", (TILE, TILE), 0)
                ImageDraw.Draw(glow).rectangle(window, fill=int(rng.integers(120, 255)))
                front.lit = Image.composite(glow, front.lit, glow)
    return front


def draw_ground_floor(city: bool, rng: np.random.Generator) -> Front:
    """A shop, an entrance and a window, in random order; the tile is one floor high."""
    front, cell = Front(), TILE / BAYS
    for bay, kind in enumerate(rng.permutation(["shop", "door", "shop" if city else "window"])):
        x0, x1 = bay * cell + 8, (bay + 1) * cell - 8
        if kind == "shop":
            board: Fill = tuple(int(v) for v in rng.integers(40, 220, 3)) + (0,)  # type: ignore[assignment]
            front.fill((x0 - 4, 34, x1 + 4, 66), board, 90)
            for letter in range(int(x0) + 8, int(x1) - 8, 9):
                front.fill((letter, 43, letter + 5, 57), (240, 240, 235, 0), 150)
            front.fill((x0 - 2, 70, x1 + 2, 236), (70, 70, 74, 0))
            for left, right in ((x0, (x0 + x1) / 2 - 1), ((x0 + x1) / 2 + 2, x1)):
                front.glaze((left, 74, right, 222), rng, 0.7)
                goods: Fill = tuple(int(v) for v in rng.integers(50, 200, 3)) + (0,)  # type: ignore[assignment]
                front.fill((left + 4, 160 + int(rng.integers(-20, 20)), right - 4, 220), goods, 120)
        elif kind == "door":
            tone = rng.integers(40, 130, 3)
            front.fill((x0 + 6, 44, x1 - 6, 252), (235, 235, 235, 160))
            front.fill((x0 + 12, 52, x1 - 12, 252), (int(tone[0]), int(tone[1]), int(tone[2]), 0))
            front.glaze((x0 + 16, 58, x1 - 16, 96), rng, 0.8)
            front.fill((x0 + 18, 110, x1 - 18, 170), (int(tone[0] * 0.8), int(tone[1] * 0.8), int(tone[2] * 0.8), 0))
        else:
            front.fill((x0 + 2, 70, x1 - 2, 190), (235, 235, 235, 100))
            front.glaze((x0 + 7, 76, (x0 + x1) / 2 - 2, 184), rng, 0.4)
            front.glaze(((x0 + x1) / 2 + 2, 76, x1 - 7, 184), rng, 0.4)
    front.fill((0, 0, TILE, 10), (245, 245, 245, 220))
    front.fill((0, 11, TILE, 15), (150, 150, 150, 255))
    return front


def weather(front: Front, wall: str, rng: np.random.Generator) -> Floats:
    """The front's texture (TILE, TILE, 4), its walls given their masonry and all of it some dirt."""
    texture = np.asarray(front.picture, np.float32)[::-1] / 255
    if wall == "brick":
        shade, seams = draw_courses(rng, 85, 24, 1, 0.05)
        grain = (0.97 + shade) * (1 - 0.18 * seams)
    elif wall == "stone":
        shade, seams = draw_courses(rng, 24, 8, 2, 0.025)
        grain = (0.98 + shade) * (1 - 0.12 * seams)
    else:
        grain = 0.98 + 0.03 * draw_noise(rng, 1.0)
    stained = 1 + 0.03 * draw_noise(rng, 1.3, stretch=2.5)
    grain = grain * texture[..., 3] + (1 - texture[..., 3])
    texture[..., :3] *= (grain * stained)[..., None]
    return np.clip(texture, 0, 1)


@cache
def draw_facades() -> tuple[tuple[Floats, NDArray[np.uint8]], ...]:
    """Texture and light mask of every front, in the order of the material numbers from FIRST."""
    fronts = []
    for index, style in enumerate(HOME + CITY):
        rng = np.random.default_rng([SEED, 200, index])
        front = draw_upper(style, rng)
        fronts.append((weather(front, style.wall, rng), np.asarray(front.lit)[::-1].copy()))
    for index in range(2 * SHOPS):
        rng = np.random.default_rng([SEED, 300, index])
        front = draw_ground_floor(index >= SHOPS, rng)
        fronts.append((weather(front, "plaster", rng), np.asarray(front.lit)[::-1].copy()))
    return tuple(fronts)
