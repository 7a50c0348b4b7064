"""What a record keeps of a trained network: numbers on the splits, and small arrays for the figures."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from lsbook.analysis import calibration
from lsbook.analysis.projection import span_coordinates
from lsbook.data.image_files import ImageFiles
from lsbook.data.images import Images
from lsbook.models.base import Classifier
from lsbook.training.engine import distributed
from lsbook.training.engine.devices import autocast
from lsbook.training.images.augmentation import Augmentation, InceptionCrop
from lsbook.training.images.views import evaluation_batches

KEPT_PER_CLASS = 100  # examples of a class whose activations are kept, about as many as Figure 1 of the paper shows
MAX_KEPT_LOGITS = 250_000  # kept at most, 0.3 MB
LOGIT_SPREAD = 0.125  # nats: logits below 32 are kept to a 64th, probabilities then within 1.6 % of themselves


class ModelOutputs(NamedTuple):
    """A network's outputs for the evaluation views of a split's N images.

    activations: (N, d + 1) penultimate, with the constant 1 that meets the bias. logits: (N, K). Both are float32.
    labels: (N,) of the split.
    """

    activations: np.ndarray
    logits: np.ndarray
    labels: np.ndarray


@torch.no_grad()
def evaluate(
    model: Classifier, images: Images | ImageFiles, view: Augmentation | InceptionCrop, precision: str
) -> ModelOutputs:
    """Compute a network's outputs for images, of which there may be none, in batches.

    The model is left in the mode (training or not) that it was in. Of several processes each evaluates its shard and
    returns all outputs.
    """
    device = model.output.weight.device
    was_training = model.training
    model.eval()
    n_classes, width = model.output.weight.shape
    activation_parts = [torch.empty((0, width), device=device)]
    logit_parts = [torch.empty((0, n_classes), device=device)]
    for views in evaluation_batches(images, view, device):
        with autocast(device, precision):
            hidden = model.penultimate(views)
            logit_parts.append(model.output(hidden).float())
        activation_parts.append(hidden.float())
    model.train(was_training)
    activations, logits = (
        distributed.all_gather_shards(torch.cat(parts).cpu().numpy()) for parts in (activation_parts, logit_parts)
    )
    return ModelOutputs(append_one(activations), logits, images.labels)


def to_float16(values: np.ndarray) -> np.ndarray:
    """Convert to float16, or to float32 when a value is too large, as a logit of a diverged network may be."""
    fits = np.abs(values).max(initial=0) <= np.finfo(np.float16).max
    return values.astype(np.float16 if fits else np.float32)


def quantise(values: np.ndarray, spread: float | np.ndarray) -> np.ndarray:
    """Round values to multiples of a power of two, at most an eighth of `spread`, and convert them by `to_float16`.

    Adds at most 1/768 of spread² to a variance, and a third less is left to store, most of it noise before. `spread`
    broadcasts against the values; where it is 0 or not finite they are not rounded.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.exp2(np.floor(np.log2(np.divide(spread, 8))))
        rounded = np.round(values / step) * step
    return to_float16(np.where(np.isfinite(rounded), rounded, values))


def metrics(train: ModelOutputs, heldout: ModelOutputs, test: ModelOutputs) -> dict[str, float]:
    """Compute the metrics of a record, as `{split}_{accuracy,ece,nll}`: fractions, and NLL in nats.

    The temperatures of the smallest NLL and of the smallest ECE are fitted on the held-out split alone; `test_scaled`
    is at the former. Without held-out examples there are no temperatures, and nothing is scaled.
    """
    splits = {"train": basic_metrics(train), "test": basic_metrics(test)}
    result = {}
    if len(heldout.labels):
        result["temperature"] = calibration.fit_temperature(heldout.logits, heldout.labels)
        result["temperature_by_ece"] = calibration.fit_temperature_by_ece(heldout.logits, heldout.labels)
        splits |= {"heldout": basic_metrics(heldout), "test_scaled": basic_metrics(test, result["temperature"])}
    return result | {f"{split}_{name}": value for split, found in splits.items() for name, value in found.items()}


def arrays(
    templates: np.ndarray,
    temperature: float | None,
    train: ModelOutputs,
    test: ModelOutputs,
    figure_classes: Sequence[int],
    full: bool,
) -> dict[str, np.ndarray]:
    """Return the arrays that figures need, by name.

    templates (K, r); train_activations and test_activations (n, r), in the templates' span, and train_labels and
    test_labels (n,), of the first examples of each class in `figure_classes`, of a split that has any; test_confidence
    and test_hit, test_scaled_confidence and test_scaled_hit (N,): the largest probability at temperature 1 and at
    `temperature`, and whether its class is correct, of every test image, in the order of the former, which compresses
    it to a fifth; when `full`, test_logits (m, K) and test_targets (m,) of all test images, or of the first where there
    are more than MAX_KEPT_LOGITS numbers.

    Args:
        templates: (K, d + 1) with the bias last.
        temperature: fitted on held-out images; None without them: nothing is scaled.
        train: outputs of training images.
        test: outputs of the test images.
        figure_classes: class indices.
        full: whether the logits are kept.
    """
    result = {}
    _, span_templates = span_coordinates(templates, templates)
    for name, split in {"train": train, "test": test}.items():
        rows = first_of_each_class(split.labels, KEPT_PER_CLASS)
        rows = rows[np.isin(split.labels[rows], figure_classes)]
        if not len(rows):
            continue
        activations, _ = span_coordinates(split.activations[rows], templates)
        labels = split.labels[rows]
        result[f"{name}_activations"] = quantise(activations, _within(activations, labels) / 8)
        result[f"{name}_labels"] = labels.astype(np.uint16)
    result["templates"] = span_templates.astype(np.float32)
    hit = test.logits.argmax(axis=1) == test.labels
    for name, divisor in {"test": 1.0, "test_scaled": temperature}.items():
        if divisor is not None:
            confidence = calibration.softmax(test.logits, divisor).max(axis=1).astype(np.float16)
            order = np.lexsort((hit, confidence))
            result |= {f"{name}_confidence": confidence[order], f"{name}_hit": hit[order]}
    if full:
        kept = MAX_KEPT_LOGITS // len(templates)
        result["test_logits"] = quantise(test.logits[:kept], LOGIT_SPREAD)
        result["test_targets"] = test.labels[:kept].astype(np.uint16)
    return result


def _within(points: np.ndarray, labels: np.ndarray) -> float:
    """Return the standard deviation of points (n, r) from their class's mean."""
    return np.sqrt(np.mean([points[labels == label].var(axis=0).mean() for label in np.unique(labels)]))


def first_of_each_class(labels: np.ndarray, n: int) -> np.ndarray:
    """Return the row indices, in order, of the first n examples of each class in labels (N,)."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:n] for label in np.unique(labels)]))


def basic_metrics(split: ModelOutputs, temperature: float = 1.0) -> dict[str, float]:
    """Compute accuracy and ECE, as fractions, and NLL in nats, of softmax(logits / temperature)."""
    probabilities = calibration.softmax(split.logits, temperature)
    return {
        "accuracy": float(np.mean(split.logits.argmax(axis=1) == split.labels)),
        "ece": calibration.expected_calibration_error(probabilities, split.labels),
        "nll": calibration.negative_log_likelihood(split.logits, split.labels, temperature),
    }


def append_one(activations: np.ndarray) -> np.ndarray:
    """Append the constant 1 that meets the bias: (N, d) to (N, d + 1)."""
    return np.concatenate([activations, np.ones((len(activations), 1), np.float32)], axis=1)
