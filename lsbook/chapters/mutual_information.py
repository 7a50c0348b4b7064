"""Figure 6: how much the difference of two logits tells about the training example it was computed from."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from lsbook import figures
from lsbook.analysis.information import bracket, information_by_own_variances, mixture_information
from lsbook.analysis.statistics import welch_interval
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.chapter import Chapter, DecidedClaims
from lsbook.chapters.shared.claim_tables import Measure, Setting
from lsbook.chapters.shared.comparison import (
    Arm,
    Comparison,
    compare,
    group_of,
    smoothing_arms,
)
from lsbook.chapters.shared.selection import Group, select_runs
from lsbook.core import registry
from lsbook.core.config import Run
from lsbook.core.errors import several_of
from lsbook.core.store import Record
from lsbook.core.wording import listed
from lsbook.evidence import literature
from lsbook.evidence.claims import CONTRADICTED, REPRODUCED
from lsbook.outputs import Figure, Markup, Table, Text, cell_frame
from lsbook.recipes import profiles

SPLITS = {"train": "training images", "heldout": "held-out images"}
# Data sets, networks and, if they are not the recipe's, numbers of images and epochs.
NETWORKS = {
    "smoke": (("digits", "alexnet-16", (300, 10)),),
    "laptop": (("cifar10", "resnet56", None), ("cifar10", "alexnet", None)),
    "paper": (("cifar10", "resnet56", None), ("cifar10", "alexnet", None)),
}
# Of the study of the estimator: spreads of the examples' means in units of the noise, numbers of views, examples, and
# draws of the noise that are averaged.
SPREADS = np.geomspace(0.1, 100, 13)
VIEWS = (2, 5, 10, 30)
EXAMPLES = 200
DRAWS = 4


def run(profile: str, arm: Arm, seed: int, place: int = 0) -> Run:
    """The run behind one curve of a network of the profile: it carries the probe of logit differences."""
    dataset, model, length = NETWORKS[profile][place]
    return dataclasses.replace(arm.run(profile, dataset, model, seed, length), probe="logit-differences")


def groups(profile: str, alpha: float = 0.1) -> list[Group]:
    """What the chapter asks for: of each network the runs of its arms."""
    arms = smoothing_arms(alpha)
    return [
        group_of(arms, partial(run, profile, place=place), profiles.SEEDS[profile])
        for place in range(len(NETWORKS[profile]))
    ]


class Trajectory(NamedTuple):
    """Information (nats) of an arm along the training.

    steps (P,); plug_in, leave_one_out and their midpoint (S, P), one row a seed.
    """

    title: str
    colour: str
    steps: np.ndarray
    plug_in: np.ndarray
    leave_one_out: np.ndarray

    @property
    def midpoint(self) -> np.ndarray:
        """(S, P) midpoint of the plug-in and the leave-one-out estimate, in nats."""
        return (self.plug_in + self.leave_one_out) / 2

    @property
    def ends(self) -> np.ndarray:
        """(S,) at the end of the training."""
        return self.midpoint[:, -1]

    @property
    def falls(self) -> np.ndarray:
        """(S,) from the highest point of each run to its end."""
        return self.midpoint.max(axis=1) - self.midpoint[:, -1]


class Panel(NamedTuple):
    """What the figure shows of one network on one split: each arm, and the number of examples N of an estimate.

    counted: the arms by how many views of each example an estimate counts, the last all of them; weaker: at the end
    alone, by how many pixels a view is at most from the central one.
    """

    title: str
    counted: dict[int, list[Trajectory]]
    weaker: dict[int, list[Trajectory]]
    examples: int

    @property
    def views(self) -> int:
        """How many views of an example there are."""
        return list(self.counted)[-1]

    @property
    def trajectories(self) -> list[Trajectory]:
        """The arms, from all views."""
        return self.counted[self.views]


class Shown(NamedTuple):
    """A network, the labels of the two classes that are followed, and its row of the figure: a panel for each split."""

    comparison: Comparison
    pair: tuple[int, int]
    panels: list[Panel]


def shown(
    profile: str = "auto",
    alpha: float = 0.1,
    seeds: str = "auto",
    classes: str = "auto",
    splits: Iterable[str] = SPLITS,
) -> list[Shown]:
    """The networks of the chapter, trained where they are missing.

    classes: two of the data set, such as "cat,dog"; "auto": the paper's. UserError unless they are two different ones.
    """
    selection = select_runs(
        profile, seeds, lambda name: groups(name, alpha), check=lambda dataset: chosen_pair(dataset, classes)
    )
    rows = []
    for records in filter(None, selection.groups):
        comparison = compare(selection.profile, smoothing_arms(alpha), records)
        pair = chosen_pair(comparison.network[0], classes)
        rows.append(Shown(comparison, pair, [_panel(comparison, pair, split) for split in splits]))
    return rows


def chosen_pair(dataset: str, classes: str) -> tuple[int, int]:
    """Labels, in order, of two classes given by name; see `shown`."""
    names = registry.dataset(dataset).classes
    chosen = ",".join(names[:2]) if classes == "auto" else classes
    first, second = sorted(several_of(f"class of {registry.title(dataset)}", chosen, names, 2))
    return first, second


def _panel(comparison: Comparison, pair: Sequence[int], split: str) -> Panel:
    arrays = comparison.reference.records[0].arrays
    [column] = np.flatnonzero((arrays["probe_pairs"] == tuple(pair)).all(axis=1))
    examples = int(arrays[f"{split}_examples"][list(pair)].sum())

    def trajectories(steps: np.ndarray, estimates: Callable[[Record], np.ndarray]) -> list[Trajectory]:
        """Measure each arm; estimates: of a record, plug-in and leave-one-out (P, 2)."""
        found = []
        for arm in comparison.arms:
            values = arm.values(estimates).astype(float)
            found.append(Trajectory(arm.label, arm.colour, steps, values[..., 0], values[..., 1]))
        return found

    def counting(place: int) -> Callable[[Record], np.ndarray]:
        return lambda record: record.arrays[f"{split}_information"][:, column, place]

    def within_reach(place: int) -> Callable[[Record], np.ndarray]:
        return lambda record: record.arrays[f"{split}_weaker_information"][[place], column, -1]

    steps = arrays["probe_steps"].astype(int)
    counted = {int(views): trajectories(steps, counting(k)) for k, views in enumerate(arrays["probe_views"])}
    weaker = {int(reach): trajectories(steps[-1:], within_reach(k)) for k, reach in enumerate(arrays["probe_reaches"])}
    return Panel(f"{comparison.title}\n{SPLITS[split]}, N = {examples}", counted, weaker, examples)


def measure(reference: Trajectory, compared: Trajectory) -> list[Measure]:
    """Decide both parts of claim C16 from the midpoint of the two estimates, on training images as in the paper."""
    return [
        claim_tables.measure("C16", "end", "information at the end", reference.ends, compared.ends),
        claim_tables.measure("C16", "fall", "peak minus end", reference.falls, compared.falls),
    ]


def measured(rows: Sequence[Shown]) -> list[Setting]:
    """Each network with the claim, on each arm that is compared with the reference."""
    found = []
    for comparison, _, (train, *_) in rows:
        reference, *others = train.trajectories
        for arm, compared in zip(comparison.others, others, strict=True):
            records = [*comparison.reference.records, *arm.records]
            title, measures = comparison.title_of(arm), claim_tables.at_factor(measure(reference, compared), arm.alpha)
            found.append(Setting("mutual_information", comparison.profile, title, measures, records))
    return found


def settings(profile: str, seeds: str) -> list[Setting]:
    """The networks with the claim, for the scorecard."""
    return measured(shown(profile, seeds=seeds, splits=["train"]))


def dependence_table(rows: Sequence[Shown]) -> Table:
    """The end and the fall of every network by images, number and strength of the views, and estimate."""
    columns = {
        "plug-in": lambda trajectory: trajectory.plug_in[:, -1].mean(),
        "leave-one-out": lambda trajectory: trajectory.leave_one_out[:, -1].mean(),
        "midpoint": lambda trajectory: trajectory.ends.mean(),
        "fall": lambda trajectory: trajectory.falls.mean(),
    }
    arrow = "\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}"

    def row(split: str, views: int, moved: str, arms: list[Trajectory]) -> tuple[str, ...]:
        cells = [arrow.join(f"{value(arm):.2f}" for arm in arms) for value in columns.values()]
        if len(arms[0].steps) == 1:
            cells[-1] = "—"
        return split.partition(" ")[0], str(views), moved, *cells

    found = []
    for comparison, _, panels in rows:
        found.append((Markup("**{}**").format(comparison.title), *[""] * (len(columns) + 2)))
        for panel, split in zip(panels, SPLITS.values(), strict=True):
            found += [row(split, views, "any", arms) for views, arms in panel.counted.items()]
            found += [row(split, panel.views, str(reach), panel.weaker[reach]) for reach in reversed(panel.weaker)]
    comparison = rows[0].comparison
    compared = "; ".join(f"{arm.name} targets, {arm.panel_label}" for arm in comparison.others)
    return Table(
        "table-information-dependence",
        f"What the information depends on, in nats, {comparison.reference.name} → {compared}, means over "
        "the seeds: at the end, by which images, how many views of each are counted, and how far from the central one, "
        "in pixels, these are taken; in each estimate and at their midpoint; and the fall of the midpoint from the "
        "highest point of a run to its end.",
        cell_frame(("images", "views", "shift", *columns), found),
        records(rows),
    )


def records(rows: Sequence[Shown]) -> list[Record]:
    """Return the records of all networks that the rows show."""
    return [record for row in rows for record in row.comparison.records]


class PairInformation(NamedTuple):
    """What is told at the end about the training images of each pair of classes.

    hard, smoothed: (K, K) nats, midpoint of the two estimates, mean over the seeds; NaN on the diagonal.
    lower, falls: (K, K) whether the rule of the claim, applied to the pair alone, finds smoothed networks to end lower,
    and to fall further.
    """

    hard: np.ndarray
    smoothed: np.ndarray
    lower: np.ndarray
    falls: np.ndarray


def all_pairs(comparison: Comparison) -> PairInformation:
    """Measure the information at the end of training about each pair of classes, with both arms."""
    classes = len(comparison.classes)
    found = PairInformation(*np.full((2, classes, classes), np.nan), *np.zeros((2, classes, classes), bool))
    for pair in comparison.reference.records[0].arrays["probe_pairs"].tolist():
        reference, compared, *_ = _panel(comparison, pair, "train").trajectories
        end, fall = (measured.verdict.verdict == REPRODUCED for measured in measure(reference, compared))
        for values, value in zip(found, (reference.ends.mean(), compared.ends.mean(), end, fall), strict=True):
            values[*pair] = values[*pair[::-1]] = value
    return found


def information_figure(rows: Sequence[Shown]) -> Figure:
    """The information along the training about training images, a panel for each network (Figure 6)."""
    return Figure(partial(figures.information_figure, [row.panels[:1] for row in rows]), records(rows))


def pairs_figure(comparison: Comparison) -> Figure:
    """How much less is told by smoothed networks about each pair of classes."""
    found = all_pairs(comparison)
    drawn = partial(figures.pairs_figure, found.smoothed - found.hard, found.lower, comparison.classes)
    return Figure(drawn, comparison.records)


class Bias(NamedTuple):
    """Estimates against the truth for normal views: spreads (M,), truth (M,), and per number of views (M,) arrays."""

    spreads: np.ndarray
    truth: np.ndarray
    plug_in: dict[int, np.ndarray]
    leave_one_out: dict[int, np.ndarray]


def bias(seed: int = 0) -> Bias:
    """The estimator where the truth is known: means normal with some spread, views normal around them with sd 1."""
    generator = np.random.default_rng(seed)
    means = generator.standard_normal(EXAMPLES)
    truth = np.array([mixture_information(spread * means, 1.0) for spread in SPREADS])

    def estimates(spread: float, views: int) -> np.ndarray:
        noise = generator.standard_normal((DRAWS, EXAMPLES, views))
        return np.mean([bracket(spread * means[:, None] + one) for one in noise], axis=0)

    found = {views: np.array([estimates(spread, views) for spread in SPREADS]) for views in VIEWS}
    plug_in, leave_one_out = ({views: values[:, k] for views, values in found.items()} for k in range(2))
    return Bias(SPREADS, truth, plug_in, leave_one_out)


def in_short(rows: Sequence[Shown]) -> Text:
    """The chapter's answer: what is told at the end of training and of held-out images, and whether it falls late."""
    sentences = [end_sentence([(row.comparison.title, *_ends(row.panels[0])) for row in rows])]
    ends = [(_model(row.comparison), _ends(row.panels[0]), _ends(row.panels[1])) for row in rows]
    sentences.append(heldout_sentence(ends))
    sentences.append(fall_sentence([(_model(row.comparison), *_falls(row.panels[0])) for row in rows]))
    link = Markup("You can [follow any two classes](#follow-two-classes).")
    return captions.short_answer(sentences, link)


Ends = tuple[np.ndarray, np.ndarray]  # (S,) nats at the end, hard and smoothed


def _ends(panel: Panel) -> Ends:
    """(S,) nats at the end with hard and with smoothed targets."""
    hard, smoothed, *_ = panel.trajectories
    return hard.ends, smoothed.ends


def _falls(panel: Panel) -> tuple[float, float]:
    """Mean fall from a run's highest point to its end, in nats, with hard and with smoothed targets."""
    hard, smoothed, *_ = panel.trajectories
    return float(hard.falls.mean()), float(smoothed.falls.mean())


def end_sentence(ends: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> str:
    """How much less smoothed networks tell at the end. ends: title of a network, nats (S,) hard and smoothed."""
    verdicts = {claim_tables.measure("C16", "end", "", hard, smoothed).verdict.verdict for _, hard, smoothed in ends}
    title, hard, smoothed = ends[0]
    said = (
        f"On {title} a logit difference tells {smoothed.mean():.2f} nats about which training image it is from with "
        f"smoothed targets and {hard.mean():.2f} with hard ones, where the class alone is {np.log(2):.2f}"
    )
    others = [f"on {title} {smoothed.mean():.2f} and {hard.mean():.2f}" for title, hard, smoothed in ends[1:]]
    said = "; ".join([said, *others]) + "."
    if verdicts == {REPRODUCED}:
        return f"As in the paper, smoothed networks end with less information about which image they see. {said}"
    if CONTRADICTED in verdicts:
        return f"Contrary to the paper, smoothed networks do not always end with less information. {said}"
    return f"Whether smoothed networks end with less information is open. {said}"


def fall_sentence(falls: Sequence[tuple[str, float, float]]) -> str:
    """Whether the information falls late. falls: network, mean fall in nats with hard and with smoothed targets."""
    hard, smoothed = (listed([f"{values[k]:.2f} ({values[0]})" for values in falls]) for k in (1, 2))
    return (
        f"From a run’s highest point to its end the information falls by {smoothed} nats with smoothed targets, and by "
        f"{hard} with hard ones; the paper reports a late fall of both."
    )


def heldout_sentence(ends: Sequence[tuple[str, Ends, Ends]]) -> str:
    """What is told of held-out images at the end, which no memory explains. ends: network, of training and held-out."""
    if not all(len(hard) > 1 and welch_interval(hard, smoothed).high < 0 for _, _, (hard, smoothed) in ends):
        changes = listed([f"{captions.difference(*heldout)} on {title}" for title, _, heldout in ends])
        return f"About held-out images the difference is {changes}."
    lost = {title: [hard.mean() - smoothed.mean() for hard, smoothed in of_splits] for title, *of_splits in ends}
    shares = listed([f"{100 * heldout / train:.0f} % ({title})" for title, (train, heldout) in lost.items()])
    return (
        "On held-out images, of which a network has no memory, smoothed ones end lower as well: the difference is "
        f"{shares} of that on training images."
    )


def _fitted(comparison: Comparison) -> str:
    """How many training images the networks with hard targets classify correctly."""
    accuracy = comparison.reference.metric("train_accuracy").mean()
    return f"{100 * accuracy:.0f} % ({_model(comparison)})"


def _model(comparison: Comparison) -> str:
    return registry.title(comparison.network[1])


def _readings(rows: Sequence[Shown]) -> list[list[Trajectory]]:
    """The arms as each row of the table of dependences reads them."""
    return [arms for row in rows for panel in row.panels for arms in (*panel.counted.values(), *panel.weaker.values())]


def dependence_sentence(ends: Sequence[tuple[float, ...]]) -> str:
    """Say in how many readings smoothed networks end lower. ends: nats with hard and with smoothed targets."""
    lower = sum(smoothed < hard for hard, smoothed in ends)
    if lower == len(ends):
        return "In every row smoothed networks end lower."
    return f"In {lower} of {len(ends)} rows smoothed networks end lower."


def _noise(arm: Arm) -> str:
    """5th and 95th percentile of the deviation over an example's views, of the first network and the paper's pair."""
    differences = arm.records[0].arrays["train_differences"][-1].astype(np.float64)
    low, high = np.percentile(differences.std(axis=1, ddof=1), (5, 95))
    return f"{low:.2f} and {high:.2f}"


def _by_own_variances(comparison: Comparison) -> str:
    """What smoothing changes at the end where each example has a variance of its own, on the paper's pair."""
    hard, smoothed = (
        arm.values(lambda record: information_by_own_variances(record.arrays["train_differences"][-1]))
        for arm in comparison.arms[:2]
    )
    return f"{captions.difference(hard, smoothed)} nats on {_model(comparison)}"


def _pair_numbers(comparison: Comparison) -> dict[str, float | str]:
    """Say of all pairs of classes for how many each part of the claim holds, and which pair changes least."""
    found = all_pairs(comparison)
    change = found.smoothed - found.hard
    least = np.unravel_index(np.nanargmax(change), change.shape)
    pairs = len(comparison.reference.records[0].arrays["probe_pairs"])
    return {
        "pairs": str(pairs),
        "pairs_end": str(int(np.triu(found.lower).sum())),
        "pairs_fall": str(int(np.triu(found.falls).sum())),
        "least_forgotten": " and ".join(comparison.classes[k] for k in sorted(least)),
        "least_difference": f"{change[least]:+.2f}".replace("-", "−"),
    }


def numbers(rows: Sequence[Shown]) -> dict[str, float | str]:
    """What the chapter's text quotes by name, of the first network."""
    comparison, pair, (train, _) = rows[0]
    hard_unmoved, smoothed_unmoved, *_ = train.weaker[0]
    names = comparison.classes
    hard, smoothed = comparison.arms[:2]
    return {
        "network": comparison.title.replace(", ", " on "),
        "examples": str(train.examples),
        "views": str(train.views),
        "followed": f"{names[pair[0]]} and {names[pair[1]]}",
        "kept": f"{names[0]} and {names[1]}",
        "log_n": float(np.log(train.examples)),
        "log_2": float(np.log(2)),
        "paper_examples": literature.MUTUAL_INFORMATION["examples"].shown,
        "paper_views": literature.MUTUAL_INFORMATION["views"].shown,
        "fitted": listed([_fitted(row.comparison) for row in rows]),
        "hard_noise": _noise(hard),
        "smoothed_noise": _noise(smoothed),
        "own_variances": listed([_by_own_variances(row.comparison) for row in rows]),
        "dependence": dependence_sentence([tuple(arm.ends.mean() for arm in arms[:2]) for arms in _readings(rows)]),
        "hard_unmoved": float(hard_unmoved.midpoint.mean()),
        "smoothed_unmoved": float(smoothed_unmoved.midpoint.mean()),
        **_pair_numbers(comparison),
    }


CHAPTER = Chapter("mutual_information", groups, DecidedClaims(("C16",), settings))
