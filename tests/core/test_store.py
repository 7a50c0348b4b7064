"""The store: a record appears whole or not at all, and damage is noticed."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.store import Store


def run(seed: int = 0) -> Run:
    return Run(dataset="digits", model="mlp", alpha=0.1, seed=seed, recipe=Recipe(steps=1, batch=1), examples=1)


@pytest.fixture(scope="module")
def content(environment) -> dict:
    return {
        "metrics": {"test_accuracy": 0.5},
        "history": {"step": [1, 2], "loss": [2.0, 1.0]},
        "environment": environment,
        "arrays": {"templates": np.arange(6, dtype=np.float32).reshape(2, 3), "labels": np.array([0, 1])},
    }


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "results")


def test_what_is_put_comes_back(store, content):
    store.put(run(), **content)
    record = store.get(run())
    assert record.run == run()
    assert record.metrics == content["metrics"]
    assert record.history == content["history"]
    assert record.environment == content["environment"]
    assert record.folder == store.path / "digits-mlp" / run().key
    for name, array in content["arrays"].items():
        np.testing.assert_array_equal(record.arrays[name], array)
    assert run() in store
    assert [r.run for r in store] == [run()]


def test_what_was_never_put_is_none(store):
    assert store.get(run()) is None
    assert run() not in store
    assert len(store) == 0
    assert store.verify() == []


@pytest.mark.parametrize(("part", "kind"), [("metrics", "metric"), ("history", "history"), ("arrays", "array")])
def test_what_a_record_lacks_is_said_in_a_line_with_what_to_do(store, content, part, kind):
    """As older records may lack what is measured today. After what is advised the run is missing, and can be put."""
    lacking = {name: value for name, value in content[part].items() if name not in ("test_accuracy", "loss", "labels")}
    [name] = content[part].keys() - lacking.keys()
    record = store.put(run(), **content | {part: lacking})
    assert getattr(record, part).keys() == lacking.keys()
    with pytest.raises(UserError) as caught:
        getattr(record, part)[name]
    assert str(caught.value) == (
        f"recorded run {record.folder} has no {kind} {name}, which is needed here; "
        "move the folder away, and the run is trained and recorded again"
    )
    record.folder.rename(store.path.parent / "away")
    assert run() not in store
    np.testing.assert_array_equal(getattr(store.put(run(), **content), part)[name], content[part][name])


def test_a_record_made_elsewhere_is_adopted_once_and_whole(store, tmp_path, content):
    there = Store(tmp_path / "elsewhere")
    record = there.put(run(), **content)
    with pytest.raises(UserError, match="arrays.npz does not match its checksum"):
        store.adopt(run(), record.files() | {"arrays.npz": b"cut off"})
    with pytest.raises(UserError, match=f"it holds the run {run().folder}"):
        store.adopt(run(1), record.files())
    assert len(store) == 0
    adopted = store.adopt(run(), record.files())
    assert adopted.files() == record.files()
    other = Store(tmp_path / "third").put(run(), **content | {"metrics": {"test_accuracy": 0.9}}).files()
    assert store.adopt(run(), other).files() == record.files()
    assert store.verify() == []
    assert {path.name for path in store.path.iterdir()} == {".lock", "digits-mlp"}


def test_a_record_with_more_serves_whoever_asks_for_less(store, content):
    """A probe is no part of a run's name, but whoever needs what it measures is served by records that have it."""
    probed = dataclasses.replace(run(), probe="logit-differences")
    store.put(run(), **content)
    assert run() in store
    assert probed not in store
    assert store.get(probed) is None
    store.put(probed, **content | {"metrics": {"test_accuracy": 0.6}})
    assert store.get(run()).run == store.get(probed).run == probed
    store.put(run(), **content)  # with less: the one with more stays
    assert store.get(run()).metrics == {"test_accuracy": 0.6}
    assert len(store) == 1


def test_records_keep_the_names_that_they_had_while_a_probe_was_part_of_them(store, content):
    named = dataclasses.replace(run(), recipe=Recipe(steps=1, batch=1, probe="logit-differences"))
    store.put(named, **content)
    for asked in (run(), dataclasses.replace(run(), probe="logit-differences"), named):
        assert asked in store
        assert store.get(asked).run == named


def test_checksums_satisfy_sha256sum(store, content):
    folder = store.put(run(), **content).folder
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


@pytest.mark.parametrize("name", ["record.json", "arrays.npz", "SHA256SUMS"])
def test_one_flipped_byte_is_noticed(store, name, content):
    store.put(run(1), **content)
    path = store.put(run(0), **content).folder / name
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=run(0).key):
        store.get(run(0))
    [problem] = store.verify()
    assert run(0).key in problem
    assert store.get(run(1)).metrics == content["metrics"]


def test_a_missing_file_and_a_wrong_folder_are_noticed(store, content):
    first, second = (store.put(run(seed), **content).folder for seed in (0, 1))
    (first / "arrays.npz").unlink()
    second.rename(second.with_name("0" * 12))
    assert len(store.verify()) == 2
    with pytest.raises(UserError, match="arrays.npz is missing"):
        store.get(run(0))


def flip_unseen(path: Path) -> None:
    """Change a byte of a file, and neither its size nor its time."""
    before = path.stat()
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_link(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name(".moved")))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip_unseen(folder / "record.json"),
        lambda folder: (folder / "arrays.npz").unlink(),
        lambda folder: (folder / "further").touch(),
        replace_by_link,
        lambda folder: replace_by_link(folder.parent),
    ],
)
def test_a_record_is_read_once_while_it_is_in_use_and_damage_is_noticed_all_the_same(store, content, damage):
    held = store.put(run(), **content)
    assert store.get(run()) is held
    assert [*store] == [held]
    damage(held.folder)
    with pytest.raises(UserError, match=run().key):
        store.get(run())


def test_what_a_writer_is_filling_is_not_looked_into(store, monkeypatch, content):
    """It may be gone by then."""
    record = store.put(run(), **content)
    (store.path / ".writing-1").mkdir()
    looked_into = []
    look = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked_into.append(Path(path).name) or look(path))
    assert (store.verify(), len(store)) == ([], 1)
    assert record.folder.parent.name in looked_into
    assert ".writing-1" not in looked_into


def test_putting_again_keeps_a_whole_record_and_replaces_a_damaged_one(store, content):
    folder = store.put(run(), **content).folder
    before = (folder / "record.json").read_bytes()
    other = content | {"metrics": {"test_accuracy": 0.9}}
    assert store.put(run(), **other).metrics == content["metrics"]
    assert (folder / "record.json").read_bytes() == before
    (folder / "record.json").write_text("{}")
    assert store.put(run(), **other).metrics == other["metrics"]
    assert store.verify() == []


def test_a_record_with_less_stays_until_the_new_one_is_in_its_place(store, content, monkeypatch):
    """Where the new one cannot come, and where its writer is killed between the two steps."""
    folder = store.put(run(), **content).folder
    probed = dataclasses.replace(run(), probe="logit-differences")
    rename = Path.rename

    def renamed(self: Path, target: Path) -> Path:
        if target == folder and "replaced" not in self.parts:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", renamed)
    with pytest.raises(UserError, match="No space left"):
        store.put(probed, **content)
    monkeypatch.undo()
    assert store.get(run()).metrics == content["metrics"]
    left = store.path / ".writing-left" / "replaced" / run().folder
    left.parent.mkdir(parents=True)
    folder.rename(left)
    store.check_writable()
    assert store.get(run()).metrics == content["metrics"]
    assert store.verify() == []
    assert not (store.path / ".writing-left").exists()


def test_a_number_that_is_not_finite_is_not_recorded(store, content):
    with pytest.raises(ValueError, match="JSON"):
        store.put(run(), **content | {"metrics": {"loss": float("nan")}})
    assert not store.path.exists()


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path, content):
    (tmp_path / "results").write_text("")
    store = Store(tmp_path / "results")
    for write in (store.check_writable, lambda: store.put(run(), **content)):
        with pytest.raises(UserError, match="results") as caught:
            write()
        assert "\n" not in str(caught.value)


def test_python_objects_are_refused_by_name_and_never_pickled(store, content):
    class Trap:
        def __reduce__(self):
            raise AssertionError("pickled")

    arrays = content["arrays"] | {"odd": np.array([Trap()], dtype=object)}
    with pytest.raises(UserError, match="cannot be recorded: the array odd holds Python objects"):
        store.put(run(), **content | {"arrays": arrays})
    assert run() not in store


def test_numbers_that_are_not_finite_are_refused(store, content):
    """As a reader of the record would."""
    arrays = content["arrays"] | {"odd": np.array([0.5, np.nan])}
    with pytest.raises(UserError, match="odd.npy has numbers that are not finite"):
        store.put(run(), **content | {"arrays": arrays})
    assert run() not in store


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_stays(store, content, tmp_path):
    store.path.mkdir()
    (tmp_path / "letter").write_text("dear reader")
    (store.path / ".lock").symlink_to(tmp_path / "letter")
    for write in (store.check_writable, lambda: store.put(run(), **content)):
        with pytest.raises(UserError, match="results"):
            write()
    assert (tmp_path / "letter").read_text() == "dear reader"
    assert len(store) == 0


def test_reading_needs_no_torch_and_nothing_that_windows_lacks(store, content):
    store.put(run(), **content)
    script = (
        "import sys; sys.modules |= dict.fromkeys(('torch', 'fcntl', 'resource'));"
        "import lsbook.cli; from lsbook.core.store import Store;"
        "print([r.metrics for r in Store(sys.argv[1])])"
    )
    command = [sys.executable, "-c", script, str(store.path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert answer.stdout.strip() == str([content["metrics"]])


def test_a_record_is_plain_json(store, content):
    text = json.loads((store.put(run(), **content).folder / "record.json").read_text())
    assert text["key"] == run().key
    assert text["metrics"] == content["metrics"]
