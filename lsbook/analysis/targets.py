"""Smoothed targets, their loss, and where it is smallest (Müller et al. 2019, section 1).

With K classes and the factor α, y_k becomes y_k (1 − α) + α / K. The uniform part includes the true class.
"""

import math

import numpy as np
from scipy.optimize import minimize
from scipy.special import entr, logsumexp, softmax

from lsbook.analysis.checks import array, class_indices, distributions, whole_number


def smooth_targets(labels: np.ndarray, n_classes: int, alpha: float) -> np.ndarray:
    """Target distributions (N, K) of the labels (N,): one-hot rows for alpha 0.

    Raises ValueError when there are no labels or one is outside [0, n_classes), n_classes is below 2, or alpha is
    outside [0, 1).
    """
    true, other = _probabilities(n_classes, alpha)
    labels = class_indices(labels, n_classes=n_classes)
    targets = np.full((labels.size, n_classes), other)
    targets[np.arange(labels.size), labels] = true
    return targets


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """H(y, p) = −Σ_k y_k log p_k of each example, in nats: (N,).

    logits: (N, K), p = softmax(logits); targets: (N, K), rows of probabilities.
    Raises ValueError when N is 0, shapes disagree, a value is not finite or targets are no distributions.
    """
    logits = array("logits", logits, (None, None))
    targets = array("targets", distributions("targets", targets), logits.shape)
    return np.sum(targets * (logsumexp(logits, axis=1, keepdims=True) - logits), axis=1)


def optimal_logit_gap(n_classes: int, alpha: float) -> float:
    """True minus any other logit where the smoothed loss is smallest: log((1 − α + α/K) / (α/K)) nats.

    Infinite for alpha 0. Raises ValueError when n_classes is below 2 or alpha is outside [0, 1).
    """
    true, other = _probabilities(n_classes, alpha)
    return math.log(true / other) if other else math.inf


def smallest_loss(n_classes: int, alpha: float) -> float:
    """The least smoothed loss of an example, which is the entropy of its target, in nats. Errors as above."""
    true, other = _probabilities(n_classes, alpha)
    return float(entr(true) + (n_classes - 1) * entr(other))


def minimise_loss(n_classes: int, alpha: float) -> np.ndarray:
    """Logits (K,), with sum 0, that minimise the smoothed loss of one example of class 0, found numerically.

    Raises ValueError when n_classes is below 2 or alpha is outside (0, 1): with hard targets no logits are best.
    """
    if alpha == 0:
        raise ValueError("alpha: with hard targets the loss falls for ever as the logits grow")
    target = smooth_targets(np.array([0]), n_classes, alpha)

    def curvature(logits, direction):
        p = softmax(logits)
        return p * direction - p * (p @ direction)

    found = minimize(
        lambda logits: cross_entropy(logits[None], target)[0],
        x0=np.zeros(n_classes),
        jac=lambda logits: softmax(logits) - target[0],
        hessp=curvature,
        method="trust-ncg",
        options={"gtol": 1e-9 * alpha / n_classes},
    )
    return found.x - found.x.mean()  # the loss is the same whatever the sum


def _probabilities(n_classes: int, alpha: float) -> tuple[float, float]:
    """Target probability of the true class and of each other class."""
    n_classes = whole_number("n_classes", n_classes, least=2)
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha: expected a number in [0, 1), not {alpha!r}")
    other = alpha / n_classes
    return 1 - alpha + other, other
