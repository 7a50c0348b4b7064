"""The store: a record appears whole or not at all, and damage is noticed."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lsbook.errors import UserError
from lsbook.run import Recipe, Run
from lsbook.store import CHECKSUMS, FILES, Store

CONTENT = {
    "metrics": {"test_accuracy": 0.5},
    "history": {"step": [1, 2], "loss": [2.0, 1.0]},
    "environment": {"device": "a test"},
    "arrays": {"templates": np.arange(6, dtype=np.float32).reshape(2, 3), "labels": np.array([0, 1])},
}


def run(seed: int = 0) -> Run:
    return Run(dataset="digits", model="mlp", alpha=0.1, seed=seed, recipe=Recipe(steps=1, batch=1), examples=1)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "results")


def test_what_is_put_comes_back(store):
    store.put(run(), **CONTENT)
    record = store.get(run())
    assert record.run == run()
    assert record.metrics == CONTENT["metrics"]
    assert record.history == CONTENT["history"]
    assert record.environment == CONTENT["environment"]
    assert record.folder == store.path / "digits-mlp" / run().key
    for name, array in CONTENT["arrays"].items():
        np.testing.assert_array_equal(record.arrays[name], array)
    assert run() in store
    assert [r.run for r in store] == [run()]


def test_what_was_never_put_is_none(store):
    assert store.get(run()) is None
    assert run() not in store
    assert len(store) == 0
    assert store.verify() == []


def test_a_record_made_elsewhere_is_adopted_once_and_whole(store, tmp_path):
    there = Store(tmp_path / "elsewhere")
    record = there.put(run(), **CONTENT)
    with pytest.raises(UserError, match="arrays.npz does not match its checksum"):
        store.adopt(run(), record.files() | {"arrays.npz": b"cut off"})
    with pytest.raises(UserError, match=f"it holds the run {run().folder}"):
        store.adopt(run(1), record.files())
    assert len(store) == 0
    adopted = store.adopt(run(), record.files())
    assert adopted.files() == record.files()
    other = there.put(run(2), **CONTENT).files()
    assert store.adopt(run(), other).files() == record.files()
    assert store.verify() == []
    assert {path.name for path in store.path.iterdir()} == {".lock", "digits-mlp"}


def test_a_record_with_more_serves_whoever_asks_for_less(store):
    """A probe is no part of a run's name, but whoever needs what it measures is served by records that have it."""
    probed = dataclasses.replace(run(), probe="logit-differences")
    store.put(run(), **CONTENT)
    assert run() in store
    assert probed not in store
    assert store.get(probed) is None
    store.put(probed, **CONTENT | {"metrics": {"test_accuracy": 0.6}})
    assert store.get(run()).run == store.get(probed).run == probed
    store.put(run(), **CONTENT)  # with less: the one with more stays
    assert store.get(run()).metrics == {"test_accuracy": 0.6}
    assert len(store) == 1


def test_records_keep_the_names_that_they_had_while_a_probe_was_part_of_them(store):
    named = dataclasses.replace(run(), recipe=Recipe(steps=1, batch=1, probe="logit-differences"))
    store.put(named, **CONTENT)
    for asked in (run(), dataclasses.replace(run(), probe="logit-differences"), named):
        assert asked in store
        assert store.get(asked).run == named


def test_checksums_satisfy_sha256sum(store):
    folder = store.put(run(), **CONTENT).folder
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


@pytest.mark.parametrize("name", ["record.json", "arrays.npz", "SHA256SUMS"])
def test_one_flipped_byte_is_noticed(store, name):
    store.put(run(1), **CONTENT)
    path = store.put(run(0), **CONTENT).folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=run(0).key):
        store.get(run(0))
    [problem] = store.verify()
    assert run(0).key in problem
    assert store.get(run(1)).metrics == CONTENT["metrics"]


def test_a_missing_file_and_a_wrong_folder_are_noticed(store):
    first, second = (store.put(run(seed), **CONTENT).folder for seed in (0, 1))
    (first / "arrays.npz").unlink()
    second.rename(second.with_name("0" * 12))
    assert len(store.verify()) == 2
    with pytest.raises(UserError, match="not readable"):
        store.get(run(0))


@pytest.mark.parametrize("name", ["metrics", "history", "environment"])
def test_a_record_that_lacks_a_part_is_noticed(store, name):
    folder = store.put(run(0), **CONTENT).folder
    text = json.loads((folder / "record.json").read_text())
    text.pop(name)
    (folder / "record.json").write_text(json.dumps(text))
    sums = (hashlib.sha256((folder / file).read_bytes()).hexdigest() + f"  {file}\n" for file in FILES)
    (folder / CHECKSUMS).write_text("".join(sums))
    assert name in store.verify()[0]


def test_what_a_writer_is_filling_is_not_looked_into(store, monkeypatch):
    """It may be gone by then."""
    record = store.put(run(), **CONTENT)
    (store.path / ".writing-1").mkdir()
    looked_into = []
    look = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked_into.append(Path(path).name) or look(path))
    assert (store.verify(), len(store)) == ([], 1)
    assert record.folder.parent.name in looked_into
    assert ".writing-1" not in looked_into


def test_putting_again_keeps_a_whole_record_and_replaces_a_damaged_one(store):
    folder = store.put(run(), **CONTENT).folder
    before = (folder / "record.json").read_bytes()
    other = CONTENT | {"metrics": {"test_accuracy": 0.9}}
    assert store.put(run(), **other).metrics == CONTENT["metrics"]
    assert (folder / "record.json").read_bytes() == before
    (folder / "record.json").write_text("{}")
    assert store.put(run(), **other).metrics == other["metrics"]
    assert store.verify() == []


def test_a_number_that_is_not_finite_is_not_recorded(store):
    with pytest.raises(ValueError, match="JSON"):
        store.put(run(), **CONTENT | {"metrics": {"loss": float("nan")}})
    assert list(store.path.glob("*/*")) == []
    assert [p.name for p in store.path.iterdir()] == [".lock"]


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "results").write_text("")
    store = Store(tmp_path / "results")
    for write in (store.check_writable, lambda: store.put(run(), **CONTENT)):
        with pytest.raises(UserError, match="results") as caught:
            write()
        assert "\n" not in str(caught.value)


def test_nothing_is_unpickled(store):
    folder = store.put(run(), **CONTENT | {"arrays": {}}).folder
    np.savez(folder / "arrays.npz", evil=np.array([{"an": "object"}], dtype=object))
    sums = subprocess.run(["sha256sum", "arrays.npz", "record.json"], cwd=folder, capture_output=True, text=True)
    (folder / "SHA256SUMS").write_text(sums.stdout)
    with pytest.raises(ValueError, match="allow_pickle"):
        store.get(run()).arrays  # noqa: B018


def test_reading_needs_no_torch(store):
    store.put(run(), **CONTENT)
    script = (
        "import sys; sys.modules['torch'] = None; from lsbook.store import Store;"
        "print([r.metrics for r in Store(sys.argv[1])])"
    )
    command = [sys.executable, "-c", script, str(store.path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert answer.stdout.strip() == str([CONTENT["metrics"]])


def test_a_record_is_plain_json(store):
    text = json.loads((store.put(run(), **CONTENT).folder / "record.json").read_text())
    assert text["key"] == run().key
    assert text["metrics"] == CONTENT["metrics"]
