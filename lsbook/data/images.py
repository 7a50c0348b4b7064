"""Image data sets as arrays: found, checked, decoded once. Those too large for it are `image_files.ImageFiles`.

A data set is looked for under `LSBOOK_DATA` or `data/`, in this order: Parquet files in the Hub's image layout
(`sources.parquet_files`), torchvision's own files, a download through torchvision. Or a function
gives its images, as those of `digits`.
"""

import hashlib
import itertools
import json
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from typing_extensions import override

from lsbook.core import registry
from lsbook.core.errors import UserError, brief, one_of
from lsbook.core.paths import data_path
from lsbook.core.registry import SPLITS, Dataset
from lsbook.data import image_files, sources
from lsbook.data.image_files import ImageFiles, Split

# Of the images of one split those that another may have too: 3 of the last 10 000 training images of Tiny ImageNet
# are among the others, pixel for pixel.
MAX_SHARED = 0.01


@dataclass(frozen=True)
class Images(Split):
    """One split, decoded.

    Attributes:
        pixels: (N, C, H, W) uint8.
        labels: (N,) int64.
        classes: names in label order.
        fingerprint: SHA-256 of shape, class names, pixels and labels of the whole part that the split was taken from.
        variant: what distinguishes this copy, such as lossy re-encoding.
    """

    pixels: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    fingerprint: str
    variant: str

    def __add__(self, other: "Images") -> "Images":
        """Concatenate two parts of one file."""
        pixels, labels = (np.concatenate(pair) for pair in ((self.pixels, other.pixels), (self.labels, other.labels)))
        return replace(self, pixels=pixels, labels=labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of each image."""
        return self.pixels.shape[1:]

    def content_hashes(self) -> list[int]:
        """Return a number for the pixels of each image, which only equal ones share; another in each process."""
        return [hash(image.tobytes()) for image in self.pixels]

    @override
    def subset(self, rows: slice) -> "Images":
        return replace(self, pixels=self.pixels[rows], labels=self.labels[rows])


AnyImages = Images | ImageFiles


def load(name: str, split: str) -> AnyImages:
    """Read the images of a split: `train`, `heldout` (the last ones of the training file) or `test`.

    CIFAR-10 is split 40 000 / 10 000 / 10 000, as in the paper. UserError when the files are missing or damaged.
    """
    one_of("split", split, SPLITS)
    if split == "test":
        return _whole(name, "test")
    return train_and_heldout(name)[split == "heldout"]


def is_available(name: str) -> bool:
    """Whether the files of both parts of a data set are on this machine, so that reading it downloads nothing."""
    dataset = registry.dataset(name)
    if dataset.files:
        return is_available(dataset.files)
    archives = [data_path() / folder / address.rpartition("/")[2] for folder, address, _ in dataset.archives]
    parquet = [sources.parquet_files(data_path(), registry.data_folder(name), part) for part in ("train", "test")]
    return dataset.load is not None or all(parquet) or (bool(archives) and all(path.is_file() for path in archives))


def all_splits(name: str, decode: bool = False) -> tuple[AnyImages, AnyImages, AnyImages]:
    """Training, held-out and test images.

    Args:
        name: of the data set.
        decode: decode images that stay in their files, too, to see whether each can be.

    Raises:
        UserError: as for `load`, and when splits have decoded images in common.
    """
    found = (*train_and_heldout(name), load(name, "test"))
    if decode or isinstance(found[0], Images):
        check_disjoint(name, [part.content_hashes() for part in found])
    return found


def check_disjoint(name: str, contents: Sequence[Sequence[int]]) -> None:
    """Raise UserError when more than a few images of a split are in another.

    contents: the hashes of SPLITS, in order, as `content_hashes` gives them.
    """
    for (split, ours), (other, theirs) in itertools.combinations(zip(SPLITS, map(set, contents), strict=True), 2):
        shared, smaller = len(ours & theirs), min(len(ours), len(theirs))
        if shared > MAX_SHARED * smaller:
            raise UserError(f"{name}: {shared:,} images are in both {split} and {other}; get its files anew")


def train_and_heldout(name: str) -> tuple[AnyImages, AnyImages]:
    """Read the training file once and return its two splits."""
    whole = _whole(name, "train")
    kept = len(whole) - registry.dataset(name).heldout
    return whole.subset(slice(kept)), whole.subset(slice(kept, None))


def _whole(name: str, part: str) -> AnyImages:
    dataset = registry.dataset(name)
    if dataset.shape is None:
        return image_files.load(name, part)
    found = _from_function(name, dataset, dataset.load, part) if dataset.load else _from_files(name, part)
    where = dataset.load or data_path() / registry.data_folder(name)
    sources.check_count(where, f"images of {part}", len(found), dataset.examples[part == "test"])
    if found.shape != dataset.shape:
        raise UserError(f"{name}: expected images of shape {dataset.shape}, not {found.shape}")
    return found


def _from_function(name: str, dataset: Dataset, load: str, part: str) -> Images:
    """What a data set's own function gives. UserError, naming it, when that is no images, or it fails."""
    found = sources.call(name, load, part)
    if not isinstance(found, tuple) or not all(isinstance(array, np.ndarray) for array in found) or len(found) != 2:
        raise UserError(f"{load} has to return pixels and labels, two NumPy arrays, not {brief(found)}")
    pixels, labels = found
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise UserError(
            f"{load} has to return pixels (N, C, H, W) of uint8 and labels (N,) that are whole numbers, not "
            f"{pixels.shape} of {pixels.dtype} and {labels.shape} of {labels.dtype}"
        )
    if len(pixels) != len(labels):
        raise UserError(f"{load} returns {len(pixels)} images, but {len(labels)} labels")
    return _images(pixels, labels, dataset.classes, dataset.variant, load)


def _from_files(name: str, part: str) -> Images:
    dataset, root, folder = registry.dataset(name), data_path(), registry.data_folder(name)
    if dataset.files:
        whole = _whole(dataset.files, part)
        if not isinstance(whole, Images):
            raise UserError(f"{name} has some of the classes of {dataset.files}, whose images stay in files")
        return _of_classes(whole, dataset.classes)
    parquet = sources.parquet_files(root, folder, part)
    if not parquet:
        return _read_torchvision(root, name, part)
    for path in parquet:
        sources.check_images(path, dataset)
    found = sources.count_rows(parquet)
    sources.check_count(root / folder, f"images of {part}", found, dataset.examples[part == "test"])
    return _cached(parquet, name, part, lambda: _decode_parquet(parquet, name, dataset.examples[part == "test"]))


def _of_classes(whole: Images, classes: tuple[str, ...]) -> Images:
    """Select the images of these classes, and number their labels in this order."""
    for name in classes:
        one_of("class", name, whole.classes)
    place = {whole.classes.index(name): label for label, name in enumerate(classes)}
    rows = np.isin(whole.labels, list(place))
    labels = np.array([place[label] for label in whole.labels[rows].tolist()], np.int64)
    return Images(whole.pixels[rows], labels, classes, whole.fingerprint, whole.variant)


def _decode_parquet(parquet: list[Path], name: str, count: int) -> Images:
    """Decode the Hub's layout: a column of {bytes, path} and one of labels. count: of all images."""
    dataset, folder = registry.dataset(name), parquet[0].parent
    assert dataset.shape is not None  # else images stay in files
    pixels = np.empty((count, *dataset.shape), np.uint8)
    labels: list[int] = []
    lossy = False
    for encoded, label in itertools.chain.from_iterable(sources.read_images(path, dataset) for path in parquet):
        i = len(labels)
        lossy = lossy or encoded[:2] == b"\xff\xd8"  # the first bytes of a JPEG file
        if i < count:
            pixels[i] = _decode(encoded, dataset.shape, f"{folder} row {i}")
        labels.append(label)
    sources.check_count(folder, "images", len(labels), count)
    return _images(pixels, labels, dataset.classes, "JPEG re-encoded" if lossy else "lossless copy", folder)


def _decode(encoded: bytes, shape: tuple[int, int, int], where: str) -> np.ndarray:
    channels, height, width = shape
    with sources.open_image(lambda: encoded, where, (height, width)) as image:
        array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _read_torchvision(root: Path, name: str, part: str) -> Images:
    pixels, labels = sources.read_torchvision(root, name, part)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return _images(np.ascontiguousarray(pixels), labels, registry.dataset(name).classes, "original files", root)


def _images(pixels: np.ndarray, labels, classes: tuple[str, ...], variant: str, where: Path | str) -> Images:
    sources.check_labels(labels, len(classes), where)
    labels = np.asarray(labels, np.int64)
    return Images(pixels, labels, tuple(classes), _fingerprint(pixels, labels, classes), variant)


def _fingerprint(pixels: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps([list(pixels.shape), list(classes)]).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    digest.update(labels.astype("<i8").data)
    return digest.hexdigest()


def _cached(parquet: list[Path], name: str, part: str, decode) -> Images:
    """Return the decoded images, kept beside the source under its checksum; a damaged copy is decoded again."""
    folder = sources.writable_folder(parquet[0].parent / ".decoded")
    path = folder / f"{registry.folder(name)}-{part}-{sources.content_key(parquet)}.npz"
    if path.is_file():
        # Whatever a damaged copy raises, decoding again mends it.
        with suppress(Exception), path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if any(part.compress_type != zipfile.ZIP_STORED for part in kept.zip.infolist()):
                raise ValueError("unpacked it could be of any size")
            images = _images(
                kept["pixels"], kept["labels"], tuple(kept["classes"].tolist()), str(kept["variant"]), path
            )
            if images.fingerprint == str(kept["fingerprint"]):
                return images
    images = decode()
    with suppress(OSError):  # a full or read-only disk costs only the next start's time
        sources.write_atomically(path, lambda file: np.savez(file, **vars(images)))
    return images
