import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lsbook.analysis.targets import cross_entropy, minimise_loss, optimal_logit_gap, smallest_loss, smooth_targets

SMOOTHING = [(2, 0.5), (3, 0.1), (10, 0.1), (100, 0.05), (200, 0.001)]


def test_uniform_part_includes_the_true_class():
    assert smooth_targets([1], 3, 0.1)[0] == pytest.approx([0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3])
    assert smooth_targets([1], 3, 0.1).round(4).tolist() == [[0.0333, 0.9333, 0.0333]]


def test_without_smoothing_targets_are_one_hot():
    assert smooth_targets([2, 0, 2], 4, 0).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]]


def test_cross_entropy_of_known_probabilities():
    logits = np.log([[0.25, 0.75], [0.5, 0.5]]) + [[7.0], [-3.0]]
    targets = [[0.4, 0.6], [1.0, 0.0]]
    expected = [-0.4 * math.log(0.25) - 0.6 * math.log(0.75), math.log(2)]
    assert cross_entropy(logits, targets) == pytest.approx(expected)


def test_cross_entropy_of_large_logits_is_finite():
    assert cross_entropy([[1000.0, 0.0]], [[0.0, 1.0]]) == pytest.approx([1000])


def test_smoothed_loss_equals_that_of_torch():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(20, 7)), rng.integers(7, size=20)
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits), torch.tensor(labels), label_smoothing=0.2, reduction="none"
    )
    assert cross_entropy(logits, smooth_targets(labels, 7, 0.2)) == pytest.approx(expected.numpy())


def test_optimal_gap():
    assert optimal_logit_gap(10, 0.1) == pytest.approx(math.log(0.91 / 0.01))
    assert optimal_logit_gap(2, 0.5) == pytest.approx(math.log(3))
    assert optimal_logit_gap(10, 0) == math.inf


def test_smallest_loss_is_the_entropy_of_the_target():
    assert smallest_loss(10, 0.1) == pytest.approx(-0.91 * math.log(0.91) - 0.09 * math.log(0.01))
    assert smallest_loss(10, 0) == 0


@pytest.mark.parametrize(("n_classes", "alpha"), SMOOTHING)
def test_the_optimal_gap_reaches_the_smallest_loss(n_classes, alpha):
    logits = np.zeros((1, n_classes))
    logits[0, 0] = optimal_logit_gap(n_classes, alpha)
    loss = cross_entropy(logits, smooth_targets([0], n_classes, alpha))
    assert loss == pytest.approx([smallest_loss(n_classes, alpha)])


@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3), st.floats(0, 0.99))
def test_no_logits_do_better_than_the_smallest_loss(logits, alpha):
    assert cross_entropy([logits], smooth_targets([0], 3, alpha))[0] >= smallest_loss(3, alpha) - 1e-12


@pytest.mark.parametrize(("n_classes", "alpha"), SMOOTHING)
def test_the_gap_is_found_numerically(n_classes, alpha):
    logits = minimise_loss(n_classes, alpha)
    assert logits[0] - logits[1:] == pytest.approx(
        np.full(n_classes - 1, optimal_logit_gap(n_classes, alpha)), rel=1e-6
    )
    assert logits.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("labels", lambda: smooth_targets([], 3, 0.1)),
        ("labels", lambda: smooth_targets([3], 3, 0.1)),
        ("labels", lambda: smooth_targets([-1], 3, 0.1)),
        ("labels", lambda: smooth_targets([1.0], 3, 0.1)),
        ("labels", lambda: smooth_targets([[1]], 3, 0.1)),
        ("n_classes", lambda: smooth_targets([0], 1, 0.1)),
        ("n_classes", lambda: optimal_logit_gap(2.5, 0.1)),
        ("alpha", lambda: smooth_targets([0], 3, 1)),
        ("alpha", lambda: optimal_logit_gap(3, -0.1)),
        ("alpha", lambda: smallest_loss(3, math.nan)),
        ("alpha", lambda: minimise_loss(3, 0)),
        ("logits", lambda: cross_entropy([[0, math.nan]], [[0.5, 0.5]])),
        ("logits", lambda: cross_entropy(np.zeros((0, 2)), np.zeros((0, 2)))),
        ("targets", lambda: cross_entropy([[0, 0]], [[0.5, 0.25, 0.25]])),
        ("targets", lambda: cross_entropy([[0, 0]], [[0.5, 0.4]])),
        ("targets", lambda: cross_entropy([[0, 0]], [[1.5, -0.5]])),
    ],
)
def test_bad_input_names_the_argument(argument, call):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()
