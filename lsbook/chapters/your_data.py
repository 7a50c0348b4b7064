"""The page about somebody's own images: does label smoothing help there? Runs, tables, sentences by stated rules."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lsbook import figures
from lsbook.analysis.statistics import Interval, welch_interval
from lsbook.assess.report import LEAST_GAIN
from lsbook.chapters import calibration, trust
from lsbook.chapters.shared import captions
from lsbook.chapters.shared.comparison import (
    Arm,
    ArmValues,
    Comparison,
    compare,
    group_of,
    smoothing_arm,
)
from lsbook.chapters.shared.selection import RECORDED, Group, parse_seeds, select_runs
from lsbook.core.config import Run
from lsbook.core.errors import UserError, brief, one_of
from lsbook.core.own_images import ImagesRead, Trial, read_trial
from lsbook.core.registry import DATASETS, title
from lsbook.core.store import Store
from lsbook.core.wording import counted, listed
from lsbook.evidence.claims import LEAST_SEEDS
from lsbook.outputs import Figure, Markup, Table, Text, cell_frame
from lsbook.recipes import profiles

OURS = "book"  # in place of a trial: the book's own images and networks
NAMED = "LSBOOK_TRIAL"  # where `lsbook try` gives the path of the trial, of which the page has the name alone
NETWORKS = {"smoke": ("digits", "alexnet-16"), "laptop": ("cifar10", "alexnet")}
FACTORS_TRIED = (0.0, 0.05, 0.1)
LINES = "-", "--", ":", "-."  # of smoothing factors, in their order, which share a colour
MOST_ALPHAS = 1 + len(LINES)
FEW_TESTED = 1_000  # test images, below which reliability is drawn in fewer bins
BINS, FEW_BINS = 15, 5


class Shown(NamedTuple):
    """How a metric of a record is shown. title: in a table; factor: of its unit there; decimals: in a sentence."""

    title: str
    factor: float = 1.0
    decimals: int = 3


MEASURES = {
    "test_accuracy": Shown("accuracy (%)", 100, 1),
    "test_nll": Shown("NLL (nats)"),
    "test_ece": Shown("ECE, 15 bins"),
    "temperature": Shown("temperature T, fitted", decimals=2),
    "test_scaled_ece": Shown("ECE at T"),
    "test_scaled_nll": Shown("NLL at T (nats)"),
    "test_msp_augrc": Shown("AUGRC, probability", decimals=4),
    "test_normalised_logit_augrc": Shown("AUGRC, normalised logit", decimals=4),
    "test_msp_auroc": Shown("AUROC of right against wrong"),
}
COMPARED = ("test_accuracy", "test_ece", "test_scaled_ece", "test_msp_augrc", "test_msp_auroc")


@dataclass(frozen=True)
class Study:
    """A trial with what is recorded of it. own: whether the images are the reader's."""

    trial: Trial
    comparison: Comparison
    own: bool

    @property
    def read(self) -> ImagesRead:
        """What was read of the images."""
        return self.trial.read

    @property
    def seeds(self) -> int:
        """How many networks each smoothing factor has."""
        return len(self.comparison.reference.records)

    @property
    def measured(self) -> list[str]:
        """The metrics of MEASURES that every record has: no AUROC is where a network is always right, or never."""
        return [metric for metric in MEASURES if all(metric in record.metrics for record in self.comparison.records)]

    @property
    def network(self) -> str:
        """The network's name, as the reader knows it."""
        return title(self.trial.network)


def study(trial: str = OURS, profile: str = "auto", store: Store | None = None) -> Study:
    """The recorded networks of a trial.

    Args:
        trial: path of what `lsbook try` has written, or "book" for the book's own images.
        profile: whose networks are the book's own, smoke or laptop; "auto" for the laptop's.
        store: where records are; the project's own when None.

    Raises:
        UserError: for no trial, and where no seed of it is recorded with every factor.
    """
    one_of("profile", profile, ("auto", *NETWORKS))
    if not isinstance(trial, str):
        raise UserError(f'trial must be the path of what `lsbook try` has written, or "{OURS}", not {brief(trial)}')
    profile = "laptop" if profile == "auto" else profile
    own = trial != OURS
    tried = read_trial(Path(os.environ.get(NAMED, trial))) if own else ours(profile)
    selection = select_runs(profile, RECORDED, lambda _: [_group(tried)], store)
    return Study(tried, compare(profile, arms(tried.alphas), selection.groups[0]), own)


def ours(profile: str = "laptop") -> Trial:
    """The book's own trial: AlexNet on 10 000 images of CIFAR-10, or toy data."""
    name, model = NETWORKS[profile]
    dataset = DATASETS[name]
    run = profiles.run(profile, name, model, alpha=0.0, seed=0)
    sizes = {"train": run.examples, "heldout": dataset.heldout, "test": dataset.examples[1]}
    k = len(dataset.classes)
    read = ImagesRead(
        dataset=name,
        title=dataset.title,
        classes=dataset.classes,
        counts={split: (size // k,) * (k - size % k) + (size // k + 1,) * (size % k) for split, size in sizes.items()},
        shape=dataset.shape or (3, 32, 32),
        split_by="as they came",
    )
    seeds = "0-2" if profile == "smoke" else "5-9"
    return Trial(read=read, network=model, recipe=run.recipe, alphas=FACTORS_TRIED, seeds=seeds)


def runs(trial: Trial) -> list[Run]:
    """Every run of a trial, the first seed of each factor first. UserError for seeds or factors that are none."""
    group = _group(trial)
    return [run for seed in parse_seeds(trial.seeds) for run in group.runs(seed).values()]


def _group(trial: Trial) -> Group:
    def run(arm: Arm, seed: int) -> Run:
        return Run(
            dataset=trial.read.dataset,
            model=trial.network,
            alpha=arm.alpha,
            seed=seed,
            recipe=trial.recipe,
            examples=trial.read.total("train"),
        )

    return group_of(arms(trial.alphas), run, trial.seeds)


def arms(alphas: Sequence[float]) -> list[Arm]:
    """An arm for each smoothing factor. UserError unless hard targets come first, and others, each once, after them."""
    others = alphas[1:]
    fit = 1 <= len(others) < MOST_ALPHAS and len(set(others)) == len(others) and all(0 < alpha < 1 for alpha in others)
    if not fit or alphas[0] != 0:
        raise UserError(
            f"alphas must be 0 for hard targets and then one to {MOST_ALPHAS - 1} others below 1, such as 0,0.05,0.1"
        )
    names = ("hard targets", *(f"α = {alpha:g}" for alpha in others))
    return [replace(smoothing_arm(alpha), name=name, label=name) for alpha, name in zip(alphas, names, strict=True)]


def introduction(shown: Study) -> Text:
    """What the page is about."""
    read = shown.read
    factors = listed([f"{alpha:g}" for alpha in shown.trial.alphas[1:]])
    return Text(
        f"Does label smoothing help {shown.network} on {read.title}, {read.total('train'):,} training images of "
        f"{len(read.classes)} classes? Hard targets are compared with α = {factors}, "
        f"{counted(shown.seeds, 'network')} of each."
    )


def in_short(shown: Study) -> Text:
    """The answer on accuracy, calibration and ranking, with intervals, or that there are too few seeds for them."""
    few = ""
    if shown.seeds < LEAST_SEEDS:
        few = f"Too few seeds: {shown.seeds} of each factor, and an interval needs {LEAST_SEEDS}."
    sentences = [few, _on_accuracy(shown), _on_calibration(shown), _on_ranking(shown)]
    return captions.short_answer([sentence for sentence in sentences if sentence])


def change(shown: Study, arm: Arm, metric: str) -> Interval | None:
    """A metric of an arm less that of hard targets, with its Welch interval; None with too few seeds or records."""
    if shown.seeds < LEAST_SEEDS or metric not in shown.measured:
        return None
    factor = MEASURES[metric].factor
    return welch_interval(factor * shown.comparison.reference.metric(metric), factor * arm.metric(metric))


def _mean(arm: Arm, metric: str) -> float:
    return float(MEASURES[metric].factor * arm.metric(metric).mean())


def _in_words(arm: Arm, metric: str) -> str:
    return f"{_mean(arm, metric):.{MEASURES[metric].decimals}f}"


def _effects(shown: Study, metric: str, lower: str, higher: str, unit: str = "") -> str:
    """For each factor whether its whole interval lies below or above that of hard targets, in words."""
    if shown.seeds < LEAST_SEEDS:
        return listed([f"{_in_words(arm, metric)}{unit} with {arm.label}" for arm in shown.comparison.others])
    found: dict[str, list[str]] = {}
    for arm in shown.comparison.others:
        difference = change(shown, arm, metric)
        assert difference is not None  # there are enough seeds
        verdict = lower if difference.high < 0 else higher if difference.low > 0 else "not clearly different"
        points = " points" if unit else ""
        found.setdefault(verdict, []).append(f"{arm.label} ({captions.signed(*difference)}{points})")
    return ", ".join(f"{verdict} with {listed(factors)}" for verdict, factors in found.items())


def _on_accuracy(shown: Study) -> str:
    right = _in_words(shown.comparison.reference, "test_accuracy")
    return (
        f"With hard targets {right} % of the {shown.read.total('test'):,} test images are classified correctly; the "
        f"share is {_effects(shown, 'test_accuracy', 'lower', 'higher', ' %')}."
    )


def _on_calibration(shown: Study) -> str:
    plain, scaled = (_in_words(shown.comparison.reference, metric) for metric in ("test_ece", "test_scaled_ece"))
    return (
        f"The calibration error is {plain}, and {scaled} at a fitted temperature; without one it is "
        f"{_effects(shown, 'test_ece', 'lower', 'higher')}."
    )


def _on_ranking(shown: Study) -> str:
    shares = (
        "The largest probability ranks the errors with an AUGRC, the lower the better, of "
        f"{_in_words(shown.comparison.reference, 'test_msp_augrc')}; it is "
        f"{_effects(shown, 'test_msp_augrc', 'better', 'worse')}."
    )
    if "test_msp_auroc" not in shown.measured:
        return shares
    return (
        f"{shares} It tells right from wrong with an AUROC of "
        f"{_in_words(shown.comparison.reference, 'test_msp_auroc')}; it is "
        f"{_effects(shown, 'test_msp_auroc', 'worse', 'better')}."
    )


def advice(shown: Study) -> Text:
    """What to do on this data, by the rules that `ADVICE_RULES` states."""
    if shown.seeds < LEAST_SEEDS:
        return Text(f"With {LEAST_SEEDS} seeds or more of each factor there will be advice here.")
    lines = (_for_accuracy(shown), _for_calibration(shown), _for_rejecting(shown))
    return Text(Markup("\n").join(Markup("- **{}** {}").format(*line) for line in lines))


def _for_accuracy(shown: Study) -> tuple[str, str]:
    changes = {arm.label: change(shown, arm, "test_accuracy") for arm in shown.comparison.others}
    gains = {label: found for label, found in changes.items() if found and found.low > 0}
    losses = [label for label, found in changes.items() if found and found.high < 0]
    if gains:
        best = max(gains, key=lambda label: gains[label].mean)
        return "Accuracy:", f"smooth by {best}, which gains {gains[best].mean:.1f} points."
    if len(losses) == len(changes):
        return "Accuracy:", "do not smooth: every factor costs accuracy."
    return "Accuracy:", "no reason to smooth, and none not to: no factor gains clearly."


def _for_calibration(shown: Study) -> tuple[str, str]:
    hard = shown.comparison.reference
    plain, scaled = _mean(hard, "test_ece"), _mean(hard, "test_scaled_ece")
    chance = float(np.mean([diagram.ece_if_calibrated for diagram in calibration.reliability(hard, BINS)]))
    clearly = [arm for arm in shown.comparison.others if (found := change(shown, arm, "test_ece")) and found.high < 0]
    best = min(clearly, key=lambda arm: _mean(arm, "test_ece")) if clearly else None
    smoothed = math.inf if best is None else _mean(best, "test_ece")
    if plain - max(chance, min(scaled, smoothed)) < LEAST_GAIN:
        return "Confidence:", (
            f"take it as it is: of its calibration error {plain:.3f} chance alone gives about {chance:.3f} on so many "
            "test images, and neither a temperature nor smoothing clearly lowers it."
        )
    if best is None or scaled <= smoothed:
        temperature = hard.metric("temperature").mean()
        compared = "" if best is None else f"; {best.label} has {smoothed:.3f}"
        return "Confidence:", (
            f"train with hard targets and divide the logits by a temperature fitted on held-out images, about "
            f"{temperature:.2f}: the error falls from {plain:.3f} to {scaled:.3f}{compared}."
        )
    return "Confidence:", (
        f"{best.label} lowers the error from {plain:.3f} to {smoothed:.3f}, further than a temperature ({scaled:.3f})."
    )


def _for_rejecting(shown: Study) -> tuple[str, str]:
    changes = {
        arm.label: (change(shown, arm, "test_msp_augrc"), change(shown, arm, "test_msp_auroc"))
        for arm in shown.comparison.others
    }
    worse = [
        label
        for label, (share, ranking) in changes.items()
        if (share and share.low > 0) or (ranking and ranking.high < 0)
    ]
    if worse:
        return "Rejecting the uncertain:", (
            f"do not smooth by {listed(worse)}: the largest probability tells right from wrong worse there."
        )
    return "Rejecting the uncertain:", "nothing shows that smoothing ranks errors worse here."


def images_text(shown: Study) -> Text:
    """What was read, how it was split, what was left out, and how exact the test set makes the numbers."""
    read = shown.read
    channels, height, width = read.shape
    tested = read.total("test")
    right = shown.comparison.reference.metric("test_accuracy").mean()
    standard_error = 100 * math.sqrt(right * (1 - right) / tested)
    fewest, most = min(read.counts["train"]), max(read.counts["train"])
    of_a_class = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    first = (
        f"{read.total('train'):,} images to train on ({of_a_class} of a class), {read.total('heldout'):,} to fit "
        f"temperatures on, {tested:,} to test on, split {read.split_by}; each of {height} × {width} pixels, "
        f"{'grey' if channels == 1 else 'in colour'}."
    )
    exact = (
        f"Which {tested:,} images are tested on is chance, too. From this an accuracy has a standard error of "
        f"{standard_error:.1f} points, which intervals over seeds do not show, since all networks share the images."
    )
    return Text(Markup("\n").join(Markup("- {}").format(line) for line in (first, *read.notes, exact)))


def measures_table(shown: Study) -> Table:
    """Every measure of every factor, mean and 95 % interval over the seeds."""
    rows = [
        (measure.title, *(captions.with_interval(measure.factor * arm.metric(metric)) for arm in shown.comparison.arms))
        for metric, measure in MEASURES.items()
        if metric in shown.measured
    ]
    return Table(
        "table-trial",
        "Measured on test images: mean ± half of the 95 % interval over the seeds. NLL is the negative log-likelihood; "
        "T is fitted on held-out images; AUGRC ranks by the largest probability, or by the normalised logit.",
        cell_frame(("measure", *(arm.label for arm in shown.comparison.arms)), rows),
        shown.comparison.records,
    )


def differences_table(shown: Study) -> Table | Text:
    """Each factor less hard targets, with 95 % Welch intervals over the seeds."""
    if shown.seeds < LEAST_SEEDS:
        return Text("Too few seeds for intervals of differences.")
    rows = [
        (
            MEASURES[metric].title,
            *(captions.signed(*found) for arm in shown.comparison.others if (found := change(shown, arm, metric))),
        )
        for metric in COMPARED
        if metric in shown.measured
    ]
    return Table(
        "table-trial-differences",
        "Smoothed less hard: mean and 95 % Welch interval over the seeds, of each factor alone.",
        cell_frame(("difference in", *(arm.label for arm in shown.comparison.others)), rows),
        shown.comparison.records,
    )


def accuracy_figure(shown: Study) -> Figure:
    """ECE and accuracy against the smoothing factor."""
    arms_by_factor = sorted(shown.comparison.arms, key=lambda arm: arm.alpha)
    points = [calibration.factor_point(arm, BINS) for arm in arms_by_factor]
    drawn = calibration.Factors(_title(shown), points, further=[])
    return Figure(partial(figures.factors_figure, [drawn]), shown.comparison.records)


def _title(shown: Study) -> str:
    return f"{shown.network}, {shown.read.title}"


def reliability_figure(shown: Study) -> Figure:
    """Reliability of hard targets as they are and scaled, and of each smoothing factor."""
    bins = BINS if shown.read.total("test") >= FEW_TESTED else FEW_BINS
    hard = shown.comparison.reference
    readings = [hard, calibration.scaled(hard), *shown.comparison.others]
    drawn = [ArmValues(arm.label, arm.colour, calibration.reliability(arm, bins)) for arm in readings]
    return Figure(partial(figures.reliability_figure, [(_title(shown), drawn)]), shown.comparison.records)


def risk_figure(shown: Study) -> Figure:
    """Risk against coverage of each factor by the largest probability."""
    curves = [
        (arm.label, arm.colour, line, trust.risk_over_seeds(arm, "msp"))
        for arm, line in zip(shown.comparison.arms, ("-", *LINES), strict=False)
    ]
    return Figure(partial(figures.risk_figure, [(_title(shown), curves)]), shown.comparison.records)


ADVICE_RULES = Text(
    "A factor raises or lowers a number where the whole 95 % interval of its difference from hard targets, over the "
    "seeds, is on one side of 0; else that is open. Smoothing is advised for accuracy where some factor raises it, and "
    "the one with the largest gain is named. For confidence the better of a temperature and a factor that lowers the "
    f"calibration error is advised, if that is at least {LEAST_GAIN:g} above what they reach and what chance alone "
    "gives. For rejecting, a factor is advised against that raises AUGRC or lowers the AUROC of right against wrong. "
    "Of several factors the best looks better than it is: try it once more on seeds of its own before you rely on it."
)
