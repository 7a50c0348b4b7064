"""Probes: they change nothing, and what they keep are the network's logits of augmented views."""

import dataclasses

import numpy as np
import pytest
import torch

from lsbook.catalogue import MODELS
from lsbook.data.images import load
from lsbook.experiments import profiles
from lsbook.run import Recipe, Run
from lsbook.training import Splits, summary, train
from lsbook.training.augmentation import AUGMENTATIONS
from lsbook.training.probes import PAIR, VIEWS, LogitDifferences

RECIPE = Recipe(steps=12, batch=32, learning_rate=0.02, augmentation="crop24-flip", probe="logit-differences")


def run(seed=0, **changes) -> Run:
    recipe = dataclasses.replace(RECIPE, **changes)
    return Run(dataset="digits", model="resnet8", alpha=0.1, seed=seed, recipe=recipe, examples=300)


@pytest.fixture(scope="module")
def data() -> Splits:
    return Splits(load("digits", "train").first(300), load("digits", "heldout"), load("digits", "test"))


@pytest.fixture(scope="module")
def outcome(data):
    return train(run(), data, progress=False)


def test_a_probe_changes_nothing_else(data, outcome):
    without = train(run(probe="none"), data, progress=False)
    assert without.metrics == outcome.metrics
    assert without.history == outcome.history
    added = {"train_differences", "train_steps", "heldout_differences", "heldout_steps"}
    assert outcome.arrays.keys() - without.arrays.keys() == added | {"train_view_logits", "train_view_labels"}
    assert outcome.environment["probe_seconds"] > 0


def test_its_time_goes_on_after_an_interruption(data):
    first, second = (LogitDifferences(run(), data.train, data.heldout) for _ in range(2))
    first.seconds = 5.0
    second.load_state(first.state())
    assert second.seconds == 5.0


def test_differences_are_those_of_the_kept_logits(data, outcome):
    """The last point of the training images against the logits of all classes, which are kept apart."""
    arrays = outcome.arrays
    n = [int((data.train.labels == label).sum()) for label in PAIR]
    assert arrays["train_differences"].shape == (len(arrays["train_steps"]), sum(n), VIEWS)
    labels = arrays["train_view_labels"]
    assert arrays["train_view_logits"].shape == (len(labels), VIEWS, 10)
    expected = [arrays["train_view_logits"][labels == k].astype(float) for k in PAIR]
    expected = np.concatenate([logits[:, :, PAIR[0]] - logits[:, :, PAIR[1]] for logits in expected])
    # Other batches, other order of sums; views were drawn for other rows, so class means are compared.
    last = arrays["train_differences"][-1].astype(float)
    assert np.mean(last[: n[0]]) == pytest.approx(np.mean(expected[: n[0]]), abs=0.2)
    assert np.mean(last[n[0] :]) == pytest.approx(np.mean(expected[n[0] :]), abs=0.2)
    assert arrays["heldout_steps"].tolist() == arrays["train_steps"][::-1][::2][::-1].tolist()
    assert arrays["heldout_differences"].shape[0] == len(arrays["heldout_steps"])


def test_without_augmentation_every_view_is_the_image(data):
    still = run(augmentation="none", precision="float32")
    torch.manual_seed(0)
    model = MODELS["resnet8"].build((1, 32, 32), 10)
    probe = LogitDifferences(still, data.train, data.heldout)
    probe.measure(model, still.recipe.steps)
    logits = summary.respond(model, data.train, AUGMENTATIONS["none"], "float32").logits
    rows = np.concatenate([np.flatnonzero(data.train.labels == k) for k in PAIR])
    expected = logits[rows, PAIR[0]] - logits[rows, PAIR[1]]
    np.testing.assert_allclose(probe.differences["train"][0], np.tile(expected[:, None], VIEWS), atol=1e-4)


def test_views_differ_and_stay_the_same_along_the_training(data):
    torch.manual_seed(0)
    model = MODELS["resnet8"].build((1, 24, 24), 10)
    probe = LogitDifferences(run(), data.train, data.heldout)
    for step in probe.points[-3::2]:
        probe.measure(model, step)
    first, second = probe.differences["train"]
    np.testing.assert_array_equal(first, second)
    assert (np.ptp(first, axis=1) > 0).all()


def test_further_seeds_keep_only_the_differences(data):
    arrays = train(run(seed=1, steps=2), data, progress=False).arrays
    assert "train_differences" in arrays
    assert "train_view_logits" not in arrays


@pytest.mark.parametrize("profile", ["laptop", "paper"])
def test_recorded_trainings_have_enough_points(profile, data):
    """At least 20, evenly spaced in the logarithm of the step once steps are far enough apart to be."""
    full = profiles.run(profile, "cifar10", "resnet56", 0.1, 0)
    points = np.array(LogitDifferences(full, data.train, data.heldout).points)
    assert len(points) >= 20
    assert points[0] == 1
    assert points[-1] == full.recipe.steps
    late = points[points > 20]
    assert np.ptp(np.diff(np.log(late))) < 0.06
