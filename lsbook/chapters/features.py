"""What the features keep: separation and transfer (L6), neural collapse (L9), and MaxSup as a third arm (L7)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from lsbook import figures
from lsbook.chapters import projections
from lsbook.chapters.later_findings import (
    Statement,
    answers,
    compared,
    comparisons,
    measured,
    network_groups,
    setting,
)
from lsbook.chapters.shared import captions
from lsbook.chapters.shared.chapter import Chapter, DecidedClaims
from lsbook.chapters.shared.claim_tables import Setting
from lsbook.chapters.shared.comparison import Comparison
from lsbook.core import registry
from lsbook.core.wording import listed
from lsbook.evidence.claims import LATER
from lsbook.outputs import Figure, Table, Text, cell_frame

DECIDED = ("L6", "L7", "L9")
_OF_MAXSUP = "features of MaxSup, which holds down the largest logit in place of the true one,"
# (claim, part) -> what may have come of it, in the order in which it is said.
STATEMENTS = {
    ("L6", "transfer"): Statement(
        "smoothed features serve other images less well",
        "smoothed features serve other images better",
        "accuracy of a linear classifier on them {first} → {second} %",
    ),
    ("L6", "separation"): Statement(
        "they separate their own classes more",
        "they separate their own classes less",
        "class separation R² {first} → {second}",
    ),
    ("L9", "NC1"): Statement(
        "the images of a class collapse further",
        "the images of a class collapse less",
        "scatter NC1 {first} → {second}",
    ),
    ("L9", "NC2"): Statement(
        "the class means come nearer to equal angles",
        "the class means are farther from equal angles",
        "distance NC2 {first} → {second}",
    ),
    ("L7", "transfer"): Statement(
        f"{_OF_MAXSUP} serve other images better than smoothed ones",
        f"{_OF_MAXSUP} serve other images less well than smoothed ones",
        "accuracy of a linear classifier {first} → {second} %",
    ),
}
QUANTITIES = {
    "test accuracy (%)": ("test_accuracy", 100),
    "R², training": ("train_class_separation", 1),
    "distance within": ("train_distance_within", 1),
    "NC1": ("train_nc1", 1),
    "NC2": ("train_nc2", 1),
}


def measures(comparison: Comparison, claim: str) -> list[Setting]:
    """A claim on a network. NotRecorded where a record lacks the quantity."""
    hard, smoothed, max_suppressed = comparison.arms[:3]
    parts = [part.name for part in LATER[claim].parts]
    pair = (smoothed, max_suppressed) if claim == "L7" else (hard, smoothed)
    return [setting("features", comparison, "", compared(claim, parts, *pair))]


def settings(profile: str, seeds: str) -> list[Setting]:
    """The networks with their claims, for the scorecard."""
    return measured(comparisons(profile, seeds=seeds), measures, DECIDED)


def in_short(shown: Sequence[Comparison]) -> Text:
    """The chapter's answer."""
    sentences = answers(shown, measured(shown, measures, DECIDED), STATEMENTS, so_far)
    return captions.short_answer(sentences)


def so_far(comparison: Comparison) -> str:
    """What the recorded seeds of a network show, without a verdict."""
    separation = [f"{arm.metric('train_class_separation').mean():.2f} ({arm.name})" for arm in comparison.arms[:3]]
    return f"So far the class separation R² of {comparison.title} is {listed(separation)}."


def projection_figure(comparison: Comparison) -> Figure:
    """Training images of three classes with hard targets, with smoothed ones and with MaxSup; first seed."""
    classes = projections.three_classes(comparison.network[0], "auto")
    three = replace(comparison, arms=comparison.arms[:3])
    drawn = [panel for panel in projections.panels(three, classes) if panel.title.endswith("training")]
    records = [arm.records[0] for arm in three.arms]
    return Figure(partial(figures.groups_figure, [(comparison.title, drawn)]), records)


def feature_table(shown: Sequence[Comparison]) -> Table:
    """The measures of every arm of every network, and how many training images it misclassifies at the end."""
    rows, probed = [], {}
    for comparison in shown:
        transfer = registry.dataset(comparison.network[0]).transfer
        if transfer:
            other = registry.dataset(transfer)
            probed[other.title] = f"{other.title} (chance: {100 / len(other.classes):g} %)"
        probe = f"probe_{registry.identifier(transfer)}_accuracy" if transfer else ""
        for arm in comparison.arms:
            values = [_mean(arm.records, name, factor) for name, factor in QUANTITIES.values()]
            wrong = f"{100 * (1 - arm.metric('train_accuracy').mean()):.1f}"
            rows.append((comparison.title, arm.label, *values, _mean(arm.records, probe, 100), wrong))
    header = ("network", "arm", *QUANTITIES, "probe (%)", "training errors (%)")
    return Table(
        "table-features",
        "Measures of the features, means over the recorded seeds. Probe: accuracy of a linear classifier of them on "
        f"{listed([*probed.values()]) or 'another data set'}. What MaxSup leaves out of smoothing is nothing where no "
        "training image is misclassified.",
        cell_frame(header, rows),
        [record for comparison in shown for record in comparison.records],
    )


def _mean(records: Sequence, name: str, factor: float) -> str:
    values = [factor * record.metrics[name] for record in records if name in record.metrics]
    return captions.three_digits(float(np.mean(values))) if values else "—"


CHAPTER = Chapter("features", network_groups, DecidedClaims(DECIDED, settings))
