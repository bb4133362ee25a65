"""Figures as SVG: each takes plain data, and says in a sentence what it draws."""

from recyclelora.tables.figures.adapters import adapters
from recyclelora.tables.figures.canvas import Drawing
from recyclelora.tables.figures.cells import cells
from recyclelora.tables.figures.cosines import cosines
from recyclelora.tables.figures.differences import differences
from recyclelora.tables.figures.effects import effects, interactions
from recyclelora.tables.figures.layers import layers

__all__ = ["Drawing", "adapters", "cells", "cosines", "differences", "effects", "interactions", "layers"]
