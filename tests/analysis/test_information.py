"""Mutual information where it is known: separated points, clusters, noise, Gaussian mixtures; and a straight loop."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from lsbook.analysis.information import bracket, information_by_own_variances, mixture_information, mutual_information


def views(means, deviation: float, n_views: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((len(means), n_views))
    return np.asarray(means, float)[:, None] + deviation * noise


def bias(n_views: int) -> float:
    """What pure noise gives: the mean contains the sample it scores."""
    return 0.5 * math.log(n_views / (n_views - 1))


def by_loop(samples: np.ndarray) -> float:
    """The formula of the paper, term by term."""
    n, n_views = samples.shape
    means = [sum(row) / n_views for row in samples]
    variance = sum((f - m) ** 2 for row, m in zip(samples, means, strict=True) for f in row) / (n * n_views)
    total = 0.0
    for row, own in zip(samples, means, strict=True):
        for f in row:
            mixture = sum(math.exp(-((f - m) ** 2) / (2 * variance)) for m in means) / n
            total += -((f - own) ** 2) / (2 * variance) - math.log(mixture)
    return total / (n * n_views)


def test_it_is_the_formula():
    samples = views(np.random.default_rng(1).normal(size=7), 0.5, 4)
    assert mutual_information(samples) == pytest.approx(by_loop(samples), abs=1e-12)


def term_by_term(samples: np.ndarray, leave_one_out: bool) -> float:
    """Both estimates by SciPy's logarithm of a sum of exponentials."""
    n, n_views = samples.shape
    means = samples.mean(axis=1)
    own = np.repeat(means[:, None], n_views, axis=1)
    variance = np.mean((samples - own) ** 2)
    if leave_one_out:
        own = (n_views * own - samples) / (n_views - 1)
        variance *= n_views / (n_views - 1)
    exponents = -((samples[:, :, None] - means) ** 2) / (2 * variance)
    mine = -((samples - own) ** 2) / (2 * variance)
    exponents[np.arange(n), :, np.arange(n)] = mine
    return np.mean(mine - logsumexp(exponents, axis=2)) + math.log(n)


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("tails", [1.2, 3.0, 100.0])
def test_it_is_the_sum_of_every_term_also_of_samples_far_from_all_means(monkeypatch, spread, tails):
    """tails: degrees of freedom of a Student t; a few views of the first examples then lie tens of deviations away."""
    monkeypatch.setattr("lsbook.analysis.information.SAMPLES_AT_ONCE", 7)
    generator = np.random.default_rng(4)
    samples = spread * generator.standard_normal((150, 1)) + generator.standard_t(tails, (150, 8))
    expected = term_by_term(samples, False), term_by_term(samples, True)
    assert bracket(samples) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("n", [1, 2, 600])
def test_separated_points_give_log_n(n):
    assert mutual_information(views(1e3 * np.arange(n), 1.0, 10)) == pytest.approx(math.log(n), abs=1e-9)


def test_pure_noise_gives_the_known_bias():
    """The standard error over 6 draws is about 0.001."""
    found = [bracket(views(np.zeros(600), 2.0, 10, seed)) for seed in range(6)]
    plug_in, leave_one_out, middle = np.mean([(*f, f.midpoint) for f in found], axis=0)
    assert plug_in == pytest.approx(bias(10), abs=0.005)
    assert -leave_one_out == pytest.approx(bias(10), abs=0.005)
    assert middle == pytest.approx(0, abs=0.003)


@pytest.mark.parametrize("n_views", [2, 5, 20])
def test_the_bias_falls_with_the_views(n_views):
    found = [mutual_information(views(np.zeros(400), 1.0, n_views, seed)) for seed in range(5)]
    assert np.mean(found) == pytest.approx(bias(n_views), abs=0.01)


def test_two_tight_clusters_give_log_2():
    means = np.repeat([-50.0, 50.0], 300)
    found = bracket(views(means, 1.0, 10))
    assert found.plug_in == pytest.approx(math.log(2) + bias(10), abs=0.006)
    assert found.leave_one_out == pytest.approx(math.log(2) - bias(10), abs=0.006)


def test_without_variance_examples_are_told_apart_by_equality():
    assert mutual_information(np.repeat([[1.0], [2.0], [3.0]], 4, axis=1)) == pytest.approx(math.log(3))
    assert mutual_information(np.repeat([[1.0], [1.0], [3.0], [3.0]], 4, axis=1)) == pytest.approx(math.log(2))
    assert mutual_information(np.ones((5, 3)), leave_one_out=True) == pytest.approx(0)


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0, 10.0])
def test_the_two_estimates_bracket_a_mixture(spread):
    """The truth by quadrature, for 300 means with a spread of so many deviations."""
    means = spread * np.random.default_rng(2).standard_normal(300)
    truth = mixture_information(means, 1.0)
    found = np.mean([bracket(views(means, 1.0, 10, seed)) for seed in range(5)], axis=0)
    assert found[1] - 0.01 < truth < found[0] + 0.01
    assert found.mean() == pytest.approx(truth, abs=0.03)


def test_mixtures_of_one_and_of_two_are_known():
    assert mixture_information([3.0], 2.0) == pytest.approx(0, abs=1e-9)
    assert mixture_information([-100.0, 100.0], 1.0) == pytest.approx(math.log(2), abs=1e-6)
    # Two points one deviation from their middle: the capacity of binary input over Gaussian noise at 0 dB, in bits.
    assert mixture_information([-1.0, 1.0], 1.0) / math.log(2) == pytest.approx(0.4859, abs=2e-4)


def test_a_normal_input_has_shannons_capacity():
    """Many normal means of spread s: ½ log(1 + s²), up to the sampling of the means."""
    from scipy.stats import norm

    means = 2 * norm.ppf((np.arange(400) + 0.5) / 400)
    assert mixture_information(means, 1.0) == pytest.approx(0.5 * math.log(1 + 4), abs=0.01)


def test_scale_and_shift_change_nothing():
    samples = views(np.random.default_rng(3).normal(size=50), 0.4, 5)
    assert mutual_information(1e3 * samples + 1e3) == pytest.approx(mutual_information(samples), abs=1e-9)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((3, 1)), "samples: two views or more"),
        (np.zeros((0, 5)), "samples: no examples"),
        (np.zeros(5), "samples: expected shape"),
        (np.array([[1.0, np.nan]]), "samples: NaN"),
    ],
)
def test_bad_samples_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        mutual_information(samples)


@pytest.mark.parametrize(
    ("means", "deviation", "message"), [([], 1, "means: no"), ([1.0], 0, "deviation"), ([np.inf], 1, "means: NaN")]
)
def test_bad_mixtures_are_refused(means, deviation, message):
    with pytest.raises(ValueError, match=message):
        mixture_information(means, deviation)


def test_with_own_variances_it_is_the_formula_term_by_term():
    samples = views(np.random.default_rng(1).normal(size=5), 0.5, 4) * np.array([[1], [2], [1], [3], [1]])
    found = []
    for x, view in np.ndindex(samples.shape):
        densities = []
        for other, row in enumerate(samples):
            scored = np.delete(row, view) if other == x else row
            densities.append(norm.pdf(samples[x, view], scored.mean(), scored.std(ddof=1)))
        found.append(np.log(densities[x] / np.mean(densities)))
    assert information_by_own_variances(samples) == pytest.approx(np.mean(found), abs=1e-12)


def test_own_variances_tell_examples_apart_that_one_variance_does_not():
    samples = np.concatenate([views(np.zeros(20), deviation, 400) for deviation in (1, 1000)])
    assert information_by_own_variances(samples) == pytest.approx(math.log(2), abs=0.05)
    assert mutual_information(samples) == pytest.approx(0, abs=0.05)


def test_own_variances_need_three_views_that_differ():
    with pytest.raises(ValueError, match="three views or more"):
        information_by_own_variances(views([0, 1], 1, 2))
    with pytest.raises(ValueError, match="all views of an example but one are equal"):
        information_by_own_variances([[0.1, 0.2, 0.3], [1.0, 1.0, 2.0]])
