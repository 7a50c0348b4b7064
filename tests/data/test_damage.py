"""A thousand damaged variants of every kind of file that is read: what comes of each is a result or one line."""

import gzip
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError, one_line
from lsbook.core.registry import DATASETS
from lsbook.core.schema import RECORD_FILES
from lsbook.core.store import Store
from lsbook.data import embedded, images, sources, texts, vocabulary
from lsbook.training.engine import checkpoints
from lsbook.training.engine.environment import peak_memory

VARIANTS = 1_000
PEAK = 400  # megabytes that all of them together may add to the process
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
GREY = RNG.integers(0, 2, (4, 28, 28), dtype=np.uint8) * 255
EXTREMES = (b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4), b"\x80\0\0\0", b"\0\0\0\x80")
RUN = Run(dataset="digits", model="mlp", alpha=0.1, seed=0, recipe=Recipe(steps=100, batch=10), examples=10)


def variants(content: bytes) -> Iterator[bytes]:
    """The content with a few bytes changed, left out, put in, doubled or cut off."""
    for seed in range(VARIANTS):
        rng = random.Random(seed)
        changed = bytearray(content)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at, length = rng.randrange(len(changed)), rng.randrange(1, 20)
            match rng.randrange(7):
                case 0:
                    changed[at] ^= 1 << rng.randrange(8)
                case 1:
                    changed[at] = rng.randrange(256)
                case 2:
                    changed[at : at + 4] = rng.choice(EXTREMES)
                case 3:
                    del changed[at + 1 :]
                case 4:
                    del changed[at : at + length]
                case 5:
                    changed[at:at] = rng.randbytes(length)
                case 6:
                    changed[at:at] = changed[:length]
            changed = changed or bytearray(1)
        yield bytes(changed)


def check(content: bytes, read: Callable[[bytes], object]) -> tuple[int, int]:
    """How many variants give a result and how many a line; nothing else comes of any, nor much memory."""
    read(content)
    before, lines = peak_memory(), []
    for variant in variants(content):
        try:
            read(variant)
        except UserError as error:
            lines.append(str(error))
            assert lines[-1] == one_line(lines[-1])
            assert len(lines[-1]) < 600
    assert peak_memory() - before < PEAK * 10**6
    return VARIANTS - len(lines), len(lines)


def over(path: Path, content: bytes) -> None:
    """Put it in the place of a file; the old one, perhaps mapped to memory, stays as it is."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


def picture(pixels, kind: str = "PNG", **settings) -> bytes:
    buffer = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(buffer, kind, **settings)
    return buffer.getvalue()


def with_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    return exif


INDEXED = Image.fromarray(PIXELS).quantize(5)


@pytest.mark.parametrize(
    "content",
    [
        picture(PIXELS, exif=with_exif()),
        picture(PIXELS[..., 0].astype(np.uint16) * 257),
        picture(INDEXED, transparency=1),
        picture(PIXELS, "JPEG", exif=with_exif()),
        picture(PIXELS, "JPEG", progressive=True),
        picture(Image.new("CMYK", (8, 8)), "JPEG"),
        picture(INDEXED, "GIF"),
        picture(PIXELS, "BMP"),
        picture(PIXELS, "WEBP"),
    ],
    ids=["PNG", "PNG of 16 bits", "PNG with a palette", "JPEG", "progressive JPEG", "CMYK", "GIF", "BMP", "WebP"],
)
def test_pictures(content):
    def read(variant: bytes) -> None:
        with sources.open_image(lambda: variant, "a picture", (8, 8)) as image:
            assert np.asarray(image.convert("RGB")).shape == (8, 8, 3)

    assert min(check(content, read)) > 20


def parquet(table: pa.Table, **settings) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **settings)
    return buffer.getvalue()


def test_parquet_of_images(data_folder, register):
    register("mnist", examples=(4, 1), heldout=1)
    (data_folder / "mnist").mkdir()
    column = [{"bytes": picture(pixels), "path": f"{i}.png"} for i, pixels in enumerate(GREY)]
    table = pa.table({"image": column, "label": [0, 1, 2, 3]})
    table = table.replace_schema_metadata({"label_names": json.dumps([str(k) for k in range(10)])})

    def read(variant: bytes) -> None:
        over(data_folder / "mnist" / "train.parquet", variant)
        shutil.rmtree(data_folder / "mnist" / ".decoded", ignore_errors=True)
        assert images.load("mnist", "train").pixels.shape == (3, 1, 28, 28)

    assert min(check(parquet(table, compression="zstd"), read)) > 20


PAIRS = embedded.pairs("test")[:20]


@pytest.mark.parametrize(("kind", "compression"), [("structs", "gzip"), ("maps", "none")])
def test_parquet_of_sentences(data_folder, kind, compression):
    (data_folder / "mine").mkdir()
    rows = [{"en": english, "de": german} for english, german in PAIRS]
    text_of = pa.string()
    column = {
        "structs": pa.array(rows, pa.struct([("en", text_of), ("de", text_of)])),
        "maps": pa.array([list(row.items()) for row in rows], pa.map_(text_of, text_of)),
    }[kind]

    def read(variant: bytes) -> None:
        over(data_folder / "mine" / "train.parquet", variant)
        assert len(texts.load("mine", "train")) > 0

    content = parquet(pa.table({"translation": column}), row_group_size=8, compression=compression)
    assert min(check(content, read)) > 20


@pytest.mark.parametrize(("ending", "whole"), [("", 100), (".gz", 1)])  # a checksum ends what gzip packs
def test_texts(data_folder, ending, whole):
    (data_folder / "mine").mkdir()
    english, german = ("\n".join(side).encode() for side in zip(*PAIRS, strict=True))
    (data_folder / "mine" / "train.en").write_bytes(english)

    def read(variant: bytes) -> None:
        over(data_folder / "mine" / f"train.de{ending}", variant)
        assert len(texts.load("mine", "train")) == len(PAIRS)

    assert min(check(gzip.compress(german, mtime=0) if ending else german, read)) >= whole


def test_original_files_of_mnist(data_folder, register, monkeypatch):
    register("mnist", examples=(4, 4), heldout=1, archives=())
    folder = data_folder / "MNIST" / "raw"
    folder.mkdir(parents=True)
    pictures = struct.pack(">IIII", 0x803, 4, 28, 28) + GREY.tobytes()
    labels = struct.pack(">II", 0x801, 4) + bytes([0, 1, 2, 3])
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(pictures)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    kind = sources._torchvision_datasets("mnist").MNIST
    monkeypatch.setattr(kind, "download", lambda _: None)

    def read(name: str, variant: bytes) -> None:
        over(folder / name, variant)
        assert images.load("mnist", "train").pixels.shape == (3, 1, 28, 28)

    for name, content in {"train-images-idx3-ubyte": pictures, "train-labels-idx1-ubyte": labels}.items():
        assert min(check(content, lambda variant, name=name: read(name, variant))) > 10
        over(folder / name, content)


def test_decoded_images_that_are_kept(data_folder, register, monkeypatch):
    """A damaged copy is noticed: each variant gives the very images."""
    register("mnist", examples=(4, 1), heldout=1)
    pictures = [{"bytes": picture(pixels), "path": None} for pixels in GREY]
    (data_folder / "mnist").mkdir()
    pq.write_table(pa.table({"image": pictures, "label": [0, 1, 2, 3]}), data_folder / "mnist" / "train.parquet")
    whole = images.load("mnist", "train")
    [kept] = (data_folder / "mnist" / ".decoded").iterdir()
    anew = images.load("mnist", "train") + images.load("mnist", "heldout")
    monkeypatch.setattr(images, "_decode_parquet", lambda *_: anew)
    monkeypatch.setattr(sources, "write_atomically", lambda *_: None)

    def read(variant: bytes) -> None:
        over(kept, variant)
        found = images.load("mnist", "train")
        assert (found.fingerprint, found.variant) == (whole.fingerprint, whole.variant)
        np.testing.assert_array_equal(found.pixels, whole.pixels)

    assert check(kept.read_bytes(), read) == (VARIANTS, 0)


@pytest.mark.parametrize("name", ["ids", "offsets.npy", sources.SUMMARY])
def test_folders_that_are_kept(tmp_path, name):
    """Of encoded texts and of images from Parquet."""

    def fill(new: Path) -> dict:
        np.arange(20, dtype=np.uint16).tofile(new / "ids")
        np.save(new / "offsets.npy", np.arange(5))
        return {"fingerprint": "5f"}

    folder = tmp_path / "kept"
    sources.write_folder(folder, fill)
    whole = (folder / name).read_bytes()

    def read(variant: bytes) -> None:
        over(folder / name, variant)
        found = sources.read_folder(folder, ("ids", "offsets.npy"))
        assert found == ({"fingerprint": "5f"} if variant == whole else None)

    assert check(whole, read) == (VARIANTS, 0)


def test_vocabularies_that_are_kept(data_folder, monkeypatch):
    (data_folder / "mine").mkdir()
    for side, language in enumerate(("en", "de")):
        (data_folder / "mine" / f"train.{language}").write_text("\n".join(pair[side] for pair in PAIRS))
    whole = vocabulary.load("mine", 320)
    [kept] = (data_folder / "mine" / ".encoded").iterdir()
    monkeypatch.setattr(vocabulary, "learn", lambda *_: whole)
    monkeypatch.setattr(sources, "write_atomically", lambda *_: None)

    def read(variant: bytes) -> None:
        over(kept, variant)
        assert vocabulary.load("mine", 320) == whole

    assert check(kept.read_bytes(), read) == (VARIANTS, 0)


def test_original_files_of_cifar(data_folder, register, monkeypatch):
    """They are unpickled: only those are read at all whose sums are torchvision's."""
    name = "cifar10"
    register(name, examples=(4, 4), heldout=1, archives=())
    reader = sources._torchvision_datasets(name).CIFAR10
    folder = data_folder / reader.base_folder
    folder.mkdir()
    batch = pickle.dumps({"data": np.zeros((4, 3 * 32 * 32), np.uint8), "labels": [0, 1, 2, 3]})
    names = pickle.dumps({"names": list(DATASETS[name].classes)})
    (folder / "batch").write_bytes(batch)
    (folder / "names").write_bytes(names)
    sums = {file: hashlib.md5((folder / file).read_bytes()).hexdigest() for file in ("batch", "names")}
    monkeypatch.setattr(reader, "meta", {"filename": "names", "key": "names", "md5": sums["names"]})
    monkeypatch.setattr(reader, "train_list", [["batch", sums["batch"]]])
    monkeypatch.setattr(reader, "test_list", [["batch", sums["batch"]]])
    monkeypatch.setattr(reader, "download", lambda _: None)

    def read(file: str, variant: bytes) -> None:
        over(folder / file, variant)
        assert images.load(name, "train").pixels.shape == (3, 3, 32, 32)

    for file, content in {"batch": batch, "names": names}.items():
        results, lines = check(content, lambda variant, file=file: read(file, variant))
        assert results == sum(variant == content for variant in variants(content))
        assert lines > 900
        over(folder / file, content)


@pytest.mark.parametrize("name", ["record.json", "arrays.npz", "SHA256SUMS"])
def test_records(tmp_path, environment, name):
    """Their checksums are those of the damaged file, as those of one that was made to do harm would be."""
    store = Store(tmp_path / "results")
    arrays = {"labels": np.arange(20, dtype=np.uint16), "words": np.array(["ein", "zwölf"]), "x": np.eye(3)}
    record = store.put(RUN, metrics={"a": 0.5}, history={"b": [1, 2]}, environment=environment, arrays=arrays)
    whole = record.files()

    def read(variant: bytes) -> None:
        changed = whole | {name: variant}
        if name != "SHA256SUMS":
            sums = (f"{hashlib.sha256(changed[file]).hexdigest()}  {file}\n" for file in RECORD_FILES)
            changed["SHA256SUMS"] = "".join(sums).encode()
        for file, content in changed.items():
            over(record.folder / file, content)
        problems = store.verify()
        assert problems == [one_line(problem) for problem in problems]
        found = store.get(RUN)
        for array in found.arrays.values():
            assert array.nbytes < 10_000
        assert problems == []

    results, lines = check(whole[name], read)
    assert results > 0
    assert lines > 500


@pytest.mark.parametrize("ending", ["safetensors", "json"])
def test_checkpoints(tmp_path, monkeypatch, capfd, ending):
    """A damaged one is passed over; the one before it is taken."""
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path))
    for step in (10, 20):
        path = checkpoints.save_checkpoint(RUN, checkpoints.Checkpoint(step, {"a": torch.arange(9.0)}, {"step": step}))
    path, steps = path.with_suffix(f".{ending}"), set()
    whole = {kept: kept.read_bytes() for kept in path.parent.iterdir() if kept.is_file()}
    for variant in variants(path.read_bytes()):
        for kept, content in whole.items():
            if not kept.exists():
                kept.write_bytes(content)
        over(path, variant)
        found = checkpoints.load_latest(RUN)
        assert found.tensors["a"].tolist() == list(range(9))
        assert found.notes == {"step": found.step}
        steps.add(found.step)
    assert steps <= {10, 20}
    assert 10 in steps
    assert capfd.readouterr().err.isascii()
