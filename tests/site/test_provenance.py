"""Runs followed from the statement that read them to the cells made from its values."""

import nbformat

from lsbook.site import provenance

CELLS = ["profile = 'auto'", "import numpy\narms = load(profile)\nother = load(3)", "a, b = measure(arms)", "plot(a)"]
READS = [(2, 2, "aaa"), (2, 2, "bbb"), (2, 3, "ccc"), (7, 1, "ddd")]


def behind(*sources: str) -> list[set[str]]:
    cells = [nbformat.v4.new_markdown_cell("text")]
    cells += [nbformat.v4.new_code_cell(text, execution_count=n) for n, text in enumerate(sources, start=1)]
    return list(provenance.runs_behind(cells, READS).values())


def test_runs_are_followed_through_the_values():
    assert behind(*CELLS) == [set(), {"aaa", "bbb", "ccc"}, {"aaa", "bbb"}, {"aaa", "bbb"}]


def test_a_cell_that_reads_a_run_itself_has_it_and_one_that_uses_none_has_none():
    found = behind(*CELLS, "1", "plot(numpy)", "plot(Store().get(other))")
    assert found[5:] == [set(), {"ccc", "ddd"}]


def test_a_name_given_anew_forgets():
    assert behind(*CELLS[:3], "a = 1", "%config x = 1\nplot(a)", "b += 1")[3:] == [set(), set(), {"aaa", "bbb"}]


def test_the_text_names_and_links_what_it_was_made_from():
    text = provenance.details("Chapter x, cell 3", {"classes": "<a>"}, "0123abc", {"bbb", "aaa"}, "status.html")
    assert '(2): <a href="status.html#run-aaa">aaa</a>, <a href="status.html#run-bbb">bbb</a>' in text
    assert "classes = &#x27;&lt;a&gt;&#x27;" in text
    assert "commit 0123abc" in text
    assert "Recorded runs read for it: none" in provenance.details("x", {}, "c", (), None)
    assert "<b>" not in provenance.details("<b>", {"<b>": "<b>"}, "<b>", ["<b>"], "status.html")
    assert "(1): aaa<" in provenance.details("x", {}, "c", ["aaa"], None)
