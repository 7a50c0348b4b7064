"""Where data files are: Parquet in the Hub's layout, torchvision's own files, downloads, their checks and caches.

Files come from anywhere. So whatever says how large something is, is read and judged before the thing itself.
"""

import hashlib
import importlib
import json
import math
import os
import re
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock

from lsbook.core import registry
from lsbook.core.errors import UserError, brief, needing, shortened
from lsbook.core.paths import cache_path
from lsbook.core.registry import Corpus, Dataset

UNFINISHED = ".tmp"  # how the name of a file ends that is being written
MIN_UNPACKED = 2**26  # bytes that a file or a column may always unpack to, and above that:
MAX_EXPANSION = 100  # times its size; texts unpack to four times theirs, encoded images to their own
COLUMN_MEMORY = 2**27  # bytes of Parquet columns in memory at a time, in up to three copies
MAX_ENCODED = 2**26  # bytes of an encoded image
MAX_PIXELS = 2**26  # of an image; the largest of ImageNet has 61 million
MOST_OWN_CLASSES = 1_000  # of somebody's own images
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
# Which of Pillow's transpositions undoes each orientation of EXIF; 1 is upright.
TRANSPOSITIONS = {
    **{2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"},
    **{6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"},
}


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file's content. UserError when it cannot be read."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable_error(path, error) from None


def unreadable_error(path: Path, error: OSError) -> UserError:
    """Make the error for a file or folder that the system does not let us read."""
    return UserError(f"{path} cannot be read: {error.strerror or error}; mend that, or set LSBOOK_DATA")


def check_regular(path: Path) -> None:
    """Raise UserError for a pipe or a device, which would be read for ever; not for what is missing."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{path} cannot be read: it is no regular file; remove it, or set LSBOOK_DATA")


def content_key(files: Sequence[Path], *settings: str) -> str:
    """Return 16 hex digits that name what is made of the files' content under these settings."""
    parts = [sha256(path) for path in files] + list(settings)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def damaged_error(path: Path, error: Exception, expected: str | None = None) -> UserError:
    """Make the error for a file with damaged content. expected: SHA-256 of the whole file, where it is known."""
    reason = shortened(str(error).partition("\n")[0], 200)
    expectation = f", expected {expected}" if expected else ""
    return UserError(f"{path} is damaged (SHA-256 {sha256(path)}{expectation}): {reason}; get it anew")


def parquet_files(root: Path, name: str, part: str) -> list[Path]:
    """Find the Parquet files of one part, in order, in `<name>/` or one folder further down.

    They are `<part>.parquet`, or one complete set of the Hub's `<part>-00000-of-00002.parquet` and so on, before whose
    ending a hash may come. UserError where some are missing, and where there is more than one set: a file that is
    there twice, or that has been renamed when it was copied, such as `<part> (1).parquet`.
    """
    name_of_ours = re.compile(rf"{part}(?:-(\d{{1,5}})-of-(\d{{1,5}})(?:-\w+)?)?\.parquet")
    places = (root / name).glob(f"{part}*.parquet"), (root / name).glob(f"[!.]*/{part}*.parquet")
    found = {path: name_of_ours.fullmatch(path.name) for paths in places for path in sorted(paths)}
    for path, ours in found.items():
        if not ours and re.match(r"\W", path.name[len(part) :]):
            raise UserError(
                f"{path} is named neither {part}.parquet nor as one of several, {part}-00000-of-00002.parquet: rename "
                "it if it belongs to them, or remove it"
            )
    numbers = {path: ours and ours[1] and (int(ours[1]), int(ours[2])) for path, ours in found.items() if ours}
    if not numbers:
        return []
    totals = {number and number[1] for number in numbers.values()}
    if len({path.parent for path in numbers}) > 1 or len(totals) > 1 or len(set(numbers.values())) < len(numbers):
        named = ", ".join(str(path.relative_to(root / name)) for path in list(numbers)[:4])
        raise UserError(
            f"{root / name}: there is more than one set of files of {part}: {named}"
            f"{' and others' if len(numbers) > 4 else ''}; keep one"
        )
    [total] = totals
    present = {number[0] for number in numbers.values() if number}
    if missing := [str(i) for i in range(total or 0) if i not in present]:
        raise UserError(
            f"{next(iter(numbers)).parent}: of the {total} files of {part} there is no number "
            f"{', '.join(missing[:10])}{' and others' if len(missing) > 10 else ''}"
        )
    return sorted(numbers, key=lambda path: numbers[path] or 0)


@contextmanager
def open_parquet(path: Path) -> Iterator:
    """Open a Parquet file by PyArrow. UserError when reading it within the block shows that it is damaged."""
    import pyarrow
    import pyarrow.parquet

    check_regular(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except UserError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise damaged_error(path, error) from None


def count_rows(files: Sequence[Path]) -> int:
    """Count the rows that Parquet files say that they have."""
    count = 0
    for path in files:
        with open_parquet(path) as file:
            count += file.metadata.num_rows
    return count


def read_columns(path: Path, *columns: str, most: int) -> Iterator:
    """Read columns of a Parquet file as PyArrow's batches, of as many rows as COLUMN_MEMORY holds, at most `most`.

    That many would fit even if each were as large as all different values together, for a value that is repeated takes
    no room in the file. UserError for a file that unpacks to far more than its size.
    """
    with open_parquet(path) as file:
        # Not asked column by column: of a damaged one PyArrow would end the process.
        unpacked = [file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups)]
        check_expansion(path, sum(unpacked), path.stat().st_size)
        rows = COLUMN_MEMORY // max([1, *unpacked])
        for batch in file.iter_batches(max(1, min(most, rows)), columns=list(columns)):
            batch.validate(full=True)
            yield batch


def check_expansion(path: Path, unpacked: int, packed: int) -> None:
    """Raise UserError for a file that unpacks to far more bytes than anything of use does."""
    if unpacked > max(MIN_UNPACKED, MAX_EXPANSION * packed):
        raise UserError(f"{path} unpacks to more than {MAX_EXPANSION} times its {packed:,} bytes; get it anew")


def check_count(where: Path | str, what: str, found: int, expected: int) -> None:
    """Raise UserError unless as many examples are there as the registry says."""
    if found != expected:
        raise UserError(f"{where} has {found:,} {what}, but there are {expected:,}; get its files anew")


def check_images(path: Path, dataset: Dataset) -> tuple[str, str]:
    """Return the columns of images and labels. UserError unless the file has both, and our classes if it names any."""
    import pyarrow

    with open_parquet(path) as file:
        schema = file.schema_arrow
    image = _column(path, schema.names, dataset.image_columns)
    label = _label_column(path, schema, dataset.label_columns)
    kind = schema.field(image).type
    place = kind.get_field_index("bytes") if pyarrow.types.is_struct(kind) else -1
    if place < 0 or not _is_binary(kind.field(place).type):
        raise UserError(f"{path}: images must be structs with `bytes`, not {shortened(str(kind), 80)}")
    check_classes(path, _class_names(path, schema, label), dataset)
    return f"{image}.bytes", label


def _is_binary(kind) -> bool:
    import pyarrow

    return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)


def check_classes(path: Path, names: tuple[str, ...], dataset: Dataset) -> None:
    """Raise UserError unless these are the data set's classes in order, or their WordNet ids, or no names at all.

    Each may be a list of synonyms, or a part of one, and a few may be misspelt.
    """
    ours = [name.lower().replace("_", " ") for name in dataset.classes]
    theirs = [name.partition(",")[0].strip().lower().replace("_", " ") for name in names]
    same = sum(name == own for name, own in zip(theirs, ours, strict=False))
    if names and names != dataset.wnids and (len(theirs) != len(ours) or same < 0.9 * len(ours)):
        raise UserError(
            f"{path}: its {len(names)} classes are not the {len(ours)} of {dataset.title} in their order, which begin "
            f"with {', '.join(dataset.classes[:3])}; get it anew"
        )


def read_images(path: Path, dataset: Dataset) -> Iterator[tuple[bytes, int]]:
    """Yield each encoded image with its label. UserError as for `check_images`, and where one lacks either."""
    import pyarrow.compute

    image, label = check_images(path, dataset)
    row = 0
    for batch in read_columns(path, image, label, most=100):
        encoded = pyarrow.compute.struct_field(batch.column(batch.schema.names.index(image.partition(".")[0])), [0])
        labels = batch.column(batch.schema.names.index(label))
        for what, column in (("bytes", encoded), ("label", labels)):
            if column.null_count:
                lacking = row + column.is_null().index(True).as_py()
                raise UserError(f"{path} row {lacking} has no {what}; get it anew")
        for content, number in zip(encoded.to_pylist(), labels.to_pylist(), strict=True):
            if len(content) > MAX_ENCODED:
                raise UserError(f"{path} row {row}: an image of {len(content):,} bytes is too large; get it anew")
            yield content, number
            row += 1


def _column(path: Path, present: list[str], wanted: tuple[str, ...]) -> str:
    found = next((name for name in wanted if name in present), None)
    if found is None or present.count(found) > 1:
        lack = "none of" if found is None else "not exactly one of"
        raise UserError(f"{path} has columns {shortened(', '.join(present), 200)}, but {lack} {', '.join(wanted)}")
    return found


def _label_column(path: Path, schema, wanted: tuple[str, ...]) -> str:
    """Find the column of labels. UserError unless they are whole numbers."""
    import pyarrow

    label = _column(path, schema.names, wanted)
    if not pyarrow.types.is_integer(schema.field(label).type):
        raise UserError(f"{path}: labels must be whole numbers, not {schema.field(label).type}")
    return label


def class_names(files: Sequence[Path]) -> tuple[str, ...]:
    """The classes of Parquet files in label order: as their metadata name them, else as the labels of all number them.

    UserError when a file has no column of labels that are whole numbers, or two name different classes.
    """
    columns: dict[Path, str] = {}
    named: dict[tuple[str, ...], Path] = {}
    for path in files:
        with open_parquet(path) as file:
            schema = file.schema_arrow
        columns[path] = _label_column(path, schema, Dataset.label_columns)
        if names := _class_names(path, schema, columns[path]):
            named.setdefault(names, path)
    if len(named) > 1:
        first, second, *_ = named.values()
        raise UserError(f"{first} and {second.name} name different classes; keep files of one data set")
    if named:
        return next(iter(named))
    return tuple(map(str, range(1 + max(_largest_label(path, label) for path, label in columns.items()))))


def _largest_label(path: Path, label: str) -> int:
    import pyarrow.compute

    batches = (pyarrow.compute.max(batch.column(0)).as_py() for batch in read_columns(path, label, most=10_000))
    largest = max((number for number in batches if number is not None), default=0)
    if largest >= MOST_OWN_CLASSES:
        raise UserError(f"{path} has a label {largest:,}; at most {MOST_OWN_CLASSES:,} classes are read")
    return largest


def _class_names(path: Path, schema, label: str) -> tuple[str, ...]:
    """Read names from the schema's metadata: our own `label_names`, or the Hub's feature description."""
    metadata = schema.metadata or {}
    try:
        if b"label_names" in metadata:
            names = json.loads(metadata[b"label_names"])
        else:
            features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
            names = features.get(label, {}).get("names") or ()
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise TypeError
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise UserError(f"{path}: the class names in its metadata are no list of names; get it anew") from None
    return tuple(names)


def check_labels(labels: Sequence[int] | np.ndarray, n_classes: int, where: Path | str) -> None:
    """Raise UserError unless there are labels and all lie in 0 … n_classes − 1. where: what they are from."""
    if len(labels) == 0 or min(labels) < 0 or max(labels) >= n_classes:
        raise UserError(f"{where}: labels must lie in 0 … {n_classes - 1} and there must be some; get its files anew")


def read_encoded(path: Path) -> bytes:
    """Return an encoded image's bytes. Raises UserError for what is no regular file, or too large, unread."""
    if not path.is_file():
        raise UserError(f"{path} is no regular file")
    if (size := path.stat().st_size) > MAX_ENCODED:
        raise UserError(f"{path}: an image of {size:,} bytes is too large")
    return path.read_bytes()


@contextmanager
def open_image(read: Callable[[], bytes], where: str, size: tuple[int, int] | None = None) -> Iterator:
    """Open an image by Pillow, as `as_displayed`; an ordinary JPEG is not decoded yet.

    Args:
        read: returns the encoded bytes.
        where: names the image in a message.
        size: the height and width that it has to have; any when None.

    Raises:
        UserError: it has another size or more than MAX_PIXELS, or cannot be decoded, within the block either.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged description, and of what is refused below
            image = Image.open(BytesIO(read()), formats=FORMATS)
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(_too_large(where, f"{image.width:,} × {image.height:,}"))
            if size and sorted(image.size) != sorted(size):
                raise UserError(_of_another_size(where, size, image.size))
            shown = as_displayed(image)
            if size and shown.size != size[::-1]:
                raise UserError(_of_another_size(where, size, shown.size))
            yield shown
    except (UserError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise UserError(_too_large(where, "far more")) from None
    except UnidentifiedImageError:
        raise UserError(f"{where}: the image cannot be decoded: it is no {', '.join(FORMATS)}") from None
    except Exception as error:  # Pillow raises many of them, each for some broken file
        raise UserError(f"{where}: the image cannot be decoded ({brief(str(error))})") from None


def _too_large(where: str, size: str) -> str:
    return f"{where}: an image of {size} pixels is too large, {MAX_PIXELS:,} are allowed; get it anew"


def _of_another_size(where: str, size: tuple[int, int], found: tuple[int, int]) -> str:
    return f"{where}: expected {size[0]} × {size[1]} pixels, found {found[1]} × {found[0]}"


def as_displayed(image):
    """Return the image with the pixels that a viewer shows, 8 bits each: itself, if it is grey or RGB and that is all.

    It is turned as its description says; 16 bits of grey scaled to 8; what is transparent before white, as on a page.
    Colour profiles are left out.
    """
    from PIL import Image

    image = _upright(image)
    if image.mode.startswith("I"):  # PNG's 16 bits of grey
        grey = np.asarray(image).astype(np.int64)
        opaque = grey != image.info.get("transparency", -1)
        return Image.fromarray(np.where(opaque, (grey.clip(0, 65_535) + 128) // 257, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")


def _upright(image):
    from PIL import ExifTags, Image

    if image.format != "JPEG":  # the others may say so at their end only
        image.load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            turn = TRANSPOSITIONS.get(image.getexif().get(ExifTags.Base.Orientation))
        except Exception:  # a damaged description, of which viewers make nothing
            turn = None
    return image.transpose(Image.Transpose[turn]) if turn else image


def read_torchvision(root: Path, name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Read pixels (N, H, W[, C]) and labels (N,) by torchvision, which downloads files that are not below `root`."""
    dataset = registry.dataset(name)
    if dataset.torchvision is None:
        raise UserError(
            f"{name} not found under {root} and nobody offers it for download; put train.parquet and test.parquet "
            f"(columns image, label) into {root / registry.data_folder(name)}, set LSBOOK_DATA, or use the profile "
            "smoke"
        )
    kind = getattr(_torchvision_datasets(name), dataset.torchvision)
    _check_sizes(root / kind.__name__ / "raw", dataset)
    try:
        with one_at_a_time():
            try:
                data = kind(root, train=part == "train", download=False)
            except RuntimeError:  # torchvision's "not found or corrupted"
                download(root, name, dataset)
                data = kind(root, train=part == "train", download=True)  # its own checks, then unpacks
        return np.asarray(data.data), np.asarray(data.targets)
    except UserError:
        raise
    except Exception as error:  # whatever its readers meet: they check CIFAR's files by their sums, MNIST's hardly
        raise UserError(f"the files of {name} under {root} are damaged ({brief(str(error))}); get them anew") from None


def _check_sizes(folder: Path, dataset: Dataset) -> None:
    """Raise UserError for one of MNIST's files, which are read whole, that is larger than its images can be."""
    assert dataset.shape is not None  # torchvision's data sets have one size
    most = max(dataset.examples) * math.prod(dataset.shape) + 16  # of a header
    for path in folder.glob("*-ubyte"):
        check_regular(path)
        if path.stat().st_size > most:
            raise UserError(f"{path} has {path.stat().st_size:,} bytes, more than {most:,}; get it anew")


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let no two processes of a user look for files and download them at once: one would find what is half there.

    Where nothing can be kept in the cache, they do not wait for each other.
    """
    lock: AbstractContextManager = nullcontext()
    with suppress(OSError):
        cache_path().mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache_path() / ".download.lock").acquire()
    with lock:
        yield


def download(root: Path, name: str, dataset: Dataset | Corpus) -> None:
    """Download a data set's archives, with torchvision's progress bar, and check them by SHA-256.

    UserError when a download fails or a checksum differs.
    """
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


def call(name: str, load: str, part: str) -> Any:
    """What the function of a data set or text gives of a part. UserError, naming the function, when it fails."""
    function = registry.imported(load)
    with failing(name, load):
        return function(part)


@contextmanager
def failing(name: str, load: str) -> Iterator[None]:
    """Within it, what the function of a data set or text raises is a UserError that names the function."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of all that may go wrong in somebody's function
        if isinstance(error, ModuleNotFoundError) and not registry.is_own(name):
            raise  # of ours it is known how to install what they need
        raise UserError(f"{load} failed: {shortened(f'{type(error).__name__}: {error}', 200)}") from error


def writable_folder(beside: Path) -> Path:
    """Return `beside`, or the user's cache folder when its parent is marked read-only (even to root) or not ours."""
    parent = beside.parent
    if os.access(parent, os.W_OK) and parent.stat().st_mode & 0o200:
        return beside
    return cache_path()


def with_checksum(content: bytes) -> bytes:
    """Put a line with the content's SHA-256 before it; `without_checksum` takes it off."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def without_checksum(kept: bytes) -> bytes | None:
    """Return the content that `with_checksum` was given; None when any byte of it has changed."""
    checksum, _, content = kept.partition(b"\n")
    return content if hashlib.sha256(content).hexdigest().encode() == checksum else None


SUMMARY = "summary"  # the file of a kept folder that says what the others are


def write_folder(folder: Path, fill: Callable[[Path], dict], only_sized: Sequence[str] = ()) -> None:
    """Let `fill` write files into a new folder and return notes on them; the folder is whole or not there.

    only_sized: of these files, too large to be read each time, `read_folder` checks the size alone.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        notes = fill(new)
        files = {path.name: [path.stat().st_size, _checksum(path, only_sized)] for path in new.iterdir()}
        (new / SUMMARY).write_bytes(with_checksum(json.dumps({"notes": notes, "files": files}).encode()))
        if read_folder(folder, list(files), only_sized) is None:  # unless someone else was faster
            shutil.rmtree(folder, ignore_errors=True)
            new.rename(folder)


def read_folder(folder: Path, names: Sequence[str], only_sized: Sequence[str] = ()) -> dict | None:
    """Return the notes of `write_folder` when these files are as they were written, and else None."""
    try:
        summary = json.loads(without_checksum((folder / SUMMARY).read_bytes()) or b"null")
        found = {name: [(folder / name).stat().st_size, _checksum(folder / name, only_sized)] for name in names}
        return summary["notes"] if found == summary["files"] else None
    except (OSError, ValueError, KeyError, TypeError):  # a UserError among them, of a file that cannot be read
        return None


def _checksum(path: Path, only_sized: Sequence[str]) -> str | None:
    return None if path.name in only_sized else sha256(path)


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all, however the process ends and whoever else writes it.

    Who may read it is as of any other new file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{secrets.token_hex(8)}{UNFINISHED}")
    try:
        with unfinished.open("xb") as file:  # a new file, never what a link leads to
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
