"""Confidence intervals and p-values over seeds: Student's t for one arm or pairs, Welch's t for two arms.

Intervals are in the units of the values. Values without any variance give the interval of one point.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from lsbook.analysis.checks import floats


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval, in the units of the values."""

    mean: float
    low: float
    high: float


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return Student's interval of the mean of values.

    Args:
        values: (S,), one a seed, S ≥ 2.
        level: the interval's confidence, between 0 and 1.

    Raises:
        ValueError: if there are fewer than two values, one is not finite, or `level` is outside (0, 1).
    """
    return _student(*_moments("values", values), level)


def paired_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """Return Student's interval of the mean difference within pairs of runs that share a seed or a teacher.

    Args:
        differences: (S,), one a pair, S ≥ 2.
        level: the interval's confidence, between 0 and 1.

    Raises:
        ValueError: if there are fewer than two differences, one is not finite, or `level` is outside (0, 1).
    """
    return _student(*_moments("differences", differences), level)


def welch_interval(hard: ArrayLike, smoothed: ArrayLike, level: float = 0.95) -> Interval:
    """Return Welch's interval of mean(smoothed) − mean(hard), for two arms of networks trained independently.

    Neither equal variances nor equal numbers are assumed (Welch 1947; degrees of freedom after Satterthwaite 1946).

    Args:
        hard: (S,), one a seed, S ≥ 2.
        smoothed: (S',), one a seed, S' ≥ 2.
        level: the interval's confidence, between 0 and 1.

    Raises:
        ValueError: if an arm has fewer than two values, one is not finite, or `level` is outside (0, 1).
    """
    return _student(*_difference(hard, smoothed), level)


def difference_interval(first: ArrayLike, second: ArrayLike) -> Interval:
    """Return `welch_interval` of mean(second) − mean(first); one of no width where an arm is a single run.

    Args:
        first: (S,), one a seed.
        second: (S',), one a seed.

    Raises:
        ValueError: if there is no value, or one is not finite.
    """
    first, second = seed_values("first", first), seed_values("second", second)
    if min(len(first), len(second)) > 1:
        return welch_interval(first, second)
    return Interval(*[float(second.mean() - first.mean())] * 3)


def paired_p_value(differences: ArrayLike, threshold: float = 0.0) -> float:
    """Return the two-sided p-value of Student's t-test that the mean difference within pairs is at a threshold.

    It is below 0.05 exactly where the threshold is outside of `paired_interval`.

    Args:
        differences: (S,), one a pair, S ≥ 2.
        threshold: in the units of the differences.

    Raises:
        ValueError: if there are fewer than two differences or one is not finite.
    """
    return _p_value(*_moments("differences", differences), threshold)


def welch_p_value(hard: ArrayLike, smoothed: ArrayLike, threshold: float = 0.0) -> float:
    """Return the two-sided p-value of Welch's t-test that mean(smoothed) − mean(hard) is at a threshold.

    It is below 0.05 exactly where the threshold is outside of `welch_interval`.

    Args:
        hard: (S,), one a seed, S ≥ 2.
        smoothed: (S',), one a seed, S' ≥ 2.
        threshold: in the units of the values.

    Raises:
        ValueError: if an arm has fewer than two values or one is not finite.
    """
    return _p_value(*_difference(hard, smoothed), threshold)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust the p-values of M tests so that any false one is below 5 % with a chance of at most 5 % (Holm 1979).

    Args:
        p_values: (M,), from 0 to 1.

    Returns:
        (M,) adjusted p-values in the same order, at most 1.

    Raises:
        ValueError: if there are none, or one is outside [0, 1].
    """
    p_values = floats("p_values", p_values, (None,))
    if p_values.min() < 0 or p_values.max() > 1:
        raise ValueError("p_values: expected numbers in [0, 1]")
    rising = np.argsort(p_values)
    multiplied = p_values[rising] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[rising] = np.minimum(np.maximum.accumulate(multiplied), 1)
    return adjusted


def seed_values(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return `values` as (S,) float64, one number a seed; S may be 0.

    Raises:
        ValueError: if they have another shape or one is not finite; the message begins with `name`.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError(f"{name}: expected one finite number for each seed")
    return found


def standard_errors_apart(first: float, n_first: int, second: float, n_second: int) -> float:
    """Return the z of the test of two proportions: their difference in standard errors, pooled as if they were equal.

    Args:
        first: the share of one sample, a fraction of 1.
        n_first: how many that sample has.
        second: the share of another, independent sample.
        n_second: how many that one has.

    Raises:
        ZeroDivisionError: if both shares are 0 or both are 1.
    """
    pooled = (n_first * first + n_second * second) / (n_first + n_second)
    return (first - second) / math.sqrt(pooled * (1 - pooled) * (1 / n_first + 1 / n_second))


def _moments(name: str, values: ArrayLike) -> tuple[float, float, int]:
    """Mean, its squared standard error, degrees of freedom."""
    found = seed_values(name, values)
    if found.size < 2:
        raise ValueError(f"{name}: an interval needs two values or more, not {found.size}")
    shifted = found - found[0]  # so that equal values have variance 0 exactly
    return found[0] + shifted.mean(), shifted.var(ddof=1) / found.size, found.size - 1


def _difference(hard: ArrayLike, smoothed: ArrayLike) -> tuple[float, float, float]:
    """Mean of smoothed − hard, its squared standard error, degrees of freedom (Welch and Satterthwaite)."""
    mean_0, variance_0, freedom_0 = _moments("hard", hard)
    mean_1, variance_1, freedom_1 = _moments("smoothed", smoothed)
    variance = variance_0 + variance_1
    share = variance_0 / variance if variance else 0.5
    return mean_1 - mean_0, variance, 1 / (share**2 / freedom_0 + (1 - share) ** 2 / freedom_1)


def _p_value(mean: float, variance: float, freedom: float, threshold: float) -> float:
    if not variance:
        return float(mean == threshold)
    return float(2 * stdtr(freedom, -abs(mean - threshold) / np.sqrt(variance)))


def _student(mean: float, variance: float, freedom: float, level: float) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"level: expected a number between 0 and 1, not {level!r}")
    half = stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance)
    return Interval(float(mean), float(mean - half), float(mean + half))
