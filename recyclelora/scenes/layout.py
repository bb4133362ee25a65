"""Places houses, plants, street furniture, traffic and people on a street."""

from typing import NamedTuple

import numpy as np

from recyclelora.scenes.buildings import build_skyline
from recyclelora.scenes.crowd import populate
from recyclelora.scenes.ground import lay_ground
from recyclelora.scenes.kerbside import furnish
from recyclelora.scenes.lots import fill_lots
from recyclelora.scenes.mesh import Mesh, Placement, join
from recyclelora.scenes.stage import Caster, Spot, Stage
from recyclelora.scenes.street import FAR, Street, sample_street
from recyclelora.scenes.traffic import drive


class Scene(NamedTuple):
    street: Street
    mesh: Mesh  # in drawing order
    casters: tuple[Caster, ...]
    lamps: tuple[Spot, ...]  # heads of street lamps


def build_scene(rng: np.random.Generator, style: str, featured: str) -> Scene:
    """A street of the city `style` ("home" or "city") with everything on it, and one of FEATURED for certain."""
    street = sample_street(rng, style, featured)
    stage = Stage(street, rng)
    ground = lay_ground(street, rng)
    for side in range(2):
        fill_lots(stage, side)
    furnish(stage)
    drive(stage)
    populate(stage)
    skyline = build_skyline(style, street.x(0, FAR), rng)
    things = [thing for _, thing in sorted(stage.things, key=lambda thing: -thing[0])]
    mesh = join([Placement(skyline), *map(Placement, ground), *things])
    return Scene(street, mesh, tuple(stage.casters), tuple(stage.lamps))
