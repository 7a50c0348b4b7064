"""The loader, on small files in each of the layouts that it reads."""

import dataclasses
import hashlib
import importlib
import io
import json
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from lsbook.core.errors import UserError
from lsbook.core.registry import DATASETS
from lsbook.data import images, sources

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(12) % 10
CLASSES = DATASETS["cifar10"].classes


def encoded(pixels, kind="PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_parquet(path, pixels, labels, columns=("image", "label"), metadata=None, kind="PNG") -> None:
    column = pa.array([{"bytes": encoded(p, kind), "path": None} for p in pixels])
    table = pa.table({columns[0]: column, columns[1]: pa.array(labels)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)


@pytest.fixture
def small(register):
    """Data sets of twelve training images, of which two are held out, and three test images."""
    for name in ("cifar10", "cifar100", "mnist"):
        register(name, examples=(12, 3), heldout=2)


@pytest.fixture
def cifar(data_folder, small):
    write_parquet(data_folder / "cifar10" / "train.parquet", PIXELS, LABELS)
    write_parquet(data_folder / "cifar10" / "test.parquet", 255 - PIXELS[:3], LABELS[:3])
    return data_folder / "cifar10"


def test_parquet_comes_back_as_it_was_written(cifar):
    train, heldout, test = (images.load("cifar10", split) for split in images.SPLITS)
    assert train.pixels.dtype == np.uint8
    assert train.labels.dtype == np.int64
    np.testing.assert_array_equal(train.pixels, PIXELS[:10].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(heldout.pixels, PIXELS[10:].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(test.labels, LABELS[:3])
    assert train.classes == DATASETS["cifar10"].classes
    assert train.variant == "lossless copy"
    assert train.fingerprint == heldout.fingerprint != test.fingerprint


@pytest.mark.parametrize("columns", [("img", "label"), ("image", "fine_label")])
def test_column_names_may_vary(data_folder, small, columns):
    write_parquet(data_folder / "cifar10" / "data" / "train-00000-of-00001.parquet", PIXELS, LABELS, columns)
    np.testing.assert_array_equal(images.load("cifar10", "train").labels, LABELS[:10])


def test_several_files_are_read_in_order(data_folder, small):
    for part, rows in enumerate((slice(0, 5), slice(5, 12))):
        write_parquet(data_folder / "cifar10" / f"train-0000{part}-of-00002.parquet", PIXELS[rows], LABELS[rows])
    np.testing.assert_array_equal(images.load("cifar10", "train").labels, LABELS[:10])


def test_a_file_that_is_missing_among_numbered_ones_is_named(data_folder, small):
    write_parquet(data_folder / "cifar10" / "train-00001-of-00003.parquet", PIXELS, LABELS)
    with pytest.raises(UserError, match="of the 3 files of train there is no number 0, 2$"):
        images.load("cifar10", "train")


@pytest.mark.parametrize(
    "metadata",
    [
        {"label_names": json.dumps([f"c{k}" for k in range(10)])},
        {"huggingface": json.dumps({"info": {"features": {"label": {"names": [f"c{k}" for k in range(10)]}}}})},
    ],
)
def test_other_classes_than_the_catalogues_are_refused(data_folder, small, metadata):
    write_parquet(data_folder / "cifar10" / "train.parquet", PIXELS, LABELS, metadata=metadata)
    with pytest.raises(UserError, match="its 10 classes are not the 10 of CIFAR-10 in their order, which begin with"):
        images.load("cifar10", "train")


@pytest.mark.parametrize("names", [["a", "b", "c", "d"], [*CLASSES[1:], CLASSES[0]], [*CLASSES, "deer"], ["airplane"]])
def test_other_numbers_and_orders_of_classes_are_refused(data_folder, small, names):
    metadata = {"label_names": json.dumps(names)}
    write_parquet(data_folder / "cifar10" / "train.parquet", PIXELS, LABELS, metadata=metadata)
    with pytest.raises(UserError, match=f"its {len(names)} classes are not the 10 of CIFAR-10 in their order"):
        images.load("cifar10", "train")


def test_a_misspelt_class_is_the_catalogues(data_folder, small):
    """The Hub's CIFAR-100 has "cra"."""
    names = ["cra" if name == "crab" else name.replace("_", " ").title() for name in DATASETS["cifar100"].classes]
    metadata = {"label_names": json.dumps(names)}
    write_parquet(data_folder / "cifar100" / "train.parquet", PIXELS, LABELS, metadata=metadata)
    assert images.load("cifar100", "train").classes == DATASETS["cifar100"].classes


@pytest.mark.parametrize(
    "metadata",
    [
        {"label_names": "c0, c1"},
        {"label_names": "[0, 1]"},
        {"label_names": "5"},
        {"huggingface": "[]"},
        {"huggingface": json.dumps({"info": None})},
    ],
)
def test_metadata_without_class_names_where_they_should_be_is_refused(data_folder, small, metadata):
    write_parquet(data_folder / "cifar10" / "train.parquet", PIXELS, LABELS, metadata=metadata)
    with pytest.raises(UserError, match=r"train.parquet: the class names in its metadata are no list of names"):
        images.load("cifar10", "train")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
    ],
)
def test_a_file_that_is_none_is_named(data_folder, make, reason):
    (data_folder / "cifar10").mkdir()
    make(data_folder / "cifar10" / "train.parquet")
    with pytest.raises(UserError, match=f"cifar10/train.parquet cannot be read: {reason}"):
        images.load("cifar10", "train")


def test_a_lossy_copy_says_so(data_folder, small):
    write_parquet(data_folder / "cifar10" / "train.parquet", PIXELS, LABELS, kind="JPEG")
    assert images.load("cifar10", "train").variant == "JPEG re-encoded"


def test_grey_images_have_one_channel(data_folder, small):
    grey = PIXELS[:, :28, :28, 0]
    write_parquet(data_folder / "mnist" / "train.parquet", grey, LABELS)
    np.testing.assert_array_equal(images.load("mnist", "train").pixels, grey[:10, None])


def test_the_fingerprint_is_of_content_not_of_encoding(cifar):
    before = images.load("cifar10", "train").fingerprint
    write_parquet(cifar / "train.parquet", PIXELS, LABELS, columns=("img", "label"))
    assert images.load("cifar10", "train").fingerprint == before
    changed = PIXELS.copy()
    changed[0, 0, 0, 0] ^= 1
    write_parquet(cifar / "train.parquet", changed, LABELS)
    assert images.load("cifar10", "train").fingerprint != before


def test_decoding_happens_once_and_a_damaged_cache_is_made_anew(cifar, monkeypatch):
    first = images.load("cifar10", "train")
    [kept] = (cifar / ".decoded").glob("cifar10-train-*.npz")
    with monkeypatch.context() as patch:
        patch.setattr(images, "_decode", lambda *_: pytest.fail("decoded again"))
        assert images.load("cifar10", "train").fingerprint == first.fingerprint
    content = bytearray(kept.read_bytes())
    content[-len(content) // 2] ^= 1
    kept.write_bytes(content)
    np.testing.assert_array_equal(images.load("cifar10", "train").pixels, first.pixels)
    kept.write_bytes(b"")
    np.testing.assert_array_equal(images.load("cifar10", "train").pixels, first.pixels)


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path, monkeypatch):
    """And is closed then, as Windows wants it. What a link leads to is not written to."""
    (tmp_path / "letter").write_text("dear reader")
    (tmp_path / "file").symlink_to(tmp_path / "letter")
    files, found, replace = [], [], Path.replace

    def noting(path, to):
        found.append((path.stat().st_size, files[0].closed))
        return replace(path, to)

    monkeypatch.setattr(Path, "replace", noting)
    sources.write_atomically(tmp_path / "file", lambda file: files.append(file) or file.write(bytes(300)))
    assert found == [(300, True)]
    assert (tmp_path / "file").read_bytes() == bytes(300)
    assert (tmp_path / "letter").read_text() == "dear reader"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_a_file_can_be_read_by_whom_the_umask_says(tmp_path, umask, mode):
    """Beside it, one of a folder that is written whole."""
    before = os.umask(umask)
    try:
        sources.write_atomically(tmp_path / "file", lambda file: file.write(b"text"))
        sources.write_folder(tmp_path / "folder", lambda new: {"bytes": (new / "file").write_bytes(b"text")})
    finally:
        os.umask(before)
    for path in (tmp_path / "file", tmp_path / "folder" / "file", tmp_path / "folder" / sources.SUMMARY):
        assert path.stat().st_mode & 0o777 == mode
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_read_only_folder_is_left_alone(cifar, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cifar.chmod(0o555)
    try:
        images.load("cifar10", "train")
        assert not (cifar / ".decoded").exists()
        assert len(list((tmp_path / "cache" / "lsbook").glob("*.npz"))) == 1
    finally:
        cifar.chmod(0o755)


def test_a_truncated_parquet_file_is_one_line_with_its_checksum(cifar):
    path = cifar / "train.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"train.parquet is damaged .SHA-256 {sources.sha256(path)}.") as caught:
        images.load("cifar10", "train")
    assert "\n" not in str(caught.value)


def refused(data_folder, register, column) -> str:
    """What is said of a Parquet file with this column of images."""
    (data_folder / "cifar10").mkdir()
    register("cifar10", examples=(max(1, len(column)), 3), heldout=0)
    table = pa.table({"image": column, "label": pa.array([0] * len(column), pa.int64())})
    pq.write_table(table, data_folder / "cifar10" / "train.parquet")
    with pytest.raises(UserError) as caught:
        images.load("cifar10", "train")
    return str(caught.value)


@pytest.mark.parametrize("broken", ["nothing", "header", "chunk"])
def test_an_image_that_cannot_be_decoded_is_named_by_row(data_folder, register, broken):
    whole = encoded(PIXELS[0])
    header, chunk = (bytearray(whole) for _ in range(2))
    header[16:24] = bytes(8)  # of width and height
    chunk[whole.index(b"IDAT") + 1] ^= 0xFF  # its name
    damaged = {"nothing": b"no image", "header": bytes(header), "chunk": bytes(chunk)}[broken]
    column = pa.array([{"bytes": whole, "path": None}, {"bytes": damaged, "path": None}])
    assert "cifar10 row 1: the image cannot be decoded" in refused(data_folder, register, column)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([encoded(PIXELS[0])]), "images must be structs with `bytes`, not binary"),
        (pa.array([{"bytes": None}], pa.struct([("bytes", pa.binary())])), "train.parquet row 0 has no bytes"),
        (pa.array([None], pa.struct([("bytes", pa.binary())])), "train.parquet row 0 has no bytes"),
        (pa.array([{"bytes": [137, 80]}]), "images must be structs with `bytes`, not struct<bytes: list<"),
        (pa.array([], pa.struct([("bytes", pa.binary())])), "has 0 images of train"),
    ],
)
def test_images_in_another_layout_are_refused(data_folder, register, column, message):
    assert message in refused(data_folder, register, column)


@pytest.mark.parametrize(
    ("pixels", "labels", "columns", "message"),
    [
        (PIXELS, LABELS + 1, ("image", "label"), "cifar10: labels must lie in 0 … 9"),
        (PIXELS, LABELS.astype(str), ("image", "label"), "train.parquet: labels must be whole numbers, not string"),
        (PIXELS, LABELS / 2, ("image", "label"), "train.parquet: labels must be whole numbers, not double"),
        (PIXELS, [0, 1, None, *LABELS[3:]], ("image", "label"), "train.parquet row 2 has no label; get it anew"),
        (PIXELS, np.array([2**64 - 1] * 12, np.uint64), ("image", "label"), "cifar10: labels must lie in 0 … 9"),
        (PIXELS[:, :30], LABELS, ("image", "label"), "expected 32 × 32 pixels, found 30 × 32"),
        (PIXELS, LABELS, ("image", "target"), "has columns image, target, but none of label, fine_label"),
        (PIXELS, LABELS, ("picture", "label"), "but none of image, img"),
    ],
)
def test_files_that_do_not_fit_are_refused(data_folder, small, pixels, labels, columns, message):
    write_parquet(data_folder / "cifar10" / "train.parquet", pixels, labels, columns)
    with pytest.raises(UserError, match=message):
        images.load("cifar10", "train")


def write_torchvision(root, monkeypatch, name="CIFAR10", label_key="labels") -> None:
    """CIFAR-10 or -100 as torchvision unpacks it, with twelve images a file and checksums to match."""
    sources._torchvision_datasets(name.lower())
    kind = getattr(importlib.import_module("torchvision.datasets"), name)
    folder = root / kind.base_folder
    folder.mkdir()

    def write(file, content):
        (folder / file).write_bytes(pickle.dumps(content))
        return file, hashlib.md5((folder / file).read_bytes()).hexdigest()

    batch = {"data": PIXELS.transpose(0, 3, 1, 2).reshape(12, -1), label_key: LABELS.tolist()}
    file, checksum = write("names", {"names": list(DATASETS[name.lower()].classes)})
    monkeypatch.setattr(kind, "meta", {"filename": file, "key": "names", "md5": checksum})
    monkeypatch.setattr(kind, "train_list", [list(write("train_file", batch))])
    monkeypatch.setattr(kind, "test_list", [list(write("test_file", batch))])


@pytest.mark.parametrize(("name", "label_key"), [("CIFAR10", "labels"), ("CIFAR100", "fine_labels")])
def test_torchvisions_own_files_are_read(data_folder, small, monkeypatch, name, label_key):
    write_torchvision(data_folder, monkeypatch, name, label_key)
    train = images.load(name.lower(), "train")
    np.testing.assert_array_equal(train.pixels, PIXELS[:10].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(train.labels, LABELS[:10])
    assert train.variant == "original files"
    assert len(train.classes) == len(DATASETS[name.lower()].classes)


def test_the_hubs_cifar100_is_read(data_folder, small):
    """Its own column names, with coarse labels beside the fine ones."""
    path = data_folder / "cifar100" / "cifar100" / "train-00000-of-00001.parquet"
    write_parquet(path, PIXELS, LABELS + 80, columns=("img", "fine_label"))
    pq.write_table(pq.read_table(path).append_column("coarse_label", pa.array(LABELS)), path)
    train = images.load("cifar100", "train")
    np.testing.assert_array_equal(train.labels, LABELS[:10] + 80)
    np.testing.assert_array_equal(train.pixels, PIXELS[:10].transpose(0, 3, 1, 2))


def test_a_part_of_the_classes_is_taken_from_the_whole_files(data_folder, register):
    register("tiny-imagenet-32", examples=(12, 3), heldout=2)
    register("tiny-imagenet-50", classes=("bullfrog", "goldfish"), shown=(), examples=(8, 2), heldout=2)
    labels = np.arange(12) % 3
    write_parquet(data_folder / "tiny-imagenet-32" / "train.parquet", PIXELS, labels)
    train, heldout = (images.load("tiny-imagenet-50", split) for split in ("train", "heldout"))
    assert np.concatenate([train.labels, heldout.labels]).tolist() == [1, 0] * 4  # goldfish is 0 in the files
    np.testing.assert_array_equal(train.pixels, PIXELS[labels != 1][:6].transpose(0, 3, 1, 2))
    assert train.classes == ("bullfrog", "goldfish")


def test_what_nobody_offers_is_asked_for(data_folder):
    with pytest.raises(UserError, match="tiny-imagenet-32 not found under .*put train.parquet and test.parquet"):
        images.load("tiny-imagenet-50", "train")


def test_no_data_and_no_network_is_one_line(data_folder, monkeypatch):
    nowhere = dataclasses.replace(DATASETS["cifar10"], archives=(("", "http://127.0.0.1:9/cifar.tar.gz", "0" * 64),))
    monkeypatch.setitem(DATASETS, "cifar10", nowhere)
    with pytest.raises(UserError, match="lsbook data cifar10.*170 MB.*profile smoke") as caught:
        images.load("cifar10", "train")
    assert "\n" not in str(caught.value)
    assert [p for p in data_folder.rglob("*") if p.is_file()] == []


def offer(monkeypatch, address: str, checksum: str) -> None:
    """Let CIFAR-10 be downloaded from there."""
    archives = (("", address, checksum),)
    dataset = dataclasses.replace(DATASETS["cifar10"], examples=(12, 12), heldout=2, archives=archives)
    monkeypatch.setitem(DATASETS, "cifar10", dataset)


def test_a_download_is_checked_before_use(data_folder, tmp_path, served, monkeypatch):
    (tmp_path / "cifar.tar.gz").write_bytes(b"something else")
    offer(monkeypatch, f"{served}/cifar.tar.gz", "0" * 64)
    with pytest.raises(UserError, match=f"SHA-256 is {sources.sha256(tmp_path / 'cifar.tar.gz')}, expected {'0' * 64}"):
        images.load("cifar10", "train")
    assert not (data_folder / "cifar.tar.gz").exists()


def test_what_is_downloaded_is_read(data_folder, tmp_path, served, monkeypatch):
    write_torchvision(tmp_path, monkeypatch)
    from torchvision.datasets import CIFAR10

    archive = tmp_path / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / CIFAR10.base_folder, arcname=CIFAR10.base_folder)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    offer(monkeypatch, f"{served}/{archive.name}", sources.sha256(archive))
    np.testing.assert_array_equal(images.load("cifar10", "train").labels, LABELS[:10])


def test_digits_are_embedded(data_folder):
    train, heldout, test = (images.load("digits", split) for split in images.SPLITS)
    assert (len(train), len(heldout), len(test)) == (1197, 300, 300)
    assert train.pixels.shape[1:] == (1, 32, 32)
    digits = load_digits()
    np.testing.assert_array_equal(np.concatenate([train.labels, heldout.labels, test.labels]), digits.target)
    blocks = train.pixels.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)) * 16 / 255
    assert np.corrcoef(blocks.ravel(), digits.images[:1197].ravel())[0, 1] > 0.95


@pytest.mark.parametrize(("name", "split"), [("cifar", "train"), ("digits", "validation")])
def test_unknown_names_list_the_allowed_ones(name, split):
    with pytest.raises(UserError, match="choose from"):
        images.load(name, split)


@pytest.mark.real_data("tiny-imagenet-32")
def test_the_real_tiny_imagenet():
    test = images.load("tiny-imagenet-50", "test")
    assert test.classes == DATASETS["tiny-imagenet-50"].classes
    assert images.load("tiny-imagenet-32", "test").classes == DATASETS["tiny-imagenet-32"].classes
    assert np.bincount(test.labels).tolist() == [50] * 50


@pytest.mark.real_data("tiny-imagenet-32")
def test_images_of_tiny_imagenet_are_as_sharp_as_its_remark_says():
    for split, steps in (("train", 14), ("heldout", 14), ("test", 19)):
        pixels = images.load("tiny-imagenet-32", split).pixels[:10_000].astype(np.int16)
        assert round(float(abs(np.diff(pixels)).mean())) == steps
        assert f"{steps}" in DATASETS["tiny-imagenet-32"].remark


def test_more_examples_than_there_are_is_refused():
    with pytest.raises(UserError, match="1198 training examples asked for, but the training split has 1197"):
        images.load("digits", "train").first(1198)


@pytest.mark.real_data("cifar10", "mnist")
@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_the_real_files(name):
    sizes = {"cifar10": (40_000, 10_000, 10_000), "mnist": (50_000, 10_000, 10_000)}[name]
    for split, size in zip(images.SPLITS, sizes, strict=True):
        part = images.load(name, split)
        assert part.pixels.shape == (size, *DATASETS[name].shape)
        assert part.classes == DATASETS[name].classes
        shares = np.bincount(part.labels, minlength=10) / size
        assert shares.min() > 0.08
        assert shares.max() < 0.13
