"""The colours of light and dark pages: the same in figures and style sheets, and legible on either."""

import re
from pathlib import Path

import pytest

import lsbook
from lsbook.figures import style
from lsbook.outputs import palette

SHEET = (Path(lsbook.__file__).parents[1] / "_static" / "book.css").read_text(encoding="utf-8")
VARIABLES = {"hard": palette.HARD, "smoothed": palette.SMOOTHED, "scaled": palette.SCALED} | {
    f"class-{i}": colour for i, colour in enumerate(palette.CLASSES)
}


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    brighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_every_colour_of_a_figure_has_one_for_dark_pages():
    used = {*style.COLOURS.values(), *style.CLASSES, *style.FACTOR_COLOURS, style.CORRECTED, style.NEUTRAL}
    assert used <= palette.DARK.keys()
    assert len(set(palette.DARK.values())) == len(palette.DARK)


@pytest.mark.parametrize(("selector", "of"), [("html {", lambda c: c), ('html[data-theme="dark"] {', palette.DARK.get)])
def test_style_sheets_have_the_same_colours(selector, of):
    block = SHEET.partition(f"\n{selector}")[2].partition("}")[0]
    assert {name: re.search(rf"--{name}: (#\w+);", block)[1] for name in VARIABLES} == {
        name: of(colour) for name, colour in VARIABLES.items()
    }


def test_dark_colours_can_be_told_from_a_dark_page():
    """3 : 1, which WCAG asks of graphics."""
    dark = palette.DARK[palette.WHITE]
    assert min(contrast(colour, dark) for light, colour in palette.DARK.items() if light != palette.WHITE) >= 3


def test_a_figure_carries_rules_for_what_it_has_and_is_the_same_in_light():
    svg = '<?xml?><svg width="1"><path style="fill: #0072b2; stroke: #000000"/><text>a</text></svg>'
    both = palette.for_both(svg)
    assert '[style*="fill: #0072b2"] { fill: #4a9fe0 !important }' in both
    assert '[style*="stroke: #000000"] { stroke: #e3e8ee !important }' in both
    assert "#d55e00" not in both
    assert re.sub("<style>.*?</style>", "", both) == svg
