"""Figure 2 of the paper: can the networks' confidences be believed, and what mends them?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from lsbook import figures
from lsbook.analysis import calibration
from lsbook.analysis.calibration import Reliability
from lsbook.analysis.statistics import welch_interval
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
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError, brief, one_of, parse_number, whole_number
from lsbook.core.registry import DATASETS
from lsbook.core.store import Record
from lsbook.core.wording import counted, listed, sentence_case
from lsbook.evidence import claims
from lsbook.outputs import Figure, Markup, Text
from lsbook.recipes.profiles import RECIPES

Network = tuple[str, str]  # data set and model
RECORDED_BINS = 15  # with which a record's calibration error is measured

# Smoothing factors of each network, with their seeds. The claims' own factor is compared with hard targets, or where a
# network is not trained with that the first: Inception-v4 stands for the paper's on ImageNet, which has 0.1. Those that
# are compared on CIFAR-10 have five seeds more, fixed before they were trained.
FEW, MORE = "0-2", "0-2,5-9"
FACTORS: dict[str, dict[Network, dict[float, str]]] = {
    "smoke": {("digits", "alexnet-16"): dict.fromkeys((0.1, 0.3), FEW)},
    "laptop": {
        ("cifar10", "alexnet"): dict.fromkeys((0.05, 0.1), MORE) | dict.fromkeys((0.15, 0.2, 0.3), FEW),
        ("cifar10", "resnet56"): dict.fromkeys((0.05, 0.1), MORE),
        ("tiny-imagenet-50", "resnet56"): dict.fromkeys((0.05, 0.1), FEW),
        ("mnist", "mlp"): dict.fromkeys((0.05, 0.1, 0.15, 0.2, 0.3), FEW),
    },
    "paper": {
        ("cifar10", "alexnet"): dict.fromkeys((0.05, 0.1, 0.15, 0.2, 0.3), FEW),
        ("cifar10", "resnet56"): dict.fromkeys((0.05, 0.1, 0.2, 0.4, 0.6), FEW),
        ("tiny-imagenet-32", "resnet56"): dict.fromkeys((0.05, 0.1), FEW),
        ("cifar100", "resnet56-first7"): dict.fromkeys((0.05, 0.1), FEW),
        ("tiny-imagenet-32", "inception_v4"): {0.1: "0"},  # an illustration
        ("imagenet", "inception_v4"): {0.1: FEW},
    },
}
# Of one network the lengths of training that are compared: seeds, number of images and of epochs, and the factors that
# are trained besides the compared one.
LENGTHS: dict[str, tuple[Network, tuple[tuple[str, tuple[int, int], tuple[float, ...]], ...]]] = {
    "smoke": (("digits", "alexnet-16"), ((FEW, (1_197, 3), ()),)),
    "laptop": (
        ("cifar10", "alexnet"),
        ((FEW, (10_000, 5), ()), ("0", (10_000, 20), ()), (FEW, (50_000, 20), (0.1,))),
    ),
}


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
    def all_arms(self) -> list[Arm]:
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
    """Expected calibration error (S,) of the test set, a fraction: the recorded one, or that of other bins."""
    if n_bins == RECORDED_BINS:
        return read_metric(arm, "ece")
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
    def all_records(self) -> list[Record]:
        """The records of every smoothing factor and further arm of every network."""
        return [record for sweep in self.sweeps for arm in sweep.all_arms for record in arm.records]

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
        for _, length, _ in lengths
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
            measures = claim_tables.at_factor(measure(sweep, arm, study.n_bins), arm.alpha)
            compared = [*sweep.comparison.reference.records, *arm.records]
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
        return factor if own is None or factor in own else next(iter(own))
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
    """List the groups of runs: each network's compared arms, then its hard and smoothed ones by each other factor.

    After them, for the network whose lengths are compared, hard and smoothed ones with those of each other length.
    """
    networks = _networks(profile, dataset)
    result = []
    for network in networks:
        compared = _compared_arms(profile, network, alpha, other_losses)
        hard, smoothed, *further = compared
        factors = FACTORS[profile].get(network, {})
        seeds = factors.get(smoothed.alpha, FEW)
        result.append(Group(seeds, partial(_runs, profile, network, compared, (None,))))
        for factor, seeds in factors.items():
            if factor != smoothed.alpha:
                arms = [hard, smoothed, smoothing_arm(factor)]
                result.append(Group(seeds, partial(_runs, profile, network, arms, (None,)), extra=bool(further)))
    measured_network, lengths = LENGTHS.get(profile, (None, ()))
    if measured_network in networks:
        compared = _compared_arms(profile, measured_network, "auto")
        for seeds, length, further_factors in lengths:
            arms = [*compared, *map(smoothing_arm, further_factors)]
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
    """Return each network's title and, for each arm as it is read, one reliability diagram a seed (Figure 2)."""
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
            conditions=f"α = {each.alpha:g}",
        )
        for each in compared
    ]


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


def factor_point(arm: Arm, n_bins: int) -> FactorPoint:
    """Measure ECE, in so many bins, and accuracy of an arm on test data."""
    return FactorPoint(arm.name, arm.colour, arm.alpha, ece(arm, n_bins), 100 * read_metric(arm, "accuracy"))


def factors(study: Study) -> list[Factors]:
    """Measure what each smoothing factor and further arm gives on test data, for every network."""
    point = partial(factor_point, n_bins=study.n_bins)
    found = []
    for sweep in study.sweeps:
        reference, further = sweep.comparison.reference, sweep.comparison.others[1:]
        smoothing = [reference if arm.alpha == reference.alpha else arm for arm in sweep.factors]
        found.append(Factors(sweep.title, list(map(point, smoothing)), list(map(point, further))))
    return found


def reliability_figure(study: Study) -> Figure:
    """Reliability diagrams of the first network, and of the one whose error smoothing raised most, if it raised one."""
    shown = [study.sweeps[0]]
    harmed = [sweep for sweep in study.sweeps[1:] if _change(sweep, study.n_bins) > 0]
    shown += sorted(harmed, key=lambda sweep: _change(sweep, study.n_bins))[-1:]
    drawn = [diagram for diagram, sweep in zip(diagrams(study), study.sweeps, strict=True) if sweep in shown]
    records = [record for sweep in shown for record in sweep.comparison.records]
    return Figure(partial(figures.reliability_figure, drawn), records)


def factors_figure(study: Study) -> Figure:
    """ECE and accuracy against the smoothing factor, of networks with more factors than the compared one."""
    several = [drawn for drawn in factors(study) if len(drawn.smoothing) > 3] or factors(study)[:1]
    titles = {drawn.title for drawn in several}
    records = [r for sweep in study.sweeps if sweep.title in titles for arm in sweep.all_arms for r in arm.records]
    return Figure(partial(figures.factors_figure, several), records)


def in_short(study: Study) -> Text:
    """The chapter's answer: against temperature scaling, where it helps, where it harms."""
    measures = {sweep.title: measure(sweep, sweep.comparison.main, study.n_bins) for sweep in study.sweeps}
    verdicts = {
        claim: [m.verdict.verdict for found in measures.values() for m in found if m.verdict.claim == claim]
        for claim in ("C6", "C7")
    }
    sentences = [against_scaling(verdicts["C7"]), *_examples(study, measures)]
    return captions.short_answer([sentence for sentence in sentences if sentence], TRY)


TRY = Markup("You can [move the temperature yourself](#what-a-temperature-does).")


def against_scaling(verdicts: Sequence[str]) -> str:
    """A sentence on claim C7. verdicts: one a network."""
    tested = [verdict for verdict in verdicts if verdict != claims.NOT_TESTED]
    hold = tested.count(claims.REPRODUCED)
    margin = claims.CLAIMS["C7"].part().margin
    if not tested:
        return ""
    if hold == len(tested):
        return f"Smoothing comes within {margin:g} of temperature scaling wherever that was tested."
    contrary = "Contrary to the paper, smoothing" if claims.CONTRADICTED in tested else "Smoothing"
    return (
        f"{contrary} with the α fixed beforehand does not always calibrate as well as temperature scaling: its "
        f"calibration error comes within {margin:g} of that on {hold} of {counted(len(tested), 'network')} tested."
    )


def _examples(study: Study, measures: Mapping[str, Sequence[Measure]]) -> list[str]:
    """The first network whose error smoothing lowers, and that whose error it raises most; else how the first fares."""
    lowered, raised = [], []
    for sweep in study.sweeps:
        [verdict] = [m.verdict.verdict for m in measures[sweep.title] if m.verdict.claim == "C6"]
        lowered += [sweep] if verdict == claims.REPRODUCED else []
        raised += [sweep] if verdict == claims.CONTRADICTED else []
    raised.sort(key=lambda sweep: -_change(sweep, study.n_bins))
    if not lowered and not raised:
        return [example(*_errors(study.sweeps[0], study.n_bins))]
    said = [
        f"{example(*_errors(sweep, study.n_bins), word='lowers')} {_best_factor(sweep, study.n_bins)}".strip()
        for sweep in lowered[:1]
    ]
    return said + [example(*_errors(sweep, study.n_bins), word="raises") for sweep in raised[:1]]


def _best_factor(sweep: Sweep, n_bins: int) -> str:
    """A sentence on the factor with the least error, where that is another than the one fixed beforehand."""
    best = min(sweep.factors, key=lambda arm: float(ece(arm, n_bins).mean()))
    if best.alpha in (0.0, sweep.alpha):
        return ""
    error = ece(best, n_bins).mean()
    return f"Of all α tried on it, {best.alpha:g} has the smallest error without a temperature, {error:.3f}."


def _errors(sweep: Sweep, n_bins: int) -> tuple[str, float, np.ndarray, np.ndarray, np.ndarray]:
    """Title and α of a network, and the ECE (S,) with hard targets, smoothed ones, and hard ones scaled."""
    hard, smoothed = sweep.comparison.reference, sweep.comparison.main
    return sweep.title, smoothed.alpha, ece(hard, n_bins), ece(smoothed, n_bins), ece(scaled(hard), n_bins)


def example(
    title: str, alpha: float, hard: np.ndarray, smoothed: np.ndarray, scaled: np.ndarray, word: str = ""
) -> str:
    """A sentence on one network. word: what smoothing does to its error, "lowers" or "raises"; "" where it is open."""
    rest = f"a temperature fitted on held-out data leaves {scaled.mean():.3f}."
    if not word:
        return (
            f"On {title} it is open what smoothing with α = {alpha:g} does to the calibration error: "
            f"{hard.mean():.3f} with hard targets, {smoothed.mean():.3f} with smoothed ones; {rest}"
        )
    return (
        f"On {title} smoothing with α = {alpha:g} {word} the calibration error from {hard.mean():.3f} to "
        f"{smoothed.mean():.3f}; {rest}"
    )


def _change(sweep: Sweep, n_bins: int) -> float:
    """Mean ECE with smoothed targets − with hard ones."""
    return float(ece(sweep.comparison.main, n_bins).mean() - ece(sweep.comparison.reference, n_bins).mean())


def depends_text(study: Study) -> Text:
    """What the answer depends on: the length of the training, and α."""
    paragraphs = [_length_sentences(study), _factor_sentences(study)]
    return Text(Markup("\n\n").join(filter(None, paragraphs)))


def _length_sentences(study: Study) -> Markup | str:
    """What smoothing does to the error after trainings of other lengths."""
    if not study.lengths:
        return ""
    changes = []
    for sweep in study.lengths:
        errors = {arm.alpha: ece(arm, study.n_bins) for arm in sweep.factors}
        hard, smoothed = errors.pop(0.0), errors.pop(sweep.alpha)
        changes.append(length_change(sweep.run.examples, round(sweep.epochs), hard, smoothed, errors))
    first = study.lengths[0]
    chosen = CHOSEN.format(study.sweeps[0].run.examples) if study.profile == "laptop" else ""
    return Markup(
        "**The length of the training.** On {}, smoothing with α = {:g} changes the calibration error {}. {}"
    ).format(first.title, first.alpha, listed(changes), chosen)


CHOSEN = (
    "Long training on few images makes networks with hard targets overconfident, and there smoothing helps. The "
    "small-scale setting of this book, the same {:,} images many times over, was chosen after a first try on all "
    "images, in which it did not help: the claims were fixed before the results, the setting was not."
)


def length_change(
    images: int, epochs: int, hard: np.ndarray, smoothed: np.ndarray, others: Mapping[float, np.ndarray]
) -> str:
    """What smoothing changes after so many epochs on so many images.

    hard, smoothed: ECE (S,); others: that of further smoothing factors.
    """
    change = captions.difference(hard, smoothed)
    further = "".join(f"; α = {alpha:g}: {captions.difference(hard, errors)}" for alpha, errors in others.items())
    return f"by {change} after {counted(epochs, 'epoch')} on {images:,} images ({counted(len(hard), 'seed')}{further})"


def _factor_sentences(study: Study) -> Markup | str:
    """Say for which factors smoothing comes within the margin of scaling, where several factors are recorded."""
    margin = claims.CLAIMS["C7"].part().margin
    sentences = []
    for sweep in study.sweeps:
        others = [arm for arm in sweep.factors if arm.alpha]
        limit = ece(scaled(sweep.comparison.reference), study.n_bins).mean() + margin
        within = [f"{arm.alpha:g}" for arm in others if ece(arm, study.n_bins).mean() < limit]
        if len(others) > 2:
            sentences.append(within_margin(sweep.title, sweep.alpha, within, [f"{arm.alpha:g}" for arm in others]))
    if not sentences:
        return ""
    return Markup("**The factor.** {} The factors of the claims were fixed before, whatever the best one is.").format(
        " ".join(sentences)
    )


def within_margin(title: str, alpha: float, within: Sequence[str], recorded: Sequence[str]) -> str:
    """A sentence on the factors whose mean ECE is within the margin of temperature scaling. alpha: the claims'."""
    if not within:
        return f"On {title} no recorded factor brings the error within the margin of temperature scaling."
    claimed = f"{alpha:g}"
    standing = f"the claim’s {claimed} among them" if claimed in within else f"not with the claim’s {claimed}"
    return (
        f"Of the factors recorded on {title}, {listed(recorded)}, smoothing comes within the margin of temperature "
        f"scaling with {listed(within)}, {standing}."
    )


def _scaled_likelihoods(study: Study) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Each network's negative log-likelihood at fitted temperatures, in nats: hard (S,), smoothed (S,)."""
    found = []
    for sweep in study.sweeps:
        hard, smoothed = (
            read_metric(scaled(arm), "nll") for arm in (sweep.comparison.reference, sweep.comparison.main)
        )
        found.append((sweep.title, hard, smoothed))
    return found


def likelier(likelihoods: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> str:
    """On which networks smoothing makes the labels likelier than hard targets do, each at its best temperature."""
    found: dict[str, list[str]] = {"yes": [], "no": [], "open": []}
    for title, hard, smoothed in likelihoods:
        answer = "open"
        if min(len(hard), len(smoothed)) > 1:
            change = welch_interval(hard, smoothed)
            answer = "yes" if change.high < 0 else "no" if change.low > 0 else "open"
        found[answer].append(f"on {title}")
    return sentence_case(", ".join(f"{answer} {listed(where)}" for answer, where in found.items() if where))


def numbers(study: Study) -> dict[str, float | str]:
    """What the chapter's text quotes by name: of its first network, and likelihoods of all."""
    sweep = study.sweeps[0]
    hard = sweep.comparison.reference
    diagrams = reliability(scaled(hard), study.n_bins)
    likelihoods = _scaled_likelihoods(study)
    left = [
        f"{title} {before.mean():.3f} → {after.mean():.3f} ({captions.difference(before, after)})"
        for title, before, after in likelihoods
    ]
    by_chance = np.mean([diagram.ece_if_calibrated for diagram in diagrams])
    return {
        "network": sweep.title,
        "chance_ece": float(by_chance),
        "likelihoods": "; ".join(left),
        "likelier": likelier(likelihoods),
        "n_test": f"{len(hard.records[0].arrays['test_hit']):,}",
    }


CHAPTER = Chapter("calibration", groups, DecidedClaims(("C6", "C7", "C1"), settings))
