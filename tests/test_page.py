"""Tables and texts as the book, a notebook and a terminal show them."""

from lsbook.page import Table, Text

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


def test_every_form_is_offered():
    assert set(TABLE._repr_mimebundle_()) == {"text/markdown", "text/html", "text/plain"}
    assert Text("*x*")._repr_mimebundle_() == {"text/markdown": "*x*", "text/plain": "*x*"}


def test_an_empty_table_is_a_header():
    assert Table("t", "c", ("a", "b"), ()).markdown().splitlines()[2:4] == ["| a | b |", "| ---: | ---: |"]


def test_rows_with_anchors_can_be_linked_to():
    table = Table("t", "c", ("run",), (("0123",),), anchors="run-")
    assert table.markdown().splitlines()[4] == '| <span id="run-0123"></span>0123 |'
