"""Mutual information, in nats, between a training example and a number computed from random views of it.

It is that of Müller et al. (2019, section 4 and Figure 6). X is one of N examples, all equally likely; Y is real, here
the difference of two logits, and random because of data augmentation. Given the example, Y is taken to be normal around
the example's mean, with one variance for all.
"""

from typing import NamedTuple

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from lsbook.analysis.checks import floats, positive

# Of the sums: how far away, in units of √2 σ, a mean still counts; terms of the series; and the least sum for which
# both are enough for thirteen digits. A sample with less, far from every mean, has its sum taken term by term.
REACH, TERMS, LEAST_SUM = 8, 36, 1e-12
SAMPLES_AT_ONCE = 1_000  # of those that are taken term by term
GRID_STEP = 1 / 8  # of the quadrature, in deviations: its error is then far below rounding


class Information(NamedTuple):
    """Two estimates of a mutual information, in nats, that bracket the truth where views are pure noise.

    Attributes:
        plug_in: that of the paper, too large on average.
        leave_one_out: that in which no mean contains the sample that it scores, too small on average.
    """

    plug_in: float
    leave_one_out: float

    @property
    def midpoint(self) -> float:
        """Mean of the two estimates, in nats: on pure noise of 10 views within 0.001 of the truth."""
        return (self.plug_in + self.leave_one_out) / 2


def mutual_information(samples: ArrayLike, leave_one_out: bool = False) -> float:
    """Estimate I(X; Y) from views of each example, as the paper does (Müller et al. 2019, section 4).

    Î = 1/(NL) Σ_x Σ_l [−(f_xl − μ_x)²/2σ² − log 1/N Σ_x' exp(−(f_xl − μ_x')²/2σ²)], with μ_x = mean_l f_xl and
    σ² = mean_xl (f_xl − μ_x)². The paper prints the sum without 1/(NL). Each mean contains the sample it scores, so
    that pure noise gives ½ log(L/(L − 1)) instead of 0. Without any variance within the examples the value is that of
    the limit σ → 0.

    Args:
        samples: f (N, L), L ≥ 2 views of each example.
        leave_one_out: whether to score a sample by the mean of the example's other views, with the unbiased variance
            L/(L − 1) · σ²; pure noise then gives about as much below 0.

    Returns:
        Nats, at most log N.

    Raises:
        ValueError: if N is 0, L is below 2 or a sample is not finite.
    """
    samples = floats("samples", samples, (None, None))
    n, views = samples.shape
    if views < 2:
        raise ValueError(f"samples: two views or more of each example are needed, not {views}")
    means = samples.mean(axis=1)
    variance = np.mean((samples - means[:, None]) ** 2)
    if variance <= (np.finfo(float).eps * np.abs(means).max()) ** 2:
        _, counts = np.unique(means, return_counts=True)
        return float(np.log(n) - np.sum(counts * np.log(counts)) / n)
    # A sample is by this ratio farther from the mean of the other views, and the unbiased variance larger.
    ratio = views / (views - 1) if leave_one_out else 1.0
    unit = np.sqrt(2 * ratio * variance)
    return float(np.mean(_log_posteriors(samples / unit, means / unit, ratio)) + np.log(n))


def bracket(samples: ArrayLike) -> Information:
    """Return both estimates of `mutual_information`, plug-in and leave-one-out.

    Args:
        samples: (N, L), L ≥ 2 views of each example.

    Raises:
        ValueError: if N is 0, L is below 2 or a sample is not finite.
    """
    return Information(mutual_information(samples), mutual_information(samples, leave_one_out=True))


def information_by_own_variances(samples: ArrayLike) -> float:
    """Estimate I(X; Y) with a variance for each example in place of one for all.

    The mean of log p(f_xl | x) − log 1/N Σ_x' p(f_xl | x'), normal densities. Mean and unbiased variance of an example
    are of its views without the one that is scored. A variance of few views makes the estimate too small, the more the
    fewer there are, so compare it with others of as many views only.

    Args:
        samples: f (N, L), L ≥ 3 views of each example. Memory: N² L numbers.

    Returns:
        Nats, at most log N.

    Raises:
        ValueError: if N is 0, L is below 3, a sample is not finite, or all views of an example but one are equal.
    """
    samples = floats("samples", samples, (None, None))
    n, views = samples.shape
    if views < 3:
        raise ValueError(f"samples: three views or more of each example are needed, not {views}")
    means, variances = samples.mean(axis=1), samples.var(axis=1, ddof=1)
    distance = samples - means[:, None]
    own_means = means[:, None] - distance / (views - 1)
    own_variances = ((views - 1) * variances[:, None] - distance**2 * views / (views - 1)) / (views - 2)
    if own_variances.min() <= (np.finfo(float).eps * np.abs(samples).max()) ** 2:
        raise ValueError("samples: all views of an example but one are equal")
    log_densities = _log_normal(samples[:, :, None], means, variances)
    own = _log_normal(samples, own_means, own_variances)
    log_densities[np.arange(n), :, np.arange(n)] = own
    return float(np.mean(own - logsumexp(log_densities, axis=2)) + np.log(n))


def _log_normal(
    x: NDArray[np.float64], means: NDArray[np.float64], variances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the logarithm of the normal density, without its constant."""
    return -((x - means) ** 2) / (2 * variances) - np.log(variances) / 2


def mixture_information(means: ArrayLike, deviation: float) -> float:
    """Return I(X; Y) of a Y that really is normal around the mean of an example, all examples equally likely.

    It is h(Y) − h(Y | X) = −∫ p log p − ½ log(2πe σ²), the density p integrated by the trapezoidal rule from 9
    deviations below the lowest to 9 above the highest mean.

    Args:
        means: (N,), that of each example.
        deviation: σ, that of all of them.

    Returns:
        Nats.

    Raises:
        ValueError: if N is 0, a mean is not finite, or the deviation is not above 0.
    """
    means, deviation = floats("means", means, (None,)), positive("deviation", deviation)
    y = np.arange(means.min() - 9 * deviation, means.max() + 9 * deviation, GRID_STEP * deviation)
    constant = np.log(deviation * np.sqrt(2 * np.pi) * means.size)
    log_density = logsumexp(((y[:, None] - means) / deviation) ** 2 / -2, axis=1) - constant
    entropy = -np.trapezoid(np.exp(log_density) * log_density, y)
    return float(entropy - np.log(deviation) - 0.5 * np.log(2 * np.pi * np.e))


def _log_posteriors(samples: NDArray[np.float64], means: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """Return log p(f | x) − log Σ_x' p(f | x') of samples f (N, L), one after the other: (N L,).

    Args:
        samples: in units of √2 σ.
        means: (N,), in the same units.
        ratio: how many times as far a sample counts from its own mean as it lies.
    """
    n, views = samples.shape
    flat, examples = samples.ravel(), np.arange(n).repeat(views)
    near = (flat - means[examples]) ** 2
    own = ratio**2 * near
    sums = _gauss_sums(flat, means) - np.exp(-near) + np.exp(-own)
    [lost] = np.nonzero(sums < LEAST_SUM)
    sums[lost] = 1.0
    found = -own - np.log(sums)
    for rows in np.split(lost, np.arange(SAMPLES_AT_ONCE, lost.size, SAMPLES_AT_ONCE)):
        distances = (flat[rows, None] - means) ** 2
        distances[np.arange(rows.size), examples[rows]] = own[rows]
        found[rows] = -own[rows] - logsumexp(-distances, axis=1)
    return found


def _gauss_sums(points: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Σ_x exp(−(f − μ_x)²) at each point f (M,), of means μ (N,), by the fast Gauss transform.

    Greengard and Strain (1991), in one dimension with boxes of width 1. For a point f = c + t in the box around the
    whole number c, and a mean μ = c + m,

        exp(−(f − μ)²) = exp(−(t − m)²) = exp(−t²) Σ_k t^k · exp(−m²) (2m)^k / k!

    Only t is the point's. So the factors of t^k are summed over the means once for each box, and each point is a
    polynomial in t: about M + N evaluations of the series in place of M · N exponentials.
    """
    centres, box = np.unique(np.round(points), return_inverse=True)
    coefficients = _box_coefficients(centres, means)
    t = points - centres[box]
    return np.asarray(np.exp(-t * t) * polyval(t, coefficients[:, box], tensor=False))


def _box_coefficients(centres: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Σ_x exp(−m²) (2m)^k / k!, m = μ_x − c, for each k and each centre c of a box (C,): (TERMS, C).

    Means (N,) more than REACH boxes away are left out: each of them adds at most exp(−REACH²) to a sum.
    """
    reached = np.round(means)[:, None] + np.arange(-REACH, REACH + 1)  # the boxes that a mean adds to, empty ones too
    box = np.minimum(np.searchsorted(centres, reached), centres.size - 1)
    has_points = centres[box] == reached
    box, m = box[has_points], (means[:, None] - reached)[has_points]
    coefficients = np.empty((TERMS, centres.size))
    term = np.exp(-m * m)
    for k in range(TERMS):
        coefficients[k] = np.bincount(box, weights=term, minlength=centres.size)
        term *= 2 * m / (k + 1)
    return coefficients
