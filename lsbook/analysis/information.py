"""Mutual information between a training example and a number computed from random views of it (Müller et al. 2019,
section 4 and Figure 6), in nats.

X is one of N examples, all equally likely; Y is real, here the difference of two logits, and random because of data
augmentation. Given the example, Y is taken to be normal around the example's mean, with one variance for all.
"""

from typing import NamedTuple

import numpy as np
from numpy.polynomial.polynomial import polyval
from scipy.special import logsumexp

from lsbook.analysis.checks import array, positive

# Of the sums: how far away, in units of √2 σ, a mean still counts; terms of the series; and the least sum for which
# both are enough for thirteen digits. A sample with less, far from every mean, has its sum taken term by term.
REACH, TERMS, LEAST_SUM = 8, 36, 1e-12
BLOCK = 1_000  # such samples at once
GRID_STEP = 1 / 8  # of the quadrature, in deviations: its error is then far below rounding


class Information(NamedTuple):
    """Two estimates that bracket the truth where views are pure noise."""

    plug_in: float
    leave_one_out: float

    @property
    def middle(self) -> float:
        """Their mean: on pure noise of 10 views within 0.001 of the truth."""
        return (self.plug_in + self.leave_one_out) / 2


def mutual_information(samples: np.ndarray, leave_one_out: bool = False) -> float:
    """Î(X; Y) = 1/(NL) Σ_x Σ_l [−(f_xl − μ_x)²/2σ² − log 1/N Σ_x' exp(−(f_xl − μ_x')²/2σ²)], with μ_x = mean_l f_xl
    and σ² = mean_xl (f_xl − μ_x)², as in the paper (whose sum is said to be printed without 1/(NL)).

    samples: f (N, L), L ≥ 2 views of each example.
    Each mean contains the sample it scores, so that pure noise gives ½ log(L/(L − 1)) instead of 0. With leave_one_out
    the sample's own mean is that of the example's other views, and σ² is the unbiased variance L/(L − 1) · σ²; pure
    noise then gives about as much below 0. No estimate is above log N.
    Without any variance within the examples the value is that of the limit σ → 0.
    Raises ValueError when N is 0, L < 2 or a sample is not finite.
    """
    samples = array("samples", samples, (None, None))
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


def _log_posteriors(samples: np.ndarray, means: np.ndarray, ratio: float) -> np.ndarray:
    """log p(f | x) − log Σ_x' p(f | x') of samples f (N, L), one after the other; means: (N,); all in units of √2 σ.

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
    for rows in np.split(lost, np.arange(BLOCK, lost.size, BLOCK)):
        distances = (flat[rows, None] - means) ** 2
        distances[np.arange(rows.size), examples[rows]] = own[rows]
        found[rows] = -own[rows] - logsumexp(-distances, axis=1)
    return found


def _gauss_sums(points: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Σ_x exp(−(f − μ_x)²) at points f (M,), means μ (N,): the fast Gauss transform (Greengard and Strain 1991).

    With c the whole number nearest to f, t = f − c and m = μ − c, a term is e^−t² e^−m² Σ_k t^k (2m)^k / k!. So each
    mean adds to the coefficients of the few c within reach, and each point is a polynomial in t.
    """
    centres, place = np.unique(np.round(points), return_inverse=True)
    within = np.round(means)[:, None] + np.arange(-REACH, REACH + 1)
    column = np.searchsorted(centres, within)
    known = centres[np.minimum(column, centres.size - 1)] == within
    m, column = (means[:, None] - within)[known], column[known]
    term, coefficients = np.exp(-m * m), np.empty((TERMS, centres.size))
    for k in range(TERMS):
        coefficients[k] = np.bincount(column, term, centres.size)
        term *= 2 * m / (k + 1)
    t = points - centres[place]
    return polyval(t, coefficients[:, place], tensor=False) * np.exp(-t * t)


def bracket(samples: np.ndarray) -> Information:
    """Both estimates of `mutual_information`; arguments and errors as there."""
    return Information(mutual_information(samples), mutual_information(samples, leave_one_out=True))


def mixture_information(means: np.ndarray, deviation: float) -> float:
    """I(X; Y) when Y really is normal with one `deviation` around means (N,), each equally likely, by quadrature.

    It is h(Y) − h(Y | X) = −∫ p log p − ½ log(2πe σ²), the density p integrated from 9 deviations below the lowest
    to 9 above the highest mean.
    Raises ValueError when N is 0, a mean is not finite, or the deviation is not above 0.
    """
    means, deviation = array("means", means, (None,)), positive("deviation", deviation)
    y = np.arange(means.min() - 9 * deviation, means.max() + 9 * deviation, GRID_STEP * deviation)
    constant = np.log(deviation * np.sqrt(2 * np.pi) * means.size)
    log_density = logsumexp(((y[:, None] - means) / deviation) ** 2 / -2, axis=1) - constant
    entropy = -np.trapezoid(np.exp(log_density) * log_density, y)
    return float(entropy - np.log(deviation) - 0.5 * np.log(2 * np.pi * np.e))
