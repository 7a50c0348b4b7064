"""Measures of translation: next-token predictions over temperatures, and BLEU of any choice of sentences.

A prediction is that of one token of a reference, eos counted and padding not, from the source and the reference's
tokens before it. BLEU (Papineni et al. 2002) is in percent, as sacreBLEU gives it (Post 2018).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsbook.analysis.calibration import confidence_reliability
from lsbook.analysis.checks import floats, integer, positive

ORDERS = 4  # n-grams of 1 to 4 tokens


class NextTokens(NamedTuple):
    """Predictions of N tokens at T temperatures, in the order of the text.

    Attributes:
        confidence: (T, N), the largest probability.
        log_probability: (T, N), that of the reference's token, in nats.
        hit: (N,), whether the most probable token is the reference's, which is so at any temperature or at none.
        lengths: number of tokens of each sentence; their sum is N.
    """

    confidence: np.ndarray
    log_probability: np.ndarray
    hit: np.ndarray
    lengths: np.ndarray


class TemperatureCurves(NamedTuple):
    """How next-token predictions depend on the temperature.

    Attributes:
        nll: (T,), in nats a token.
        ece: (T,), fractions of 1.
        accuracy: a fraction of 1, the same at all temperatures.
    """

    nll: np.ndarray
    ece: np.ndarray
    accuracy: float


def temperature_curves(tokens: NextTokens, n_bins: int = 15) -> TemperatureCurves:
    """Return NLL, ECE (in n_bins bins of equal width) and accuracy of next-token predictions, computed in float64.

    Raises:
        ValueError: if there are no tokens, shapes disagree, or a value is not finite or no probability.
    """
    confidence = floats("confidence", tokens.confidence, (None, len(tokens.hit)))
    log_probability = floats("log_probability", tokens.log_probability, confidence.shape)
    if log_probability.max() > 0:
        raise ValueError("log_probability: expected values of at most 0")
    ece = [confidence_reliability(row, tokens.hit, n_bins).ece for row in confidence]
    return TemperatureCurves(-log_probability.mean(axis=1), np.array(ece), float(np.mean(tokens.hit)))


def best_temperature(temperatures: ArrayLike, losses: ArrayLike) -> float:
    """Return the temperature of the smallest loss; of equal losses the temperature that is nearest to 1 by ratio.

    Args:
        temperatures: (T,), above 0.
        losses: (T,), in any unit.

    Raises:
        ValueError: if T is 0, shapes disagree, a value is not finite or a temperature not above 0.
    """
    losses = floats("losses", losses, (None,))
    temperatures = floats("temperatures", temperatures, losses.shape)
    positive("temperatures", temperatures.min())
    return float(temperatures[np.lexsort((np.abs(np.log(temperatures)), losses))[0]])


def corpus_bleu(statistics: ArrayLike) -> NDArray[np.float64]:
    """Return the BLEU of corpora from its sufficient statistics, as sacreBLEU does with its "exp" smoothing.

    Where no n-gram of a length is right, the share of right ones is taken as 1/2, 1/4, … of one. BLEU is 0 when no
    token is right or there is no n-gram of a length.

    Args:
        statistics: (..., 10), each summed over the sentences of a corpus: the number of n-grams of 1 to 4 tokens that
            the reference has too, the number of all n-grams of these lengths, and the number of tokens of the
            translation and of the reference.

    Returns:
        (...) in percent.

    Raises:
        ValueError: if the last axis has another size or a value is negative or not finite.
    """
    counts = _counts(statistics)
    right, total = counts[..., :ORDERS], counts[..., ORDERS : 2 * ORDERS]
    length, reference = counts[..., -2], counts[..., -1]
    missing = right == 0
    smoothed = np.where(missing, 0.5 ** missing.cumsum(axis=-1), right)
    defined = np.asarray(right.any(axis=-1) & (total > 0).all(axis=-1))
    share = np.where(defined[..., None], smoothed, 1) / np.where(defined[..., None], total, 1)
    brevity = np.minimum(0, 1 - reference / np.where(defined, length, 1))
    return np.where(defined, 100 * np.exp(brevity + np.log(share).mean(axis=-1)), 0)


def log_length_ratio(statistics: ArrayLike) -> NDArray[np.float64]:
    """Return log(tokens of the translation / tokens of the reference) of corpora.

    Args:
        statistics: (..., 10), those of BLEU as `corpus_bleu` takes them. A text without any token is taken to have
            one, so that the logarithm is finite.

    Returns:
        (...), below 0 where translations are shorter.

    Raises:
        ValueError: if the last axis has another size or a value is negative or not finite.
    """
    tokens = np.maximum(1, _counts(statistics)[..., -2:])
    ratio: NDArray[np.float64] = np.log(tokens[..., 0] / tokens[..., 1])
    return ratio


def _counts(statistics: ArrayLike) -> NDArray[np.float64]:
    counts = np.asarray(statistics, dtype=np.float64)
    if counts.shape[-1:] != (2 * ORDERS + 2,) or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("statistics: expected ten counts in the last axis, at least 0")
    return counts


def resamples(n_sentences: int, repeats: int = 1_000, seed: int = 0) -> NDArray[np.float64]:
    """Draw bootstrap samples of a text: how often each sentence is drawn when as many are drawn with replacement.

    Args:
        n_sentences: N, at least 1.
        repeats: R, the number of samples, at least 1.
        seed: of the random numbers; the same seed gives the same samples.

    Returns:
        (R, N) whole numbers, as float64.

    Raises:
        ValueError: if N or R is below 1.
    """
    n_sentences, repeats = integer("n_sentences", n_sentences, 1), integer("repeats", repeats, 1)
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_sentences, np.full(n_sentences, 1 / n_sentences), repeats).astype(np.float64)
