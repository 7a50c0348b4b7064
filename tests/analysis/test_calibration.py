import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from lsbook.analysis.calibration import (
    confidence_reliability,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    softmax,
)

GENERATORS = st.integers(0, 10_000).map(np.random.default_rng)


def noisy_logits(rng, n=200, n_classes=5, scale=3.0):
    """Logits that favour the label, not always."""
    labels = rng.integers(n_classes, size=n)
    return scale * (rng.normal(size=(n, n_classes)) + 1.5 * np.eye(n_classes)[labels]), labels


def test_softmax_divides_by_the_temperature():
    logits = np.log([[1.0, 4.0], [9.0, 1.0]])
    assert softmax(logits) == pytest.approx(np.array([[1 / 5, 4 / 5], [9 / 10, 1 / 10]]))
    assert softmax(logits, temperature=2) == pytest.approx(np.array([[1 / 3, 2 / 3], [3 / 4, 1 / 4]]))


def test_softmax_of_large_logits():
    assert softmax([[1e4, 0.0]]).tolist() == [[1, 0]]


def test_softmax_of_a_small_type_computes_in_float64():
    found = softmax(np.float16([[2, 0]]), temperature=2)
    assert found.dtype == np.float64
    assert found == pytest.approx(np.array([[math.e, 1]]) / (1 + math.e), rel=1e-12)


@given(GENERATORS, st.floats(0.05, 50))
def test_scaling_never_changes_the_prediction(rng, temperature):
    logits, _ = noisy_logits(rng)
    assert (softmax(logits, temperature).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_every_edge_belongs_to_the_bin_below_it():
    for n_bins in range(1, 41):
        for k in range(n_bins + 1):
            count = confidence_reliability([k / n_bins], [True], n_bins).count
            assert count.tolist() == [int(b == max(k - 1, 0)) for b in range(n_bins)], (k, n_bins)


def test_reliability_by_hand():
    """Bins (0, ½] and (½, 1]: one miss at 0.5; two hits and a miss at 0.6, 0.8, 1."""
    probabilities = [[0.5, 0.25, 0.25], [0.6, 0.4, 0], [0.1, 0.8, 0.1], [0, 0, 1]]
    found = reliability(probabilities, [1, 0, 1, 0], n_bins=2)
    assert found.count.tolist() == [1, 3]
    assert found.confidence == pytest.approx([0.5, 0.8])
    assert found.accuracy == pytest.approx([0, 2 / 3])
    assert found.ece == pytest.approx(1 / 4 * 0.5 + 3 / 4 * (0.8 - 2 / 3))
    assert expected_calibration_error(probabilities, [1, 0, 1, 0], n_bins=2) == found.ece


def test_empty_bins_have_no_values_and_no_weight():
    found = confidence_reliability([0.95, 0.95], [True, False], n_bins=4)
    assert np.isnan(found.confidence).tolist() == [True, True, True, False]
    assert np.isnan(found.accuracy).tolist() == [True, True, True, False]
    assert found.ece == pytest.approx(0.45)


def test_a_calibrated_table_has_no_error():
    confidence = np.repeat([0.25, 0.5, 0.75], 4)
    correct = [1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0]
    assert confidence_reliability(confidence, correct).ece == 0


@given(GENERATORS, st.integers(1, 30), st.floats(0.1, 10))
def test_ece_is_a_fraction(rng, n_bins, temperature):
    logits, labels = noisy_logits(rng, n=30)
    assert 0 <= expected_calibration_error(softmax(logits, temperature), labels, n_bins) <= 1


@pytest.mark.parametrize("temperature", [0.5, 1, 3])
def test_ece_equals_that_of_torchmetrics(temperature):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    logits, labels = noisy_logits(np.random.default_rng(1), n=2000, n_classes=10)
    probabilities = softmax(logits, temperature)
    expected = functional.multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(labels), num_classes=10, n_bins=15, norm="l1"
    )
    assert expected_calibration_error(probabilities, labels) == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("n_classes", [10, 1000])
def test_rounded_probabilities_are_accepted(dtype, n_classes):
    logits, labels = noisy_logits(np.random.default_rng(2), n_classes=n_classes)
    probabilities = softmax(logits)
    rounded = expected_calibration_error(probabilities.astype(dtype), labels, n_bins=1)
    assert rounded == pytest.approx(expected_calibration_error(probabilities, labels, n_bins=1), abs=5e-4)


def test_nll_of_known_probabilities():
    logits = np.log([[0.25, 0.75], [0.5, 0.5]]) + [[100.0], [-7.0]]
    assert negative_log_likelihood(logits, [0, 1]) == pytest.approx((math.log(4) + math.log(2)) / 2)


@given(GENERATORS, st.floats(0.1, 10))
def test_nll_equals_scipy(rng, temperature):
    logits, labels = noisy_logits(rng, n=10)
    expected = -np.mean(log_softmax(logits / temperature, axis=1)[np.arange(10), labels])
    assert negative_log_likelihood(logits, labels, temperature) == pytest.approx(expected)


def test_temperature_in_closed_form():
    """Two classes, logits (a, 0), three of four correct: the sigmoid of a/T must be 3/4, so T = a / log 3."""
    for a in (0.1, 1.0, 4.0, 40.0):
        logits = np.tile([a, 0.0], (4, 1))
        assert fit_temperature(logits, [0, 0, 1, 0]) == pytest.approx(a / math.log(3), rel=1e-6)


@given(GENERATORS)
def test_no_temperature_nearby_does_better(rng):
    logits, labels = noisy_logits(rng)
    temperature = fit_temperature(logits, labels)
    best = negative_log_likelihood(logits, labels, temperature)
    for factor in (0.99, 1.01):
        assert best < negative_log_likelihood(logits, labels, temperature * factor)


@given(GENERATORS, st.floats(0.2, 5))
def test_temperature_scales_with_the_logits(rng, factor):
    logits, labels = noisy_logits(rng)
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor * fit_temperature(logits, labels), rel=2e-6)


def test_temperature_stays_in_its_range():
    separable = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert fit_temperature(separable, [0, 1]) == 0.01
    assert fit_temperature(separable, [1, 0]) == 100


def test_logits_are_left_as_they_were():
    logits, labels = noisy_logits(np.random.default_rng(3))
    before = logits.copy()
    softmax(logits)
    negative_log_likelihood(logits, labels)
    fit_temperature(logits, labels)
    assert (logits == before).all()


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("probabilities", lambda: reliability(np.zeros((0, 3)), [])),
        ("probabilities", lambda: reliability([0.5, 0.5], [0, 1])),
        ("probabilities", lambda: reliability([[0.5, math.nan]], [0])),
        ("probabilities", lambda: reliability([[0.5, 0.6]], [0])),
        ("probabilities", lambda: reliability([[1.5, -0.5]], [0])),
        ("labels", lambda: reliability([[0.5, 0.5]], [2])),
        ("labels", lambda: expected_calibration_error([[0.5, 0.5]], [0, 1])),
        ("n_bins", lambda: reliability([[0.5, 0.5]], [0], n_bins=0)),
        ("confidence", lambda: confidence_reliability([50], [1])),
        ("confidence", lambda: confidence_reliability([-0.1], [1])),
        ("correct", lambda: confidence_reliability([0.5], [1, 0])),
        ("correct", lambda: confidence_reliability([0.5], [2])),
        ("logits", lambda: softmax([[0, math.inf]])),
        ("temperature", lambda: softmax([[0, 1]], temperature=0)),
        ("temperature", lambda: negative_log_likelihood([[0, 1]], [0], temperature=math.nan)),
        ("labels", lambda: negative_log_likelihood([[0, 1]], [-100])),
        ("logits", lambda: fit_temperature(np.zeros((0, 3)), [])),
        ("labels", lambda: fit_temperature([[0, 1]], [0.5])),
    ],
)
def test_bad_input_names_the_argument(argument, call):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()
