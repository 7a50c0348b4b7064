"""Appendix to calibration: Table 3, other measures, lengths of training, likelihood, held-out against test data."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from lsbook.analysis import calibration
from lsbook.analysis.statistics import paired_interval, standard_errors_apart, welch_interval
from lsbook.chapters.calibration import Study, Sweep, ece, read_metric, scaled
from lsbook.chapters.shared import captions
from lsbook.chapters.shared.comparison import Arm, ArmValues, Comparison
from lsbook.core import registry
from lsbook.core.store import Record
from lsbook.core.wording import counted
from lsbook.evidence import literature
from lsbook.outputs import Markup, Table, Text, cell_frame

REPEATS = 40


SAMPLES = (100, 300, 1_000, 3_000, 10_000, 30_000)  # examples of a calibrated model


TEMPERATURES = np.geomspace(0.4, 6, 61)  # of the curves of NLL


def ece_table(study: Study) -> Table:
    """Table 3's classification rows: the paper, the replication and the recorded networks."""
    rows = [
        captions.published_ece(source, network, row)
        for source, published in literature.TABLE_3.items()
        for network, row in published.items()
        if network[1] != "transformer"
    ]
    rows += [row for sweep in study.sweeps for row in _measured(sweep, study.n_bins)]
    return Table(
        "table-ece",
        "Expected calibration error on test data (Table 3 of the paper), in brackets the temperature or the smoothing "
        f"factor. Here: {study.n_bins} bins, temperatures fitted on held-out data, 95 % Student t intervals over "
        "seeds. The paper's CIFAR images are held out of the training file. The replication, by Wagner and others, "
        "chose its temperatures on test data, and its ResNet-56 is wider. A dagger marks a number that was not checked "
        "in its source.",
        cell_frame(captions.ECE_HEADER, rows),
        study.compared,
    )


def _measured(sweep: Sweep, n_bins: int) -> list[tuple[str, ...]]:
    """A row for each arm that is compared with hard targets."""
    comparison = sweep.comparison
    hard = _measured_ece(comparison.reference, n_bins)
    return [
        captions.measured_ece(comparison.title_of(arm), "here", hard, _measured_ece(arm, n_bins), arm.alpha)
        for arm in comparison.others
    ]


def _measured_ece(arm: Arm, n_bins: int) -> captions.MeasuredEce:
    return captions.MeasuredEce(ece(arm, n_bins), ece(scaled(arm), n_bins), arm.metric("temperature"))


def likelihood_table(study: Study) -> Table:
    """NLL of both arms before and after scaling, and the difference that scaling leaves."""
    rows = [_likelihood_row(sweep.comparison, arm) for sweep in study.sweeps for arm in sweep.comparison.others]
    comparison = study.sweeps[0].comparison
    hard, compared = "hard", comparison.main.name if len(comparison.others) == 1 else "compared"
    return Table(
        "table-likelihood",
        "Negative log-likelihood of test labels in nats, 95 % Student t intervals over seeds; scaled: at the "
        f"temperature fitted on held-out data. The last column is {compared} − {hard}, both scaled, with a 95 % Welch "
        "interval.",
        cell_frame(("network", hard, f"{hard}, scaled", compared, f"{compared}, scaled", "difference, scaled"), rows),
        study.compared,
    )


def _likelihood_row(comparison: Comparison, arm: Arm) -> tuple[str, ...]:
    reference = comparison.reference
    read = (reference, scaled(reference), arm, scaled(arm))
    nll = [read_metric(each, "nll") for each in read]
    left = captions.signed(*welch_interval(nll[1], nll[3])) if len(reference.records) > 1 else "—"
    return comparison.title_of(arm), *map(captions.with_interval, nll), left


def measures_table(study: Study) -> Table:
    """Other measures of calibration, from the first seed's full probabilities."""
    rows = [row for sweep in study.with_logits for row in _other_measures(sweep, study.n_bins)]
    return Table(
        "table-other-measures",
        "First seed, test data. Class-wise: every class's probability is a confidence. Debiased: the root of the "
        "squared error without what chance adds, 0 when the estimate is negative. Largest: of any bin. The Brier score "
        "and its reliability and resolution are sums over classes. Last: the temperatures of the smallest NLL and of "
        "the smallest ECE (15 bins) on held-out data.",
        cell_frame(OTHER_MEASURES, rows),
        study.first_compared,
    )


OTHER_MEASURES = (
    *("network", "ECE", "equal mass", "largest", "class-wise", "debiased", "Brier", "reliability", "resolution"),
    *("T, NLL", "T, ECE"),
)


def _other_measures(sweep: Sweep, n_bins: int) -> Iterable[tuple[str, ...]]:
    """A row that names the network, and one for each arm."""
    yield Markup("**{}**").format(sweep.title), *[""] * (len(OTHER_MEASURES) - 1)
    for arm in sweep.readings:
        yield arm.label, *(f"{value:.3f}" for value in _of_first_seed(arm, n_bins).values()), *_temperatures(arm)


def _of_first_seed(arm: Arm, n_bins: int) -> dict[str, float]:
    """The measures of the table, by name and in its order."""
    first = arm.records[0]
    logits, labels = _answers(first)
    temperature = first.metrics["temperature"] if arm.scaled else 1
    probabilities = calibration.softmax(logits.astype(np.float64), temperature)
    diagram = calibration.reliability(probabilities, labels, n_bins)
    brier = calibration.brier_score(probabilities, labels, n_bins)
    return {
        "ECE": diagram.ece,
        "equal mass": calibration.expected_calibration_error(probabilities, labels, n_bins, equal_mass=True),
        "largest": diagram.mce,
        "class-wise": calibration.classwise_reliability(probabilities, labels, n_bins).ece,
        "debiased": max(diagram.debiased_squared_error, 0) ** 0.5,
        "Brier": brier.score,
        "reliability": brier.reliability,
        "resolution": brier.resolution,
    }


def _temperatures(arm: Arm) -> tuple[str, str]:
    """Return the temperatures fitted to the first seed's held-out data, by NLL and by ECE, of an arm not scaled yet."""
    metrics = arm.records[0].metrics
    if arm.scaled or "temperature" not in metrics:
        return "—", "—"
    return f"{metrics['temperature']:.2f}", f"{metrics['temperature_by_ece']:.2f}"


class Length(NamedTuple):
    """Test ECE (S,) of each arm after a training of so many epochs on so many images."""

    images: int
    epochs: float
    arms: list[ArmValues[np.ndarray]]


class AlongTraining(NamedTuple):
    """ECE along the training on part of the held-out images: epochs (P,), and (S, P) of each arm."""

    title: str
    epochs: np.ndarray
    arms: list[ArmValues[np.ndarray]]


def lengths(study: Study) -> list[Length]:
    """Trainings of one network of several lengths, the recipe's own among them; by number of images and of epochs."""
    sweeps = sorted(_of_lengths(study), key=lambda sweep: (sweep.run.examples, sweep.epochs))
    return [
        Length(
            sweep.run.examples,
            sweep.epochs,
            [arm.with_values(ece(arm, study.n_bins)) for arm in sweep.comparison.arms],
        )
        for sweep in sweeps
    ]


def _of_lengths(study: Study) -> list[Sweep]:
    others = [(sweep.run.dataset, sweep.run.model, sweep.alpha) for sweep in study.lengths]
    own = [sweep for sweep in study.sweeps if (sweep.run.dataset, sweep.run.model, sweep.alpha) in others]
    return [*study.lengths, *own]


def _answers(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and labels (N,) of the test images that the record keeps them of."""
    return record.arrays["test_logits"], record.arrays["test_targets"].astype(int)


def length_records(study: Study) -> list[Record]:
    """The records that `lengths` and `along_training` are made from."""
    return [record for sweep in (*_of_lengths(study), study.sweeps[0]) for record in sweep.comparison.records]


def along_training(study: Study) -> AlongTraining:
    """How the ECE of the first network moved while it was trained."""
    sweep = study.sweeps[0]
    arms = [
        arm.with_values(np.array([record.history["ece"] for record in arm.records])) for arm in sweep.comparison.arms
    ]
    steps = np.array(sweep.comparison.reference.records[0].history["step"])
    return AlongTraining(sweep.title, steps / steps[-1] * sweep.epochs, arms)


class Likelihood(NamedTuple):
    """Test NLL of the first seed against the temperature (T,); best: the NLL at the T fitted on held-out data."""

    title: str
    colour: str
    temperatures: np.ndarray
    nll: np.ndarray
    fitted: float
    best: float


def likelihoods(study: Study) -> list[tuple[str, list[Likelihood]]]:
    """Each network's title, and the curve of each of its arms."""
    return [(sweep.title, list(map(_likelihood, sweep.comparison.arms))) for sweep in study.with_logits]


def _likelihood(arm: Arm) -> Likelihood:
    first = arm.records[0]
    logits, labels = _answers(first)
    nll = np.array([calibration.negative_log_likelihood(logits, labels, t) for t in TEMPERATURES])
    fitted = first.metrics["temperature"]
    best = calibration.negative_log_likelihood(logits, labels, fitted)
    return Likelihood(arm.label, arm.colour, TEMPERATURES, nll, fitted, best)


class SampleSize(NamedTuple):
    """Estimates of the ECE of a calibrated model from samples of several sizes, each (N,).

    plain: their mean; expected: by the formula; debiased: the root of the mean bias-corrected square.
    """

    sizes: np.ndarray
    plain: np.ndarray
    expected: np.ndarray
    debiased: np.ndarray


def sample_sizes(n_bins: int, seed: int = 0) -> SampleSize:
    """The ECE that samples of a perfectly calibrated model have; its confidences are uniform between 0.5 and 1."""
    generator = np.random.default_rng(seed)
    found = []
    for n in SAMPLES:
        confidence = generator.uniform(0.5, 1, (REPEATS, n))
        correct = generator.random((REPEATS, n)) < confidence
        diagrams = [calibration.confidence_reliability(*pair, n_bins) for pair in zip(confidence, correct, strict=True)]
        squares = np.mean([diagram.debiased_squared_error for diagram in diagrams])
        expected = np.mean([diagram.ece_if_calibrated for diagram in diagrams])
        found.append((np.mean([diagram.ece for diagram in diagrams]), expected, np.sqrt(np.maximum(squares, 0))))
    return SampleSize(np.array(SAMPLES), *np.array(found).T)


def _lower(study: Study) -> str:
    """Say of each arm on how many networks it is better than hard targets by several measures."""
    comparisons = [sweep.comparison for sweep in study.with_logits]
    sentences = []
    for place, arm in enumerate(comparisons[0].others, start=1):
        better = dict.fromkeys(("ECE", "debiased", "Brier"), 0)
        for comparison in comparisons:
            hard, other = (_of_first_seed(comparison.arms[k], study.n_bins) for k in (0, place))
            better = {name: count + (other[name] < hard[name]) for name, count in better.items()}
        sentences.append(
            f"{arm.name[0].upper()}{arm.name[1:]} networks, against hard ones that are not scaled, have the smaller "
            f"ECE on {better['ECE']} of {counted(len(comparisons), 'network')}, the smaller bias-corrected error on "
            f"{better['debiased']}, the smaller Brier score on {better['Brier']}."
        )
    return " ".join(sentences)


def _grown(study: Study) -> str:
    """A sentence: at which of all recorded factors scaling raised the ECE, by the interval of the runs' differences."""
    found = []
    for sweep in study.sweeps:
        for arm in sweep.all_arms:
            before, after = (ece(each, study.n_bins) for each in (arm, scaled(arm)))
            if len(arm.records) > 1 and paired_interval(after - before).low > 0:
                how = f"{arm.panel_label}, {len(arm.records)} seeds, from {before.mean():.3f} to {after.mean():.3f}"
                found.append(f"{sweep.title} ({how})")
    if not found:
        return "Here it has clearly raised the error of none of the networks."
    return f"Here it has raised the error of {'; '.join(found)}."


def carry_text(study: Study) -> Text:
    """Say on which networks held-out and test images differ, so that a fitted temperature need not suit both.

    They do where the mean accuracies of networks with hard targets on them, as shares of independent samples, lie more
    than three standard errors apart.
    """
    found = []
    for sweep in study.sweeps:
        hard = sweep.comparison.reference
        data = registry.dataset(sweep.run.dataset)
        heldout, test = (hard.metric(f"{of}_accuracy").mean() for of in ("heldout", "test"))
        if abs(standard_errors_apart(heldout, data.heldout, test, len(hard.records[0].arrays["test_hit"]))) > 3:
            remark = registry.dataset(data.files or sweep.run.dataset).remark
            found.append(
                f"{sweep.title}: {100 * heldout:.1f} % of the held-out and {100 * test:.1f} % of the test images are "
                "classified correctly, further apart than chance would put them. The temperature leaves an error of "
                f"{ece(scaled(hard), study.n_bins).mean():.3f} on the latter. {remark}".rstrip()
            )
    if not found:
        return Text("On the networks shown here the two agree within three standard errors.")
    lines = map(Markup("- {}").format, found)
    return Text(Markup("\n").join(["They do not agree within three standard errors on", "", *lines]))


def numbers(study: Study) -> dict[str, float | str]:
    """What the appendix's text quotes by name."""
    alpha = (study.lengths or study.sweeps)[0].alpha
    return {"lower": _lower(study), "grown": _grown(study), "alpha_of_lengths": f"{alpha:g}"}
