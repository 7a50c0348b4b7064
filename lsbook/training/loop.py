"""The one training loop: recipe in, what the store keeps out. What is learned, images or text, is a task's."""

import contextlib
import itertools
import math
import time
from typing import NamedTuple, Protocol

import numpy as np
import torch
from tqdm import tqdm

from lsbook.catalogue import CORPORA
from lsbook.errors import UserError
from lsbook.run import Run
from lsbook.training import environment, images, optimisation, precision, text
from lsbook.training.losses import Loss
from lsbook.training.teachers import save_weights

POINTS = 20  # measurements along a run


class Outcome(NamedTuple):
    """What `Store.put` takes of a run."""

    metrics: dict[str, float]
    history: dict[str, list[float]]
    environment: dict
    arrays: dict[str, np.ndarray]


class Task(Protocol):
    """What differs between images and text.

    trainer: the network and its steps. probed: steps after which `probe` is called with their number.
    """

    trainer: optimisation.Trainer
    probed: set[int]

    def probe(self, step: int) -> None:
        """Measure what only the end of the run will show."""

    def measure(self) -> dict[str, float] | None:
        """A point of the history, from held-out data, or nothing where there are none; None when not finite."""

    def result(self, seconds: float) -> tuple[dict[str, float], dict[str, np.ndarray], dict]:
        """Metrics, arrays, and what the environment says besides; seconds: how long the steps took."""


def splits(run: Run) -> images.Splits | text.Texts:
    """The data of a run, from their files. UserError when they are missing or damaged."""
    return (text if run.dataset in CORPORA else images).splits(run)


def train(
    run: Run,
    data: images.Splits | text.Texts,
    *,
    loss: Loss | None = None,
    device: torch.device | None = None,
    tensorboard: str | None = None,
    progress: bool = True,
) -> Outcome:
    """Train a network as `run` says, measure it, and keep its weights in `runs/` of this machine.

    loss: of images; smoothed cross-entropy with the run's alpha when not given.
    tensorboard: folder for scalars (loss, accuracy, ECE, learning rate).
    The same run gives the same outcome, bit for bit, on the same CPU with the same number of threads.
    ValueError when the data are not the run's, or a student comes without its loss; UserError when the loss stops being
    finite.
    """
    if len(data.train) != run.examples:
        raise ValueError(f"data: {len(data.train)} training examples, but the run has {run.examples}")
    if run.teacher and loss is None:
        raise ValueError("loss: a student needs the loss of its distillation")
    device = device or precision.device()
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(run.seed)
        task = _task(run, data, device, loss)
        history = _steps(run, task, tensorboard, progress)
    seconds = time.perf_counter() - started
    save_weights(run, task.trainer.model)
    metrics, arrays, facts = task.result(seconds)
    where = environment.describe(device, run.recipe.precision) | facts
    where |= {
        "training_seconds": round(seconds, 1),
        "peak_memory_mb": round(environment.peak_memory() / 1e6),
        "data": {
            "variant": data.train.variant,
            "train_sha256": data.train.fingerprint,
            "test_sha256": data.test.fingerprint,
        },
    }
    return Outcome(metrics, history, where, arrays)


def _task(run: Run, data: images.Splits | text.Texts, device: torch.device, loss: Loss | None) -> Task:
    if run.dataset in CORPORA:
        return text.TextTask(run, data, device)
    return images.ImageTask(run, data, device, loss)


def _steps(run: Run, task: Task, tensorboard: str | None, progress: bool) -> dict:
    """All steps; returns the history, at POINTS steps spaced evenly up to the last."""
    steps = run.recipe.steps
    points = set(np.linspace(0, steps, min(POINTS, steps) + 1).round().astype(int).tolist())
    history, last = {}, 0
    total = torch.zeros((), device=task.trainer.device)
    with _scalars(tensorboard, run) as write, _bar(run, progress) as bar:
        for start, end in itertools.pairwise(sorted(points | task.probed)):
            for i in range(start, end):
                total += task.trainer.step(i)
                bar.update()
            if end in task.probed:
                task.probe(end)
            if end not in points:
                continue
            values = _measure(run, task, end, float(total) / (end - last))
            for name, value in values.items():
                history.setdefault(name, []).append(value)
            total.zero_()
            last = end
            write(end, values)
            bar.set_postfix(
                {name: f"{values[name]:.3f}" for name in ("loss", "accuracy") if name in values}, refresh=False
            )
    return history


def _measure(run: Run, task: Task, step: int, loss: float) -> dict[str, float]:
    """A point of the history: after `step` steps, with `loss` the mean since the last point."""
    measured = task.measure()
    if measured is None or not math.isfinite(loss):
        raise UserError(f"{run}: the network is not finite any more at step {step}; lower the learning rate")
    return {"step": step, "loss": loss, "learning_rate": optimisation.learning_rate(run.recipe, step - 1), **measured}


def _bar(run: Run, progress: bool) -> tqdm:
    return tqdm(total=run.recipe.steps, desc=str(run), disable=not progress, mininterval=1)


@contextlib.contextmanager
def _scalars(folder: str | None, run: Run):
    """A function that writes a step's values for TensorBoard, or does nothing."""
    if folder is None:
        yield lambda step, values: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        raise UserError('writing scalars needs tensorboard: pip install -e ".[train]"') from None
    with SummaryWriter(f"{folder}/{run.folder}") as writer:
        yield lambda step, values: [
            writer.add_scalar(name, value, step) for name, value in values.items() if name != "step"
        ]
