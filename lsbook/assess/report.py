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
from lsbook.core.wording import counted, listed
from lsbook.outputs import Figure, Markup, Table, Text, cell_frame

if TYPE_CHECKING:
    from lsbook.figures.assessment import ClassesPanel

LEAST_GAIN = 0.01  # of ECE for which a temperature is worth while
LEAST_AUGRC = 1e-4  # for which normalising is
LEAST_ALPHA = 0.005  # below which smoothing cannot be told from none
TEACHER_SMOOTHNESS = 0.1  # γ of the targets for which a temperature is given
MOST_FILES = 12
MOST_SHOWN = 10**6  # of a number in a table: a negative log-likelihood can have any size


def same_examples(judgements: Sequence[Judgement]) -> None:
    """Check that all models are of the same examples, in the same order. UserError unless they have the same labels."""
    first = judgements[0]
    for other in judgements[1:]:
        ours, theirs = first.predictions.labels, other.predictions.labels
        if len(ours) != len(theirs):
            raise UserError(f"{first.name} has {len(ours)} examples, {other.name} {len(theirs)}: compare the same ones")
        if (ours != theirs).any():
            row = int(np.flatnonzero(ours != theirs)[0])
            raise UserError(f"{first.name} and {other.name} have other labels of example {row}: compare the same")


def opening(judgements: Sequence[Judgement], of_book: bool = False) -> Text:
    """Say what the page is about, in a paragraph. of_book: whether the models are the book's."""
    about = f"{counted(len(judgements), 'network')} of this book" if of_book else listed([j.name for j in judgements])
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
    """Return every measure of every model, with 95 % bootstrap intervals over the examples where they are resampled.

    Its frame has a row for each measure of each model, with the columns measure (a key of `METRICS`), unit, model,
    mean, low and high; NaN where there is no interval, or no such measure of these examples.
    """
    import pandas as pd

    found = [
        (name, metric.unit, j.name, *_bounded(j.interval(name), metric.unit))
        for name, metric in METRICS.items()
        for j in judgements
    ]
    frame = pd.DataFrame(found, columns=["measure", "unit", "model", "mean", "low", "high"])
    rows = []
    for name, of_one in frame.groupby("measure", sort=False):
        metric = METRICS[str(name)]
        title = f"{metric.title}{f' ({metric.unit})' if metric.unit else ''}"
        intervals = of_one[["mean", "low", "high"]].itertuples(index=False, name=None)
        rows.append((title, *(interval_text(Interval(*one), metric.digits) for one in intervals)))
    return Table(
        "table-assessment",
        "Fractions of 1 unless a unit stands with the name; in brackets 95 % basic bootstrap intervals over the "
        "examples, which correct for what chance adds to a calibration error.",
        frame,
        shown=cell_frame(("measure", *(j.name for j in judgements)), rows),
    )


def _bounded(found: Interval, unit: str) -> Interval:
    """The interval within what the measures can be: mirrored percentiles may lie outside."""
    most = 100 if unit == "%" else np.inf
    return Interval(found.mean, *np.clip((found.low, found.high), 0, most))


def interval_text(found: Interval, digits: int, signed: bool = False) -> str:
    """Format a mean and its interval, "0.031 [0.024, 0.037]"; the mean alone where the ends are NaN.

    Args:
        found: a mean and two ends, in any unit.
        digits: how many stand after the point.
        signed: whether what is above 0 has a plus.
    """
    mean, low, high = (number_text(value, digits, signed) for value in found)
    return mean if np.isnan(found.low) else f"{mean} [{low}, {high}]"


def number_text(value: float, digits: int, signed: bool = False) -> str:
    """Format a number without an exponent: what rounds to 0 has no sign, and NaN is a dash.

    Args:
        value: in any unit; beyond `MOST_SHOWN` only this is said.
        digits: how many stand after the point.
        signed: whether what is above 0 has a plus.
    """
    if np.isnan(value):
        return "—"
    if abs(value) > MOST_SHOWN:
        return f"{'>' if value > 0 else '< −'} {MOST_SHOWN:,}".replace("− ", "−")
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return (text.lstrip("+-") if float(text) == 0 else text).replace("-", "−")


def brier_table(judgements: Sequence[Judgement]) -> Table:
    """Return the parts of the Brier score of every model.

    Its frame has a row for each part and model, with the columns part, model and value.
    """
    import pandas as pd

    parts = {
        "reliability": "reliability",
        "resolution": "− resolution",
        "uncertainty": "+ uncertainty",
        "within_bin": "+ within bins",
        "score": "= score",
    }
    found = [(part, j.name, getattr(j.brier, part)) for part in parts for j in judgements]
    frame = pd.DataFrame(found, columns=["part", "model", "value"])
    rows = [
        (parts[str(part)], *(number_text(value, 4) for value in of_one["value"]))
        for part, of_one in frame.groupby("part", sort=False)
    ]
    return Table(
        "table-assessment-brier",
        "Brier score = reliability − resolution + uncertainty + within bins, summed over the classes, with 15 bins.",
        frame,
        shown=cell_frame(("part", *(j.name for j in judgements)), rows),
    )


def comparison_table(judgements: Sequence[Judgement]) -> Table | Text:
    """Return each model against the first, paired over the examples; or groups of files by their names, over the files.

    Its frame has a row for each resampled measure of each pair, with the columns model, reference, measure (a key of
    `METRICS`), unit, and the difference's mean, low and high. A sentence in place of the table for one model.
    """
    import pandas as pd

    if len(judgements) < 2:
        return Text("One file is assessed; name several to compare them on the same examples.")
    groups = by_name(judgements)
    names = list(judgements[0].resampled)
    if len(groups) > 1 and min(map(len, groups.values())) > 1:
        (first, reference), *others = groups.items()
        compared = [
            (title, first, name, METRICS[name].unit, *_over_files(group, reference, name))
            for title, group in others
            for name in names
        ]
        sizes = ", ".join(f"{title} ({len(group)})" for title, group in groups.items())
        what = f"Groups of files by their names, {sizes}; 95 % Welch intervals over the files."
    else:
        one = judgements[0]
        compared = [
            (other.name, one.name, name, METRICS[name].unit, *difference(other, one, name))
            for other in judgements[1:]
            for name in names
        ]
        what = "95 % bootstrap intervals of paired differences over the examples."
    frame = pd.DataFrame(compared, columns=["model", "reference", "measure", "unit", "mean", "low", "high"])
    rows = []
    for row in frame.to_dict("records"):
        metric = METRICS[row["measure"]]
        title = f"{row['model']} − {row['reference']}: {metric.title}{' (points)' if metric.unit == '%' else ''}"
        found = Interval(row["mean"], row["low"], row["high"])
        rows.append((title, interval_text(found, metric.digits, signed=True)))
    return Table(
        "table-assessment-differences", what, frame, shown=cell_frame(("difference", "mean [95 % interval]"), rows)
    )


def by_name(judgements: Sequence[Judgement]) -> dict[str, list[Judgement]]:
    """Group files by their names without a number at the end: hard-0.npz and hard-1.npz are "hard"."""
    groups: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        stem = judgement.name.rpartition(".")[0] or judgement.name
        groups.setdefault(re.sub(r"[-_ ]*\d+$", "", stem) or stem, []).append(judgement)
    return groups


def _over_files(second: Sequence[Judgement], first: Sequence[Judgement], name: str) -> Interval:
    before, after = (np.array([j.metrics[name] for j in group]) for group in (first, second))
    return welch_interval(before, after)


def reliability_figure(judgements: Sequence[Judgement]) -> Figure:
    """Draw the reliability of each model as it is and at the fitted temperature, with 95 % sampling bands."""
    from lsbook.figures.assessment import sampling_reliability_figure

    drawn = [(j.name, j.reliability, j.scaled_reliability) for j in judgements]
    return Figure(partial(sampling_reliability_figure, drawn))


def risk_figure(judgements: Sequence[Judgement]) -> Figure:
    """Draw risk against coverage, in %, of each model by the largest probability and by the normalised logit."""
    from lsbook.figures.assessment import RiskCurve, risk_coverage_figure

    def curve(j: Judgement, score: str) -> RiskCurve:
        return RiskCurve(j.name, selective.risk_coverage(j.scores[score], j.predictions.correct))

    curves = [(curve(j, "probability"), curve(j, "normalised logit")) for j in judgements]
    return Figure(partial(risk_coverage_figure, curves))


def projection_figures(judgements: Sequence[Judgement]) -> Figure | Text:
    """Draw three classes in the plane of their templates, for models that have features (N, d) and templates (K, d).

    Templates may be (K, d + 1), with biases. A sentence in place of the figure where no model has both.

    Raises:
        UserError: if a model's templates do not fit its features, are equal or in one line, or fewer than three classes
            have examples.
    """
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
    """Say what to do with each model, in a list of sentences by the rules that `RULES` states."""
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
    if low > 0 and gain >= LEAST_AUGRC:
        return (
            f"Do not reject by its largest probability before normalising its logits: that lowers the AUGRC by "
            f"{interval_text(Interval(gain, low, high), 4)}. {covered}"
        )
    return f"Its largest probability ranks its errors about as well as the normalised logit does, or better. {covered}"


def _smoothing(j: Judgement) -> str:
    if np.isnan(j.evenness):
        return "With two classes smoothing leaves no trace in what is left to the others."
    shared = (
        "in the most confident quarter of its predictions what is left to the other classes is "
        f"{100 * j.evenness:.0f} % as even as it can be (with smoothed labels {100 * EVEN:.0f} % or more)"
    )
    if j.evenness >= EVEN and j.smoothing_factor >= LEAST_ALPHA:
        return f"It was probably trained with smoothed labels, by about α = {j.smoothing_factor:.2g}: {shared}."
    return f"It shows no sign of smoothed labels: {shared}."


def _teaching(j: Judgement) -> str:
    at_one = (
        "As a teacher at T = 1 it gives these examples targets as soft as labels smoothed by "
        f"γ = {j.smoothness:.3f} (less soft where it has fitted the images)"
    )
    try:
        logits, labels = j.predictions.logits[: 10**4], j.predictions.labels[: 10**4]
        temperature = distillation.temperature_for(TEACHER_SMOOTHNESS, logits, labels)
    except ValueError:
        return f"{at_one}; by its errors γ is above {TEACHER_SMOOTHNESS:g} at any temperature."
    return f"{at_one}; T = {temperature:.2f} gives γ = {TEACHER_SMOOTHNESS:g}."


RULES = Text(
    f"A temperature is advised where it lowers the calibration error by {LEAST_GAIN:g} or more; normalising where it "
    f"lowers the AUGRC by {LEAST_AUGRC:.4f} or more and the whole 95 % bootstrap interval of that is above 0. "
    "Smoothed labels are presumed where the most confident quarter of the predictions spreads what is left over the "
    "other classes at least "
    f"{100 * EVEN:.0f} % as evenly as possible (entropy over its largest value): of this book’s networks on CIFAR-10 "
    "and MNIST, after their whole training, that tells those with smoothed labels from the others; it was chosen on "
    "them. Smoothing of networks that fit few of their training images goes unnoticed. α is read from the upper "
    "quartile of the confidences, which is 1 − α + α/K at the smoothed optimum."
)
