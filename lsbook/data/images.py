"""Image data sets as arrays: found, checked, decoded once. Those that are too large for it are `files.ImageFiles`.

A data set is looked for under `LSBOOK_DATA` or `data/`, in this order: Parquet files in the Hub's image layout
(`<name>/<split>*.parquet`), torchvision's own files, a download through torchvision. `digits` comes with scikit-learn.
"""

import functools
import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lsbook.core.errors import UserError, one_of
from lsbook.core.paths import data_path
from lsbook.core.registry import DATASETS, SPLITS
from lsbook.data import image_files, sources
from lsbook.data.image_files import ImageFiles, Split


@dataclass(frozen=True)
class Images(Split):
    """One split, decoded.

    pixels: (N, C, H, W) uint8; labels: (N,) int64; classes: names in label order.
    fingerprint: SHA-256 of the content of the file the split was taken from.
    variant: what distinguishes this copy, such as lossy re-encoding.
    """

    pixels: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    fingerprint: str
    variant: str

    def __add__(self, other: "Images") -> "Images":
        """Both one after the other: parts of one file."""
        pixels, labels = (np.concatenate(pair) for pair in ((self.pixels, other.pixels), (self.labels, other.labels)))
        return replace(self, pixels=pixels, labels=labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)"""
        return self.pixels.shape[1:]

    def part(self, rows: slice) -> "Images":
        return replace(self, pixels=self.pixels[rows], labels=self.labels[rows])


def load(name: str, split: str) -> Images | ImageFiles:
    """The images of a split: `train`, `heldout` (the last ones of the training file) or `test`.

    CIFAR-10 is split 40 000 / 10 000 / 10 000, as in the paper. UserError when the files are missing or damaged.
    """
    one_of("split", split, SPLITS)
    if split == "test":
        return _whole(name, "test")
    return train_and_heldout(name)[split == "heldout"]


def at_hand(name: str) -> bool:
    """Whether a data set's files are here, so that reading it downloads nothing."""
    name = DATASETS[name].files or name
    archives = [data_path() / folder / address.rpartition("/")[2] for folder, address, _ in DATASETS[name].archives]
    return bool(sources.parquet_files(data_path(), name, "test")) or (
        bool(archives) and all(path.is_file() for path in archives)
    )


def train_and_heldout(name: str) -> tuple[Images, Images] | tuple[ImageFiles, ImageFiles]:
    """Both splits of the training file, which is read once."""
    whole, heldout = _whole(name, "train"), DATASETS[name].heldout
    return whole.part(slice(None, -heldout)), whole.part(slice(-heldout, None))


def _whole(name: str, part: str) -> Images | ImageFiles:
    one_of("data set", name, DATASETS)
    if DATASETS[name].shape is None:
        return image_files.load(name, part)
    return _digits(part) if name == "digits" else _from_files(name, part)


@functools.cache  # scaling takes longer than the trainings of some tests
def _digits(part: str) -> Images:
    """scikit-learn's 8 × 8 digits, bilinearly scaled to 32 × 32; the last 300 of the 1 797 are the test set."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows = slice(None, -300) if part == "train" else slice(-300, None)
    scaled = [
        Image.fromarray((image * (255 / 16)).astype(np.uint8)).resize((32, 32), Image.Resampling.BILINEAR)
        for image in digits.images[rows]
    ]
    return _images(np.stack(scaled)[:, None], digits.target[rows], DATASETS["digits"].classes, "embedded", "digits")


def _from_files(name: str, part: str) -> Images:
    if DATASETS[name].files:
        return _of_classes(_from_files(DATASETS[name].files, part), DATASETS[name].classes)
    root = data_path()
    parquet = sources.parquet_files(root, name, part)
    if parquet:
        return _cached(parquet, name, part, lambda: _decode_parquet(parquet, name))
    return _read_torchvision(root, name, part)


def _of_classes(whole: Images, classes: tuple[str, ...]) -> Images:
    """The images of these classes, their labels in this order."""
    for name in classes:
        one_of("class", name, whole.classes)
    place = {whole.classes.index(name): label for label, name in enumerate(classes)}
    rows = np.isin(whole.labels, list(place))
    labels = np.array([place[label] for label in whole.labels[rows].tolist()], np.int64)
    return Images(whole.pixels[rows], labels, classes, whole.fingerprint, whole.variant)


def _decode_parquet(parquet: list[Path], name: str) -> Images:
    """Decode the Hub's layout: a column of {bytes, path} and one of labels, names of classes in the metadata."""
    images, labels, classes = sources.read_parquet(parquet, DATASETS[name])
    lossy = images[0][:2] == b"\xff\xd8"  # the first bytes of a JPEG file
    channels, height, width = DATASETS[name].shape
    pixels = np.empty((len(images), channels, height, width), np.uint8)
    for i, encoded in enumerate(images):
        pixels[i] = _decode(encoded, pixels.shape[1:], f"{parquet[0].parent} row {i}")
    return _images(pixels, labels, classes, "JPEG re-encoded" if lossy else "lossless copy", parquet[0].parent)


def _decode(encoded: bytes, shape: tuple[int, int, int], where: str) -> np.ndarray:
    channels, height, width = shape
    with sources.opened(lambda: encoded, where) as image:
        array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    if array.shape[:2] != (height, width):
        raise UserError(f"{where}: expected {height} × {width} pixels, found {array.shape[0]} × {array.shape[1]}")
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _read_torchvision(root: Path, name: str, part: str) -> Images:
    pixels, labels = sources.read_torchvision(root, name, part)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return _images(np.ascontiguousarray(pixels), labels, DATASETS[name].classes, "original files", root)


def _images(pixels: np.ndarray, labels, classes: tuple[str, ...], variant: str, where: Path | str) -> Images:
    labels = np.asarray(labels, np.int64)
    sources.check_labels(labels, len(classes), where)
    return Images(pixels, labels, tuple(classes), _fingerprint(pixels, labels, classes), variant)


def _fingerprint(pixels: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps([list(pixels.shape), list(classes)]).encode())
    digest.update(np.ascontiguousarray(pixels))
    digest.update(labels.astype("<i8"))
    return digest.hexdigest()


def _cached(parquet: list[Path], name: str, part: str, decode) -> Images:
    """The decoded arrays, kept beside the source and named by its checksum; a damaged copy is decoded again."""
    path = sources.writable_folder(parquet[0].parent / ".decoded") / f"{name}-{part}-{sources.content_key(parquet)}.npz"
    if path.is_file():
        # Whatever a damaged copy raises, decoding again mends it.
        with suppress(Exception), np.load(path, allow_pickle=False) as kept:
            images = _images(
                kept["pixels"], kept["labels"], tuple(kept["classes"].tolist()), str(kept["variant"]), path
            )
            if images.fingerprint == str(kept["fingerprint"]):
                return images
    images = decode()
    with suppress(OSError):  # a full or read-only disk costs only the next start's time
        sources.write_whole(path, lambda file: np.savez(file, **vars(images)))
    return images
