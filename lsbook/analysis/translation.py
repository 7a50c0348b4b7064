"""Measures of translation: next-token predictions over temperatures, and BLEU of any choice of sentences.

A prediction is that of one token of a reference, eos counted and padding not, from the source and the reference's
tokens before it. BLEU (Papineni et al. 2002) is in percent, as sacreBLEU gives it (Post 2018).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lsbook.analysis.calibration import confidence_reliability
from lsbook.analysis.checks import array, positive, whole_number
from lsbook.analysis.statistics import Interval

ORDERS = 4  # n-grams of 1 to 4 tokens


class NextTokens(NamedTuple):
    """Predictions of N tokens at T temperatures, in the order of the text.

    confidence (T, N): the largest probability; log_probability (T, N): the reference's, in nats; hit (N,): whether the
    most probable token is the reference, at any temperature; lengths: tokens of each sentence, N together.
    """

    confidence: np.ndarray
    log_probability: np.ndarray
    hit: np.ndarray
    lengths: np.ndarray


class Curves(NamedTuple):
    """Over T temperatures: nll (T,) in nats a token, ece (T,) as a fraction. accuracy does not depend on them."""

    nll: np.ndarray
    ece: np.ndarray
    accuracy: float


def curves(tokens: NextTokens, n_bins: int = 15) -> Curves:
    """NLL, ECE and accuracy of next-token predictions, in float64.

    Raises ValueError when there are no tokens, shapes disagree, or a value is not finite or no probability.
    """
    confidence = array("confidence", tokens.confidence, (None, len(tokens.hit)))
    log_probability = array("log_probability", tokens.log_probability, confidence.shape)
    if log_probability.max() > 0:
        raise ValueError("log_probability: expected values of at most 0")
    ece = [confidence_reliability(row, tokens.hit, n_bins).ece for row in confidence]
    return Curves(-log_probability.mean(axis=1), np.array(ece), float(np.mean(tokens.hit)))


def best_temperature(temperatures: np.ndarray, losses: np.ndarray) -> float:
    """The temperature (T,) of the smallest loss (T,); of equal ones the nearest to 1 by ratio.

    Raises ValueError when a temperature is not above 0 or shapes disagree.
    """
    losses = array("losses", losses, (None,))
    temperatures = array("temperatures", temperatures, losses.shape)
    positive("temperatures", temperatures.min())
    return float(temperatures[np.lexsort((np.abs(np.log(temperatures)), losses))[0]])


def corpus_bleu(statistics: np.ndarray) -> np.ndarray:
    """BLEU (...), in percent, from its sufficient statistics (..., 10), summed over the sentences of each corpus.

    statistics: n-grams of 1 to 4 tokens that the reference has too, all n-grams of these lengths, the translation's
    and the reference's number of tokens. As sacreBLEU: where no n-gram of a length is right, their share is taken as
    1/2, 1/4, … of one (its "exp" smoothing), and BLEU is 0 when no token is right or there is no n-gram of a length.
    Raises ValueError for another shape, negative or not finite values.
    """
    statistics = _counts(statistics)
    right, total = statistics[..., :ORDERS], statistics[..., ORDERS : 2 * ORDERS]
    length, reference = statistics[..., -2], statistics[..., -1]
    missing = right == 0
    smoothed = np.where(missing, 0.5 ** missing.cumsum(axis=-1), right)
    defined = right.any(axis=-1) & (total > 0).all(axis=-1)
    share = np.where(defined[..., None], smoothed, 1) / np.where(defined[..., None], total, 1)
    brevity = np.minimum(0, 1 - reference / np.where(defined, length, 1))
    return np.where(defined, 100 * np.exp(brevity + np.log(share).mean(axis=-1)), 0)


def log_length_ratio(statistics: np.ndarray) -> np.ndarray:
    """log of a translation's over its reference's number of tokens (...), from BLEU's statistics (..., 10) of a corpus.

    Where there is no token at all it is taken for one, so that the logarithm is finite.
    Raises ValueError as `corpus_bleu` does.
    """
    length, reference = np.maximum(1, np.moveaxis(_counts(statistics)[..., -2:], -1, 0))
    return np.log(length / reference)


def _counts(statistics: np.ndarray) -> np.ndarray:
    statistics = np.asarray(statistics, dtype=np.float64)
    if statistics.shape[-1:] != (2 * ORDERS + 2,) or not np.isfinite(statistics).all() or (statistics < 0).any():
        raise ValueError("statistics: expected ten counts in the last axis, at least 0")
    return statistics


def resamples(n_sentences: int, repeats: int = 1_000, seed: int = 0) -> np.ndarray:
    """(repeats, n_sentences) float64: how often each sentence is drawn when as many are drawn with replacement."""
    n_sentences, repeats = whole_number("n_sentences", n_sentences, 1), whole_number("repeats", repeats, 1)
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_sentences, np.full(n_sentences, 1 / n_sentences), repeats).astype(np.float64)


def bootstrap_interval(
    measure: Callable[[np.ndarray], np.ndarray], n_sentences: int, level: float = 0.95, repeats: int = 1_000
) -> Interval:
    """Percentile interval over sentences of a measure of a text, with the measure of the text itself.

    measure: how often each sentence is taken, (R, n_sentences), to one value for each of the R choices.
    Raises ValueError for a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level: expected a number between 0 and 1, not {level!r}")
    [own] = measure(np.ones((1, n_sentences)))
    low, high = np.quantile(measure(resamples(n_sentences, repeats)), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(own), float(low), float(high))
