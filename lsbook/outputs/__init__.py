"""What a chapter's cells put on the page: numbers for its text, numbered tables, figures as SVG, parts to work."""

import base64
import json
import math
import re
from dataclasses import dataclass
from html import escape

import numpy as np

STYLE = {
    "svg.hashsalt": "lsbook",  # makes the identifiers inside an SVG the same in every build
    "font.size": 11,
    "axes.titlesize": "medium",
    "figure.labelsize": "medium",
    "xtick.labelsize": "small",
    "ytick.labelsize": "small",
    "legend.fontsize": "small",
    "legend.frameon": False,
}


def begin() -> None:
    """Show figures in the book's style, as SVG the same in every build. Called once, in a chapter's first cell."""
    import matplotlib
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    matplotlib.rcdefaults()  # not what a matplotlibrc of the reader's says
    matplotlib.rcParams.update(STYLE)
    set_matplotlib_formats("svg", metadata={"Date": None})


def numbers(**values: float | str) -> None:
    """Give numbers or words a name, under which the chapter's text shows them: {glue:text}`name`."""
    from myst_nb import glue

    for name, value in values.items():
        glue(name, value, display=False)


@dataclass(frozen=True)
class Text:
    """A computed paragraph, in Markdown."""

    markdown: str

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/markdown": self.markdown, "text/plain": self.markdown}


@dataclass(frozen=True)
class Table:
    """A numbered table. rows: cells as text (Markdown), the first of each row names it; name: for references to it."""

    name: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/markdown": self.markdown(), "text/html": self.html(), "text/plain": self.plain()}

    def markdown(self) -> str:
        """For the book: a MyST directive, which numbers the table."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.header)
        rule = ["---:" if all(map(_is_number, column)) else "---" for column in columns]
        lines = [f"| {' | '.join(row)} |" for row in (self.header, rule, *self.rows)]
        return "\n".join([f"```{{table}} {self.caption}", f":name: {self.name}", *lines, "```"])

    def html(self) -> str:
        """For a notebook."""

        def line(tag, cells):
            shown = (cell if isinstance(cell, Html) else escape(cell) for cell in cells)
            return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in shown) + "</tr>"

        body = line("th", self.header) + "".join(line("td", row) for row in self.rows)
        return f"<table><caption>{escape(self.caption)}</caption>{body}</table>"

    def plain(self) -> str:
        """For a terminal."""
        return "\n".join([self.caption, *("  ".join(row) for row in (self.header, *self.rows))])


class Html(str):
    """A cell of a table that is HTML already."""


def interval_picture(low: float, mean: float, high: float, threshold: float) -> Html:
    """An inline SVG: an interval with its mean beside the line of a threshold, on a scale of its own.

    ValueError when one of them is not finite.
    """
    ends = low, mean, high, threshold
    if not all(map(math.isfinite, ends)):
        raise ValueError(f"interval: {ends} is not finite")
    span = (max(ends) - min(ends)) or 1.0
    left, middle, right, tick = (round(6 + 84 * (value - min(ends)) / span, 1) for value in ends)
    return Html(
        '<svg width="96" height="14" viewBox="0 0 96 14" role="img" stroke="currentColor" aria-label="interval '
        f'{"right of" if low > threshold else "left of" if high < threshold else "across"} the threshold">'
        f'<line x1="{tick}" x2="{tick}" y1="1" y2="13"></line>'
        f'<line x1="{left}" x2="{right}" y1="7" y2="7" stroke-width="3"></line>'
        f'<circle cx="{middle}" cy="7" r="3.5" fill="currentColor"></circle></svg>'
    )


@dataclass(frozen=True)
class Part:
    """Something that the reader works, drawn by `book/_extra/explorer` from what is recorded.

    name: which; caption: Markdown is not read in it; data: what JSON can hold, and arrays of float16, float32, uint16.
    """

    name: str
    caption: str
    data: dict

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.caption}

    def html(self) -> str:
        """A figure that holds its data, so that it needs no server; its first paragraph gives way to the controls."""
        data = json.dumps(self.data, default=_array, ensure_ascii=False).replace("<", r"\u003c")
        return (
            f'<figure class="explorer" data-part="{escape(self.name)}">'
            "<p>This part is worked in a browser: open the built book, with scripts allowed.</p>"
            f"<figcaption>{escape(self.caption)}</figcaption>"
            f'<script type="application/json">{data}</script></figure>'
        )


def _array(values: np.ndarray) -> dict:
    """An array for JSON, the low byte of each number first."""
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return {"type": values.dtype.name, "shape": values.shape, "base64": base64.b64encode(little.tobytes()).decode()}


def _is_number(cell: str) -> bool:
    """Whether a cell starts as a number does, or is a dash: such columns are set flush right."""
    return bool(re.match(r"[+\-−]?\d|—$|$", cell))
