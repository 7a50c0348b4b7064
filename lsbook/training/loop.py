"""The one training loop: recipe in, loss passed in, what the store keeps out.

Images lie on the training device as bytes; each batch is cut, mirrored and standardised there. Order and views of a
step are functions of the seed and the step alone.
"""

import contextlib
import itertools
import math
import time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lsbook.catalogue import MODELS
from lsbook.data.images import Images, load
from lsbook.errors import UserError
from lsbook.models.base import Classifier
from lsbook.run import Run
from lsbook.training import augmentation, environment, optimisation, precision, summary
from lsbook.training.losses import Batch, Loss, smoothed_cross_entropy
from lsbook.training.probes import LogitDifferences
from lsbook.training.teachers import save_weights

POINTS = 20  # measurements along a run
MEASURED = 2_000  # held-out images in each of them
TRAIN_MEASURED = 10_000  # training images whose accuracy and calibration are kept at the end


class Splits(NamedTuple):
    """The data of a run; `train` has the run's number of examples. `heldout` is empty when it reaches into these."""

    train: Images
    heldout: Images
    test: Images


def splits(run: Run) -> Splits:
    """The data of a run, from its files. UserError when they are missing or damaged."""
    train, heldout, test = (load(run.dataset, split) for split in ("train", "heldout", "test"))
    if run.examples > len(train):
        train, heldout = train + heldout, heldout.first(0)
    return Splits(train.first(run.examples), heldout, test)


class Outcome(NamedTuple):
    """What `Store.put` takes of a run."""

    metrics: dict[str, float]
    history: dict[str, list[float]]
    environment: dict
    arrays: dict[str, np.ndarray]


def train(
    run: Run,
    data: Splits,
    *,
    loss: Loss | None = None,
    device: torch.device | None = None,
    tensorboard: str | None = None,
    progress: bool = True,
) -> Outcome:
    """Train a network as `run` says, measure it, and keep its weights in `runs/` of this machine.

    loss: smoothed cross-entropy with the run's alpha when not given.
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
        view = augmentation.named(run.recipe.augmentation)
        model = MODELS[run.model].build(view.shape(data.train.pixels.shape[1:]), len(data.train.classes))
        model.to(device, memory_format=torch.channels_last)
        trainer = Trainer(run, model, data.train, loss or smoothed_cross_entropy(run.alpha))
        probe = LogitDifferences(run, data.train, data.heldout) if run.recipe.probe == "logit-differences" else None
        history, probing = _steps(run, trainer, data.heldout, probe, tensorboard, progress)
    save_weights(run, model)
    outcome = _outcome(run, model, data, history, time.perf_counter() - started)
    if probe:
        outcome.environment["probe_seconds"] = round(probing, 1)
        outcome.arrays.update(probe.arrays(model))
    return outcome


class Trainer:
    """A network, its data on its device, its loss and optimiser; `step(i)` does the i-th step of the recipe."""

    def __init__(self, run: Run, model: Classifier, images: Images, loss: Loss):
        self.recipe, self.seed, self.model, self.loss = run.recipe, run.seed, model, loss
        self.device = model.output.weight.device
        self.pixels = torch.from_numpy(images.pixels).to(self.device)
        self.labels = torch.from_numpy(images.labels).to(self.device)
        self.augmentation = augmentation.named(run.recipe.augmentation)
        self.optimiser = optimisation.optimiser(model, run.recipe)
        self.batch = min(run.recipe.batch, len(images))
        self._order = _Order(run.seed, len(images), self.batch)

    def step(self, i: int) -> Tensor:
        """Returns the loss, a scalar still on the device."""
        index = self._order(i).to(self.device)
        generator = torch.Generator(self.device).manual_seed(_seed(self.seed, "views", i))
        views = self.augmentation.draw(tuple(self.pixels.shape[1:]), len(index), generator)
        images = self.augmentation.take(self.pixels, index, views)
        with precision.autocast(self.device, self.recipe.precision):
            logits = self.model(images)
        batch = Batch(index, self.labels[index], views)
        loss = self.recipe.loss_scale * self.loss(logits.float(), batch)
        for group in self.optimiser.param_groups:
            group["lr"] = group["factor"] * optimisation.learning_rate(self.recipe, i)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimiser.step()
        return loss.detach()


class _Order:
    """Which examples step i sees: whole batches of a new permutation for each pass through the data."""

    def __init__(self, seed: int, n: int, batch: int):
        self.seed, self.n, self.batch = seed, n, batch
        self.epoch, self.permutation = None, None

    def __call__(self, i: int) -> Tensor:
        epoch, within = divmod(i, self.n // self.batch)
        if epoch != self.epoch:
            generator = torch.Generator().manual_seed(_seed(self.seed, "order", epoch))
            self.epoch, self.permutation = epoch, torch.randperm(self.n, generator=generator)
        return self.permutation[within * self.batch : (within + 1) * self.batch]


def _seed(seed: int, purpose: str, i: int) -> int:
    """A seed of its own for every run, purpose and step."""
    entropy = [seed, {"order": 0, "views": 1}[purpose], i]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


def _steps(
    run: Run,
    trainer: Trainer,
    heldout: Images,
    probe: LogitDifferences | None,
    tensorboard: str | None,
    progress: bool,
) -> tuple[dict, float]:
    """All steps; returns the history, at POINTS steps spaced evenly up to the last, and the probe's seconds."""
    steps = run.recipe.steps
    heldout = heldout.first(min(MEASURED, len(heldout)))
    points = set(np.linspace(0, steps, min(POINTS, steps) + 1).round().astype(int).tolist())
    probed = set(probe.points) if probe else set()
    history, last, probing = {}, 0, 0.0
    total = torch.zeros((), device=trainer.device)
    with _scalars(tensorboard, run) as write, _bar(run, progress) as bar:
        for start, end in itertools.pairwise(sorted(points | probed)):
            for i in range(start, end):
                total += trainer.step(i)
                bar.update()
            if end in probed:
                began = time.perf_counter()
                probe.measure(trainer.model, end)
                probing += time.perf_counter() - began
            if end not in points:
                continue
            values = _measure(run, trainer, heldout, end, float(total) / (end - last))
            for name, value in values.items():
                history.setdefault(name, []).append(value)
            total.zero_()
            last = end
            write(end, values)
            bar.set_postfix(
                {name: f"{values[name]:.3f}" for name in ("loss", "accuracy") if name in values}, refresh=False
            )
    return history, probing


def _measure(run: Run, trainer: Trainer, heldout: Images, step: int, loss: float) -> dict[str, float]:
    """A point of the history: after `step` steps, with `loss` the mean since the last point; `heldout` may be empty."""
    values = {"step": step, "loss": loss, "learning_rate": optimisation.learning_rate(run.recipe, step - 1)}
    answers = summary.respond(trainer.model, heldout, trainer.augmentation, trainer.recipe.precision)
    if not (math.isfinite(loss) and np.isfinite(answers.logits).all()):
        raise UserError(f"{run}: the network is not finite any more at step {step}; lower the learning rate")
    if len(heldout):
        measured = summary.measures(answers)
        values |= {name: measured[name] for name in ("accuracy", "ece")}
    return values


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


def _outcome(run: Run, model: Classifier, data: Splits, history: dict, seconds: float) -> Outcome:
    view = augmentation.named(run.recipe.augmentation)
    measured = data._replace(train=data.train.first(min(TRAIN_MEASURED, len(data.train))))
    answers = [summary.respond(model, images, view, run.recipe.precision) for images in measured]
    metrics = summary.metrics(*answers)
    temperature = metrics.get("temperature")
    templates = model.templates().detach().float().cpu().numpy()
    # The first seed keeps every logit; the others' numbers and shown examples are enough for intervals.
    arrays = summary.arrays(templates, temperature, *answers, full=run.seed == 0)
    where = environment.describe(model.output.weight.device, run.recipe.precision) | {
        "training_seconds": round(seconds, 1),
        "images_per_second": round(run.recipe.steps * min(run.recipe.batch, len(data.train)) / seconds),
        "peak_memory_mb": round(environment.peak_memory() / 1e6),
        "data": {
            "variant": data.train.variant,
            "train_sha256": data.train.fingerprint,
            "test_sha256": data.test.fingerprint,
        },
    }
    return Outcome(metrics, history, where, arrays)
