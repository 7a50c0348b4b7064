"""Figure 1 and Table 2 for AlexNet on CIFAR-10: projections of three classes, and the claims about them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lsbook import claims, paper
from lsbook.analysis import projection
from lsbook.analysis.targets import optimal_logit_gap
from lsbook.catalogue import DATASETS
from lsbook.errors import several_of
from lsbook.experiments import captions, profiles, verdicts
from lsbook.experiments.obtain import Arms, Group, compare, comparison
from lsbook.experiments.verdicts import Measure, Setting
from lsbook.page import Table
from lsbook.run import Run
from lsbook.store import Record

# The data set and network of each profile.
NETWORK = {"smoke": ("digits", "alexnet-16"), "laptop": ("cifar10", "alexnet"), "paper": ("cifar10", "alexnet")}
SPLIT_TITLES = {"train": "training", "test": "test"}


class Panel(NamedTuple):
    """One panel of Figure 1: points (N, 2), their class's place among the three (N,), templates (3, 2), names."""

    title: str
    points: np.ndarray
    labels: np.ndarray
    templates: np.ndarray
    classes: tuple[str, ...]
    smoothed: bool


def arms(profile: str = "auto", alpha: float = 0.1, seeds: str = "auto") -> Arms:
    """The recorded runs of the chapter, trained where they are missing."""
    return compare(profile, alpha, seeds, run)


def groups(profile: str, alpha: float = 0.1) -> list[Group]:
    """What the chapter asks for."""
    return comparison(profile, alpha, run)


def run(profile: str, alpha: float, seed: int) -> Run:
    """The run behind one point of the chapter."""
    return profiles.run(profile, *NETWORK[profile], alpha, seed)


def three_classes(arms: Arms, classes: str) -> tuple[int, int, int]:
    """Labels of three classes given by name, such as "airplane,automobile,bird"; "auto": the paper's, or the first.

    UserError unless they are three different classes of the data set.
    """
    dataset = arms.hard[0].run.dataset
    names = DATASETS[dataset].classes
    if classes == "auto":
        rows = [row.classes for row in paper.FIGURE_1 if row.dataset == dataset]
        classes = ",".join(rows[0] if rows else names[:3])
    return several_of(f"class of {DATASETS[dataset].title}", classes, names, 3)


def panels(arms: Arms, classes: tuple[int, int, int]) -> list[Panel]:
    """The four columns of Figure 1, from the first seed: hard training and test, smoothed training and test."""
    names = DATASETS[arms.hard[0].run.dataset].classes
    return named_panels(arms, classes, tuple(names[k] for k in classes))


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


def measure(arms: Arms, classes: tuple[int, int, int]) -> list[Measure]:
    """Claims C1–C4, C8 and C18, each part measured on every run and decided."""

    def training(function: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Record], float]:
        return lambda record: function(*projected(record, "train", classes)[:2])

    def spread_ratio(record: Record) -> float:
        test, train = (projection.within_scatter(*projected(record, split, classes)[:2]) for split in ("test", "train"))
        return test / train

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
        verdicts.measure(claim, part, title, map(value, arms.hard), map(value, arms.smoothed))
        for claim, part, title, value in quantities
    ]


def settings(profile: str, seeds: str) -> list[Setting]:
    """The chapter's network with its claims, for the scorecard."""
    found = arms(profile, seeds=seeds)
    return [Setting("projections", found.profile, NETWORK[found.profile], measure(found, three_classes(found, "auto")))]


def _logits(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and labels (N,) of the training examples kept, of all classes."""
    logits = record.arrays["train_activations"].astype(np.float64) @ record.arrays["templates"].T
    return logits, record.arrays["train_labels"]


def _distance_from_optimum(record: Record, alpha: float) -> float:
    """|mean gap − the gap that is best for smoothed targets|, in nats (C18)."""
    logits, labels = _logits(record)
    return abs(float(projection.logit_gaps(logits, labels).mean()) - optimal_logit_gap(logits.shape[1], alpha))


def numbers(arms: Arms, classes: tuple[int, int, int]) -> dict[str, float | str]:
    """What the chapter's text quotes by name."""
    names = DATASETS[arms.hard[0].run.dataset].classes
    hard, smoothed = (
        np.mean([projection.mean_distance(projected(record, "train", classes)[0]) for record in arm])
        for arm in (arms.hard, arms.smoothed)
    )
    return {
        "class_names": ", ".join(names[k] for k in classes[:2]) + f" and {names[classes[2]]}",
        "made_from": captions.made_from(arms.profile, arms.records),
        "hard_distance": float(hard),
        "smoothed_distance": float(smoothed),
        "best_gap": optimal_logit_gap(len(names), arms.alpha),
    }


def diagrams(measures: list[Measure]) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """(title, unit, hard, smoothed) of every measure but the accuracy, which has a table."""
    return [
        (f"{m.verdict.claim}: {m.title}", claims.CLAIMS[m.verdict.claim].part(m.verdict.part).units, m.hard, m.smoothed)
        for m in measures
        if m.verdict.claim != "C1"
    ]


def claim_table(arms: Arms, measures: list[Measure]) -> Table:
    """Each quantity on both arms, the difference, and the verdict."""
    made_from = captions.made_from(arms.profile, arms.records)
    header = "hard", f"smoothed, α = {arms.alpha:g}"
    return verdicts.table("table-projection-claims", "projections", arms.profile, header, measures, made_from)


def accuracy_table(arms: Arms) -> Table:
    """Table 2's row for this network: the paper, the replication and the recorded runs."""
    dataset, model = arms.hard[0].run.dataset, arms.hard[0].run.model
    rows = []
    for source, published in paper.TABLE_2.items():
        if (dataset, model) in published:
            row = published[dataset, model]
            rows.append((source.capitalize(), *(_published(row[arm]) for arm in ("hard", "smoothed")), "0.1"))
    ours = [
        captions.with_interval(np.array([100 * r.metrics["test_accuracy"] for r in arm]))
        for arm in (arms.hard, arms.smoothed)
    ]
    rows.append((f"Here, {captions.STANDING[arms.profile].split(',')[0]}", *ours, f"{arms.alpha:g}"))
    return Table(
        "table-accuracy",
        "Test accuracy in percent without and with label smoothing (Table 2 of the paper). The paper's ± is as "
        "printed; ours is the 95 % Student t interval over seeds. " + captions.made_from(arms.profile, arms.records),
        ("", "Hard", "Smoothed", "α"),
        tuple(rows),
    )


def _published(number: paper.Published) -> str:
    spread = f" ± {number.spread:g}" if number.spread is not None else ""
    return f"{number.value:g}{spread}{'' if number.checked else '†'}"
