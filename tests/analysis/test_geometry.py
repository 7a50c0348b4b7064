import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cosine

from lsbook.analysis.geometry import class_separation, neural_collapse

GENERATORS = st.integers(0, 10_000).map(np.random.default_rng)


def clusters(rng, n_classes, d, spread=1.0):
    """Features of 1 to 6 examples a class, in the order of a shuffle, with labels that are not 0 … K − 1."""
    labels = np.concatenate([np.arange(n_classes), rng.integers(n_classes, size=3 * n_classes)])
    means = rng.normal(size=(n_classes, d)) + 0.5
    order = rng.permutation(len(labels))
    features = means[labels] + spread * rng.normal(size=(len(labels), d))
    return features[order], 3 * labels[order] + 1


def simplex(rng, n_classes, d):
    """Vertices (K, d) of a simplex of equal sides, turned, scaled and moved."""
    vertices = np.zeros((n_classes, d))
    vertices[:, :n_classes] = np.eye(n_classes)
    return rng.uniform(0.1, 10) * vertices @ np.linalg.qr(rng.normal(size=(d, d)))[0] + rng.normal(size=d)


# Class separation


@given(GENERATORS, st.integers(2, 5), st.integers(1, 6))
def test_separation_equals_loops_over_all_pairs(rng, n_classes, d):
    features, labels = clusters(rng, n_classes, d)
    members = [features[labels == label] for label in np.unique(labels)]

    def distance(a, b):
        return np.mean([cosine(x, y) for x in a for y in b])

    within = np.mean([distance(a, a) for a in members])
    total = np.mean([distance(a, b) for a in members for b in members])
    if total < 1e-9:  # two numbers of one sign have one direction
        return
    found = class_separation(features, labels)
    assert [found.within, found.total] == pytest.approx([within, total], abs=1e-12)
    assert found.r2 == pytest.approx(1 - within / total)


def test_separation_in_closed_form():
    """Classes along an axis each: 0 within, 1 between two of them, and so 1 − 1/K over all pairs of classes."""
    axes = np.eye(4)[[0, 0, 1, 2, 3, 3]] * np.arange(1, 7)[:, None]
    assert class_separation(axes, [5, 5, 2, 3, 4, 4]) == pytest.approx((1, 0, 3 / 4), abs=1e-15)
    opposite = class_separation([[2.0], [1], [-1]], [0, 0, 1])
    assert opposite == pytest.approx((1, 0, 1))
    same = class_separation([[1, 0], [-2, 0], [3, 0], [-4, 0]], [0, 0, 1, 1])
    assert same == pytest.approx((0, 1, 1))
    by_hand = class_separation([[1, 0], [0, 3], [0, 1], [0, 9]], [0, 0, 1, 1])
    assert by_hand == pytest.approx((1 - (1 / 4) / (3 / 8), 1 / 4, 3 / 8))


@given(GENERATORS, st.integers(2, 5), st.integers(2, 6))
def test_separation_depends_on_directions_alone(rng, n_classes, d):
    features, labels = clusters(rng, n_classes, d)
    before = class_separation(features, labels)
    turned = features @ np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.1, 10, size=(len(features), 1))
    order = rng.permutation(len(labels))
    assert class_separation(turned[order], 100 - labels[order]) == pytest.approx(before)


@given(GENERATORS, st.integers(2, 4))
def test_classes_weigh_equally_however_large(rng, n_classes):
    features, labels = clusters(rng, n_classes, 5)
    more = np.concatenate([np.arange(len(labels)), np.repeat(np.flatnonzero(labels == 1), 3)])
    assert class_separation(features[more], labels[more]) == pytest.approx(class_separation(features, labels))
    templates = rng.normal(size=(n_classes, 5))
    before = neural_collapse(features, labels, templates)
    assert neural_collapse(features[more], labels[more], templates) == pytest.approx(before)


# Neural collapse


@given(GENERATORS, st.integers(2, 6), st.integers(2, 8))
def test_nc1_equals_that_of_the_whole_matrices(rng, n_classes, d):
    """The pseudo-inverse of the d × d covariance of the class means, with more classes than dimensions and fewer."""
    features, labels = clusters(rng, n_classes, d)
    members = [features[labels == label] for label in np.unique(labels)]
    within = np.mean([np.cov(x, rowvar=False, bias=True) for x in members], axis=0)
    between = np.cov([x.mean(axis=0) for x in members], rowvar=False, bias=True)
    expected = np.trace(within @ np.linalg.pinv(between, rcond=1e-9, hermitian=True)) / n_classes
    assert neural_collapse(features, labels).nc1 == pytest.approx(expected, rel=1e-4)


@given(GENERATORS, st.integers(2, 8), st.integers(0, 5))
def test_collapse_to_a_simplex_is_complete(rng, n_classes, more):
    vertices = simplex(rng, n_classes, n_classes + more)
    labels = rng.permutation(np.concatenate([np.arange(n_classes), rng.integers(n_classes, size=20)]))
    found = neural_collapse(vertices[labels], labels, simplex(rng, n_classes, n_classes + more))
    assert list(found) == pytest.approx([0, 0, 0], abs=1e-10)
    assert neural_collapse(vertices[labels], labels).nc2_templates is None


def test_nc1_in_closed_form():
    """Two classes about ±m with the variance v of each: Σ_B = m², and so NC1 = v / (2 m²)."""
    m, v = 3.0, 0.25
    features = np.array([[m + 0.5, 7], [m - 0.5, 7], [-m + 0.5, 7], [-m - 0.5, 7]])
    assert neural_collapse(features, [0, 0, 1, 1]).nc1 == pytest.approx(v / (2 * m**2))
    features[:, 1] += [1, -1, -1, 1]  # across the line of the means, where Σ_B† is 0
    assert neural_collapse(features, [0, 0, 1, 1]).nc1 == pytest.approx(v / (2 * m**2))


def test_nc2_in_closed_form():
    """Three means in a line at equal distances: G / ‖G‖ = u uᵀ with u = (1, 0, −1) / √2, and NC2² = 2 − √2."""
    line = np.array([[1.0, 2], [2, 4], [3, 6]])
    found = neural_collapse(line, [0, 1, 2], np.eye(3)[:, :2] + [[0, 0], [0, 0], [-1, -1]])
    assert found.nc2 == pytest.approx(math.sqrt(2 - math.sqrt(2)))
    # Centred templates (1, 0), (0, 1), (−1, −1): G has diagonal 1, 1, 2 and 0, −1, −1 beside it, so ‖G‖² = 10.
    product = (1 * 2 / 3 + 1 * 2 / 3 + 2 * 2 / 3 + 2 * (0 + 1 / 3 + 1 / 3)) / math.sqrt(10) / math.sqrt(2)
    assert found.nc2_templates == pytest.approx(math.sqrt(2 - 2 * product))


@given(GENERATORS, st.integers(2, 5), st.integers(2, 7))
def test_collapse_knows_no_place_scale_or_turn(rng, n_classes, d):
    features, labels = clusters(rng, n_classes, d)
    templates = rng.normal(size=(n_classes, d))
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    order = rng.permutation(len(labels))
    moved = 7 * (features @ turn)[order] + 3 * rng.normal(size=d)
    after = neural_collapse(moved, labels[order], 0.1 * templates @ turn - 5)
    assert after == pytest.approx(neural_collapse(features, labels, templates), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_collapse_in_many_dimensions_far_from_zero(dtype):
    """Noise of variance s² in each of 2048 dimensions about a simplex with Σ_B = (a²/K) on its K − 1 dimensions.

    tr(Σ_W Σ_B†) / K is then (K − 1) · s² / (a²/K) / K = (K − 1) s²/a², but for the share 1/n of the noise that the
    class means have: the mean covariance of n examples is (1 − 1/n) s².
    """
    rng = np.random.default_rng(0)
    n_classes, n, d, s, a = 10, 200, 2048, 0.1, 30.0
    labels = np.repeat(np.arange(n_classes), n)
    features = a * np.eye(n_classes, d)[labels] + s * rng.normal(size=(n_classes * n, d)) + 1000
    found = neural_collapse(features.astype(dtype), labels, np.eye(n_classes, d))
    assert found.nc1 == pytest.approx((n_classes - 1) * (1 - 1 / n) * s**2 / a**2, rel=0.05)
    assert found.nc2 == pytest.approx(0, abs=0.01)
    assert found.nc2_templates == pytest.approx(0, abs=1e-12)


def test_features_of_a_small_type_are_measured_in_float64():
    features, labels = clusters(np.random.default_rng(3), 4, 5, spread=1e-4)
    small = features.astype(np.float32)
    for measure in (class_separation, neural_collapse):
        assert list(measure(small, labels))[:2] == list(measure(small.astype(np.float64), labels))[:2]


def test_dead_units_change_nothing():
    rng = np.random.default_rng(1)
    features, labels = clusters(rng, 4, 5)
    constant = np.concatenate([features, np.full((len(labels), 3), 0.1)], axis=1)
    assert neural_collapse(constant, labels)[:2] == pytest.approx(neural_collapse(features, labels)[:2])


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("features", lambda: class_separation(np.zeros((0, 3)), [])),
        ("features", lambda: class_separation([[1, math.nan], [1, 2]], [0, 1])),
        ("features", lambda: class_separation(np.zeros((4, 3)), [0, 0, 1, 1])),
        ("features", lambda: class_separation([[1, 2], [0, 0], [2, 1]], [0, 0, 1])),
        ("features", lambda: class_separation([[0.1, 0.3], [0.7, 2.1], [0.3, 0.9]], [0, 0, 1])),
        ("features", lambda: class_separation([1, 2], [0, 1])),
        ("labels", lambda: class_separation([[1, 2], [2, 1]], [0])),
        ("labels", lambda: class_separation([[1, 2], [2, 1]], [1, 1])),
        ("labels", lambda: class_separation([[1, 2], [2, 1]], [0, -1])),
        ("features", lambda: neural_collapse([[1, math.inf], [1, 2]], [0, 1])),
        ("features", lambda: neural_collapse(np.zeros((4, 3)), [0, 0, 1, 1])),
        ("features", lambda: neural_collapse([[0.1], [0.3], [0.2]], [0, 0, 1])),
        ("labels", lambda: neural_collapse([[1, 2], [2, 1]], [3, 3])),
        ("labels", lambda: neural_collapse([[1, 2], [2, 1]], [0.0, 1.0])),
        ("templates", lambda: neural_collapse([[1, 2], [2, 1]], [0, 1], np.eye(3))),
        ("templates", lambda: neural_collapse([[1, 2], [2, 1]], [0, 1], [[math.nan, 1], [1, 2]])),
        ("templates", lambda: neural_collapse([[1, 2], [2, 1], [0, 0]], [0, 1, 2], np.full((3, 2), 0.1))),
    ],
)
def test_bad_input_names_the_argument(argument, call):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()


def test_inputs_are_left_as_they_were():
    features, labels = clusters(np.random.default_rng(2), 3, 4)
    templates = np.eye(3, 4)
    before = features.copy(), labels.copy(), templates.copy()
    class_separation(features, labels)
    neural_collapse(features, labels, templates)
    for array, copy in zip((features, labels, templates), before, strict=True):
        assert (array == copy).all()
