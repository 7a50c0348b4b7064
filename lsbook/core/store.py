"""Recorded runs on disk: `<dataset>-<model>/<key>/` with `record.json`, `arrays.npz` and `SHA256SUMS`.

A record appears whole or not at all: it is written to a temporary folder, flushed and renamed, under a lock.
`SHA256SUMS` is in the format of `sha256sum -c`. Every reader checks it, and that the record is as `schema` declares.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np
from filelock import FileLock

from lsbook.core import registry, schema
from lsbook.core.config import Run, as_dict
from lsbook.core.errors import UserError
from lsbook.core.paths import results_path
from lsbook.core.schema import ARRAYS, CHECKSUMS, RECORD_FILES, Arrays, Damaged, Environment, Measured, Number

if TYPE_CHECKING:
    import pandas as pd

_TEMPORARY = ".writing-"
# Records by their folder, and its state and that of its files.
_in_use: WeakValueDictionary[tuple[object, ...], "Record"] = WeakValueDictionary()


@dataclass(frozen=True)
class Record:
    """What is kept of a run.

    Attributes:
        run: what decided its outcome.
        metrics: name -> number; accuracies and calibration errors are fractions of 1, losses in nats.
        history: name -> numbers, one a point of measurement along the training.
        environment: versions, device, wall time, source commit, data fingerprint.
        folder: where it lies.

    A metric, history or array that a record lacks is a UserError for who takes it by name.
    """

    run: Run
    metrics: dict[str, Number]
    history: dict[str, list[Number]]
    environment: Environment
    folder: Path

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in label order, of images; KeyError of a text, which has none.

        Those of a data set of somebody's own are the record's: nothing is imported.
        """
        if registry.is_own(self.run.dataset):
            return tuple(self.environment["data"]["classes"])
        return registry.DATASETS[self.run.dataset].classes

    @cached_property
    def arrays(self) -> Arrays:
        """Arrays by name, each read when first asked for, which raises UserError where it is damaged."""
        return Arrays(self.folder)

    def files(self) -> dict[str, bytes]:
        """Return name -> content of the record's files, as `Store.adopt` takes them on another machine."""
        return schema.read_files(self.folder)

    def text(self) -> str:
        """Return what `record.json` says, written anew from what was read and checked."""
        return _text(self.run, self.metrics, self.history, self.environment)


def serves(record: Record, run: Run) -> bool:
    """Return whether a record of this training has what `run` asks to be measured along it, or more."""
    return run.probe in ("none", record.run.measured)


class Store:
    """A folder of recorded runs; by default the project's `results/`."""

    def __init__(self, path: str | Path | None = None):
        self.path = Path(path) if path is not None else results_path()

    def get(self, run: Run) -> Record | None:
        """Return the record of a run, checked against its checksums, or None. Raises UserError where it is damaged."""
        for name in run.namesakes():
            folder = self._folder(name)
            if folder.is_dir() and serves(record := _read(folder), run):
                return record
        return None

    def __contains__(self, run: Run) -> bool:
        if run.probe != "none":
            return self.get(run) is not None
        return any(self._folder(name).is_dir() for name in run.namesakes())

    def __iter__(self) -> Iterator[Record]:
        """Iterate over all records, checked. Raises UserError where one is damaged."""
        return map(_read, self._folders())

    def whole(self) -> Iterator[Record]:
        """Iterate over the records that are whole and leave out others, which may be on their way here."""
        return filter(None, map(_whole, self._folders()))

    def frame(self) -> "pd.DataFrame":
        """Return all records as a pandas DataFrame, one row a run, with the run's key as index.

        Columns, of which each name is what `runs.groupby` or a query takes:
            what decides the run: its fields (`dataset`, `model`, `alpha`, `seed`, ...), those of its recipe
                (`recipe.steps`, ...), and of a student the key of its teacher (`teacher`) and the teacher's fields
                (`teacher.model`, `teacher.recipe.steps`, ...); of `as_soft_as` likewise. Milestones and a
                loss's arguments are text.
            the metrics under the names that records give them, accuracies and ECE as fractions; a metric that is also
                a field of a run is called `metrics.<name>`: `temperature` is a student's, `metrics.temperature` the
                one that was fitted.
            the environment (`environment.device`, `environment.training_seconds`, `environment.data.variant`, ...).
        A value that a run does not have is missing (NaN).

        Raises:
            UserError: when a record is damaged.
        """
        from lsbook.core.frame import records_frame  # pandas takes as long to import as the rest together

        return records_frame(self)

    def put(
        self,
        run: Run,
        *,
        metrics: Mapping[str, Number],
        history: Mapping[str, list[Number]],
        environment: Environment,
        arrays: Mapping[str, np.ndarray],
    ) -> Record:
        """Write a record. One that is there, whole and measured as far is kept: the same run gives the same outcome.

        Args:
            run: what decided the outcome.
            metrics: name -> number.
            history: name -> numbers, one a point of measurement along the training.
            environment: where and with what it was made.
            arrays: name -> array, of the types that `schema` declares.

        Returns:
            The record that is now there.

        Raises:
            UserError: if it is not as `schema` declares, or the folder cannot be written; nothing is left half-written.
        """
        packed = BytesIO()
        try:
            for name, array in arrays.items():
                if np.asarray(array).dtype.hasobject:
                    raise ValueError(f"the array {name} holds Python objects")
            np.savez_compressed(packed, allow_pickle=False, **arrays)
            text = _text(run, metrics, history, environment)
        except ValueError as error:
            raise UserError(f"{run} cannot be recorded: {error}") from None
        contents = packed.getvalue(), text.encode()
        files = dict(zip(RECORD_FILES, contents, strict=True))
        sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
        return self.adopt(run, files | {CHECKSUMS: sums.encode()})

    def adopt(self, run: Run, files: dict[str, bytes]) -> Record:
        """Write a record that was made elsewhere, or keep one that is there, whole and measured as far.

        Args:
            run: what decided the outcome.
            files: what `Record.files` gave there.

        Raises:
            UserError: if it is damaged or of another run, or the folder cannot be written.
        """
        try:
            data = _check(files, run.folder).environment["data"]
            schema.check_values(files[ARRAYS])
        except Damaged as error:
            raise UserError(f"the record of {run} is damaged: {error}") from None
        target = self.path / run.folder
        try:
            with self._lock():
                self.check_data(run, data["train_sha256"], data["test_sha256"])
                self._write(run, files)
        except OSError as error:
            raise UserError(f"cannot write the record {target}: {error.strerror or error}") from None
        return _read(target)

    def _write(self, run: Run, files: dict[str, bytes]) -> None:
        """A folder is filled, which then becomes the record's, unless a whole one is there that serves."""
        target = self.path / run.folder
        if target.is_dir() and (kept := _whole(target)) and serves(kept, run):
            return
        temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self.path))
        try:
            folder = temporary / run.key
            folder.mkdir()
            for name in schema.MOST_BYTES:
                _write_flushed(folder / name, files[name])
            _flush(folder)
            target.parent.mkdir(exist_ok=True)
            _flush(self.path)
            if target.exists():  # damaged or with less
                replaced = temporary / "replaced" / run.folder
                replaced.parent.mkdir(parents=True)
                target.rename(replaced)
            folder.rename(target)
            _flush(target.parent)
        finally:
            self._remove(temporary)

    def _remove(self, temporary: Path) -> None:
        """Remove a writer's folder. A record that it was replacing returns where the new one has not come."""
        for replaced in temporary.glob("replaced/*/*"):
            target = self.path / replaced.parent.name / replaced.name
            if not target.exists():
                replaced.rename(target)
        shutil.rmtree(temporary, ignore_errors=True)

    def check_data(self, run: Run, train_sha256: str, test_sha256: str) -> None:
        """Raise UserError when records on a run's data set, one of somebody's own, were made with other data.

        Only its name says what such a data set is. Of those in the registry there are copies, which records tell
        apart as variants.
        """
        if not registry.is_own(run.dataset):
            return
        for record in filter(None, map(_whole, self._folders(f"{registry.folder(run.dataset)}-*"))):
            data = record.environment["data"]
            found = data["train_sha256"], data["test_sha256"]
            if record.run.dataset == run.dataset and found != (train_sha256, test_sha256):
                raise UserError(
                    f"{run.dataset} is not what it was: the run {record.run.key} is recorded with the data of SHA-256 "
                    f"{found[0][:12]}, {found[1][:12]}, not {train_sha256[:12]}, {test_sha256[:12]}; give the changed "
                    "data another name"
                )

    def check_writable(self) -> None:
        """Raise UserError unless records can be written here: asked before a training starts, not after it."""
        try:
            with self._lock():
                tempfile.TemporaryFile(dir=self.path).close()
        except OSError as error:
            why = f"{error.strerror or error}; name another folder by LSBOOK_RESULTS"
            raise UserError(f"recorded runs cannot be written to {self.path}: {why}") from None

    def verify(self) -> list[str]:
        """Return a line for each record that is damaged; arrays are checked value by value."""
        return [f"{folder}: {problem}" for folder in self._folders() if (problem := _problem(folder))]

    def __len__(self) -> int:
        return len(self._folders())

    def _folder(self, run: Run) -> Path:
        """The folder in which the run's record is or would be."""
        return self.path / run.folder

    def _folders(self, networks: str = "[!.]*") -> list[Path]:
        """List the folders of all records, or of those whose folder for data set and network matches a pattern."""
        # Not even looked into: a writer's temporary folder, which may be gone the next moment.
        inside = [Path(entry) for folder in self.path.glob(networks) if folder.is_dir() for entry in os.scandir(folder)]
        visible = [path for path in inside if not path.name.startswith(".")]
        return sorted(path for path in visible if path.is_dir() or path.is_symlink())

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Held by one writer at a time; the system releases it when the process ends. Leftovers of killed ones go."""
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / ".lock"):
            for leftover in list(self.path.glob(_TEMPORARY + "*")):
                self._remove(leftover)
            yield


def _text(
    run: Run, metrics: Mapping[str, Number], history: Mapping[str, list[Number]], environment: Environment
) -> str:
    text = {"key": run.key, "run": as_dict(run), "metrics": metrics, "history": history, "environment": environment}
    return json.dumps(text, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _read(folder: Path) -> Record:
    """UserError when the record is damaged."""
    try:
        return _checked(folder)
    except Damaged as error:
        raise schema.damaged_record(folder, error) from None


def _whole(folder: Path) -> Record | None:
    """None when the record is damaged."""
    try:
        return _checked(folder)
    except Damaged:
        return None


def _checked(folder: Path) -> Record:
    """Damaged unless the record is whole. One in use here is not read again until its files change."""
    paths = folder.parent, folder, *(folder / name for name in schema.MOST_BYTES)
    state = folder, *map(_state, paths)
    record = _in_use.get(state)
    if record is None:
        content = _check(schema.read_files(folder), f"{folder.parent.name}/{folder.name}")
        metrics, history = Measured(content.metrics, "metric", folder), Measured(content.history, "history", folder)
        _in_use[state] = record = Record(content.run, metrics, history, content.environment, folder)
    return record


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes with a file or folder; None where it cannot be asked."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _check(files: dict[str, bytes], folder: str) -> schema.Content:
    """What a record's files say. Damaged unless it is that of this folder below a store."""
    content = schema.content(files)
    if content.run.folder != folder:
        raise Damaged(f"it holds the run {content.run.folder}")
    return content


def _problem(folder: Path) -> str | None:
    """What is wrong with a record, in a few words, or None."""
    try:
        files = schema.read_files(folder)
        _check(files, f"{folder.parent.name}/{folder.name}")
        schema.check_values(files[ARRAYS])
    except Damaged as error:
        return str(error)
    return None


def _write_flushed(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Let the disk have the folder's names, where the system can be told to."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
