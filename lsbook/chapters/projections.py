"""Figure 1 and Table 2: projections of three classes, and the claims about them, for each network that is recorded."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from lsbook.analysis import projection
from lsbook.analysis.targets import optimal_logit_gap
from lsbook.chapters.shared import captions, claim_tables
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
from lsbook.core.store import Record, Store
from lsbook.core.wording import listed
from lsbook.evidence import claims, literature
from lsbook.outputs import Table, cell_frame


class Network(NamedTuple):
    """A network of Figure 1 and its seeds. similar: three classes by name of which the first two look alike, for C5."""

    dataset: str
    model: str
    seeds: str
    similar: str


_CAT_AND_DOG = "cat,dog,ship"
_RETRIEVERS = "golden retriever,Labrador retriever,goldfish"
# The chapter looks closely at the first of each profile; of the others it shows those that are recorded.
NETWORKS = {
    "smoke": (Network("digits", "alexnet-16", "0-2", "3,8,1"),),
    "laptop": (
        Network("cifar10", "alexnet", "0-4", _CAT_AND_DOG),
        Network("cifar10", "resnet56", "0-2", _CAT_AND_DOG),
        Network("tiny-imagenet-50", "resnet56", "0-2", _RETRIEVERS),
    ),
    "paper": (
        Network("cifar10", "alexnet", "0-4", _CAT_AND_DOG),
        Network("cifar10", "resnet56", "0-2", _CAT_AND_DOG),
        Network("tiny-imagenet-32", "resnet56", "0-2", _RETRIEVERS),
        Network("tiny-imagenet-32", "inception_v4", "0", _RETRIEVERS),
        Network("imagenet", "inception_v4", "0-4", "toy poodle,miniature poodle,tench"),
    ),
}
SPLIT_TITLES = {"train": "training", "test": "test"}


class Panel(NamedTuple):
    """One panel of Figure 1: points (N, 2), their class's place among the three (N,), templates (3, 2), names.

    arm: its name, which all panels of one network have in common; colour: the arm's.
    """

    title: str
    points: np.ndarray
    labels: np.ndarray
    templates: np.ndarray
    classes: tuple[str, ...]
    arm: str
    colour: str


class Shown(NamedTuple):
    """A row of Figure 1: the recorded runs of a network's arms, and the labels of three classes.

    similar: whether the first two look alike; then C5 is asked of them, and of other rows all else.
    """

    comparison: Comparison
    classes: tuple[int, int, int]
    similar: bool

    @property
    def network(self) -> tuple[str, str]:
        """Data set and model."""
        return self.comparison.network

    @property
    def title(self) -> str:
        """The network as the reader knows it."""
        return self.comparison.title

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the three classes that the row shows."""
        return tuple(self.comparison.classes[k] for k in self.classes)


def rows(
    profile: str = "auto",
    alpha: float = 0.1,
    seeds: str = "auto",
    classes: str = "auto",
    other_losses: str = "none",
    store: Store | None = None,
) -> list[Shown]:
    """The rows that the chapter shows, trained where they are missing.

    Args:
        profile: as for `select_runs`.
        alpha: as for `smoothing_arms`.
        seeds: as for `select_runs`.
        classes: in place of those of the first row, as for `three_classes`.
        other_losses: as for `smoothing_arms`.
        store: the project's own when None.
    """
    selection = select_runs(
        profile,
        seeds,
        lambda name: groups(name, alpha, other_losses),
        store,
        check=lambda dataset: three_classes(dataset, classes),
    )
    arms = smoothing_arms(alpha, other_losses)
    compared = [compare(selection.profile, arms, records) for records in selection.groups if records]
    similar = {network[:2]: network.similar for network in NETWORKS[selection.profile]}
    asked = [classes, *["auto"] * (len(compared) - 1)]
    return [
        *(
            Shown(each, three_classes(each.network[0], names), False)
            for each, names in zip(compared, asked, strict=True)
        ),
        *(Shown(each, three_classes(each.network[0], similar[each.network]), True) for each in compared),
    ]


def groups(profile: str, alpha: float = 0.1, other_losses: str = "none") -> list[Group]:
    """What the chapter asks for: of each network the runs of its arms."""
    arms = smoothing_arms(alpha, other_losses)
    return [
        group_of(arms, partial(_run, profile, network.dataset, network.model), network.seeds)
        for network in NETWORKS[profile]
    ]


def _run(profile: str, dataset: str, model: str, arm: Arm, seed: int) -> Run:
    return arm.run(profile, dataset, model, seed)


def three_classes(name: str, classes: str) -> tuple[int, int, int]:
    """Labels of three classes of a data set, such as "airplane,automobile,bird"; "auto": the paper's, or the first.

    UserError unless they are three different classes of the data set, of those that records keep examples of.
    """
    dataset = registry.dataset(name)
    if classes == "auto":
        rows = [row.classes for row in literature.FIGURE_1 if row.dataset == name]
        classes = ",".join(rows[0] if rows else dataset.shown[:3])
    first, second, third = (
        dataset.classes.index(dataset.shown[place])
        for place in several_of(f"class of {dataset.title}", classes, dataset.shown, 3)
    )
    return first, second, third


def panels(comparison: Comparison, classes: tuple[int, int, int]) -> list[Panel]:
    """The columns of Figure 1, from the first seed: of each arm training and test."""
    names = comparison.classes
    return named_panels(comparison, classes, tuple(names[k] for k in classes))


def further(rows: Sequence[Shown]) -> list[tuple[str, list[Panel]]]:
    """Title and panels of every row but the first."""
    return [(row.title.replace(", ", "\n"), panels(row.comparison, row.classes)) for row in rows[1:]]


def further_records(rows: Sequence[Shown]) -> list[Record]:
    """Return the records that `further` is made from."""
    return [record for row in rows[1:] for record in row.comparison.first_seed.records]


def named_panels(comparison: Comparison, classes: tuple[int, int, int], names: tuple[str, ...]) -> list[Panel]:
    """The panels of `panels`, of classes that the data set itself has no names for."""
    return [
        Panel(
            f"{arm.panel_label}, {title}",
            *projected(arm.records[0], split, classes),
            classes=names,
            arm=arm.name,
            colour=arm.colour,
        )
        for arm in comparison.arms
        for split, title in SPLIT_TITLES.items()
    ]


def projected(record: Record, split: str, classes: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (N, 2) of the three classes' shown examples, their place among the three (N,), templates (3, 2)."""
    templates = record.arrays["templates"][list(classes)]
    plane = projection.template_plane(templates)
    labels = record.arrays[f"{split}_labels"]
    rows = np.isin(labels, classes)
    points = projection.project(record.arrays[f"{split}_activations"][rows], plane)
    places = np.argmax(labels[rows, None] == np.array(classes), axis=1)
    return points, places, projection.project(templates, plane)


def measure(row: Shown, arm: Arm) -> list[Measure]:
    """Decide claims C1–C4, C8 and C18, or C5 of similar classes.

    Each part is measured on every run of the reference and of an arm that is compared with it.
    """
    reference = row.comparison.reference
    return [
        claim_tables.measure(claim, part, title, reference.values(quantity), arm.values(quantity))
        for claim, part, title, quantity in _quantities(row, arm.alpha)
    ]


def _quantities(row: Shown, alpha: float) -> list[tuple[str, str, str, Callable[[Record], float]]]:
    """(claim, part, title, what is measured on a record). alpha: whose optimal logit gap C18 is about."""
    classes = row.classes

    def training(function: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Record], float]:
        return lambda record: function(*projected(record, "train", classes)[:2])

    def spread_ratio(record: Record) -> float:
        test, train = (projection.within_scatter(*projected(record, split, classes)[:2]) for split in ("test", "train"))
        return test / train

    if row.similar:
        return [("C5", "", f"{row.names[0]} and {row.names[1]}, sd of arc / radius", training(_arc_ratio))]
    return [
        ("C1", "", "test accuracy", lambda record: 100 * record.metrics["test_accuracy"]),
        ("C2", "", "scatter within / between", training(projection.within_between_scatter)),
        ("C3", "", "shortest / longest side", training(projection.triangle_side_ratio)),
        ("C4", "", "distance from the origin", training(lambda points, _: projection.mean_distance(points))),
        ("C8", "", "scatter test / training", spread_ratio),
        ("C18", "variation", "logit gaps, sd / mean", lambda record: projection.gap_variation(*_logits(record))),
        ("C18", "optimum", "mean gap from the best", lambda record: _distance_from_optimum(record, alpha)),
    ]


def settings(profile: str, seeds: str) -> list[Setting]:
    """The chapter's networks with their claims, for the scorecard."""
    return measured(rows(profile, seeds=seeds))


def measured(rows: Sequence[Shown]) -> list[Setting]:
    """Each network with its claims, those of all its rows; the same of each further arm in the place of smoothing."""
    found: dict[str, Setting] = {}
    for row in rows:
        for arm in row.comparison.others:
            title, records = row.comparison.title_of(arm), [*row.comparison.reference.records, *arm.records]
            setting = found.setdefault(title, Setting("projections", row.comparison.profile, title, [], records))
            setting.measures.extend(measure(row, arm))
    return list(found.values())


def _arc_ratio(points: np.ndarray, places: np.ndarray) -> float:
    """Of the first two classes together, seen from the centroid of the third (C5)."""
    return projection.arc_ratio(points[places < 2], points[places == 2].mean(axis=0))


def _arc_ratios(record: Record, classes: tuple[int, int, int]) -> list[float]:
    """Arc over radius (C5) of each of the first two classes alone, seen from the centroid of the third."""
    points, places, _ = projected(record, "train", classes)
    return [projection.arc_ratio(points[places == k], points[places == 2].mean(axis=0)) for k in range(2)]


def _logits(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and labels (N,) of the training examples kept, of all classes."""
    logits = record.arrays["train_activations"].astype(np.float64) @ record.arrays["templates"].T
    return logits, record.arrays["train_labels"]


def _distance_from_optimum(record: Record, alpha: float) -> float:
    """|mean gap − the gap that is best for smoothed targets|, in nats (C18)."""
    logits, labels = _logits(record)
    return abs(float(projection.logit_gaps(logits, labels).mean()) - optimal_logit_gap(logits.shape[1], alpha))


def numbers(rows: Sequence[Shown]) -> dict[str, float | str]:
    """What the chapter's text quotes by name; where nothing else is said, of the first row."""
    first, similar = rows[0], next(row for row in rows if row.similar)
    result: dict[str, float | str] = {
        "class_names": listed(first.names),
        "network": first.title,
        "similar_names": listed(similar.names[:2]),
        "other_name": similar.names[2],
        "fitted": "; ".join(_fitted(rows)),
        "illustrations": captions.illustrations({row.title: row.comparison.reference.records for row in rows}),
        "best_gap": optimal_logit_gap(len(first.comparison.classes), first.comparison.main.alpha),
    }
    for arm in first.comparison.arms:
        train, test = (_mean_distance(arm, split, first.classes) for split in SPLIT_TITLES)
        result |= {f"{arm.name}_distance": train, f"{arm.name}_reach": test / train}
    for arm in similar.comparison.arms:
        result[f"arc_within_{arm.name}"] = float(np.mean([_arc_ratios(r, similar.classes) for r in arm.records]))
    return result


def _mean_distance(arm: Arm, split: str, classes: tuple[int, int, int]) -> float:
    """Mean distance of a split's projections from the plane's origin, over the seeds."""
    return float(arm.values(lambda record: projection.mean_distance(projected(record, split, classes)[0])).mean())


def _fitted(rows: Sequence[Shown]) -> list[str]:
    """Of each network how much of its training images it classifies correctly, on each arm."""
    found = {}
    for row in rows:
        shares = [f"{100 * arm.metric('train_accuracy').mean():.0f}" for arm in row.comparison.arms]
        found[row.title] = f"{row.title}: {listed(shares)} %"
    return list(found.values())


def diagrams(row: Shown) -> list[tuple[str, str, list[ArmValues[np.ndarray]]]]:
    """(title, unit, values of each arm) of every measure but the accuracy, which has a table."""
    reference, others = row.comparison.reference, row.comparison.others
    found = []
    for measures in zip(*(measure(row, arm) for arm in others), strict=True):
        first = measures[0]
        part = claims.CLAIMS[first.verdict.claim].part(first.verdict.part)
        if first.verdict.claim != "C1":
            compared = [arm.with_values(measured.second) for arm, measured in zip(others, measures, strict=True)]
            title = f"{first.verdict.claim}: {first.title}"
            found.append((title, part.units, [reference.with_values(first.first), *compared]))
    return found


def accuracy_table(rows: Sequence[Shown]) -> Table:
    """Table 2's row for each network that has one: the paper, the replication and the recorded runs."""
    arms = rows[0].comparison.arms
    cells = []
    for network, row in {row.network: row for row in rows}.items():
        for source, published in literature.TABLE_2.items():
            if network in published:
                numbers = [
                    published[network][arm.name].shown if arm.name in published[network] else "—" for arm in arms
                ]
                cells.append((row.title, source.capitalize(), *numbers, "0.1"))
        ours = [captions.with_interval(100 * arm.metric("test_accuracy")) for arm in row.comparison.arms]
        standing = f"Here, {captions.standing(row.comparison.profile)}"
        cells.append((row.title, standing, *ours, f"{row.comparison.main.alpha:g}"))
    names = [arm.name[0].upper() + arm.name[1:] for arm in arms]
    return Table(
        "table-accuracy",
        "Test accuracy in percent without and with label smoothing (Table 2 of the paper). The paper's ± is as "
        "printed; ours is the 95 % Student t interval over seeds. The paper's CIFAR images are held out of the "
        "training file. The replication's ResNet-56 is wider.",
        cell_frame(("Network", "", *names, "α"), cells),
        [record for row in rows for record in row.comparison.records],
    )


CHAPTER = Chapter(
    "projections",
    groups,
    DecidedClaims(("C1", "C2", "C3", "C4", "C5", "C8", "C18"), settings),
)
