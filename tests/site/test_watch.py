"""What a chapter is heard to use. The audit events are given by hand; tests/test_book.py hears a real kernel."""

import hashlib
import json
import sys

import pytest

from lsbook.core.store import Store
from lsbook.recipes import profiles
from lsbook.runner import obtain
from lsbook.site import watch
from lsbook.site.watch import Notes, fingerprint


@pytest.fixture
def notes(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "results").mkdir()
    return Notes(tmp_path / "book", tmp_path / "results")


def test_a_fingerprint_is_of_the_content_or_of_the_visible_names(tmp_path):
    (tmp_path / "b").write_bytes(b"1")
    (tmp_path / "a").touch()
    (tmp_path / ".lock").touch()
    assert fingerprint(tmp_path / "b") == hashlib.sha256(b"1").hexdigest()
    assert fingerprint(tmp_path) == hashlib.sha256(b"a\nb").hexdigest()
    assert fingerprint(tmp_path / "c") is None


def test_what_was_looked_for_in_vain_is_noted_until_it_comes(notes):
    folder = notes.results / "mnist-mlp" / "0123"
    notes.hear("lsbook.look", (folder,))
    assert notes.records == {"mnist-mlp/0123": None}
    folder.mkdir(parents=True)
    notes.hear("lsbook.look", (folder,))
    assert notes.records == {"mnist-mlp/0123": fingerprint(folder)}


def test_a_file_counts_as_it_was_when_first_read(notes):
    path = notes.folder / "table.csv"
    path.write_text("before")
    before = fingerprint(path)
    notes.hear("open", (str(path), "r", 0))
    path.write_text("after")
    notes.hear("open", (str(path), "r", 0))
    assert notes.files == {str(path): before}
    assert not notes.writes


def test_what_is_read_aside_is_not_heard(notes):
    """As the records by which the time of a training is foretold."""
    record = notes.results / "mnist-mlp" / "0123" / "record.json"
    notes.hear("lsbook.aside", (True,))
    notes.hear("open", (str(record), "r", 0))
    notes.hear("os.scandir", (str(notes.results),))
    notes.hear("lsbook.aside", (False,))
    notes.end_cell(1)
    assert (notes.records, notes.reads) == ({}, [])
    notes.hear("open", (str(record), "r", 0))
    notes.end_cell(2)
    assert [(number, key) for number, _, key in notes.reads] == [(2, "0123")]


def test_a_training_reads_no_record_but_its_own(notes, monkeypatch):
    """Its time is judged by all that are there, its folder is looked through for leftovers."""
    events = []
    monkeypatch.setattr(sys, "audit", lambda *event: events.append(event))
    store = Store(notes.results)
    obtain._estimate([profiles.run("smoke", "digits", "alexnet-16", 0.1, 0)], store)
    store.check_writable()
    own = [event for event in events if event[0].startswith("lsbook.")]  # pathlib tells of some, too
    assert own == [("lsbook.aside", True), ("lsbook.aside", False)] * 2


def test_a_file_in_the_folder_above_is_noted(notes):
    path = notes.folder.parent / "requirements.txt"
    path.write_text("{}")
    notes.hear("open", (str(path), "r", 0))
    assert notes.files == {str(path): fingerprint(path)}
    assert not notes.writes


def test_a_chapter_that_writes_says_so(notes):
    notes.hear("open", (str(notes.folder / "made.bin"), "wb", 0))
    assert notes.writes


def test_reads_of_records_get_their_cell(notes, tmp_path):
    record = notes.results / "mnist-mlp" / "0123" / "record.json"
    for path in (record, record, record.with_name("arrays.npz"), notes.results / ".writing-x" / "record.json"):
        notes.hear("open", (str(path), "r", 0))
    notes.end_cell(3)
    assert [(number, key) for number, _, key in notes.reads] == [(3, "0123")]
    notes.write(tmp_path / "notes.json")
    assert json.loads((tmp_path / "notes.json").read_text())["reads"][0][0] == 3


def test_what_lies_elsewhere_is_not_noted(notes, tmp_path):
    for event in (
        ("open", str(tmp_path / "elsewhere" / "x"), "r"),
        ("os.listdir", str(notes.folder)),
        ("open", 3, "r"),
    ):
        notes.hear(event[0], event[1:])
    assert (notes.files, notes.records) == ({}, {})


def test_our_imported_modules_are_noted(notes):
    notes.end_cell(1)
    assert notes.files[watch.__file__] == fingerprint(watch.PACKAGE / "watch.py")
