"""Marks of verdicts, as inline SVG: a full, half, crossed or empty shape, or a dash, and words for who sees none.

A circle stands for the small-scale setting, a square for the paper's protocol.
"""

from lsbook.outputs import Markup

# Verdict of the rule -> how a reader is told.
WORDS = {
    "reproduced": "holds",
    "mixed": "holds in part",
    "contradicted": "does not hold",
    "undecided": "open",
    "not tested": "not tested",
}
_SHAPES = {
    False: Markup('<circle cx="8" cy="8" r="6.25" fill="{}"/>'),
    True: Markup('<rect x="2" y="2" width="12" height="12" fill="{}"/>'),
}
_HALF = Markup('<path d="{}" fill="currentColor" stroke="none"/>')
_HALVES = {False: "M8 2V14A6 6 0 0 1 8 2Z", True: "M8 2V14H2V2Z"}
_CROSS = Markup('<path d="M4.2 4.2 11.8 11.8M11.8 4.2 4.2 11.8"/>')
_DASH = Markup('<path d="M4 8H12"/>')


def mark(verdict: str, paper_protocol: bool = False) -> Markup:
    """The mark of a verdict, one of the keys of `WORDS`, without its words. Raises KeyError for another word."""
    filled, empty = (_SHAPES[paper_protocol].format(fill) for fill in ("currentColor", "none"))
    drawn = {
        "reproduced": [filled],
        "mixed": [empty, _HALF.format(_HALVES[paper_protocol])],
        "contradicted": [empty, _CROSS],
        "undecided": [empty],
        "not tested": [_DASH],
    }[verdict]
    return Markup(
        '<svg class="verdict-mark" width="16" height="16" viewBox="0 0 16 16" stroke="currentColor" stroke-width="1.5" '
        'fill="none" aria-hidden="true">{}</svg>'
    ).format(Markup("").join(drawn))


def hidden(words: str) -> Markup:
    """Words that a screen reader says and nobody sees."""
    return Markup('<span class="visually-hidden">{}</span>').format(words)
