"""The eight conditions as numbers: light, air and camera.

Light is linear, 1 about that of a white wall in the sun. Pairs are ranges: each picture draws its own value."""

from typing import NamedTuple, TypeAlias

import numpy as np

from recyclelora.scenes.camera import Camera
from recyclelora.scenes.mesh import Colour
from recyclelora.scenes.raster import Light
from recyclelora.scenes.street import Street

Range: TypeAlias = tuple[float, float]
DARKNESS: Colour = (0, 0, 0)


class Conditions(NamedTuple):
    """Weather, daylight and film of a domain."""

    elevation: Range  # of the sun, degrees
    beam: Colour
    above: Colour
    below: Colour
    zenith: Colour
    horizon: Colour
    cloud: Colour
    sunshine: Range = (0.45, 1.1)  # how much of the beam comes through
    cover: Range = (0.1, 0.75)  # share of clouds
    haze: Range = (0.0015, 0.004)  # extinction per metre
    lamps: float = 0.0  # how much windows, signs and vehicles shine
    wet: bool = False
    snow: float = 0.0  # share of what faces up that is white
    flakes: Range = (0, 0)  # number, of snow
    streaks: Range = (0, 0)  # number, of rain
    exposure: Range = (0.9, 1.15)
    contrast: float = 1.0
    saturation: float = 1.0
    response: Colour = (1.0, 1.0, 1.0)  # of the sensor
    noise: float = 0.006
    vignette: float = 0.0
    blur: float = 0.0
    dark: bool = False  # lamps and headlights are the light


DAY = Conditions(
    elevation=(28, 58), beam=(1.55, 1.40, 1.14), above=(0.50, 0.56, 0.68), below=(0.36, 0.34, 0.31),
    zenith=(0.13, 0.30, 0.68), horizon=(0.60, 0.72, 0.84), cloud=(0.98, 0.98, 0.98), haze=(0.0006, 0.0022),
    exposure=(1.0, 1.3), saturation=1.12,
)  # fmt: skip
CONDITIONS: dict[str, Conditions] = {
    "day": DAY,
    "night": Conditions(
        elevation=(40, 60), beam=DARKNESS, above=(1, 1, 1), below=(0.75, 0.75, 0.75),  # shares of the lamps' light
        zenith=(0.0035, 0.005, 0.012), horizon=(0.045, 0.035, 0.032), cloud=(0.03, 0.026, 0.026), haze=(0.001, 0.004),
        lamps=1.0, dark=True, exposure=(0.8, 1.4), contrast=1.05, saturation=0.9, noise=0.028,
    ),
    "fog": Conditions(
        elevation=(40, 60), beam=DARKNESS, above=(0.62, 0.65, 0.68), below=(0.34, 0.35, 0.36),
        zenith=(0.66, 0.69, 0.72), horizon=(0.66, 0.69, 0.72), cloud=(0.68, 0.70, 0.73), haze=(0.022, 0.060),
        lamps=0.35, exposure=(0.85, 1.1), saturation=0.85,
    ),
    "rain": Conditions(
        elevation=(40, 60), beam=DARKNESS, above=(0.46, 0.50, 0.55), below=(0.22, 0.23, 0.24),
        zenith=(0.30, 0.33, 0.38), horizon=(0.56, 0.59, 0.62), cloud=(0.44, 0.46, 0.50), cover=(0.8, 1.0),
        haze=(0.006, 0.013), lamps=0.6, wet=True, streaks=(120, 320), exposure=(0.85, 1.15), saturation=0.85,
        noise=0.010,
    ),
    "snow": Conditions(
        elevation=(20, 40), beam=DARKNESS, above=(0.84, 0.88, 0.95), below=(0.60, 0.62, 0.66),
        zenith=(0.62, 0.66, 0.73), horizon=(0.80, 0.83, 0.87), cloud=(0.84, 0.86, 0.90), cover=(0.6, 1.0),
        haze=(0.007, 0.016), lamps=0.25, snow=1.0, flakes=(150, 420), exposure=(0.9, 1.1), saturation=0.85,
    ),
    "dusk": Conditions(
        elevation=(4, 12), beam=(1.75, 0.80, 0.26), above=(0.24, 0.22, 0.32), below=(0.17, 0.12, 0.10),
        zenith=(0.10, 0.13, 0.32), horizon=(0.98, 0.50, 0.20), cloud=(0.75, 0.34, 0.22), sunshine=(0.5, 1.0),
        cover=(0.1, 0.6), haze=(0.0015, 0.0045), lamps=0.4, exposure=(0.95, 1.3), contrast=0.90, noise=0.010,
    ),
    "city": DAY._replace(
        beam=(1.60, 1.38, 1.02), horizon=(0.72, 0.75, 0.78), haze=(0.003, 0.006), response=(1.03, 1.0, 0.94),
    ),
    "camera": DAY._replace(
        response=(0.90, 1.03, 1.05), contrast=1.22, saturation=0.72, noise=0.030, vignette=0.65, blur=0.55,
        exposure=(0.75, 1.35),
    ),
}  # fmt: skip


class Look(NamedTuple):
    """One picture's draw from its conditions."""

    light: Light
    clouds: float
    haze: float
    exposure: float


def draw_look(conditions: Conditions, rng: np.random.Generator) -> Look:
    elevation, turn = np.deg2rad(rng.uniform(*conditions.elevation)), float(rng.uniform(-np.pi, np.pi))
    sun = np.array([np.cos(elevation) * np.sin(turn), np.sin(elevation), np.cos(elevation) * np.cos(turn)], np.float32)
    clouds = float(rng.uniform(*conditions.cover))
    shine = float(rng.uniform(*conditions.sunshine)) * (1 - 0.4 * clouds)
    light = Light(
        sun=sun, beam=np.array(conditions.beam, np.float32) * np.float32(shine),
        above=np.array(conditions.above, np.float32), below=np.array(conditions.below, np.float32),
        snow=conditions.snow, lamps=conditions.lamps,
    )  # fmt: skip
    return Look(light, clouds, float(rng.uniform(*conditions.haze)), float(rng.uniform(*conditions.exposure)))


def aim_camera(domain: str, street: Street, rng: np.random.Generator) -> Camera:
    """A camera behind a windscreen in our lane; "camera" is another car's: higher, wider, tilted, with a worse lens."""
    x, yaw = street.eye + float(rng.normal(0, 0.25)), float(rng.normal(0, 0.02)) + street.heading(12)
    if domain == "camera":
        focal, height, pitch = rng.uniform(225, 245), rng.uniform(1.9, 2.3), rng.normal(0.10, 0.012)
        return Camera(float(focal), float(height), float(pitch), yaw, x, barrel=0.16)
    focal, height, pitch = rng.uniform(320, 340), rng.uniform(1.25, 1.45), rng.normal(0.030, 0.010)
    return Camera(float(focal), float(height), float(pitch), yaw, x)
