"""Selective prediction: scores, and how well they tell correct predictions from wrong ones.

The measures are risk and coverage, AURC, AUGRC and AUROC. A score orders predictions by trust, the larger the more
trusted; only its order matters. Risks, coverages and areas are fractions of 1. Everything is computed in float64.
Scores that were rounded before, such as confidences kept in float16, tie where they need not.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from lsbook.analysis.checks import booleans, class_indices, floats, fraction, positive

# Norms that `fit_normalisation` tries.
NORMS = range(1, 11)


class Normalisation(NamedTuple):
    """How logits are normalised: by their p-norm, after their mean over the classes was subtracted (centred) or not."""

    p: int
    centred: bool


def risk_coverage(score: ArrayLike, correct: ArrayLike) -> NDArray[np.float64]:
    """Return the risk at coverage n/N for n = 1 … N: the share of errors among the n predictions of largest score.

    Equal scores count as their mean over all orders: after a errors, j of m equal scores with e errors among them have
    a + j e/m errors on average. Each risk is one division of whole numbers, so the nearest float64 there is.

    Args:
        score: (N,), the larger the more trusted.
        correct: (N,), whether each prediction is right, as Booleans or 0 and 1.

    Returns:
        (N,) fractions of 1; the last is the error rate.

    Raises:
        ValueError: if N is 0, shapes disagree, a score is not finite or `correct` holds another value.
    """
    score = floats("score", score, (None,))
    correct = booleans("correct", correct, len(score))
    _, group, size = np.unique(-score, return_inverse=True, return_counts=True)
    errors = np.bincount(group[~correct], minlength=len(size))
    errors_before, start = errors.cumsum() - errors, size.cumsum() - size
    n = np.arange(1, len(score) + 1)
    group = np.repeat(np.arange(len(size)), size)  # that of the n-th most trusted
    expected = errors_before[group] * size[group] + (n - start[group]) * errors[group]
    return np.asarray(expected / (n * size[group]))


def risk_by_hundredths(score: ArrayLike, correct: ArrayLike) -> NDArray[np.float64]:
    """Return the risk at a coverage of 1 % to 100 %: at c % that of the round(c N / 100) most trusted, at least one.

    Args:
        score: (N,), the larger the more trusted; equal scores count as their mean over all orders.
        correct: (N,), whether each prediction is right, as Booleans or 0 and 1.

    Returns:
        (100,) fractions of 1.

    Raises:
        ValueError: if N is 0, shapes disagree, a score is not finite or `correct` holds another value.
    """
    risk = risk_coverage(score, correct)
    accepted = np.maximum(np.round(np.arange(1, 101) * len(risk) / 100).astype(int), 1)
    return np.asarray(risk[accepted - 1])


def aurc(score: ArrayLike, correct: ArrayLike) -> float:
    """Return the area under the risk-coverage curve, (1/N) Σ_n risk_n (Geifman and El-Yaniv 2017).

    Args:
        score: (N,), the larger the more trusted; equal scores count as their mean over all orders.
        correct: (N,), whether each prediction is right, as Booleans or 0 and 1.

    Returns:
        A fraction of 1, 0 where all predictions are right.

    Raises:
        ValueError: if N is 0, shapes disagree, a score is not finite or `correct` holds another value.
    """
    return float(risk_coverage(score, correct).mean())


def augrc(score: ArrayLike, correct: ArrayLike) -> float:
    """Return the area under the generalised risk-coverage curve, (1/N) Σ_n (n/N) risk_n (Traub et al. 2024).

    It is the share of all predictions that are both accepted and wrong, averaged over the coverages.

    Args:
        score: (N,), the larger the more trusted; equal scores count as their mean over all orders.
        correct: (N,), whether each prediction is right, as Booleans or 0 and 1.

    Returns:
        A fraction of 1, from 0 where all predictions are right to (1 + 1/N)/2 where all are wrong.

    Raises:
        ValueError: if N is 0, shapes disagree, a score is not finite or `correct` holds another value.
    """
    risk = risk_coverage(score, correct)
    return float(np.mean(_coverages(len(risk)) * risk))


def coverage_at_risk(score: ArrayLike, correct: ArrayLike, risk: float = 0.05) -> float:
    """Return the largest coverage n/N at which the risk is at most `risk`, or 0 if there is none.

    A smaller coverage may have a larger risk: the curve need not rise everywhere.

    Args:
        score: (N,), the larger the more trusted; equal scores count as their mean over all orders.
        correct: (N,), whether each prediction is right, as Booleans or 0 and 1.
        risk: the admissible share of errors, from 0 to 1.

    Raises:
        ValueError: if N is 0, shapes disagree, a score is not finite, `correct` holds another value or `risk` is not
            from 0 to 1.
    """
    risks = risk_coverage(score, correct)
    (admissible,) = np.nonzero(risks <= fraction("risk", risk))
    return float((admissible[-1] + 1) / len(risks)) if admissible.size else 0.0


def risk_at_coverage(score: ArrayLike, correct: ArrayLike, coverage: float = 0.8) -> float:
    """Return the risk, a fraction of 1, at the smallest coverage n/N that is at least `coverage`: n = ⌈coverage · N⌉.

    Args:
        score: (N,), the larger the more trusted; equal scores count as their mean over all orders.
        correct: (N,), whether each prediction is right, as Booleans or 0 and 1.
        coverage: the share of predictions to accept, from 0 (then one is accepted) to 1.

    Raises:
        ValueError: if N is 0, shapes disagree, a score is not finite, `correct` holds another value or `coverage` is
            not from 0 to 1.
    """
    risk = risk_coverage(score, correct)
    return float(risk[np.searchsorted(_coverages(len(risk)), fraction("coverage", coverage))])


def ranking_auroc(score: ArrayLike, correct: ArrayLike) -> float:
    """Return the AUROC of right against wrong predictions: how often a right one has a larger score than a wrong one.

    Equal scores count ½. 0.5 is chance and 1 a perfect ranking, whatever the accuracy.

    Args:
        score: (N,), the larger the more trusted.
        correct: (N,), whether each prediction is right, as Booleans or 0 and 1.

    Raises:
        ValueError: if shapes disagree, a score is not finite, `correct` holds another value, or all predictions are
            right or all wrong.
    """
    score = floats("score", score, (None,))
    correct = booleans("correct", correct, len(score))
    if correct.all() or not correct.any():
        raise ValueError("correct: all predictions are right or all are wrong, so there is nothing to tell apart")
    return auroc(score[correct], score[~correct])


def auroc(positive_scores: ArrayLike, negative_scores: ArrayLike) -> float:
    """Return the area under the ROC curve: P(positive > negative) + P(equal)/2 over all N·M pairs of scores.

    Args:
        positive_scores: (N,), such as those of in-distribution images.
        negative_scores: (M,), such as those of out-of-distribution images.

    Raises:
        ValueError: if N or M is 0 or a score is not finite.
    """
    positives = floats("positive_scores", positive_scores, (None,))
    negatives = np.sort(floats("negative_scores", negative_scores, (None,)))
    below, up_to = (int(np.searchsorted(negatives, positives, side).sum()) for side in ("left", "right"))
    return (below + up_to) / (2 * len(positives) * len(negatives))


def max_probability(logits: ArrayLike) -> NDArray[np.float64]:
    """Score predictions by the log-odds log(p / (1 − p)) of the largest probability p = max_k softmax(z)_k.

    They order predictions as p does (the maximum softmax probability, MSP, of Hendrycks and Gimpel 2017). But p rounds
    to 1 in float64 where the largest logit leads by 37 nats, 17 in float32, so that the most confident predictions
    would tie; the log-odds, −log Σ_k exp(z_k − z_max) over the other classes k, do not.

    Args:
        logits: (N, K), in nats.

    Returns:
        (N,) scores in nats.

    Raises:
        ValueError: if N is 0, a logit is not finite or K is below 2.
    """
    logits = _logits(logits)
    rows, largest = np.arange(len(logits)), logits.argmax(axis=1)
    others = logits - logits[rows, largest][:, None]
    others[rows, largest] = -np.inf
    return np.asarray(-logsumexp(others, axis=1))


def max_logit(logits: ArrayLike) -> NDArray[np.float64]:
    """Score predictions by their largest logit, max_k z_k.

    Args:
        logits: (N, K), in nats.

    Returns:
        (N,) scores in nats.

    Raises:
        ValueError: if N is 0, a logit is not finite or K is below 2.
    """
    return np.asarray(_logits(logits).max(axis=1))


def normalised_max_logit(logits: ArrayLike, p: float, centred: bool) -> NDArray[np.float64]:
    """Score predictions by their largest normalised logit, max_k z_k / ‖z‖_p (Cattelan and Silva 2024).

    Scores are rounded to 12 decimals, so that those tie which are equal: with p = 1 a centred row scores ½ wherever one
    logit alone is above the mean, and two centred logits always score the same.

    Args:
        logits: (N, K), in nats.
        p: the norm's exponent, above 0.
        centred: whether to subtract each row's mean over the classes first.

    Returns:
        (N,) scores from −1 to 1, 0 for a row of zeros.

    Raises:
        ValueError: if N is 0, a logit is not finite, K is below 2 or p is not above 0.
    """
    logits, p = _logits(logits), positive("p", p)
    if centred:
        logits = logits - logits.mean(axis=1, keepdims=True)
    # The largest absolute values, so that no power overflows.
    scale = np.maximum(np.max(logits, axis=1, keepdims=True), -np.min(logits, axis=1, keepdims=True))
    powers = logits / np.where(scale > 0, scale, 1)
    largest = powers.max(axis=1)
    np.abs(powers, out=powers)
    powers **= p
    norm = np.sum(powers, axis=1) ** (1 / p)
    return np.asarray(np.round(largest / np.where(norm > 0, norm, 1), 12))


def energy(logits: ArrayLike) -> NDArray[np.float64]:
    """Score predictions by log Σ_k exp z_k, which is minus the energy of Liu et al. (2020).

    Args:
        logits: (N, K), in nats.

    Returns:
        (N,) scores in nats, the larger the more like the training data.

    Raises:
        ValueError: if N is 0, a logit is not finite or K is below 2.
    """
    return np.asarray(logsumexp(_logits(logits), axis=1))


def fit_normalisation(logits: ArrayLike, labels: ArrayLike) -> Normalisation:
    """Choose p from 1 … 10 and centring so that `normalised_max_logit` has the smallest AURC (Cattelan and Silva 2024).

    Of equal ones it takes the smallest p, and for that the centred. A prediction is argmax_k z_k, the first of equals.

    Args:
        logits: (N, K), in nats, from examples the network was not trained on.
        labels: (N,) class indices.

    Raises:
        ValueError: if N is 0, shapes disagree, a logit is not finite, a label is out of range or K is below 2.
    """
    logits = _logits(logits)
    labels = class_indices(labels, *logits.shape)
    correct = logits.argmax(axis=1) == labels
    choices = [Normalisation(p, centred) for p in NORMS for centred in (True, False)]
    return min(choices, key=lambda choice: aurc(normalised_max_logit(logits, *choice), correct))


def _coverages(n: int) -> NDArray[np.float64]:
    return np.arange(1, n + 1) / n


def _logits(logits: ArrayLike) -> NDArray[np.float64]:
    found = floats("logits", logits, (None, None))
    if found.shape[1] < 2:
        raise ValueError("logits: expected two classes or more")
    return found
