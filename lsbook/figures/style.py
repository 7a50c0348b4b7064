"""How the figures look: which colour of the palette stands for what, and the marks of classes.

What matplotlib is set to (`lsbook.outputs.STYLE`) a chapter's first cell does.
"""

import math
from typing import Any

import numpy as np
from matplotlib.figure import FigureBase

from lsbook.outputs import WIDE
from lsbook.outputs.palette import BLACK, CLASSES, CORRECTED, DEEP, FURTHER, HARD, NEUTRAL, PALE, SCALED, SMOOTHED

__all__ = [
    "BLACK",
    "CLASSES",
    "COLOURS",
    "CORRECTED",
    "FACTOR_COLOURS",
    "FURTHER",
    "HARD",
    "MARKERS",
    "NEUTRAL",
    "SCALED",
    "SMOOTHED",
    "WIDE",
    "grid_for",
    "panel_grid",
]

# By what is shown in them. Arms beside hard and smoothed targets have the third and further colours.
COLOURS = {"hard": HARD, "scaled": SCALED, "smoothed": SMOOTHED, "teacher": BLACK, "alone": NEUTRAL}
COLOURS |= dict(zip(("third", "fourth", "fifth"), FURTHER, strict=True))
MARKERS = ("o", "^", "s")
FACTOR_COLOURS = (HARD, PALE, SMOOTHED, DEEP)  # four smoothing factors, from hard targets up


def panel_grid(part: FigureBase, panels: int, width: float, least: float, **options: Any) -> np.ndarray:
    """Make the axes (rows, columns) of so many panels; those left over in the last row are removed.

    part: of the figure; width, least: as for `grid_for`; options: of matplotlib's `subplots`.
    """
    grid = part.subplots(*grid_for(panels, width, least), squeeze=False, **options)
    for axes in grid.flat[panels:]:
        axes.remove()
    return grid


def grid_for(panels: int, width: float, least: float) -> tuple[int, int]:
    """Rows and columns of so many panels in a figure: as many beside each other as have `least` inches each."""
    columns = max(1, min(panels, int(width / least)))
    rows = math.ceil(panels / columns)
    return rows, math.ceil(panels / rows)
