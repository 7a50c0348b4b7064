"""How the figures look: which colour of the palette stands for what, and the marks of classes.

What matplotlib is set to (`lsbook.outputs.STYLE`) a chapter's first cell does.
"""

from lsbook.outputs.palette import CLASSES, CORRECTED, DEEP, HARD, INK, NEUTRAL, PALE, SCALED, SMOOTHED

__all__ = ["CLASSES", "CORRECTED", "FACTORS", "HARD", "KINDS", "MARKERS", "NEUTRAL", "SCALED", "SMOOTHED", "arm_colour"]

KINDS = {"hard": HARD, "scaled": SCALED, "smoothed": SMOOTHED, "teacher": INK, "alone": NEUTRAL}
MARKERS = ("o", "^", "s")
FACTORS = (HARD, PALE, SMOOTHED, DEEP)  # four smoothing factors, from hard targets up


def arm_colour(smoothed: bool) -> str:
    """The colour of hard or of smoothed targets."""
    return SMOOTHED if smoothed else HARD
