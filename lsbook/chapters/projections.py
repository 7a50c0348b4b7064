"""Figure 1 and Table 2: projections of three classes, and the claims about them, for each network that is recorded."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lsbook.analysis import projection
from lsbook.analysis.targets import optimal_logit_gap
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.claim_tables import Measure, Setting
from lsbook.chapters.shared.comparison import Arms, Group, arms_of, ask, comparison
from lsbook.core.config import Run
from lsbook.core.errors import several_of
from lsbook.core.registry import DATASETS
from lsbook.core.store import Record, Store
from lsbook.core.wording import listed
from lsbook.evidence import claims, literature
from lsbook.outputs import Table
from lsbook.recipes import profiles


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
        Network("tiny-imagenet-5", "inception_v4", "0", _RETRIEVERS),
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
    """One panel of Figure 1: points (N, 2), their class's place among the three (N,), templates (3, 2), names."""

    title: str
    points: np.ndarray
    labels: np.ndarray
    templates: np.ndarray
    classes: tuple[str, ...]
    smoothed: bool


class Shown(NamedTuple):
    """A row of Figure 1: a network's recorded runs, and the labels of three classes.

    similar: whether the first two look alike; then C5 is asked of them, and of other rows all else.
    """

    arms: Arms
    classes: tuple[int, int, int]
    similar: bool

    @property
    def network(self) -> tuple[str, str]:
        """Data set and model."""
        return self.arms.network

    @property
    def title(self) -> str:
        """The network as the reader knows it."""
        return self.arms.title

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return tuple(DATASETS[self.network[0]].classes[k] for k in self.classes)


def rows(
    profile: str = "auto", alpha: float = 0.1, seeds: str = "auto", classes: str = "auto", store: Store | None = None
) -> list[Shown]:
    """The rows that the chapter shows, trained where they are missing. classes: in place of those of the first row."""
    profile, found = ask(
        profile, seeds, lambda name: groups(name, alpha), store, check=lambda dataset: three_classes(dataset, classes)
    )
    arms = arms_of(profile, alpha, found)
    similar = {network[:2]: network.similar for network in NETWORKS[profile]}
    asked = [classes, *["auto"] * (len(arms) - 1)]
    return [
        *(Shown(each, three_classes(each.network[0], names), False) for each, names in zip(arms, asked, strict=True)),
        *(Shown(each, three_classes(each.network[0], similar[each.network]), True) for each in arms),
    ]


def groups(profile: str, alpha: float = 0.1) -> list[Group]:
    """What the chapter asks for: a group for each network."""
    return [
        group
        for network in NETWORKS[profile]
        for group in comparison(profile, alpha, _runs_of(network[:2]), {profile: network.seeds})
    ]


def _runs_of(network: tuple[str, str]) -> Callable[[str, float, int], Run]:
    return lambda profile, alpha, seed: profiles.run(profile, *network, alpha, seed)


def three_classes(name: str, classes: str) -> tuple[int, int, int]:
    """Labels of three classes of a data set, such as "airplane,automobile,bird"; "auto": the paper's, or the first.

    UserError unless they are three different classes of the data set, of those that records keep examples of.
    """
    dataset = DATASETS[name]
    if classes == "auto":
        rows = [row.classes for row in literature.FIGURE_1 if row.dataset == name]
        classes = ",".join(rows[0] if rows else dataset.shown[:3])
    places = several_of(f"class of {dataset.title}", classes, dataset.shown, 3)
    return tuple(dataset.classes.index(dataset.shown[place]) for place in places)


def panels(arms: Arms, classes: tuple[int, int, int]) -> list[Panel]:
    """The four columns of Figure 1, from the first seed: hard training and test, smoothed training and test."""
    names = DATASETS[arms.hard[0].run.dataset].classes
    return named_panels(arms, classes, tuple(names[k] for k in classes))


def further(rows: Sequence[Shown]) -> list[tuple[str, list[Panel]]]:
    """Title and panels of every row but the first."""
    return [(row.title.replace(", ", "\n"), panels(row.arms, row.classes)) for row in rows[1:]]


def further_records(rows: Sequence[Shown]) -> list[Record]:
    """What `further` is from."""
    return [record for row in rows[1:] for record in row.arms.first.records]


def named_panels(arms: Arms, classes: tuple[int, int, int], names: tuple[str, ...]) -> list[Panel]:
    """The same, of classes that the data set itself has no names for."""
    return [
        Panel(f"{target}, {title}", *projected(arm[0], split, classes), names, smoothed)
        for target, arm, smoothed in (("hard targets", arms.hard, False), (f"α = {arms.alpha:g}", arms.smoothed, True))
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


def measure(row: Shown) -> list[Measure]:
    """Claims C1–C4, C8 and C18, or C5 of similar classes, each part measured on every run and decided."""
    arms, classes = row.arms, row.classes

    def training(function: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Record], float]:
        return lambda record: function(*projected(record, "train", classes)[:2])

    def spread_ratio(record: Record) -> float:
        test, train = (projection.within_scatter(*projected(record, split, classes)[:2]) for split in ("test", "train"))
        return test / train

    similar = [("C5", "", f"{row.names[0]} and {row.names[1]}, sd of arc / radius", training(_arc_ratio))]
    quantities = [
        ("C1", "", "test accuracy", lambda record: 100 * record.metrics["test_accuracy"]),
        ("C2", "", "scatter within / between", training(projection.within_between_scatter)),
        ("C3", "", "shortest / longest side", training(projection.triangle_regularity)),
        ("C4", "", "distance from the origin", training(lambda points, _: projection.mean_distance(points))),
        ("C8", "", "scatter test / training", spread_ratio),
        ("C18", "variation", "logit gaps, sd / mean", lambda record: projection.gap_variation(*_logits(record))),
        ("C18", "optimum", "mean gap from the best", lambda record: _distance_from_optimum(record, arms.alpha)),
    ]
    return [
        claim_tables.measure(claim, part, title, map(value, arms.hard), map(value, arms.smoothed))
        for claim, part, title, value in (similar if row.similar else quantities)
    ]


def settings(profile: str, seeds: str) -> list[Setting]:
    """The chapter's networks with their claims, for the scorecard."""
    return measured(rows(profile, seeds=seeds))


def measured(rows: Sequence[Shown]) -> list[Setting]:
    """Each network with its claims, those of all its rows."""
    found: dict[str, Setting] = {}
    for row in rows:
        setting = Setting("projections", row.arms.profile, row.title, [], row.arms.records)
        found.setdefault(row.title, setting).measures.extend(measure(row))
    return list(found.values())


def _arc_ratio(points: np.ndarray, places: np.ndarray) -> float:
    """Of the first two classes together, seen from the centroid of the third (C5)."""
    return projection.arc_ratio(points[places < 2], points[places == 2].mean(axis=0))


def _arc_ratios(record: Record, classes: tuple[int, int, int]) -> list[float]:
    """The same of each of the first two classes alone."""
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
    both = first.arms.hard, first.arms.smoothed
    hard, smoothed = (
        [
            np.mean([projection.mean_distance(projected(record, split, first.classes)[0]) for record in arm])
            for split in SPLIT_TITLES
        ]
        for arm in both
    )
    within = [np.mean([_arc_ratios(record, similar.classes) for record in arm]) for arm in both]
    return {
        "class_names": listed(first.names),
        "network": first.title,
        "similar_names": listed(similar.names[:2]),
        "other_name": similar.names[2],
        "made_from": _made_from(rows[:1]),
        "first_made_from": _made_from([rows[0]._replace(arms=rows[0].arms.first)]),
        "rows_made_from": _made_from([row._replace(arms=row.arms.first) for row in rows[1:]]),
        "hard_distance": float(hard[0]),
        "smoothed_distance": float(smoothed[0]),
        "hard_reach": float(hard[1] / hard[0]),
        "smoothed_reach": float(smoothed[1] / smoothed[0]),
        "arc_within_hard": float(within[0]),
        "arc_within_smoothed": float(within[1]),
        "fitted": "; ".join(_fitted(rows)),
        "illustrations": captions.illustrations({row.title: row.arms.hard for row in rows}),
        "best_gap": optimal_logit_gap(len(DATASETS[first.network[0]].classes), first.arms.alpha),
    }


def _fitted(rows: Sequence[Shown]) -> list[str]:
    """Of each network how much of its training images it classifies rightly, with hard and with smoothed targets."""
    found = {}
    for row in rows:
        hard, smoothed = (
            100 * np.mean([r.metrics["train_accuracy"] for r in arm]) for arm in (row.arms.hard, row.arms.smoothed)
        )
        found[row.title] = f"{row.title}: {hard:.0f} and {smoothed:.0f} %"
    return list(found.values())


def _made_from(rows: Sequence[Shown]) -> str:
    every = {record.run: record for row in rows for record in row.arms.records}
    return captions.made_from(rows[0].arms.profile, every.values())


def diagrams(row: Shown) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """(title, unit, hard, smoothed) of every measure but the accuracy, which has a table."""
    return [
        (f"{m.verdict.claim}: {m.title}", claims.CLAIMS[m.verdict.claim].part(m.verdict.part).units, m.hard, m.smoothed)
        for m in measure(row)
        if m.verdict.claim != "C1"
    ]


def claim_table(rows: Sequence[Shown]) -> Table:
    """Each quantity of every network on both arms, the difference, and the verdict."""
    arms = rows[0].arms
    header = "hard", f"smoothed, α = {arms.alpha:g}"
    return claim_tables.table("table-projection-claims", "projections", measured(rows), header, _made_from(rows))


def accuracy_table(rows: Sequence[Shown]) -> Table:
    """Table 2's row for each network that has one: the paper, the replication and the recorded runs."""
    cells = []
    for network, row in {row.network: row for row in rows}.items():
        for source, published in literature.TABLE_2.items():
            if network in published:
                numbers = (published[network][arm].shown for arm in ("hard", "smoothed"))
                cells.append((row.title, source.capitalize(), *numbers, "0.1"))
        ours = [
            captions.with_interval(np.array([100 * r.metrics["test_accuracy"] for r in arm]))
            for arm in (row.arms.hard, row.arms.smoothed)
        ]
        standing = f"Here, {captions.standing(row.arms.profile)}"
        cells.append((row.title, standing, *ours, f"{row.arms.alpha:g}"))
    return Table(
        "table-accuracy",
        "Test accuracy in percent without and with label smoothing (Table 2 of the paper). The paper's ± is as "
        "printed; ours is the 95 % Student t interval over seeds. The paper's CIFAR images are held out of the "
        "training file. The replication's ResNet-56 is wider. " + _made_from(rows),
        ("Network", "", "Hard", "Smoothed", "α"),
        tuple(cells),
        [record for row in rows for record in row.arms.records],
    )
