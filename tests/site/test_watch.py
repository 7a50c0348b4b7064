"""Which recorded runs a chapter is heard to read. Events are given by hand; test_build.py hears a real kernel."""

import sys

import pytest

from lsbook.core.store import Store
from lsbook.recipes import profiles
from lsbook.runner import obtain
from lsbook.site.watch import Notes


@pytest.fixture
def notes(tmp_path):
    return Notes(tmp_path / "results")


def heard(notes: Notes, execution: int, *events: tuple) -> list[tuple[int, str]]:
    """(number of execution, key) of what a cell with these events has read, and the cells before it."""
    for event, *arguments in events:
        notes.hear(event, tuple(arguments))
    notes.end_cell(execution)
    return [(number, key) for number, _, key in notes.reads]


def test_reads_of_records_get_their_cell_and_nothing_else_is_noted(notes, tmp_path):
    record = notes.results / "mnist-mlp" / "0123" / "record.json"
    others = record.with_name("arrays.npz"), tmp_path / "elsewhere" / "0123" / "record.json"
    assert heard(notes, 1, *(("open", str(path), "r", 0) for path in others), ("open", 3, "r", 0)) == []
    assert heard(notes, 2, ("os.listdir", str(record))) == []
    assert heard(notes, 3, ("open", str(record), "r", 0), ("open", record, "r", 0)) == [(3, "0123")]
    assert heard(notes, 4) == [(3, "0123")]


def test_what_is_read_aside_is_not_heard(notes):
    """As the records by which the time of a training is foretold."""
    read = "open", str(notes.results / "mnist-mlp" / "0123" / "record.json"), "r", 0
    assert heard(notes, 1, ("lsbook.aside", True), read, ("lsbook.aside", False)) == []
    assert heard(notes, 2, read) == [(2, "0123")]


def test_the_time_of_a_training_is_foretold_aside(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(sys, "audit", lambda *event: events.append(event))
    obtain._estimate([profiles.run("smoke", "digits", "alexnet-16", 0.1, 0)], Store(tmp_path))
    own = [event for event in events if event[0].startswith("lsbook.")]  # pathlib tells of some, too
    assert own == [("lsbook.aside", True), ("lsbook.aside", False)]
