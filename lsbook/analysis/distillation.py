"""Smoothness index γ of a teacher's targets: the amount of label smoothing that they are worth.

It makes teachers comparable (Müller et al. 2019, section 4).
"""

import numpy as np
import scipy
from numpy.typing import ArrayLike

from lsbook.analysis.checks import class_indices, distributions, logits_and_labels, positive

SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE = 1e-2, 1e3  # where γ(T) = γ is sought
BLOCK_ROWS = 2**16


def smoothness_index(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return γ, the mean over examples of Σ_k (1 − y_k) p_k · K/(K − 1), of a teacher's probabilities p.

    It is 0 for one-hot targets, 1 for uniform ones, and α for labels smoothed by α (Müller et al. 2019, section 4).

    Args:
        probabilities: (N, K), the teacher's pᵗ(T) over the views that students see.
        labels: (N,) class indices.

    Raises:
        ValueError: if N is 0, K is 1, shapes disagree, a row is no distribution or a label is out of range.
    """
    probabilities = distributions("probabilities", probabilities)
    labels = class_indices(labels, *probabilities.shape)
    n, n_classes = probabilities.shape
    if n_classes < 2:
        raise ValueError("probabilities: expected two classes or more, of which one can be wrong")
    true = probabilities[np.arange(n), labels].mean(dtype=np.float64)
    return float((1 - true) * n_classes / (n_classes - 1))


def smoothness_at(temperature: float, logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the smoothness index γ of the teacher softmax(logits / temperature).

    It is `smoothness_index` of these probabilities, computed without those of the other classes.

    Args:
        temperature: T, above 0.
        logits: (N, K), of any type of float; they are copied in blocks only.
        labels: (N,) class indices.

    Raises:
        ValueError: if N is 0, K is below 2, shapes disagree, a logit is not finite, a label is out of range or T is
            not above 0.
    """
    logits, labels = logits_and_labels(logits, labels)
    if logits.shape[1] < 2:
        raise ValueError("logits: expected two classes or more, of which one can be wrong")
    temperature = positive("temperature", temperature)
    blocks = (slice(start, start + BLOCK_ROWS) for start in range(0, len(logits), BLOCK_ROWS))
    true = sum(_true_probability(logits[b], labels[b], temperature) for b in blocks) / len(logits)
    n_classes = logits.shape[1]
    return float((1 - true) * n_classes / (n_classes - 1))


def _true_probability(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Sum the probability of the label over the examples: of logits in half precision, in single precision."""
    gaps = logits.astype(np.promote_types(logits.dtype, np.float32))
    gaps -= gaps[np.arange(len(labels)), labels][:, None]
    with np.errstate(over="ignore"):  # the probability is then 0
        gaps /= temperature
        return float(np.reciprocal(np.exp(gaps, out=gaps).sum(axis=1)).sum(dtype=np.float64))


def temperature_for(index: float, logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the temperature T at which the teacher softmax(logits / T) has the smoothness index γ = `index`.

    γ rises with T where most examples are classified correctly. T is sought from 0.01 to 1000, to a relative precision
    of 1e-6.

    Args:
        index: γ, a fraction of 1.
        logits: (N, K), of any type of float.
        labels: (N,) class indices.

    Raises:
        ValueError: if `index` is not between the γ of T = 0.01 and of T = 1000, N is 0, shapes disagree, a logit is not
            finite or a label is out of range.
    """

    def difference(log_temperature: float) -> float:
        return smoothness_at(np.exp(log_temperature), logits, labels) - index

    low, high = np.log(SMALLEST_TEMPERATURE), np.log(LARGEST_TEMPERATURE)
    least, most = difference(low), difference(high)
    if not least <= 0 <= most:
        raise ValueError(f"index: this teacher's is between {least + index:.3g} and {most + index:.3g}, not {index:g}")
    return float(np.exp(scipy.optimize.brentq(difference, low, high, xtol=1e-7)))
