"""What can be said of somebody's predictions: the book's measures on their examples, with bootstrap intervals."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from lsbook.analysis import calibration, distillation, selective
from lsbook.analysis.calibration import Reliability
from lsbook.analysis.statistics import Interval
from lsbook.assess.predictions import Predictions

N_BINS = 15
RISK = 0.05  # the share of errors at which coverage is given
CONFIDENT = 0.75  # quantile of the confidences above which smoothing shows
EVEN = 0.65  # evenness from which targets were probably smoothed; see `Judgement.evenness`
RESAMPLES, RESAMPLED_VALUES = 200, 2 * 10**7  # of the bootstrap, fewer where examples are very many


@dataclass(frozen=True)
class Metric:
    """A number of an assessment: title as a table has it, unit "" for fractions and ratios, digits after the point."""

    title: str
    unit: str = ""
    digits: int = 4


METRICS = {
    "accuracy": Metric("accuracy", "%", 2),
    "ece": Metric("ECE, 15 bins"),
    "debiased_ece": Metric("ECE (l2), bias-corrected"),
    "smooth_ece": Metric("smooth ECE"),
    "scaled_ece": Metric("ECE at the fitted temperature"),
    "nll": Metric("negative log-likelihood", "nats"),
    "scaled_nll": Metric("negative log-likelihood at the fitted temperature", "nats"),
    "brier": Metric("Brier score"),
    "augrc": Metric("AUGRC by the largest probability"),
    "normalised_augrc": Metric("AUGRC by the normalised logit"),
    "aurc": Metric("AURC by the largest probability"),
    "auroc": Metric("AUROC of right against wrong"),
    "coverage": Metric("coverage at 5 % risk", "%", 1),
    "temperature": Metric("fitted temperature", digits=2),
    "smoothness": Metric("γ of the predictions as targets", digits=3),
}


class Judgement:
    """The measures of one model's predictions, each computed when it is first asked for and then kept.

    predictions: of N examples of K classes, as `read` and `from_arrays` give them. Measures are fractions of 1 unless
    `METRICS` names a unit. Parameters are fitted on validation data, or else cross-fitted: on each half of the examples
    for the other.
    """

    def __init__(self, predictions: Predictions):
        self.predictions = predictions

    @property
    def name(self) -> str:
        """The name of the file that the predictions were read from."""
        return self.predictions.name

    @property
    def fitted_on(self) -> str:
        """Which examples the temperature and the normalisation are fitted on, in words."""
        return "validation data" if self.predictions.validation else "the other half of the same examples"

    @cached_property
    def _parts(self) -> list[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
        """Rows to apply parameters to, and the labels and logits that these are fitted on."""
        labels, logits = self.predictions.labels, self.predictions.logits
        if self.predictions.validation:
            return [(np.arange(len(labels)), self.predictions.validation)]
        shuffled = np.random.default_rng(0).permutation(len(labels))  # files may be sorted by class
        halves = [np.sort(half) for half in np.array_split(shuffled, 2)]
        return [(rows, (labels[other], logits[other])) for rows, other in zip(halves, halves[::-1], strict=True)]

    @cached_property
    def temperatures(self) -> list[float]:
        """The fitted temperatures (Guo et al. 2017): one, or one for each half of the examples."""
        return [calibration.fit_temperature(logits, labels) for _, (labels, logits) in self._parts]

    @property
    def temperature(self) -> float:
        """The fitted temperature T, the geometric mean of `temperatures`."""
        return float(np.exp(np.mean(np.log(self.temperatures))))

    @cached_property
    def normalisations(self) -> list[selective.Normalisation]:
        """The p and centring of the normalised logit (Cattelan and Silva 2024), fitted where `temperatures` are."""
        return [selective.fit_normalisation(*_few(logits, labels)) for _, (labels, logits) in self._parts]

    @cached_property
    def confidence(self) -> np.ndarray:
        """The largest probabilities (N,) at T = 1."""
        return _confidence(self.predictions.logits, 1.0)

    @cached_property
    def scaled_confidence(self) -> np.ndarray:
        """The largest probabilities (N,) at the fitted temperature."""
        result = np.empty(len(self.predictions.labels))
        for (rows, _), temperature in zip(self._parts, self.temperatures, strict=True):
            result[rows] = _confidence(self.predictions.logits, temperature, rows)
        return result

    @cached_property
    def scores(self) -> dict[str, np.ndarray]:
        """The scores of trust (N,) by name: "probability" (the largest one's log-odds, in nats), "normalised logit"."""
        logits = self.predictions.logits
        normalised = np.empty(len(logits))
        for (rows, _), choice in zip(self._parts, self.normalisations, strict=True):
            score = partial(selective.normalised_max_logit, p=choice.p, centred=choice.centred)
            normalised[rows] = _by_rows(score, logits, rows)
        return {"probability": _by_rows(selective.max_probability, logits), "normalised logit": normalised}

    @cached_property
    def reliability(self) -> Reliability:
        """The reliability diagram at T = 1, with 15 bins of equal width."""
        return calibration.confidence_reliability(self.confidence, self.predictions.correct, N_BINS)

    @cached_property
    def scaled_reliability(self) -> Reliability:
        """The reliability diagram at the fitted temperature, with 15 bins of equal width."""
        return calibration.confidence_reliability(self.scaled_confidence, self.predictions.correct, N_BINS)

    @cached_property
    def smoothness(self) -> float:
        """The smoothness index γ (Müller et al. 2019) of the predictions as targets at T = 1, of the first 10 000."""
        return distillation.smoothness_at(1, self.predictions.logits[: 10**4], self.predictions.labels[: 10**4])

    @cached_property
    def brier(self) -> calibration.BrierScore:
        """The Brier score with its parts at T = 1, summed over the classes, from 0 to 2."""
        logits = self.predictions.logits
        probabilities = np.empty_like(logits)
        for rows in _blocks(np.arange(len(logits)), logits.shape[1]):
            probabilities[rows] = calibration.softmax(logits[rows])
        return calibration.brier_score(probabilities, self.predictions.labels)

    @cached_property
    def evenness(self) -> float:
        """How evenly the most confident quarter of the predictions share what they leave to the other classes.

        The mean entropy of the other classes' probabilities, as a share of its largest value log(K − 1): smoothed
        targets ask for 1. NaN for two classes, which have one other.
        """
        logits = self.predictions.logits
        if logits.shape[1] < 3:
            return float("nan")
        confident = np.flatnonzero(self.confidence >= np.quantile(self.confidence, CONFIDENT))[: 10**4]
        return float(_by_rows(_entropy_of_others, logits, confident).mean() / np.log(logits.shape[1] - 1))

    @property
    def smoothing_factor(self) -> float:
        """The α whose best confidence 1 − α + α/K is the upper quartile of the confidences."""
        k = self.predictions.logits.shape[1]
        return float((1 - np.quantile(self.confidence, CONFIDENT)) * k / (k - 1))

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The numbers of METRICS, in their units, without those that do not exist for these examples."""
        correct, labels, logits = self.predictions.correct, self.predictions.labels, self.predictions.logits
        score = self.scores["probability"]
        found = {
            "accuracy": 100 * correct.mean(),
            "ece": self.reliability.ece,
            "debiased_ece": np.sqrt(max(self.reliability.debiased_squared_error, 0)),
            "smooth_ece": calibration.smooth_ece(self.confidence, correct, whole_ends=True),
            "scaled_ece": self.scaled_reliability.ece,
            "nll": calibration.negative_log_likelihood(logits, labels),
            "scaled_nll": self._scaled_nll,
            "brier": self.brier.score,
            "augrc": selective.augrc(score, correct),
            "normalised_augrc": selective.augrc(self.scores["normalised logit"], correct),
            "aurc": selective.aurc(score, correct),
            "coverage": 100 * selective.coverage_at_risk(score, correct, RISK),
            "temperature": self.temperature,
            "smoothness": self.smoothness,
        }
        if 0 < correct.sum() < len(correct):
            found["auroc"] = selective.ranking_auroc(score, correct)
        return {name: float(found[name]) for name in METRICS if name in found}

    @property
    def _scaled_nll(self) -> float:
        """At the fitted temperature, or temperatures."""
        logits, labels = self.predictions.logits, self.predictions.labels
        total = 0.0
        for (part, _), temperature in zip(self._parts, self.temperatures, strict=True):
            for rows in _blocks(part, logits.shape[1]):
                total += len(rows) * calibration.negative_log_likelihood(logits[rows], labels[rows], temperature)
        return total / len(labels)

    @cached_property
    def resampled(self) -> dict[str, np.ndarray]:
        """Metrics (R,) of R bootstrap resamples of the examples, the same resamples for every model on as many."""
        n = len(self.predictions.labels)
        correct = self.predictions.correct
        orders = {name: np.argsort(-score, kind="stable") for name, score in self.scores.items()}
        draws = []
        for weights in resamples(n):
            draws.append(
                {
                    "accuracy": 100 * weights @ correct / n,
                    "ece": _weighted_ece(self.confidence, correct, weights),
                    "scaled_ece": _weighted_ece(self.scaled_confidence, correct, weights),
                    "augrc": _weighted_augrc(orders["probability"], correct, weights),
                    "normalised_augrc": _weighted_augrc(orders["normalised logit"], correct, weights),
                }
            )
        return {name: np.array([draw[name] for draw in draws]) for name in draws[0]}

    def interval(self, name: str) -> Interval:
        """A metric with the ends of its 95 % bootstrap interval, which are NaN for one that is not resampled.

        The metric is NaN, too, where these examples have none, as the AUROC of a model that is always right.
        """
        value = self.metrics.get(name, float("nan"))
        if name not in self.resampled:
            return Interval(value, float("nan"), float("nan"))
        return _pivotal(value, self.resampled[name])

    @property
    def gain_of_normalising(self) -> Interval:
        """The decrease of the AUGRC when the normalised logit ranks in place of the largest probability."""
        value = self.metrics["augrc"] - self.metrics["normalised_augrc"]
        return _pivotal(value, self.resampled["augrc"] - self.resampled["normalised_augrc"])


def resamples(n: int) -> Iterator[np.ndarray]:
    """How often each of n examples is drawn, (n,) for each resample. Always the same ones."""
    generator = np.random.default_rng(0)
    for _ in range(max(20, min(RESAMPLES, RESAMPLED_VALUES // n))):
        yield np.bincount(generator.integers(n, size=n), minlength=n).astype(np.float64)


def difference(second: Judgement, first: Judgement, name: str) -> Interval:
    """A resampled metric of the second less that of the first on the same examples, with its paired bootstrap interval.

    Raises:
        KeyError: for a metric that is not resampled.
    """
    return _pivotal(second.metrics[name] - first.metrics[name], second.resampled[name] - first.resampled[name])


def _pivotal(value: float, drawn: np.ndarray) -> Interval:
    """Return the basic bootstrap interval, in which the percentiles are mirrored at the value.

    Resampling raises a calibration error as sampling has raised it before (Davison and Hinkley 1997, section 5.2).
    """
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(value, float(2 * value - high), float(2 * value - low))


def _weighted_ece(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> float:
    bins = np.searchsorted(calibration.equal_widths(N_BINS), confidence)
    return float(np.abs(np.bincount(bins, weights * (correct - confidence), N_BINS)).sum() / weights.sum())


def _weighted_augrc(order: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> float:
    """Compute the AUGRC of examples that count several times, the copies of one beside each other."""
    w, wrong = weights[order], ~correct[order]
    errors_before = np.cumsum(w * wrong) - w * wrong
    return float(np.sum(w * errors_before + wrong * w * (w + 1) / 2) / weights.sum() ** 2)


def _entropy_of_others(logits: np.ndarray) -> np.ndarray:
    """(N,) of the classes but the most probable, in nats."""
    p = calibration.softmax(np.sort(logits, axis=1)[:, :-1])
    return -np.sum(p * np.log(np.maximum(p, np.finfo(float).tiny)), axis=1)


def _confidence(logits: np.ndarray, temperature: float, rows: np.ndarray | None = None) -> np.ndarray:
    return _by_rows(lambda part: calibration.softmax(part, temperature).max(axis=1), logits, rows)


def _by_rows(
    function: Callable[[np.ndarray], np.ndarray], logits: np.ndarray, rows: np.ndarray | None = None
) -> np.ndarray:
    """`function` of blocks of the rows, all if not given, so that no copy in float64 of all logits is made."""
    rows = np.arange(len(logits)) if rows is None else rows
    return np.concatenate([function(logits[block]) for block in _blocks(rows, logits.shape[1])])


def _blocks(rows: np.ndarray, n_classes: int) -> list[np.ndarray]:
    step = max(1, calibration.BLOCK_SIZE // n_classes)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def _few(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """So many examples, from all over, that 20 normalisations of them are compared within seconds."""
    step = -(-len(labels) // max(1_000, 2**21 // logits.shape[1]))
    return logits[::step], labels[::step]
