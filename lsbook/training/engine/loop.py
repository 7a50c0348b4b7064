"""The one training loop: recipe in, what the store keeps out. What is learned, images or text, is a task's."""

import contextlib
import io
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from tqdm import tqdm

from lsbook.core import registry
from lsbook.core.config import Run
from lsbook.core.errors import UserError, needing, print_lines
from lsbook.training.engine import checkpoints, devices, distributed, environment, optimisation
from lsbook.training.engine.flops import count_flops_per_example
from lsbook.training.images import task as images
from lsbook.training.images.teachers import save_weights
from lsbook.training.losses import Loss, from_run
from lsbook.training.text import task as text

UNCHECKED = {"cpu": 1, "cuda": 8}  # steps between two looks at clock and signals, so that a GPU has work in hand
POINTS = 20  # measurements along a run, fewer when they would take long beside it:
SHARE = 1 / 4  # examples seen in measurements for each one trained on, which costs three times as much


class Outcome(NamedTuple):
    """What `Store.put` takes of a run."""

    metrics: dict[str, float]
    history: dict[str, list[float]]
    environment: dict
    arrays: dict[str, np.ndarray]


class Task(Protocol):
    """What differs between images and text.

    trainer: the network and its steps. probed: steps after which `probe` is called with their number.
    measured_size: examples of one measurement, in the unit of a recipe's batch.
    """

    trainer: optimisation.Trainer
    probed: set[int]
    measured_size: int

    def probe(self, step: int) -> None:
        """Measure what only the end of the run will show; again, where that was broken off."""

    def measure(self) -> dict[str, float] | None:
        """A point of the history, from held-out data, or nothing where there are none; None when not finite."""

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint has to keep besides network and optimiser."""

    def load_state(self, tensors: dict[str, torch.Tensor]) -> None:
        """The inverse of `state`."""

    def sample_inputs(self) -> tuple[tuple[torch.Tensor, ...], int]:
        """What the network can be called with, of two images or sentence pairs, and the number of examples in it, in
        the unit of a recipe's batch."""

    def result(self, seconds: float) -> tuple[dict[str, float], dict[str, np.ndarray], dict]:
        """Metrics, arrays, and what the environment says besides; seconds: of steps, measures and probes."""

    def close(self) -> None:
        """End the processes that bring what a step learns from."""


def check(run: Run) -> None:
    """UserError unless what a run and its teachers name can be imported, fits together, and takes their arguments."""
    run.check_imported()
    for each in (run, *run.teachers):
        from_run(each)


def splits(run: Run) -> images.Splits | text.Texts:
    """The data of a run, from their files. UserError when they are missing or damaged."""
    return (text if run.is_text else images).splits(run)


def train(
    run: Run,
    data: images.Splits | text.Texts,
    *,
    loss: Loss | None = None,
    device: torch.device | None = None,
    tensorboard: Path | None = None,
    progress: bool | Callable[[int], object] = True,
) -> Outcome:
    """Train a network as `run` says, measure it, and keep its weights in `runs/` of this machine.

    The same run gives the same outcome, bit for bit, on the same CPU with the same number of threads, also when it was
    interrupted: it goes on from its checkpoint in `runs/`. On SIGTERM and SIGINT a checkpoint is kept and the program
    ends. The caller's random numbers stay as they are. Within `together` several processes share the work.

    Args:
        run: what decides the outcome.
        data: the run's, as `splits` gives them.
        loss: of images; the recipe's, with the run's alpha, when not given.
        device: the GPU where there is one, when not given.
        tensorboard: folder for scalars (loss, accuracy, ECE, learning rate).
        progress: a bar on standard error, or not, or a function that is called with the number of steps done about
            every second.

    Raises:
        ValueError: when the data are not the run's, or a student comes without its loss.
        UserError: when the loss stops being finite.
    """
    if len(data.train) != run.examples:
        raise ValueError(f"data: {len(data.train)} training examples, but the run has {run.examples}")
    if run.teachers and loss is None:
        raise ValueError("loss: what is learned from other networks has to be given")
    if loss and distributed.count() > 1:
        raise UserError(f"{run}: what learns from others is trained by one process; start it without torchrun")
    distributed.told(run)
    return _train(run, data, loss, device or devices.device(), tensorboard, progress)


@contextlib.contextmanager
def together() -> Iterator[bool]:
    """Within it all processes of a `torchrun` do each `train` of the first one, which is told True.

    The block of the others, told False, comes when they have followed the first to its end.
    """
    with distributed.joined():
        if distributed.rank() == 0:
            yield True
            distributed.told(None)
            return
        while run := distributed.told(None):
            with contextlib.suppress(distributed.Shared), devices.enough_memory(run):
                _follow(run)
        yield False


def _follow(run: Run) -> None:
    """What a process but the first does of a training."""
    try:
        data = splits(run)
    except UserError as error:
        distributed.agree(error)
    _train(run, data, None, devices.device(), None, progress=False)


def _train(
    run: Run,
    data: images.Splits | text.Texts,
    loss: Loss | None,
    device: torch.device,
    tensorboard: Path | None,
    progress: bool | Callable,
) -> Outcome:
    distributed.agree({name: part.fingerprint for name, part in data._asdict().items()})
    clock = checkpoints.Clock()
    with devices.isolated(device, run.seed):
        course = _Course(run, _task(run, data, device, loss))
        course.resume()
        meter = environment.Meter(device) if course.step == 0 else None
        with (
            checkpoints.interruptions as signals,
            _scalars(tensorboard, run, course.history) as write,
            _bar(run, progress) as bar,
            contextlib.closing(course.task),
        ):
            bar.update(course.step)
            while course.observed < run.recipe.steps:
                began = time.perf_counter()
                with contextlib.suppress(checkpoints.Interrupted):
                    course.go_on(write, bar)
                course.seconds += time.perf_counter() - began
                due, signal = distributed.largest(not distributed.rank() and clock.due(), signals[0] if signals else 0)
                if signal:
                    course.task.close()  # they may have it, too, and end in the middle of what comes
                if due or signal:
                    course.keep()
                if signal:
                    checkpoints.stop(signal)
        outcome = _outcome(course, data)
    outcome.environment.update(meter.read() if meter else {})
    return outcome


def _outcome(course: "_Course", data: images.Splits | text.Texts) -> Outcome:
    run, task = course.run, course.task
    task.trainer.finish()
    save_weights(run, task.trainer.model)
    metrics, arrays, facts = task.result(course.seconds)
    where = environment.describe(task.trainer.device, run.recipe.precision) | facts
    where |= {
        "processes": distributed.count(),
        "training_seconds": round(course.seconds, 1),
        "peak_memory_mb": round(environment.peak_memory() / 1e6),
        "data": _describe(run, data),
        "flops_per_example": count_flops_per_example(task.trainer.model, *task.sample_inputs()),
    }
    return Outcome(metrics, course.history, where, arrays)


def _describe(run: Run, data: images.Splits | text.Texts) -> dict[str, Any]:
    """What a record says of its data: `schema.Data`."""
    described = {
        "variant": data.train.variant,
        "train_sha256": data.train.fingerprint,
        "test_sha256": data.test.fingerprint,
    }
    if registry.is_own(run.dataset) and not run.is_text:
        described["classes"] = list(data.train.classes)
    return described


def _task(run: Run, data: images.Splits | text.Texts, device: torch.device, loss: Loss | None) -> Task:
    if run.is_text:
        return text.TextTask(run, data, device)
    return images.ImageTask(run, data, device, loss)


class _Course:
    """A training under way: its task, the steps done, their history, and the loss since its last point.

    observed: the step whose measurements are done; behind `step` only where a signal has broken them off.
    seconds: of its steps and measurements so far, those before an interruption among them.
    """

    def __init__(self, run: Run, task: Task):
        self.run, self.task = run, task
        self.step, self.observed, self.last, self.history, self.seconds = 0, 0, 0, {}, 0.0
        self.total = torch.zeros((), device=task.trainer.device)
        affordable = int(SHARE * run.recipe.steps * run.recipe.batch / max(task.measured_size, 1))
        n_points = max(1, min(POINTS, run.recipe.steps, affordable))
        self.points = set(np.linspace(0, run.recipe.steps, n_points + 1).round().astype(int).tolist())

    def go_on(self, write: Callable[[int, dict], None], bar: tqdm) -> None:
        """Some more steps, each shown on the bar, and what is measured after them; the points of the history among that
        are written. Interrupted when a signal breaks a measurement off, which the next call does again."""
        for _ in range(min(UNCHECKED[self.task.trainer.device.type], self.run.recipe.steps - self.observed)):
            if self.observed == self.step:
                self.advance()
                bar.update()
            self.observe(write, bar)

    def advance(self) -> None:
        """One more step."""
        distributed.draw_differently(self.run.seed, self.step)
        self.total += self.task.trainer.step(self.step)
        self.step += 1

    def observe(self, write: Callable[[int, dict], None], bar: tqdm) -> None:
        """What is to be measured after this step."""
        if self.step in self.task.probed:
            with checkpoints.interruptions.at_once():
                self.task.probe(self.step)
        if self.step in self.points:
            values = self.note()
            write(self.step, values)
            shown = {name: f"{values[name]:.3f}" for name in ("loss", "accuracy") if name in values}
            bar.set_postfix(shown, refresh=False)
        self.observed = self.step

    def note(self) -> dict[str, float]:
        """Add a point to the history and return it."""
        self._share_loss()
        with checkpoints.interruptions.at_once():
            values = _measure(self.run, self.task, self.step, float(self.total) / (self.step - self.last))
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        self.total.zero_()
        self.last = self.step
        return values

    def keep(self) -> None:
        """Write a checkpoint, unless loss or weights are not finite any more or there is no space. The first process
        does."""
        self._share_loss()
        if not math.isfinite(float(self.total)) or not self._finite():
            raise _not_finite(self.run, self.step)
        checkpoint = None if distributed.rank() else self._checkpoint()
        if checkpoint:
            try:
                checkpoints.write(self.run, checkpoint)
            except OSError as error:
                print_lines(f"{self.run}: no checkpoint is kept at step {self.step}: {error.strerror}", file=sys.stderr)

    def _finite(self) -> bool:
        return all(bool(weight.isfinite().all()) for weight in self.task.trainer.model.parameters())

    def _checkpoint(self) -> checkpoints.Checkpoint:
        trainer = self.task.trainer
        parts = {
            "model": trainer.model.state_dict(),
            "optimiser": checkpoints.optimiser_tensors(trainer.optimiser),
            "random": devices.random_state(trainer.device),
            "average": trainer.average.state_dict() if trainer.average else {},
            "task": self.task.state(),
            "course": {"total": self.total},
        }
        tensors = {f"{part}/{name}": value for part, found in parts.items() for name, value in found.items()}
        notes = {
            "history": self.history,
            "last": self.last,
            "observed": self.observed,
            "seconds": self.seconds,
            "measured": self.run.measured,
        }
        return checkpoints.Checkpoint(self.step, tensors, notes)

    def resume(self) -> None:
        """Go on from the newest checkpoint, if there is one; of several processes the first one's."""
        found = distributed.told(None if distributed.rank() else checkpoints.latest(self.run))
        if found is None:
            return
        if self.run.measured not in ("none", found.notes.get("measured", self.run.recipe.probe)):
            return  # what was to be measured along those steps was not
        parts: dict[str, dict] = {}
        for key, value in found.tensors.items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = value
        trainer = self.task.trainer
        trainer.model.load_state_dict(parts["model"])
        checkpoints.load_optimiser(trainer.optimiser, parts.get("optimiser", {}))
        if trainer.average:
            trainer.average.load_state_dict(parts["average"])
        devices.set_random_state(trainer.device, parts["random"])
        self.task.load_state(parts.get("task", {}))
        self.total.copy_(parts["course"]["total"])
        self.step, self.last, self.history = found.step, found.notes["last"], found.notes["history"]
        self.seconds, self.observed = found.notes["seconds"], found.notes.get("observed", found.step)
        if not distributed.rank():
            print_lines(f"{self.run} goes on after step {self.step}", file=sys.stderr)

    def _share_loss(self) -> None:
        """Let every process have the loss of all since the last point."""
        self.total.copy_(distributed.mean(self.total))


def _measure(run: Run, task: Task, step: int, loss: float) -> dict[str, float]:
    """A point of the history: after `step` steps, with `loss` the mean since the last point."""
    measured = task.measure()
    if measured is None or not math.isfinite(loss):
        raise _not_finite(run, step)
    return {"step": step, "loss": loss, "learning_rate": optimisation.learning_rate(run.recipe, step - 1), **measured}


def _not_finite(run: Run, step: int) -> distributed.Shared:
    path = checkpoints.newest_path(run)
    kept = f"; its last good checkpoint is {path}" if path else ""
    return distributed.Shared(
        f"{run}: the network is not finite any more at step {step}; lower the learning rate{kept}"
    )


class _Told(tqdm):
    """A bar that is not drawn: whenever it would be, `progress` is called with the number of steps done."""

    def __init__(self, progress: Callable[[int], object], **settings):
        self.progress = progress
        super().__init__(file=io.StringIO(), **settings)

    def display(self, msg=None, pos=None) -> None:
        self.progress(self.n)


def _bar(run: Run, progress: bool | Callable) -> tqdm:
    settings = {"total": run.recipe.steps, "desc": str(run), "mininterval": 1}
    return _Told(progress, **settings) if callable(progress) else tqdm(**settings, disable=not progress)


@contextlib.contextmanager
def _scalars(folder: Path | None, run: Run, history: dict[str, list[float]]):
    """A function that writes a step's values for TensorBoard, or does nothing.

    history: the points so far. They take the place of what an earlier training of the run has written there, which may
    have come further than its last checkpoint, or not have been written to the disk.
    """
    if folder is None:
        yield lambda step, values: None
        return
    with needing("train", "writing scalars"):
        from torch.utils.tensorboard import SummaryWriter
    try:
        made = SummaryWriter(f"{folder}/{run.folder}", purge_step=0)
    except OSError as error:
        raise UserError(f"cannot write scalars to {folder}: {error.strerror}") from None

    def write(step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            if name != "step":
                made.add_scalar(name, value, step)

    with made:
        for values in zip(*history.values(), strict=True):
            point = dict(zip(history, values, strict=True))
            write(point["step"], point)
        yield write
