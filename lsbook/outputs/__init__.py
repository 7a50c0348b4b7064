"""What a chapter's cells put on the page: numbers for its text, numbered tables, figures as SVG, widgets.

Tables, figures and widgets carry the recorded runs that they were made from; the page lists them underneath.
Here outputs become markup. A string is data, wherever it is from, and shown as it stands, on one line; only what our
own code wrote as `Markup` is Markdown and HTML.
"""

import base64
import hashlib
import io
import json
import re
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from typing import TYPE_CHECKING, Any

import numpy as np

from lsbook.core.errors import one_line
from lsbook.core.notebooks import NARROW_SVG
from lsbook.core.store import Record
from lsbook.core.wording import unbroken
from lsbook.outputs.palette import for_both
from lsbook.outputs.provenance import describe_records

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd

Bundle = tuple[dict[str, str], dict[str, Any]]  # what IPython shows, by MIME type, and metadata

STYLE: dict[str, Any] = {
    "svg.hashsalt": "lsbook",  # makes the identifiers inside an SVG the same in every build
    "font.size": 9.5,  # points: 12.7 pixels on a page, which shows figures at the width they are drawn for
    "axes.titlesize": "medium",
    "figure.labelsize": "medium",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
}
WIDE, NARROW = 7.6, 3.7  # inches: the width of a figure on a desktop's page and on a phone's
CLIPPING = re.compile(r'<clipPath id="(\w+)">(.+?)</clipPath>', re.DOTALL)
# Characters that mean something to Markdown, MyST, the recognition of addresses in text, or HTML, some only at the
# beginning of a line, a full stop before a letter, a colon before what is no space.
MEANT = re.compile(r"""[!"#$&*/<>?@\]\\^_`{|}~]|^[-+=%:(]|^\d+[.)](?=\s|$)|\.(?=[^\W\d])|:(?=\S)""")


def begin() -> None:
    """Show figures in the book's style, as SVG the same in every build and made for light and dark pages.

    Called once, in a chapter's first cell.
    """
    import matplotlib.figure
    import matplotlib.style
    from IPython import get_ipython
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    matplotlib.rcdefaults()  # not what a matplotlibrc of the reader's says
    matplotlib.style.use(STYLE)
    set_matplotlib_formats("svg", metadata={"Date": None})
    as_svg = get_ipython().display_formatter.formatters["image/svg+xml"]
    draw = as_svg.lookup_by_type(matplotlib.figure.Figure)
    as_svg.for_type(matplotlib.figure.Figure, lambda figure: for_both(named_by_shape(draw(figure))))


def named_by_shape(svg: str) -> str:
    """An SVG of matplotlib's whose clipping paths are named after their shape as it is written.

    Matplotlib names them after all the digits of their corners, of which constrained layout leaves the last to chance
    (https://github.com/nucleic/kiwi/issues/57).
    """
    for name, shape in CLIPPING.findall(svg):
        svg = svg.replace(name, "p" + hashlib.sha256(shape.encode()).hexdigest()[: len(name) - 1])
    return svg


def numbers(**values: float | str) -> None:
    """Give numbers or words the names under which the chapter's text shows them: {glue:text}`name`."""
    from myst_nb import glue

    for name, value in values.items():
        glue(name, one_line(value) if isinstance(value, str) else value, display=False)


class Markup(str):
    """MyST Markdown, and HTML within it, that our own code wrote: a constant, or one that `format` has filled in."""

    def format(self, *values: object, **named: object) -> "Markup":
        """Fill in values as `str.format` does; those that are no Markup are data, and shown as they stand."""
        return Markup(_FILLER.vformat(self, values, named))

    def join(self, parts: Iterable[str]) -> "Markup":
        """Join parts as `str.join` does; those that are no Markup are data, and shown as they stand."""
        return Markup(super().join(map(markup, parts)))


class _Filler(string.Formatter):
    def format_field(self, value: object, spec: str) -> Markup:
        return markup(value if isinstance(value, Markup) else format(value, spec))


_FILLER = _Filler()


def markup(text: str) -> Markup:
    """Return Markup as it is, and any other string as Markup that shows it as it stands, on one line.

    What has a meaning becomes a numeric reference, which both Markdown and HTML show as the character.
    """
    if isinstance(text, Markup):
        return text
    return Markup(MEANT.sub(_as_references, one_line(text)))


def _as_references(match: re.Match[str]) -> str:
    return "".join(character if character.isdigit() else f"&#{ord(character)};" for character in match[0])


def _runs(records: Iterable[Record | str]) -> dict[str, Any]:
    """Metadata of a notebook's output: the keys of the runs that it was made from, and a sentence on them."""
    records = list(records)
    keys = sorted({record if isinstance(record, str) else record.run.key for record in records})
    known = [record for record in records if isinstance(record, Record)]
    return {"lsbook": {"runs": keys} | ({"made_from": describe_records(known)} if known else {})}


@dataclass(frozen=True)
class Text:
    """A computed paragraph, or several as Markup; a string that is no Markup is data, and shown as it stands."""

    markdown: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        text = self.markdown if isinstance(self.markdown, Markup) else self.markdown.strip()  # four spaces begin code
        return {"text/markdown": markup(text), "text/plain": _plain(text)}


def cell_frame(header: Sequence[str], rows: Iterable[Sequence[str]]) -> "pd.DataFrame":
    """A frame of a table's cells. header: names of the columns, which may come twice; rows: as long as the header."""
    import pandas as pd  # takes as long to import as the rest together

    rows = list(rows)
    # Of type object: pandas's own type of text would lose which cells are Markup.
    return pd.DataFrame(rows, columns=pd.Index(list(header), dtype=object), dtype=object)


@dataclass(frozen=True)
class Html:
    """HTML of our own making, for what Markdown has no form for.

    Attributes:
        html: Markup, never data.
        records: what it shows; without any, nothing is said of where it comes from.
    """

    html: Markup
    records: Sequence[Record] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.html, Markup):
            raise TypeError("html: only Markup is shown as it is; a string is data")

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        text = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", self.html))).strip()
        return {"text/html": str(self.html), "text/plain": text}, _runs(self.records) if self.records else {}


@dataclass(frozen=True)
class Table:
    """A numbered table.

    name: for references to it.
    frame: its numbers, to go on with; or its cells, where none are `shown`.
    records: what its numbers are from, or their keys, as the index of a frame has them.
    shown: its cells, made from the frame: data or Markup, under the names of its columns; see `cell_frame`. The first
        cell of each row names it. The frame, where there is none.
    """

    name: str
    caption: str
    frame: "pd.DataFrame"
    records: Sequence[Record] | Sequence[str] = field(default=(), repr=False)
    shown: "pd.DataFrame | None" = field(default=None, repr=False)

    @property
    def _cells(self) -> "pd.DataFrame":
        return self.frame if self.shown is None else self.shown

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns that are shown."""
        return tuple(self._cells.columns)

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The cells that are shown, row by row."""
        return tuple(self._cells.itertuples(index=False, name=None))

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict[str, str], dict]:
        shown = {"text/markdown": self.markdown(), "text/html": self.html(), "text/plain": self.plain()}
        return shown, _runs(self.records)

    def markdown(self) -> str:
        """Return the table for the book: a MyST directive, which numbers it."""
        numeric = [all(_is_number(row[column]) for row in self.rows) for column in range(len(self.header))]
        rule = ["---:" if right else "---" for right in numeric]
        shown: list[list[str]] = [[_unbroken(cell) for cell in row] for row in (self.header, *self.rows)]
        lines = [f"| {' | '.join(row)} |" for row in (shown[0], rule, *shown[1:])]
        return "\n".join([f"```{{table}} {markup(self.caption)}", f":name: {self.name}", *lines, "```"])

    def html(self) -> str:
        """Return the table for a notebook, as HTML."""
        from markdown_it import MarkdownIt

        html = MarkdownIt("commonmark").renderInline

        def line(tag: str, cells: Iterable[str]) -> str:
            return "<tr>" + "".join(f"<{tag}>{html(markup(cell))}</{tag}>" for cell in cells) + "</tr>"

        body = line("th", self.header) + "".join(line("td", row) for row in self.rows)
        return f"<table><caption>{html(markup(self.caption))}</caption>{body}</table>"

    def plain(self) -> str:
        """Return the table for a terminal."""
        lines = ("  ".join(map(_plain, row)) for row in (self.header, *self.rows))
        return "\n".join([_plain(self.caption), *lines])


def _unbroken(cell: str) -> Markup:
    """The cell as Markup, data with each equation on one line."""
    return markup(cell if isinstance(cell, Markup) else unbroken(cell))


def _plain(text: str) -> str:
    return unescape(text) if isinstance(text, Markup) else one_line(text)


@dataclass(frozen=True)
class Figure:
    """A figure, drawn once for desktops and once for phones, shown as matplotlib's own are.

    In a notebook that has not set how these are shown it is a PNG.

    Attributes:
        draw: width in inches -> matplotlib's figure, its panels arranged for that width.
        records: what it shows.
    """

    draw: Callable[[float], "matplotlib.figure.Figure"]
    records: Sequence[Record] = field(default=(), repr=False)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        from IPython import get_ipython

        display = get_ipython().display_formatter.format
        drawn = self.draw(WIDE)
        shown, metadata = display(drawn)
        if "image/svg+xml" in shown:
            shown[NARROW_SVG] = display(self.draw(NARROW))[0]["image/svg+xml"]
        elif not any(kind.startswith("image/") for kind in shown):
            picture = io.BytesIO()
            drawn.savefig(picture, format="png", bbox_inches="tight")
            shown["image/png"] = base64.b64encode(picture.getvalue()).decode()
        return shown, metadata | _runs(self.records)


@dataclass(frozen=True)
class Widget:
    """Something that the reader works, drawn by `book/_extra/explorer` from what is recorded.

    Attributes:
        name: which of those that the explorer draws.
        caption: text, in which Markdown is not read.
        data: what JSON can hold, and arrays of float16, float32 and uint16.
        records: what the data are from.
    """

    name: str
    caption: str
    data: dict[str, Any]
    records: Sequence[Record] = field(default=(), repr=False)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        return {"text/html": self.html(), "text/plain": one_line(self.caption)}, _runs(self.records)

    def html(self) -> str:
        """Return a figure that holds its data, so that it needs no server; controls replace its first paragraph."""
        data = embedded_json(self.data)
        return (
            f'<figure class="explorer" data-part="{escape(self.name)}">'
            "<p>This part is worked in a browser: open the built book, with scripts allowed.</p>"
            f"<figcaption>{escape(one_line(self.caption))}</figcaption>"
            f'<script type="application/json">{data}</script></figure>'
        )


def embedded_json(data: object) -> Markup:
    """Return data as JSON for a <script> of a page, in which nothing ends the script or begins a comment."""
    text = json.dumps(data, default=_array, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", r"\u003c"))


def _array(values: np.ndarray) -> dict[str, Any]:
    """An array for JSON, the low byte of each number first."""
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return {"type": values.dtype.name, "shape": values.shape, "base64": base64.b64encode(little.tobytes()).decode()}


def _is_number(cell: str) -> bool:
    """Whether a cell starts as a number does, or is a dash: such columns are set flush right."""
    return bool(re.match(r"[+\-−]?\d|—$|$", cell))
