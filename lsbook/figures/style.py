"""How the figures look: which colour of the palette stands for what, and the marks of classes.

What matplotlib is set to (`lsbook.outputs.STYLE`) a chapter's first cell does.
"""

import math

from lsbook.outputs import NARROW, WIDE
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
    "NARROW",
    "NEUTRAL",
    "SCALED",
    "SMOOTHED",
    "WIDE",
    "grid_for",
]

# By what is shown in them. Arms beside hard and smoothed targets have the third and further colours.
COLOURS = {"hard": HARD, "scaled": SCALED, "smoothed": SMOOTHED, "teacher": BLACK, "alone": NEUTRAL}
COLOURS |= dict(zip(("third", "fourth", "fifth"), FURTHER, strict=True))
MARKERS = ("o", "^", "s")
FACTOR_COLOURS = (HARD, PALE, SMOOTHED, DEEP)  # four smoothing factors, from hard targets up


def grid_for(panels: int, width: float, least: float) -> tuple[int, int]:
    """Rows and columns of so many panels in a figure: as many beside each other as have `least` inches each."""
    columns = max(1, min(panels, int(width / least)))
    rows = math.ceil(panels / columns)
    return rows, math.ceil(panels / rows)
