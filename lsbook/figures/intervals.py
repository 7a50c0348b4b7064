"""Drawings of means over the seeds with their 95 % Student t intervals."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsbook.analysis.statistics import Interval, difference_interval, mean_interval
from lsbook.figures.style import BLACK, COLOURS, NEUTRAL, WIDE, grid_for, panel_grid


def draw_means(axes: Axes, x: np.ndarray, values: Sequence[np.ndarray] | np.ndarray, colour: str, **style) -> None:
    """Draw means over seeds of values (P, S) against x (P,), with 95 % Student t intervals where seeds are several."""
    half = [mean_interval(v).high - v.mean() if len(v) > 1 else 0 for v in values]
    axes.errorbar(x, [v.mean() for v in values], yerr=half, color=colour, capsize=3, markersize=5, **style)


def factors_figure(networks: Sequence, width: float = WIDE) -> Figure:
    """Draw ECE, on the left, and accuracy, on the right, against the smoothing factor: a row for each network.

    networks: title, and points with name, colour, alpha, ece and accuracy (S,): of smoothing, which are joined and
        whose first, hard targets, has its own colour; and of further arms, which are named.
    """
    figure = Figure(figsize=(width, 2.3 * len(networks)), layout="constrained")
    for part, network in zip(figure.subfigures(len(networks), squeeze=False)[:, 0], networks, strict=True):
        part.suptitle(network.title)
        left, right = part.subplots(1, 2)
        for axes, quantity in ((left, "ece"), (right, "accuracy")):
            draw_factors(axes, network, quantity)
        left.set_ylim(bottom=0)
        left.set_ylabel("test ECE")
        right.set_ylabel("test accuracy (%)")
    return figure


def draw_factors(axes: Axes, network, quantity: str) -> Axes:
    """A quantity, "ece" or "accuracy", against the smoothing factor. network: as for `factors_figure`."""
    alphas = np.array([point.alpha for point in network.smoothing])
    values = [getattr(point, quantity) for point in network.smoothing]
    draw_means(axes, alphas, values, COLOURS[network.smoothing[-1].colour], fmt="o-")
    draw_means(axes, alphas[:1], values[:1], COLOURS[network.smoothing[0].colour], fmt="o")
    for point in network.further:
        found = [getattr(point, quantity)]
        draw_means(axes, np.array([point.alpha]), found, COLOURS[point.colour], fmt="D", label=point.name)
    if network.further:
        axes.legend()
    axes.margins(0.12)
    axes.set_xlabel("smoothing factor α")
    return axes


def draw_lengths(axes: Axes, trainings: Sequence) -> Axes:
    """Test ECE against the number of epochs, a line for each number of images.

    trainings: images, epochs, and arms with name, colour and values (S,), ordered by images and epochs.
    """
    by_images = {images: list(found) for images, found in itertools.groupby(trainings, lambda t: t.images)}
    for (images, found), marker in zip(by_images.items(), itertools.cycle("os^"), strict=False):
        colours = {arm.name: arm.colour for training in found for arm in training.arms}
        for name, colour in colours.items():
            having = [(t.epochs, arm.values) for t in found for arm in t.arms if arm.name == name]
            epochs = np.array([each for each, _ in having])
            label = f"{name}, {images:,} images"
            draw_means(axes, epochs, [v for _, v in having], COLOURS[colour], fmt=f"{marker}-", label=label)
    axes.set_xscale("log")
    ticks = sorted({round(training.epochs) for training in trainings})
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epochs")
    axes.set_ylabel("test ECE")
    axes.legend()
    return axes


def draw_differences(axes: Axes, x: np.ndarray, first: np.ndarray, second: np.ndarray, colour: str, **style) -> None:
    """Draw means of second − first against x (P,), with 95 % Welch intervals where both have two seeds or more.

    first, second: (P, S) and (P, S'). A line is at 0.
    """
    mean, low, high = np.transpose([difference_interval(*both) for both in zip(first, second, strict=True)])
    axes.errorbar(x, mean, yerr=[mean - low, high - mean], color=colour, capsize=3, markersize=5, **style)
    axes.axhline(0, color=NEUTRAL, linestyle=":", linewidth=1)


def draw_distillation(axes: Axes, curves: Sequence, teachers: Sequence[tuple[float, float]]) -> Axes:
    """Draw test accuracy against the smoothness index γ, a line for each curve: means with 95 % Student t intervals.

    curves: smoothness (G,), accuracy (G, S) in percent, and style with title, colour, marks and offset: how far
    from its γ a point is drawn. teachers: α of each smoothed one that teaches, and γ of its answers.
    """
    for curve in curves:
        style, places = curve.style, curve.smoothness + curve.style.offset
        draw_means(axes, places, curve.accuracy, COLOURS[style.colour], fmt=style.marks, label=style.title)
    values = np.concatenate([curve.accuracy.ravel() for curve in curves])
    room = 0.15 * np.ptp(values) + 0.1
    axes.set_ylim(values.min() - room, values.max() + room)  # an interval of two seeds may reach far outside
    axes.set_xlabel("smoothness index γ of the targets")
    axes.set_ylabel("test accuracy (%)")
    above = axes.secondary_xaxis("top")
    above.set_xticks([smoothness for _, smoothness in teachers], [f"{alpha:g}" for alpha, _ in teachers])
    above.set_xlabel("α of the smoothed teacher")
    return axes


def distillation_figure(
    curves: Sequence, teachers: Sequence[tuple[float, float]], leads: Sequence, width: float = WIDE
) -> Figure:
    """Draw the curves of Figure 5, and beside them by how much the hard teacher's students are ahead of others.

    curves, teachers: as for `draw_distillation`. leads: others, colour, and first and second, the accuracies (G, S) of
    the others and of the hard teacher's students by teacher.
    """
    rows, columns = grid_for(2, width, 3)
    figure = Figure(figsize=(width, 3.4 * rows + 0.6), layout="constrained")
    left, right = figure.subplots(rows, columns, squeeze=False).flat
    draw_distillation(left, curves, teachers)
    alphas = np.array([alpha for alpha, _ in teachers])
    apart = 0.015 * np.ptp(alphas)
    for lead, mark, offset in zip(leads, ("D", "^"), (-apart, apart), strict=True):
        draw_differences(right, alphas + offset, lead.first, lead.second, COLOURS[lead.colour], fmt=mark)
    right.set_xticks(alphas, [f"{alpha:g}" for alpha in alphas])
    right.set_xlabel("α of the smoothed teacher")
    right.set_ylabel("hard teacher's − other (points)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    return figure


def students_figure(temperatures: Sequence[float], arms: Sequence, baseline: float, width: float = WIDE) -> Figure:
    """Draw test errors of students against the temperature, and beside them the differences from the first arm's.

    arms: name, colour and values (T, S) in percent of each arm's students; baseline: the mean error of students without
    a teacher.
    """
    rows, columns = grid_for(2, width, 3)
    figure = Figure(figsize=(width, 3 * rows + 0.5), layout="constrained")
    left, right = figure.subplots(rows, columns, squeeze=False).flat
    places = np.array(temperatures)
    reference, *others = arms
    for i, (arm, mark) in enumerate(zip(arms, itertools.cycle("oD^sv"), strict=False)):
        beside = places * (0.98 + 0.04 * i)
        draw_means(left, beside, arm.values, COLOURS[arm.colour], fmt=f"{mark}-", label=arm.name)
    left.axhline(baseline, color=COLOURS["alone"], linestyle="--", linewidth=1, label="student without a teacher")
    for arm, mark in zip(others, itertools.cycle("D^svo"), strict=False):
        draw_differences(right, places, reference.values, arm.values, COLOURS[arm.colour], fmt=mark)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlim(places.min() / 1.25, places.max() * 1.25)
        axes.set_xticks(temperatures, [f"{t:g}" for t in temperatures])
        axes.minorticks_off()
        axes.set_xlabel("temperature T")
    left.set_ylabel("test error (%)")
    right.set_ylabel("smoothed − hard (points)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    return figure


def conditions_figure(panels: Sequence, width: float = WIDE) -> Figure:
    """Draw a quantity of each arm under several conditions, a panel for each.

    panels: axis and quantity, their names, names (P,) of the conditions, and arms with name, colour and values (P, S).
    """
    rows, columns = grid_for(len(panels), width, 2.4)
    figure = Figure(figsize=(min(width, 3.6 * columns), 3 * rows + 0.4), layout="constrained")
    grid = panel_grid(figure, len(panels), width, 2.4)
    for axes, panel in zip(grid.flat, panels, strict=False):
        places = np.arange(len(panel.names))
        for i, (arm, mark) in enumerate(zip(panel.arms, itertools.cycle("oD^sv"), strict=False)):
            draw_means(axes, places + 0.06 * i, arm.values, COLOURS[arm.colour], fmt=f"{mark}-", label=arm.name)
        axes.set_xticks(places, panel.names)
        axes.set_xlim(-0.4, len(places) - 0.6)
        axes.set_xlabel(panel.axis)
        axes.set_ylabel(panel.quantity)
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def beams_figure(sizes: np.ndarray, gains: Sequence[Interval], width: float = WIDE) -> Figure:
    """Draw what smoothing adds to BLEU, with its interval, against the size of the beam; one of NaN is not drawn."""
    figure = Figure(figsize=(min(width, 5), 2.8), layout="constrained")
    axes = figure.subplots()
    mean, low, high = np.array(gains).T
    axes.axhline(0, color=NEUTRAL, linestyle=":")
    axes.errorbar(sizes, mean, yerr=(mean - low, high - mean), fmt="o", color=BLACK, capsize=3, markersize=5)
    axes.set_xscale("log")
    axes.set_xticks(sizes, ["1 (greedy)" if size == 1 else f"{size}" for size in sizes])
    axes.minorticks_off()
    axes.margins(x=0.12)
    axes.set_xlabel("hypotheses in the beam")
    axes.set_ylabel("test BLEU,\nsmoothed − hard")
    return figure
