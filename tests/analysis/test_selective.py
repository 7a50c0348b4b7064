import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from lsbook.analysis.calibration import softmax
from lsbook.analysis.selective import (
    augrc,
    aurc,
    auroc,
    coverage_at_risk,
    energy,
    fit_normalisation,
    max_logit,
    max_probability,
    normalised_max_logit,
    ranking_auroc,
    risk_at_coverage,
    risk_by_hundredths,
    risk_coverage,
)

GENERATORS = st.integers(0, 10_000).map(np.random.default_rng)
NORMS = range(1, 11)


def scored(rng, n, n_scores):
    """Scores with ties, of which the larger are more often right."""
    score = rng.integers(n_scores, size=n) / n_scores
    return score, rng.random(n) < (1 + score) / 2


def mean_over_orders(score, correct):
    """Risk at each coverage, averaged over all orders in which no score comes before a larger one."""
    n = len(score)
    curves = [
        np.cumsum(~correct[list(order)]) / np.arange(1, n + 1)
        for order in itertools.permutations(range(n))
        if all(score[a] >= score[b] for a, b in itertools.pairwise(order))
    ]
    return np.mean(curves, axis=0)


# Risk and coverage


def test_risk_by_hand():
    """The most trusted is right, then a miss, then two right ones."""
    score, correct = [0.1, 0.9, 0.7, 0.2], [1, 1, 0, True]
    assert risk_coverage(score, correct).tolist() == [0, 1 / 2, 1 / 3, 1 / 4]
    assert aurc(score, correct) == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert augrc(score, correct) == pytest.approx((2 / 4 * 1 / 2 + 3 / 4 * 1 / 3 + 4 / 4 * 1 / 4) / 4)
    # Of four, 1 % to 37 % are rounded to one, at least, 38 % to 62 % to two, 63 % to 87 % to three.
    assert risk_by_hundredths(score, correct).tolist() == [*[0] * 37, *[1 / 2] * 25, *[1 / 3] * 25, *[1 / 4] * 13]


@given(GENERATORS, st.integers(1, 6), st.integers(1, 4))
def test_ties_count_as_the_mean_over_all_orders(rng, n, n_scores):
    score, correct = scored(rng, n, n_scores)
    assert risk_coverage(score, correct) == pytest.approx(mean_over_orders(score, correct))


@pytest.mark.parametrize(("n", "n_errors"), [(1, 0), (1, 1), (7, 3), (20, 1), (49, 7), (1000, 333)])
def test_constant_scores_have_the_error_rate_everywhere(n, n_errors):
    correct = np.arange(n) >= n_errors
    rate = n_errors / n
    assert risk_coverage(np.full(n, 0.3), correct).tolist() == [rate] * n
    assert aurc(np.zeros(n), correct) == pytest.approx(rate)
    assert augrc(np.zeros(n), correct) == pytest.approx(rate * (n + 1) / (2 * n))
    assert coverage_at_risk(np.zeros(n), correct, rate) == 1
    assert coverage_at_risk(np.zeros(n), correct, np.nextafter(rate, -1).clip(0)) == (0 if rate else 1)


def test_a_perfect_ranking_errs_only_where_it_must():
    n, n_correct = 100, 80
    correct = np.arange(n) < n_correct
    risk = [max(0, count - n_correct) / count for count in range(1, n + 1)]
    assert risk_coverage(-np.arange(n), correct).tolist() == risk
    assert aurc(-np.arange(n), correct) == pytest.approx(math.fsum(risk) / n)
    assert augrc(-np.arange(n), correct) == pytest.approx((1 + 20) * 20 / 2 / n**2)
    assert ranking_auroc(-np.arange(n), correct) == 1
    assert ranking_auroc(np.arange(n), correct) == 0


@given(GENERATORS, st.integers(2, 300), st.integers(1, 40))
def test_generalised_risk_is_made_of_accuracy_and_ranking(rng, n, n_scores):
    """Of E errors and C right ones, augrc counts E (E + 1) / 2 pairs of errors and each error above a right one."""
    score, correct = scored(rng, n, n_scores)
    correct[:2] = [True, False]
    right, wrong = correct.sum(), (~correct).sum()
    misranked = (1 - ranking_auroc(score, correct)) * right * wrong
    assert augrc(score, correct) == pytest.approx((wrong * (wrong + 1) / 2 + misranked) / n**2)


def test_areas_and_points_equal_those_of_torch_uncertainty():
    """Numbers that torch-uncertainty 0.13.0 printed: AURC, AUGRC, CovAtxRisk(0.1), CovAt5Risk, RiskAt80Cov, in float32.

    Its areas are those under straight lines from 1/N to 1, divided by 1 − 1/N: the ends weigh half, the rest is a mean.
    """
    n = 500
    score = 0.5 + 0.5 * (np.arange(n) * 0.6180339887498949 % 1)
    correct = np.arange(n) * 0.7548776662466927 % 1 < score**0.5
    risk = risk_coverage(score, correct)
    ends = np.array([risk[0], risk[-1]])
    trapezoid = (n * aurc(score, correct) - ends.sum() / 2) / (n - 1)
    assert trapezoid == pytest.approx(0.06032957739053485, abs=1e-7)
    trapezoid = (n * augrc(score, correct) - (ends * [1 / n, 1]).sum() / 2) / (n - 1)
    assert trapezoid == pytest.approx(0.04147494987076098, abs=1e-7)
    assert coverage_at_risk(score, correct, 0.1) == pytest.approx(0.8059999942779541, abs=1e-7)
    assert coverage_at_risk(score, correct) == pytest.approx(0.5019999742507935, abs=1e-7)
    assert risk_at_coverage(score, correct) == pytest.approx(0.1, abs=1e-7)


def test_coverage_is_the_largest_of_the_admissible_ones():
    """Risks are 1, 1/2, 1/3, 1/4, 2/5: the largest coverage within 0.3 is 4/5, though smaller ones are not."""
    score, correct = [5, 4, 3, 2, 1], [0, 1, 1, 1, 0]
    assert coverage_at_risk(score, correct, 0.3) == 4 / 5
    assert coverage_at_risk(score, correct, 0.25) == 4 / 5
    assert coverage_at_risk(score, correct, 0.24) == 0
    assert coverage_at_risk(score, correct, 1) == 1


def test_coverage_is_rounded_up_to_whole_examples():
    score, correct = [5, 4, 3, 2, 1], [0, 1, 1, 1, 0]
    risk = [1, 1 / 2, 1 / 3, 1 / 4, 2 / 5]
    for coverage, n in [(0, 1), (0.2, 1), (0.21, 2), (0.6, 3), (0.61, 4), (0.8, 4), (0.81, 5), (1, 5)]:
        assert risk_at_coverage(score, correct, coverage) == risk[n - 1], coverage
    assert risk_at_coverage(score, correct) == risk[3]
    hundred = np.arange(100)
    assert math.ceil(0.07 * 100) == 8  # by rounding
    assert risk_at_coverage(-hundred, hundred != 7, 0.07) == 0
    assert risk_at_coverage(-hundred, hundred != 7, 0.0701) == 1 / 8


# Ranking


@given(GENERATORS, st.integers(1, 60), st.integers(1, 60), st.integers(1, 30))
def test_auroc_equals_scikit_learn(rng, n, m, n_scores):
    positives, negatives = rng.integers(n_scores, size=n), rng.integers(n_scores, size=m) - n_scores // 3
    score, right = np.concatenate([positives, negatives]), np.arange(n + m) < n
    expected = roc_auc_score(right, score)
    assert auroc(positives, negatives) == pytest.approx(expected)
    order = rng.permutation(n + m)
    assert ranking_auroc(score[order], right[order]) == pytest.approx(expected)


def test_auroc_by_hand():
    """Of six pairs the positive is larger in three and equal in one."""
    assert auroc([3, 1], [2, 1, 0.5]) == pytest.approx((3 + 1 + 0.5) / 6)
    assert auroc([1], [2]) == 0
    assert auroc([7], [7]) == 0.5


@given(GENERATORS, st.integers(2, 200), st.integers(1, 50))
def test_only_the_order_of_scores_matters(rng, n, n_scores):
    score, correct = scored(rng, n, n_scores)
    correct[:2] = [True, False]
    measures = (risk_coverage, aurc, augrc, coverage_at_risk, risk_at_coverage, ranking_auroc)
    before = [np.array(measure(score, correct)) for measure in measures]
    order = rng.permutation(n)
    for changed in (np.exp(3 * score), score**3 - 1e3, np.unique(score, return_inverse=True)[1]):
        after = [np.array(measure(changed[order], correct[order])) for measure in measures]
        for old, new in zip(before, after, strict=True):
            assert (old == new).all()


# Scores


@given(GENERATORS, st.integers(2, 12), st.floats(0.1, 5))
def test_log_odds_are_those_of_the_largest_probability(rng, n_classes, scale):
    logits = scale * rng.normal(size=(50, n_classes))
    assert expit(max_probability(logits)) == pytest.approx(softmax(logits).max(axis=1))
    assert max_probability(logits + 100) == pytest.approx(max_probability(logits))


def test_the_most_confident_do_not_tie():
    logits = np.array([[0.0, 38], [0, 39], [1, 1], [2000, 0]])
    assert softmax(logits).max(axis=1).tolist() == [1, 1, 0.5, 1]
    assert max_probability(logits).tolist() == [38, 39, 0, 2000]
    three = max_probability([[50, 0, 0], [0, 50, -900], [1, 1, 1]])
    assert three == pytest.approx([50 - math.log(2), 50, -math.log(2)])


def test_largest_logit_and_energy():
    logits = np.array([[1, 4, -7], [-3, -3, -3], [1e4, 0, -1e4]], dtype=np.float32)
    assert max_logit(logits).tolist() == [4, -3, 1e4]
    expected = [math.log(math.exp(1) + math.exp(4) + math.exp(-7)), math.log(3) - 3, 1e4]
    assert energy(logits) == pytest.approx(expected)
    assert energy(logits).dtype == max_logit(logits).dtype == np.float64


def test_normalised_logit_by_hand():
    logits = [[3, -4], [6, 8], [0, 0], [-1, -1]]
    assert normalised_max_logit(logits, p=2, centred=False) == pytest.approx([3 / 5, 8 / 10, 0, -1 / math.sqrt(2)])
    assert normalised_max_logit(logits, p=1, centred=False) == pytest.approx([3 / 7, 8 / 14, 0, -1 / 2])
    assert normalised_max_logit([[5, 2, 2]], p=1, centred=True) == pytest.approx([2 / 4])
    assert normalised_max_logit([[5, 2, 2], [9, 9, 9]], p=3, centred=True) == pytest.approx([2 / 10 ** (1 / 3), 0])


@given(GENERATORS, st.sampled_from(NORMS), st.booleans(), st.floats(1e-3, 1e3))
def test_normalised_logit_equals_numpy_and_knows_no_scale(rng, p, centred, factor):
    logits = rng.normal(size=(20, 5)) + 1
    shifted = logits - logits.mean(axis=1, keepdims=True) if centred else logits
    expected = shifted.max(axis=1) / np.linalg.norm(shifted, ord=p, axis=1)
    assert normalised_max_logit(logits, p, centred) == pytest.approx(expected)
    assert normalised_max_logit(factor * logits, p, centred) == pytest.approx(expected)
    assert normalised_max_logit(1e200 * logits, p, centred) == pytest.approx(expected)
    assert normalised_max_logit(1e-200 * logits, p, centred) == pytest.approx(expected)


def test_normalised_logits_equal_but_for_rounding_tie():
    """The one logit above the mean is as large as the others below it together: half the norm for p = 1."""
    logits = 1 / np.array([[0.3, -7, -7.1, -11], [0.9, -7, -9, -13], [0.1, -3, -17, -19], [0.7, -1.3, -0.9, -1.1]])
    assert normalised_max_logit(logits, p=1, centred=True).tolist() == [0.5] * 4


@given(GENERATORS)
def test_the_normalisation_is_the_best_of_those_tried(rng):
    labels = rng.integers(4, size=120)
    logits = rng.gamma(1, 2, size=(120, 1)) * (rng.normal(size=(120, 4)) + 1.5 * np.eye(4)[labels]) + rng.normal()
    areas = {}
    for p, centred in itertools.product(NORMS, (True, False)):
        z = logits - logits.mean(axis=1, keepdims=True) if centred else logits
        score = np.round(z.max(axis=1) / np.linalg.norm(z, ord=p, axis=1), 12)
        areas[p, centred] = aurc(score, logits.argmax(axis=1) == labels)
    found = fit_normalisation(logits, labels)
    assert found == min(areas, key=areas.get)


def test_of_equal_normalisations_the_smallest_norm_and_centred():
    assert fit_normalisation(np.eye(3), [0, 1, 2]) == (1, True)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("score", lambda: risk_coverage([], [])),
        ("score", lambda: aurc([[0.1]], [1])),
        ("score", lambda: augrc([math.nan], [1])),
        ("score", lambda: ranking_auroc([math.inf, 0], [1, 0])),
        ("correct", lambda: risk_coverage([0.5], [1, 0])),
        ("correct", lambda: aurc([0.5], [2])),
        ("correct", lambda: augrc([0.5], [math.nan])),
        ("correct", lambda: ranking_auroc([1, 2], [1, 1])),
        ("correct", lambda: ranking_auroc([1, 2], [0, 0])),
        ("correct", lambda: ranking_auroc([1, 2], [0])),
        ("risk", lambda: coverage_at_risk([1], [1], risk=5)),
        ("risk", lambda: coverage_at_risk([1], [1], risk=math.nan)),
        ("coverage", lambda: risk_at_coverage([1], [1], coverage=80)),
        ("coverage", lambda: risk_at_coverage([1], [1], coverage=-0.1)),
        ("positive_scores", lambda: auroc([], [1])),
        ("negative_scores", lambda: auroc([1], [math.nan])),
        ("logits", lambda: max_probability([[1.0]])),
        ("logits", lambda: max_logit([1, 2])),
        ("logits", lambda: energy([[1, math.inf]])),
        ("logits", lambda: normalised_max_logit(np.zeros((0, 3)), 2, True)),
        ("p", lambda: normalised_max_logit([[1, 2]], 0, True)),
        ("logits", lambda: fit_normalisation([[1], [2]], [0, 0])),
        ("labels", lambda: fit_normalisation([[1, 2]], [2])),
        ("labels", lambda: fit_normalisation([[1, 2]], [0, 1])),
    ],
)
def test_bad_input_names_the_argument(argument, call):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()


@given(hnp.arrays(np.float64, (4, 3), elements=st.floats(-1e3, 1e3)))
def test_inputs_are_left_as_they_were(logits):
    before = logits.copy()
    for score in (max_probability, max_logit, energy, lambda z: normalised_max_logit(z, 3, True)):
        score(logits)
    fit_normalisation(logits, [0, 1, 2, 0])
    assert (logits == before).all()
