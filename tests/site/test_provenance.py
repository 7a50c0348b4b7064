"""What is said under a figure or table of the runs that it was made from."""

import nbformat

from lsbook.site import provenance
from lsbook.site.provenance import MadeFrom


def test_the_runs_are_those_that_the_outputs_of_a_cell_carry():
    carried = [
        {"lsbook": {"runs": runs, "made_from": made}} for runs, made in ((["bbb", "aaa"], "x."), (["ccc"], "x."))
    ]
    carried.append({"lsbook": {"runs": []}})
    outputs = [nbformat.v4.new_output("display_data", metadata=metadata) for metadata in (*carried, {"needs": "x"})]
    outputs.append(nbformat.v4.new_output("stream", text="said"))
    cell = nbformat.v4.new_code_cell("", outputs=outputs)
    assert provenance.runs_behind(cell) == ({"aaa", "bbb", "ccc"}, ["x."])
    nothing = nbformat.v4.new_output("display_data", metadata={"lsbook": {"runs": []}})
    assert provenance.runs_behind(nbformat.v4.new_code_cell("", outputs=[nothing])) == (set(), [])


def test_of_what_carries_no_runs_nothing_is_said():
    frame = nbformat.v4.new_output("execute_result", {"text/html": "<table></table>"})
    assert provenance.runs_behind(nbformat.v4.new_code_cell("", outputs=[frame])) is None
    assert provenance.runs_behind(nbformat.v4.new_code_cell("")) is None


def test_the_text_names_and_links_what_it_was_made_from():
    text = provenance.details(
        "Chapter x, cell 3", {"classes": "<a>"}, "0123abc", MadeFrom({"bbb", "aaa"}, ["<b>."]), "status.html"
    )
    assert (
        'Made from 2 recorded runs: <a href="status.html#run-aaa">aaa</a>, <a href="status.html#run-bbb">bbb</a>'
        in text
    )
    assert "classes = &#x27;&lt;a&gt;&#x27;" in text
    assert "commit 0123abc" in text
    assert "<br>&lt;b&gt;.<br>" in text
    assert "Made from" not in provenance.details("x", {}, "c", MadeFrom(set(), []), None)
    assert "Made from 1 recorded run: aaa<" in provenance.details("x", {}, "c", MadeFrom({"aaa"}, []), None)
