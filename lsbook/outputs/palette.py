"""The colours of figures in light and in dark, each with one meaning through the book.

Those of arms and classes are Okabe and Ito's, which colour-blind readers can tell apart, with a grey and a dark red.
"""

import re

HARD, SMOOTHED, SCALED = "#0072b2", "#d55e00", "#56b4e9"
FURTHER = ("#117733", "#332288", "#999933")  # arms beside these: Paul Tol's, of his muted scheme
NEUTRAL = "#666666"  # no arm: what all are compared with
CORRECTED = "#882255"  # an estimate less its bias
CLASSES = ("#009e73", "#cc79a7", "#e69f00")
PALE, DEEP = "#f0a36b", "#7a3b00"  # smoothing factors below and above that of the smoothed arm
WHITE, BLACK = "#ffffff", "#000000"

# What each becomes on a dark page. Lighter ones keep their order: pale, smoothed, deep.
DARK = {
    WHITE: "#121212",  # the theme's
    BLACK: "#e3e8ee",
    HARD: "#4a9fe0",
    SMOOTHED: "#f0833a",
    SCALED: "#a5d8f7",
    FURTHER[0]: "#6cc551",
    FURTHER[1]: "#9d8cf0",
    FURTHER[2]: "#d0cf6a",
    NEUTRAL: "#a3adba",
    CORRECTED: "#d988b0",
    CLASSES[0]: "#35c79f",
    CLASSES[1]: "#e3a3c5",
    CLASSES[2]: "#f2bd4b",
    PALE: "#f9d2b4",
    DEEP: "#b8763a",
}
_OPENING = re.compile(r"<svg\b[^>]*>")


def for_both(svg: str) -> str:
    """An SVG of matplotlib's with a style sheet that gives it other colours where a page is dark.

    A browser tells an image of the page's colour scheme; whatever knows no such thing shows the light colours.
    """
    rules = [
        f'[style*="{use}: {light}"] {{ {use}: {dark} !important }}'
        for use in ("fill", "stroke")
        for light, dark in DARK.items()
        if f"{use}: {light}" in svg
    ]
    sheet = f"@media (prefers-color-scheme: dark) {{ :root {{ fill: {DARK[BLACK]} }} {' '.join(rules)} }}"
    return _OPENING.sub(lambda opening: f"{opening[0]}<style>{sheet}</style>", svg, count=1)
