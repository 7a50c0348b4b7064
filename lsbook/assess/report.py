"""An assessment in the book's form: what was read, tables, figures, and advice in sentences by stated rules."""

import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lsbook.analysis import distillation, projection, selective
from lsbook.analysis.statistics import Interval, welch_interval
from lsbook.assess.judgement import EVEN, METRICS, RISK, Judgement, difference
from lsbook.core.errors import UserError
from lsbook.core.wording import listed
from lsbook.outputs import Figure, Markup, Table, Text, cell_frame

if TYPE_CHECKING:
    from lsbook.figures.assessment import ClassesPanel

LEAST_GAIN = 0.01  # of ECE for which a temperature is worth while
LEAST_ALPHA = 0.005  # below which smoothing cannot be told from none
TEACHER_SMOOTHNESS = 0.1  # γ of the targets for which a temperature is given
MOST_FILES = 12


def same_examples(judgements: Sequence[Judgement]) -> None:
    """UserError unless all are of the same examples, in the same order."""
    first = judgements[0]
    for other in judgements[1:]:
        ours, theirs = first.predictions.labels, other.predictions.labels
        if len(ours) != len(theirs):
            raise UserError(f"{first.name} has {len(ours)} examples, {other.name} {len(theirs)}: compare the same ones")
        if (ours != theirs).any():
            row = int(np.flatnonzero(ours != theirs)[0])
            raise UserError(f"{first.name} and {other.name} have other labels of example {row}: compare the same")


def opening(judgements: Sequence[Judgement], own: bool) -> Text:
    """What the page is about. own: whether the models are the book's."""
    about = "two networks of this book" if own else listed([j.name for j in judgements])
    return Text(
        "Can a model’s confidence be believed, which of its predictions can be trusted, and would it make a good "
        f"teacher? This page answers for {about}."
    )


def read_text(judgements: Sequence[Judgement]) -> Text:
    """Return a list that says of each file what was read from it and what was missing."""
    lines = []
    for judgement in judgements:
        found = judgement.predictions
        n, k = found.logits.shape
        missing = [
            name
            for name, value in {
                "validation data": found.validation,
                "features": found.features,
                "templates": found.templates,
            }.items()
            if value is None
        ]
        lacks = f"; without {listed(missing)}" if missing else ""
        notes = f" ({'; '.join(found.notes)})" if found.notes else ""
        lines.append(
            Markup(
                "- **{}**: {} of {:,} examples of {:,} classes{}{}. Temperature and normalisation are fitted on {}."
            ).format(found.name, found.given, n, k, lacks, notes, judgement.fitted_on)
        )
    return Text(Markup("\n").join(lines))


def table(judgements: Sequence[Judgement]) -> Table:
    """Every measure of every file, with 95 % bootstrap intervals over the examples where they are resampled."""
    rows = [
        (f"{metric.title}{f' ({metric.unit})' if metric.unit else ''}", *(_cell(j, name) for j in judgements))
        for name, metric in METRICS.items()
    ]
    rows.append(("fitted temperature", *(f"{j.temperature:.2f}" for j in judgements)))
    rows.append(("γ of the predictions as targets", *(f"{j.smoothness:.3f}" for j in judgements)))
    return Table(
        "table-assessment",
        "Fractions of 1 unless a unit stands with the name; in brackets 95 % basic bootstrap intervals over the "
        "examples, which correct for what chance adds to a calibration error.",
        cell_frame(("measure", *(j.name for j in judgements)), rows),
    )


def _cell(judgement: Judgement, name: str) -> str:
    if name not in judgement.metrics:
        return "—"
    found = judgement.interval(name)
    if found is None:
        return f"{judgement.metrics[name]:.3g}"
    digits = 1 if METRICS[name].unit == "%" else 4
    return f"{found.mean:.{digits}f} [{max(found.low, 0):.{digits}f}, {found.high:.{digits}f}]"


def brier_table(judgements: Sequence[Judgement]) -> Table:
    """The parts of the Brier score."""
    parts = {
        "reliability": [j.brier.reliability for j in judgements],
        "− resolution": [j.brier.resolution for j in judgements],
        "+ uncertainty": [j.brier.uncertainty for j in judgements],
        "+ within bins": [j.brier.within_bin for j in judgements],
        "= score": [j.brier.score for j in judgements],
    }
    rows = [(part, *(f"{value:.4f}".replace("-", "−") for value in values)) for part, values in parts.items()]
    return Table(
        "table-assessment-brier",
        "Brier score = reliability − resolution + uncertainty + within bins, summed over the classes, with 15 bins.",
        cell_frame(("part", *(j.name for j in judgements)), rows),
    )


def comparison_table(judgements: Sequence[Judgement]) -> Table | Text:
    """Each file against the first, paired over the examples; or groups of files by their names, over the files."""
    groups = by_name(judgements)
    if len(judgements) < 2:
        return Text("One file is assessed; name several to compare them on the same examples.")
    names = list(judgements[0].resampled)
    if len(groups) > 1 and min(map(len, groups.values())) > 1:
        (first, reference), *others = groups.items()
        compared = [
            (f"{title} − {first}", name, _over_files(group, reference, name))
            for title, group in others
            for name in names
        ]
        sizes = ", ".join(f"{title} ({len(group)})" for title, group in groups.items())
        what = f"Groups of files by their names, {sizes}; 95 % Welch intervals over the files."
    else:
        one = judgements[0]
        compared = [
            (f"{other.name} − {one.name}", name, difference(other, one, name))
            for other in judgements[1:]
            for name in names
        ]
        what = "95 % bootstrap intervals of paired differences over the examples."
    rows = [(f"{title}: {METRICS[name].title}", _signed(found)) for title, name, found in compared]
    return Table("table-assessment-differences", what, cell_frame(("difference", "mean [95 % interval]"), rows))


def by_name(judgements: Sequence[Judgement]) -> dict[str, list[Judgement]]:
    """Files grouped by their names without a number at the end: hard-0.npz and hard-1.npz are "hard"."""
    groups: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        stem = judgement.name.rpartition(".")[0] or judgement.name
        groups.setdefault(re.sub(r"[-_ ]*\d+$", "", stem) or stem, []).append(judgement)
    return groups


def _over_files(second: Sequence[Judgement], first: Sequence[Judgement], name: str) -> Interval:
    before, after = (np.array([j.metrics[name] for j in group]) for group in (first, second))
    return welch_interval(before, after)


def _signed(found: Interval) -> str:
    mean, low, high = (f"{value:+.3g}".replace("-", "−") for value in found)
    return f"{mean} [{low}, {high}]"


def reliability_figure(judgements: Sequence[Judgement]) -> Figure:
    """Reliability of each file as it is and at the fitted temperature, with sampling bands."""
    from lsbook.figures.assessment import sampling_reliability_figure

    drawn = [(j.name, j.reliability, j.scaled_reliability) for j in judgements]
    return Figure(partial(sampling_reliability_figure, drawn))


def risk_figure(judgements: Sequence[Judgement]) -> Figure:
    """Risk against coverage of each file, by the largest probability and by the normalised logit."""
    from lsbook.figures.assessment import RiskCurve, risk_coverage_figure

    def curve(j: Judgement, score: str) -> RiskCurve:
        return RiskCurve(j.name, selective.risk_coverage(j.scores[score], j.predictions.correct))

    curves = [(curve(j, "probability"), curve(j, "normalised logit")) for j in judgements]
    return Figure(partial(risk_coverage_figure, curves))


def projection_figures(judgements: Sequence[Judgement]) -> Figure | Text:
    """Three classes in the plane of their templates, for files that have features and templates."""
    from lsbook.figures.assessment import projections_figure

    panels = [panel for j in judgements if (panel := _panel(j))]
    if not panels:
        return Text("The projection needs features (N, d) and templates (K, d), the rows of the last layer.")
    return Figure(partial(projections_figure, panels))


def _panel(judgement: Judgement) -> "ClassesPanel | None":
    """The first three classes that have examples; None without features and templates."""
    from lsbook.figures.assessment import ClassesPanel

    found = judgement.predictions
    features, templates = found.features, found.templates
    if features is None or templates is None:
        return None
    if templates.shape[1] == features.shape[1] + 1:
        features = np.hstack([features, np.ones((len(features), 1))])
    if templates.shape[1] != features.shape[1]:
        raise UserError(f"{found.name}: templates have {templates.shape[1]} columns, features {features.shape[1]}")
    classes = np.unique(found.labels)[:3]
    if len(classes) < 3:
        raise UserError(f"{found.name}: a projection needs examples of three classes")
    try:
        plane = projection.template_plane(templates[classes])
    except ValueError as error:
        raise UserError(f"{found.name}: {error}") from None
    rows = np.isin(found.labels, classes)
    points = projection.project(features[rows], plane)
    places = np.searchsorted(classes, found.labels[rows])
    names = tuple(found.classes[k] for k in classes)
    return ClassesPanel(found.name, points, places, projection.project(templates[classes], plane), names, "teacher")


def advice(judgements: Sequence[Judgement]) -> Text:
    """What to do with each model, in sentences by rules that `RULES` states."""
    lines = [
        Markup("- **{}**: {}").format(j.name, " ".join([_scaling(j), _rejecting(j), _smoothing(j), _teaching(j)]))
        for j in judgements
    ]
    return Text(Markup("\n").join(lines))


def _scaling(j: Judgement) -> str:
    before, after, chance = j.metrics["ece"], j.metrics["scaled_ece"], j.reliability.ece_if_calibrated
    if before - after >= LEAST_GAIN:
        return (
            f"Divide its logits by T = {j.temperature:.2f} (fitted on {j.fitted_on}): the calibration error falls from "
            f"{before:.3f} to {after:.3f}."
        )
    return (
        f"Take its confidence as it is: the calibration error is {before:.3f}, of which chance alone gives about "
        f"{chance:.3f}, and a temperature would gain less than {LEAST_GAIN:g}."
    )


def _rejecting(j: Judgement) -> str:
    gain, low, high = j.gain_of_normalising
    covered = (
        f"At {100 * RISK:.0f} % risk its largest probability covers {j.metrics['coverage']:.1f} % of the examples."
    )
    if low > 0:
        return (
            f"Do not reject by its largest probability before normalising its logits: that lowers the AUGRC by "
            f"{gain:.4f} [{low:.4f}, {high:.4f}]. {covered}"
        )
    return f"Its largest probability ranks its errors at least as well as the normalised logit does. {covered}"


def _smoothing(j: Judgement) -> str:
    if np.isnan(j.evenness):
        return "With two classes smoothing leaves no trace in what is left to the others."
    shared = f"its most confident quarter spreads the rest {100 * j.evenness:.0f} % as evenly as possible"
    if j.evenness >= EVEN and j.smoothing_factor >= LEAST_ALPHA:
        return f"It was probably trained with smoothed labels, by about α = {j.smoothing_factor:.2g}: {shared}."
    return f"It shows no sign of smoothed labels: {shared}."


def _teaching(j: Judgement) -> str:
    at_one = f"As a teacher at T = 1 its targets have the smoothness index γ = {j.smoothness:.3f}"
    try:
        logits, labels = j.predictions.logits[: 10**4], j.predictions.labels[: 10**4]
        temperature = distillation.temperature_for(TEACHER_SMOOTHNESS, logits, labels)
    except ValueError:
        return f"{at_one}; no temperature gives γ = {TEACHER_SMOOTHNESS:g}."
    return f"{at_one}; T = {temperature:.2f} gives γ = {TEACHER_SMOOTHNESS:g}."


RULES = Text(
    f"A temperature is advised where it lowers the calibration error by {LEAST_GAIN:g} or more; normalising where the "
    "whole 95 % bootstrap interval of what it gains is above 0. Smoothed labels are presumed where the most confident "
    "quarter of the predictions spreads what is left over the other classes at least "
    f"{100 * EVEN:.0f} % as evenly as possible (entropy over its largest value): of this book’s networks on CIFAR-10 "
    "and MNIST, after their whole training, that tells those with smoothed labels from the others; it was chosen on "
    "them. Smoothing of networks that fit few of their training images goes unnoticed. α is read from the upper "
    "quartile of the confidences, which is 1 − α + α/K at the smoothed optimum."
)
