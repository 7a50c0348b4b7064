"""How well a score tells right predictions from wrong ones: risk and coverage, AURC, AUGRC, AUROC; and such scores.

A score orders predictions by trust, the larger the more trusted; only its order matters. Risks, coverages and areas are
fractions of 1. Computed in float64: scores rounded before, as confidences kept in float16, tie that need not.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from lsbook.analysis.checks import array, fraction, logits_and_labels, outcomes, positive

# Norms that `fit_normalisation` tries: those of Cattelan and Silva (2024).
NORMS = range(1, 11)


class Normalisation(NamedTuple):
    """How logits are normalised: by their p-norm, after their mean was taken off or not."""

    p: int
    centred: bool


def risk_coverage(score: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Risk at coverage n/N for n = 1 … N, (N,): the share of errors among the n predictions of the largest scores.

    score: (N,); correct: (N,), Booleans or 0 and 1. Equal scores count as their mean over all orders: with a errors
    before m equal ones that have e errors, a + j e/m are expected after j of them. Each risk is one division of whole
    numbers, so the closest float64 there is.
    Raises ValueError when N is 0, shapes disagree, a score is not finite, or `correct` holds another value.
    """
    score = array("score", score, (None,))
    correct = outcomes("correct", correct, len(score))
    _, group, size = np.unique(-score, return_inverse=True, return_counts=True)
    errors = np.bincount(group[~correct], minlength=len(size))
    errors_before, start = errors.cumsum() - errors, size.cumsum() - size
    n = np.arange(1, len(score) + 1)
    group = np.repeat(np.arange(len(size)), size)  # that of the n-th most trusted
    expected = errors_before[group] * size[group] + (n - start[group]) * errors[group]
    return expected / (n * size[group])


def aurc(score: np.ndarray, correct: np.ndarray) -> float:
    """Area under the risk-coverage curve, (1/N) Σ_n risk_n (Geifman and El-Yaniv 2017).

    Arguments and errors as for `risk_coverage`.
    """
    return float(risk_coverage(score, correct).mean())


def augrc(score: np.ndarray, correct: np.ndarray) -> float:
    """Area under the generalised risk-coverage curve, (1/N) Σ_n (n/N) risk_n (Traub et al. 2024).

    The mean, over coverages, of the share of all predictions that are accepted and wrong: 0 to ½ where N is large.
    Arguments and errors as for `risk_coverage`.
    """
    risk = risk_coverage(score, correct)
    return float(np.mean(_coverage(len(risk)) * risk))


def coverage_at_risk(score: np.ndarray, correct: np.ndarray, risk: float = 0.05) -> float:
    """The largest coverage n/N whose risk is at most `risk`, a fraction; 0 where there is none.

    The curve need not rise everywhere: smaller coverages may have a larger risk.
    Arguments and errors as for `risk_coverage`; also ValueError when `risk` is not in [0, 1].
    """
    (admissible,) = np.nonzero(risk_coverage(score, correct) <= fraction("risk", risk))
    return float((admissible[-1] + 1) / len(score)) if admissible.size else 0.0


def risk_at_coverage(score: np.ndarray, correct: np.ndarray, coverage: float = 0.8) -> float:
    """The risk at the smallest coverage n/N, n ≥ 1, that is at least `coverage`, a fraction: n = ⌈coverage · N⌉.

    Arguments and errors as for `risk_coverage`; also ValueError when `coverage` is not in [0, 1].
    """
    risk = risk_coverage(score, correct)
    return float(risk[np.searchsorted(_coverage(len(risk)), fraction("coverage", coverage))])


def ranking_auroc(score: np.ndarray, correct: np.ndarray) -> float:
    """AUROC of right against wrong predictions: how often a right one has the larger score, equal ones counting ½.

    ½ is chance and 1 a perfect ranking, whatever the accuracy. Arguments and errors as for `risk_coverage`; also
    ValueError when all predictions are right or all are wrong.
    """
    score = array("score", score, (None,))
    correct = outcomes("correct", correct, len(score))
    if correct.all() or not correct.any():
        raise ValueError("correct: all predictions are right or all are wrong, so there is nothing to tell apart")
    return auroc(score[correct], score[~correct])


def auroc(positive_scores: np.ndarray, negative_scores: np.ndarray) -> float:
    """Area under the ROC curve: P(positive > negative) + P(equal)/2 over all pairs of a positive and a negative score.

    positive_scores: (N,), as of images from the distribution trained on; negative_scores: (M,), as of images that are
    not. Raises ValueError when N or M is 0 or a score is not finite.
    """
    positives = array("positive_scores", positive_scores, (None,))
    negatives = np.sort(array("negative_scores", negative_scores, (None,)))
    below, up_to = (int(np.searchsorted(negatives, positives, side).sum()) for side in ("left", "right"))
    return (below + up_to) / (2 * len(positives) * len(negatives))


def max_probability(logits: np.ndarray) -> np.ndarray:
    """Score (N,) that orders as the largest probability p = max_k softmax(z)_k does: its log-odds log(p / (1 − p)).

    Computed as −log Σ_k exp(z_k − z_max), k over the other classes. p itself rounds to 1 where the largest logit leads
    by 37 nats in float64 or 17 in float32, so that the most confident predictions would tie; the log-odds do not.
    logits: (N, K), in nats. Raises ValueError when N is 0, a logit is not finite, or K is below 2.
    """
    logits = _logits(logits)
    rows, largest = np.arange(len(logits)), logits.argmax(axis=1)
    others = logits - logits[rows, largest][:, None]
    others[rows, largest] = -np.inf
    return -logsumexp(others, axis=1)


def max_logit(logits: np.ndarray) -> np.ndarray:
    """Score max_k z_k (N,) of logits z (N, K), in nats. Raises ValueError as `max_probability`."""
    return _logits(logits).max(axis=1)


def normalised_max_logit(logits: np.ndarray, p: float, centred: bool) -> np.ndarray:
    """Score max_k z_k / ‖z‖_p (N,) of logits z (N, K), less their mean over the classes if `centred`.

    Cattelan and Silva (2024). 0 where all that is left of z is 0. Rounded to 12 decimals, so that what is equal ties:
    for p = 1 it is ½ wherever one centred logit alone is above 0, and of two centred logits it is always the same.
    Raises ValueError as `max_probability`, and when p is not above 0.
    """
    logits, p = _logits(logits), positive("p", p)
    if centred:
        logits = logits - logits.mean(axis=1, keepdims=True)
    scale = np.abs(logits).max(axis=1, keepdims=True)  # so that no power overflows
    scaled = logits / np.where(scale > 0, scale, 1)
    norm = np.sum(np.abs(scaled) ** p, axis=1) ** (1 / p)
    return np.round(scaled.max(axis=1) / np.where(norm > 0, norm, 1), 12)


def energy(logits: np.ndarray) -> np.ndarray:
    """Score log Σ_k exp z_k (N,) of logits z (N, K), in nats: minus the energy of Liu et al. (2020).

    Raises ValueError as `max_probability`.
    """
    return logsumexp(_logits(logits), axis=1)


def fit_normalisation(logits: np.ndarray, labels: np.ndarray) -> Normalisation:
    """The normalisation, p = 1 … 10 and centred or not, by which `normalised_max_logit` has the smallest AURC.

    Of equals the smallest p, and of the same p centred. logits: (N, K), from examples the network was not trained on;
    labels: (N,). A prediction is argmax_k z_k, the first of equals.
    Raises ValueError when N is 0, shapes disagree, a logit is not finite, a label is out of range, or K is below 2.
    """
    logits, labels = logits_and_labels(_logits(logits), labels)
    correct = logits.argmax(axis=1) == labels
    choices = [Normalisation(p, centred) for p in NORMS for centred in (True, False)]
    return min(choices, key=lambda choice: aurc(normalised_max_logit(logits, *choice), correct))


def _coverage(n: int) -> np.ndarray:
    return np.arange(1, n + 1) / n


def _logits(logits) -> np.ndarray:
    logits = array("logits", logits, (None, None))
    if logits.shape[1] < 2:
        raise ValueError("logits: expected two classes or more")
    return logits
