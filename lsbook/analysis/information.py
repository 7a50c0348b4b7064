"""Mutual information between a training example and a number computed from random views of it (Müller et al. 2019,
section 5 and Figure 6), in nats.

X is one of N examples, all equally likely; Y is real, here the difference of two logits, and random because of data
augmentation. Given the example, Y is taken to be normal around the example's mean, with one variance for all.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from lsbook.analysis.checks import array, positive

BLOCK_SIZE = 2**16  # exponents in a block: 512 KB, which a core's cache holds
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
    and σ² = mean_xl (f_xl − μ_x)², as in the paper.

    samples: f (N, L), L ≥ 2 views of each example.
    Each mean contains the sample it scores, so that pure noise gives ½ log(L/(L − 1)) instead of 0. With leave_one_out
    the sample's own mean is that of the example's other views, and σ² is the unbiased variance L/(L − 1) · σ²; pure
    noise then gives about as much below 0. The plug-in estimate lies between 0 and log N.
    Without any variance within the examples the value is that of the limit σ → 0.
    Raises ValueError when N is 0, L < 2 or a sample is not finite.
    """
    samples = array("samples", samples, (None, None))
    n, views = samples.shape
    if views < 2:
        raise ValueError(f"samples: two views or more of each example are needed, not {views}")
    means = samples.mean(axis=1)
    variance = np.mean((samples - means[:, None]) ** 2)
    own = np.broadcast_to(means[:, None], samples.shape)
    if leave_one_out:
        own = (views * own - samples) / (views - 1)
        variance *= views / (views - 1)
    step = max(1, BLOCK_SIZE // (views * n))
    blocks = (slice(start, start + step) for start in range(0, n, step))
    total = sum(_scores(samples[rows], own[rows], means, rows.start, variance) for rows in blocks)
    return float(total / samples.size + np.log(n))


def _scores(samples: np.ndarray, own: np.ndarray, means: np.ndarray, first: int, variance: float) -> float:
    """Sum over samples (B, L) of the examples from `first` on of log p(f | x) − log Σ_x' p(f | x')."""
    distances = _squared(samples[:, :, None], means, variance)
    rows = np.arange(len(samples))
    distances[rows, :, first + rows] = mine = _squared(samples, own, variance)
    # The logarithm of the sum in place: SciPy's own makes copies, which is most of the time here.
    nearest = distances.min(axis=2)
    np.subtract(nearest[:, :, None], distances, out=distances)
    np.exp(distances, out=distances)
    return np.sum(nearest - mine - np.log(distances.sum(axis=2)))


def _squared(samples: np.ndarray, means: np.ndarray, variance: float) -> np.ndarray:
    """(f − μ)²/2σ², which for σ = 0 is 0 at the distance 0 and ∞ elsewhere."""
    if variance == 0:
        return np.where(samples == means, 0.0, np.inf)
    scale = (2 * variance) ** -0.5
    distances = samples * scale - means * scale
    return np.square(distances, out=distances)


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
