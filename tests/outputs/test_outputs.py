"""Tables and texts as the book, a notebook and a terminal show them."""

import ast
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import matplotlib.figure
import numpy as np
import pytest
from docutils import nodes
from docutils.core import publish_doctree
from hypothesis import example, given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter
from matplotlib_inline import backend_inline
from myst_parser.parsers.docutils_ import Parser

import lsbook
from lsbook import outputs
from lsbook.core.errors import one_line
from lsbook.core.notebooks import NARROW_SVG
from lsbook.core.store import Record
from lsbook.outputs import NARROW, WIDE, Figure, Html, Markup, Table, Text, Widget, cell_frame, markup
from lsbook.recipes import profiles

TABLE = Table(
    "table-x", "A caption.", cell_frame(("name", "value", "verdict"), (("a < b", "1.5 ± 0.2", "yes"), ("c", "—", "no")))
)


def test_the_book_gets_a_numbered_table():
    assert TABLE.markdown().splitlines() == [
        "```{table} A caption.",
        ":name: table-x",
        "| name | value | verdict |",
        "| --- | ---: | --- |",
        "| a &#60; b | 1.5 ± 0.2 | yes |",
        "| c | — | no |",
        "```",
    ]


def test_an_equation_in_a_cell_is_not_broken():
    table = Table("table-x", "A caption.", cell_frame(("arm",), (("smoothed, α = 0.1",),)))
    assert "| smoothed, α\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.1 |" in table.markdown()


def test_a_notebook_gets_html_with_its_text_escaped():
    assert "<caption>A caption.</caption>" in TABLE.html()
    assert "<td>a &lt; b</td>" in TABLE.html()


HARMFUL = [
    "1)",
    "23.",
    "AMD {download}`a page </etc/passwd>`",
    "![x](/etc/passwd)",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "https://example.com",
    "www.example.com",
    "mailto:a@example.com",
    "{{ env }}",
    "$x$",
    "{ref}`x`",
    "[^1]",
    "a | b\\",
    "x\n# y",
    "x\r\n\r\n    y",
    "```{include} /etc/passwd",
    ":::{note}",
    "+++",
    "% x",
    "1. x",
    "(x)=",
    "&lt;",
    "**x**",
    "a\x1b[2Jb\u202ec",
    "\x00",
]
EXTENSIONS = ["colon_fence", "dollarmath", "linkify", "substitution", "tasklist"]  # of Jupyter Book


def document(markdown: str) -> nodes.document:
    """What MyST makes of it."""
    settings = {"myst_enable_extensions": EXTENSIONS, "report_level": 5, "output_encoding": "unicode"}
    return publish_doctree(markdown, parser=Parser(), settings_overrides=settings)


def only_text(node: nodes.Element) -> str:
    """What a paragraph shows. It holds nothing else."""
    assert all(isinstance(child, nodes.Text) for child in node.children), node
    return node.astext()


def with_examples(test):
    for text in HARMFUL:
        test = example(text=text)(test)
    return test


@with_examples
@given(text=st.text(st.sampled_from("ab1 .:;,()[]{}<>`*_~|\\/-+=%#!?&$@^\"'\n\t")) | st.text())
def test_data_are_shown_as_they_stand_and_do_nothing(text):
    """In a paragraph, within one, and in every place of a table."""
    whole = " ".join(one_line(text).split())  # spaces as HTML shows them
    made = document("\n".join([Text(text)._repr_mimebundle_()["text/markdown"], "", Markup("- a {} b").format(text)]))
    assert [" ".join(only_text(node).split()) for node in made.findall(nodes.paragraph)] == [
        *([whole] if whole else []),
        " ".join(f"a {whole} b".split()),
    ]
    made = document(Table("table-x", text, cell_frame(("x", text), (("y", text),))).markdown())
    cells = [" ".join(node.astext().split()) for node in made.findall(nodes.entry)]
    assert cells == ["x", whole, "y", whole]
    assert [" ".join(only_text(node).split()) for node in made.findall(nodes.title)] == ([whole] if whole else [])
    assert not list(made.findall(lambda node: isinstance(node, nodes.raw | nodes.image | nodes.reference)))


@pytest.mark.parametrize("text", HARMFUL)
def test_data_are_shown_as_they_stand_in_a_notebook_and_a_terminal(text):
    table = Table("table-x", text, cell_frame(("x", text), (("y", text),)))
    assert not re.search("<(?!/?(table|caption|tr|th|td)>)", table.html())
    for shown in (table.plain(), Text(text)._repr_mimebundle_()["text/plain"], Widget("x", text, {}).html()):
        assert all(line == one_line(line) for line in shown.split("\n"))
    assert "<script>" not in Widget("x", text, {}).html()


def test_markup_is_filled_with_data_and_other_markup():
    strong = Markup("**{}**").format("a*b")
    assert strong == "**a&#42;b**"
    assert Markup("{:.1f} {} {}").format(0.25, strong, "<") == "0.2 **a&#42;b** &#60;"
    assert Markup("; ").join(["*", strong]) == "&#42;; **a&#42;b**"
    assert markup(strong) is strong
    assert not isinstance(strong + "*", Markup)
    assert isinstance(Markup("{}").format(""), Markup)


def test_markup_is_made_of_constants():
    """Whatever is not known when the code is written goes through `format` or `join`."""
    calls = 0
    for path in {*Path(lsbook.__file__).parent.rglob("*.py")} - {Path(outputs.__file__)}:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Markup":
                calls += 1
                assert [type(argument) for argument in node.args] == [ast.Constant], f"{path}:{node.lineno}"
    assert calls > 10


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--<script>", "a < b & c"])
def test_data_in_a_page_end_no_script_and_begin_no_comment(text):
    """In a script, `<!--` followed by `<script` swallows the page, which `<\\/` alone does not prevent."""
    outputs = Widget("name", "A caption.", {text: [text]}).html()
    [content] = re.findall('json">(.*)</script></figure>$', outputs)
    assert "<" not in content
    assert json.loads(content) == {text: [text]}


def test_html_is_shown_only_where_our_own_code_made_it_markup():
    shown, metadata = Html(Markup("<b>{}</b>").format("<i>x"), ["abc"])._repr_mimebundle_()
    assert shown == {"text/html": "<b>&#60;i&#62;x</b>", "text/plain": "<i>x"}
    assert metadata == {"lsbook": {"runs": ["abc"]}}
    assert Html(Markup("x"))._repr_mimebundle_()[1] == {}
    with pytest.raises(TypeError, match="Markup"):
        Html("<script>")


def test_every_form_is_offered():
    assert set(TABLE._repr_mimebundle_()[0]) == {"text/markdown", "text/html", "text/plain"}
    assert Text("*x*")._repr_mimebundle_() == {"text/markdown": "&#42;x&#42;", "text/plain": "*x*"}
    strong = Markup("**{}**").format("a*")
    assert Text(strong)._repr_mimebundle_() == {"text/markdown": "**a&#42;**", "text/plain": "**a***"}


def test_what_is_made_from_records_carries_their_keys(monkeypatch):
    """Each once, in order, whatever shows them; a figure is shown as matplotlib's own are."""
    runs = [profiles.run("smoke", "digits", "alexnet-16", 0.1, seed) for seed in (1, 0, 1)]
    records = [Record(run, {}, {}, {}, Path()) for run in runs]
    drawn = matplotlib.figure.Figure()
    formatter = DisplayFormatter()
    formatter.formatters["image/svg+xml"].for_type(matplotlib.figure.Figure, lambda _: "<svg/>")
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(display_formatter=formatter))
    monkeypatch.setattr("lsbook.outputs.describe_records", lambda found: f"{len(found)} records.")
    widths = []
    shown, carried = formatter.format(Figure(lambda width: widths.append(width) or drawn, records))
    assert shown == {"image/svg+xml": "<svg/>", NARROW_SVG: "<svg/>", "text/plain": repr(drawn)}
    assert widths == [WIDE, NARROW]
    expected = {"lsbook": {"runs": sorted({run.key for run in runs}), "made_from": "3 records."}}
    assert carried == expected
    assert Table("t", "c", cell_frame(("a",), ()), records)._repr_mimebundle_()[1] == expected
    by_key = Table("t", "c", cell_frame(("a",), ()), [run.key for run in runs])._repr_mimebundle_()[1]
    assert by_key == {"lsbook": {"runs": expected["lsbook"]["runs"]}}
    assert Widget("x", "c", {}, records)._repr_mimebundle_()[1] == expected
    assert TABLE._repr_mimebundle_()[1] == {"lsbook": {"runs": []}}


def test_a_table_gives_its_cells_as_a_frame():
    """Two columns may have one name, and what is Markup stays so."""
    assert TABLE.frame.to_dict("list") == {
        "name": ["a < b", "c"],
        "value": ["1.5 ± 0.2", "—"],
        "verdict": ["yes", "no"],
    }
    twice = Table("t", "c", cell_frame(("", "student", "student"), [(Markup("**a**"), "1", "2")]))
    assert [type(cell) for cell in twice.frame.iloc[0]] == [Markup, str, str]
    assert twice.markdown().splitlines()[2:5] == [
        "|  | student | student |",
        "| --- | ---: | ---: |",
        "| **a** | 1 | 2 |",
    ]
    with pytest.raises(ValueError, match="2 columns"):
        cell_frame(("a", "b", "c"), [("1", "2")])


def test_an_empty_table_is_a_header():
    assert Table("t", "c", cell_frame(("a", "b"), ())).markdown().splitlines()[2:4] == ["| a | b |", "| ---: | ---: |"]


def test_figures_have_the_books_style_and_not_the_readers_and_colours_for_dark_pages(monkeypatch):
    formatter = DisplayFormatter()
    svg = formatter.formatters["image/svg+xml"]
    svg.for_type(matplotlib.figure.Figure, lambda _: '<svg><path style="fill: #000000"/></svg>')
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(display_formatter=formatter))
    monkeypatch.setattr(backend_inline, "set_matplotlib_formats", lambda *_, **__: None)
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30}):
        outputs.begin()
        found = matplotlib.rcParams["lines.linewidth"], matplotlib.rcParams["font.size"]
    assert found == (matplotlib.rcParamsDefault["lines.linewidth"], outputs.STYLE["font.size"])
    assert "prefers-color-scheme: dark" in svg(matplotlib.figure.Figure())


def test_clipping_paths_have_the_same_names_whatever_the_last_digits_of_a_layout():
    def drawn(left: float) -> str:
        figure = matplotlib.figure.Figure()
        for bottom in (0.1, 0.6):
            figure.add_axes((left, bottom, 0.5, 0.3)).plot([0, 1])
        written = io.StringIO()
        with matplotlib.rc_context({"svg.hashsalt": "lsbook"}):
            figure.savefig(written, format="svg", metadata={"Date": None})
        return written.getvalue()

    here, beside = drawn(0.1), drawn(np.nextafter(0.1, 1))
    assert here != beside
    named = outputs.named_by_shape(here)
    assert named == outputs.named_by_shape(beside)
    defined = re.findall(r'<clipPath id="(\w+)"', named)
    assert len(set(defined)) == len(defined) == 2
    assert set(re.findall(r"url\(#(p\w+)\)", named)) == set(defined)
