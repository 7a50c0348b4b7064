"""Figure 2 and Table 3's classification rows: can the networks' confidences be believed, and what mends them?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from lsbook.analysis import calibration
from lsbook.analysis.calibration import Reliability
from lsbook.analysis.statistics import standard_errors_apart, welch_interval
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.chapter import Chapter, DecidedClaims
from lsbook.chapters.shared.claim_tables import Measure, Setting
from lsbook.chapters.shared.comparison import (
    MOST_BINS,
    Arm,
    ArmValues,
    Comparison,
    compare,
    loss_arm,
    smoothing_arm,
    smoothing_arms,
)
from lsbook.chapters.shared.selection import Group, select_runs
from lsbook.core import registry
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError, brief, one_of, parse_number, whole_number
from lsbook.core.registry import DATASETS
from lsbook.core.store import Record
from lsbook.core.wording import counted
from lsbook.evidence import claims, literature
from lsbook.outputs import Markup, Table, Text, cell_frame
from lsbook.recipes.profiles import RECIPES

Network = tuple[str, str]  # data set and model

# Smoothing factors of each network. The claims' own is compared with hard targets, or where a network is not trained
# with that the first: Inception-v4 stands for the paper's on ImageNet, which has 0.1.
FACTORS: dict[str, dict[Network, tuple[float, ...]]] = {
    "smoke": {("digits", "alexnet-16"): (0.1, 0.3)},
    "laptop": {
        ("cifar10", "alexnet"): (0.05, 0.1, 0.15, 0.2, 0.3),
        ("cifar10", "resnet56"): (0.05, 0.1),
        ("tiny-imagenet-50", "resnet56"): (0.05, 0.1),
        ("mnist", "mlp"): (0.05, 0.1, 0.15, 0.2, 0.3),
    },
    "paper": {
        ("cifar10", "alexnet"): (0.05, 0.1, 0.15, 0.2, 0.3),
        ("cifar10", "resnet56"): (0.05, 0.1, 0.2, 0.4, 0.6),
        ("tiny-imagenet-32", "resnet56"): (0.05, 0.1),
        ("cifar100", "resnet56-first7"): (0.05, 0.1),
        ("tiny-imagenet-32", "inception_v4"): (0.1,),
        ("imagenet", "inception_v4"): (0.1,),
    },
}
# Of one network the lengths of training that are compared: seeds, and number of images and of epochs.
LENGTHS: dict[str, tuple[Network, tuple[tuple[str, tuple[int, int]], ...]]] = {
    "smoke": (("digits", "alexnet-16"), (("0-2", (1_197, 3)),)),
    "laptop": (("cifar10", "alexnet"), (("0-2", (10_000, 5)), ("0", (10_000, 20)), ("0", (50_000, 20)))),
}
# An illustration is a pair of one seed; other networks have three.
SEEDS = {("tiny-imagenet-32", "inception_v4"): "0"}
TEMPERATURES = np.geomspace(0.4, 6, 61)  # of the curves of NLL
SAMPLES = (100, 300, 1_000, 3_000, 10_000, 30_000)  # examples of a calibrated model
REPEATS = 40


class Training(NamedTuple):
    """Names a run in the chapter's groups, for every seed alike.

    length: number of images and of epochs, if not the recipe's; alpha, settings: as an arm has them.
    """

    network: Network
    length: tuple[int, int] | None
    alpha: float
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sweep:
    """One network: what is compared of it, and every smoothing factor that is recorded.

    records: those of each smoothing factor, 0 for hard targets, in the order of the seeds.
    accuracy_alpha: the factor of C1, which has its own.
    """

    comparison: Comparison
    records: dict[float, list[Record]]
    accuracy_alpha: float

    @property
    def alpha(self) -> float:
        """The smoothing factor that is compared with hard targets."""
        return self.comparison.main.alpha

    @property
    def run(self) -> Run:
        """The first run with hard targets."""
        return self.comparison.reference.records[0].run

    @property
    def network(self) -> Network:
        """Data set and model."""
        return self.comparison.network

    @property
    def title(self) -> str:
        """Model and data set as the reader knows them."""
        return self.comparison.title

    @property
    def epochs(self) -> float:
        """How often the training went through its images."""
        return self.run.recipe.steps * self.run.recipe.batch / self.run.examples

    @property
    def first_seed(self) -> "Sweep":
        """The runs of the first seed alone."""
        records = {alpha: found[:1] for alpha, found in self.records.items()}
        return replace(self, comparison=self.comparison.first_seed, records=records)

    @property
    def readings(self) -> list[Arm]:
        """What Figure 2 shows: the reference, the same scaled, and the other arms as they are."""
        reference = self.comparison.reference
        return [reference, scaled(reference), *self.comparison.others]

    @property
    def factors(self) -> list[Arm]:
        """An arm for each smoothing factor, 0 for hard targets among them."""
        return [
            replace(loss_arm(Recipe.loss, alpha, "smoothed", f"α = {alpha:g}"), records=records)
            for alpha, records in self.records.items()
        ]

    @property
    def every_arm(self) -> list[Arm]:
        """Each smoothing factor, and what is compared beside smoothing."""
        return [*self.factors, *self.comparison.others[1:]]


def scaled(arm: Arm) -> Arm:
    """The networks of an arm, each divided by its fitted temperature."""
    name = f"{arm.name}, scaled"
    return replace(arm, name=name, label=name, short_label="", colour="scaled", scaled=True)


def read_metric(arm: Arm, name: str) -> np.ndarray:
    """A recorded metric (S,) of the test set, such as "nll", at the temperature at which the arm is read."""
    return arm.metric(f"{_reading(arm)}_{name}")


def reliability(arm: Arm, n_bins: int) -> list[Reliability]:
    """The reliability diagram of the test set, one a seed."""
    return [_reliability(record, _reading(arm), n_bins) for record in arm.records]


def ece(arm: Arm, n_bins: int) -> np.ndarray:
    """Expected calibration error (S,) of the test set, a fraction."""
    return np.array([diagram.ece for diagram in reliability(arm, n_bins)])


def _reading(arm: Arm) -> str:
    """How a record names what it keeps of the test set at the temperature at which the arm is read."""
    return "test_scaled" if arm.scaled else "test"


def _reliability(record: Record, reading: str, n_bins: int) -> Reliability:
    confidence, hit = record.arrays[f"{reading}_confidence"], record.arrays[f"{reading}_hit"]
    return calibration.confidence_reliability(confidence.astype(np.float64), hit, n_bins)


@dataclass(frozen=True)
class Study:
    """What the chapter shows. lengths: for one network, the trainings of other lengths and at last its own."""

    profile: str
    n_bins: int
    sweeps: list[Sweep]
    lengths: list[Sweep]

    @property
    def every(self) -> list[Record]:
        """The records of every smoothing factor and further arm of every network."""
        return [record for sweep in self.sweeps for arm in sweep.every_arm for record in arm.records]

    @property
    def compared(self) -> list[Record]:
        """The records of every network with hard targets and of what is compared with them."""
        return [record for sweep in self.sweeps for record in sweep.comparison.records]

    @property
    def first_compared(self) -> list[Record]:
        """The compared records of first seeds, of the networks whose logits are kept."""
        return [record for sweep in self.with_logits for record in sweep.comparison.first_seed.records]

    @property
    def with_logits(self) -> list[Sweep]:
        """Networks of whose first seed logits are kept. UserError when there is none."""
        found = [
            sweep
            for sweep in self.sweeps
            if all("test_logits" in arm.records[0].arrays for arm in sweep.comparison.arms)
        ]
        if not found:
            raise UserError("seeds must begin with 0 here: only that seed's record keeps the logits of all classes")
        return found


def study(
    profile: str = "auto",
    dataset: str = "all",
    alpha: float | str = "auto",
    seeds: str = "auto",
    n_bins: int = 15,
    other_losses: str = "none",
) -> Study:
    """The recorded runs of the chapter, trained where they are missing.

    Args:
        profile: as for `select_runs`.
        dataset: "all", or the name of one.
        alpha: the factor compared with hard targets; "auto" for the claims' own.
        seeds: as for `select_runs`.
        n_bins: of confidence.
        other_losses: as for `smoothing_arms`.

    Raises:
        UserError: for fewer bins than one, an alpha that is no factor, and a data set that the profile has no network
            for.
    """
    whole_number("n_bins", n_bins, 1, MOST_BINS)
    selection = select_runs(profile, seeds, lambda name: groups(name, dataset, alpha, other_losses))
    profile = selection.profile
    networks = _networks(profile, dataset)
    if not networks:
        one_of(f"data set of the profile {profile}", dataset, dict.fromkeys(name for name, _ in _trainable(profile)))
    records: dict[Training, list[Record]] = {}
    for group in selection.groups:
        for training, found in group.items():
            records.setdefault(training, found)  # where groups share an arm, the first has all of its seeds
    sweeps = [_sweep(profile, network, None, records, alpha, other_losses) for network in networks]
    measured_network, lengths = LENGTHS.get(profile, (None, ()))
    others = [
        _sweep(profile, measured_network, length, records, "auto", "none")
        for _, length in lengths
        if measured_network is not None
    ]
    return Study(profile, n_bins, [s for s in sweeps if s is not None], [s for s in others if s is not None])


def _sweep(
    profile: str,
    network: Network,
    length: tuple[int, int] | None,
    records: dict[Training, list[Record]],
    alpha: float | str,
    other_losses: str,
) -> Sweep | None:
    """The network's runs of a length, None where what is compared is not all there; alpha: as for `study`."""
    arms = _compared_arms(profile, network, alpha, other_losses)
    trainings = {arm.name: Training(network, length, arm.alpha, arm.settings) for arm in arms}
    if not all(training in records for training in trainings.values()):
        return None
    compared = compare(profile, arms, {name: records[training] for name, training in trainings.items()})
    factors = {
        training.alpha: found
        for training, found in records.items()
        if (training.network, training.length, training.settings) == (network, length, ())
    }
    return Sweep(compared, dict(sorted(factors.items())), _compared(alpha, profile, network, "C1"))


def settings(profile: str, seeds: str) -> list[Setting]:
    """Each network with its claims, for the scorecard."""
    return measured(study(profile, seeds=seeds))


def measured(study: Study) -> list[Setting]:
    """Each network with its claims, and the same of each further arm in the place of smoothing."""
    found = []
    for sweep in study.sweeps:
        for arm in sweep.comparison.others:
            measures, compared = measure(sweep, arm, study.n_bins), [*sweep.comparison.reference.records, *arm.records]
            if arm.name == sweep.comparison.main.name:
                compared += sweep.records.get(sweep.accuracy_alpha, [])
            title = sweep.comparison.title_of(arm)
            found.append(Setting("calibration", study.profile, title, measures, compared))
    return found


def _networks(profile: str, dataset: str) -> list[Network]:
    """The chapter's networks of a profile, or all that the profile can train on one data set."""
    if dataset == "all":
        return list(FACTORS[profile])
    return [(name, model) for name, model in _trainable(profile) if name == dataset]


def _trainable(profile: str) -> list[Network]:
    """The networks on images that the profile has a recipe for."""
    return [(name, model) for which, name, model in RECIPES if which == profile and name in DATASETS]


def _compared(alpha: float | str, profile: str, network: Network, claim: str = "C6") -> float:
    """The factor compared for a claim. UserError unless it is "auto" or above 0 (runs check that it is below 1)."""
    if alpha == "auto":
        factor, own = claims.CLAIMS[claim].alpha_on(network[0]), FACTORS[profile].get(network)
        return factor if own is None or factor in own else own[0]
    try:
        factor = parse_number("alpha", alpha)
    except UserError:
        raise UserError(f'alpha must be a number above 0 and below 1, or "auto", not {brief(alpha)}') from None
    if factor == 0:
        raise UserError("alpha must be above 0 here: smoothed networks are compared with hard ones")
    return factor


def _compared_arms(profile: str, network: Network, alpha: float | str, other_losses: str = "none") -> list[Arm]:
    return smoothing_arms(_compared(alpha, profile, network), other_losses)


def groups(profile: str, dataset: str = "all", alpha: float | str = "auto", other_losses: str = "none") -> list[Group]:
    """For each network the arms that are compared, then hard and smoothed ones with each other smoothing factor.

    After them, for the network whose lengths are compared, hard and smoothed ones with those of each other length.
    """
    networks = _networks(profile, dataset)
    result = []
    for network in networks:
        compared = _compared_arms(profile, network, alpha, other_losses)
        hard, smoothed, *further = compared
        seeds = SEEDS.get(network, "0-2")
        result.append(Group(seeds, partial(_runs, profile, network, compared, (None,))))
        for factor in FACTORS[profile].get(network, ()):
            if factor != smoothed.alpha:
                arms = [hard, smoothed, smoothing_arm(factor)]
                result.append(Group(seeds, partial(_runs, profile, network, arms, (None,)), extra=bool(further)))
    measured_network, lengths = LENGTHS.get(profile, (None, ()))
    if measured_network in networks:
        arms = _compared_arms(profile, measured_network, "auto")
        for seeds, length in lengths:
            runs = partial(_runs, profile, measured_network, arms, (None, length))
            result.append(Group(seeds, runs, extra=True))
    return result


def _runs(
    profile: str, network: Network, arms: Sequence[Arm], lengths: Sequence[tuple[int, int] | None], seed: int
) -> dict[Training, Run]:
    """The runs of a seed, of each arm and length."""
    return {
        Training(network, length, arm.alpha, arm.settings): arm.run(profile, *network, seed, length)
        for length in lengths
        for arm in arms
    }


def diagrams(study: Study) -> list[tuple[str, list[ArmValues[list[Reliability]]]]]:
    """For each network its title and, for each arm as it is read, one reliability diagram a seed (Figure 2)."""
    return [
        (sweep.title, [ArmValues(arm.label, arm.colour, reliability(arm, study.n_bins)) for arm in sweep.readings])
        for sweep in study.sweeps
    ]


def measure(sweep: Sweep, arm: Arm, n_bins: int) -> list[Measure]:
    """Claims C6 and C7 on one network and arm, and C1 where its factor is recorded."""
    hard = sweep.comparison.reference
    n_test = len(hard.records[0].arrays["test_hit"])
    errors = ece(arm, n_bins)
    return [
        *_accuracy(sweep, arm),
        claim_tables.measure("C6", "", "test ECE", ece(hard, n_bins), errors),
        claim_tables.measure("C7", "", "test ECE against scaled hard", ece(scaled(hard), n_bins), errors, n_test),
    ]


def _accuracy(sweep: Sweep, arm: Arm) -> list[Measure]:
    """C1, of smoothing at its own factor where that is recorded."""
    reference = sweep.comparison.reference
    compared = [arm]
    if arm.name == sweep.comparison.main.name:
        compared = [other for other in sweep.factors if other.alpha == sweep.accuracy_alpha]
    return [
        claim_tables.measure(
            "C1",
            "",
            f"test accuracy (α = {each.alpha:g})",
            100 * read_metric(reference, "accuracy"),
            100 * read_metric(each, "accuracy"),
        )
        for each in compared
    ]


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
        "seeds. The paper's CIFAR images are held out of the training file. The replication's temperatures were chosen "
        "on test data, and its ResNet-56 is wider. A dagger marks a number that was not checked in its source.",
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
    hard, compared = "hard", study.sweeps[0].comparison.main.name
    if len(study.sweeps[0].comparison.others) > 1:
        compared = study.sweeps[0].comparison.headers[1]
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


def _answers(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and labels (N,) of the test images that the record keeps them of."""
    return record.arrays["test_logits"], record.arrays["test_targets"].astype(int)


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
    """Of an arm that is not scaled yet: fitted to the first seed's held-out data by NLL and by ECE."""
    metrics = arm.records[0].metrics
    if arm.scaled or "temperature" not in metrics:
        return "—", "—"
    return f"{metrics['temperature']:.2f}", f"{metrics['temperature_by_ece']:.2f}"


class FactorPoint(NamedTuple):
    """ECE and accuracy (percent), each (S,), of an arm that is drawn against its factor α."""

    name: str
    colour: str
    alpha: float
    ece: np.ndarray
    accuracy: np.ndarray


class Factors(NamedTuple):
    """One network: a point for each smoothing factor, 0 for hard targets, and for each further arm."""

    title: str
    smoothing: list[FactorPoint]
    further: list[FactorPoint]


def factors(study: Study) -> list[Factors]:
    """For every network, what each smoothing factor and further arm gives on test data."""

    def point(arm: Arm) -> FactorPoint:
        accuracy = 100 * read_metric(arm, "accuracy")
        return FactorPoint(arm.name, arm.colour, arm.alpha, ece(arm, study.n_bins), accuracy)

    found = []
    for sweep in study.sweeps:
        reference, further = sweep.comparison.reference, sweep.comparison.others[1:]
        smoothing = [reference if arm.alpha == reference.alpha else arm for arm in sweep.factors]
        found.append(Factors(sweep.title, list(map(point, smoothing)), list(map(point, further))))
    return found


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


def numbers(study: Study) -> dict[str, float | str]:
    """What the chapter's text quotes by name, of its first network."""
    sweep = study.sweeps[0]
    hard, smoothed = sweep.comparison.reference, sweep.comparison.main
    diagrams = reliability(scaled(hard), study.n_bins)
    by_chance = np.mean([diagram.ece_if_calibrated for diagram in diagrams])
    references = {sweep.title: sweep.comparison.reference.records for sweep in study.sweeps}
    return {
        "network": sweep.title,
        "hard_ece": float(ece(hard, study.n_bins).mean()),
        "scaled_ece": float(ece(scaled(hard), study.n_bins).mean()),
        "smoothed_ece": float(ece(smoothed, study.n_bins).mean()),
        "alpha_of_lengths": f"{sweep.alpha:g}",
        "best_factors": "; ".join(_best_factor(each, study.n_bins) for each in study.sweeps),
        "lower": _lower(study),
        "grown": _grown(study),
        "illustrations": captions.illustrations(references),
        "chance_ece": float(by_chance),
        "hard_temperature": float(hard.metric("temperature").mean()),
        "smoothed_temperature": float(smoothed.metric("temperature").mean()),
        "n_test": f"{len(hard.records[0].arrays['test_hit']):,}",
    }


def _best_factor(sweep: Sweep, n_bins: int) -> str:
    """The recorded factor of the least mean ECE, and that beside the one of scaled networks with hard targets."""
    errors = {arm.alpha: ece(arm, n_bins).mean() for arm in sweep.factors}
    best = min(errors, key=lambda alpha: errors[alpha])
    of_scaled = ece(scaled(sweep.comparison.reference), n_bins).mean()
    return f"α = {best:g} on {sweep.title} ({errors[best]:.3f}; hard and scaled {of_scaled:.3f})"


def _lower(study: Study) -> str:
    """For each arm a sentence: on how many networks it is better than hard targets by several measures."""
    comparisons = [sweep.comparison for sweep in study.with_logits]
    sentences = []
    for place, arm in enumerate(comparisons[0].others, start=1):
        better = dict.fromkeys(("ECE", "debiased", "Brier"), 0)
        for comparison in comparisons:
            hard, other = (_of_first_seed(comparison.arms[k], study.n_bins) for k in (0, place))
            better = {name: count + (other[name] < hard[name]) for name, count in better.items()}
        sentences.append(
            f"{arm.name[0].upper()}{arm.name[1:]} networks, against hard ones that are not scaled, have the smaller "
            f"ECE on {better['ECE']} of {counted(len(comparisons), 'network')}, the smaller debiased error on "
            f"{better['debiased']}, the smaller Brier score on {better['Brier']}."
        )
    return " ".join(sentences)


def _grown(study: Study) -> str:
    """A sentence: at which of all recorded factors scaling raised the mean ECE."""
    found = []
    for sweep in study.sweeps:
        for arm in sweep.every_arm:
            before, after = (ece(each, study.n_bins).mean() for each in (arm, scaled(arm)))
            if after > before:
                how = f"{arm.panel_label}, {counted(len(arm.records), 'seed')}, from {before:.3f} to {after:.3f}"
                found.append(f"{sweep.title} ({how})")
    if not found:
        return "Here it has raised the error of none of the networks."
    return f"Here it has raised the error of {'; '.join(found)}."


def carry_text(study: Study) -> Text:
    """On which networks held-out and test images differ, so that a temperature fitted to the former need not suit both.

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


def harm_text(study: Study) -> Text:
    """On which networks smoothing, or a further arm, raised the ECE, with both numbers."""
    found = []
    for sweep in study.sweeps:
        hard = ece(sweep.comparison.reference, study.n_bins).mean()
        for arm in sweep.comparison.others:
            error = ece(arm, study.n_bins).mean()
            if error > hard:
                how = f"{arm.panel_label}, {counted(len(arm.records), 'seed')}"
                found.append(f"on {sweep.title} from {hard:.3f} to {error:.3f} ({how})")
    if not found:
        return Text("None of the networks shown here got a larger error from smoothing.")
    return Text(f"Smoothing raised the error {'; '.join(found)}.")


CHAPTER = Chapter("calibration", groups, DecidedClaims(("C6", "C7"), settings))
