"""Figure 6: how much the difference of two logits tells about the training example it was computed from."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from lsbook import paper
from lsbook.analysis.information import bracket, mixture_information
from lsbook.catalogue import DATASETS, MODELS
from lsbook.errors import UserError, several_of
from lsbook.experiments import captions, profiles, projections, verdicts
from lsbook.experiments.arms import Arms, Group, arms_of, ask, comparison
from lsbook.experiments.verdicts import Measure, Setting
from lsbook.page import Table
from lsbook.run import Run
from lsbook.store import Record

SPLITS = {"train": "training images", "heldout": "held-out images"}
# Data sets, networks and, if they are not the recipe's, numbers of images and passes.
NETWORKS = {
    "smoke": (("digits", "alexnet-16", (600, 6)),),
    "laptop": (("cifar10", "resnet56", None), ("cifar10", "alexnet", None)),
    "paper": (("cifar10", "resnet56", None), ("cifar10", "alexnet", None)),
}
# Of the study of the estimator: spreads of the examples' means in units of the noise, numbers of views, examples, and
# draws of the noise that are averaged.
SPREADS = np.geomspace(0.1, 100, 13)
VIEWS = (2, 5, 10, 30)
EXAMPLES = 200
DRAWS = 4
COUNTED = (2,)  # views in estimates beside those with all of them


def run(profile: str, alpha: float, seed: int, place: int = 0) -> Run:
    """The run behind one curve of a network of the profile: it carries the probe of logit differences."""
    dataset, model, length = NETWORKS[profile][place]
    found = profiles.run(profile, dataset, model, alpha, seed, length)
    return dataclasses.replace(found, recipe=dataclasses.replace(found.recipe, probe="logit-differences"))


def groups(profile: str, alpha: float = 0.1) -> list[Group]:
    """What the chapter asks for: a group for each network."""
    return [
        group
        for place in range(len(NETWORKS[profile]))
        for group in comparison(profile, alpha, functools.partial(run, place=place))
    ]


class Course(NamedTuple):
    """Information (nats) along the training. steps (P,); plug_in, leave_one_out and their middle (S, P), one row a
    seed; smoothed: which arm."""

    title: str
    smoothed: bool
    steps: np.ndarray
    plug_in: np.ndarray
    leave_one_out: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        return (self.plug_in + self.leave_one_out) / 2


class Panel(NamedTuple):
    """What the figure shows of one network on one split: both arms, and the number of examples N of an estimate."""

    title: str
    courses: tuple[Course, Course]
    examples: int
    views: int


class Shown(NamedTuple):
    """A network, and its row of the figure: a panel for each split."""

    arms: Arms
    panels: list[Panel]


def shown(
    profile: str = "auto", alpha: float = 0.1, seeds: str = "auto", splits: Iterable[str] = SPLITS
) -> list[Shown]:
    """The networks of the chapter, trained where they are missing."""
    profile, found = ask(profile, seeds, lambda name: groups(name, alpha))
    return [Shown(arms, [_panel(arms, split) for split in splits]) for arms in arms_of(profile, alpha, found)]


def _panel(arms: Arms, split: str) -> Panel:
    _, examples, views = arms.hard[0].arrays[f"{split}_differences"].shape
    courses = (_course("hard targets", False, arms.hard, split), _course(_named(arms), True, arms.smoothed, split))
    title = f"{arms.title}\n{SPLITS[split]}, N = {examples}"
    return Panel(title, courses, examples, views)


def _named(arms: Arms) -> str:
    return f"smoothed, α = {arms.alpha:g}"


def _course(title: str, smoothed: bool, records: list[Record], split: str, views: int | None = None) -> Course:
    """views: so many of each example are counted, the first ones; all when None."""
    samples = np.stack([record.arrays[f"{split}_differences"][..., :views] for record in records]).astype(np.float64)
    with ThreadPoolExecutor() as threads:  # NumPy leaves the interpreter to others while it computes
        estimates = np.array(list(threads.map(bracket, samples.reshape(-1, *samples.shape[2:]))))
    estimates = estimates.reshape(*samples.shape[:2], 2)
    steps = records[0].arrays[f"{split}_steps"].astype(int)
    return Course(title, smoothed, steps, estimates[:, :, 0], estimates[:, :, 1])


def measure(train: Panel) -> list[Measure]:
    """Both parts of C16, on training images as in the paper, from the middle of the two estimates."""
    hard, smoothed = (course.middle for course in train.courses)
    ends, falls = zip(*((m[:, -1], m.max(axis=1) - m[:, -1]) for m in (hard, smoothed)), strict=True)
    return [
        verdicts.measure("C16", "end", "information at the end", *ends),
        verdicts.measure("C16", "fall", "peak minus end", *falls),
    ]


def measured(rows: Sequence[Shown]) -> list[Setting]:
    """Each network with the claim."""
    return [Setting("mutual_information", row.arms.profile, row.arms.title, measure(row.panels[0])) for row in rows]


def settings(profile: str, seeds: str) -> list[Setting]:
    """The same for the scorecard."""
    return measured(shown(profile, seeds=seeds, splits=["train"]))


def claim_table(rows: Sequence[Shown]) -> Table:
    """Both parts of the claim on every network."""
    header = "hard", _named(rows[0].arms)
    return verdicts.table("table-information-claims", "information", measured(rows), header, made_from(rows))


def dependence_table(rows: Sequence[Shown]) -> Table:
    """The end and the fall of every network by images, number of views counted, and estimate."""
    columns = {
        "plug-in": lambda course: course.plug_in[:, -1].mean(),
        "leave-one-out": lambda course: course.leave_one_out[:, -1].mean(),
        "middle": lambda course: course.middle[:, -1].mean(),
        "fall": _fall,
    }
    found = []
    for arms, panels in rows:
        found.append((f"**{arms.title}**", *[""] * (len(columns) + 1)))
        for panel, (split, title) in zip(panels, SPLITS.items(), strict=True):
            fewer = {
                views: [_course("", False, arm, split, views) for arm in (arms.hard, arms.smoothed)]
                for views in COUNTED
            }
            for views, (hard, smoothed) in (fewer | {panel.views: panel.courses}).items():
                cells = (
                    f"{value(hard):.2f}\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}{value(smoothed):.2f}"
                    for value in columns.values()
                )
                found.append((title.partition(" ")[0], str(views), *cells))
    return Table(
        "table-information-dependence",
        f"What the information depends on, in nats, hard → smoothed targets, α = {rows[0].arms.alpha:g}, means over "
        "the seeds: at the end, by which images and how many views of each are counted, in each estimate and in the "
        "middle of both; and the fall of the middle from a run's highest point to its end. " + made_from(rows),
        ("images", "views", *columns),
        tuple(found),
    )


def made_from(rows: Sequence[Shown]) -> str:
    """Where the numbers come from."""
    return captions.made_from(rows[0].arms.profile, [record for row in rows for record in row.arms.records])


class Pair(NamedTuple):
    """Information at the end of the training about the examples of two classes: first seed, both arms."""

    names: tuple[str, str]
    hard: float
    smoothed: float


def chosen_pair(arms: Arms, classes: str) -> tuple[int, int]:
    """Labels of two classes given by name, such as "cat,dog"; "auto": the two that were followed along the training.

    UserError unless they are two different classes of the data set.
    """
    dataset, _ = arms.network
    names = DATASETS[dataset].classes
    chosen = ",".join(names[:2]) if classes == "auto" else classes
    return several_of(f"class of {DATASETS[dataset].title}", chosen, names, 2)


def final(arms: Arms, pair: tuple[int, int]) -> Pair:
    """The trained networks' information about the examples of any two classes."""
    hard, smoothed = (bracket(_differences(arm[0], pair)).middle for arm in (arms.hard, arms.smoothed))
    names = class_names(arms)
    return Pair((names[pair[0]], names[pair[1]]), hard, smoothed)


def _differences(record: Record, pair: tuple[int, int]) -> np.ndarray:
    """(N, L) of the examples of both classes, from the kept logits of all views."""
    if "train_view_logits" not in record.arrays:
        raise UserError("information about other classes needs seed 0, whose logits of all classes are kept")
    rows = np.isin(record.arrays["train_view_labels"], pair)
    logits = record.arrays["train_view_logits"][rows].astype(np.float64)
    return logits[:, :, pair[0]] - logits[:, :, pair[1]]


def class_names(arms: Arms) -> tuple[str, ...]:
    """Of the data set, in label order."""
    return DATASETS[arms.network[0]].classes


def every_pair(arms: Arms) -> tuple[np.ndarray, np.ndarray]:
    """(K, K) information at the end about each pair of classes, hard and smoothed; NaN on the diagonal."""
    n_classes = len(class_names(arms))
    result = np.full((2, n_classes, n_classes), np.nan)
    for a in range(n_classes):
        for b in range(a + 1, n_classes):
            found = final(arms, (a, b))
            result[:, a, b] = result[:, b, a] = found.hard, found.smoothed
    return result[0], result[1]


def panels(arms: Arms) -> list[projections.Panel]:
    """Projections of the first seed's two networks: the two classes followed along the training, and the third."""
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
    return captions.listed(falls)


def _fitted(arms: Arms) -> str:
    """How many training images the networks with hard targets classify rightly."""
    accuracy = np.mean([record.metrics["train_accuracy"] for record in arms.hard])
    return f"{100 * accuracy:.0f} % ({_model(arms)})"


def _model(arms: Arms) -> str:
    return MODELS[arms.network[1]].title


def _noise(record: Record) -> tuple[float, float]:
    """5th and 95th percentile of the deviation over an example's views, of a trained network."""
    low, high = np.percentile(record.arrays["train_differences"][-1].astype(np.float64).std(axis=1, ddof=1), (5, 95))
    return float(low), float(high)


def numbers(rows: Sequence[Shown], pair: Pair) -> dict[str, float | str]:
    """What the chapter's text quotes by name, of the first network."""
    arms, (train, heldout) = rows[0]
    hard, smoothed = (course.middle.mean(axis=0) for course in train.courses)
    ends = [course.middle[:, -1].mean() for course in heldout.courses]
    return {
        "network": arms.title.replace(", ", " on "),
        "every_network": captions.listed([row.arms.title.replace(", ", " on ") for row in rows]),
        "examples": str(train.examples),
        "views": str(train.views),
        "followed": " and ".join(class_names(arms)[:2]),
        "log_n": float(np.log(train.examples)),
        "log_2": float(np.log(2)),
        "paper_examples": paper.MUTUAL_INFORMATION["examples"].shown,
        "paper_views": paper.MUTUAL_INFORMATION["views"].shown,
        "model": _model(arms),
        "hard_falls": _falls(rows, smoothed=False),
        "smoothed_falls": _falls(rows, smoothed=True),
        "fitted": captions.listed([_fitted(row.arms) for row in rows]),
        "above_log_2": f"{smoothed[-1] - np.log(2):+.2f}".replace("-", "−"),
        **dict(zip(("least_noise", "most_noise"), _noise(arms.hard[0]), strict=True)),
        "hard_peak": float(hard.max()),
        "hard_end": float(hard[-1]),
        "smoothed_peak": float(smoothed.max()),
        "smoothed_end": float(smoothed[-1]),
        "hard_heldout": float(ends[0]),
        "smoothed_heldout": float(ends[1]),
        "pair": " and ".join(pair.names),
        "pair_hard": pair.hard,
        "pair_smoothed": pair.smoothed,
        "first_made_from": captions.made_from(arms.profile, arms.first.records),
        "rows_made_from": made_from(rows),
    }
