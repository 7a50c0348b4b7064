"""Figure 2 and Table 3's classification rows: can the networks' confidences be believed, and what mends them?"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lsbook.analysis import calibration
from lsbook.analysis.calibration import Reliability
from lsbook.analysis.statistics import standard_errors_apart, welch_interval
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.claim_tables import Measure, Setting
from lsbook.chapters.shared.comparison import MOST_BINS, Group, ask
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError, number, one_of, said, whole_number
from lsbook.core.registry import DATASETS, network_title
from lsbook.core.store import Record
from lsbook.core.wording import counted
from lsbook.evidence import claims, literature
from lsbook.outputs import Markup, Table, Text
from lsbook.recipes import profiles
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
        ("tiny-imagenet-5", "inception_v4"): (0.1,),
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
# Of one network the lengths of training that are compared: seeds, and number of images and of passes through them.
LENGTHS: dict[str, tuple[Network, tuple[tuple[str, tuple[int, int]], ...]]] = {
    "smoke": (("digits", "alexnet-16"), (("0-2", (1_197, 3)),)),
    "laptop": (("cifar10", "alexnet"), (("0-2", (10_000, 5)), ("0", (10_000, 20)), ("0", (50_000, 20)))),
}
# Illustrations are pairs of one seed; other networks have three.
SEEDS = dict.fromkeys((("tiny-imagenet-5", "inception_v4"), ("tiny-imagenet-32", "inception_v4")), "0")
TEMPERATURES = np.geomspace(0.4, 6, 61)  # of the curves of NLL
SAMPLES = (100, 300, 1_000, 3_000, 10_000, 30_000)  # examples of a calibrated model
REPEATS = 40


class Arm(NamedTuple):
    """Networks whose confidences are read in one way. scaled: at each one's own fitted temperature, else at 1."""

    title: str
    kind: str
    records: list[Record]
    scaled: bool = False

    @property
    def reading(self) -> str:
        """How a record names what it keeps of the test set, read so."""
        return "test_scaled" if self.scaled else "test"

    def metric(self, name: str) -> np.ndarray:
        """A recorded metric of the test set, such as "nll", one value a seed."""
        return np.array([record.metrics[f"{self.reading}_{name}"] for record in self.records])

    def reliability(self, n_bins: int) -> list[Reliability]:
        """The reliability diagram of the test set, one a seed."""
        kept = [[r.arrays[f"{self.reading}_{name}"] for name in ("confidence", "hit")] for r in self.records]
        return [calibration.confidence_reliability(c.astype(np.float64), hit, n_bins) for c, hit in kept]

    def ece(self, n_bins: int) -> np.ndarray:
        """Expected calibration error of the test set, one a seed."""
        return np.array([diagram.ece for diagram in self.reliability(n_bins)])


@dataclass(frozen=True)
class Sweep:
    """One network. records: those of each smoothing factor, in the order of the seeds; alpha: the compared factor.

    accuracy_alpha: the factor of C1, which has its own.
    """

    records: dict[float, list[Record]]
    alpha: float
    accuracy_alpha: float

    @property
    def run(self) -> Run:
        return self.records[0.0][0].run

    @property
    def network(self) -> Network:
        return self.run.dataset, self.run.model

    @property
    def title(self) -> str:
        """Model and data set as the reader knows them."""
        return network_title(*self.network)

    @property
    def passes(self) -> float:
        """How often the training went through its images."""
        return self.run.recipe.steps * self.run.recipe.batch / self.run.examples

    @property
    def first(self) -> "Sweep":
        """The runs of the first seed alone."""
        return replace(self, records={alpha: found[:1] for alpha, found in self.records.items()})

    @property
    def temperatures(self) -> tuple[np.ndarray, np.ndarray]:
        """Fitted on held-out data to the hard and to the smoothed networks, one a seed."""
        return tuple(np.array([r.metrics["temperature"] for r in self.records[alpha]]) for alpha in (0.0, self.alpha))

    @property
    def compared(self) -> list[Record]:
        """Those of hard targets and of the compared factor."""
        return [*self.records[0.0], *self.records[self.alpha]]

    @property
    def scaled_smoothed(self) -> Arm:
        """Smoothed targets, and scaled."""
        return Arm("smoothed, scaled", "smoothed", self.records[self.alpha], scaled=True)

    def arms(self) -> tuple[Arm, Arm, Arm]:
        """Hard targets, the same scaled, and smoothed ones: the three of Figure 2."""
        hard, smoothed = self.records[0.0], self.records[self.alpha]
        return (
            Arm("hard targets", "hard", hard),
            Arm("hard, scaled", "scaled", hard, scaled=True),
            Arm(f"smoothed, α = {self.alpha:g}", "smoothed", smoothed),
        )


@dataclass(frozen=True)
class Study:
    """What the chapter shows. lengths: for one network, the trainings of other lengths and at last its own."""

    profile: str
    n_bins: int
    sweeps: list[Sweep]
    lengths: list[Sweep]

    def made_from(self, sweeps: Iterable[Sweep]) -> str:
        """Where the numbers of these sweeps come from."""
        every = [record for sweep in sweeps for records in sweep.records.values() for record in records]
        return captions.made_from(self.profile, {record.run: record for record in every}.values())

    @property
    def every(self) -> list[Record]:
        """The records of every smoothing factor of every network."""
        return [record for sweep in self.sweeps for records in sweep.records.values() for record in records]

    @property
    def compared(self) -> list[Record]:
        """The records of every network with hard targets and with the factor that is compared with them."""
        return [record for sweep in self.sweeps for record in sweep.compared]

    @property
    def first_compared(self) -> list[Record]:
        """The compared records of first seeds, of the networks whose logits are kept."""
        return [record for sweep in self.with_logits for record in sweep.first.compared]

    @property
    def with_logits(self) -> list[Sweep]:
        """Networks of whose first seed logits are kept. UserError when there is none."""
        found = [s for s in self.sweeps if all("test_logits" in s.records[a][0].arrays for a in (0.0, s.alpha))]
        if not found:
            raise UserError("seeds must begin with 0 here: only that seed's record keeps the logits of all classes")
        return found

    @property
    def first_made_from(self) -> str:
        """The same of the first seeds' logits, and of which networks only part of the images has kept them."""
        parts = [self.made_from(sweep.first for sweep in self.with_logits)]
        for sweep in self.with_logits:
            arrays = sweep.records[0.0][0].arrays
            kept, every = (len(arrays[name]) for name in ("test_targets", "test_hit"))
            if kept < every:
                parts.append(f"Of {sweep.title} the first {kept:,} of {every:,} test images are used.")
        return " ".join(parts)


def study(
    profile: str = "auto", dataset: str = "all", alpha: float | str = "auto", seeds: str = "auto", n_bins: int = 15
) -> Study:
    """The recorded runs of the chapter, trained where they are missing.

    dataset: "all", or the name of one; alpha: the factor compared with hard targets, "auto" for the claims' own.
    UserError for fewer bins than one, an alpha that is no factor, and a data set that the profile has no network for.
    """
    whole_number("n_bins", n_bins, 1, MOST_BINS)
    profile, answers = ask(profile, seeds, lambda name: groups(name, dataset, alpha))
    if not _networks(profile, dataset):
        one_of(f"data set of the profile {profile}", dataset, dict.fromkeys(name for name, _ in _trainable(profile)))
    records: dict[tuple[Network, bool, int, Recipe], dict[float, list[Record]]] = {}
    for answer in answers:
        for column in zip(*answer, strict=True):
            run = column[0].run
            network, length = (run.dataset, run.model), (run.examples, run.recipe)
            training = network, RECIPES[profile, *network] == length, *length
            records.setdefault(training, {}).setdefault(run.alpha, list(column))
    sweeps = [_sweep(profile, found, alpha) for (_, own, *_), found in records.items() if own]
    lengths = [_sweep(profile, found, "auto") for (_, own, *_), found in records.items() if not own]
    return Study(profile, n_bins, sweeps, lengths)


def settings(profile: str, seeds: str) -> list[Setting]:
    """Each network with its claims, for the scorecard."""
    return measured(study(profile, seeds=seeds))


def measured(study: Study) -> list[Setting]:
    """Each network with its claims."""
    return [
        Setting(
            "calibration",
            study.profile,
            sweep.title,
            measure(sweep, study.n_bins),
            [*sweep.compared, *sweep.records.get(sweep.accuracy_alpha, ())],
        )
        for sweep in study.sweeps
    ]


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
        factor = number("alpha", alpha)
    except UserError:
        raise UserError(f'alpha must be a number above 0 and below 1, or "auto", not {said(alpha)}') from None
    if factor == 0:
        raise UserError("alpha must be above 0 here: smoothed networks are compared with hard ones")
    return factor


def groups(profile: str, dataset: str = "all", alpha: float | str = "auto") -> list[Group]:
    """For each network hard targets and the factor compared with them, then these with each of its other factors.

    After them, for the network whose lengths are compared, the same two with those of each other length.
    """
    networks = _networks(profile, dataset)
    result = []
    for network in networks:
        compared = _compared(alpha, profile, network)
        others = [factor for factor in FACTORS[profile].get(network, ()) if factor != compared]
        pair, seeds = [(0.0, None), (compared, None)], SEEDS.get(network, "0-2")
        result += [
            _group(seeds, profile, network, pair + more) for more in ([], *([(other, None)] for other in others))
        ]
    network, lengths = LENGTHS.get(profile, (None, ()))
    if network in networks:
        compared = _compared("auto", profile, network)
        for seeds, length in lengths:
            group = _group(seeds, profile, network, [(a, of) for of in (None, length) for a in (0.0, compared)])
            result.append(group._replace(extra=True))
    return result


def _group(seeds: str, profile: str, network: Network, asked: list[tuple[float, tuple[int, int] | None]]) -> Group:
    """asked: factors and lengths."""
    return Group(seeds, lambda seed: tuple(profiles.run(profile, *network, alpha, seed, of) for alpha, of in asked))


def _sweep(profile: str, records: dict[float, list[Record]], alpha: float | str) -> Sweep:
    run = records[0.0][0].run
    compared, of_accuracy = (_compared(alpha, profile, (run.dataset, run.model), claim) for claim in ("C6", "C1"))
    return Sweep(dict(sorted(records.items())), compared, of_accuracy)


def diagrams(study: Study) -> list[tuple[str, list[tuple[str, str, list[Reliability]]]]]:
    """For each network its title and, for each arm, title, kind and one reliability diagram a seed (Figure 2)."""
    return [
        (sweep.title, [(arm.title, arm.kind, arm.reliability(study.n_bins)) for arm in sweep.arms()])
        for sweep in study.sweeps
    ]


def measure(sweep: Sweep, n_bins: int) -> list[Measure]:
    """Claims C6 and C7 on one network, and C1 where its factor is recorded."""
    hard, scaled, smoothed = sweep.arms()
    n_test = len(hard.records[0].arrays["test_hit"])
    return [
        *_accuracy(sweep),
        claim_tables.measure("C6", "", "test ECE", hard.ece(n_bins), smoothed.ece(n_bins)),
        claim_tables.measure(
            "C7", "", "test ECE against scaled hard", scaled.ece(n_bins), smoothed.ece(n_bins), n_test
        ),
    ]


def _accuracy(sweep: Sweep) -> list[Measure]:
    alpha = sweep.accuracy_alpha
    if alpha not in sweep.records:
        return []
    accuracies = (100 * Arm("", "", sweep.records[factor]).metric("accuracy") for factor in (0.0, alpha))
    return [claim_tables.measure("C1", "", f"test accuracy (α = {alpha:g})", *accuracies)]


def claim_table(study: Study) -> Table:
    """C1, C6 and C7 on every network."""
    made_from = "C1 is measured here on this chapter's seeds; the scorecard takes the chapter with the most. "
    made_from += study.made_from(study.sweeps)
    header = "hard (C7: scaled)", "smoothed"
    return claim_tables.table("table-calibration-claims", "calibration", measured(study), header, made_from)


def ece_table(study: Study) -> Table:
    """Table 3's classification rows: the paper, the replication and the recorded networks."""
    rows = [
        captions.published_ece(source, network, row)
        for source, published in literature.TABLE_3.items()
        for network, row in published.items()
        if network[1] != "transformer"
    ]
    rows += [_measured(sweep, study.n_bins) for sweep in study.sweeps]
    return Table(
        "table-ece",
        "Expected calibration error on test data (Table 3 of the paper), in brackets the temperature or the smoothing "
        f"factor. Here: {study.n_bins} bins, temperatures fitted on held-out data, 95 % Student t intervals over "
        "seeds. The paper's CIFAR images are held out of the training file. The replication's temperatures were chosen "
        "on test data, and its ResNet-56 is wider. A dagger marks a number that was not checked in its source. "
        + study.made_from(study.sweeps),
        captions.ECE_HEADER,
        tuple(rows),
        study.compared,
    )


def _measured(sweep: Sweep, n_bins: int) -> tuple[str, ...]:
    ece = (arm.ece(n_bins) for arm in (*sweep.arms(), sweep.scaled_smoothed))
    return captions.measured_ece(sweep.title, ece, sweep.temperatures, sweep.alpha)


def likelihood_table(study: Study) -> Table:
    """NLL of both arms before and after scaling, and the difference that scaling leaves."""
    rows = []
    for sweep in study.sweeps:
        hard, scaled, smoothed = sweep.arms()
        cells = [captions.with_interval(arm.metric("nll")) for arm in (hard, scaled, smoothed, sweep.scaled_smoothed)]
        left = "—"
        if len(hard.records) > 1:
            left = captions.signed(*welch_interval(scaled.metric("nll"), sweep.scaled_smoothed.metric("nll")))
        rows.append((sweep.title, *cells, left))
    return Table(
        "table-likelihood",
        "Negative log-likelihood of test labels in nats, 95 % Student t intervals over seeds; scaled: at the "
        "temperature fitted on held-out data. The last column is smoothed − hard, both scaled, with a 95 % Welch "
        "interval. " + study.made_from(study.sweeps),
        ("network", "hard", "hard, scaled", "smoothed", "smoothed, scaled", "difference, scaled"),
        tuple(rows),
        study.compared,
    )


def measures_table(study: Study) -> Table:
    """Other measures of calibration, from the first seed's full probabilities."""
    rows = [row for sweep in study.with_logits for row in _other_measures(sweep, study.n_bins)]
    return Table(
        "table-other-measures",
        "First seed, test data. Class-wise: every class's probability is a confidence. Debiased: the root of the "
        "squared error without what chance adds, 0 when the estimate is negative. Largest: of any bin. The Brier score "
        "and its reliability and resolution are sums over classes. Last: the temperatures of the smallest NLL and of "
        "the smallest ECE (15 bins) on held-out data. " + study.first_made_from,
        ("network", "ECE", "equal mass", "largest", "class-wise", "debiased", "Brier", "reliability", "resolution")
        + ("T, NLL", "T, ECE"),
        tuple(rows),
        study.first_compared,
    )


def _answers(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and labels (N,) of the test images that the record keeps them of."""
    return record.arrays["test_logits"], record.arrays["test_targets"].astype(int)


def _other_measures(sweep: Sweep, n_bins: int) -> Iterable[tuple[str, ...]]:
    """A row that names the network, and one for each arm."""
    yield Markup("**{}**").format(sweep.title), *[""] * 10
    for arm in sweep.arms():
        yield arm.title, *(f"{value:.3f}" for value in _of_first_seed(arm, n_bins).values()), *_temperatures(arm)


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


class Factors(NamedTuple):
    """ECE and accuracy (percent) of one network: for each of the smoothing factors (A,) one array (S,) of seeds."""

    title: str
    alphas: np.ndarray
    ece: list[np.ndarray]
    accuracy: list[np.ndarray]


def factors(study: Study) -> list[Factors]:
    """For every network, what each smoothing factor gives on test data."""
    result = []
    for sweep in study.sweeps:
        arms = [Arm("", "", records) for records in sweep.records.values()]
        ece = [arm.ece(study.n_bins) for arm in arms]
        accuracy = [100 * arm.metric("accuracy") for arm in arms]
        result.append(Factors(sweep.title, np.array(list(sweep.records)), ece, accuracy))
    return result


class Length(NamedTuple):
    """Test ECE (S,) of both arms after a training of so many passes through so many images."""

    images: int
    passes: float
    hard: np.ndarray
    smoothed: np.ndarray


class Course(NamedTuple):
    """ECE along the training on part of the held-out images: passes (P,), and (S, P) of each arm."""

    title: str
    passes: np.ndarray
    hard: np.ndarray
    smoothed: np.ndarray


def lengths(study: Study) -> list[Length]:
    """Trainings of one network of several lengths, the recipe's own among them; by number of images and of passes."""
    sweeps = sorted(_of_lengths(study), key=lambda sweep: (sweep.run.examples, sweep.passes))
    return [
        Length(sweep.run.examples, sweep.passes, hard.ece(study.n_bins), smoothed.ece(study.n_bins))
        for sweep in sweeps
        for hard, _, smoothed in [sweep.arms()]
    ]


def _of_lengths(study: Study) -> list[Sweep]:
    others = [(sweep.run.dataset, sweep.run.model, sweep.alpha) for sweep in study.lengths]
    own = [sweep for sweep in study.sweeps if (sweep.run.dataset, sweep.run.model, sweep.alpha) in others]
    return [*study.lengths, *own]


def length_records(study: Study) -> list[Record]:
    """What `lengths` and `course` are from."""
    return [record for sweep in (*_of_lengths(study), study.sweeps[0]) for record in sweep.compared]


def course(study: Study) -> Course:
    """How the ECE of the first network moved while it was trained."""
    sweep = study.sweeps[0]
    hard, _, smoothed = (np.array([record.history["ece"] for record in arm.records]) for arm in sweep.arms())
    steps = np.array(sweep.records[0.0][0].history["step"])
    return Course(sweep.title, steps / steps[-1] * sweep.passes, hard, smoothed)


class Likelihood(NamedTuple):
    """Test NLL of the first seed against the temperature (T,); best: the NLL at the T fitted on held-out data."""

    title: str
    kind: str
    temperatures: np.ndarray
    nll: np.ndarray
    fitted: float
    best: float


def likelihoods(study: Study) -> list[tuple[str, list[Likelihood]]]:
    """Each network's title, and its curves with hard and with smoothed targets."""
    return [(sweep.title, _likelihoods(sweep)) for sweep in study.with_logits]


def _likelihoods(sweep: Sweep) -> list[Likelihood]:
    result = []
    for arm in sweep.arms()[::2]:
        first = arm.records[0]
        logits, labels = _answers(first)
        nll = [calibration.negative_log_likelihood(logits, labels, t) for t in TEMPERATURES]
        fitted = first.metrics["temperature"]
        best = calibration.negative_log_likelihood(logits, labels, fitted)
        result.append(Likelihood(arm.title, arm.kind, TEMPERATURES, np.array(nll), fitted, best))
    return result


class SampleSize(NamedTuple):
    """Estimates of the ECE of a calibrated model from samples of several sizes (N,): mean, expected by the formula,
    and the root of the mean debiased square."""

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
        found.append((np.mean([diagram.ece for diagram in diagrams]), expected, max(squares, 0) ** 0.5))
    return SampleSize(np.array(SAMPLES), *np.array(found).T)


def numbers(study: Study) -> dict[str, float | str]:
    """What the chapter's text quotes by name, of its first network."""
    sweep = study.sweeps[0]
    hard, scaled, smoothed = (arm.ece(study.n_bins).mean() for arm in sweep.arms())
    by_chance = np.mean([diagram.ece_if_calibrated for diagram in sweep.arms()[1].reliability(study.n_bins)])
    return {
        "network": sweep.title,
        "hard_ece": float(hard),
        "scaled_ece": float(scaled),
        "smoothed_ece": float(smoothed),
        "alpha_of_lengths": f"{sweep.alpha:g}",
        "best_factors": "; ".join(_best_factor(each, study.n_bins) for each in study.sweeps),
        "lower": _lower(study),
        "grown": _grown(study),
        "illustrations": captions.illustrations({sweep.title: sweep.records[0.0] for sweep in study.sweeps}),
        "chance_ece": float(by_chance),
        "hard_temperature": float(sweep.temperatures[0].mean()),
        "smoothed_temperature": float(sweep.temperatures[1].mean()),
        "n_test": f"{len(sweep.records[0.0][0].arrays['test_hit']):,}",
        "made_from": study.made_from(study.sweeps),
        "made_from_lengths": study.made_from([*study.lengths, sweep]),
        "first_made_from": study.first_made_from,
    }


def _best_factor(sweep: Sweep, n_bins: int) -> str:
    """The recorded factor of the least mean ECE, and the latter beside that of scaled hard networks."""
    errors = {alpha: Arm("", "", records).ece(n_bins).mean() for alpha, records in sweep.records.items()}
    best, scaled = min(errors, key=errors.get), sweep.arms()[1].ece(n_bins).mean()
    return f"α = {best:g} on {sweep.title} ({errors[best]:.3f}; hard and scaled {scaled:.3f})"


def _lower(study: Study) -> str:
    """A sentence: on how many networks smoothing is better by several measures."""
    networks = [[_of_first_seed(arm, study.n_bins) for arm in sweep.arms()[::2]] for sweep in study.with_logits]
    names = "ECE", "debiased", "Brier"
    better = {name: sum(smoothed[name] < hard[name] for hard, smoothed in networks) for name in names}
    return (
        f"Smoothed networks, against hard ones that are not scaled, have the smaller ECE on {better['ECE']} of "
        f"{counted(len(networks), 'network')}, the smaller debiased error on {better['debiased']}, the "
        f"smaller Brier score on {better['Brier']}."
    )


def _grown(study: Study) -> str:
    """A sentence: at which of all recorded factors scaling raised the mean ECE."""
    found = []
    for sweep in study.sweeps:
        for alpha, records in sweep.records.items():
            plain, scaled = (Arm("", "", records, scaled).ece(study.n_bins).mean() for scaled in (False, True))
            if scaled > plain:
                how = f"α = {alpha:g}, {counted(len(records), 'seed')}, from {plain:.3f} to {scaled:.3f}"
                found.append(f"{sweep.title} ({how})")
    if not found:
        return "Here it has raised the error of none of the networks."
    return f"Here it has raised the error of {'; '.join(found)}."


def carry_text(study: Study) -> Text:
    """On which networks held-out and test images differ, so that a temperature fitted to the former need not suit both.

    They do where the hard networks' mean accuracies on them, as shares of independent samples, lie more than three
    standard errors apart.
    """
    found = []
    for sweep in study.sweeps:
        hard, scaled, _ = sweep.arms()
        data = DATASETS[sweep.run.dataset]
        heldout, test = (np.mean([r.metrics[f"{of}_accuracy"] for r in hard.records]) for of in ("heldout", "test"))
        if abs(standard_errors_apart(heldout, data.heldout, test, len(hard.records[0].arrays["test_hit"]))) > 3:
            remark = DATASETS[data.files or sweep.run.dataset].remark
            found.append(
                f"{sweep.title}: {100 * heldout:.1f} % of the held-out and {100 * test:.1f} % of the test images are "
                "classified correctly, further apart than chance would put them. The temperature leaves an error of "
                f"{scaled.ece(study.n_bins).mean():.3f} on the latter. {remark}".rstrip()
            )
    if not found:
        return Text("On the networks shown here the two agree within three standard errors.")
    lines = map(Markup("- {}").format, found)
    return Text(Markup("\n").join(["They do not agree within three standard errors on", "", *lines]))


def harm_text(study: Study) -> Text:
    """On which networks smoothing raised the ECE, with both numbers."""
    found = []
    for sweep in study.sweeps:
        hard, _, smoothed = (arm.ece(study.n_bins).mean() for arm in sweep.arms())
        if smoothed > hard:
            how = f"α = {sweep.alpha:g}, {counted(len(sweep.records[0.0]), 'seed')}"
            found.append(f"on {sweep.title} from {hard:.3f} to {smoothed:.3f} ({how})")
    if not found:
        return Text("None of the networks shown here got a larger error from smoothing.")
    return Text(f"Smoothing raised the error {'; '.join(found)}.")
