"""Calibration errors, the Brier score and temperature scaling (Guo et al. 2017; Müller et al. 2019, section 3).

Confidences, accuracies and calibration errors are fractions of 1; a negative log-likelihood is in nats.
Computed in float64, whatever the type of the input.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import scipy  # whose parts load when first used
from numpy.typing import ArrayLike, NDArray

from lsbook.analysis.checks import (
    SUM_TOLERANCE,
    array,
    booleans,
    class_indices,
    distributions,
    floats,
    integer,
    logits_and_labels,
    positive,
)

# Where temperatures are sought: the paper's are between 1 and 2.
SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE = 1e-2, 1e2

# Of how many examples `fit_temperature` makes a first guess where there are many, and how far log T may be from it.
GUESSED_FROM, GUESS_WIDTH = 2_000, 0.1

# Temperatures that `fit_temperature_by_ece` tries around the best so far: how many on either side, how many an octave.
ECE_SEARCH = ((24, 8), (8, 64), (8, 512))

# Halvings by which `smooth_ece` seeks its kernel's width, and a width below which it does not look: relplot's.
SMOOTH_ECE_STEPS, SMALLEST_WIDTH = 10, 1e-3

# Logits in a block of rows: 1 MB in float64, small beside the logits of any data set and near the size of a cache.
BLOCK_SIZE = 2**17

# Below it an exponential is subnormal or 0, which takes processors many times as long. Beside 1 it is nothing.
LEAST_EXPONENT = -700.0


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram, or the K diagrams of `classwise_reliability`, whose errors are those of all K·N pairs.

    Attributes:
        confidence: (n_bins,) or (K, n_bins), the mean of each bin, a fraction of 1; NaN where it is empty.
        accuracy: of the same shape, the share of correct predictions in each bin; NaN where it is empty.
        count: of the same shape, the number of examples in each bin.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.integer]

    @property
    def ece(self) -> float:
        """Expected calibration error Σ_b n_b/N · |acc_b − conf_b|, a fraction of 1; an empty bin has no weight."""
        return self._average(np.abs(self.accuracy - self.confidence))

    @property
    def mce(self) -> float:
        """Maximum calibration error max_b |acc_b − conf_b| of bins that are not empty (Guo et al. 2017), in 0 … 1."""
        return float(np.nanmax(np.abs(self.accuracy - self.confidence)))

    @property
    def ece_if_calibrated(self) -> float:
        """ECE that chance alone gives: its mean if each bin's accuracy were drawn with the bin's confidence.

        Σ_b n_b/N · √(2/π · conf_b (1 − conf_b) / n_b), the mean absolute value of a normal distribution with the
        binomial's variance. An ECE near it is no sign of miscalibration. Do not subtract it from a larger ECE: chance
        adds less to a bin that is off.
        """
        variance = self.confidence * (1 - self.confidence)
        return self._average(np.sqrt(2 / np.pi * variance / np.maximum(self.count, 1)))

    @property
    def debiased_squared_error(self) -> float:
        """Bias-corrected squared calibration error of Kumar, Liang and Ma (2019), a fraction of 1.

        Σ_b n_b/N · [(acc_b − conf_b)² − acc_b (1 − acc_b) / (n_b − 1)] estimates
        Σ_b P(b) · E[correct − confidence | b]², without the chance that inflates `ece`; the root of that is an l2
        error, at least as large as the l1 error of the same bins. It says nothing of errors that cancel within a bin.
        For calibrated models it is about as often below 0 as not, so average it before taking a root.

        Unbiased where the confidences of a bin are equal; otherwise its mean is off by Σ_b (var_b − 2 cov_b) / N, var_b
        of the confidence and cov_b of it with correctness: for a calibrated model and bins of equal width by −1/(4
        n_bins N) at most. A bin of one example, whose error cannot be told from chance, adds 0.
        """
        chance = self.accuracy * (1 - self.accuracy) / np.maximum(self.count - 1, 1)
        square = (self.accuracy - self.confidence) ** 2
        return self._average(np.where(self.count == 1, 0, square - chance))

    def _average(self, values: NDArray[np.float64]) -> float:
        """Mean of the bins' values over the examples."""
        filled = self.count > 0
        return float(np.average(values[filled], weights=self.count[filled]))


class BrierScore(NamedTuple):
    """Brier score and its decomposition, each summed over the classes, so that the score is from 0 to 2.

    Attributes:
        reliability: what miscalibration adds (Murphy 1973).
        resolution: what telling examples apart takes away.
        uncertainty: the score of always forecasting the classes' shares.
        within_bin: what forecasts that differ within a bin add (Stephenson, Coelho and Jolliffe 2008).
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_bin: float

    @property
    def score(self) -> float:
        """Brier score (1/N) Σ_n Σ_k (p_nk − [k is n's label])² = reliability − resolution + uncertainty + within."""
        return self.reliability - self.resolution + self.uncertainty + self.within_bin


def reliability(probabilities: ArrayLike, labels: ArrayLike, n_bins: int = 15, equal_mass: bool = False) -> Reliability:
    """Return the reliability of the prediction argmax_k p_k (the first of equals), whose confidence is max_k p_k.

    Args:
        probabilities: (N, K), rows with sum 1 within the rounding of float16.
        labels: (N,) class indices.
        n_bins: number of bins, in the paper 15.
        equal_mass: whether bins have equal numbers of examples in place of equal widths.

    Raises:
        ValueError: if N is 0, shapes disagree, a row is no distribution, a label is out of range, or n_bins < 1.
    """
    probabilities = distributions("probabilities", probabilities)
    labels = class_indices(labels, *probabilities.shape)
    correct = probabilities.argmax(axis=1) == labels
    return confidence_reliability(probabilities.max(axis=1), correct, n_bins, equal_mass)


def classwise_reliability(
    probabilities: ArrayLike, labels: ArrayLike, n_bins: int = 15, equal_mass: bool = False
) -> Reliability:
    """Return the reliability of each class's probability as the confidence that the label is this class.

    Its `.ece` is the class-wise ECE (1/K) Σ_k Σ_b n_kb/N · |acc_kb − conf_kb| of Kull et al. (2019), which Nixon et
    al. (2019) call the static, and with bins of equal mass the adaptive, calibration error.

    Args:
        probabilities: (N, K), rows with sum 1 within the rounding of float16.
        labels: (N,) class indices.
        n_bins: number of bins of each class.
        equal_mass: whether bins have equal numbers of examples in place of equal widths.

    Returns:
        K diagrams, whose arrays are (K, n_bins).

    Raises:
        ValueError: if N is 0, shapes disagree, a row is no distribution, a label is out of range, or n_bins < 1.
    """
    probabilities = distributions("probabilities", probabilities)
    labels = class_indices(labels, *probabilities.shape)
    n_bins = integer("n_bins", n_bins, least=1)
    if not equal_mass:
        return _classwise_equal_width(probabilities, labels, n_bins)
    classes = [
        confidence_reliability(column, labels == label, n_bins, equal_mass)
        for label, column in enumerate(probabilities.T)
    ]
    return Reliability(
        confidence=np.stack([one.confidence for one in classes]),
        accuracy=np.stack([one.accuracy for one in classes]),
        count=np.stack([one.count for one in classes]),
    )


def _classwise_equal_width(probabilities: np.ndarray, labels: NDArray[np.integer], n_bins: int) -> Reliability:
    """Count the pairs of all classes at once, blocks of rows after each other."""
    n, n_classes = probabilities.shape
    size = n_classes * n_bins
    edges, first_bins = equal_widths(n_bins), n_bins * np.arange(n_classes)
    count, confidence = np.zeros(size, dtype=np.int64), np.zeros(size)
    step = max(n_bins, BLOCK_SIZE // n_classes)
    for start in range(0, n, step):
        block = np.minimum(probabilities[start : start + step].astype(np.float64), 1)
        bins = np.tile(first_bins, (len(block), 1))
        above = block > edges[0] if len(edges) else np.zeros(block.shape, dtype=bool)  # few of many classes
        bins[above] += np.searchsorted(edges, block[above])
        bins = bins.ravel()
        count += np.bincount(bins, minlength=size)
        confidence += np.bincount(bins, block.ravel(), minlength=size)
    true = probabilities[np.arange(n), labels].astype(np.float64)
    accuracy = np.bincount(np.searchsorted(edges, true) + first_bins[labels], minlength=size)
    sums = np.stack([confidence, accuracy])
    means = np.divide(sums, count, where=count > 0, out=np.full(sums.shape, np.nan))
    return Reliability(*(values.reshape(n_classes, n_bins) for values in (*means, count)))


def confidence_reliability(
    confidence: ArrayLike, correct: ArrayLike, n_bins: int = 15, equal_mass: bool = False
) -> Reliability:
    """Return the reliability of predictions from their confidences and whether they are correct.

    Bin b is (upper edge of the bin before, its own upper edge], 0 belonging to the first. Edges are (b + 1)/n_bins,
    or with equal_mass the ⌈N (b + 1)/n_bins⌉-th smallest confidence. So equal confidences share a bin: without ties
    the bins' counts differ by at most 1, with ties the first of them takes all and others may be empty.

    Args:
        confidence: (N,), fractions of 1; what rounding put above 1 counts as 1.
        correct: (N,), whether each prediction is right, as Booleans or 0 and 1.
        n_bins: number of bins, in the paper 15.
        equal_mass: whether bins have equal numbers of examples in place of equal widths.

    Raises:
        ValueError: if N is 0, shapes disagree, a value is not from 0 to 1, or n_bins < 1.
    """
    n_bins = integer("n_bins", n_bins, least=1)
    confidence, correct = _forecasts(confidence, correct)
    if equal_mass:
        ranks = -(-len(confidence) * np.arange(1, n_bins) // n_bins) - 1
        edges = np.partition(confidence, ranks)[ranks]
    else:
        edges = equal_widths(n_bins)
    bins = np.searchsorted(edges, confidence, side="left")
    count = np.bincount(bins, minlength=n_bins)
    sums = np.stack([np.bincount(bins, values, minlength=n_bins) for values in (confidence, correct)])
    means = np.divide(sums, count, where=count > 0, out=np.full(sums.shape, np.nan))
    return Reliability(confidence=means[0], accuracy=means[1], count=count)


def equal_widths(n_bins: int) -> NDArray[np.float64]:
    """Return the edges (n_bins − 1,) between bins of equal width of [0, 1], each the largest confidence of its bin."""
    return np.arange(1, n_bins) / n_bins


def expected_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, n_bins: int = 15, equal_mass: bool = False
) -> float:
    """Return the expected calibration error Σ_b n_b/N · |acc_b − conf_b|, a fraction of 1 (Guo et al. 2017).

    Args:
        probabilities: (N, K), rows with sum 1 within the rounding of float16.
        labels: (N,) class indices.
        n_bins: number of bins, in the paper 15.
        equal_mass: whether bins have equal numbers of examples in place of equal widths.

    Raises:
        ValueError: if N is 0, shapes disagree, a row is no distribution, a label is out of range, or n_bins < 1.
    """
    return reliability(probabilities, labels, n_bins, equal_mass).ece


def brier_score(probabilities: ArrayLike, labels: ArrayLike, n_bins: int = 15, equal_mass: bool = False) -> BrierScore:
    """Return the Brier score, decomposed (Murphy 1973) by `classwise_reliability`.

    With base_k the share of class k among the labels, and summed over the classes:
    reliability Σ_b n_b/N · (conf_b − acc_b)², resolution Σ_b n_b/N · (acc_b − base_k)², uncertainty
    base_k (1 − base_k). Murphy's identity holds for forecasts that are equal within each bin; otherwise what is left
    is within_bin = Σ_b n_b/N · (var_b − 2 cov_b), var_b of the forecasts and cov_b of them with the outcome
    (Stephenson, Coelho and Jolliffe 2008), and the four terms make up the score exactly.

    Args:
        probabilities: (N, K), rows with sum 1 within the rounding of float16.
        labels: (N,) class indices.
        n_bins: number of bins of each class.
        equal_mass: whether bins have equal numbers of examples in place of equal widths.

    Raises:
        ValueError: if N is 0, shapes disagree, a row is no distribution, a label is out of range, or n_bins < 1.
    """
    diagrams = classwise_reliability(probabilities, labels, n_bins, equal_mass)
    confidence, accuracy = diagrams.confidence, diagrams.accuracy
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    weight = diagrams.count / len(labels)
    base = (np.bincount(labels, minlength=len(weight)) / len(labels))[:, np.newaxis]
    squares = np.einsum("nk,nk->", probabilities, probabilities, dtype=np.float64) / len(labels)
    true = probabilities[np.arange(len(labels)), labels].mean(dtype=np.float64)
    variance = squares - np.nansum(weight * confidence**2)
    covariance = true - np.nansum(weight * confidence * accuracy)
    return BrierScore(
        reliability=float(np.nansum(weight * (confidence - accuracy) ** 2)),
        resolution=float(np.nansum(weight * (accuracy - base) ** 2)),
        uncertainty=float(np.sum(base * (1 - base))),
        within_bin=float(variance - 2 * covariance),
    )


def smooth_ece(confidence: ArrayLike, correct: ArrayLike, whole_ends: bool = False) -> float:
    """Return the smooth ECE, smECE: a calibration error that has no bins but a kernel as wide as the error itself.

    Błasiok and Nakkiran (2024): with a Gaussian kernel K_σ reflected at 0 and 1, smECE_σ is the integral of
    |(1/N) Σ_n K_σ(t, confidence_n) (confidence_n − correct_n)| over t from 0 to 1. smECE is its value at the smallest
    width σ among 2/1024, 3/1024 … 1 that is not below smECE_σ, sought by bisection. By default the sums are those of
    the authors' package relplot (1.0.3), its grids included.

    Args:
        confidence: (N,), fractions of 1; what rounding put above 1 counts as 1.
        correct: (N,), whether each prediction is right, as Booleans or 0 and 1.
        whole_ends: whether to give confidences near 0 and 1 their whole weight, as defined. relplot's reflection counts
            what its grid has at the ends once, not twice, so that confidences within a cell of 1 (above 0.999) lose up
            to half their weight: the error of a network that is mostly so confident, and right, comes out too large, up
            to twice.

    Returns:
        A fraction of 1.

    Raises:
        ValueError: if N is 0, shapes disagree or a value is not from 0 to 1.
    """
    forecast, outcome = _forecasts(confidence, correct)
    residual = forecast - outcome

    def error(width: float) -> float:
        return _smoothed_error(forecast, residual, width, whole_ends)

    above, below = 1.0, 0.0
    if error(above) > above:
        return error(above)
    for _ in range(SMOOTH_ECE_STEPS):
        width = (above + below) / 2
        if width < SMALLEST_WIDTH or width < error(width):
            below = width
        else:
            above = width
    return error(above)


def _smoothed_error(
    confidence: NDArray[np.float64], residual: NDArray[np.float64], width: float, whole_ends: bool
) -> float:
    """The smECE at one width: the smoothed residuals' sizes, summed, over the smoothed numbers of confidences."""
    n_cells = max(2_000, round(20 / width)) // 2
    position = confidence * n_cells
    cell = np.minimum(position.astype(int), n_cells - 1)
    share = position - cell
    points = np.concatenate([cell, cell + 1])
    weights = np.concatenate([1 - share, share])
    values = np.stack([np.bincount(points, weights * np.tile(of, 2), n_cells + 1) for of in (residual, residual**0)])
    if whole_ends:
        values[:, [0, -1]] *= 2
    kernel = np.exp(-0.5 * ((np.linspace(0, 1, n_cells + 1) - 0.5) / width) ** 2)
    mirrored = np.concatenate([values[:, :0:-1], values, values[:, -2::-1]], axis=1)
    size = scipy.fft.next_fast_len(mirrored.shape[1] + n_cells, real=True)
    first = n_cells + (n_cells + 1) // 2
    spectrum = scipy.fft.rfft(mirrored, size) * scipy.fft.rfft(kernel, size)
    smoothed = scipy.fft.irfft(spectrum, size)[:, first : first + n_cells + 1]
    mesh = np.linspace(0, 1, max(round(10 / width), 200))
    weight = np.ones(len(mesh))
    if whole_ends:
        weight[[0, -1]] = 0.5
    grid = np.linspace(0, 1, n_cells + 1)
    residuals, count = (np.interp(mesh, grid, row) for row in smoothed)
    return float(weight @ np.abs(residuals) / (weight @ count))


class IsotonicDecomposition(NamedTuple):
    """Terms of the Brier score (1/N) Σ_n (confidence_n − correct_n)² of confidences alone, each from 0 to 1.

    Attributes:
        miscalibration: what recalibration by an isotonic fit would take away.
        discrimination: what that fit gains over forecasting the accuracy of all.
        uncertainty: a (1 − a) at accuracy a, the score of that forecast.
    """

    miscalibration: float
    discrimination: float
    uncertainty: float

    @property
    def score(self) -> float:
        """Brier score of the confidences: miscalibration − discrimination + uncertainty."""
        return self.miscalibration - self.discrimination + self.uncertainty


def isotonic_decomposition(confidence: ArrayLike, correct: ArrayLike) -> IsotonicDecomposition:
    """Decompose the Brier score of confidences without bins (CORP; Dimitriadis, Gneiting and Jordan 2021).

    With c_n the isotonic regression of `correct` on `confidence` (pool adjacent violators, equal confidences pooled)
    and a the accuracy, miscalibration is the Brier score of the confidences less that of the c_n, discrimination
    a (1 − a) less that of the c_n, and uncertainty a (1 − a). None is below 0, rounding apart.

    Args:
        confidence: (N,), fractions of 1; what rounding put above 1 counts as 1.
        correct: (N,), whether each prediction is right, as Booleans or 0 and 1.

    Raises:
        ValueError: if N is 0, shapes disagree or a value is not from 0 to 1.
    """
    confidence, correct = _forecasts(confidence, correct)
    _, index, count = np.unique(confidence, return_inverse=True, return_counts=True)
    fitted = scipy.optimize.isotonic_regression(np.bincount(index, correct) / count, weights=count).x[index]
    accuracy = correct.mean()
    return IsotonicDecomposition(
        miscalibration=float(np.mean((confidence - correct) ** 2 - (fitted - correct) ** 2)),
        discrimination=float(np.mean((fitted - accuracy) ** 2)),
        uncertainty=float(accuracy * (1 - accuracy)),
    )


def softmax(logits: ArrayLike, temperature: float = 1) -> NDArray[np.float64]:
    """Return the probabilities exp(z_k / T) / Σ_j exp(z_j / T) of logits z at a temperature T, in float64.

    Where a logit is largest, so is its probability. The result is the one copy made.

    Args:
        logits: (N, K), of any type of float.
        temperature: T, above 0.

    Returns:
        (N, K) rows of probabilities.

    Raises:
        ValueError: if N is 0, a logit is not finite, or the temperature is not above 0.
    """
    logits = array("logits", logits, (None, None))
    result: NDArray[np.float64] = np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64)
    result /= positive("temperature", temperature)
    np.exp(result, out=result)
    result /= result.sum(axis=1, keepdims=True)
    return result


def negative_log_likelihood(logits: ArrayLike, labels: ArrayLike, temperature: float = 1) -> float:
    """Return the mean of −log softmax(logits / temperature) at the labels, in nats.

    Args:
        logits: (N, K), of any type of float.
        labels: (N,) class indices.
        temperature: T, above 0.

    Raises:
        ValueError: if N is 0, shapes disagree, a logit is not finite, a label is out of range, or the temperature is
            not above 0.
    """
    logits, labels = logits_and_labels(logits, labels)
    temperature = positive("temperature", temperature)
    total = 0.0
    for rows, block in _blocks(logits):
        block /= temperature
        total -= block[np.arange(len(block)), labels[rows]].sum()
        total += np.log(np.exp(block, out=block).sum(axis=1)).sum()
    return float(total / len(labels))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Fit the temperature T that minimises the mean NLL of softmax(logits / T) (Guo et al. 2017).

    The loss is convex in 1/T, so its derivative has one root. T is sought from 0.01 to 100, to a relative precision of
    1e-6, and is one of these ends when the loss still falls there: 0.01 for logits that separate the classes, 100 for
    logits no better than chance.

    Args:
        logits: (N, K), from examples the network was not trained on.
        labels: (N,) class indices.

    Raises:
        ValueError: if N is 0, shapes disagree, a logit is not finite or a label is out of range.
    """
    logits, labels = logits_and_labels(logits, labels)

    @cache  # an evaluation takes one exponential of each logit, and `brentq` repeats the two at the ends
    def slope(log_inverse: float) -> float:  # of the loss in 1/T, which has the sign of the slope in log(1/T)
        total = 0.0
        for rows, block in _blocks(logits):
            weights = np.exp(log_inverse) * block
            np.exp(np.maximum(weights, LEAST_EXPONENT, out=weights), out=weights)
            total += np.sum(np.einsum("nk,nk->n", weights, block) / weights.sum(axis=1))
            total -= block[np.arange(len(block)), labels[rows]].sum()
        return total

    low, high = -np.log(LARGEST_TEMPERATURE), -np.log(SMALLEST_TEMPERATURE)
    if len(labels) >= 4 * GUESSED_FROM:  # where to look, from some of the examples: fewer evaluations with all of them
        some = slice(None, None, len(labels) // GUESSED_FROM)
        guess = -np.log(fit_temperature(logits[some], labels[some]))
        if slope(guess - GUESS_WIDTH) < 0 < slope(guess + GUESS_WIDTH):
            low, high = guess - GUESS_WIDTH, guess + GUESS_WIDTH
    if slope(low) >= 0:
        return LARGEST_TEMPERATURE
    if slope(high) <= 0:
        return SMALLEST_TEMPERATURE
    return float(np.exp(-scipy.optimize.brentq(slope, low, high, xtol=1e-7)))


def fit_temperature_by_ece(logits: ArrayLike, labels: ArrayLike, n_bins: int = 15, equal_mass: bool = False) -> float:
    """Fit the temperature T of the smallest ECE of softmax(logits / T) that a fixed search finds, from 0.01 to 100.

    The ECE is neither convex nor continuous in T. Tried are the T of `fit_temperature` times 2^(j/8), |j| ≤ 24, then
    the best of them times 2^(j/64) and the best of those times 2^(j/512), |j| ≤ 8 each; of equals, the one nearest to
    the last best. So the same input gives the same T, no T tried has a smaller ECE, that of `fit_temperature` among
    them, and the grid is as fine as 0.14 %, but a narrower or farther minimum can be missed.

    Args:
        logits: (N, K), from examples the network was not trained on.
        labels: (N,) class indices.
        n_bins: number of bins of the ECE.
        equal_mass: whether bins have equal numbers of examples in place of equal widths.

    Raises:
        ValueError: if N is 0, shapes disagree, a logit is not finite, a label is out of range, or n_bins < 1.
    """
    logits, labels = logits_and_labels(logits, labels)
    correct = logits.argmax(axis=1) == labels
    confidence = np.empty(len(labels))

    def error(temperature: float) -> float:
        for rows, block in _blocks(logits):
            block /= temperature
            confidence[rows] = 1 / np.exp(block, out=block).sum(axis=1)
        return confidence_reliability(confidence, correct, n_bins, equal_mass).ece

    best = fit_temperature(logits, labels)
    for reach, per_octave in ECE_SEARCH:
        steps = np.array(sorted(range(-reach, reach + 1), key=abs))
        tried = np.clip(best * 2.0 ** (steps / per_octave), SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE)
        best = min(tried, key=error)
    return float(best)


def _forecasts(confidence: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool]]:
    """Confidences (N,) in [0, 1], those that rounding put above 1 as 1, and whether each is correct (N,), Booleans."""
    found = floats("confidence", confidence, (None,))
    if found.min() < 0 or found.max() > 1 + SUM_TOLERANCE:
        raise ValueError("confidence: expected fractions from 0 to 1")
    return np.minimum(found, 1), booleans("correct", correct, len(found))


def _blocks(logits: np.ndarray) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Rows after rows of the logits, less the largest of each row: which rows, and a float64 copy of them."""
    step = max(1, BLOCK_SIZE // logits.shape[1])
    for start in range(0, len(logits), step):
        rows = slice(start, start + step)
        block = logits[rows].astype(np.float64)
        block -= block.max(axis=1, keepdims=True)
        yield rows, block
