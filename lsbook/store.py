"""Recorded runs on disk: `<dataset>-<model>/<key>/` with `record.json`, `arrays.npz` and `SHA256SUMS`.

A record appears whole or not at all: it is written to a temporary folder, flushed and renamed, under a lock.
`SHA256SUMS` is in the format of `sha256sum -c`. Nothing is unpickled, and nothing here knows how runs are made.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lsbook.errors import UserError
from lsbook.paths import results_path
from lsbook.run import Run, as_dict, from_dict

FILES = ("arrays.npz", "record.json")
CHECKSUMS = "SHA256SUMS"
_TEMPORARY = ".writing-"


@dataclass(frozen=True)
class Record:
    """What is kept of a run.

    metrics: name -> number; history: name -> list of numbers, one a point of measurement;
    environment: versions, device, wall time, source commit, data fingerprint.
    """

    run: Run
    metrics: dict[str, float]
    history: dict[str, list[float]]
    environment: dict
    folder: Path

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, read when first asked for (checked when the record was)."""
        with np.load(self.folder / "arrays.npz", allow_pickle=False) as arrays:
            return dict(arrays)

    def files(self) -> dict[str, bytes]:
        """All of it, as `Store.adopt` takes it on another machine."""
        return {name: (self.folder / name).read_bytes() for name in (*FILES, CHECKSUMS)}


def serves(record: Record, run: Run) -> bool:
    """Whether a record of this training has what is to be measured along it; one with more serves who asks for less."""
    return run.probe in ("none", record.run.measured)


@contextmanager
def aside() -> Iterator[None]:
    """Within it an audit hook is told to hear nothing: what is read is no part of what is made from it."""
    sys.audit("lsbook.aside", True)
    try:
        yield
    finally:
        sys.audit("lsbook.aside", False)


class Store:
    """A folder of recorded runs; by default the project's `results/`."""

    def __init__(self, path: str | Path | None = None):
        self.path = Path(path) if path is not None else results_path()

    def get(self, run: Run) -> Record | None:
        """The record of a run, checked against its checksums, or None. UserError when it is damaged."""
        for name in run.namesakes:
            folder = self._folder(name)
            if folder.is_dir() and serves(record := _read(folder), run):
                return record
        return None

    def __contains__(self, run: Run) -> bool:
        if run.probe != "none":
            return self.get(run) is not None
        return any(self._folder(name).is_dir() for name in run.namesakes)

    def __iter__(self) -> Iterator[Record]:
        """All records, checked."""
        return map(_read, self._folders())

    def whole(self) -> Iterator[Record]:
        """Those that are whole: others may be on their way here."""
        return (_load(folder) for folder in self._folders() if not _problem(folder))

    def put(self, run: Run, *, metrics: dict, history: dict, environment: dict, arrays: dict) -> Record:
        """Write a record. One that is there, whole and measured as far is kept: the same run gives the same outcome.

        UserError when the folder cannot be written; nothing is left half-written then.
        """
        text = {"key": run.key, "run": as_dict(run), "metrics": metrics, "history": history, "environment": environment}
        return self._put(run, lambda folder: _write_files(folder, text, arrays))

    def adopt(self, run: Run, files: dict[str, bytes]) -> Record:
        """As `put`, of a record made elsewhere: what `Record.files` gave there. UserError when it is damaged, too."""
        return self._put(run, lambda folder: [(folder / name).write_bytes(files[name]) for name in (*FILES, CHECKSUMS)])

    def _put(self, run: Run, write: Callable[[Path], object]) -> Record:
        """`write` fills a folder, which becomes the record's if it is whole then."""
        target = self.path / run.folder
        try:
            with self._lock():
                if target.is_dir() and not _problem(target) and serves(_load(target), run):
                    return _load(target)
                temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self.path))
                folder = temporary / run.folder
                try:
                    folder.mkdir(parents=True)
                    write(folder)
                    for name in (*FILES, CHECKSUMS, "."):
                        _sync(folder / name)
                    if problem := _problem(folder):
                        raise UserError(f"the record of {run} is damaged: {problem}")
                    target.parent.mkdir(exist_ok=True)
                    _sync(self.path)
                    if target.exists():  # damaged or with less: replaced
                        shutil.rmtree(target)
                    folder.rename(target)
                    _sync(target.parent)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
        except OSError as error:
            raise UserError(f"cannot write the record {target}: {error.strerror or error}") from None
        return _read(target)

    def check_writable(self) -> None:
        """UserError unless records can be written here: asked before a training starts, not after it."""
        try:
            with self._lock():
                tempfile.TemporaryFile(dir=self.path).close()
        except OSError as error:
            raise UserError(f"recorded runs cannot be written to {self.path}: {error.strerror or error}") from None

    def verify(self) -> list[str]:
        """One line for each record that is not whole; empty when all are."""
        return [f"{folder}: {problem}" for folder in self._folders() if (problem := _problem(folder))]

    def __len__(self) -> int:
        return len(self._folders())

    def _folder(self, run: Run) -> Path:
        """Where the run's record is or would be. An audit hook hears of it, since no other event tells of absence."""
        folder = self.path / run.folder
        sys.audit("lsbook.look", folder)
        return folder

    def _folders(self) -> list[Path]:
        # Not even looked into: a writer's temporary folder, which may be gone the next moment.
        return sorted(path for path in self.path.glob("[!.]*/[!.]*") if path.is_dir())

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Held by one writer at a time; the system releases it when the process ends. Leftovers of killed ones go."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with aside():
                leftovers = list(self.path.glob(_TEMPORARY + "*"))
            for leftover in leftovers:
                shutil.rmtree(leftover, ignore_errors=True)
            yield


def _write_files(folder: Path, text: dict, arrays: dict) -> None:
    with (folder / "arrays.npz").open("wb") as file:
        np.savez_compressed(file, **arrays)
    (folder / "record.json").write_text(json.dumps(text, indent=1, sort_keys=True, allow_nan=False) + "\n")
    (folder / CHECKSUMS).write_text("".join(f"{_sha256(folder / name)}  {name}\n" for name in FILES))


def _read(folder: Path) -> Record:
    if problem := _problem(folder):
        raise UserError(f"recorded run {folder}: {problem}; restore it (git checkout) or remove the folder")
    return _load(folder)


def _load(folder: Path) -> Record:
    text = json.loads((folder / "record.json").read_text())
    return Record(from_dict(text["run"]), text["metrics"], text["history"], text["environment"], folder)


def _problem(folder: Path) -> str | None:
    """What is wrong with a record, in a few words, or None."""
    try:
        expected = dict(reversed(line.split("  ")) for line in (folder / CHECKSUMS).read_text().splitlines())
        for name in FILES:
            if _sha256(folder / name) != expected.get(name):
                return f"{name} does not match its checksum"
        text = json.loads((folder / "record.json").read_text())
        run = from_dict(text["run"])
        _ = [text[name] for name in ("metrics", "history", "environment")]
    except (OSError, ValueError, TypeError, KeyError) as error:
        return f"not readable ({error})"
    if run.folder != f"{folder.parent.name}/{folder.name}":
        return f"it holds the run {run.folder}"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
