"""Images too many to be decoded at once: they stay encoded on disk, and each is decoded when it is seen.

Two layouts are read: torchvision's, a folder for each class (`<name>/train/<WordNet id>/*.JPEG` and `<name>/val/…`),
and the Hub's Parquet files (`sources.parquet_files`, of the parts train and validation).
Of Parquet a single row cannot be had cheaply, so the encoded images are copied once into one file beside them.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from typing_extensions import override

from lsbook.core import registry
from lsbook.core.errors import UserError
from lsbook.core.paths import data_path
from lsbook.core.registry import Dataset
from lsbook.data import sources

PARTS = {"train": ("train", "train"), "test": ("val", "validation")}  # names of folder and of Parquet files
ENDINGS = {".jpeg", ".jpg", ".png"}

T = TypeVar("T")


@dataclass(frozen=True)
class Folder:
    """Encoded images in a file each. names: (N,) bytes, relative to `root`."""

    root: Path
    names: np.ndarray

    def where(self, row: int) -> str:
        """Name an image in a message."""
        return str(self.root / os.fsdecode(self.names[row]))

    def read(self, row: int) -> bytes:
        """Read the encoded image. OSError when the file cannot be read."""
        return Path(self.where(row)).read_bytes()


@dataclass(frozen=True)
class Packed:
    """Encoded images one after another in a single file. offsets: (N + 1,) where each begins."""

    path: Path
    offsets: np.ndarray

    def where(self, row: int) -> str:
        """Name an image in a message."""
        return f"{self.path} row {row}"

    def read(self, row: int) -> bytes:
        """Read the encoded image. OSError when the file cannot be read."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offsets[row])
            return file.read(self.offsets[row + 1] - self.offsets[row])


class Split:
    """What splits of images share: `labels` (N,), and `subset` for some of the examples."""

    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, rows: slice):
        """Return some of the examples."""
        raise NotImplementedError

    def first(self, n: int):
        """Return the first n examples; UserError when there are fewer."""
        if n > len(self):
            raise UserError(f"{n} training examples asked for, but the training split has {len(self)}")
        return self.subset(slice(n))


@dataclass(frozen=True)
class ImageFiles(Split):
    """One split, encoded.

    Attributes:
        encoded: all images of the part that the split is of.
        rows: (N,) which of them are the split's.
        labels: (N,) int64.
        classes: names in label order.
        fingerprint: SHA-256 of names, sizes and labels of the part; to read every image would take as long as training.
        variant: what distinguishes this copy.
    """

    encoded: Folder | Packed
    rows: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    fingerprint: str
    variant: str
    shape: ClassVar[tuple[int, Any, Any]] = (3, None, None)  # sizes differ

    def __add__(self, other: "ImageFiles") -> "ImageFiles":
        """Concatenate two parts of one split."""
        rows, labels = (np.concatenate(pair) for pair in ((self.rows, other.rows), (self.labels, other.labels)))
        return replace(self, rows=rows, labels=labels)

    @override
    def subset(self, rows: slice) -> "ImageFiles":
        return replace(self, rows=self.rows[rows], labels=self.labels[rows])

    def apply(self, i: int, view: Callable[..., T], *arguments) -> T:
        """Return view(image, *arguments) of image i, opened but not yet decoded. UserError names a broken one."""
        row = self.rows[i]
        with sources.open_image(lambda: self.encoded.read(row), self.encoded.where(row)) as image:
            return view(image, *arguments)

    def content_hashes(self) -> list[int]:
        """Return a number for the pixels of each image, which only equal ones share; decode all, in a process a core.

        UserError counts what cannot be decoded, and names the first.
        """
        from lsbook.data.decoding import decode_batches

        batches = ([(i,) for i in rows] for rows in np.array_split(np.arange(len(self)), -(-len(self) // 100)))
        numbers: list[int] = []
        broken: list[UserError] = []
        for found in decode_batches(self, batches, _content):
            if isinstance(found, list):
                broken += found
            else:
                numbers += found.flatten().tolist()
        if broken:
            raise UserError(f"{len(broken)} of {len(self)} images are broken, get them anew; the first: {broken[0]}")
        return numbers


def load(name: str, part: str) -> ImageFiles:
    """Find all images of a part, `train` or `test`, in an order drawn once, for the files of a class lie together.

    UserError when there are none, when a class has none, and when there are not as many as in the catalogue.
    """
    dataset, own = registry.dataset(name), registry.data_folder(name)
    root = data_path() / own
    folder, beginning = PARTS[part]
    expected = dataset.examples[part == "test"]
    encoded: Folder | Packed
    if (root / folder).is_dir():
        encoded, labels, fingerprint = _folder(root / folder, dataset)
        sources.check_count(root / folder, "images", len(labels), expected)
        variant = "original files"
    else:
        files = sources.parquet_files(data_path(), own, beginning)
        if not files:
            raise UserError(
                f"{name} not found under {data_path()}: put the folders train and val, of a folder for each WordNet "
                f"id, or train.parquet and validation.parquet (or several) into {root}, or set LSBOOK_DATA"
            )
        for path in files:
            sources.check_images(path, dataset)
        sources.check_count(root, f"images of {beginning}", sources.count_rows(files), expected)
        encoded, labels, fingerprint = _packed(files, f"{registry.folder(name)}-{part}", dataset)
        variant = "Parquet copy"
    order = np.random.default_rng(0).permutation(len(labels))
    return ImageFiles(encoded, order, labels[order], dataset.classes, fingerprint, variant)


def _folder(root: Path, dataset: Dataset) -> tuple[Folder, np.ndarray, str]:
    """Find the images below `root`; return them, their labels (N,) and fingerprint."""
    digest, names, counts = hashlib.sha256(), [], []
    for wnid, title in zip(dataset.wnids, dataset.classes, strict=True):
        try:
            found = sorted(path for path in (root / wnid).iterdir() if _is_image(path))
        except FileNotFoundError:
            found = None
        except OSError as error:
            raise sources.unreadable_error(root / wnid, error) from None
        if not found:
            lack = "is missing" if found is None else "has no images"
            raise UserError(f"{root / wnid}, the folder of the class {title}, {lack}; unpack it anew")
        names += [os.fsencode(f"{wnid}/{path.name}") for path in found]
        counts.append(len(found))
        for path in found:
            digest.update(os.fsencode(f"{wnid}/{path.name} {_size(path)}\n"))
    return Folder(root, np.array(names)), np.repeat(np.arange(len(counts)), counts), digest.hexdigest()


def _size(path: Path) -> int:
    try:
        sources.check_regular(path)
        return path.stat().st_size
    except OSError as error:
        raise sources.unreadable_error(path, error) from None


def _is_image(path: Path) -> bool:
    """Judge by the name; a hidden file is what an operating system keeps beside an image."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def _packed(files: list[Path], name: str, dataset: Dataset) -> tuple[Packed, np.ndarray, str]:
    """Copy the images of Parquet files together, once; return them, their labels (N,) and fingerprint."""
    listing = json.dumps([[path.name, path.stat().st_size] for path in files])
    fingerprint = hashlib.sha256(listing.encode()).hexdigest()
    folder = sources.writable_folder(files[0].parent / ".packed") / f"{name}-{fingerprint[:16]}"
    packed = _read_packed(folder)
    if packed is None:
        try:
            sources.write_folder(folder, lambda new: _pack(files, new, dataset), only_sized=("images",))
            packed = _read_packed(folder)
        except OSError as error:
            raise UserError(f"{folder} cannot keep the encoded images ({error}); set XDG_CACHE_HOME") from None
    if packed is None:
        raise UserError(f"{folder} is not as it was just written; look after the disk, or set XDG_CACHE_HOME")
    encoded, labels = packed
    sources.check_labels(labels, len(dataset.classes), files[0].parent)
    missing = set(range(len(dataset.classes))) - set(labels.tolist())
    if missing:
        raise UserError(f"{files[0].parent}: no image is of the class {dataset.classes[min(missing)]}; get it anew")
    return encoded, labels, fingerprint


def _pack(files: list[Path], folder: Path, dataset: Dataset) -> dict:
    """Write into `folder` the encoded images in a row, `offsets` (N + 1,) and `labels` (N,)."""
    sizes, labels = [0], []
    with (folder / "images").open("wb") as file:
        for path in files:
            for image, label in sources.read_images(path, dataset):
                sizes.append(file.write(image))
                labels.append(label)
    np.save(folder / "offsets.npy", np.cumsum(sizes))
    np.save(folder / "labels.npy", np.array(labels, np.int64))
    return {}


def _read_packed(folder: Path) -> tuple[Packed, np.ndarray] | None:
    """Read what `_pack` wrote; None unless it is whole."""
    if sources.read_folder(folder, ("images", "offsets.npy", "labels.npy"), only_sized=("images",)) is None:
        return None
    offsets, labels = (np.load(folder / f"{array}.npy") for array in ("offsets", "labels"))
    return Packed(folder / "images", offsets), labels


def _content(image) -> np.ndarray:
    """Hash the pixels of an image: (1,) int64."""
    digest = hashlib.blake2b(f"{image.mode} {image.size}".encode() + image.tobytes(), digest_size=8).digest()
    return np.frombuffer(digest, np.int64)
