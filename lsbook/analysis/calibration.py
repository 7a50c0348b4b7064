"""Expected calibration error and temperature scaling (Guo et al. 2017; Müller et al. 2019, section 3).

Confidences, accuracies and calibration errors are fractions of 1; a negative log-likelihood is in nats.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from lsbook.analysis.checks import (
    SUM_TOLERANCE,
    array,
    class_indices,
    distributions,
    logits_and_labels,
    positive,
    whole_number,
)

# Where `fit_temperature` looks: the paper's temperatures are between 1 and 2.
SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE = 1e-2, 1e2


class Reliability(NamedTuple):
    """A reliability diagram of n_bins equally wide bins (b/n, (b+1)/n], 0 belonging to the first.

    confidence, accuracy: mean of each bin, NaN where it is empty; count: number of examples. All are (n_bins,).
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error Σ_b n_b/N · |acc_b − conf_b|; an empty bin has no weight."""
        filled = self.count > 0
        return float(np.average(np.abs(self.accuracy - self.confidence)[filled], weights=self.count[filled]))


def reliability(probabilities: np.ndarray, labels: np.ndarray, n_bins: int = 15) -> Reliability:
    """Reliability of the prediction argmax_k p_k (the first of equals), whose confidence is max_k p_k.

    probabilities: (N, K), rows with sum 1 within the rounding of float16; labels: (N,).
    Raises ValueError when N is 0, shapes disagree, a row is no distribution, a label is out of range, or n_bins < 1.
    """
    probabilities = distributions("probabilities", probabilities)
    labels = class_indices(labels, *probabilities.shape)
    return confidence_reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, n_bins)


def confidence_reliability(confidence: np.ndarray, correct: np.ndarray, n_bins: int = 15) -> Reliability:
    """Reliability from each prediction's confidence (N,) and whether it is correct (N,), as Booleans or 0 and 1.

    Raises ValueError when N is 0, shapes disagree, a value is not in [0, 1], or n_bins < 1.
    """
    n_bins = whole_number("n_bins", n_bins, least=1)
    confidence = array("confidence", confidence, (None,))
    correct = array("correct", correct, confidence.shape, dtype=None)
    if confidence.min() < 0 or confidence.max() > 1 + SUM_TOLERANCE:
        raise ValueError("confidence: expected fractions from 0 to 1")
    if correct.dtype != bool and not np.isin(correct, (0, 1)).all():
        raise ValueError("correct: expected Booleans, or 0 and 1")
    bins = np.searchsorted(np.arange(1, n_bins) / n_bins, confidence, side="left")
    count = np.bincount(bins, minlength=n_bins)
    sums = np.stack([np.bincount(bins, values, minlength=n_bins) for values in (confidence, correct)])
    means = np.divide(sums, count, where=count > 0, out=np.full(sums.shape, np.nan))
    return Reliability(*means, count)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, n_bins: int = 15) -> float:
    """ECE of probabilities (N, K) for labels (N,), a fraction of 1. Errors as for `reliability`."""
    return reliability(probabilities, labels, n_bins).ece


def softmax(logits: np.ndarray, temperature: float = 1) -> np.ndarray:
    """Probabilities (N, K) of logits (N, K) divided by the temperature.

    Raises ValueError when N is 0, a logit is not finite, or the temperature is not above 0.
    """
    logits = array("logits", logits, (None, None), dtype=None)
    result = np.divide(logits, positive("temperature", temperature), dtype=np.float64)
    result -= result.max(axis=1, keepdims=True)
    np.exp(result, out=result)
    result /= result.sum(axis=1, keepdims=True)
    return result


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray, temperature: float = 1) -> float:
    """Mean of −log softmax(logits / temperature) at the labels, in nats.

    logits: (N, K); labels: (N,).
    Raises ValueError when N is 0, shapes disagree, a logit is not finite, a label is out of range, or the temperature
    is not above 0.
    """
    logits, labels = logits_and_labels(logits, labels, dtype=None)
    scaled = np.divide(logits, positive("temperature", temperature), dtype=np.float64)
    return float(np.mean(logsumexp(scaled, axis=1) - scaled[np.arange(len(labels)), labels]))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Temperature T that minimises the mean NLL of softmax(logits / T), to a relative precision of 1e-6.

    logits: (N, K), from examples the network was not trained on; labels: (N,).
    The loss is convex in 1/T, so its derivative has one root. T is sought from 0.01 to 100 and is one of these ends
    when the loss still falls there: 0.01 for logits that separate the classes, 100 for logits no better than chance.
    Raises ValueError when N is 0, shapes disagree, a logit is not finite or a label is out of range.
    """
    logits, labels = logits_and_labels(logits, labels, dtype=None)
    logits = np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64)
    true = logits[np.arange(len(labels)), labels].mean()

    def slope(log_inverse):  # of the loss in 1/T, which has the sign of the slope in log(1/T)
        weights = np.exp(np.exp(log_inverse) * logits)
        return np.mean(np.einsum("nk,nk->n", weights, logits) / weights.sum(axis=1)) - true

    low, high = -np.log(LARGEST_TEMPERATURE), -np.log(SMALLEST_TEMPERATURE)
    if slope(low) >= 0:
        return LARGEST_TEMPERATURE
    if slope(high) <= 0:
        return SMALLEST_TEMPERATURE
    return float(np.exp(-brentq(slope, low, high, xtol=1e-7)))
