"""Image classification as a task of the training loop."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from lsbook.analysis import selective
from lsbook.core import registry
from lsbook.core.config import Run
from lsbook.core.errors import UserError, brief, shortened
from lsbook.data.image_files import ImageFiles
from lsbook.data.images import Images, all_splits
from lsbook.models.base import Classifier, build, initialise_small
from lsbook.training.engine import devices, distributed
from lsbook.training.engine.optimisation import Trainer
from lsbook.training.images import augmentation, evaluation, summary, transfer, views
from lsbook.training.images.probes import LogitDifferences
from lsbook.training.losses import Batch, Loss, from_run

VALIDATION_IMAGES = 2_000  # held-out images in each validation along a run
TRAIN_EVALUATED = 10_000  # training images whose accuracy and calibration are kept at the end


class Splits(NamedTuple):
    """The data of a run. `train` has the run's number of examples; `heldout` is empty when they reach into it."""

    train: Images | ImageFiles
    heldout: Images | ImageFiles
    test: Images | ImageFiles


def load_splits(run: Run) -> Splits:
    """The images of a run, from their files. UserError when they, or those its network is tried on, are damaged."""
    train, heldout, test = all_splits(run.dataset)
    transfer.check(run.dataset)
    if run.label_noise:
        train, heldout = (
            replace(part, labels=noisy_labels(part.labels, len(part.classes), run.label_noise, seed))
            for part, seed in zip((train, heldout), np.random.SeedSequence(run.seed).spawn(2), strict=True)
        )
    if run.examples > len(train):
        train, heldout = train + heldout, heldout.first(0)  # type: ignore[operator]  # both are of one kind
    return Splits(train.first(run.examples), heldout, test)


def noisy_labels(labels: np.ndarray, n_classes: int, rate: float, seed: np.random.SeedSequence) -> np.ndarray:
    """Replace each of labels (N,), with probability `rate`, by one of the other classes, all as likely.

    The first labels come out the same however many there are.
    """
    replaced, shifts = (np.random.default_rng(part) for part in seed.spawn(2))
    wrong = replaced.random(len(labels)) < rate
    return np.where(wrong, (labels + shifts.integers(1, n_classes, len(labels))) % n_classes, labels)


class ImageTrainer(Trainer[Classifier]):
    """A network, the views it learns from, its loss and optimiser."""

    static_shapes = True

    def __init__(self, run: Run, model: Classifier, images: Images | ImageFiles, loss: Loss):
        super().__init__(model, run.recipe)
        self.criterion = loss
        self.batch = run.recipe.batch
        if self.batch < distributed.world_size():
            raise distributed.CollectiveError(
                f"a batch of {self.batch} images is too small for {distributed.world_size()} processes"
            )
        self.batches = views.training_batches(
            images, augmentation.from_recipe(run.recipe), run.seed, self.batch, self.device
        )

    @override
    def load_batch(self, i: int) -> None:
        self.batches.load(i)

    @override
    def loss(self) -> Tensor:
        images, batch = self.batches()
        with devices.autocast(self.device, self.recipe.precision):
            logits = self.model(images)
        return distributed.loss_weight(len(batch.index), self.batch) * self.criterion(logits.float(), batch)


def _network(run: Run, shape: tuple[int, int, int], n_classes: int) -> Classifier:
    """Build a run's network, and try it on a black view (C, h, w): UserError unless it gives a logit for each class."""
    try:
        with devices.enough_memory(run):
            model = build(run.model, shape, n_classes)
            with torch.no_grad():
                logits = model.eval()(torch.zeros(1, *shape))
    except UserError:
        raise
    except Exception as error:  # of all that may go wrong in somebody's network
        reason = shortened(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{run.model} fails on a view of shape {shape}: {reason}") from error
    if logits.shape != (1, n_classes):
        raise UserError(f"{run.model} gives logits {tuple(logits.shape)} for a view, but there are {n_classes} classes")
    return model.train()


def _loss(run: Run, n_classes: int, device: torch.device) -> Loss:
    """Build a run's loss, and try it on two logits: UserError unless it gives a number that can be minimised."""
    loss = from_run(run)
    labels = torch.arange(2, device=device)
    try:
        found = loss(torch.zeros(2, n_classes, device=device, requires_grad=True), Batch(labels, labels, None))
    except UserError:
        raise
    except Exception as error:  # of all that may go wrong in somebody's loss
        reason = shortened(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{run.recipe.loss} fails on logits of shape (2, {n_classes}): {reason}") from error
    if not isinstance(found, Tensor) or found.shape != () or not found.requires_grad:
        raise UserError(f"{run.recipe.loss} has to give one number, as a tensor with a gradient, not {brief(found)}")
    return loss


class ImageTask:
    """Image classification as a `loop.Task`. Initial weights are drawn from torch's random state."""

    def __init__(self, run: Run, data: Splits, device: torch.device, loss: Loss | None):
        """loss: the recipe's, with the run's alpha, when None."""
        self.run, self.data = run, data
        self.view = augmentation.from_recipe(run.recipe)
        self.shape = self.view.shape(data.train.shape)
        model = _network(run, self.shape, len(data.train.classes))
        if run.recipe.initial == "small":
            initialise_small(model)
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # which torch knows
        self.trainer = ImageTrainer(run, model, data.train, loss or _loss(run, len(data.train.classes), device))
        self.validation = data.heldout.first(min(VALIDATION_IMAGES, len(data.heldout)))
        self.logit_differences: LogitDifferences | None = None
        if run.measured == "logit-differences":
            assert isinstance(data.train, Images) and isinstance(data.heldout, Images)  # which a run makes sure of
            self.logit_differences = LogitDifferences(run, data.train, data.heldout)

    @property
    def validation_size(self) -> int:
        """How many held-out images `validate` evaluates."""
        return len(self.validation)

    @property
    def probe_steps(self) -> set[int]:
        """The steps after which `probe` is called: none where the run has no probe."""
        return set(self.logit_differences.points) if self.logit_differences else set()

    def probe(self, step: int) -> bool:
        """Measure the differences of logits after `step` steps; False when these are not finite."""
        return self.logit_differences is None or self.logit_differences.measure(self.trainer.model, step)

    def validate(self) -> dict[str, float] | None:
        """Evaluate on held-out images: accuracy and ECE as fractions; None when logits are not finite."""
        outputs = self._evaluate(self.validation)
        if not np.isfinite(outputs.logits).all():
            return None
        metrics = summary.basic_metrics(outputs) if len(outputs.labels) else {}
        return {name: value for name, value in metrics.items() if name in ("accuracy", "ece")}

    def state(self) -> dict[str, Tensor]:
        """Return what the probe has measured so far, for a checkpoint."""
        return self.logit_differences.state() if self.logit_differences else {}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        if self.logit_differences:
            self.logit_differences.load_state(tensors)

    def sample_inputs(self) -> tuple[tuple[Tensor, ...], int]:
        """Return two black images (2, C, h, w) as inputs, and their number."""
        return (torch.zeros(2, *self.shape, device=self.trainer.device),), 2

    def close(self) -> None:
        """End the processes that load batches."""
        self.trainer.batches.close()

    def summarise(self, seconds: float) -> tuple[dict, dict, dict]:
        """Evaluate the trained network on all splits: metrics, arrays, and facts for the environment."""
        splits = self.data._replace(train=self.data.train.first(min(TRAIN_EVALUATED, len(self.data.train))))
        train, heldout, test = (self._evaluate(images) for images in splits)
        metrics = summary.metrics(train, heldout, test)
        metrics |= self._later_metrics(train, heldout, test, metrics.get("temperature"))
        # Only the errors of students are read.
        arrays = {} if self.run.teachers else self._arrays(train, test, metrics)
        facts: dict[str, float] = {"images_per_second": round(self.run.recipe.steps * self.trainer.batch / seconds)}
        if self.logit_differences:
            arrays |= self.logit_differences.arrays(self.trainer.model)
            facts["probe_seconds"] = round(self.logit_differences.seconds, 1)
        return metrics, arrays, facts

    def _later_metrics(
        self,
        train: summary.ModelOutputs,
        heldout: summary.ModelOutputs,
        test: summary.ModelOutputs,
        temperature: float | None,
    ) -> dict[str, float]:
        """Compute the measures of later work: `evaluation`, `transfer`. temperature: None without held-out images."""
        metrics = evaluation.selective_prediction(heldout, test)
        splits = {"test": (test, 1.0)}
        if temperature is not None:
            splits |= {"heldout": (heldout, 1.0), "test_scaled": (test, temperature)}
        for name, (split, divisor) in splits.items():
            found = evaluation.calibration_without_bins(split, divisor)
            metrics |= {f"{name}_{measure}": value for measure, value in found.items()}
        templates = self.trainer.model.templates().detach().double().cpu().numpy()
        metrics |= evaluation.feature_geometry(train, test, templates)
        if isinstance(self.data.train, Images):
            shape = self.data.train.shape
            metrics |= transfer.out_of_distribution(self.run.dataset, shape, test, self._evaluate)
            metrics |= transfer.linear_probe(self.run.dataset, shape, self._evaluate)
        return metrics

    def _arrays(self, train: summary.ModelOutputs, test: summary.ModelOutputs, metrics: dict[str, float]) -> dict:
        """Return the arrays for figures. The first seed keeps its logits; of others, numbers and a few examples do."""
        normalisation = None
        if "normalised_logit_p" in metrics:
            p, centred = (metrics[f"normalised_logit_{name}"] for name in ("p", "centred"))
            normalisation = selective.Normalisation(int(p), bool(centred))
        source = registry.dataset(self.run.dataset)
        figure_classes = [source.classes.index(name) for name in source.shown]
        templates = self.trainer.model.templates().detach().float().cpu().numpy()
        found = summary.arrays(
            templates, metrics.get("temperature"), train, test, figure_classes, full=self.run.seed == 0
        )
        return found | evaluation.risk_curves(test, normalisation)

    def _evaluate(self, images: Images | ImageFiles) -> summary.ModelOutputs:
        return summary.evaluate(self.trainer.model, images, self.view, self.run.recipe.precision)
