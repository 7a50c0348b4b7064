"""Every figure. A function takes data and an Axes, draws, and returns the Axes; the `*_figure` ones lay several out.

Colours are Okabe and Ito's, which colour-blind readers can tell apart, with a grey and a dark red; each keeps one
meaning through the book.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from lsbook.analysis.calibration import Reliability
from lsbook.analysis.statistics import mean_interval
from lsbook.analysis.targets import cross_entropy, optimal_logit_gap, smallest_loss, smooth_targets

HARD, SMOOTHED, SCALED = "#0072B2", "#D55E00", "#56B4E9"
NEUTRAL = "#666666"  # neither arm: what both are compared with
CORRECTED = "#882255"  # an estimate less its bias
KINDS = {"hard": HARD, "scaled": SCALED, "smoothed": SMOOTHED, "teacher": "#000000", "alone": NEUTRAL}
CLASSES = ("#009E73", "#CC79A7", "#E69F00")
MARKERS = ("o", "^", "s")
FACTORS = (HARD, "#F0A36B", SMOOTHED, "#7A3B00")  # four smoothing factors, from hard targets up
TURNS = 10  # in which the points of several classes are drawn
LEAST_IN_BIN = 10  # examples behind a point of a reliability diagram


def arm_colour(smoothed: bool) -> str:
    """The colour of hard or of smoothed targets."""
    return SMOOTHED if smoothed else HARD


def projection(panel, axes: Axes, limit: float) -> Axes:
    """Examples of three classes in the plane of their templates, seen from its origin in the centre.

    panel: title, points (N, 2), labels (N,) in 0 … 2, templates (3, 2), classes (3 names), smoothed.
    limit: half-width of both axes. A line runs from the origin through each class's template, a black-edged mark.
    The classes are drawn by turns, so that none hides another. How many examples and templates lie beyond the axes is
    said in a corner.
    """
    kinds = list(zip(CLASSES, MARKERS, panel.classes, strict=True))
    for template, (colour, marker, _) in zip(panel.templates, kinds, strict=True):
        direction = template / np.linalg.norm(template)
        axes.plot(*np.outer(direction, [0, 2 * limit]), color=colour, linewidth=1, alpha=0.8, zorder=1)
        axes.scatter(*template, s=40, color=colour, marker=marker, edgecolors="black", zorder=3)
    for turn in range(TURNS):
        for place, (colour, marker, name) in enumerate(kinds):
            points = panel.points[panel.labels == place][turn::TURNS]
            label = name if turn == 0 else None
            axes.scatter(*points.T, s=12, color=colour, marker=marker, alpha=0.55, linewidths=0, label=label)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    beyond = {name: _beyond(found, limit) for name, found in (("example", panel.points), ("template", panel.templates))}
    if said := ", ".join(f"{n} {name}{'s' * (n > 1)}" for name, n in beyond.items() if n):
        axes.text(0.03, 0.03, f"{said} outside", transform=axes.transAxes, fontsize="small")
    axes.set_title(panel.title, color=arm_colour(panel.smoothed))
    axes.locator_params(nbins=5)
    return axes


def _beyond(points: np.ndarray, limit: float) -> int:
    return int((np.abs(points).max(axis=1) > limit).sum())


def projection_figure(panels: Sequence) -> Figure:
    """Four panels in two rows: above all on the same axes, below each network on its own, as the paper shows them."""
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    grid = figure.subplots(2, len(panels))
    shared = _limit(panels)
    for row, limits in zip(grid, ([shared] * len(panels), _own_limits(panels)), strict=True):
        for axes, panel, limit in zip(row, panels, limits, strict=True):
            projection(panel, axes, limit)
    grid[0, 0].set_ylabel("same axes for all")
    grid[1, 0].set_ylabel("axes of each network")
    _class_legend(figure, grid[0, 0])
    return figure


def rows_figure(rows: Sequence[tuple[str, Sequence]]) -> Figure:
    """A row of panels for each (title, panels), each network on its own axes, the names of its classes below."""
    figure = Figure(figsize=(11, 3.6 * len(rows)), layout="constrained")
    for part, (title, panels) in zip(figure.subfigures(len(rows), squeeze=False)[:, 0], rows, strict=True):
        grid = part.subplots(1, len(panels))
        for axes, panel, limit in zip(grid, panels, _own_limits(panels), strict=True):
            projection(panel, axes, limit)
        grid[0].set_ylabel(title)
        _class_legend(part, grid[0])
    return figure


def _class_legend(figure: FigureBase, axes: Axes) -> None:
    """The names of the classes in a row below."""
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="medium", markerscale=2)
    for name in legend.get_texts():
        name.set_parse_math(False)  # a $ in a name is a $


def _limit(panels: Sequence) -> float:
    """A little beyond the farthest point; where a few lie much farther than the others, twice as far as 95 % do."""
    reach = np.concatenate([np.abs(panel.points).max(axis=1) for panel in panels])
    return min(1.05 * reach.max(), 2 * np.quantile(reach, 0.95))


def _own_limits(panels: Sequence) -> list[float]:
    """For each panel, the limit of all panels of its network."""
    return [_limit([other for other in panels if other.smoothed == panel.smoothed]) for panel in panels]


def seeds(axes: Axes, hard: np.ndarray, smoothed: np.ndarray, title: str, unit: str) -> Axes:
    """One quantity on both arms: a dot a seed, and the mean with its 95 % Student t interval beside them."""
    for place, values in enumerate((hard, smoothed)):
        colour = arm_colour(bool(place))
        axes.plot(np.full(len(values), place - 0.12), values, "o", color=colour, alpha=0.5, markersize=5)
        if len(values) > 1:
            interval = mean_interval(values)
            half = interval.high - interval.mean
            axes.errorbar(place + 0.12, interval.mean, yerr=half, fmt="D", color=colour, markersize=6, capsize=4)
    axes.set_xlim(-0.5, 1.5)
    axes.set_xticks([0, 1], ["hard", "smoothed"], fontsize="medium")
    axes.set_title(title)
    axes.set_ylabel(unit)
    axes.margins(y=0.25)
    return axes


def seeds_figure(quantities: Sequence[tuple[str, str, np.ndarray, np.ndarray]]) -> Figure:
    """A small diagram for each (title, unit, hard, smoothed), three in a row."""
    rows = -(-len(quantities) // 3)
    figure = Figure(figsize=(9, 2.8 * rows), layout="constrained")
    for place, (title, unit, hard, smoothed) in enumerate(quantities, start=1):
        seeds(figure.add_subplot(rows, 3, place), hard, smoothed, title, unit)
    return figure


def loss_against_gap(axes: Axes, n_classes: int, alphas: Sequence[float]) -> Axes:
    """The loss of one example against the gap of its true logit to each other one, with the minimum of each curve."""
    gaps = np.linspace(0, 14, 281)
    logits = np.zeros((len(gaps), n_classes))
    logits[:, 0] = gaps
    for alpha, colour in zip(alphas, FACTORS, strict=True):
        targets = np.repeat(smooth_targets(np.array([0]), n_classes, alpha), len(gaps), axis=0)
        name = f"α = {alpha:g}" if alpha else "hard"
        axes.plot(gaps, cross_entropy(logits, targets), color=colour, label=name)
        if alpha:
            axes.plot(optimal_logit_gap(n_classes, alpha), smallest_loss(n_classes, alpha), "o", color=colour)
    axes.set_xlabel("true logit − each other logit (nats)")
    axes.set_ylabel("loss (nats)")
    axes.set_ylim(bottom=0)
    axes.legend()
    return axes


def gap_against_alpha(
    axes: Axes, class_counts: Sequence[int], checked: Sequence[tuple[int, float, float]] = ()
) -> Axes:
    """The best logit gap against α for several numbers of classes; checked: (K, α, gap found by optimisation)."""
    alphas = np.geomspace(1e-3, 0.9, 200)
    for n_classes, style in zip(class_counts, ("-", "--", ":", "-."), strict=False):
        gaps = [optimal_logit_gap(n_classes, alpha) for alpha in alphas]
        axes.plot(alphas, gaps, style, color=NEUTRAL, label=f"{n_classes} classes")
    for _, alpha, gap in checked:
        axes.plot(alpha, gap, "o", color=SMOOTHED)
    axes.set_xscale("log")
    axes.set_xlabel("smoothing factor α")
    axes.set_ylabel("best logit gap (nats)")
    axes.set_ylim(bottom=0)
    axes.legend()
    return axes


def smoothing_figure(n_classes: int, alphas: Sequence[float], checked: Sequence[tuple[int, float, float]]) -> Figure:
    """The loss against the gap beside the best gap against α."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    loss_against_gap(left, n_classes, alphas)
    gap_against_alpha(right, sorted({k for k, _, _ in checked}), checked)
    return figure


def reliability(axes: Axes, diagrams: Sequence[Reliability], colour: str) -> Axes:
    """Accuracy against confidence, bin by bin: the mean over the seeds, and a band from the lowest to the highest.

    diagrams: one a seed, all with the same bins. Bins with fewer than LEAST_IN_BIN examples in some seed are left out.
    """
    confidence, accuracy, count = (np.stack(part) for part in zip(*diagrams, strict=True))
    shown = count.min(axis=0) >= LEAST_IN_BIN
    x = confidence[:, shown].mean(axis=0)
    axes.plot([0, 1], [0, 1], ":", color=NEUTRAL, linewidth=1)
    axes.fill_between(x, accuracy[:, shown].min(axis=0), accuracy[:, shown].max(axis=0), color=colour, alpha=0.25, lw=0)
    axes.plot(x, accuracy[:, shown].mean(axis=0), "o-", color=colour, markersize=4)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return axes


def confidences(axes: Axes, diagrams: Sequence[Reliability], colour: str) -> Axes:
    """Share of the examples in each bin of confidence, in percent, mean over the seeds."""
    count = np.mean([diagram.count for diagram in diagrams], axis=0)
    edges = np.linspace(0, 1, len(count) + 1)
    axes.bar(edges[:-1], 100 * count / count.sum(), np.diff(edges), align="edge", color=colour, alpha=0.6, ec="white")
    axes.set(xlim=(0, 1), ylim=(0, 100))
    return axes


def reliability_figure(rows: Sequence[tuple[str, Sequence[tuple[str, str, Sequence[Reliability]]]]]) -> Figure:
    """A row for each network (title, arms), an arm being (title, kind, one diagram a seed); histograms below each."""
    columns = max(len(arms) for _, arms in rows)
    figure = Figure(figsize=(3 * columns, 4.4 * len(rows)), layout="constrained")
    parts = np.atleast_1d(figure.subfigures(len(rows), 1))
    for part, (title, arms) in zip(parts, rows, strict=True):
        part.suptitle(title)
        grid = part.subplots(2, len(arms), height_ratios=(3, 1), squeeze=False)
        for (above, below), (name, kind, diagrams) in zip(grid.T, arms, strict=True):
            reliability(above, diagrams, KINDS[kind])
            confidences(below, diagrams, KINDS[kind])
            above.set_title(name, color=KINDS[kind])
            below.set_xlabel("confidence")
        grid[0, 0].set_ylabel("accuracy")
        grid[1, 0].set_ylabel("examples (%)")
    return figure


def _mean_line(axes: Axes, x: np.ndarray, values: np.ndarray, colour: str, **style) -> None:
    """Means over the seeds of values (P, S) against x (P,), with 95 % Student t intervals where there are two seeds."""
    half = [mean_interval(v).high - v.mean() if len(v) > 1 else 0 for v in values]
    axes.errorbar(x, [v.mean() for v in values], yerr=half, color=colour, capsize=3, markersize=5, **style)


def factors_figure(networks: Sequence) -> Figure:
    """ECE, on the left, and accuracy, on the right, against the smoothing factor: a row for each network.

    networks: title, alphas (A,), ece and accuracy, for each α one (S,). Hard targets, α = 0, have their own colour.
    """
    figure = Figure(figsize=(8, 2.6 * len(networks)), layout="constrained")
    for part, network in zip(figure.subfigures(len(networks), squeeze=False)[:, 0], networks, strict=True):
        part.suptitle(network.title)
        left, right = part.subplots(1, 2)
        for axes, values in ((left, network.ece), (right, network.accuracy)):
            _mean_line(axes, network.alphas, values, SMOOTHED, fmt="o-")
            _mean_line(axes, network.alphas[:1], values[:1], HARD, fmt="o")
            axes.margins(0.12)
            axes.set_xlabel("smoothing factor α")
        left.set_ylim(bottom=0)
        left.set_ylabel("test ECE")
        right.set_ylabel("test accuracy (%)")
    return figure


def lengths(axes: Axes, trainings: Sequence) -> Axes:
    """Test ECE against the number of passes through the training images, a line for each number of images.

    trainings: images, passes, hard and smoothed (S,), ordered by images and passes.
    """
    by_images = {images: list(found) for images, found in itertools.groupby(trainings, lambda t: t.images)}
    for (images, found), marker in zip(by_images.items(), ("o", "s", "^"), strict=False):
        passes = np.array([training.passes for training in found])
        for name in ("hard", "smoothed"):
            values = [getattr(training, name) for training in found]
            label = f"{name}, {images:,} images"
            _mean_line(axes, passes, values, arm_colour(name == "smoothed"), fmt=f"{marker}-", label=label)
    axes.set_xscale("log")
    ticks = sorted({round(training.passes) for training in trainings})
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("passes through the training images")
    axes.set_ylabel("test ECE")
    axes.legend()
    return axes


def course(axes: Axes, course) -> Axes:
    """ECE along one training: mean over the seeds, and a band from the lowest to the highest.

    course: title, passes (P,), hard and smoothed (S, P).
    """
    for name in ("hard", "smoothed"):
        values, colour = getattr(course, name), arm_colour(name == "smoothed")
        axes.plot(course.passes, values.mean(axis=0), color=colour, label=name)
        axes.fill_between(course.passes, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.25, lw=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("passes done of the full training")
    axes.set_ylabel("ECE on held-out images")
    axes.legend()
    return axes


def length_figure(trainings: Sequence, along) -> Figure:
    """Trainings of several lengths, beside the course of one; without other lengths the course alone."""
    figure = Figure(figsize=(9, 3.8) if trainings else (4.5, 3.8), layout="constrained")
    *left, right = figure.subplots(1, 2 if trainings else 1, squeeze=False)[0]
    for axes in left:
        lengths(axes, trainings)
    course(right, along)
    return figure


def likelihood(axes: Axes, curves: Sequence) -> Axes:
    """Test NLL against the temperature; a dot at the temperature fitted on held-out data.

    curves: title, kind, temperatures (T,), nll (T,), fitted, best.
    """
    for curve in curves:
        axes.plot(curve.temperatures, curve.nll, color=KINDS[curve.kind], label=curve.title)
        axes.plot(curve.fitted, curve.best, "o", color=KINDS[curve.kind])
    axes.axvline(1, color=NEUTRAL, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axes.minorticks_off()
    axes.set_xlabel("temperature T")
    axes.legend()
    return axes


def likelihood_figure(networks: Sequence[tuple[str, Sequence]]) -> Figure:
    """A panel for each (title, curves), at most three in a row."""
    rows = math.ceil(len(networks) / 3)
    columns = math.ceil(len(networks) / rows)
    figure = Figure(figsize=(max(4.5, 3.2 * columns), 3.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(networks) :]:
        axes.remove()
    for axes, (title, curves) in zip(grid.flat, networks, strict=False):
        likelihood(axes, curves)
        axes.set_title(title.replace(", ", ",\n", 1))
    for axes in grid[:, 0]:
        axes.set_ylabel("test NLL (nats)")
    return figure


def sample_size_figure(estimates) -> Figure:
    """What samples of a calibrated model show: sizes, plain, expected and debiased, each (N,)."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(estimates.sizes, estimates.plain, "o", color=NEUTRAL, label="ECE, mean of many samples")
    axes.plot(estimates.sizes, estimates.expected, "-", color=NEUTRAL, label="what chance alone should give")
    axes.plot(estimates.sizes, estimates.debiased, "^--", color=CORRECTED, label="debiased (root of mean square)")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("test examples")
    axes.set_ylabel("calibration error")
    axes.legend()
    return figure


def information(axes: Axes, panel) -> Axes:
    """Mutual information along the training, both arms: the middle of the two estimates, mean over the seeds, and a
    band from the lowest leave-one-out to the highest plug-in estimate of any seed. Lines at log 2 and log N, or how far
    above the curves the latter is.

    panel: title, examples, courses with title, smoothed, steps (P,), plug_in, leave_one_out and middle (S, P).
    """
    for course in panel.courses:
        colour = arm_colour(course.smoothed)
        axes.plot(course.steps, course.middle.mean(axis=0), "o-", color=colour, markersize=3, label=course.title)
        low, high = course.leave_one_out.min(axis=0), course.plug_in.max(axis=0)
        axes.fill_between(course.steps, low, high, color=colour, alpha=0.2, lw=0)
    top = 1.15 * max(np.log(2), *(course.plug_in.max() for course in panel.courses))
    for value, name in ((np.log(panel.examples), "log N"), (np.log(2), "log 2")):
        axes.axhline(value, color=NEUTRAL, linestyle=":", linewidth=1)
        above = value > top
        name = f" {name} = {value:.2f} ↑" if above else f" {name}"
        axes.text(
            1, 0.98 * top if above else value, name, fontsize="small", color=NEUTRAL, va="top" if above else "bottom"
        )
    axes.set_xscale("log")
    axes.set_ylim(0, top)
    axes.set_title(panel.title)
    axes.set_xlabel("training step")
    return axes


def information_figure(rows: Sequence[Sequence]) -> Figure:
    """A row for each network, a panel for each split."""
    figure = Figure(figsize=(9, 4 * len(rows)), layout="constrained")
    for grid, panels in zip(figure.subplots(len(rows), len(rows[0]), squeeze=False), rows, strict=True):
        for axes, panel in zip(grid, panels, strict=True):
            information(axes, panel)
        grid[0].set_ylabel("mutual information (nats)")
        grid[0].legend()
    return figure


def bias_figure(bias) -> Figure:
    """Both estimates less the truth, a panel for each number of views: spreads, truth, plug_in and leave_one_out."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, len(bias.plug_in), sharey=True)
    for axes, views in zip(panels, bias.plug_in, strict=True):
        both = bias.plug_in[views], bias.leave_one_out[views]
        for values, style, name in ((both[0], "^-", "plug-in"), (both[1], "v-", "leave-one-out")):
            axes.plot(bias.spreads, values - bias.truth, style, color=NEUTRAL, markersize=4, label=name, alpha=0.7)
        middle = np.mean(both, axis=0) - bias.truth
        axes.plot(bias.spreads, middle, "o-", color=CORRECTED, markersize=4, label="middle")
        axes.axhline(0, color=NEUTRAL, linestyle=":", linewidth=1)
        axes.set_xscale("log")
        axes.set_title(f"L = {views}")
    figure.supxlabel("spread of the means in units of the noise")
    panels[0].set_ylabel("estimate − truth (nats)")
    panels[-1].legend()
    return figure


def pairs_figure(hard: np.ndarray, smoothed: np.ndarray, classes: Sequence[str]) -> Figure:
    """(K, K) information about each pair of classes, both arms on one scale."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    panels = figure.subplots(1, 2)
    lowest, highest = np.nanmin([hard, smoothed]), np.nanmax([hard, smoothed])
    for axes, values, name in zip(panels, (hard, smoothed), ("hard targets", "smoothed"), strict=True):
        image = axes.imshow(values, vmin=lowest, vmax=highest, cmap="cividis")
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
        axes.set_title(name, color=arm_colour(name == "smoothed"))
    figure.colorbar(image, ax=panels, label="mutual information (nats)", shrink=0.8)
    return figure


def distillation(axes: Axes, curves: Sequence) -> Axes:
    """Test accuracy against the smoothness index γ, a line for each curve: means with 95 % Student t intervals.

    curves: title, colour, smoothness (G,), accuracy (G, S) in percent. Those of taught students are drawn a little
    beside their γ, so that intervals can be told apart.
    """
    for curve in curves:
        style = {"teacher": "s--", "alone": "^-", "hard": "o-", "smoothed": "D-"}[curve.colour]
        places = curve.smoothness + {"hard": -0.01, "smoothed": 0.01}.get(curve.colour, 0)
        _mean_line(axes, places, curve.accuracy, KINDS[curve.colour], fmt=style, label=curve.title)
    values = np.concatenate([curve.accuracy.ravel() for curve in curves])
    room = 0.15 * np.ptp(values) + 0.1
    axes.set_ylim(values.min() - room, values.max() + room)  # an interval of two seeds may reach far outside
    axes.set_xlabel("smoothness index γ")
    return axes


def distillation_figure(curves: Sequence) -> Figure:
    """All four curves, and beside them the students' alone, which differ by less."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    distillation(left, curves)
    distillation(right, [curve for curve in curves if curve.colour != "teacher"])
    left.set_ylabel("test accuracy (%)")
    right.set_title("students only")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def against_temperature(axes: Axes, curves: Sequence, title: str) -> Axes:
    """A quantity against the temperature: the mean over the seeds, and a band from the lowest to the highest.

    curves: title, kind, temperatures (T,), values (S, T), fitted and reached (S,). A filled mark is at T = 1, an open
    one at each seed's temperature fitted on validation text.
    """
    for curve in curves:
        colour, mean = KINDS[curve.kind], curve.values.mean(axis=0)
        axes.plot(curve.temperatures, mean, color=colour, label=curve.title)
        axes.fill_between(
            curve.temperatures, curve.values.min(axis=0), curve.values.max(axis=0), color=colour, alpha=0.25, lw=0
        )
        axes.plot(1, mean[curve.temperatures == 1], "o", color=colour)
        axes.plot(curve.fitted, curve.reached, "D", color=colour, markerfacecolor="none")
    axes.set_xscale("log")
    axes.set_xticks([0.5, 0.7, 1, 1.4, 2], ["0.5", "0.7", "1", "1.4", "2"])
    axes.minorticks_off()
    axes.set_xlabel("temperature T")
    axes.set_ylabel(title)
    return axes


def temperature_figure(quantities: Sequence[tuple[str, Sequence]]) -> Figure:
    """A panel for each (title, curves)."""
    figure = Figure(figsize=(3.2 * len(quantities), 3.6), layout="constrained")
    panels = figure.subplots(1, len(quantities), squeeze=False)[0]
    for axes, (title, curves) in zip(panels, quantities, strict=True):
        against_temperature(axes, curves, title)
    panels[0].legend()
    return figure


def beams_figure(beams: Sequence) -> Figure:
    """BLEU against the beam size: title, kind, sizes (B,), bleu (S, B), means with 95 % Student t intervals."""
    figure = Figure(figsize=(4.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for found in beams:
        _mean_line(axes, found.sizes, found.bleu.T, KINDS[found.kind], fmt="o-", label=found.title)
    axes.set_xscale("log")
    axes.set_xticks(found.sizes, [f"{size}" for size in found.sizes])
    axes.minorticks_off()
    axes.set_xlabel("beam size")
    axes.set_ylabel("test BLEU")
    axes.legend()
    return figure
