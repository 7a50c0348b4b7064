"""A trained image network on other data sets: out-of-distribution detection, and a linear probe of its features.

Both are measured where the other data set is at hand (`registry.Dataset.unknown` and `.transfer`), in the network's
own evaluation view; one that is not at hand adds nothing to the record.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lsbook.analysis import selective
from lsbook.core import registry
from lsbook.core.errors import UserError, one_of
from lsbook.core.registry import identifier
from lsbook.data.images import Images, is_available, load, train_and_heldout
from lsbook.training.images.summary import ModelOutputs

SCORES = {"msp": selective.max_probability, "max_logit": selective.max_logit, "energy": selective.energy}
PROBE_IMAGES = 10_000  # training images that a linear probe learns from, at most
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C: weight of the examples' summed loss against ½ ‖w‖²
ITERATIONS = 500

Evaluate = Callable[[Images], ModelOutputs]


def check(dataset: str) -> None:
    """UserError when another data set on which its networks are tried does not fit, or is available but not usable.

    It may be damaged, or lack the images that are measured. Asked before a training, so that it is not trained to an
    end where nothing can be recorded.
    """
    source = registry.dataset(dataset)
    for name, left_out in source.unknown.items():
        for label in left_out:
            one_of(f"class of {name}", label, registry.dataset(name).classes)
    for name in filter(None, (*source.unknown, source.transfer)):
        theirs = registry.dataset(name).shape
        if source.shape is None or theirs is None or not _fits(theirs, source.shape):
            raise UserError(f"networks for {dataset}, {source.shape}, cannot be tried on {name}, {theirs}")
    for name, left_out in source.unknown.items():
        if is_available(name):
            _unknown_images(name, left_out)
    if source.transfer and is_available(source.transfer):
        _probe_splits(source.transfer)


def out_of_distribution(
    dataset: str, shape: tuple[int, int, int], test: ModelOutputs, evaluate: Evaluate
) -> dict[str, float]:
    """AUROC of a network's test images against those of data sets that are unknown to it.

    The names are `ood_{data set}_{score}_auroc`, the scores the largest probability (msp), the largest logit and the
    energy log Σ exp z. An AUROC is the probability that an image of its own data set has the higher score, ties
    counting half.

    Args:
        dataset: on which the network was trained.
        shape: (C, H, W) of the images the network knows.
        test: its outputs for its own test images.
        evaluate: computes its outputs for other images.
    """
    found = {}
    for name, known in registry.dataset(dataset).unknown.items():
        if not is_available(name):
            continue
        logits = evaluate(_in_shape(_unknown_images(name, known), shape)).logits
        for score, score_of in SCORES.items():
            found[f"ood_{identifier(name)}_{score}_auroc"] = selective.auroc(score_of(test.logits), score_of(logits))
    return found


def linear_probe(dataset: str, shape: tuple[int, int, int], evaluate: Evaluate) -> dict[str, float]:
    """Train a linear classifier on the penultimate features of another data set and return its test accuracy.

    The metrics are `probe_{data set}_accuracy`, and `probe_{data set}_strength` for C. Features are standardised by the
    training images; the classifier is scikit-learn's multinomial logistic regression with an L2 penalty, and C the one
    of the highest accuracy on held-out images, the smallest of equals. Nothing where the other data set is not here.

    Args:
        dataset: on which the network was trained.
        shape: (C, H, W) of the images the network knows.
        evaluate: computes its outputs for other images.
    """
    name = registry.dataset(dataset).transfer
    if name is None or not is_available(name):
        return {}
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    splits = _probe_splits(name)
    features = {
        split: evaluate(_in_shape(images, shape)).activations[:, :-1].astype(np.float64)
        for split, images in splits.items()
    }
    best = {"heldout": -1.0}
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=ITERATIONS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an optimum that is not reached is judged like any other
            model.fit(features["train"], splits["train"].labels)
        accuracy = {split: float(model.score(features[split], splits[split].labels)) for split in ("heldout", "test")}
        if accuracy["heldout"] > best["heldout"]:
            best = accuracy | {"strength": strength}
    metric = f"probe_{identifier(name)}"
    return {f"{metric}_accuracy": best["test"], f"{metric}_strength": best["strength"]}


def _unknown_images(name: str, known: tuple[str, ...]) -> Images:
    """Return a data set's test images of all but the known classes. UserError when there are none."""
    images = load(name, "test")
    assert isinstance(images, Images)  # no data set names one that stays in files
    rows = ~np.isin(images.labels, [images.classes.index(label) for label in known])
    if not rows.any():
        raise UserError(f"{name} has no test images that are unknown: all are of classes that are left out")
    return replace(images, pixels=images.pixels[rows], labels=images.labels[rows])


def _probe_splits(name: str) -> dict[str, Images]:
    """Return the images of each split that a linear probe learns from or is measured on. UserError for too few."""
    (train, heldout), test = train_and_heldout(name), load(name, "test")
    assert isinstance(heldout, Images) and isinstance(test, Images)  # no data set names one that stays in files
    train = train.first(min(PROBE_IMAGES, len(train)))
    if not len(heldout) or len(np.unique(train.labels)) < 2:
        raise UserError(f"{name} is too small for a linear probe, which needs held-out images and two classes")
    return {"train": train, "heldout": heldout, "test": test}


def _fits(images: tuple[int, int, int], shape: tuple[int, int, int]) -> bool:
    """Whether images are no larger than a shape (C, H, W), and grey or of as many channels."""
    return images[0] in (1, shape[0]) and images[1] <= shape[1] and images[2] <= shape[2]


def _in_shape(images: Images, shape: tuple[int, int, int]) -> Images:
    """Bring images to a shape (C, H, W): grey ones are repeated in each channel, smaller ones get zeros around them.

    ValueError when they are larger, or coloured where the network knows grey ones only.
    """
    spare = np.subtract(shape[1:], images.shape[1:])
    if not _fits(images.shape, shape):
        raise ValueError(f"images: {images.shape} do not fit into {shape}")
    around = [(0, 0), (0, 0), *((n // 2, n - n // 2) for n in spare)]
    return replace(images, pixels=np.pad(images.pixels.repeat(shape[0] // images.shape[0], axis=1), around))
