"""Figure 6: how much the difference of two logits tells about the training example it was computed from."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lsbook.analysis.information import bracket, mixture_information
from lsbook.chapters import projections
from lsbook.chapters.shared import claim_tables
from lsbook.chapters.shared.chapter import Chapter, DecidedClaims
from lsbook.chapters.shared.claim_tables import Measure, Setting
from lsbook.chapters.shared.comparison import (
    Arm,
    ArmValues,
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
from lsbook.evidence.claims import REPRODUCED
from lsbook.outputs import Markup, Table, cell_frame
from lsbook.recipes import profiles

SPLITS = {"train": "training images", "heldout": "held-out images"}
# Data sets, networks and, if they are not the recipe's, numbers of images and passes.
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
        group_of(arms, functools.partial(run, profile, place=place), profiles.SEEDS[profile])
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


def _panel(comparison: Comparison, pair: tuple[int, int], split: str) -> Panel:
    arrays = comparison.reference.records[0].arrays
    [column] = np.flatnonzero((arrays["probe_pairs"] == pair).all(axis=1))
    examples = int(arrays[f"{split}_examples"][list(pair)].sum())

    def trajectories(steps: np.ndarray, estimates: Callable[[Record], np.ndarray]) -> list[Trajectory]:
        """Of each arm; estimates: of a record, plug-in and leave-one-out (P, 2)."""
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
    """Both parts of C16 from the midpoint of the two estimates, on training images as in the paper."""
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
            title, measures = comparison.title_of(arm), measure(reference, compared)
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
        "middle": lambda trajectory: trajectory.ends.mean(),
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
        "in pixels, these are taken; in each estimate and in the middle of both; and the fall of the middle from the "
        "highest point of a run to its end.",
        cell_frame(("images", "views", "shift", *columns), found),
        records(rows),
    )


def records(rows: Sequence[Shown]) -> list[Record]:
    """Return the records of all networks that the rows show."""
    return [record for row in rows for record in row.comparison.records]


def class_names(comparison: Comparison) -> tuple[str, ...]:
    """Return the names of the classes of a comparison's data set, in label order."""
    return comparison.classes


def every_pair(comparison: Comparison) -> list[ArmValues[np.ndarray]]:
    """Information (K, K) at the end about the training images of each pair of classes, of each arm.

    It is the midpoint of the two estimates, the mean over the seeds; NaN on the diagonal.
    """
    pairs = comparison.reference.records[0].arrays["probe_pairs"].T
    classes = len(class_names(comparison))
    found = []
    for arm in comparison.arms:
        ends = arm.values(lambda record: record.arrays["train_information"][-1, :, -1].mean(axis=1)).mean(axis=0)
        values = np.full((classes, classes), np.nan)
        values[*pairs] = values[*pairs[::-1]] = ends
        title = arm.label if arm is comparison.reference else arm.name
        found.append(ArmValues(title, arm.colour, values))
    return found


def panels(comparison: Comparison) -> list[projections.Panel]:
    """Projections of the first seed's networks: the paper's two classes, and the third."""
    return projections.panels(comparison, (0, 1, 2))


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


def _falls(rows: Sequence[Shown], place: int) -> str:
    """How far the information of each network falls from its highest point to its end; place: of the arm."""
    falls = [row.panels[0].trajectories[place].falls.mean() for row in rows]
    return listed([f"{fall:.2f} nats ({_model(row.comparison)})" for fall, row in zip(falls, rows, strict=True)])


def _fitted(comparison: Comparison) -> str:
    """How many training images the networks with hard targets classify correctly."""
    accuracy = comparison.reference.metric("train_accuracy").mean()
    return f"{100 * accuracy:.0f} % ({_model(comparison)})"


def _model(comparison: Comparison) -> str:
    return registry.title(comparison.network[1])


def _noise(record: Record) -> tuple[float, float]:
    """5th and 95th percentile of the deviation over an example's views, of a trained network and the paper's pair."""
    low, high = np.percentile(record.arrays["train_differences"][-1].astype(np.float64).std(axis=1, ddof=1), (5, 95))
    return float(low), float(high)


def _signed(nats: float) -> str:
    return f"{nats:+.2f}".replace("-", "−")


def _pairs(comparison: Comparison) -> dict[str, float | str]:
    """Of all pairs of classes: for how many each part of the claim is reproduced, and the range of each arm."""
    names = class_names(comparison)
    hard, smoothed, *_ = (arm.values for arm in every_pair(comparison))
    pairs = comparison.reference.records[0].arrays["probe_pairs"].tolist()
    ends = falls = 0
    for first, second in pairs:
        reference, compared, *_ = _panel(comparison, (first, second), "train").trajectories
        end, fall = measure(reference, compared)
        ends += end.verdict.verdict == REPRODUCED
        falls += fall.verdict.verdict == REPRODUCED

    def named(values: np.ndarray) -> str:
        """The pair with the largest of (K, K) values."""
        return " and ".join(names[label] for label in max(pairs, key=lambda pair: values[*pair]))

    return {
        "pairs": str(len(pairs)),
        "pairs_end": str(ends),
        "pairs_fall": str(falls),
        "most_told": named(hard),
        "least_forgotten": named(smoothed - hard),
        "least_difference": _signed(np.nanmax(smoothed - hard)),
        "hard_least": float(np.nanmin(hard)),
        "hard_most": float(np.nanmax(hard)),
        "smoothed_least": float(np.nanmin(smoothed)),
        "smoothed_most": float(np.nanmax(smoothed)),
    }


def numbers(rows: Sequence[Shown]) -> dict[str, float | str]:
    """What the chapter's text quotes by name, of the first network."""
    comparison, pair, (train, heldout) = rows[0]
    hard, smoothed, *_ = train.trajectories
    hard_mean, smoothed_mean = hard.midpoint.mean(axis=0), smoothed.midpoint.mean(axis=0)
    hard_heldout, smoothed_heldout, *_ = heldout.trajectories
    hard_unmoved, smoothed_unmoved, *_ = train.weaker[0]
    names = class_names(comparison)
    least_noise, most_noise = _noise(comparison.reference.records[0])
    return {
        "network": comparison.title.replace(", ", " on "),
        "every_network": listed([row.comparison.title.replace(", ", " on ") for row in rows]),
        "examples": str(train.examples),
        "views": str(train.views),
        "followed": f"{names[pair[0]]} and {names[pair[1]]}",
        "kept": f"{names[0]} and {names[1]}",
        "points": str(len(hard.steps)),
        "log_n": float(np.log(train.examples)),
        "log_2": float(np.log(2)),
        "paper_examples": literature.MUTUAL_INFORMATION["examples"].shown,
        "paper_views": literature.MUTUAL_INFORMATION["views"].shown,
        "model": _model(comparison),
        "hard_falls": _falls(rows, 0),
        "smoothed_falls": _falls(rows, 1),
        "fitted": listed([_fitted(row.comparison) for row in rows]),
        "above_log_2": _signed(smoothed_mean[-1] - np.log(2)),
        "least_noise": least_noise,
        "most_noise": most_noise,
        "hard_peak": float(hard_mean.max()),
        "hard_end": float(hard_mean[-1]),
        "smoothed_peak": float(smoothed_mean.max()),
        "smoothed_end": float(smoothed_mean[-1]),
        "hard_heldout": float(hard_heldout.ends.mean()),
        "smoothed_heldout": float(smoothed_heldout.ends.mean()),
        "hard_unmoved": float(hard_unmoved.midpoint.mean()),
        "smoothed_unmoved": float(smoothed_unmoved.midpoint.mean()),
        **_pairs(comparison),
    }


CHAPTER = Chapter("mutual_information", groups, DecidedClaims(("C16",), settings))
