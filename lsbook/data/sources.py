"""Where data files are: Parquet in the Hub's layout, torchvision's own files, downloads, their checks and caches."""

import hashlib
import importlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lsbook.core.errors import UserError, needing
from lsbook.core.paths import cache_path
from lsbook.core.registry import DATASETS, Corpus, Dataset

UNFINISHED = ".tmp"  # how the name of a file ends that is being written


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content. UserError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> UserError:
    """The one line for a file or folder that the system does not let us read."""
    return UserError(f"{path} cannot be read: {error.strerror or error}; mend that, or set LSBOOK_DATA")


def content_key(files: list[Path], *settings: str) -> str:
    """16 hex digits that name what is made of the files' content under these settings."""
    parts = [sha256(path) for path in files] + list(settings)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def damaged(path: Path, error: Exception, expected: str | None = None) -> UserError:
    """The one line for a file that cannot be read. expected: the SHA-256 of the whole file, where it is known."""
    reason = str(error).partition("\n")[0]
    expectation = f", expected {expected}" if expected else ""
    return UserError(f"{path} is damaged (SHA-256 {sha256(path)}{expectation}): {reason}; get it anew")


def parquet_files(root: Path, name: str, part: str) -> list[Path]:
    """Parquet files of one part, in order: `<name>/<part>*.parquet` or, when there are none, one folder further down.

    UserError where the Hub's names, such as `train-00000-of-00002.parquet`, tell that some are missing.
    """
    folder = root / name
    found = sorted(folder.glob(f"{part}*.parquet")) or sorted(folder.glob(f"*/{part}*.parquet"))
    numbered = [re.search(r"-(\d+)-of-(\d+)", path.stem) for path in found]
    here = {(int(match[1]), int(match[2])) for match in numbered if match}
    for number in {of for _, of in here}:
        if missing := [str(i) for i in range(number) if (i, number) not in here]:
            raise UserError(
                f"{found[0].parent}: of the {number} files of {part} there is no number {', '.join(missing)}"
            )
    return found


def read_parquet(files: list[Path], dataset: Dataset) -> tuple[list[bytes], np.ndarray, tuple[str, ...]]:
    """Encoded images, labels (N,) and class names. UserError names the file that is damaged or lacks a column."""
    import pyarrow
    import pyarrow.parquet

    images, labels, classes = [], [], dataset.classes
    for path in files:
        try:
            table = pyarrow.parquet.read_table(path)
        except (pyarrow.ArrowException, OSError) as error:
            raise damaged(path, error) from None
        image = _column(path, table.column_names, dataset.image_columns)
        label = _column(path, table.column_names, dataset.label_columns)
        images += _encoded(path, table[image])
        if len(table) and not pyarrow.types.is_integer(table[label].type):
            raise UserError(f"{path}: labels must be whole numbers, not {table[label].type}")
        labels.append(table[label].to_numpy())
        classes = _class_names(path, table.schema, label) or classes
    if not images:
        raise UserError(f"{files[0].parent}: there are no images")
    return images, np.concatenate(labels), classes


def _encoded(path: Path, column) -> list[bytes]:
    """The encoded images of a column of structs that have `bytes`, as the Hub lays them out."""
    import pyarrow

    if not pyarrow.types.is_struct(column.type) or column.type.get_field_index("bytes") < 0:
        raise UserError(f"{path}: images must be structs with `bytes`, not {column.type}")
    found = column.combine_chunks().field("bytes")
    if found.null_count:
        raise UserError(f"{path}: {found.null_count} images have no bytes")
    return found.to_pylist()


def _column(path: Path, present: list[str], wanted: tuple[str, ...]) -> str:
    for name in wanted:
        if name in present:
            return name
    raise UserError(f"{path} has columns {', '.join(present)}, but none of {', '.join(wanted)}")


def _class_names(path: Path, schema, label: str) -> tuple[str, ...]:
    """Names from the schema's metadata: our own `label_names`, or the Hub's feature description."""
    metadata = schema.metadata or {}
    try:
        if b"label_names" in metadata:
            names = json.loads(metadata[b"label_names"])
        else:
            features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
            names = features.get(label, {}).get("names") or ()
        if not all(isinstance(name, str) for name in names):
            raise TypeError
    except (ValueError, AttributeError, TypeError):
        raise UserError(f"{path}: the class names in its metadata are no list of names; get it anew") from None
    return tuple(names)


def check_labels(labels: np.ndarray, n_classes: int, where: Path | str) -> None:
    """UserError unless there are labels and all lie in 0 … n_classes − 1. where: what they are from."""
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= n_classes:
        raise UserError(f"{where}: labels must lie in 0 … {n_classes - 1} and there must be some; get its files anew")


@contextmanager
def opened(read: Callable[[], bytes], where: str) -> Iterator:
    """The image (of Pillow) whose encoded bytes `read` gives. UserError when it cannot be decoded within the block."""
    from PIL import Image

    try:
        with Image.open(BytesIO(read())) as image:
            yield image
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, TypeError) as error:  # Pillow raises each of them for some broken file
        raise UserError(f"{where}: the image cannot be decoded ({error})") from None


def read_torchvision(root: Path, name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, H, W[, C]) and labels from torchvision's files below `root`, downloaded when they are not there."""
    if DATASETS[name].torchvision is None:
        raise UserError(
            f"{name} not found under {root} and nobody offers it for download; put train.parquet and test.parquet "
            f"(columns image, label) into {root / name}, set LSBOOK_DATA, or use the profile smoke"
        )
    kind = getattr(_torchvision_datasets(name), DATASETS[name].torchvision)
    try:
        data = kind(root, train=part == "train", download=False)
    except RuntimeError:  # torchvision's "not found or corrupted"
        download(root, name, DATASETS[name])
        try:
            data = kind(root, train=part == "train", download=True)  # its own checks, then unpacks
        except (RuntimeError, AssertionError, ValueError) as error:
            raise UserError(f"the files of {name} under {root} are damaged ({error}); get them anew") from None
    return np.asarray(data.data), np.asarray(data.targets)


def download(root: Path, name: str, dataset: Dataset | Corpus) -> None:
    """Fetch a data set's archives with torchvision's progress bar and check them by SHA-256."""
    utils = _torchvision_datasets(name).utils
    for folder, address, checksum in dataset.archives:
        path = root / folder / address.rpartition("/")[2]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            utils.download_url(address, str(path.parent), path.name)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{name} not found, or damaged, under {root} and its download failed ({error}); run "
                f"`lsbook data {name}` ({dataset.size}) with a network, set LSBOOK_DATA, or use the profile smoke"
            ) from None
        found = sha256(path)
        if found != checksum:
            path.unlink()
            raise UserError(f"{address}: SHA-256 is {found}, expected {checksum}; the file was removed, try again")


def _torchvision_datasets(name: str):
    with needing("train", f"{name} has no Parquet files here, and reading it otherwise"):
        from lsbook.core.torchvision_operators import declare_missing

        declare_missing()
        return importlib.import_module("torchvision.datasets")


def writable_folder(beside: Path) -> Path:
    """`beside`, or the user's cache folder when its parent is marked read-only (even to root) or not ours."""
    parent = beside.parent
    if os.access(parent, os.W_OK) and parent.stat().st_mode & 0o200:
        return beside
    return cache_path()


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that whoever is stopped, or does so twice at once, leaves a whole one or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=UNFINISHED)  # a new file, never what a link leads to
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
