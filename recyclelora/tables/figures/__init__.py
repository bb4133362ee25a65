"""Figures as SVG: each takes plain data, and says in a sentence what it draws."""

from recyclelora.tables.figures.adapter_plots import adapters
from recyclelora.tables.figures.canvas import Drawing
from recyclelora.tables.figures.cell_scores import cells
from recyclelora.tables.figures.cosines import cosines
from recyclelora.tables.figures.effect_plots import effects, interactions
from recyclelora.tables.figures.forest_plot import differences
from recyclelora.tables.figures.layers import layers

__all__ = ["Drawing", "adapters", "cells", "cosines", "differences", "effects", "interactions", "layers"]
