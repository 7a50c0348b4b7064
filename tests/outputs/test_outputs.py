"""Tables and texts as the book, a notebook and a terminal show them."""

import json
import math
import re

import matplotlib
import pytest
from matplotlib_inline import backend_inline

from lsbook import outputs
from lsbook.outputs import Part, Table, Text, interval_picture

TABLE = Table("table-x", "A caption.", ("name", "value", "verdict"), (("a < b", "1.5 ± 0.2", "yes"), ("c", "—", "no")))


def test_the_book_gets_a_numbered_table():
    assert TABLE.markdown().splitlines() == [
        "```{table} A caption.",
        ":name: table-x",
        "| name | value | verdict |",
        "| --- | ---: | --- |",
        "| a < b | 1.5 ± 0.2 | yes |",
        "| c | — | no |",
        "```",
    ]


def test_a_notebook_gets_html_with_its_text_escaped():
    assert "<caption>A caption.</caption>" in TABLE.html()
    assert "<td>a &lt; b</td>" in TABLE.html()


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--<script>", "a < b & c"])
def test_data_in_a_page_end_no_script_and_begin_no_comment(text):
    """In a script, `<!--` followed by `<script` swallows the page, which `<\\/` alone does not prevent."""
    outputs = Part("name", "A caption.", {text: [text]}).html()
    [content] = re.findall('json">(.*)</script></figure>$', outputs)
    assert "<" not in content
    assert json.loads(content) == {text: [text]}


def test_a_picture_is_drawn_in_a_notebook_and_in_the_book():
    picture = interval_picture(1, 2, 3, threshold=0)
    table = Table("t", "c", ("claim", "picture"), (("C1", picture),))
    assert f"<td>{picture}</td>" in table.html()
    assert f"| C1 | {picture} |" in table.markdown()


@pytest.mark.parametrize(
    ("interval", "threshold", "words"),
    [((1, 2, 3), 0, "right of"), ((1, 2, 3), 4, "left of"), ((1, 2, 3), 1.5, "across"), ((1, 1, 1), 1, "across")],
)
def test_a_picture_keeps_the_order_of_its_numbers(interval, threshold, words):
    picture = interval_picture(*interval, threshold)
    assert f'aria-label="interval {words} the threshold"' in picture
    low, high, mean, tick = (
        float(re.search(f'{name}="([0-9.]+)"', part)[1])
        for name, part in zip(("x1", "x2", "cx", "x1"), (picture.split("<line")[2],) * 2 + (picture,) * 2, strict=True)
    )
    drawn, given = (low, mean, high, tick), (*interval, threshold)
    assert [a < b for a in drawn for b in drawn] == [a < b for a in given for b in given]
    assert all(0 < place < 96 for place in drawn)


def test_a_picture_of_no_interval_is_refused():
    with pytest.raises(ValueError, match="interval: .*nan"):
        interval_picture(math.nan, math.nan, math.nan, 0)


def test_every_form_is_offered():
    assert set(TABLE._repr_mimebundle_()) == {"text/markdown", "text/html", "text/plain"}
    assert Text("*x*")._repr_mimebundle_() == {"text/markdown": "*x*", "text/plain": "*x*"}


def test_an_empty_table_is_a_header():
    assert Table("t", "c", ("a", "b"), ()).markdown().splitlines()[2:4] == ["| a | b |", "| ---: | ---: |"]


def test_figures_have_the_books_style_and_not_the_readers(monkeypatch):
    monkeypatch.setattr(backend_inline, "set_matplotlib_formats", lambda *_, **__: None)
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30}):
        outputs.begin()
        found = matplotlib.rcParams["lines.linewidth"], matplotlib.rcParams["font.size"]
    assert found == (matplotlib.rcParamsDefault["lines.linewidth"], outputs.STYLE["font.size"])
