"""Checkpoints of a training under way: all that is needed to go on as if nothing had happened.

A checkpoint is two files in `runs/` of this machine, `<step>.safetensors` and, written after it, `<step>.json` with its
SHA-256. The last two are kept, so that a damaged one costs a minute.
"""

import contextlib
import fcntl
import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor

from lsbook.data.sources import write_whole
from lsbook.errors import UserError
from lsbook.paths import runs_path
from lsbook.run import Run

INTERVAL = 60  # seconds between checkpoints
KEPT = 2


class Checkpoint(NamedTuple):
    """State after `step` steps. tensors: by name; notes: what else, as JSON."""

    step: int
    tensors: dict[str, Tensor]
    notes: dict


def write(run: Run, checkpoint: Checkpoint) -> Path:
    """Keep a checkpoint, whole or not at all, and drop older ones. Raises OSError when there is no space."""
    path = _folder(run) / f"{checkpoint.step:09}.safetensors"
    content = save({name: tensor.contiguous().cpu() for name, tensor in checkpoint.tensors.items()})
    notes = {"sha256": hashlib.sha256(content).hexdigest(), "notes": checkpoint.notes}
    write_whole(path, lambda file: file.write(content))
    write_whole(path.with_suffix(".json"), lambda file: file.write(json.dumps(notes).encode()))
    for old in _steps(run)[:-KEPT]:
        _remove(run, old)
    return path


def latest(run: Run) -> Checkpoint | None:
    """The newest whole checkpoint; a damaged one is passed over, and said so. None when there is none."""
    for step in reversed(_steps(run)):
        path = _folder(run) / f"{step:09}.safetensors"
        try:
            content, notes = path.read_bytes(), json.loads(path.with_suffix(".json").read_text())
            if hashlib.sha256(content).hexdigest() == notes["sha256"]:
                return Checkpoint(step, load(content), notes["notes"])
        except (OSError, ValueError, KeyError):
            pass
        print(f"{run}: checkpoint {path} is damaged and passed over", file=sys.stderr)
    return None


def clear(run: Run) -> None:
    """Remove all checkpoints of a run: it is recorded."""
    for step in _steps(run):
        _remove(run, step)


def newest_path(run: Run) -> Path | None:
    """Where the last checkpoint lies, for a message."""
    steps = _steps(run)
    return _folder(run) / f"{steps[-1]:09}.safetensors" if steps else None


@contextlib.contextmanager
def claim(run: Run) -> Iterator[None]:
    """Held by one training of the run on this machine at a time; another waits. The system frees it on any end."""
    with _lock(run) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_claimed(run: Run) -> bool:
    """Whether a training holds its `claim` of the run just now."""
    with _lock(run) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _lock(run: Run) -> IO[str]:
    """UserError when nothing can be kept there."""
    folder = _folder(run)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / ".lock").open("w")
    except OSError as error:
        raise UserError(f"checkpoints cannot be written to {folder}: {error.strerror or error}") from None


class _Interruptions:
    """Within it SIGTERM and SIGINT do nothing but add their number to the list, so that a step ends and is kept.

    Trainings that take turns share it: the first to come installs it, the last to go puts back what was before.
    """

    def __init__(self):
        self.received, self.users, self.before = [], 0, {}

    def __enter__(self) -> list[int]:
        if threading.current_thread() is not threading.main_thread():
            return []  # only the main thread may handle signals
        if not self.users:
            self.received.clear()
            self.before = {n: signal.signal(n, self._receive) for n in (signal.SIGTERM, signal.SIGINT)}
        self.users += 1
        return self.received

    def __exit__(self, *_) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self.users -= 1
        if not self.users:
            for number, handler in self.before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _) -> None:
        self.received.append(number)


interruptions = _Interruptions()


def stop(number: int) -> None:
    """End as the signal would have ended the program."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


class Clock:
    """Says when the next checkpoint is due, by a clock that no one can set."""

    def __init__(self):
        self.last = time.monotonic()

    def due(self) -> bool:
        """True once an INTERVAL has gone by since the last time it was."""
        if time.monotonic() - self.last < INTERVAL:
            return False
        self.last = time.monotonic()
        return True


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state, one tensor an entry, named by the weight's place."""
    state = optimiser.state_dict()["state"]
    return {
        f"{place}.{name}": torch.as_tensor(value)
        for place, entries in state.items()
        for name, value in entries.items()
        if value is not None
    }


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimiser_tensors`, for an optimiser of the same weights.

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


def _steps(run: Run) -> list[int]:
    """Of the checkpoints there are, oldest first."""
    return sorted(int(path.stem) for path in _folder(run).glob("*.safetensors"))


def _remove(run: Run, step: int) -> None:
    for suffix in (".json", ".safetensors"):
        (_folder(run) / f"{step:09}{suffix}").unlink(missing_ok=True)
