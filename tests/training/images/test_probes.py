"""Probes: they change nothing, and what they keep is what the network's logits of augmented views tell."""

import dataclasses
from itertools import combinations

import numpy as np
import pytest
import torch

from lsbook.analysis.information import bracket
from lsbook.chapters import mutual_information
from lsbook.chapters.shared.comparison import HARD
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.registry import MODELS
from lsbook.core.store import Store
from lsbook.data.images import load
from lsbook.training import Splits, train
from lsbook.training.images import summary
from lsbook.training.images.augmentation import AUGMENTATIONS
from lsbook.training.images.probes import N_VIEWS, PAIR, VIEW_COUNTS, LogitDifferences

RECIPE = Recipe(steps=12, batch=32, learning_rate=0.02, augmentation="crop24-flip")


def run(seed=0, probe="logit-differences", **changes) -> Run:
    recipe = dataclasses.replace(RECIPE, **changes)
    return Run(dataset="digits", model="alexnet-16", alpha=0.1, seed=seed, recipe=recipe, examples=100, probe=probe)


@pytest.fixture(scope="module")
def data() -> Splits:
    train, heldout, test = (load("digits", split) for split in ("train", "heldout", "test"))
    return Splits(train.first(100), heldout.first(60), test.first(50))


@pytest.fixture(scope="module")
def outcome(data):
    return train(run(), data, progress=False)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MODELS["alexnet-16"].build((1, 24, 24), 10)


def test_a_probe_changes_nothing_else(data, outcome):
    without = train(run(probe="none"), data, progress=False)
    assert without.metrics == outcome.metrics
    assert without.history == outcome.history
    names = "examples", "information", "weaker_information"
    added = {f"{split}_{name}" for split in ("train", "heldout") for name in names} | {"train_differences"}
    added |= {f"probe_{name}" for name in ("steps", "pairs", "views", "reaches")}
    assert outcome.arrays.keys() - without.arrays.keys() == added
    assert outcome.environment["probe_seconds"] > 0


def test_its_time_goes_on_after_an_interruption(data):
    first, second = (LogitDifferences(run(), data.train, data.heldout) for _ in range(2))
    first.seconds = 5.0
    second.load_state(first.state())
    assert second.seconds == 5.0


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_information_of_the_kept_pair_is_that_of_its_differences(data, outcome, split):
    """At the end, of both estimates and numbers of views; differences are kept a little rounded."""
    arrays = outcome.arrays
    examples = arrays[f"{split}_examples"]
    labels = getattr(data, split).labels
    assert examples.tolist() == [(labels == label).sum() for label in range(10)]
    information = arrays[f"{split}_information"]
    assert information.shape == (len(arrays["probe_steps"]), 45, len(VIEW_COUNTS), 2)
    assert arrays["probe_views"].tolist() == list(VIEW_COUNTS)
    if split == "train":
        [differences] = arrays["train_differences"]
        assert differences.shape == (sum(examples[list(PAIR)]), N_VIEWS)
        [pair] = np.flatnonzero((arrays["probe_pairs"] == PAIR).all(axis=1))
        for views, estimates in zip(VIEW_COUNTS, information[-1, pair], strict=True):
            np.testing.assert_allclose(estimates, bracket(differences[:, :views].astype(float)), atol=0.03)


def test_every_pair_is_measured_from_its_own_logits(data, model):
    probe = LogitDifferences(run(), data.train, data.heldout)
    probe.measure(model, 1)
    logits = probe._view_logits(model, data.train)
    [information] = probe.arrays(model)["train_information"]
    assert probe.pairs == list(combinations(range(10), 2))
    for (a, b), found in zip(probe.pairs, information, strict=True):
        differences = np.concatenate([logits[a][:, :, a] - logits[a][:, :, b], logits[b][:, :, a] - logits[b][:, :, b]])
        np.testing.assert_allclose(found[-1], bracket(differences), rtol=1e-6)


def test_without_augmentation_every_view_is_the_image(data):
    still = run(augmentation="none", precision="float32")
    torch.manual_seed(0)
    model = MODELS["alexnet-16"].build((1, 32, 32), 10)
    probe = LogitDifferences(still, data.train, data.heldout)
    probe.measure(model, still.recipe.steps)
    logits = summary.evaluate(model, data.train, AUGMENTATIONS["none"], "float32").logits
    rows = np.concatenate([np.flatnonzero(data.train.labels == k) for k in PAIR])
    expected = logits[rows, PAIR[0]] - logits[rows, PAIR[1]]
    found = probe.arrays(model)["train_differences"][0]
    np.testing.assert_allclose(found, np.tile(expected[:, None], N_VIEWS), atol=1e-3)


def test_views_differ_and_stay_the_same_along_the_training(data, model):
    probe = LogitDifferences(run(), data.train, data.heldout)
    for step in probe.points[-2:]:
        probe.measure(model, step)
    first, second = probe.found["train_information"]
    np.testing.assert_array_equal(first, second)
    assert (np.ptp(probe.arrays(model)["train_differences"][0], axis=1) > 0).all()


def test_weaker_views_are_told_apart_better(data, outcome):
    """Those of the whole reach are as the views along the training; those that are only mirrored tell most."""
    arrays = outcome.arrays
    weaker = arrays["train_weaker_information"].mean(axis=(1, 2, 3))
    assert len(weaker) == len(arrays["probe_reaches"])
    assert (np.diff([*weaker, arrays["train_information"][-1].mean()]) < 0).all()


def test_views_of_the_whole_reach_are_those_of_the_training(data, model):
    probe = LogitDifferences(run(), data.train, data.heldout)
    for all_views, whole in zip(
        probe._view_logits(model, data.train), probe._view_logits(model, data.train, 4), strict=True
    ):
        np.testing.assert_array_equal(all_views, whole)


def test_logits_that_are_not_finite_end_the_training(data):
    """When they are measured, before step 12, where the only point of this history is."""
    with pytest.raises(UserError, match=r"not finite any more at step \d;"):
        train(run(learning_rate=1e9), data, progress=False)


def test_a_class_without_images_is_left_out(data, tmp_path):
    """As of a small held-out split; what is left is a whole record."""
    few = data._replace(heldout=data.heldout.first(6))
    found = set(few.heldout.labels.tolist())
    assert len(found) == 5
    outcome = train(run(), few, progress=False)
    assert set(map(tuple, outcome.arrays["probe_pairs"].tolist())) == set(combinations(sorted(found), 2))
    assert outcome.arrays["train_information"].shape == outcome.arrays["heldout_information"].shape
    store = Store(tmp_path)
    store.put(run(), **outcome._asdict())
    assert store.verify() == []


def test_a_split_without_images_is_left_out(data):
    arrays = train(run(steps=2), data._replace(heldout=data.heldout.first(0)), progress=False).arrays
    assert "train_information" in arrays
    assert "heldout_information" not in arrays


@pytest.mark.parametrize("profile", ["laptop", "paper"])
@pytest.mark.parametrize("place", [0, 1])
def test_recorded_trainings_have_enough_points(profile, place, data):
    """At least 20, evenly spaced in the logarithm of the step once steps are far enough apart to be."""
    full = mutual_information.run(profile, HARD, 0, place)
    points = np.array(LogitDifferences(full, data.train, data.heldout).points)
    assert len(points) >= 20
    assert points[0] == 1
    assert points[-1] == full.recipe.steps
    late = points[points > 20]
    assert np.ptp(np.diff(np.log(late))) < 0.06
