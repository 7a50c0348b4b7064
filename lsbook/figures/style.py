"""How the figures look: which colour of the palette stands for what, and the marks of classes.

What matplotlib is set to (`lsbook.outputs.STYLE`) a chapter's first cell does.
"""

from lsbook.outputs.palette import BLACK, CLASSES, CORRECTED, DEEP, FURTHER, HARD, NEUTRAL, PALE, SCALED, SMOOTHED

__all__ = ["CLASSES", "COLOURS", "CORRECTED", "FACTOR_COLOURS", "HARD", "MARKERS", "NEUTRAL", "SCALED", "SMOOTHED"]

# By what is shown in them. Arms beside hard and smoothed targets have the third and further colours.
COLOURS = {"hard": HARD, "scaled": SCALED, "smoothed": SMOOTHED, "teacher": BLACK, "alone": NEUTRAL}
COLOURS |= dict(zip(("third", "fourth", "fifth"), FURTHER, strict=True))
MARKERS = ("o", "^", "s")
FACTOR_COLOURS = (HARD, PALE, SMOOTHED, DEEP)  # four smoothing factors, from hard targets up
