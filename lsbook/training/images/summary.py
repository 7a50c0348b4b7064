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
from lsbook.training.images.views import evaluation

SHOWN = 100  # examples of a class whose activations are kept, about as many as Figure 1 of the paper shows
LOGITS = 250_000  # kept at most, 0.3 MB
LOGIT_SPREAD = 0.125  # nats: logits below 32 are kept to a 64th, probabilities then within 1.6 % of themselves


class Responses(NamedTuple):
    """A network's answers to a split's evaluation views: penultimate activations (N, d + 1), with the constant 1 that
    meets the bias, logits (N, K), both float32, and the labels (N,)."""

    activations: np.ndarray
    logits: np.ndarray
    labels: np.ndarray


@torch.no_grad()
def respond(
    model: Classifier, images: Images | ImageFiles, view: Augmentation | InceptionCrop, precision: str
) -> Responses:
    """Evaluate in batches; there may be no images. The model is left in the mode (training or not) that it was in.

    Of several processes each does its share and has all the answers.
    """
    device = model.output.weight.device
    was_training = model.training
    model.eval()
    activations, logits = ([torch.empty((0, n), device=device)] for n in model.output.weight.shape[::-1])
    for views in evaluation(images, view, device):
        with autocast(device, precision):
            hidden = model.penultimate(views)
            logits.append(model.output(hidden).float())
        activations.append(hidden.float())
    model.train(was_training)
    activations, logits = (distributed.interleaved(torch.cat(parts).cpu().numpy()) for parts in (activations, logits))
    return Responses(with_one(activations), logits, images.labels)


def half(values: np.ndarray) -> np.ndarray:
    """In float16; in float32 when one is too large for it, as a logit of a diverged network may be."""
    fits = np.abs(values).max(initial=0) <= np.finfo(np.float16).max
    return values.astype(np.float16 if fits else np.float32)


def coarse(values: np.ndarray, spread: float | np.ndarray) -> np.ndarray:
    """As `half`, rounded to a power of two that is at most an eighth of `spread`, which broadcasts against the values.

    Adds at most 1/768 of its square to a variance, and a third less is left to store, most of it noise before. Where
    the spread is 0 or not finite the values stay as they are.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.exp2(np.floor(np.log2(np.divide(spread, 8))))
        rounded = np.round(values / step) * step
    return half(np.where(np.isfinite(rounded), rounded, values))


def metrics(train: Responses, heldout: Responses, test: Responses) -> dict[str, float]:
    """Accuracy and ECE as fractions, NLL in nats; the temperatures, of the smallest NLL and of the smallest ECE, are
    fitted on the held-out split alone, and the former scales.

    Without held-out examples there are no temperatures, and nothing is scaled.
    """
    splits = {"train": measures(train), "test": measures(test)}
    result = {}
    if len(heldout.labels):
        result["temperature"] = calibration.fit_temperature(heldout.logits, heldout.labels)
        result["temperature_by_ece"] = calibration.fit_temperature_by_ece(heldout.logits, heldout.labels)
        splits |= {"heldout": measures(heldout), "test_scaled": measures(test, result["temperature"])}
    return result | {f"{split}_{name}": value for split, found in splits.items() for name, value in found.items()}


def arrays(
    templates: np.ndarray,
    temperature: float | None,
    train: Responses,
    test: Responses,
    shown: Sequence[int],
    full: bool,
) -> dict[str, np.ndarray]:
    """What figures need, under these names:

    templates (K, r); train_activations, test_activations (n, r), in the templates' span, and train_labels, test_labels
    (n,), of the first examples of each class in `shown`; test_confidence and test_hit, test_scaled_confidence and
    test_scaled_hit (N,): the largest probability at temperature 1 and at `temperature`, and whether its class is right,
    of every test image, in the order of the former, which compresses it to a fifth (nothing scaled when `temperature`
    is None); when `full`, test_logits (m, K) and test_targets (m,) of all test images, or of the first where there are
    more than LOGITS numbers.
    """
    result = {}
    for name, split in {"train": train, "test": test}.items():
        rows = first_of_each_class(split.labels, SHOWN)
        rows = rows[np.isin(split.labels[rows], shown)]
        activations, span_templates = span_coordinates(split.activations[rows], templates)
        labels = split.labels[rows]
        result[f"{name}_activations"] = coarse(activations, _within(activations, labels) / 8)
        result[f"{name}_labels"] = labels.astype(np.uint16)
    result["templates"] = span_templates.astype(np.float32)
    hit = test.logits.argmax(axis=1) == test.labels
    for name, divisor in {"test": 1.0, "test_scaled": temperature}.items():
        if divisor is not None:
            confidence = calibration.softmax(test.logits, divisor).max(axis=1).astype(np.float16)
            order = np.lexsort((hit, confidence))
            result |= {f"{name}_confidence": confidence[order], f"{name}_hit": hit[order]}
    if full:
        kept = LOGITS // len(templates)
        result["test_logits"] = coarse(test.logits[:kept], LOGIT_SPREAD)
        result["test_targets"] = test.labels[:kept].astype(np.uint16)
    return result


def _within(points: np.ndarray, labels: np.ndarray) -> float:
    """The deviation of points (n, r) from their class's mean."""
    return np.sqrt(np.mean([points[labels == label].var(axis=0).mean() for label in np.unique(labels)]))


def first_of_each_class(labels: np.ndarray, n: int) -> np.ndarray:
    """Rows, in order, of the first n examples of each class."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:n] for label in np.unique(labels)]))


def measures(split: Responses, temperature: float = 1.0) -> dict[str, float]:
    """Accuracy and ECE, as fractions, and NLL in nats, of softmax(logits / temperature)."""
    probabilities = calibration.softmax(split.logits, temperature)
    return {
        "accuracy": float(np.mean(split.logits.argmax(axis=1) == split.labels)),
        "ece": calibration.expected_calibration_error(probabilities, split.labels),
        "nll": calibration.negative_log_likelihood(split.logits, split.labels, temperature),
    }


def with_one(activations: np.ndarray) -> np.ndarray:
    """With the constant 1 appended that stands for the bias: (N, d) to (N, d + 1)."""
    return np.concatenate([activations, np.ones((len(activations), 1), np.float32)], axis=1)
