"""Figure 6: how much the difference of two logits tells about the training example it was computed from."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lsbook.analysis.information import bracket, mixture_information
from lsbook.chapters import projections
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.claim_tables import Measure, Setting
from lsbook.chapters.shared.comparison import Arms, Group, arms_of, ask, comparison
from lsbook.core.config import Run
from lsbook.core.errors import several_of
from lsbook.core.registry import DATASETS, MODELS
from lsbook.core.store import Record
from lsbook.core.wording import listed
from lsbook.evidence import literature
from lsbook.evidence.claims import REPRODUCED
from lsbook.outputs import Markup, Table
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


def run(profile: str, alpha: float, seed: int, place: int = 0) -> Run:
    """The run behind one curve of a network of the profile: it carries the probe of logit differences."""
    dataset, model, length = NETWORKS[profile][place]
    found = profiles.run(profile, dataset, model, alpha, seed, length)
    return dataclasses.replace(found, probe="logit-differences")


def groups(profile: str, alpha: float = 0.1) -> list[Group]:
    """What the chapter asks for: a group for each network."""
    return [
        group
        for place in range(len(NETWORKS[profile]))
        for group in comparison(profile, alpha, functools.partial(run, place=place))
    ]


class Course(NamedTuple):
    """Information (nats) along the training. steps (P,); plug_in, leave_one_out and their middle (S, P), one row a
    seed; smoothed: which arm.
    """

    title: str
    smoothed: bool
    steps: np.ndarray
    plug_in: np.ndarray
    leave_one_out: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        return (self.plug_in + self.leave_one_out) / 2


class Panel(NamedTuple):
    """What the figure shows of one network on one split: both arms, and the number of examples N of an estimate.

    counted: both arms by how many views of each example an estimate counts, the last all of them; weaker: at the end
    alone, by how many pixels a view is at most from the central one.
    """

    title: str
    counted: dict[int, tuple[Course, Course]]
    weaker: dict[int, tuple[Course, Course]]
    examples: int

    @property
    def views(self) -> int:
        return list(self.counted)[-1]

    @property
    def courses(self) -> tuple[Course, Course]:
        return self.counted[self.views]


class Shown(NamedTuple):
    """A network, the labels of the two classes that are followed, and its row of the figure: a panel for each split."""

    arms: Arms
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
    profile, found = ask(
        profile, seeds, lambda name: groups(name, alpha), check=lambda dataset: chosen_pair(dataset, classes)
    )
    rows = []
    for arms in arms_of(profile, alpha, found):
        pair = chosen_pair(arms.network[0], classes)
        rows.append(Shown(arms, pair, [_panel(arms, pair, split) for split in splits]))
    return rows


def chosen_pair(dataset: str, classes: str) -> tuple[int, int]:
    """Labels, in order, of two classes given by name; see `shown`."""
    names = DATASETS[dataset].classes
    chosen = ",".join(names[:2]) if classes == "auto" else classes
    first, second = sorted(several_of(f"class of {DATASETS[dataset].title}", chosen, names, 2))
    return first, second


def _panel(arms: Arms, pair: tuple[int, int], split: str) -> Panel:
    arrays = arms.hard[0].arrays
    [column] = np.flatnonzero((arrays["probe_pairs"] == pair).all(axis=1))
    examples = int(arrays[f"{split}_examples"][list(pair)].sum())

    def courses(steps: np.ndarray, estimates: Callable[[Record], np.ndarray]) -> tuple[Course, Course]:
        """Both arms; estimates: of a record (P, 2)."""
        return tuple(
            Course(title, smoothed, steps, *np.moveaxis(np.array([estimates(r) for r in records], float), -1, 0))
            for title, smoothed, records in (("hard targets", False, arms.hard), (_named(arms), True, arms.smoothed))
        )

    steps = arrays["probe_steps"].astype(int)
    counted = {
        int(views): courses(steps, lambda record, k=k: record.arrays[f"{split}_information"][:, column, k])
        for k, views in enumerate(arrays["probe_views"])
    }
    weaker = {
        int(reach): courses(
            steps[-1:], lambda record, k=k: record.arrays[f"{split}_weaker_information"][[k], column, -1]
        )
        for k, reach in enumerate(arrays["probe_reaches"])
    }
    return Panel(f"{arms.title}\n{SPLITS[split]}, N = {examples}", counted, weaker, examples)


def _named(arms: Arms) -> str:
    return f"smoothed, α = {arms.alpha:g}"


def measure(train: Panel) -> list[Measure]:
    """Both parts of C16, on training images as in the paper, from the middle of the two estimates."""
    hard, smoothed = (course.middle for course in train.courses)
    ends, falls = zip(*((m[:, -1], m.max(axis=1) - m[:, -1]) for m in (hard, smoothed)), strict=True)
    return [
        claim_tables.measure("C16", "end", "information at the end", *ends),
        claim_tables.measure("C16", "fall", "peak minus end", *falls),
    ]


def measured(rows: Sequence[Shown]) -> list[Setting]:
    """Each network with the claim."""
    return [
        Setting("mutual_information", arms.profile, arms.title, measure(panels[0]), arms.records)
        for arms, _, panels in rows
    ]


def settings(profile: str, seeds: str) -> list[Setting]:
    """The same for the scorecard."""
    return measured(shown(profile, seeds=seeds, splits=["train"]))


def claim_table(rows: Sequence[Shown]) -> Table:
    """Both parts of the claim on every network."""
    header = "hard", _named(rows[0].arms)
    return claim_tables.table("table-information-claims", "information", measured(rows), header, made_from(rows))


def dependence_table(rows: Sequence[Shown]) -> Table:
    """The end and the fall of every network by images, number and strength of the views, and estimate."""
    columns = {
        "plug-in": lambda course: course.plug_in[:, -1].mean(),
        "leave-one-out": lambda course: course.leave_one_out[:, -1].mean(),
        "middle": lambda course: course.middle[:, -1].mean(),
        "fall": _fall,
    }

    def row(panel: Panel, split: str, views: int, moved: str, both: tuple[Course, Course]) -> tuple[str, ...]:
        cells = [
            f"{value(both[0]):.2f}\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}{value(both[1]):.2f}"
            for value in columns.values()
        ]
        if len(both[0].steps) == 1:
            cells[-1] = "—"
        return split.partition(" ")[0], str(views), moved, *cells

    found = []
    for arms, _, panels in rows:
        found.append((Markup("**{}**").format(arms.title), *[""] * (len(columns) + 2)))
        for panel, split in zip(panels, SPLITS.values(), strict=True):
            found += [row(panel, split, views, "any", both) for views, both in panel.counted.items()]
            found += [
                row(panel, split, panel.views, str(reach), panel.weaker[reach]) for reach in reversed(panel.weaker)
            ]
    return Table(
        "table-information-dependence",
        f"What the information depends on, in nats, hard → smoothed targets, α = {rows[0].arms.alpha:g}, means over "
        "the seeds: at the end, by which images, how many views of each are counted, and how far from the central one, "
        "in pixels, these are taken; in each estimate and in the middle of both; and the fall of the middle from the "
        "highest point of a run to its end. " + made_from(rows),
        ("images", "views", "shift", *columns),
        tuple(found),
        records(rows),
    )


def made_from(rows: Sequence[Shown]) -> str:
    """Where the numbers come from."""
    return captions.made_from(rows[0].arms.profile, records(rows))


def records(rows: Sequence[Shown]) -> list[Record]:
    """Of all networks."""
    return [record for row in rows for record in row.arms.records]


def class_names(arms: Arms) -> tuple[str, ...]:
    """Of the data set, in label order."""
    return DATASETS[arms.network[0]].classes


def every_pair(arms: Arms) -> tuple[np.ndarray, np.ndarray]:
    """(K, K) information at the end about the training images of each pair of classes, hard and smoothed, from the
    middle of the two estimates, means over the seeds; NaN on the diagonal.
    """
    pairs = arms.hard[0].arrays["probe_pairs"].T
    result = np.full((2, len(class_names(arms)), len(class_names(arms))), np.nan)
    for values, arm in zip(result, (arms.hard, arms.smoothed), strict=True):
        ends = np.mean([record.arrays["train_information"][-1, :, -1].mean(axis=1) for record in arm], axis=0)
        values[*pairs] = values[*pairs[::-1]] = ends
    return result[0], result[1]


def panels(arms: Arms) -> list[projections.Panel]:
    """Projections of the first seed's two networks: the paper's two classes, and the third."""
    return projections.panels(arms, (0, 1, 2))


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


def _fall(course: Course) -> float:
    return float(np.mean(course.middle.max(axis=1) - course.middle[:, -1]))


def _falls(rows: Sequence[Shown], smoothed: bool) -> str:
    """How far the information of each network falls from its highest point to its end."""
    falls = [f"{_fall(row.panels[0].courses[smoothed]):.2f} nats ({_model(row.arms)})" for row in rows]
    return listed(falls)


def _fitted(arms: Arms) -> str:
    """How many training images the networks with hard targets classify rightly."""
    accuracy = np.mean([record.metrics["train_accuracy"] for record in arms.hard])
    return f"{100 * accuracy:.0f} % ({_model(arms)})"


def _model(arms: Arms) -> str:
    return MODELS[arms.network[1]].title


def _noise(record: Record) -> tuple[float, float]:
    """5th and 95th percentile of the deviation over an example's views, of a trained network and the paper's pair."""
    low, high = np.percentile(record.arrays["train_differences"][-1].astype(np.float64).std(axis=1, ddof=1), (5, 95))
    return float(low), float(high)


def _signed(nats: float) -> str:
    return f"{nats:+.2f}".replace("-", "−")


def _pairs(arms: Arms) -> dict[str, float | str]:
    """Of all pairs of classes: for how many each part of the claim is reproduced, and the range of each arm."""
    names = class_names(arms)
    hard, smoothed = every_pair(arms)
    pairs = arms.hard[0].arrays["probe_pairs"].tolist()
    found = [measure(_panel(arms, tuple(pair), "train")) for pair in pairs]

    def named(values: np.ndarray) -> str:
        """The pair with the largest of (K, K) values."""
        return " and ".join(names[label] for label in max(pairs, key=lambda pair: values[*pair]))

    return {
        "pairs": str(len(pairs)),
        "pairs_end": str(sum(end.verdict.verdict == REPRODUCED for end, _ in found)),
        "pairs_fall": str(sum(fall.verdict.verdict == REPRODUCED for _, fall in found)),
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
    arms, pair, (train, heldout) = rows[0]
    hard, smoothed = (course.middle.mean(axis=0) for course in train.courses)
    unmoved = [course.middle.mean() for course in train.weaker[0]]
    ends = [course.middle[:, -1].mean() for course in heldout.courses]
    names = class_names(arms)
    return {
        "network": arms.title.replace(", ", " on "),
        "every_network": listed([row.arms.title.replace(", ", " on ") for row in rows]),
        "examples": str(train.examples),
        "views": str(train.views),
        "followed": f"{names[pair[0]]} and {names[pair[1]]}",
        "kept": f"{names[0]} and {names[1]}",
        "points": str(len(train.courses[0].steps)),
        "log_n": float(np.log(train.examples)),
        "log_2": float(np.log(2)),
        "paper_examples": literature.MUTUAL_INFORMATION["examples"].shown,
        "paper_views": literature.MUTUAL_INFORMATION["views"].shown,
        "model": _model(arms),
        "hard_falls": _falls(rows, smoothed=False),
        "smoothed_falls": _falls(rows, smoothed=True),
        "fitted": listed([_fitted(row.arms) for row in rows]),
        "above_log_2": _signed(smoothed[-1] - np.log(2)),
        **dict(zip(("least_noise", "most_noise"), _noise(arms.hard[0]), strict=True)),
        "hard_peak": float(hard.max()),
        "hard_end": float(hard[-1]),
        "smoothed_peak": float(smoothed.max()),
        "smoothed_end": float(smoothed[-1]),
        "hard_heldout": float(ends[0]),
        "smoothed_heldout": float(ends[1]),
        "hard_unmoved": float(unmoved[0]),
        "smoothed_unmoved": float(unmoved[1]),
        **_pairs(arms),
        "first_made_from": captions.made_from(arms.profile, arms.first.records),
        "network_made_from": captions.made_from(arms.profile, arms.records),
        "rows_made_from": made_from(rows),
    }
