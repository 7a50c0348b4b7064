"""How the figures look: the colours, each of which keeps one meaning through the book, and the marks of classes.

Colours are Okabe and Ito's, which colour-blind readers can tell apart, with a grey and a dark red. What matplotlib is
set to (`lsbook.outputs.STYLE`) a chapter's first cell does.
"""

HARD, SMOOTHED, SCALED = "#0072B2", "#D55E00", "#56B4E9"
NEUTRAL = "#666666"  # neither arm: what both are compared with
CORRECTED = "#882255"  # an estimate less its bias
KINDS = {"hard": HARD, "scaled": SCALED, "smoothed": SMOOTHED, "teacher": "#000000", "alone": NEUTRAL}
CLASSES = ("#009E73", "#CC79A7", "#E69F00")
MARKERS = ("o", "^", "s")
FACTORS = (HARD, "#F0A36B", SMOOTHED, "#7A3B00")  # four smoothing factors, from hard targets up


def arm_colour(smoothed: bool) -> str:
    """The colour of hard or of smoothed targets."""
    return SMOOTHED if smoothed else HARD
