"""Parallel texts, on small files in each of the layouts that are read."""

import dataclasses
import errno
import gzip
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lsbook.core.errors import UserError
from lsbook.core.registry import CORPORA, SPLITS
from lsbook.data import sources, texts

ENGLISH = ("A dog runs.", "Two men are sitting.", "A street.")
GERMAN = ("Ein Hund rennt.", "Zwei Männer sitzen.", "Eine Straße.")


def write_lines(path, sentences, end="\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = (end.join(sentences) + end).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def mine(data_folder):
    """A text of one's own, which the catalogue does not have."""
    write_lines(data_folder / "mine" / "train.en", ENGLISH)
    write_lines(data_folder / "mine" / "train.de", GERMAN)
    return data_folder / "mine"


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_file_a_language_comes_back_as_it_was_written(data_folder, register, ending):
    register("multi30k", pairs=(3, 2, 1))
    for part, n in zip(("train", "val", "test_2016_flickr"), (3, 2, 1), strict=True):
        write_lines(data_folder / "multi30k" / f"{part}.en{ending}", ENGLISH[:n])
        write_lines(data_folder / "multi30k" / f"{part}.de{ending}", GERMAN[:n], end="\r\n")
    splits = [texts.load("multi30k", split) for split in SPLITS]
    assert [len(pairs) for pairs in splits] == [3, 2, 1]
    assert (splits[0].source, splits[0].target) == (ENGLISH, GERMAN)
    assert splits[0].languages == ("en", "de")
    assert splits[0].variant == "own files"
    assert splits[0].first(2).target == GERMAN[:2]
    assert splits[0].first(2).fingerprint == splits[0].fingerprint
    with pytest.raises(UserError, match="4 sentence pairs asked for, but there are 3"):
        splits[0].first(4)


def test_a_text_of_ones_own_needs_no_entry_and_with_one_any_languages(mine, monkeypatch):
    assert texts.load("mine", "train").source == ENGLISH
    monkeypatch.setitem(CORPORA, "mine", dataclasses.replace(CORPORA["wmt14-en-de"], languages=("de", "en")))
    assert texts.load("mine", "train").source == GERMAN


def test_the_last_line_may_lack_its_end(mine):
    (mine / "train.de").write_bytes("\n".join(GERMAN).encode())
    assert texts.load("mine", "train").target == GERMAN


STRUCTS = pa.struct([("de", pa.string()), ("en", pa.string())])
MAPS = pa.map_(pa.string(), pa.string())


def write_parquet(path, kind, rows, column="translation") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = [{"en": en, "de": de} for en, de in rows]
    array = pa.array([list(v.items()) for v in values] if kind == MAPS else values, kind)
    pq.write_table(pa.table({column: array}), path)


@pytest.mark.parametrize("kind", [STRUCTS, MAPS], ids=["structs", "maps"])
def test_the_hubs_parquet_is_read_file_after_file(data_folder, register, kind):
    register("wmt14-en-de", pairs=(None, 1, 3))
    rows = list(zip(ENGLISH, GERMAN, strict=True))
    folder = data_folder / "wmt14-en-de" / "de-en"
    write_parquet(folder / "train-00000-of-00002.parquet", kind, rows[:2])
    write_parquet(folder / "train-00001-of-00002.parquet", kind, rows[2:])
    write_parquet(folder / "validation-00000-of-00001.parquet", kind, rows[:1])
    train = texts.load("wmt14-en-de", "train")
    assert (train.source, train.target) == (ENGLISH, GERMAN)
    assert len(texts.load("wmt14-en-de", "heldout")) == 1


def test_the_fingerprint_is_of_the_sentences_not_of_their_layout(mine, data_folder):
    before = texts.load("mine", "train").fingerprint
    content = "".join(f"{en}\0{de}\0" for en, de in zip(ENGLISH, GERMAN, strict=True))
    assert before == hashlib.sha256(content.encode()).hexdigest()
    write_parquet(mine / "train.parquet", STRUCTS, zip(ENGLISH, GERMAN, strict=True))
    assert texts.load("mine", "train").variant == "Parquet copy"
    assert texts.load("mine", "train").fingerprint == before
    write_parquet(mine / "train.parquet", STRUCTS, zip(GERMAN, ENGLISH, strict=True))
    assert texts.load("mine", "train").fingerprint != before


def refused(name="mine", split="train") -> str:
    with pytest.raises(UserError) as caught:
        texts.load(name, split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("longer", "shorter"), [("en", "de"), ("de", "en")])
def test_files_of_different_length_name_the_first_line_without_a_partner(mine, longer, shorter):
    write_lines(mine / f"train.{shorter}", GERMAN[:2])
    write_lines(mine / f"train.{longer}", GERMAN + GERMAN)
    assert refused() == f"{mine}/train.{longer} line 3 has no partner: {mine}/train.{shorter} has only 2 lines"


def test_an_empty_line_is_named(mine):
    write_lines(mine / "train.de", (GERMAN[0], " \t", GERMAN[2]))
    assert refused() == f"{mine}/train.de line 2 is empty; remove it and its partner"


def test_pairs_of_a_text_from_the_web_that_lack_a_side_are_left_out_of_training_alone(data_folder, register):
    register("wmt14-en-de", pairs=(None, 4, 4))
    english, german = ("One.", "", "Three.", "Four."), ("Eins.", "Zwei.", " ", "Vier.")
    kept = ("One.", "Four."), ("Eins.", "Vier.")
    folder = data_folder / "wmt14-en-de"
    for part in ("train", "test"):
        write_lines(folder / f"{part}.en", english)
        write_lines(folder / f"{part}.de", german)
    train = texts.load("wmt14-en-de", "train")
    assert (train.source, train.target) == kept
    assert refused("wmt14-en-de", "test") == f"{folder}/test.en line 2 is empty; remove it and its partner"
    for part in ("train", "test"):
        write_parquet(folder / f"{part}.parquet", STRUCTS, zip(english, german, strict=True))
    train = texts.load("wmt14-en-de", "train")
    assert (train.source, train.target, train.variant) == (*kept, "Parquet copy")
    assert refused("wmt14-en-de", "test") == f'{folder}/test.parquet row 1 has no sentence in "en"; remove the row'


def test_a_folder_that_may_not_be_read_is_named(mine, monkeypatch):
    """Whoever runs the tests may read everything, if it is root."""

    def is_file(path, original=Path.is_file):
        if mine in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    assert refused() == f"{mine} cannot be read: Permission denied; mend that, or set LSBOOK_DATA"


def test_a_file_of_nothing_is_named(mine):
    for language in ("en", "de"):
        (mine / f"train.{language}").write_bytes(b"")
    assert refused() == f"{mine}/train.en has no sentences"


def test_a_byte_order_mark_is_no_part_of_the_first_sentence(mine):
    path = mine / "train.de"
    path.write_bytes("\ufeff".encode() + path.read_bytes())
    assert texts.load("mine", "train").target == GERMAN


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_what_is_not_utf8_is_named_by_its_byte(mine, ending):
    content = "Größe\nStraße\n".encode() + "Männer".encode("latin-1") + b"\n"
    (mine / "train.de").unlink()
    (mine / f"train.de{ending}").write_bytes(gzip.compress(content) if ending else content)
    assert content[17:18] == b"\xe4"  # 8 + 8 bytes, then "M"
    assert refused() == f"{mine}/train.de{ending} line 3 is not UTF-8, at byte 17 of the text"


@pytest.mark.parametrize(("there", "missing"), [("en", "de"), ("de", "en")])
def test_a_missing_language_is_named(mine, there, missing):
    (mine / f"train.{missing}").unlink()
    assert f"{mine}/train.{there} has no partner: {mine}/train.{missing} or train.{missing}.gz is missing" in refused()


@pytest.mark.parametrize(
    ("rows", "column", "message"),
    [
        ([(ENGLISH[0], GERMAN[0]), (ENGLISH[1], None)], "translation", 'row 1 has no sentence in "de"; remove the row'),
        ([("", GERMAN[0])], "translation", 'row 0 has no sentence in "en"; remove the row'),
        ([(ENGLISH[0], GERMAN[0])], "text", "has columns text, but no translation"),
        ([], "translation", "has no sentences"),
    ],
)
def test_parquet_that_does_not_fit_is_refused(data_folder, rows, column, message):
    write_parquet(data_folder / "mine" / "train.parquet", STRUCTS, rows, column)
    assert refused() == f"{data_folder}/mine/train.parquet {message}"


def test_a_column_without_the_language_is_refused(data_folder):
    column = pa.array([{"en": ENGLISH[0], "cs": "Pes."}])
    (data_folder / "mine").mkdir()
    pq.write_table(pa.table({"translation": column}), data_folder / "mine" / "train.parquet")
    assert 'row 0 has no sentence in "de"' in refused()


@pytest.mark.parametrize("column", [["a sentence"], [{"en": 1, "de": GERMAN[0]}], [3]])
def test_translations_that_are_no_texts_by_language_are_refused(data_folder, column):
    (data_folder / "mine").mkdir()
    pq.write_table(pa.table({"translation": column}), data_folder / "mine" / "train.parquet")
    assert "a translation must be texts by language, not" in refused()


def test_a_damaged_file_is_one_line_with_both_checksums(data_folder, register):
    register("multi30k", pairs=(300, 2, 1))
    folder = data_folder / "multi30k"
    for language in ("en", "de"):
        write_lines(folder / f"train.{language}.gz", ENGLISH * 100)
    path = folder / "train.de.gz"
    for damage in (path.read_bytes()[:-20], path.read_bytes()[:20] + b"\xff" + path.read_bytes()[21:], b"no gzip"):
        path.write_bytes(damage)
        expected = dict(a[1:] for a in CORPORA["multi30k"].archives)[f"{CORPUS_ADDRESS}train.de.gz"]
        assert f"{path} is damaged (SHA-256 {sources.sha256(path)}, expected {expected})" in refused("multi30k")


CORPUS_ADDRESS = CORPORA["multi30k"].archives[0][1].removesuffix("train.en.gz")


def test_damaged_parquet_is_one_line(data_folder):
    path = data_folder / "mine" / "train.parquet"
    write_parquet(path, STRUCTS, zip(ENGLISH, GERMAN, strict=True))
    path.write_bytes(path.read_bytes()[:-30])
    assert f"{path} is damaged (SHA-256 {sources.sha256(path)})" in refused()


def test_missing_files_say_what_to_do(data_folder):
    message = refused("wmt14-en-de", "heldout")
    assert message.startswith(
        f"wmt14-en-de not found under {data_folder}: put validation.parquet or validation.en[.gz]"
    )
    assert "LSBOOK_DATA" in message
    assert "profile smoke" in message


@pytest.mark.parametrize(("name", "split"), [("nothing", "train"), ("grammar", "val")])
def test_unknown_names_list_the_allowed_ones(data_folder, name, split):
    with pytest.raises(UserError, match="choose from .*(grammar|heldout)"):
        texts.load(name, split)


def offer(monkeypatch, address: str, checksums: dict[str, str]) -> None:
    """Let Multi30k be downloaded from there."""
    archives = tuple(("multi30k", f"{address}/{name}", checksum) for name, checksum in checksums.items())
    corpus = dataclasses.replace(CORPORA["multi30k"], pairs=(3, 2, 1), archives=archives)
    monkeypatch.setitem(CORPORA, "multi30k", corpus)


def test_no_data_and_no_network_is_one_line(data_folder, monkeypatch):
    offer(monkeypatch, "http://127.0.0.1:9", {"train.en.gz": "0" * 64})
    message = refused("multi30k")
    for part in (
        "multi30k not found, or damaged, under",
        "lsbook data multi30k",
        "1.3 MB",
        "LSBOOK_DATA",
        "profile smoke",
    ):
        assert part in message
    assert [path for path in data_folder.rglob("*") if path.is_file()] == []


def test_a_download_is_checked_and_read(data_folder, tmp_path, served, monkeypatch):
    for language, sentences in {"en": ENGLISH, "de": GERMAN}.items():
        write_lines(tmp_path / f"train.{language}.gz", sentences)
    checksums = {name: sources.sha256(tmp_path / name) for name in ("train.en.gz", "train.de.gz")}
    offer(monkeypatch, served, {"train.en.gz": "0" * 64})
    assert f"SHA-256 is {checksums['train.en.gz']}, expected {'0' * 64}" in refused("multi30k")
    assert not (data_folder / "multi30k" / "train.en.gz").exists()
    offer(monkeypatch, served, checksums)
    pairs = texts.load("multi30k", "train")
    assert (pairs.source, pairs.target, pairs.variant) == (ENGLISH, GERMAN, "original files")
    write_lines(data_folder / "multi30k" / "train.de.gz", GERMAN[::-1])
    assert texts.load("multi30k", "train").variant == "own files"


def test_who_comes_while_another_downloads_waits(data_folder, tmp_path, monkeypatch):
    """One language is there and the other is not, when a second process looks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    offer(monkeypatch, "http://127.0.0.1:9", {})
    monkeypatch.setitem(CORPORA, "multi30k", dataclasses.replace(CORPORA["multi30k"], archives=(("", "x", "y"),)))
    half, may_go_on = threading.Event(), threading.Event()

    def download(root, name, corpus):
        (root / name).mkdir()
        write_lines(root / name / "train.en.gz", ENGLISH)
        half.set()
        may_go_on.wait()
        write_lines(root / name / "train.de.gz", GERMAN)

    monkeypatch.setattr(sources, "download", download)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(texts.load, "multi30k", "train")
        half.wait()
        second = pool.submit(texts.load, "multi30k", "train")
        wait([second], timeout=0.2)  # a bit longer than it takes to find the one file
        may_go_on.set()
        assert first.result().target == second.result().target == GERMAN


def test_a_text_is_read_no_further_than_asked_for(mine):
    """The empty third line is not reached."""
    write_lines(mine / "train.de", (*GERMAN[:2], "", *GERMAN * 50_000))
    write_lines(mine / "train.en", ENGLISH * 50_001)
    stream = texts.locate("mine", "train").pairs()
    assert [next(stream) for _ in range(2)] == list(zip(ENGLISH[:2], GERMAN[:2], strict=True))
    with pytest.raises(UserError, match="line 3 is empty"):
        next(stream)


def test_the_grammar_is_embedded(data_folder):
    splits = [texts.load("grammar", split) for split in SPLITS]
    assert [len(pairs) for pairs in splits] == [3_000, 500, 500]
    assert {pairs.variant for pairs in splits} == {"embedded"}
    assert len({pairs.fingerprint for pairs in splits}) == 3


@pytest.mark.real_data("multi30k")
def test_the_real_files():
    for split, size in zip(SPLITS, (29_000, 1_014, 1_000), strict=True):
        pairs = texts.load("multi30k", split)
        assert (len(pairs), pairs.variant) == (size, "original files")
        assert sum("ü" in sentence for sentence in pairs.target) > 0.2 * size
        assert sum("ü" in sentence for sentence in pairs.source) < 0.01 * size
