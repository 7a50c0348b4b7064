"""Confidence intervals over seeds: Student's t for one arm or for pairs, Welch's t for two arms. Distance of shares.

Units are those of the values. Values without any variance give the interval of one point.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: np.ndarray, level: float = 0.95) -> Interval:
    """Interval of the mean of values (S,), one a seed.

    Raises ValueError for fewer than two values, NaN or infinite ones, or a level outside (0, 1).
    """
    return _student(*_moments("values", values), level)


def paired_interval(differences: np.ndarray, level: float = 0.95) -> Interval:
    """Interval of the mean of differences (S,), one for each pair of runs that share a seed or a teacher.

    Errors as for `mean_interval`.
    """
    return _student(*_moments("differences", differences), level)


def welch_interval(hard: np.ndarray, smoothed: np.ndarray, level: float = 0.95) -> Interval:
    """Welch's interval of mean(smoothed) − mean(hard), for arms (S,) and (S',) of networks trained independently.

    Neither equal variances nor equal numbers are assumed. Errors as for `mean_interval`, for either arm.
    """
    return _student(*_difference(hard, smoothed), level)


def paired_p_value(differences: np.ndarray, threshold: float = 0.0) -> float:
    """Two-sided p-value of Student's t-test that the mean of differences (S,) is at a threshold.

    It is below 0.05 exactly where the threshold is outside of `paired_interval`. Errors as for `mean_interval`.
    """
    return _p_value(*_moments("differences", differences), threshold)


def welch_p_value(hard: np.ndarray, smoothed: np.ndarray, threshold: float = 0.0) -> float:
    """Two-sided p-value of Welch's t-test that mean(smoothed) − mean(hard), of arms (S,) and (S',), is at a threshold.

    It is below 0.05 exactly where the threshold is outside of `welch_interval`. Errors as for `mean_interval`.
    """
    return _p_value(*_difference(hard, smoothed), threshold)


def seeds(name: str, values: np.ndarray) -> np.ndarray:
    """`values` as (S,), one finite number a seed, S may be 0. Raises ValueError, naming the argument, otherwise."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"{name}: expected one finite number for each seed")
    return values


def _moments(name: str, values) -> tuple[float, float, int]:
    """Mean, its squared standard error, degrees of freedom."""
    values = seeds(name, values)
    if values.size < 2:
        raise ValueError(f"{name}: an interval needs two values or more, not {values.size}")
    shifted = values - values[0]  # so that equal values have variance 0 exactly
    return values[0] + shifted.mean(), shifted.var(ddof=1) / values.size, values.size - 1


def _difference(hard: np.ndarray, smoothed: np.ndarray) -> tuple[float, float, float]:
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


def standard_errors_apart(first: float, n_first: int, second: float, n_second: int) -> float:
    """The first share of a sample minus that of another, independent one, in standard errors for equal true shares.

    The z of the test of two proportions with their pooled share, taken over samples of n_first and n_second.
    """
    pooled = (n_first * first + n_second * second) / (n_first + n_second)
    return (first - second) / math.sqrt(pooled * (1 - pooled) * (1 / n_first + 1 / n_second))
