"""Files as they come: which belong together, what they unpack to, and what their pictures show."""

import gzip
import io
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lsbook.core.errors import UserError
from lsbook.core.registry import DATASETS
from lsbook.data import images, sources, texts

RNG = np.random.default_rng(0)


def encoded(picture, kind="PNG", **settings) -> bytes:
    buffer = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(buffer, kind, **settings)
    return buffer.getvalue()


def write(path, pictures: list[bytes], labels=None, **settings) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    column = pa.array([{"bytes": picture, "path": None} for picture in pictures])
    labels = pa.array([0] * len(pictures) if labels is None else labels, pa.int64())
    pq.write_table(pa.table({"image": column, "label": labels}), path, **settings)


def refused(name="cifar10", split="train") -> str:
    with pytest.raises(UserError) as caught:
        images.load(name, split)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["train.parquet"], ["train.parquet"]),
        (["data/train.parquet", "test.parquet"], ["data/train.parquet"]),
        (["train-00000-of-00001-c08a401c53fe5312.parquet"], ["train-00000-of-00001-c08a401c53fe5312.parquet"]),
        (
            ["data/train-00001-of-00002-ab.parquet", "data/train-00000-of-00002-cd.parquet"],
            ["data/train-00000-of-00002-cd.parquet", "data/train-00001-of-00002-ab.parquet"],
        ),
        (["train.parquet", "._train.parquet", ".old/train.parquet", "training.parquet"], ["train.parquet"]),
        (["train.parquet.crdownload", "TRAIN.parquet"], []),
    ],
)
def test_a_split_is_one_set_of_files(tmp_path, names, chosen):
    for name in names:
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).touch()
    assert sources.parquet_files(tmp_path, "mine", "train") == [tmp_path / "mine" / name for name in chosen]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["train.parquet", "train-00000-of-00001.parquet"],
            "more than one set of files of train: train-00000-of-00001.",
        ),
        (["train-00000-of-00001.parquet", "train-00000-of-00001-c08a.parquet"], "more than one set of files of train"),
        (["train-00000-of-00001.parquet", "train-00000-of-00002.parquet"], "more than one set of files of train"),
        (["train-00000-of-00001.parquet", "train-0-of-1.parquet"], "more than one set of files of train"),
        (["train.parquet", "data/train.parquet"], "train: train.parquet, data/train.parquet; keep one"),
        (["a/train.parquet", "b/train.parquet"], "train: a/train.parquet, b/train.parquet; keep one"),
        (["a/train-00000-of-00002.parquet", "b/train-00001-of-00002.parquet"], "more than one set"),
        (["train-00000-of-00003.parquet"], "of the 3 files of train there is no number 1, 2"),
        (["train-00007-of-00002.parquet"], "of the 2 files of train there is no number 0, 1"),
        (["train-00001-of-99999.parquet"], "there is no number 0, 2, 3, 4, 5, 6, 7, 8, 9, 10 and others"),
        (
            ["train.parquet", "train (1).parquet"],
            "train (1).parquet is named neither train.parquet nor as one of several",
        ),
        (["train - Copy.parquet"], "train - Copy.parquet is named neither"),
        (["train-0.parquet"], "train-0.parquet is named neither"),
    ],
)
def test_files_that_do_not_belong_together_are_named(tmp_path, names, message):
    for name in names:
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).touch()
    with pytest.raises(UserError) as caught:
        sources.parquet_files(tmp_path, "mine", "train")
    assert message in str(caught.value)


def test_what_is_no_file_is_not_waited_for(data_folder):
    """A pipe would be read for ever."""
    (data_folder / "cifar10").mkdir()
    os.mkfifo(data_folder / "cifar10" / "train.parquet")
    assert "train.parquet cannot be read: it is no regular file" in refused()
    (data_folder / "cifar10" / "train.parquet").unlink()
    (data_folder / "cifar10" / "train.parquet").symlink_to("/dev/zero")
    assert "train.parquet cannot be read: it is no regular file" in refused()


def test_another_number_of_examples_is_refused_before_any_is_decoded(data_folder, monkeypatch):
    monkeypatch.setattr(images, "_decode", lambda *_: pytest.fail("decoded"))
    write(data_folder / "cifar10" / "train.parquet", [encoded(np.zeros((32, 32, 3), np.uint8))] * 3, [0, 1, 2])
    assert refused() == f"{data_folder}/cifar10 has 3 images of train, but there are 50,000; get its files anew"
    write(data_folder / "mnist" / "test.parquet", [b"no image"])
    assert (
        refused("mnist", "test")
        == f"{data_folder}/mnist has 1 images of test, but there are 10,000; get its files anew"
    )


def test_the_catalogue_knows_how_many_examples_there_are():
    """As their authors say; of Tiny ImageNet 500 training and 50 validation images a class."""
    assert DATASETS["cifar10"].examples == DATASETS["cifar100"].examples == (50_000, 10_000)
    assert DATASETS["mnist"].examples == (60_000, 10_000)
    assert DATASETS["imagenet"].examples == (1_281_167, 50_000)
    for name in ("tiny-imagenet-32", "tiny-imagenet-50", "tiny-imagenet-5"):
        assert DATASETS[name].examples == (500 * len(DATASETS[name].classes), 50 * len(DATASETS[name].classes))


def test_splits_that_share_images_are_refused(data_folder, register):
    """Up to a hundredth of the smaller one, as some published data sets do."""
    register("mnist", examples=(400, 200), heldout=200)
    pictures = [encoded(RNG.integers(0, 256, (28, 28), dtype=np.uint8)) for _ in range(600)]

    def shared(train, test):
        write(data_folder / "mnist" / "train.parquet", train)
        write(data_folder / "mnist" / "test.parquet", test)
        try:
            assert [len(split) for split in images.all_splits("mnist")] == [200, 200, 200]
        except UserError as error:
            return str(error).removesuffix("; get its files anew")

    assert shared(pictures[:400], pictures[400:]) is None
    assert shared(pictures[:400], pictures[:2] + pictures[402:]) is None
    assert shared(pictures[:400], pictures[:3] + pictures[403:]) == "mnist: 3 images are in both train and test"
    assert shared(pictures[:400], pictures[200:400]) == "mnist: 200 images are in both heldout and test"
    assert shared(pictures[:200] * 2, pictures[400:]) == "mnist: 200 images are in both train and heldout"


def _rgb(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"))


COLOURS = RNG.integers(0, 256, (8, 6, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (8, 6), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (8, 6), dtype=np.uint8)
INDEXED = Image.fromarray(COLOURS).quantize(7)


def _on_white(colours, alpha) -> np.ndarray:
    share = alpha[..., None] / 255
    return np.rint(share * colours + (1 - share) * 255)


def _oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(COLOURS, exif=exif)


PICTURES = {
    "RGB": (encoded(COLOURS), COLOURS),
    "grey": (encoded(GREY), GREY),
    "16-bit grey": (encoded(GREY.astype(np.uint16) * 257), GREY),
    "16-bit grey, in between": (
        encoded(np.array([[0, 128, 129, 300, 65_406, 65_407, 65_535]], np.uint16)),
        [0, 0, 1, 1, 254, 255, 255],
    ),
    "1 bit": (encoded(Image.fromarray(GREY).convert("1", dither=Image.Dither.NONE)), np.where(GREY > 127, 255, 0)),
    "palette": (encoded(INDEXED), _rgb(INDEXED)),
    "palette, one transparent": (
        encoded(INDEXED, transparency=2),
        np.where((np.asarray(INDEXED) == 2)[..., None], 255, _rgb(INDEXED)),
    ),
    "grey, one transparent": (encoded(GREY, transparency=int(GREY[0, 0])), np.where(GREY[0, 0] == GREY, 255, GREY)),
    "RGBA": (encoded(np.dstack([COLOURS, ALPHA])), _on_white(COLOURS, ALPHA)),
    "LA": (encoded(Image.fromarray(np.dstack([GREY, ALPHA]), "LA")), _on_white(GREY[..., None], ALPHA)[..., 0]),
    "GIF": (encoded(INDEXED, "GIF"), _rgb(INDEXED)),
    "BMP": (encoded(COLOURS, "BMP"), COLOURS),
    "WebP": (encoded(COLOURS, "WEBP", lossless=True), COLOURS),
    "CMYK": (encoded(Image.new("CMYK", (6, 8), (0, 255, 255, 0)), "JPEG"), np.full((8, 6, 3), [255, 0, 0])),
    **{
        f"orientation {k}": (_oriented(k), turned)
        for k, turned in {
            1: COLOURS,
            2: COLOURS[:, ::-1],
            3: COLOURS[::-1, ::-1],
            4: COLOURS[::-1],
            5: COLOURS.transpose(1, 0, 2),
            6: COLOURS[::-1].transpose(1, 0, 2),
            7: COLOURS[::-1, ::-1].transpose(1, 0, 2),
            8: COLOURS.transpose(1, 0, 2)[::-1],
            9: COLOURS,
        }.items()
    },
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_of_any_mode_has_the_pixels_that_a_viewer_shows(kind):
    content, expected = PICTURES[kind]
    with sources.open_image(lambda: content, "a picture") as image:
        assert image.mode in ("L", "RGB")
        found = np.asarray(image.convert("RGB")).astype(int)
    expected = np.asarray(expected)
    expected = expected.reshape(1, -1) if expected.ndim == 1 else expected
    expected = expected if expected.ndim == 3 else np.dstack([expected] * 3)
    assert found.shape == expected.shape
    assert abs(found - expected).max() <= (1 if "A" in kind or kind == "CMYK" else 0)


def test_pictures_of_any_mode_make_a_data_set(data_folder, register):
    register("mnist", examples=(3, 1), heldout=1)
    grey = RNG.integers(0, 256, (28, 28), dtype=np.uint8)
    kinds = [encoded(grey), encoded(grey.astype(np.uint16) * 257), encoded(np.dstack([grey] * 3))]
    write(data_folder / "mnist" / "train.parquet", kinds)
    np.testing.assert_array_equal(images.load("mnist", "train").pixels, [[grey]] * 2)


def _png(width: int, height: int) -> bytes:
    """A PNG file whose header says that it is so large, and that has one row of zeros."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    rows = chunk(b"IDAT", zlib.compress(bytes(min(width, 30_000) + 1)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height"), [(30_000, 30_000), (10_000, 9_000), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)]
)
def test_a_picture_that_says_it_is_huge_is_not_decoded(width, height):
    too_large = pytest.raises(UserError, match="a picture: an image of .* pixels is too large, 67,108,864 are allowed")
    with too_large, sources.open_image(lambda: _png(width, height), "a picture"):
        pytest.fail("decoded")


def test_a_picture_of_another_size_is_not_decoded():
    another = pytest.raises(UserError, match="a picture: expected 32 × 32 pixels, found 4000 × 5000")
    with another, sources.open_image(lambda: _png(5_000, 4_000), "a picture", (32, 32)):
        pytest.fail("decoded")


POOLS = []


def peak(work) -> int:
    """The most memory of Python's and of PyArrow's that is held at a time, and a line that says why it was refused."""
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    POOLS.append(pool)  # it has to live as long as anything in it
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            work()
        assert str(caught.value).isprintable()
        return tracemalloc.get_traced_memory()[1] + pool.max_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def _repeated(path, column: str, value, count: int, labels: bool = True) -> None:
    """A column with one value again and again, which takes the room of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([value]))
    names = ["bytes"] if labels else ["en", "de"]
    table = {column: pa.StructArray.from_arrays([repeated] * len(names), names)}
    table |= {"label": np.zeros(count, np.int64)} if labels else {}
    pq.write_table(pa.table(table), path, compression="zstd", store_schema=False)


def test_small_files_do_not_grow_beyond_bounds(data_folder, register):
    """Each takes kilobytes here and gigabytes in memory."""
    register("cifar10", examples=(50_000, 10_000))
    _repeated(data_folder / "cifar10" / "train.parquet", "image", bytes(100_000), 50_000)
    _repeated(data_folder / "cifar10" / "test.parquet", "image", bytes(1_000), 10**7)
    _repeated(data_folder / "mine" / "train.parquet", "translation", "a" * 50_000 + "\x1b", 100_000, labels=False)
    _repeated(data_folder / "mine" / "test.parquet", "translation", "a" * 100_000, 100_000, labels=False)
    for path in data_folder.rglob("*.parquet"):
        assert path.stat().st_size < 2_000_000
    for name in ("train", "test"):
        assert peak(lambda name=name: images.load("cifar10", name)) < 2**29
    assert peak(lambda: next(texts.locate("mine", "test").pairs())) < 2**29


def test_a_file_that_unpacks_to_far_more_than_its_size_is_named(data_folder, register, monkeypatch):
    monkeypatch.setattr(sources, "MIN_UNPACKED", 2**20)
    register("cifar10", examples=(10, 1), heldout=1)
    write(data_folder / "cifar10" / "train.parquet", [bytes(200_000)] * 10, compression="zstd", use_dictionary=False)
    assert "train.parquet unpacks to more than 100 times its " in refused()


def test_a_text_that_unpacks_to_far_more_than_its_size_is_named(data_folder, monkeypatch):
    monkeypatch.setattr(sources, "MIN_UNPACKED", 2**20)
    (data_folder / "mine").mkdir()
    for language in ("en", "de"):
        (data_folder / "mine" / f"train.{language}.gz").write_bytes(gzip.compress(b"A line.\n" * 200_000))
    with pytest.raises(UserError, match="mine/train.en.gz unpacks to more than 100 times its .* bytes; get it anew"):
        texts.load("mine", "train")


@pytest.fixture
def originals(data_folder, register):
    """MNIST's own files, of four images a part."""
    register("mnist", examples=(4, 4), heldout=1, archives=())
    folder = data_folder / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, 4, 28, 28) + bytes(4 * 28 * 28))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 4) + bytes(4))
    return folder


@pytest.mark.parametrize(
    ("name", "header"),
    [
        *(
            ("train-images-idx3-ubyte", struct.pack(">IIII", 0x803, *sizes))
            for sizes in [(2**32 - 1, 28, 28), (4, 2**32 - 1, 2**32 - 1), (2**31, 2**31, 2), (5, 28, 28), (0, 28, 28)]
        ),
        ("train-images-idx3-ubyte", struct.pack(">IIII", 0xD03, 4, 28, 28)),  # of four bytes a pixel
        ("train-images-idx3-ubyte", struct.pack(">IIII", 0x8FF, 4, 28, 28)),  # of 255 dimensions
        ("train-labels-idx1-ubyte", struct.pack(">II", 0x801, 2**32 - 1)),
        ("train-labels-idx1-ubyte", struct.pack(">II", 0x801, 5)),
        ("train-labels-idx1-ubyte", struct.pack(">IIII", 0x803, 1, 2, 2)),
    ],
)
def test_a_file_of_mnist_whose_header_claims_what_is_not_there_is_named(originals, name, header):
    assert images.load("mnist", "train").pixels.shape == (3, 1, 28, 28)
    content = (originals / name).read_bytes()
    (originals / name).write_bytes(header + content[len(header) :])
    assert peak(lambda: images.load("mnist", "train")) < 2**20
    assert "mnist" in refused("mnist")


def test_a_file_of_mnist_that_is_larger_than_its_images_is_not_read(originals):
    """It takes no room on the disk, and would take 2⁴⁰ bytes in memory."""
    path = originals / "train-images-idx3-ubyte"
    with path.open("r+b") as file:
        file.truncate(2**40)
    assert peak(lambda: images.load("mnist", "train")) < 2**20
    assert refused("mnist") == f"{path} has {2**40:,} bytes, more than {4 * 28 * 28 + 16:,}; get it anew"


def test_a_line_without_an_end_is_not_read_to_it(data_folder):
    (data_folder / "mine").mkdir()
    for language in ("en", "de"):
        (data_folder / "mine" / f"train.{language}.gz").write_bytes(gzip.compress(b"A line.\n" + b"a" * 10_000_000))
    stream = texts.locate("mine", "train").pairs()
    assert next(stream) == ("A line.", "A line.")
    assert peak(lambda: next(stream)) < 2**20


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_text_that_is_there_twice_is_named(data_folder, language):
    (data_folder / "mine").mkdir()
    for name in ("train.en", "train.de", f"train.{language}.gz"):
        (data_folder / "mine" / name).write_text("A line.\n")
    with pytest.raises(UserError, match=rf"mine/train.{language} and train.{language}.gz are both there; keep one"):
        texts.load("mine", "train")


def test_another_number_of_sentences_is_refused(data_folder):
    (data_folder / "multi30k").mkdir()
    for language in ("en", "de"):
        (data_folder / "multi30k" / f"val.{language}").write_text("A line.\n" * 1_013)
    with pytest.raises(UserError, match="val.en has 1,013 sentence pairs, but there are 1,014; get its files anew"):
        texts.load("multi30k", "heldout")
    for language in ("en", "de"):
        (data_folder / "multi30k" / f"val.{language}").write_text("A line.\n" * 1_015)
    with pytest.raises(UserError, match="val.en has more than its 1,014 sentence pairs; get it anew"):
        texts.load("multi30k", "heldout")
