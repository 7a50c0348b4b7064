"""Records made to do harm: each is one line for every reader, and nothing is read that it has no business with."""

import hashlib
import io
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsbook.core import schema
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError, one_line
from lsbook.core.store import Store

RUN = Run(dataset="digits", model="mlp", alpha=0.1, seed=0, recipe=Recipe(steps=1, batch=1), examples=1)
LABELS = np.array([0, 1], np.uint16)


@pytest.fixture
def store(tmp_path, environment) -> Store:
    """With one record, which a test spoils."""
    store = Store(tmp_path / "results")
    store.put(RUN, metrics={"a": 1.0}, history={"b": [1, 2]}, environment=environment, arrays={"labels": LABELS})
    return store


def folder(store: Store) -> Path:
    return store.path / RUN.folder


def seal(folder: Path) -> None:
    """As the files are now, the checksums hold."""
    lines = (f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in schema.RECORD_FILES)
    (folder / "SHA256SUMS").write_text("".join(lines))


def said(store: Store, match: str) -> None:
    """Every reader refuses the record with one printable line."""
    [problem] = store.verify()
    assert match in problem
    assert problem == one_line(problem)
    assert list(store.whole()) == []
    for read in (lambda: store.get(RUN), lambda: list(store)):
        with pytest.raises(UserError) as caught:
            read()
        assert match in str(caught.value)
        assert str(caught.value) == one_line(str(caught.value))


def link(path: Path, target: str | Path) -> None:
    path.unlink()
    path.symlink_to(target)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def moved(path: Path) -> None:
    """What was there lies outside of the store."""
    elsewhere = path.parents[-path.parts.index("results")] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda at: link(at / "arrays.npz", "/dev/zero"), "arrays.npz is no regular file"),
        (lambda at: link(at / "record.json", "/etc/passwd"), "record.json is no regular file"),
        (lambda at: pipe(at / "record.json"), "record.json is no regular file"),
        (lambda at: pipe(at / "SHA256SUMS"), "SHA256SUMS is no regular file"),
        (lambda at: (at / "page.html").touch(), "page.html is not a file of a record"),
        (lambda at: (at / "\x1b[2J").touch(), "[2J is not a file of a record"),
        (lambda at: (at / ".x").mkdir(), ".x is not a file of a record"),
        (lambda at: (at / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
        (lambda at: (at / "SHA256SUMS").write_bytes(b"\xff\n"), "not readable"),
        (lambda at: (at / "record.json").write_bytes(bytes(2**20 + 1)), "record.json has 1,048,577 bytes"),
        (lambda at: moved(at), "a link"),
        (lambda at: moved(at.parent), "a link"),
    ],
)
def test_a_record_is_three_regular_files(store, spoil, match):
    spoil(folder(store))
    said(store, match)


def test_a_link_that_leads_nowhere_is_said(store):
    (store.path / "digits-mlp" / "x").symlink_to("/nowhere")
    [problem] = store.verify()
    assert "a link" in problem


def nested(text: dict) -> bytes:
    return b'{"run": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"


def changed(*path: str, to: object) -> Callable[[dict], bytes]:
    """With another value at a place of the record's text."""

    def spoil(text: dict) -> bytes:
        *parents, last = path
        place = text
        for name in parents:
            place = place[name]
        place[last] = to
        return json.dumps(text).encode()

    return spoil


def rewritten(old: str, new: str) -> Callable[[dict], bytes]:
    return lambda text: json.dumps(text).replace(old, new).encode()


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (nested, "not readable"),
        (lambda text: b"\xff", "not readable"),
        (lambda text: b"[]", "dictionary"),
        (rewritten("1.0", "1" + "0" * 5000), "64 bits"),
        (rewritten("1.0", "1e999"), "not finite"),
        (rewritten("1.0", "NaN"), "not finite"),
        (rewritten('"a":', '"a": 2.0, "a":'), "a name is there twice"),
        (changed("key", to="0" * 12), f"its key is {RUN.key}"),
        (changed("more", to=1), "more: Extra inputs"),
        (changed("\x1b]0;", to=1), "]0;: Extra inputs"),
        (changed("run", "more", to=1), "unknown field of Run 'more'"),
        (changed("run", "dataset", to=["digits"]), "not readable"),
        (changed("run", "recipe", to=[]), "recipe must be an object"),
        (changed("run", "recipe", "steps", to=0.5), "steps must be a whole number"),
        (changed("run", "recipe", "milestones", to=["a\nb"]), "run: strings must be short printable lines"),
        (changed("run", "examples", to=-1), "examples must be at least 1"),
        (changed("run", to=[]), "run: Input should be a valid dictionary"),
        (changed("metrics", "a", to="1"), "metrics.a"),
        (changed("metrics", "a", to=True), "metrics.a"),
        (changed("metrics", "a", to=None), "metrics.a"),
        (changed("metrics", "<b>", to=1), "metrics.<b>"),
        (changed("history", "b", to=1), "history.b: Input should be a valid list"),
        (changed("history", "b", to=["1"]), "history.b.0"),
        (changed("environment", "more", to=1), "environment.more: Extra inputs"),
        (changed("environment", "device", to=""), "environment.device: String should have at least 1"),
        (changed("environment", "device", to="x" * 201), "environment.device: String should have at most 200"),
        (
            changed("environment", "device", to="a\x1b[2Jb"),
            "must be one printable line",
        ),
        (changed("environment", "device", to="a\nb"), "must be one printable line"),
        (changed("environment", "device", to="a\u202eb"), "must be one printable line"),
        (changed("environment", "device", to="\ud800"), "environment.device"),
        (changed("environment", "threads", to="1"), "environment.threads: Input should be a valid integer"),
        (changed("environment", "training_seconds", to=-1), "environment.training_seconds"),
        (changed("environment", "recorded", to="yesterday"), "environment.recorded: String should match"),
        (changed("environment", "data", to="x"), "environment.data"),
        (changed("environment", "data", "train_sha256", to="x"), "environment.data.train_sha256"),
        (changed("environment", "signatures", to={"\x07": "x"}), "environment.signatures"),
    ],
)
def test_a_record_says_what_is_declared_and_nothing_else(store, spoil, match):
    path = folder(store) / "record.json"
    path.write_bytes(spoil(json.loads(path.read_text())))
    seal(folder(store))
    said(store, match)


@pytest.mark.parametrize("name", ["key", "run", "metrics", "history", "environment"])
def test_a_record_that_lacks_a_part_is_noticed(store, name):
    path = folder(store) / "record.json"
    text = json.loads(path.read_text())
    text.pop(name)
    path.write_text(json.dumps(text))
    seal(folder(store))
    said(store, f"{name}: Field required")


@pytest.mark.parametrize(
    "name", ["device", "torch", "commit", "recorded", "data", "training_seconds", "images_per_second"]
)
def test_what_pages_quote_of_the_environment_is_there(store, environment, name):
    path = folder(store) / "record.json"
    text = json.loads(path.read_text())
    text["environment"].pop(name)
    path.write_text(json.dumps(text))
    seal(folder(store))
    said(store, f"environment.{name}: Field required")


def npy(array: np.ndarray, header: str | None = None) -> bytes:
    """An array's bytes, under another description if one is given."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    if header is None:
        return file.getvalue()
    text = header.encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + array.tobytes()


def described(descr: str, shape: str) -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def packed(*members: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def one(array: np.ndarray, *header: str) -> bytes:
    """An archive of one array."""
    return packed(("labels.npy", npy(array, *header)))


def lying() -> bytes:
    """An archive that gives a member the size of two numbers, of which it has a million."""
    array = npy(np.zeros(10**6, np.uint16), described("'<u2'", "(2,)"))
    archive = packed(("labels.npy", array))
    return archive.replace(len(array).to_bytes(4, "little"), len(npy(LABELS)).to_bytes(4, "little"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("archive", "match"),
    [
        (lambda: b"", "not readable"),
        (lambda: b"no archive", "not readable"),
        (lambda: one(np.zeros(40_000_000, np.uint16)), "unpacks to more than 67,108,864 bytes"),
        (lambda: packed(*((f"a{i}.npy", npy(LABELS)) for i in range(101))), "more than 100 arrays"),
        (lambda: packed(*[("a.npy", npy(LABELS))] * 2), "two of a name"),
        (lambda: packed(("../a.npy", npy(LABELS))), "../a.npy is no name of an array"),
        (lambda: packed(("\x1b.npy", npy(LABELS))), "is no name of an array"),
        (lambda: packed(("a.txt", b"text")), "a.txt is no name of an array"),
        (lambda: packed(("a.npy", npy(LABELS)), how=zipfile.ZIP_LZMA), "packed in an unknown way"),
        (lambda: packed(("a.npy", b"text")), "not readable"),
        (lambda: one(np.array([{}], dtype=object)), "labels.npy is of type object"),
        (lambda: one(np.zeros(2, "c8")), "labels.npy is of type complex64"),
        (lambda: one(np.zeros(2, "u1,u1")), "labels.npy is of type"),
        (lambda: one(np.array(["x" * 201])), "labels.npy is of type <U201"),
        (lambda: one(LABELS, described("'<U0'", f"({10**12},)")), "labels.npy is of type <U0"),
        (lambda: one(LABELS, described("'<u2'", f"({10**12},)")), "not of the size that it declares"),
        (lambda: one(LABELS, described("'<u2'", "(-1, -2)")), "labels.npy has the shape (-1, -2)"),
        (lambda: one(LABELS, described("'<u2'", "(1, 1, 1, 1, 1, 1, 2)")), "labels.npy has the shape"),
        (lying, "not readable (Bad CRC-32"),
        (lambda: one(LABELS, "(" * 900), "not readable"),
        (lambda: one(LABELS, described("'<u2'", "(2,)") + " " * 1000), "not readable"),
    ],
)
def test_nothing_is_unpacked_before_its_size_and_type_are_known(store, archive, match):
    (folder(store) / "arrays.npz").write_bytes(archive())
    seal(folder(store))
    tracemalloc.start()
    said(store, match)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6


@pytest.mark.parametrize(
    ("archive", "match"),
    [
        (lambda: one(np.array([0.5, np.nan])), "labels.npy has numbers that are not finite"),
        (lambda: one(np.array([np.inf], np.float16)), "labels.npy has numbers that are not finite"),
        (lambda: one(np.array(["a\nb"])), "labels.npy has strings that are not printable lines"),
        (lambda: one(np.full(2, 2**31 - 1, np.int32), described("'<U2'", "(1,)")), "not readable"),
    ],
)
def test_values_are_checked_when_they_are_read(store, archive, match):
    (folder(store) / "arrays.npz").write_bytes(archive())
    seal(folder(store))
    [problem] = store.verify()
    assert match in problem
    arrays = store.get(RUN).arrays
    with pytest.raises(UserError) as caught:
        arrays["labels"]
    assert match in str(caught.value)


def test_arrays_are_read_by_name(store, environment, monkeypatch):
    run = Run(dataset="digits", model="mlp", alpha=0.1, seed=1, recipe=Recipe(steps=1, batch=1), examples=1)
    arrays = {"labels": LABELS, "words": np.array(["ein", "zwölf"]), "empty": np.zeros((0, 3), np.float32)}
    record = store.put(run, metrics={}, history={}, environment=environment, arrays=arrays)
    read = []
    real = np.lib.format.read_array
    monkeypatch.setattr(np.lib.format, "read_array", lambda file, **how: read.append(file.name) or real(file, **how))
    assert set(record.arrays) == set(arrays)
    assert "labels" in record.arrays
    assert "more" not in record.arrays
    assert read == []
    for _ in range(2):
        np.testing.assert_array_equal(record.arrays["words"], arrays["words"])
    assert read == ["words.npy"]
    assert record.arrays["empty"].shape == (0, 3)
    with pytest.raises(UserError, match="has no array more, which is needed here"):
        record.arrays["more"]


def test_the_text_is_written_anew_from_what_was_checked(store):
    path = folder(store) / "record.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole)) + "    \n")
    seal(folder(store))
    assert store.get(RUN).text() == whole


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_whatever_a_field_holds_the_record_is_whole_or_one_line(store_of_fuzz, data):
    """Each field in turn, and any value that JSON can hold."""
    files, places = store_of_fuzz
    place = data.draw(st.sampled_from(places))
    text = json.loads(files["record.json"])
    parent = text
    for name in place[:-1]:
        parent = parent[name]
    if data.draw(st.booleans()):
        parent[place[-1]] = data.draw(JSON)
    else:
        del parent[place[-1]]
    files = files | {"record.json": json.dumps(text).encode()}
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in schema.RECORD_FILES)
    try:
        schema.content(files | {"SHA256SUMS": "".join(lines).encode()})
    except schema.Damaged as error:
        assert str(error) == one_line(str(error))
        assert len(str(error)) < 300


@pytest.fixture(scope="module")
def store_of_fuzz(tmp_path_factory, environment) -> tuple[dict[str, bytes], list[tuple[str, ...]]]:
    """A record's files, and the place of every field."""
    store = Store(tmp_path_factory.mktemp("results"))
    record = store.put(RUN, metrics={"a": 1.0}, history={"b": [1, 2]}, environment=environment, arrays={})

    def places(values, above=()):
        for name, value in values.items():
            yield (*above, name)
            if isinstance(value, dict):
                yield from places(value, (*above, name))

    return record.files(), list(places(json.loads(record.text())))
