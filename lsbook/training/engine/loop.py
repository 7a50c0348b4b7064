"""The one training loop: a run and its data in, what the store keeps out. `Task`: what is learned, images or text."""

import contextlib
import io
import math
import sys
import time
from collections.abc import Callable, Iterator, Set
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

STEPS_BETWEEN_CHECKS = {"cpu": 1, "cuda": 8}  # of clock and signals, so that a GPU has work in hand
HISTORY_POINTS = 20  # evaluations along a run, fewer when they would take long beside it:
VALIDATION_RATIO = 1 / 4  # examples evaluated for each one trained on, which costs three times as much


class TrainingOutcome(NamedTuple):
    """What `Store.put` takes of a run besides the run itself: see `core.schema`."""

    metrics: dict[str, float]
    history: dict[str, list[float]]
    environment: dict
    arrays: dict[str, np.ndarray]


class Task(Protocol):
    """What differs between images and text.

    Attributes:
        trainer: the network and its steps.
        probe_steps: the steps after which `probe` is called.
        validation_size: how many examples `validate` evaluates, in the unit of a recipe's batch.
    """

    @property
    def trainer(self) -> optimisation.Trainer[Any]:
        """The network and its steps."""

    @property
    def probe_steps(self) -> Set[int]:
        """The steps after which `probe` is called."""

    @property
    def validation_size(self) -> int:
        """How many examples `validate` evaluates, in the unit of a recipe's batch."""

    def probe(self, step: int) -> bool:
        """Measure what only the end of the run will show; once more, where that was broken off.

        False when the network's outputs are not finite.
        """

    def validate(self) -> dict[str, float] | None:
        """Evaluate on held-out data: accuracy and ECE as fractions, NLL in nats.

        Nothing without held-out data; None when the network's outputs are not finite.
        """

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint has to keep besides network and optimiser, by name."""

    def load_state(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""

    def sample_inputs(self) -> tuple[tuple[torch.Tensor, ...], int]:
        """Inputs for the network, of two images or sentence pairs, and how many examples they hold, in batch units."""

    def summarise(self, seconds: float) -> tuple[dict[str, float], dict[str, np.ndarray], dict]:
        """Evaluate the trained network on all splits.

        Args:
            seconds: what steps, validations and probes have taken.

        Returns:
            Metrics, arrays, and further facts for the record's environment.
        """

    def close(self) -> None:
        """End the processes that load batches."""


def check(run: Run) -> None:
    """UserError unless what a run and its teachers name can be imported, fits together, and takes their arguments."""
    run.check_imported()
    for each in (run, *run.teachers):
        from_run(each)


def load_splits(run: Run) -> images.Splits | text.TextSplits:
    """Read the data of a run from their files. UserError when they are missing or damaged."""
    return (text if run.is_text else images).load_splits(run)


def train(
    run: Run,
    data: images.Splits | text.TextSplits,
    *,
    loss: Loss | None = None,
    device: torch.device | None = None,
    tensorboard: Path | None = None,
    progress: bool | Callable[[int], object] = True,
) -> TrainingOutcome:
    """Train a network as `run` says, measure it, and keep its weights in `runs/` of this machine.

    The same run gives the same outcome, bit for bit, on the same CPU with the same number of threads, also when it was
    interrupted: it goes on from its checkpoint in `runs/`. On SIGTERM and SIGINT a checkpoint is kept and the program
    ends. The caller's random numbers stay as they are. Within `torchrun_session` several processes share the work.

    Args:
        run: what decides the outcome.
        data: the run's, as `load_splits` gives them.
        loss: of images; the recipe's, with the run's alpha, when not given.
        device: the GPU where there is one, when not given.
        tensorboard: folder for scalars (loss, accuracy, ECE, learning rate).
        progress: a bar on standard error, or not, or a function that is called with the number of steps done about
            every second.

    Returns:
        What the store keeps of the run.

    Raises:
        ValueError: the data are not the run's, or a student comes without its loss.
        UserError: loss or network stop being finite, or nothing can be kept in `runs/`.
    """
    if len(data.train) != run.examples:
        raise ValueError(f"data: {len(data.train)} training examples, but the run has {run.examples}")
    if run.teachers and loss is None:
        raise ValueError("loss: what is learned from other networks has to be given")
    if loss and distributed.world_size() > 1:
        raise UserError(f"{run}: what learns from others is trained by one process; start it without torchrun")
    distributed.broadcast(run)
    return _train(run, data, loss, device or devices.device(), tensorboard, progress)


@contextlib.contextmanager
def torchrun_session() -> Iterator[bool]:
    """Let all processes of a `torchrun` do their share of each `train` that rank 0 calls within the block.

    Yields True on rank 0. On the other ranks it yields False, after they have followed rank 0 to the end of its block.
    """
    with distributed.session():
        if distributed.rank() == 0:
            yield True
            distributed.broadcast(None)
            return
        while run := distributed.broadcast(None):
            with contextlib.suppress(distributed.CollectiveError), devices.enough_memory(run):
                _train_as_follower(run)
        yield False


def _train_as_follower(run: Run) -> None:
    """Do the share of a training that falls to a rank other than 0."""
    try:
        data = load_splits(run)
    except UserError as error:
        distributed.check_same_data(error)
    _train(run, data, None, devices.device(), None, progress=False)


def _train(
    run: Run,
    data: images.Splits | text.TextSplits,
    loss: Loss | None,
    device: torch.device,
    tensorboard: Path | None,
    progress: bool | Callable,
) -> TrainingOutcome:
    distributed.check_same_data({name: part.fingerprint for name, part in data._asdict().items()})
    timer = checkpoints.CheckpointTimer()
    with devices.isolated_rng(device, run.seed):
        state = _TrainingState(run, _task(run, data, device, loss))
        state.resume()
        meter = environment.Meter(device) if state.step == 0 else None
        with (
            checkpoints.interruptions as signals,
            _scalars(tensorboard, run, state.history) as write,
            _bar(run, progress) as bar,
            contextlib.closing(state.task),
        ):
            bar.update(state.step)
            while state.measured_step < run.recipe.steps:
                started = time.perf_counter()
                with contextlib.suppress(checkpoints.Interrupted):
                    state.run_steps(write, bar)
                state.seconds += time.perf_counter() - started
                due, signal = distributed.all_reduce_max(
                    not distributed.rank() and timer.due(), signals[0] if signals else 0
                )
                if signal:
                    state.task.close()  # its processes may have it, too, and end in the middle of what comes
                if due or signal:
                    state.save()
                if signal:
                    checkpoints.exit_on_signal(signal)
        outcome = _outcome(state, data)
    outcome.environment.update(meter.read() if meter else {})
    return outcome


def _outcome(state: "_TrainingState", data: images.Splits | text.TextSplits) -> TrainingOutcome:
    run, task = state.run, state.task
    task.trainer.finish()
    save_weights(run, task.trainer.model)
    metrics, arrays, facts = task.summarise(state.seconds)
    where = environment.describe(task.trainer.device, run.recipe.precision) | facts
    where |= {
        "processes": distributed.world_size(),
        "training_seconds": round(state.seconds, 1),
        "peak_memory_mb": round(environment.peak_memory() / 1e6),
        "data": _describe(run, data),
        "flops_per_example": count_flops_per_example(task.trainer.model, *task.sample_inputs()),
    }
    return TrainingOutcome(metrics, state.history, where, arrays)


def _describe(run: Run, data: images.Splits | text.TextSplits) -> dict[str, Any]:
    """Return what a record says of the data of its run, as `schema.Data` declares it."""
    described: dict[str, Any] = {
        "variant": data.train.variant,
        "train_sha256": data.train.fingerprint,
        "test_sha256": data.test.fingerprint,
    }
    if registry.is_own(run.dataset) and isinstance(data, images.Splits):
        described["classes"] = list(data.train.classes)
    return described


def _task(run: Run, data: images.Splits | text.TextSplits, device: torch.device, loss: Loss | None) -> Task:
    if isinstance(data, text.TextSplits):
        return text.TextTask(run, data, device)
    return images.ImageTask(run, data, device, loss)


class _TrainingState:
    """A training under way: its task, the steps done, their history, and the loss since its last point.

    Attributes:
        step: how many steps are done.
        measured_step: the step whose measurements are done; behind `step` only where a signal has broken them off.
        last: the step of the last point of the history.
        history: the points so far, by name.
        seconds: what steps and measurements have taken so far, those before an interruption among them.
        total: the sum of the losses since the last point, on the device.
        points: the steps after which a point is added.
    """

    def __init__(self, run: Run, task: Task):
        self.run, self.task = run, task
        self.step, self.measured_step, self.last, self.seconds = 0, 0, 0, 0.0
        self.history: dict[str, list[float]] = {}
        self.total = torch.zeros((), device=task.trainer.device)
        affordable = int(VALIDATION_RATIO * run.recipe.steps * run.recipe.batch / max(task.validation_size, 1))
        n_points = max(1, min(HISTORY_POINTS, run.recipe.steps, affordable))
        self.points = set(np.linspace(0, run.recipe.steps, n_points + 1).round().astype(int).tolist())

    def run_steps(self, write: Callable[[int, dict], None], bar: tqdm) -> None:
        """Do some more steps, each shown on the bar, and what is measured after them; write new points of the history.

        Interrupted when a signal breaks a measurement off, which the next call does again.
        """
        for _ in range(
            min(STEPS_BETWEEN_CHECKS[self.task.trainer.device.type], self.run.recipe.steps - self.measured_step)
        ):
            if self.measured_step == self.step:
                self.train_step()
                bar.update()
            self.measure(write, bar)

    def train_step(self) -> None:
        """Do one more step."""
        distributed.seed_rank(self.run.seed, self.step)
        self.total += self.task.trainer.step(self.step)
        self.step += 1

    def measure(self, write: Callable[[int, dict], None], bar: tqdm) -> None:
        """Do what is to be measured after this step."""
        if self.step in self.task.probe_steps:
            with checkpoints.interruptions.interruptible():
                finite = self.task.probe(self.step)
            if not finite:
                raise _divergence(self.run, self.step)
        if self.step in self.points:
            values = self.add_history_point()
            write(self.step, values)
            shown: dict[str, object] = {name: f"{values[name]:.3f}" for name in ("loss", "accuracy") if name in values}
            bar.set_postfix(shown, refresh=False)
        self.measured_step = self.step

    def add_history_point(self) -> dict[str, float]:
        """Validate, add a point to the history and return it."""
        self._share_loss()
        with checkpoints.interruptions.interruptible():
            values = _history_point(self.run, self.task, self.step, float(self.total) / (self.step - self.last))
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        self.total.zero_()
        self.last = self.step
        return values

    def save(self) -> None:
        """Write a checkpoint, on rank 0; say so where there is no space. UserError when loss or weights diverge."""
        self._share_loss()
        if not math.isfinite(float(self.total)) or not self._finite():
            raise _divergence(self.run, self.step)
        checkpoint = None if distributed.rank() else self._checkpoint()
        if checkpoint:
            try:
                checkpoints.save_checkpoint(self.run, checkpoint)
            except OSError as error:
                print_lines(f"{self.run}: no checkpoint is kept at step {self.step}: {error.strerror}", file=sys.stderr)

    def _finite(self) -> bool:
        return all(bool(weight.isfinite().all()) for weight in self.task.trainer.model.parameters())

    def _checkpoint(self) -> checkpoints.Checkpoint:
        trainer = self.task.trainer
        parts = {
            "model": trainer.model.state_dict(),
            "optimiser": checkpoints.optimiser_state(trainer.optimiser),
            "random": devices.random_state(trainer.device),
            "average": trainer.average.state_dict() if trainer.average else {},
            "task": self.task.state(),
            "course": {"total": self.total},  # the name under which checkpoints have it
        }
        tensors = {f"{part}/{name}": value for part, found in parts.items() for name, value in found.items()}
        notes = {
            "history": self.history,
            "last": self.last,
            "observed": self.measured_step,
            "seconds": self.seconds,
            "measured": self.run.measured,
        }
        return checkpoints.Checkpoint(self.step, tensors, notes)

    def resume(self) -> None:
        """Go on from the newest checkpoint of rank 0, if there is one."""
        found = distributed.broadcast(None if distributed.rank() else checkpoints.load_latest(self.run))
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
        checkpoints.load_optimiser_state(trainer.optimiser, parts.get("optimiser", {}))
        if trainer.average:
            trainer.average.load_state_dict(parts["average"])
        devices.set_random_state(trainer.device, parts["random"])
        self.task.load_state(parts.get("task", {}))
        self.total.copy_(parts["course"]["total"])
        self.step, self.last, self.history = found.step, found.notes["last"], found.notes["history"]
        self.seconds, self.measured_step = found.notes["seconds"], found.notes.get("observed", found.step)
        if not distributed.rank():
            print_lines(f"{self.run} goes on after step {self.step}", file=sys.stderr)

    def _share_loss(self) -> None:
        """Let every rank have the mean loss of all since the last point."""
        self.total.copy_(distributed.all_reduce_mean(self.total))


def _history_point(run: Run, task: Task, step: int, loss: float) -> dict[str, float]:
    """A point of the history: after `step` steps, with `loss` the mean since the last point."""
    validated = task.validate()
    if validated is None or not math.isfinite(loss):
        raise _divergence(run, step)
    return {"step": step, "loss": loss, "learning_rate": optimisation.learning_rate(run.recipe, step - 1), **validated}


def _divergence(run: Run, step: int) -> distributed.CollectiveError:
    path = checkpoints.latest_path(run)
    kept = f"; its last good checkpoint is {path}" if path else ""
    return distributed.CollectiveError(
        f"{run}: the network is not finite any more at step {step}; lower the learning rate{kept}"
    )


class _CallbackBar(tqdm):
    """A bar that is not drawn: whenever it would be, `progress` is called with the number of steps done."""

    def __init__(self, progress: Callable[[int], object], **settings):
        self.progress = progress
        super().__init__(file=io.StringIO(), **settings)

    def display(self, msg=None, pos=None) -> None:
        self.progress(int(self.n))


def _bar(run: Run, progress: bool | Callable) -> tqdm:
    total, name = run.recipe.steps, str(run)
    if callable(progress):
        return _CallbackBar(progress, total=total, desc=name, mininterval=1)
    return tqdm(total=total, desc=name, mininterval=1, disable=not progress)


@contextlib.contextmanager
def _scalars(folder: Path | None, run: Run, history: dict[str, list[float]]):
    """Yield a function of a step and its values that writes them for TensorBoard, or does nothing without a folder.

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
            write(int(point["step"]), point)
        yield write
