"""Means over the seeds with their 95 % Student t intervals."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsbook.analysis.statistics import mean_interval
from lsbook.figures.style import HARD, KINDS, SMOOTHED, arm_colour


def draw_means(axes: Axes, x: np.ndarray, values: np.ndarray, colour: str, **style) -> None:
    """Means over the seeds of values (P, S) against x (P,), with 95 % Student t intervals where there are two seeds."""
    half = [mean_interval(v).high - v.mean() if len(v) > 1 else 0 for v in values]
    axes.errorbar(x, [v.mean() for v in values], yerr=half, color=colour, capsize=3, markersize=5, **style)


def draw_seeds(axes: Axes, hard: np.ndarray, smoothed: np.ndarray, title: str, unit: str) -> Axes:
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
        draw_seeds(figure.add_subplot(rows, 3, place), hard, smoothed, title, unit)
    return figure


def factors_figure(networks: Sequence) -> Figure:
    """ECE, on the left, and accuracy, on the right, against the smoothing factor: a row for each network.

    networks: title, alphas (A,), ece and accuracy, for each α one (S,). Hard targets, α = 0, have their own colour.
    """
    figure = Figure(figsize=(8, 2.6 * len(networks)), layout="constrained")
    for part, network in zip(figure.subfigures(len(networks), squeeze=False)[:, 0], networks, strict=True):
        part.suptitle(network.title)
        left, right = part.subplots(1, 2)
        for axes, values in ((left, network.ece), (right, network.accuracy)):
            draw_means(axes, network.alphas, values, SMOOTHED, fmt="o-")
            draw_means(axes, network.alphas[:1], values[:1], HARD, fmt="o")
            axes.margins(0.12)
            axes.set_xlabel("smoothing factor α")
        left.set_ylim(bottom=0)
        left.set_ylabel("test ECE")
        right.set_ylabel("test accuracy (%)")
    return figure


def draw_lengths(axes: Axes, trainings: Sequence) -> Axes:
    """Test ECE against the number of passes through the training images, a line for each number of images.

    trainings: images, passes, hard and smoothed (S,), ordered by images and passes.
    """
    by_images = {images: list(found) for images, found in itertools.groupby(trainings, lambda t: t.images)}
    for (images, found), marker in zip(by_images.items(), ("o", "s", "^"), strict=False):
        passes = np.array([training.passes for training in found])
        for name in ("hard", "smoothed"):
            values = [getattr(training, name) for training in found]
            label = f"{name}, {images:,} images"
            draw_means(axes, passes, values, arm_colour(name == "smoothed"), fmt=f"{marker}-", label=label)
    axes.set_xscale("log")
    ticks = sorted({round(training.passes) for training in trainings})
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("passes through the training images")
    axes.set_ylabel("test ECE")
    axes.legend()
    return axes


def draw_distillation(axes: Axes, curves: Sequence) -> Axes:
    """Test accuracy against the smoothness index γ, a line for each curve: means with 95 % Student t intervals.

    curves: title, colour, smoothness (G,), accuracy (G, S) in percent. Those of taught students are drawn a little
    beside their γ, so that intervals can be told apart.
    """
    for curve in curves:
        style = {"teacher": "s--", "alone": "^-", "hard": "o-", "smoothed": "D-"}[curve.colour]
        places = curve.smoothness + {"hard": -0.01, "smoothed": 0.01}.get(curve.colour, 0)
        draw_means(axes, places, curve.accuracy, KINDS[curve.colour], fmt=style, label=curve.title)
    values = np.concatenate([curve.accuracy.ravel() for curve in curves])
    room = 0.15 * np.ptp(values) + 0.1
    axes.set_ylim(values.min() - room, values.max() + room)  # an interval of two seeds may reach far outside
    axes.set_xlabel("smoothness index γ")
    return axes


def distillation_figure(curves: Sequence) -> Figure:
    """All four curves, and beside them the students' alone, which differ by less."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_distillation(left, curves)
    draw_distillation(right, [curve for curve in curves if curve.colour != "teacher"])
    left.set_ylabel("test accuracy (%)")
    right.set_title("students only")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def beams_figure(beams: Sequence) -> Figure:
    """BLEU against the beam size: title, kind, sizes (B,), bleu (S, B), means with 95 % Student t intervals."""
    figure = Figure(figsize=(4.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for found in beams:
        draw_means(axes, found.sizes, found.bleu.T, KINDS[found.kind], fmt="o-", label=found.title)
    axes.set_xscale("log")
    axes.set_xticks(found.sizes, [f"{size}" for size in found.sizes])
    axes.minorticks_off()
    axes.set_xlabel("beam size")
    axes.set_ylabel("test BLEU")
    axes.legend()
    return figure
