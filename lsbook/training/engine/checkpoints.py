"""Checkpoints of a training under way: all that is needed to go on as if it had never been interrupted.

A checkpoint is two files in `runs/` of this machine, `<step>.safetensors` and, written after it, `<step>.json` with the
SHA-256 of both; without the second it is none. The last two are kept, so that a damaged one costs a minute.
"""

import contextlib
import functools
import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock, Timeout
from safetensors.torch import load, save
from torch import Tensor, distributed

from lsbook.core.config import Run
from lsbook.core.errors import UserError, print_lines
from lsbook.core.paths import runs_path
from lsbook.data.sources import UNFINISHED, write_atomically

INTERVAL = 60  # seconds between checkpoints
KEPT = 2
STEP_TIMEOUT = 4  # seconds in which a step has to end after a signal; of a longer one the last checkpoint is kept


class Checkpoint(NamedTuple):
    """The state of a training after `step` steps. tensors: by name; notes: whatever else JSON can hold."""

    step: int
    tensors: dict[str, Tensor]
    notes: dict


def save_checkpoint(run: Run, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, whole or not at all, and delete all but the last before it; return its path.

    OSError when there is no space.
    """
    interruptions.cancel_timeout()
    path = _path(run, checkpoint.step)
    content = save({name: tensor.contiguous().cpu() for name, tensor in checkpoint.tensors.items()})
    text = json.dumps({"sha256": _sha256(content, checkpoint.notes), "notes": checkpoint.notes})
    write_atomically(path, lambda file: file.write(content))
    write_atomically(path.with_suffix(".json"), lambda file: file.write(text.encode()))
    kept = {f"{step:09}" for step in [step for step in _steps(run) if step <= checkpoint.step][-KEPT:]}
    _remove(run, lambda file: file.stem not in kept)
    return path


def load_latest(run: Run) -> Checkpoint | None:
    """Read the newest whole checkpoint; None when there is none. A damaged one is reported and deleted."""
    for step in reversed(_steps(run)):
        path = _path(run, step)
        try:
            content, text = path.read_bytes(), json.loads(path.with_suffix(".json").read_text())
            if _sha256(content, text["notes"]) == text["sha256"]:
                return Checkpoint(step, load(content), text["notes"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
        except OSError as error:
            reason = error.strerror
            print_lines(f"{run}: checkpoint {path} cannot be read and is passed over: {reason}", file=sys.stderr)
            continue
        print_lines(f"{run}: checkpoint {path} is damaged and passed over", file=sys.stderr)
        _remove(run, functools.partial(_is_of_step, path.stem))
    return None


def steps_done(run: Run) -> int:
    """How many steps the newest checkpoint has done, which a training that begins now need not do again."""
    return max(_steps(run), default=0)


def delete_checkpoints(run: Run) -> None:
    """Delete all checkpoints of a run, which is recorded."""
    _remove(run, lambda file: True)


def latest_path(run: Run) -> Path | None:
    """Where the newest checkpoint lies; None when there is none."""
    steps = _steps(run)
    return _path(run, steps[-1]) if steps else None


@contextlib.contextmanager
def lock_run(run: Run) -> Iterator[None]:
    """Hold a run's lock for the block; wait while another training of it on this machine holds it.

    The system frees the lock however a process ends. Files that a killed one was writing are deleted. UserError when
    the folder of checkpoints cannot be written.
    """
    with _locked(run, wait=True):
        for path in _folder(run).parent.glob(f"*{UNFINISHED}"):
            path.unlink(missing_ok=True)
        yield


def is_locked(run: Run) -> bool:
    """Whether a training holds the run's lock just now, or another process is asking this moment."""
    try:
        with _locked(run, wait=False):
            return False
    except Timeout:
        return True


@contextlib.contextmanager
def _locked(run: Run, wait: bool) -> Iterator[None]:
    """Hold the lock; UserError when nothing can be kept there, Timeout when another holds it and `wait` is False."""
    folder = _folder(run)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file_lock = FileLock(folder / ".lock", blocking=wait).acquire()
    except Timeout:
        raise
    except OSError as error:
        why = f"{error.strerror or error}; name another folder by LSBOOK_RUNS"
        raise UserError(f"checkpoints cannot be written to {folder}: {why}") from None
    with file_lock:
        yield


class Interrupted(BaseException):
    """A signal has broken off what was computed within `interruptible`."""


class _Interruptions:
    """A context within which SIGTERM and SIGINT only add their number to a list, so that a step ends and is saved.

    It may be entered again within itself; the outermost block installs the handlers and restores those before. A signal
    that the process ignores stays ignored. A step that takes longer than STEP_TIMEOUT is given up, unless other
    processes share it.
    """

    def __init__(self):
        self.received, self.users, self.before, self.breakable = [], 0, {}, False

    def __enter__(self) -> list[int]:
        if threading.current_thread() is not threading.main_thread():
            return []  # only the main thread may handle signals
        if not self.users:
            self.received.clear()
            handled = [n for n in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(n) != signal.SIG_IGN]
            self.before = {n: signal.signal(n, self._receive) for n in handled}
            self.before[signal.SIGALRM] = signal.signal(signal.SIGALRM, lambda *_: exit_on_signal(self.received[0]))
        self.users += 1
        return self.received

    def __exit__(self, *_) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self.users -= 1
        if not self.users:
            self.cancel_timeout()
            for number, handler in self.before.items():
                signal.signal(number, handler)

    def cancel_timeout(self) -> None:
        """Call off the end of the process: the step has ended in time."""
        if self.received:
            signal.setitimer(signal.ITIMER_REAL, 0)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal raise Interrupted within the block: for what takes long and can be done again."""
        try:
            self.breakable = not distributed.is_initialized()
            if self.received and self.users and self.breakable:
                raise Interrupted
            yield
        finally:
            self.breakable = False

    def _receive(self, number: int, _) -> None:
        if not self.received and not distributed.is_initialized():
            signal.setitimer(signal.ITIMER_REAL, STEP_TIMEOUT)
        self.received.append(number)
        if self.breakable:
            self.breakable = False
            raise Interrupted


interruptions = _Interruptions()


def exit_on_signal(number: int) -> None:
    """End the process as the signal would have ended it."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


class CheckpointTimer:
    """Tells when the next checkpoint is due, by the monotonic clock."""

    def __init__(self):
        self.last = time.monotonic()

    def due(self) -> bool:
        """Return True once an INTERVAL has passed since it last did."""
        if time.monotonic() - self.last < INTERVAL:
            return False
        self.last = time.monotonic()
        return True


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten an optimiser's state: one tensor an entry, named `<place of the weight>.<name>`."""
    state = optimiser.state_dict()["state"]
    return {
        f"{place}.{name}": torch.as_tensor(value)
        for place, entries in state.items()
        for name, value in entries.items()
        if value is not None
    }


def load_optimiser_state(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load what `optimiser_state` gave into an optimiser of the same weights.

    A tensor of a weight's shape gets the weight's order in memory, which fused optimisers take for granted.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        place, _, name = key.partition(".")
        weight = weights[int(place)].detach()
        like = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
        state.setdefault(int(place), {})[name] = like
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


def _folder(run: Run) -> Path:
    return runs_path() / run.folder / "checkpoints"


def _path(run: Run, step: int) -> Path:
    return _folder(run) / f"{step:09}.safetensors"


def _is_of_step(step: str, file: Path) -> bool:
    return file.stem == step


def _steps(run: Run) -> list[int]:
    """The steps of the checkpoints there are, in order."""
    return sorted(int(path.stem) for path in _folder(run).glob("*.json") if path.stem.isdecimal())


def _sha256(content: bytes, notes: dict) -> str:
    return hashlib.sha256(content + json.dumps(notes, sort_keys=True).encode()).hexdigest()


def _remove(run: Run, which: Callable[[Path], bool]) -> None:
    """Delete the files of checkpoints, left behind by a killed process too, for which `which` is true; JSON first."""
    for suffix in (".json", ".safetensors", UNFINISHED):
        for path in filter(which, _folder(run).glob(f"*{suffix}")):
            path.unlink(missing_ok=True)
