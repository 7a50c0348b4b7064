"""Smoothed targets, their loss, and where it is smallest (Müller et al. 2019, section 1).

With K classes and the factor α, y_k becomes y_k (1 − α) + α / K. The uniform part includes the true class.
"""

import math

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, logsumexp, softmax

from lsbook.analysis.checks import class_indices, distributions, floats, integer


def smooth_targets(labels: ArrayLike, n_classes: int, alpha: float) -> NDArray[np.float64]:
    """Return the smoothed target of each label: 1 − α + α/K for its class, α/K for every other (section 1).

    Args:
        labels: (N,) class indices.
        n_classes: K, at least 2.
        alpha: α in [0, 1); 0 gives one-hot rows.

    Returns:
        (N, K) rows of probabilities.

    Raises:
        ValueError: if N is 0, a label is outside [0, K), K is below 2 or α outside [0, 1).
    """
    true, other = _probabilities(n_classes, alpha)
    labels = class_indices(labels, n_classes=n_classes)
    targets = np.full((labels.size, n_classes), other)
    targets[np.arange(labels.size), labels] = true
    return targets


def cross_entropy(logits: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
    """Return H(y, p) = −Σ_k y_k log p_k of each example, where p = softmax(logits) (section 1).

    Args:
        logits: (N, K).
        targets: y (N, K), rows of probabilities.

    Returns:
        (N,) losses in nats.

    Raises:
        ValueError: if N is 0, shapes disagree, a value is not finite or a target is no distribution.
    """
    logits = floats("logits", logits, (None, None))
    targets = floats("targets", distributions("targets", targets), logits.shape)
    losses: NDArray[np.float64] = np.sum(targets * (logsumexp(logits, axis=1, keepdims=True) - logits), axis=1)
    return losses


def optimal_logit_gap(n_classes: int, alpha: float) -> float:
    """Return log((1 − α + α/K) / (α/K)): how far the true logit leads each other where the smoothed loss is least.

    Args:
        n_classes: K, at least 2.
        alpha: α in [0, 1).

    Returns:
        The gap in nats, infinite for α = 0.

    Raises:
        ValueError: if K is below 2 or α outside [0, 1).
    """
    true, other = _probabilities(n_classes, alpha)
    return math.log(true / other) if other else math.inf


def smallest_loss(n_classes: int, alpha: float) -> float:
    """Return the least smoothed loss that an example can have, in nats: the entropy of its target.

    Args:
        n_classes: K, at least 2.
        alpha: α in [0, 1).

    Raises:
        ValueError: if K is below 2 or α outside [0, 1).
    """
    true, other = _probabilities(n_classes, alpha)
    return float(entr(true) + (n_classes - 1) * entr(other))


def minimise_loss(n_classes: int, alpha: float) -> NDArray[np.float64]:
    """Find the logits that minimise the smoothed loss of one example of class 0, numerically (trust-region Newton).

    Args:
        n_classes: K, at least 2.
        alpha: α in (0, 1).

    Returns:
        (K,) logits with sum 0: the loss is the same whatever their sum.

    Raises:
        ValueError: if K is below 2 or α outside (0, 1); with hard targets no logits are best.
    """
    if alpha == 0:
        raise ValueError("alpha: with hard targets the loss falls for ever as the logits grow")
    target = smooth_targets(np.array([0]), n_classes, alpha)

    def loss(logits: NDArray[np.float64]) -> float:
        return float(cross_entropy(logits[None], target)[0])

    def gradient(logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(softmax(logits) - target[0])

    def hessian_product(logits: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
        p = np.asarray(softmax(logits))
        return p * direction - p * (p @ direction)

    found = scipy.optimize.minimize(
        loss,
        x0=np.zeros(n_classes),
        jac=gradient,
        hessp=hessian_product,
        method="trust-ncg",
        options={"gtol": 1e-9 * alpha / n_classes},
    )
    return np.asarray(found.x - found.x.mean())


def _probabilities(n_classes: int, alpha: float) -> tuple[float, float]:
    """Target probability of the true class and of each other class."""
    n_classes = integer("n_classes", n_classes, least=2)
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha: expected a number in [0, 1), not {alpha!r}")
    other = alpha / n_classes
    return 1 - alpha + other, other
