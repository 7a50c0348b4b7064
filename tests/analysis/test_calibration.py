import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import brentq
from scipy.special import expit, log_softmax
from scipy.stats import binom
from sklearn.isotonic import IsotonicRegression
from torchmetrics.functional.classification import multiclass_calibration_error

from lsbook.analysis.calibration import (
    brier_score,
    classwise_reliability,
    confidence_reliability,
    expected_calibration_error,
    fit_temperature,
    fit_temperature_by_ece,
    isotonic_decomposition,
    negative_log_likelihood,
    reliability,
    smooth_ece,
    softmax,
)

GENERATORS = st.integers(0, 10_000).map(np.random.default_rng)


def noisy_logits(rng, n=200, n_classes=5, scale=3.0):
    """Logits that favour the label, not always."""
    labels = rng.integers(n_classes, size=n)
    return scale * (rng.normal(size=(n, n_classes)) + 1.5 * np.eye(n_classes)[labels]), labels


def drawn_labels(rng, probabilities):
    """A label (N,) from each row of probabilities (N, K), which are calibrated by that."""
    labels = (probabilities.cumsum(axis=1) < rng.random((len(probabilities), 1))).sum(axis=1)
    return np.minimum(labels, probabilities.shape[1] - 1)


def loop_bins(confidence, correct, n_bins, equal_mass):
    """What is in each bin: pairs of confidence and 0 or 1."""
    confidence = [float(c) for c in confidence]
    ordered = sorted(confidence)
    edges = [(b + 1) / n_bins for b in range(n_bins)]
    if equal_mass:
        edges = [ordered[math.ceil(Fraction(len(ordered) * (b + 1), n_bins)) - 1] for b in range(n_bins)]
    bins = [[] for _ in range(n_bins)]
    for c, y in zip(confidence, correct, strict=True):
        bins[next(b for b in range(n_bins) if c <= edges[b])].append((c, int(y)))
    return bins


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values)


def loop_errors(bins):
    """ECE, MCE, the ECE if calibrated and the debiased squared error of bins of pairs."""
    total = sum(map(len, bins))
    ece, mce, chance, square = [], [], [], []
    for members in filter(None, bins):
        n = len(members)
        confidence, accuracy = mean(c for c, _ in members), mean(y for _, y in members)
        ece.append(n / total * abs(accuracy - confidence))
        mce.append(abs(accuracy - confidence))
        chance.append(n / total * math.sqrt(2 / math.pi * confidence * (1 - confidence) / n))
        if n > 1:
            square.append(n / total * ((accuracy - confidence) ** 2 - accuracy * (1 - accuracy) / (n - 1)))
    return math.fsum(ece), max(mce), math.fsum(chance), math.fsum(square)


def errors(found):
    return found.ece, found.mce, found.ece_if_calibrated, found.debiased_squared_error


# Bins


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
    assert found.mce == pytest.approx(0.5)
    assert expected_calibration_error(probabilities, [1, 0, 1, 0], n_bins=2) == found.ece


def test_empty_bins_have_no_values_and_no_weight():
    found = confidence_reliability([0.95, 0.95], [True, False], n_bins=4)
    assert np.isnan(found.confidence).tolist() == [True, True, True, False]
    assert np.isnan(found.accuracy).tolist() == [True, True, True, False]
    assert found.ece == pytest.approx(0.45)
    assert found.mce == pytest.approx(0.45)


@pytest.mark.parametrize("equal_mass", [False, True])
@pytest.mark.parametrize("confidence", [0, 0.3, 1])
def test_one_example(confidence, equal_mass):
    found = confidence_reliability([confidence], [True], equal_mass=equal_mass)
    assert found.count.sum() == 1
    assert found.ece == found.mce == 1 - confidence
    assert found.debiased_squared_error == 0


def test_bins_of_equal_mass_without_ties():
    """Of 7 examples in 3 bins, the first ⌈7/3⌉ = 3, those up to ⌈14/3⌉ = 5, and the other 2."""
    confidence = np.array([0.91, 0.9, 0.1, 0.92, 0.93, 0.2, 0.94])
    found = confidence_reliability(confidence, confidence > 0.5, n_bins=3, equal_mass=True)
    assert found.count.tolist() == [3, 2, 2]
    assert found.confidence == pytest.approx([0.4, 0.915, 0.935])
    assert found.accuracy == pytest.approx([1 / 3, 1, 1])


def test_ties_share_a_bin_of_equal_mass():
    """The second smallest of four is 0.5, and so is the third: both are in the first of two bins."""
    assert confidence_reliability([0.1, 0.5, 0.5, 0.9], [1, 1, 0, 1], 2, equal_mass=True).count.tolist() == [3, 1]
    assert confidence_reliability([1, 1, 1], [1, 0, 1], 3, equal_mass=True).count.tolist() == [3, 0, 0]
    assert confidence_reliability([0.2, 0.7], [1, 1], 4, equal_mass=True).count.tolist() == [1, 0, 1, 0]


@given(GENERATORS, st.integers(1, 300), st.integers(1, 30))
def test_bins_of_equal_mass_differ_by_one_without_ties(rng, n, n_bins):
    count = confidence_reliability(rng.random(n), rng.random(n) < 0.5, n_bins, equal_mass=True).count
    assert count.sum() == n
    assert np.ptp(count) <= 1


@given(GENERATORS, st.integers(1, 80), st.integers(1, 20), st.booleans())
def test_errors_equal_those_of_a_loop(rng, n, n_bins, equal_mass):
    confidence = np.where(rng.random(n) < 0.5, rng.integers(n_bins + 1, size=n) / n_bins, rng.random(n))
    correct = rng.random(n) < 0.5
    expected = loop_bins(confidence, correct, n_bins, equal_mass)
    found = confidence_reliability(confidence, correct, n_bins, equal_mass)
    assert found.count.tolist() == list(map(len, expected))
    assert errors(found) == pytest.approx(loop_errors(expected), rel=0, abs=1e-12)


@pytest.mark.parametrize("equal_mass", [False, True])
def test_reliability_takes_the_largest_probability_and_the_first_of_equals(equal_mass):
    rng = np.random.default_rng(7)
    probabilities = softmax(rng.normal(size=(100, 5)))
    labels = drawn_labels(rng, probabilities)
    probabilities[:10], labels[:10] = 0.2, 0
    correct = [row.tolist().index(max(row)) == label for row, label in zip(probabilities, labels, strict=True)]
    expected = loop_errors(loop_bins(probabilities.max(axis=1), correct, 12, equal_mass))
    assert errors(reliability(probabilities, labels, 12, equal_mass)) == pytest.approx(expected, rel=0, abs=1e-12)
    assert expected_calibration_error(probabilities, labels, 12, equal_mass) == pytest.approx(expected[0], abs=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1, 3])
def test_errors_equal_those_of_torchmetrics(temperature):
    logits, labels = noisy_logits(np.random.default_rng(1), n=2000, n_classes=10)
    probabilities = softmax(logits, temperature)
    found = reliability(probabilities, labels)
    for norm, error in {"l1": found.ece, "max": found.mce}.items():
        expected = multiclass_calibration_error(
            torch.tensor(probabilities), torch.tensor(labels), num_classes=10, n_bins=15, norm=norm
        )
        assert error == pytest.approx(expected.item(), rel=0, abs=1e-6)


def test_a_calibrated_table_has_no_error():
    confidence = np.repeat([0.25, 0.5, 0.75], 4)
    correct = [1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0]
    assert confidence_reliability(confidence, correct).ece == 0


@given(GENERATORS, st.integers(1, 30), st.floats(0.1, 10), st.booleans())
def test_ece_is_a_fraction(rng, n_bins, temperature, equal_mass):
    logits, labels = noisy_logits(rng, n=30)
    found = reliability(softmax(logits, temperature), labels, n_bins, equal_mass)
    assert 0 <= found.ece <= 1
    assert found.ece - 1e-15 <= found.mce <= 1


def test_a_confidence_rounded_above_one_counts_as_one():
    assert confidence_reliability([1.001], [False]).ece == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("n_classes", [10, 1000])
def test_rounded_probabilities_are_accepted(dtype, n_classes):
    logits, labels = noisy_logits(np.random.default_rng(2), n_classes=n_classes)
    probabilities = softmax(logits)
    rounded = expected_calibration_error(probabilities.astype(dtype), labels, n_bins=1)
    assert rounded == pytest.approx(expected_calibration_error(probabilities, labels, n_bins=1), abs=5e-4)


# Chance


def one_bin(n, hits, confidence):
    return confidence_reliability(np.full(n, confidence), np.arange(n) < hits, n_bins=1)


@pytest.mark.parametrize(("n", "confidence", "accuracy"), [(2, 0.5, 0.5), (7, 0.6, 0.6), (7, 0.6, 0.3), (40, 0.9, 1)])
def test_mean_of_the_debiased_error_over_all_outcomes(n, confidence, accuracy):
    """The binomial weights of 0 to n hits give (accuracy − confidence)², for the plain square the variance more."""
    weights = binom.pmf(np.arange(n + 1), n, accuracy)
    outcomes = [one_bin(n, hits, confidence) for hits in range(n + 1)]
    square = (accuracy - confidence) ** 2
    variance = accuracy * (1 - accuracy) / n
    assert weights @ [o.debiased_squared_error for o in outcomes] == pytest.approx(square, rel=0, abs=1e-12)
    assert weights @ [o.ece**2 for o in outcomes] == pytest.approx(square + variance, rel=0, abs=1e-12)


def test_ece_if_calibrated_is_the_mean_over_all_outcomes():
    """To 2 % where np(1 − p) ≥ 5: the normal distribution stands for the binomial."""
    for n, confidence in ((20, 0.5), (100, 0.9), (1000, 0.99)):
        weights = binom.pmf(np.arange(n + 1), n, confidence)
        plain = weights @ [one_bin(n, hits, confidence).ece for hits in range(n + 1)]
        assert one_bin(n, 0, confidence).ece_if_calibrated == pytest.approx(plain, rel=0.02)


@pytest.mark.parametrize(("n", "inflated"), [(1000, 0.0389), (10_000, 0.0123)])
def test_chance_inflates_the_plain_error_of_a_calibrated_model(n, inflated):
    """Confidences c uniform on [0.1, 1], which is 13.5 of 15 bins, each correct with probability c.

    A full bin has n/13.5 examples and √(c (1 − c)) is 0.413 in the mean, so the mean ECE is √(2/π) · 0.413 ·
    (13 + √½) / √(13.5 n). The mean of the debiased error is 0.
    """
    rng = np.random.default_rng(11)
    tables = []
    for _ in range(400):
        confidence = rng.uniform(0.1, 1, n)
        tables.append(errors(confidence_reliability(confidence, rng.random(n) < confidence)))
    ece, _, by_chance, square = np.mean(tables, axis=0)
    sampling = 4 * np.std(tables, axis=0) / np.sqrt(len(tables))
    assert ece == pytest.approx(inflated, rel=0.03)
    assert ece == pytest.approx(by_chance, rel=0, abs=sampling[0])
    assert square == pytest.approx(0, abs=sampling[3])
    assert sampling[3] < 0.2 * ece**2  # so that the test can tell the two apart


# All classes


@pytest.mark.parametrize("equal_mass", [False, True])
def test_classwise_error_is_the_mean_of_the_classes(equal_mass):
    logits, labels = noisy_logits(np.random.default_rng(5), n=60, n_classes=4)
    probabilities = softmax(logits)
    probabilities[:8] = [0.4, 0.4, 0.2, 0]
    found = classwise_reliability(probabilities, labels, 5, equal_mass)
    assert found.count.shape == found.confidence.shape == found.accuracy.shape == (4, 5)
    classes = [loop_errors(loop_bins(probabilities[:, k], labels == k, 5, equal_mass)) for k in range(4)]
    assert found.ece == pytest.approx(mean(ece for ece, *_ in classes), rel=0, abs=1e-12)
    assert found.mce == pytest.approx(max(mce for _, mce, *_ in classes), rel=0, abs=1e-12)


def test_classwise_error_by_hand():
    """Two classes, one bin: means of p are (0.7, 0.3), shares of the labels (0.5, 0.5)."""
    assert classwise_reliability([[0.8, 0.2], [0.6, 0.4]], [0, 1], n_bins=1).ece == pytest.approx(0.2)


def test_brier_score_by_hand():
    """Murphy's terms for (0.8, 0.2) with labels 0, 0, 1 and (0.4, 0.6) with label 1, each twice for the two classes."""
    found = brier_score([[0.8, 0.2]] * 3 + [[0.4, 0.6]], [0, 0, 1, 1], n_bins=2)
    assert found.reliability == pytest.approx(2 * (3 / 4 * (0.8 - 2 / 3) ** 2 + 1 / 4 * 0.4**2))
    assert found.resolution == pytest.approx(2 * (3 / 4 * (2 / 3 - 1 / 2) ** 2 + 1 / 4 * 0.5**2))
    assert found.uncertainty == pytest.approx(2 * 1 / 4)
    assert found.within_bin == pytest.approx(0, abs=1e-15)
    assert found.score == pytest.approx(2 * (2 * 0.2**2 + 0.8**2 + 0.4**2) / 4)


@given(GENERATORS, st.integers(1, 60), st.integers(1, 20), st.booleans())
def test_the_terms_of_the_brier_score_add_up(rng, n, n_bins, equal_mass):
    logits, labels = noisy_logits(rng, n=n, n_classes=3)
    probabilities = softmax(logits)
    hits = np.eye(3)[labels]
    terms = np.zeros(4)
    for k in range(3):
        base = hits[:, k].mean()
        terms[2] += base * (1 - base)
        for members in filter(None, loop_bins(probabilities[:, k], hits[:, k], n_bins, equal_mass)):
            p, y = np.array(members).T
            spread = p.var() - 2 * np.mean((p - p.mean()) * (y - y.mean()))
            terms[[0, 1, 3]] += len(p) / n * np.array([(p.mean() - y.mean()) ** 2, (y.mean() - base) ** 2, spread])
    found = brier_score(probabilities, labels, n_bins, equal_mass)
    assert list(found) == pytest.approx(terms.tolist(), rel=0, abs=1e-12)
    assert found.score == pytest.approx(np.mean(np.sum((probabilities - hits) ** 2, axis=1)), rel=0, abs=1e-12)


# Without bins


def spread_out(n, power, truth):
    """Confidences u^power that are right with frequency confidence^truth, from sequences of no chance."""
    steps = np.arange(1, n + 1)
    confidence = (steps * 0.6180339887498949 % 1) ** power
    return confidence, steps * 0.7548776662466927 % 1 < confidence**truth


@pytest.mark.parametrize(
    ("n", "power", "truth", "expected"),
    [
        (1000, 1, 1, 0.0145760159),
        (1000, 1, 2, 0.1647937866),
        (4000, 0.1, 1.5, 0.0393472315),
        (1000, 0.02, 3, 0.0365154922),
        (7000, 0.5, 1.02, 0.0066703432),  # by a width for which the grid has no middle
        (1000, 0.001, 10, 0.0118487891),
        (1000, 0.001, 1, 0.0004739361),  # by the smallest width
        (1000, 0, 1, 0),
    ],
)
def test_smooth_error_equals_that_of_relplot(n, power, truth, expected):
    """Numbers that smECE of relplot 1.0.3 printed."""
    assert smooth_ece(*spread_out(n, power, truth)) == pytest.approx(expected, rel=1e-6)


def fixed_point(confidence, correct):
    """smECE by its definition: mirror images of each confidence, trapezoids of 1/2000, and the root in the width."""
    mesh = np.linspace(0, 1, 2001)
    images = np.concatenate([2 * k + sign * confidence for k in range(-2, 3) for sign in (1, -1)])
    residual = np.tile(confidence - correct, 10) / len(confidence)

    def excess(width):
        density = np.exp(-0.5 * ((mesh[:, None] - images) / width) ** 2) / (width * math.sqrt(2 * math.pi))
        return np.trapezoid(np.abs(density @ residual), mesh) - width

    return brentq(excess, 0.002, 1, xtol=1e-6)


@pytest.mark.parametrize("power", [0, 0.005, 0.3, 1, 5])
def test_smooth_error_with_whole_ends_equals_its_definition(power):
    """Within the 1/1024 to which the width is sought, also where most confidences are near 1, or near 0."""
    confidence, correct = spread_out(200, power, 1)
    correct[::9] ^= True
    assert smooth_ece(confidence, correct, whole_ends=True) == pytest.approx(fixed_point(confidence, correct), abs=1e-3)


def test_ends_that_count_half_inflate_the_smooth_error():
    """900 right at 1 and 100 wrong at ½: the error is 0.05 but for the little that cancels, and 0.05/0.55 by half."""
    confidence, correct = np.repeat([1.0, 0.5], [900, 100]), np.arange(1000) < 900
    assert smooth_ece(confidence, correct, whole_ends=True) == pytest.approx(0.05, rel=1e-3)
    assert smooth_ece(confidence, correct) == pytest.approx(0.05 / (0.1 + 0.9 / 2), rel=0.03)


@pytest.mark.parametrize("whole_ends", [False, True])
def test_smooth_error_of_one_confidence(whole_ends):
    """Whatever the width, a single kernel integrates to |accuracy − confidence|."""
    for confidence in (0, 0.02, 0.5, 0.7, 1):
        found = smooth_ece(np.full(10, confidence), np.arange(10) < 6, whole_ends)
        assert found == pytest.approx(abs(confidence - 0.6), rel=1e-3)
    assert smooth_ece([1, 1], [False, False], whole_ends) == pytest.approx(1)


@given(GENERATORS, st.integers(1, 200), st.booleans())
def test_smooth_error_is_a_fraction_whatever_the_order(rng, n, whole_ends):
    confidence, correct = rng.random(n) ** 0.3, rng.random(n) < 0.5
    error = smooth_ece(confidence, correct, whole_ends)
    order = rng.permutation(n)
    assert 0 <= error <= 1
    assert smooth_ece(confidence[order], correct[order], whole_ends) == pytest.approx(error)


@given(GENERATORS, st.integers(1, 60), st.integers(1, 40))
def test_isotonic_terms_equal_those_of_scikit_learn(rng, n, n_values):
    confidence = rng.integers(n_values + 1, size=n) / n_values
    correct = rng.random(n) < confidence**2
    fitted = IsotonicRegression().fit_transform(confidence, correct)

    def brier(forecast):
        return np.mean((forecast - correct) ** 2)

    terms = [brier(confidence) - brier(fitted), brier(correct.mean()) - brier(fitted), brier(correct.mean())]
    found = isotonic_decomposition(confidence, correct)
    assert list(found) == pytest.approx(terms, abs=1e-12)
    assert found.score == pytest.approx(brier(confidence), abs=1e-12)
    assert isotonic_decomposition(confidence**3 / 2, correct)[1:] == pytest.approx(found[1:], abs=1e-12)


def test_isotonic_terms_by_hand():
    """Shares of right ones 1/2, 0 and 1 at 0.2, 0.4 and 0.9: the first two are pooled, 1/3 for three of them."""
    found = isotonic_decomposition([0.2, 0.2, 0.4, 0.9], [1, 0, 0, 1])
    fitted = (2 * (1 / 3) ** 2 + (2 / 3) ** 2) / 4
    assert found.uncertainty == pytest.approx(1 / 4)
    assert found.discrimination == pytest.approx(1 / 4 - fitted)
    assert found.miscalibration == pytest.approx((0.8**2 + 0.2**2 + 0.4**2 + 0.1**2) / 4 - fitted)


def test_isotonic_terms_of_calibrated_and_of_constant_confidences():
    calibrated = isotonic_decomposition(np.repeat([0.25, 0.75], 4), [1, 0, 0, 0, 0, 1, 1, 1])
    assert calibrated == pytest.approx((0, 0.25**2, 0.25))
    assert isotonic_decomposition([0.9] * 4, [1, 1, 0, 0]) == pytest.approx((0.4**2, 0, 0.25))


# Softmax and NLL


def test_softmax_divides_by_the_temperature():
    logits = np.log([[1.0, 4.0], [9.0, 1.0]])
    assert softmax(logits) == pytest.approx(np.array([[1 / 5, 4 / 5], [9 / 10, 1 / 10]]))
    assert softmax(logits, temperature=2) == pytest.approx(np.array([[1 / 3, 2 / 3], [3 / 4, 1 / 4]]))


def test_softmax_of_large_logits_and_of_a_small_temperature():
    assert softmax([[1e4, 0.0]]).tolist() == [[1, 0]]
    assert softmax([[1.0, 3.0, 3.0]], temperature=1e-300).tolist() == [[0, 0.5, 0.5]]


def test_softmax_of_a_small_type_computes_in_float64():
    found = softmax(np.float16([[2, 0]]), temperature=2)
    assert found.dtype == np.float64
    assert found == pytest.approx(np.array([[math.e, 1]]) / (1 + math.e), rel=1e-12)


@given(GENERATORS, st.floats(0.05, 50))
def test_scaling_never_changes_the_prediction(rng, temperature):
    logits, _ = noisy_logits(rng)
    assert (softmax(logits, temperature).argmax(axis=1) == logits.argmax(axis=1)).all()


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(-1e3, 1e3)), st.floats(0.01, 100))
def test_the_largest_logit_keeps_the_largest_probability(logits, temperature):
    """However close the second is: rounding may then make them equal."""
    probabilities = softmax(logits, temperature)
    assert (probabilities[np.arange(3), logits.argmax(axis=1)] == probabilities.max(axis=1)).all()


def test_nll_of_known_probabilities():
    logits = np.log([[0.25, 0.75], [0.5, 0.5]]) + [[100.0], [-7.0]]
    assert negative_log_likelihood(logits, [0, 1]) == pytest.approx((math.log(4) + math.log(2)) / 2)


@given(GENERATORS, st.floats(0.1, 10))
def test_nll_equals_scipy(rng, temperature):
    logits, labels = noisy_logits(rng, n=10)
    expected = -np.mean(log_softmax(logits / temperature, axis=1)[np.arange(10), labels])
    assert negative_log_likelihood(logits, labels, temperature) == pytest.approx(expected)


# Temperature


def test_temperature_in_closed_form():
    """Two classes, logits (a, 0), three of four correct: the sigmoid of a/T must be 3/4, so T = a / log 3."""
    for a in (0.1, 1.0, 4.0, 40.0):
        logits = np.tile([a, 0.0], (4, 1))
        assert fit_temperature(logits, [0, 0, 1, 0]) == pytest.approx(a / math.log(3), rel=1e-6)


@pytest.mark.parametrize("n", [8_000, 10_000])
def test_a_first_guess_from_some_examples_misleads_no_one(n):
    """Every fifth of 10,000 examples is one like the others; every fourth of 8,000 is always correct."""
    logits = np.tile([2.0, 0.0], (n, 1))
    assert fit_temperature(logits, np.tile([0, 0, 1, 0], n // 4)) == pytest.approx(2 / math.log(3), rel=1e-6)


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


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_temperature_is_recovered_within_its_sampling_error(temperature):
    """The NLL of one example has the curvature var_p(logits) in 1/T, whose sum is the Fisher information of 1/T.

    In units of its root, the errors of 1/T of 200 fits have a mean of 0 and a standard deviation of 1, themselves
    known to 1/√200 and 1/√400.
    """
    rng = np.random.default_rng(13)
    deviations = []
    for _ in range(200):
        logits = temperature * 2 * rng.normal(size=(500, 5))
        probabilities = softmax(logits, temperature)
        mean_logit = np.sum(probabilities * logits, axis=1, keepdims=True)
        information = np.sum(probabilities * (logits - mean_logit) ** 2)
        fitted = fit_temperature(logits, drawn_labels(rng, probabilities))
        deviations.append((1 / fitted - 1 / temperature) * math.sqrt(information))
    assert np.mean(deviations) == pytest.approx(0, abs=4 / math.sqrt(200))
    assert np.std(deviations) == pytest.approx(1, abs=4 / math.sqrt(400))


def test_temperature_stays_in_its_range():
    """Also where the ECE is 0 at every small temperature, or 1."""
    separable = np.array([[5.0, 0.0], [0.0, 5.0]])
    for fit in (fit_temperature, fit_temperature_by_ece):
        assert fit(separable, [0, 1]) == 0.01
        assert fit(separable, [1, 0]) == 100
        assert fit(separable[:1], [0]) == 0.01
        assert fit(separable[:1], [1]) == 100
        assert fit([[1.0, 1.0]], [0]) == 100


def test_temperature_of_the_smallest_ece_in_closed_form():
    """Logits (a, 0), three of four correct: the ECE |sigmoid(a/T) − 3/4| is 0 at T = a / log 3, that of the NLL."""
    logits = np.tile([2.0, 0.0], (4, 1))
    assert fit_temperature_by_ece(logits, [0, 0, 1, 0]) == pytest.approx(2 / math.log(3), rel=1e-6)


def test_temperature_of_the_smallest_ece_away_from_that_of_the_nll():
    """One bin, logits (a, 0): a = 4 in ten, of which 8 are correct, a = 0.4 in ten, of which 9 are correct.

    The mean of sigmoid(4/T) and sigmoid(0.4/T) is to be 17/20.
    """
    logits = np.repeat([[4.0, 0.0], [0.4, 0.0]], 10, axis=0)
    labels = np.array([0] * 8 + [1] * 2 + [0] * 9 + [1])
    found = fit_temperature_by_ece(logits, labels, n_bins=1)
    root = brentq(lambda t: expit(4 / t) + expit(0.4 / t) - 17 / 10, 0.1, 1)
    assert found == pytest.approx(root, rel=2 ** (1 / 1024) - 1)
    assert fit_temperature(logits, labels) > 2 * found


@pytest.mark.parametrize("equal_mass", [False, True])
def test_temperature_of_the_smallest_ece_is_no_worse_than_its_grid(equal_mass):
    for seed in range(5):
        logits, labels = noisy_logits(np.random.default_rng(seed))

        def ece(temperature, logits=logits, labels=labels):
            return expected_calibration_error(softmax(logits, temperature), labels, 10, equal_mass)

        found = fit_temperature_by_ece(logits, labels, 10, equal_mass)
        grid = fit_temperature(logits, labels) * 2.0 ** (np.arange(-24, 25) / 8)
        assert ece(found) <= min(map(ece, grid)) + 1e-12
        assert found == fit_temperature_by_ece(logits, labels, 10, equal_mass)


# Arrays


def test_inputs_are_left_as_they_were():
    logits, labels = noisy_logits(np.random.default_rng(3))
    before = logits.copy()
    probabilities = softmax(logits, 2.0)
    negative_log_likelihood(logits, labels, 2.0)
    fit_temperature_by_ece(logits, labels)
    reliability(probabilities, labels, equal_mass=True)
    brier_score(probabilities, labels, equal_mass=True)
    assert (logits == before).all()
    assert (probabilities == softmax(logits, 2.0)).all()


def brier_of_logits(logits, labels):
    return brier_score(softmax(logits), labels).reliability


@pytest.mark.parametrize("n_classes", [3, 1000])
def test_rows_in_blocks_give_what_the_whole_gives(n_classes, monkeypatch):
    logits, labels = noisy_logits(np.random.default_rng(4), n=50, n_classes=n_classes)
    functions = negative_log_likelihood, fit_temperature, fit_temperature_by_ece, brier_of_logits
    whole = [f(logits, labels) for f in functions]
    monkeypatch.setattr("lsbook.analysis.calibration.BLOCK_SIZE", 21)
    blocks = [f(logits, labels) for f in functions]
    assert blocks == pytest.approx(whole, rel=1e-9)


def peak_memory(call, *arguments):
    """Bytes that the call adds at its peak; NumPy reports its arrays to tracemalloc."""
    tracemalloc.start()
    try:
        call(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_large_arrays_are_not_copied(dtype):
    """4 million numbers, so 8 bytes each are 32 MB: what `softmax` returns, and more than all else may take."""
    rng = np.random.default_rng(6)
    logits, labels = rng.normal(size=(4000, 1000)).astype(dtype), rng.integers(1000, size=4000)
    probabilities = softmax(logits).astype(dtype)
    assert peak_memory(softmax, logits) < 1.1 * 8 * logits.size
    for call in (negative_log_likelihood, fit_temperature):
        assert peak_memory(call, logits, labels) < logits.nbytes, call
    for call in (reliability, classwise_reliability, brier_score):
        assert peak_memory(call, probabilities, labels) < logits.nbytes, call


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("probabilities", lambda: reliability(np.zeros((0, 3)), [])),
        ("probabilities", lambda: reliability([0.5, 0.5], [0, 1])),
        ("probabilities", lambda: reliability([[0.5, math.nan]], [0])),
        ("probabilities", lambda: reliability([[0.5, 0.6]], [0])),
        ("probabilities", lambda: reliability([[1.5, -0.5]], [0])),
        ("probabilities", lambda: classwise_reliability([[0.5, 0.6]], [0])),
        ("probabilities", lambda: brier_score([[math.nan, 1]], [0])),
        ("labels", lambda: reliability([[0.5, 0.5]], [2])),
        ("labels", lambda: reliability([[0.5, 0.5]], [-1])),
        ("labels", lambda: expected_calibration_error([[0.5, 0.5]], [0, 1])),
        ("labels", lambda: classwise_reliability([[0.5, 0.5]], [2])),
        ("labels", lambda: brier_score([[0.5, 0.5]], [-1])),
        ("n_bins", lambda: reliability([[0.5, 0.5]], [0], n_bins=0)),
        ("n_bins", lambda: fit_temperature_by_ece([[0, 1]], [0], n_bins=1.5)),
        ("confidence", lambda: confidence_reliability([50], [1])),
        ("confidence", lambda: confidence_reliability([-0.1], [1])),
        ("confidence", lambda: confidence_reliability([math.nan], [1])),
        ("correct", lambda: confidence_reliability([0.5], [1, 0])),
        ("correct", lambda: confidence_reliability([0.5], [2])),
        ("confidence", lambda: smooth_ece([], [])),
        ("confidence", lambda: smooth_ece([1.2], [1])),
        ("confidence", lambda: isotonic_decomposition([math.nan], [1])),
        ("correct", lambda: smooth_ece([0.5], [0.5])),
        ("correct", lambda: isotonic_decomposition([0.5], [1, 0])),
        ("logits", lambda: softmax([[0, math.inf]])),
        ("logits", lambda: softmax([[1, None]])),
        ("logits", lambda: softmax([[1, 2], [3]])),
        ("labels", lambda: negative_log_likelihood([[0, 1]], ["cat"])),
        ("confidence", lambda: confidence_reliability(["high"], [1])),
        ("logits", lambda: negative_log_likelihood([[0, math.nan]], [0])),
        ("temperature", lambda: softmax([[0, 1]], temperature=0)),
        ("temperature", lambda: negative_log_likelihood([[0, 1]], [0], temperature=math.nan)),
        ("labels", lambda: negative_log_likelihood([[0, 1]], [-100])),
        ("logits", lambda: fit_temperature(np.zeros((0, 3)), [])),
        ("logits", lambda: fit_temperature([[0, math.nan]], [0])),
        ("labels", lambda: fit_temperature([[0, 1]], [0.5])),
        ("labels", lambda: fit_temperature([[0, 1]], [2])),
        ("logits", lambda: fit_temperature_by_ece([[0, math.nan]], [0])),
        ("labels", lambda: fit_temperature_by_ece([[0, 1]], [2])),
    ],
)
def test_bad_input_names_the_argument(argument, call):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()
