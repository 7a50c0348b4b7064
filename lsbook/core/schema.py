"""What a record may hold: three files of bounded size, with these fields, arrays and types.

Records come from others. So nothing is unpacked before its size is known, nothing is unpickled, no link is
followed, and every string is short, printable and one line.
"""

import hashlib
import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NamedTuple, NotRequired

import numpy as np
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # typing has one that pydantic takes from Python 3.12 on

from lsbook.core.config import Run, from_dict
from lsbook.core.errors import UserError, one_line
from lsbook.core.registry import is_own
from lsbook.core.strict import STRICT

ARRAYS, RECORD = RECORD_FILES = ("arrays.npz", "record.json")
CHECKSUMS = "SHA256SUMS"
MOST_BYTES = {ARRAYS: 16 * 2**20, RECORD: 2**20, CHECKSUMS: 1_000}
MOST_UNPACKED = 64 * 2**20  # bytes of all arrays together
MOST_ARRAYS = 100
MOST_DIMENSIONS = 6
MOST_HEADER = 1_000  # bytes of an array's own description
MOST_CHARACTERS = 200  # characters of a string
NAME = r"[a-z][a-z0-9_]{0,63}"  # of a metric, of a history, of an array
ITEM_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "U": range(4, 4 * MOST_CHARACTERS + 1)}
LINKS_REFUSED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # Windows has neither


class Damaged(ValueError):
    """A record that cannot be used; the message says in a few words what is wrong with it."""


def _printable(text: str) -> str:
    if text != one_line(text):
        raise ValueError("must be one printable line")
    return text


Line = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS), AfterValidator(_printable)]
FieldName = Annotated[str, Field(pattern=rf"\A{NAME}\z")]
Digest = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
Number = int | float
Amount = Annotated[Number, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


@with_config(STRICT)
class Data(TypedDict):
    """The data of a run: which copy of them, and the SHA-256 of their splits.

    classes: names in label order, of images that the registry has no short name for.
    """

    variant: Line
    train_sha256: Digest
    test_sha256: Digest
    classes: NotRequired[Annotated[list[Line], Field(min_length=2)]]


@with_config(STRICT)
class Environment(TypedDict):
    """Where and with what a run was made: versions, machine, seconds, memory in 10⁶ bytes, joules.

    flops_per_example: floating-point operations of a training step for each image, or each token of a text.
    """

    python: Line
    torch: Line
    numpy: Line
    device: Line
    threads: Count
    precision: Line
    commit: Line
    recorded: Annotated[str, Field(pattern=r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\z")]
    data: Data
    training_seconds: Amount
    peak_memory_mb: Count
    processes: NotRequired[Count]
    images_per_second: NotRequired[Amount]
    tokens_per_second: NotRequired[Amount]
    elapsed_seconds: NotRequired[Amount]
    probe_seconds: NotRequired[Amount]
    evaluation_seconds: NotRequired[Amount]
    gpu_memory_mb: NotRequired[Count]
    gpu_joules: NotRequired[Amount]
    flops_per_example: NotRequired[Count]
    signatures: NotRequired[dict[Line, Line]]


@with_config(STRICT)
class RecordText(TypedDict):
    """What `record.json` holds.

    run: as `config.as_dict` gives it, whose fields `config.from_dict` checks.
    """

    key: Line
    run: dict[str, Any]
    metrics: dict[FieldName, Number]
    history: dict[FieldName, list[Number]]
    environment: Environment


RECORD_TEXT = TypeAdapter(RecordText)


class Content(NamedTuple):
    """What a record says, checked.

    Attributes:
        run: what decided its outcome.
        metrics: name -> number.
        history: name -> numbers, one a point of measurement along the training.
        environment: where and with what it was made.
    """

    run: Run
    metrics: dict[str, Number]
    history: dict[str, list[Number]]
    environment: Environment


@contextmanager
def _as_damaged() -> Iterator[None]:
    """Within it whatever goes wrong is said as Damaged: what is made to break its reader may raise anything."""
    try:
        yield
    except Damaged:
        raise
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise Damaged(_shortened(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")) from None
    except Exception as error:
        raise Damaged(f"not readable ({_shortened(str(error) or type(error).__name__)})") from None


def _shortened(text: str) -> str:
    return one_line(text)[:MOST_CHARACTERS]


def read_files(folder: Path) -> dict[str, bytes]:
    """Return name -> content of a record's three files.

    Raises:
        Damaged: unless the folder holds them, each of its size at the most, and nothing else.
    """
    with _as_damaged():
        if folder.is_symlink() or folder.parent.is_symlink():
            raise Damaged("a link, which is not followed")
        with os.scandir(folder) as entries:
            if unknown := next((entry.name for entry in entries if entry.name not in MOST_BYTES), None):
                raise Damaged(f"{_shortened(unknown)} is not a file of a record")
        return {name: _read(folder / name) for name in MOST_BYTES}


def _read(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file of a record. Damaged unless it is a regular one of its size at the most."""
    name = path.name
    try:
        _check_regular(name, path.lstat())
    except FileNotFoundError:
        raise Damaged(f"{name} is missing") from None
    with open(path, "rb", opener=lambda path, flags: os.open(path, flags | LINKS_REFUSED)) as file:
        _check_regular(name, os.fstat(file.fileno()))
        yield file


def _check_regular(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Damaged(f"{name} is no regular file")
    _check_size(name, found.st_size)


def _check_size(name: str, size: int) -> None:
    if size > MOST_BYTES[name]:
        raise Damaged(f"{name} has {size:,} bytes, more than {MOST_BYTES[name]:,}")


def content(files: Mapping[str, bytes]) -> Content:
    """Return what a record's files say; of the arrays only names, types and sizes are looked at.

    Args:
        files: name -> content, as `read_files` gives it.

    Raises:
        Damaged: if they do not match their checksums, or are not as declared here.
    """
    with _as_damaged():
        for name in MOST_BYTES:
            _check_size(name, len(files[name]))
        lines = files[CHECKSUMS].decode().splitlines()
        expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        for name in RECORD_FILES:
            if hashlib.sha256(files[name]).hexdigest() != expected.get(name):
                raise Damaged(f"{name} does not match its checksum")
        text = RECORD_TEXT.validate_python(_json(files[RECORD]))
        _check_strings(text["run"])
        run = from_dict(text["run"])
        if text["key"] != run.key:
            raise Damaged(f"its key is {run.key}, not {text['key']}")
        speed = "tokens_per_second" if run.is_text else "images_per_second"
        if speed not in text["environment"]:
            raise Damaged(f"environment.{speed}: Field required")
        if is_own(run.dataset) and not run.is_text and "classes" not in text["environment"]["data"]:
            raise Damaged("environment.data.classes: Field required")
        with zipfile.ZipFile(BytesIO(files[ARRAYS])) as archive:
            _members(archive)
        return Content(run, text["metrics"], text["history"], text["environment"])


def _json(content: bytes) -> Any:
    """Parse JSON as json.loads does, but only with every name once and all numbers finite and of 64 bits."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) < len(pairs):
            raise ValueError("a name is there twice")
        return found

    def whole(text: str) -> int:
        if len(text) > 20 or abs(number := int(text)) >= 2**63:
            raise ValueError("a number needs more than 64 bits")
        return number

    def finite(text: str) -> float:
        if not math.isfinite(number := float(text)):
            raise ValueError("a number is not finite")
        return number

    return json.loads(
        content.decode(), object_pairs_hook=once, parse_int=whole, parse_float=finite, parse_constant=finite
    )


def _check_strings(values: Any) -> None:
    """Damaged unless all strings in them are short printable lines."""
    if isinstance(values, dict | list):
        for value in (*values, *values.values()) if isinstance(values, dict) else values:
            _check_strings(value)
    elif isinstance(values, str) and (len(values) > MOST_CHARACTERS or values != one_line(values)):
        raise Damaged("run: strings must be short printable lines")


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Name -> member of an array. Damaged unless each is of a type and size as declared here."""
    members = archive.infolist()
    names = [member.filename.removesuffix(".npy") for member in members]
    if len(set(names)) < len(names) or len(names) > MOST_ARRAYS:
        raise Damaged(f"{ARRAYS} has more than {MOST_ARRAYS} arrays, or two of a name")
    if sum(member.file_size for member in members) > MOST_UNPACKED:
        raise Damaged(f"{ARRAYS} unpacks to more than {MOST_UNPACKED:,} bytes")
    for member in members:
        _check_member(archive, member)
    return dict(zip(names, members, strict=True))


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Damaged unless it is an array of a type that is declared here, and of the size that it declares."""
    if not re.fullmatch(rf"{NAME}\.npy", member.filename):
        raise Damaged(f"{ARRAYS}: {_shortened(member.filename)} is no name of an array")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Damaged(f"{ARRAYS}: {member.filename} is packed in an unknown way")
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise Damaged(f"{ARRAYS}: {member.filename} is in an unknown format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=MOST_HEADER)
        if dtype.itemsize not in ITEM_SIZES.get(dtype.kind, ()):
            raise Damaged(f"{ARRAYS}: {member.filename} is of type {_shortened(str(dtype))}")
        if len(shape) > MOST_DIMENSIONS or min(shape, default=0) < 0:
            raise Damaged(f"{ARRAYS}: {member.filename} has the shape {_shortened(str(shape))}")
        if file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise Damaged(f"{ARRAYS}: {member.filename} is not of the size that it declares")


class Arrays(Mapping[str, np.ndarray]):
    """A record's arrays by name, each read, and its values checked, when first asked for.

    Asking raises UserError where the array turns out to be damaged, the file to have changed, or the record lacks it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._read: dict[str, np.ndarray] = {}

    @cached_property
    def _names(self) -> tuple[str, ...]:
        with self._archive() as archive:
            return tuple(_members(archive))

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        try:
            with _as_damaged(), _opened(self._folder / ARRAYS) as file, zipfile.ZipFile(file) as archive:
                yield archive
        except Damaged as error:
            raise damaged_record(self._folder, error) from None

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._read:
            if name not in self._names:
                raise lacking(self._folder, "array", name)
            with self._archive() as archive:
                self._read[name] = _array(archive, archive.getinfo(f"{name}.npy"))
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


class Measured(dict[str, Any]):
    """A record's metrics, or its history, by name. kind: what messages call one of them.

    UserError for one that the record lacks.
    """

    def __init__(self, values: Mapping[str, Any], kind: str, folder: Path):
        super().__init__(values)
        self._kind, self._folder = kind, folder

    def __missing__(self, name: str) -> Any:
        raise lacking(self._folder, self._kind, name)


def lacking(folder: Path, kind: str, name: str) -> UserError:
    """Return the error to raise for what a record does not have, as older ones may not, and its reader needs."""
    advice = "move the folder away, and the run is trained and recorded again"
    return UserError(f"recorded run {folder} has no {kind} {name}, which is needed here; {advice}")


def check_values(packed: bytes) -> None:
    """Raise Damaged unless all numbers in a packed npz file are finite and all strings printable lines."""
    with _as_damaged(), zipfile.ZipFile(BytesIO(packed)) as archive:
        for member in archive.infolist():
            _array(archive, member)


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """An array. Damaged unless its numbers are finite and its strings printable lines."""
    _check_member(archive, member)
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False, max_header_size=MOST_HEADER)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Damaged(f"{ARRAYS}: {member.filename} has numbers that are not finite")
    if array.dtype.kind == "U" and any(text != one_line(text) for text in array.ravel().tolist()):
        raise Damaged(f"{ARRAYS}: {member.filename} has strings that are not printable lines")
    return array


def damaged_record(folder: Path, problem: Damaged) -> UserError:
    """Return the error to raise for a record in this folder that cannot be used: a line that says what to do."""
    return UserError(f"recorded run {folder}: {problem}; restore it (git checkout) or remove the folder")
