"""How the figures look: which colour of the palette stands for what, and the marks of classes.

What matplotlib is set to (`lsbook.outputs.STYLE`) a chapter's first cell does.
"""

from lsbook.outputs.palette import CLASSES, CORRECTED, DEEP, FURTHER, HARD, INK, NEUTRAL, PALE, SCALED, SMOOTHED

__all__ = ["CLASSES", "COLOURS", "CORRECTED", "FACTORS", "HARD", "MARKERS", "NEUTRAL", "SCALED", "SMOOTHED"]

# By what is shown in them. Arms beside hard and smoothed targets have the third and further colours.
COLOURS = {"hard": HARD, "scaled": SCALED, "smoothed": SMOOTHED, "teacher": INK, "alone": NEUTRAL}
COLOURS |= dict(zip(("third", "fourth", "fifth"), FURTHER, strict=True))
MARKERS = ("o", "^", "s")
FACTORS = (HARD, PALE, SMOOTHED, DEEP)  # four smoothing factors, from hard targets up
