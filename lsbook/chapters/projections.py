"""Figure 1 and Table 2: projections of three classes, and the claims about them, for each network that is recorded."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from lsbook.analysis import projection
from lsbook.analysis.targets import optimal_logit_gap
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.chapter import Chapter, DecidedClaims
from lsbook.chapters.shared.claim_tables import Finding, Measure, Setting
from lsbook.chapters.shared.comparison import Arm, Comparison, compare, group_of, smoothing_arms
from lsbook.chapters.shared.selection import Group, select_runs
from lsbook.core import registry
from lsbook.core.config import Run
from lsbook.core.errors import several_of
from lsbook.core.store import Record, Store
from lsbook.core.wording import counted, listed, sentence_case
from lsbook.evidence import literature
from lsbook.evidence.claims import CONTRADICTED, NOT_TESTED, REPRODUCED, UNDECIDED
from lsbook.outputs import Markup, Table, Text, cell_frame


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
        Network("cifar10", "alexnet", "0-2,5-9", _CAT_AND_DOG),
        Network("cifar10", "resnet56", "0-2,5-9", _CAT_AND_DOG),
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
FITTED = 0.8  # of its training images a network classifies at least so many correctly when it has fitted them


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


class FigureRow(NamedTuple):
    """A network with its arms, as a row of Figure 1 shows it.

    classes: labels of the three that are projected; similar: of three others, of which the first two look alike.
    """

    comparison: Comparison
    classes: tuple[int, int, int]
    similar: tuple[int, int, int]

    @property
    def network(self) -> tuple[str, str]:
        """Data set and model."""
        return self.comparison.network

    @property
    def title(self) -> str:
        """The network as the reader knows it."""
        return self.comparison.title

    def names(self, labels: Iterable[int]) -> tuple[str, ...]:
        """The names of classes by their labels."""
        return tuple(self.comparison.classes[k] for k in labels)

    @property
    def fitted(self) -> bool:
        """Whether the networks of every arm classify the share FITTED of their training images correctly."""
        return bool(min(arm.metric("train_accuracy").mean() for arm in self.comparison.arms) >= FITTED)


def rows(
    profile: str = "auto",
    alpha: float = 0.1,
    seeds: str = "auto",
    classes: str = "auto",
    other_losses: str = "none",
    store: Store | None = None,
) -> list[FigureRow]:
    """The networks that the chapter shows, trained where they are missing.

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
        FigureRow(each, three_classes(each.network[0], names), three_classes(each.network[0], similar[each.network]))
        for each, names in zip(compared, asked, strict=True)
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


def panels(
    comparison: Comparison, classes: tuple[int, int, int], splits: Sequence[str] = ("train", "test")
) -> list[Panel]:
    """The columns of Figure 1, from the first seed: of each arm training and test, or some of these splits."""
    names = comparison.classes
    first, second, third = classes
    return named_panels(comparison, classes, (names[first], names[second], names[third]), splits)


def named_panels(
    comparison: Comparison,
    classes: tuple[int, int, int],
    names: tuple[str, ...],
    splits: Sequence[str] = ("train", "test"),
) -> list[Panel]:
    """The panels of `panels`, of classes that the data set itself has no names for."""
    return [
        Panel(
            f"{arm.panel_label}, {SPLIT_TITLES[split]}",
            *projected(arm.records[0], split, classes),
            classes=names,
            arm=arm.name,
            colour=arm.colour,
        )
        for arm in comparison.arms
        for split in splits
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


def measure(row: FigureRow, arm: Arm) -> list[Measure]:
    """Decide the chapter's claims, each part measured on every run of the reference and of an arm compared with it."""
    reference = row.comparison.reference
    return [
        claim_tables.measure(
            claim, part, title, reference.values(quantity), arm.values(quantity), conditions=f"α = {arm.alpha:g}"
        )
        for claim, part, title, quantity in _quantities(row, arm.alpha)
    ]


def _quantities(row: FigureRow, alpha: float) -> list[tuple[str, str, str, Callable[[Record], float]]]:
    """(claim, part, title, what is measured on a record). alpha: whose optimal logit gap C18 is about."""

    def training(function: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Record], float]:
        return lambda record: function(*projected(record, "train", row.classes)[:2])

    def spread_ratio(record: Record) -> float:
        test, train = (
            projection.within_scatter(*projected(record, split, row.classes)[:2]) for split in ("test", "train")
        )
        return test / train

    alike = listed(row.names(row.similar[:2]))
    return [
        ("C1", "", "test accuracy", lambda record: 100 * record.metrics["test_accuracy"]),
        ("C2", "", "scatter within / between", training(projection.within_between_scatter)),
        ("C3", "", "shortest / longest side", training(projection.triangle_side_ratio)),
        ("C4", "", "distance from the origin", training(lambda points, _: projection.mean_distance(points))),
        ("C8", "", "scatter test / training", spread_ratio),
        ("C18", "variation", "logit gaps, sd / mean", lambda record: projection.gap_variation(*_logits(record))),
        ("C18", "optimum", "mean gap from the best", lambda record: _distance_from_optimum(record, alpha)),
        ("C5", "", f"{alike}, sd of arc / radius", lambda record: pair_arc_ratio(record, row.similar)),
    ]


def settings(profile: str, seeds: str) -> list[Setting]:
    """The chapter's networks with their claims, for the scorecard."""
    return measured(rows(profile, seeds=seeds))


def measured(rows: Sequence[FigureRow]) -> list[Setting]:
    """Each network with its claims, and the same of each further arm in the place of smoothing."""
    return [
        Setting(
            "projections",
            row.comparison.profile,
            row.comparison.title_of(arm),
            measure(row, arm),
            [*row.comparison.reference.records, *arm.records],
        )
        for row in rows
        for arm in row.comparison.others
    ]


def pair_arc_ratio(record: Record, classes: tuple[int, int, int]) -> float:
    """Measure the arc (C5) of two classes' training examples together, seen from the centroid of the third's."""
    points, places, _ = projected(record, "train", classes)
    return projection.arc_ratio(points[places < 2], points[places == 2].mean(axis=0))


def _logits(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and labels (N,) of the training examples kept, of all classes."""
    logits = record.arrays["train_activations"].astype(np.float64) @ record.arrays["templates"].T
    return logits, record.arrays["train_labels"]


def _distance_from_optimum(record: Record, alpha: float) -> float:
    """|mean gap − the gap that is best for smoothed targets|, in nats (C18)."""
    logits, labels = _logits(record)
    return abs(float(projection.logit_gaps(logits, labels).mean()) - optimal_logit_gap(logits.shape[1], alpha))


# (claim, part) -> what is to be seen in Figure 1 where the claim holds, and which number says so.
_SEEN = {
    ("C2", ""): ("tightens the training clusters", "scatter within over between"),
    ("C3", ""): ("makes the triangle of their centroids more regular", "shortest over longest side"),
    ("C4", ""): ("shrinks the projections", "distance from the origin"),
}
# (claim, part) -> what smoothing does where it does the opposite of what is claimed.
_OPPOSITE = {
    ("C1", ""): "costs more than half a point of accuracy",
    ("C2", ""): "loosens the training clusters",
    ("C3", ""): "makes the triangle of centroids less regular",
    ("C4", ""): "enlarges the projections",
    ("C5", ""): "makes two look-alike classes less of an arc",
    ("C8", ""): "lowers the scatter of test images relative to training images",
    ("C18", "variation"): "makes the logit gaps less alike",
    ("C18", "optimum"): "leaves the mean logit gap farther from its optimum",
}
_ACCURACY = {
    REPRODUCED: "accuracy does not fall by half a point",
    CONTRADICTED: "accuracy falls by more than half a point",
    UNDECIDED: "it is open whether accuracy falls by half a point",
}


def in_short(rows: Sequence[FigureRow], *further: str) -> Text:
    """What smoothing does in the plane and to accuracy.

    What contradicts the paper comes first, but last where a network has not fitted its training images, and before
    that the further sentences. Further arms are left out.
    """
    titles = [row.title for row in rows]
    found = [f for f in claim_tables.findings(measured(rows)) if f.setting in titles]
    tested = [f for f in found if f.verdict.verdict != NOT_TESTED]
    standing = sentence_case(captions.STANDING[rows[0].comparison.profile])
    if tested:
        contrary = {
            fitted: [sentence for row in rows if row.fitted == fitted for sentence in _contrary(row, tested)]
            for fitted in (True, False)
        }
        shown = f"{standing}, smoothing {_seen(tested)}."
        sentences = [*contrary[True], shown, _accuracy(tested), *further, *contrary[False]]
    else:
        scatter = next(f.measure for f in found if f.verdict.claim == "C2")
        sentences = [
            f"{standing}, fewer than three seeds decide no claim. On {titles[0]} the scatter within over between "
            f"classes is {scatter.first.mean():.3f} with hard targets and {scatter.second.mean():.3f} with smoothed."
        ]
    return captions.short_answer(sentences, Markup("You can {ref}`choose classes and α yourself <projection-widget>`."))


def _contrary(row: FigureRow, tested: Sequence[Finding]) -> list[str]:
    """A sentence on where the opposite of what is claimed was found on a network, if it was."""
    found = [f for f in tested if f.setting == row.title and f.verdict.verdict == CONTRADICTED]
    if not found:
        return []
    remark = "" if row.fitted else ", which has not fitted its training images,"
    units = "" if found[0].part.units in claim_tables.UNITS else f" {found[0].part.units}"
    first, *others = (_OPPOSITE[f.verdict.claim, f.verdict.part] for f in found)
    change = captions.mean_difference(found[0].measure.first, found[0].measure.second)
    said = listed([f"{first} ({change}{units})", *others])
    return [f"Contrary to the paper’s claims, on {row.title}{remark} smoothing {said}."]


def _seen(tested: Sequence[Finding]) -> str:
    """What of Figure 1 is seen on how many networks, the first of it with the numbers of one."""
    said: list[str] = []
    for quantity, (words, number) in _SEEN.items():
        verdicts = {f.setting: f for f in tested if (f.verdict.claim, f.verdict.part) == quantity}
        holding = [f for f in verdicts.values() if f.verdict.verdict == REPRODUCED]
        if holding:
            measure = holding[0].measure
            change = captions.mean_difference(measure.first, measure.second)
            first = "" if said else f" ({number}: {change} on {holding[0].setting})"
            said.append(f"{words} on {len(holding)} of {counted(len(verdicts), 'network')}{first}")
    return listed(said) if said else "is not shown to do what Figure 1 is about"


def _accuracy(tested: Sequence[Finding]) -> str:
    """A sentence on how many networks lose accuracy."""
    said = []
    for verdict, words in _ACCURACY.items():
        where = [f.setting for f in tested if f.verdict.claim == "C1" and f.verdict.verdict == verdict]
        if where:
            said.append(f"on {where[0] if len(where) == 1 else counted(len(where), 'network')} {words}")
    return sentence_case("; ".join(said)) + "."


def numbers(rows: Sequence[FigureRow]) -> dict[str, float | str]:
    """What the chapter's text quotes by name, of the first network, means over its seeds."""
    first = rows[0]
    result: dict[str, float | str] = {
        "class_names": listed(first.names(first.classes)),
        "network": first.title,
        "similar_names": listed(first.names(first.similar[:2])),
    }
    for name, arm in zip(("hard", "smoothed"), first.comparison.arms, strict=False):
        train, test = (_mean_distance(arm, split, first.classes) for split in SPLIT_TITLES)
        result |= {
            f"{name}_distance": train,
            f"{name}_reach": test / train,
            f"{name}_beyond": float(arm.values(lambda record: _beyond_templates(record, first.classes)).mean()),
        }
    return result


def _mean_distance(arm: Arm, split: str, classes: tuple[int, int, int]) -> float:
    """Mean distance of a split's projections from the plane's origin, over the seeds."""
    return float(arm.values(lambda record: projection.mean_distance(projected(record, split, classes)[0])).mean())


def _beyond_templates(record: Record, classes: tuple[int, int, int]) -> float:
    """How many times as far from the origin the training clusters' centroids lie as the templates, on average."""
    points, places, templates = projected(record, "train", classes)
    centroids = np.array([points[places == k].mean(axis=0) for k in range(3)])
    return float(np.linalg.norm(centroids, axis=1).mean() / np.linalg.norm(templates, axis=1).mean())


def fitting_text(rows: Sequence[FigureRow]) -> Text:
    """How much of its training images each network classifies correctly, and which have not come to the end."""
    shares = []
    for row in rows:
        of_arms = [f"{100 * arm.metric('train_accuracy').mean():.0f}" for arm in row.comparison.arms]
        shares.append(f"{row.title}: {listed(of_arms)} %")
    unfitted = [row for row in rows if not row.fitted]
    said = "So all have reached the end of training, which the claims are about."
    if unfitted:
        titles = listed([row.title for row in unfitted])
        said = (
            f"The claims are about the end of training, which {titles}, with less than {100 * FITTED:.0f} %, "
            f"{'has' if len(unfitted) == 1 else 'have'} not reached. That about logit gaps turns on it: "
            f"{listed([_distances_from_optimum(row) for row in unfitted])}."
        )
    arms = listed([arm.name for arm in rows[0].comparison.arms])
    return Text(f"Training images classified correctly ({arms}): {'; '.join(shares)}. {said}")


def _distances_from_optimum(row: FigureRow) -> str:
    """How far the mean gap of a network is from the optimum in each arm, in words."""
    alpha = row.comparison.main.alpha
    said = [
        f"{arm.values(lambda record: _distance_from_optimum(record, alpha)).mean():.2f} nats with {arm.name} targets"
        for arm in row.comparison.arms[:2]
    ]
    return f"the mean gap of {row.title} is off the optimum for smoothed targets by {listed(said)}"


def accuracy_table(rows: Sequence[FigureRow]) -> Table:
    """Table 2's row for each network that has one: the paper, the replication and the recorded runs."""
    arms = rows[0].comparison.arms
    cells = []
    for row in rows:
        for source, published in literature.TABLE_2.items():
            if row.network in published:
                numbers = [
                    published[row.network][arm.name].shown if arm.name in published[row.network] else "—"
                    for arm in arms
                ]
                cells.append((row.title, source.capitalize(), *numbers, "0.1"))
        ours = [captions.with_interval(100 * arm.metric("test_accuracy")) for arm in row.comparison.arms]
        standing = f"Here, {captions.standing(row.comparison.profile)}"
        cells.append((row.title, standing, *ours, f"{row.comparison.main.alpha:g}"))
    names = [arm.name[0].upper() + arm.name[1:] for arm in arms]
    return Table(
        "table-accuracy",
        "Test accuracy in percent (Table 2 of the paper). The paper's ± is as printed, ours the 95 % Student t "
        "interval over seeds. The paper tests on CIFAR images held out of the training file; the replication is "
        "that by Wagner and others, whose ResNet-56 is wider.",
        cell_frame(("Network", "", *names, "α"), cells),
        [record for row in rows for record in row.comparison.records],
    )


CHAPTER = Chapter(
    "projections",
    groups,
    DecidedClaims(("C1", "C2", "C3", "C4", "C5", "C8", "C18"), settings),
)
