"""Every figure. A function takes data and an Axes, draws, and returns the Axes; the `*_figure` ones lay several out.

Colours are Okabe and Ito's, which colour-blind readers can tell apart, and keep one meaning through the book.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsbook.analysis.statistics import mean_interval
from lsbook.analysis.targets import cross_entropy, optimal_logit_gap, smallest_loss, smooth_targets

HARD, SMOOTHED = "#0072B2", "#D55E00"
CLASSES = ("#009E73", "#CC79A7", "#E69F00")
MARKERS = ("o", "^", "s")
NEUTRAL = "#444444"
FACTORS = (HARD, "#F0A36B", SMOOTHED, "#7A3B00")  # four smoothing factors, from hard targets up
TEXT_SIZE = 11


def arm_colour(smoothed: bool) -> str:
    """The colour of hard or of smoothed targets."""
    return SMOOTHED if smoothed else HARD


def projection(panel, axes: Axes, limit: float) -> Axes:
    """Examples of three classes in the plane of their templates, seen from its origin in the centre.

    panel: title, points (N, 2), labels (N,) in 0 … 2, templates (3, 2), classes (3 names), smoothed.
    limit: half-width of both axes. A line runs from the origin through each class's template, a black-edged mark.
    """
    for place, (colour, marker) in enumerate(zip(CLASSES, MARKERS, strict=True)):
        direction = panel.templates[place] / np.linalg.norm(panel.templates[place])
        axes.plot(*np.outer(direction, [0, 2 * limit]), color=colour, linewidth=1, alpha=0.8, zorder=1)
        points = panel.points[panel.labels == place]
        axes.scatter(*points.T, s=12, color=colour, marker=marker, alpha=0.55, linewidths=0, label=panel.classes[place])
        axes.scatter(*panel.templates[place], s=40, color=colour, marker=marker, edgecolors="black", zorder=3)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.set_title(panel.title, fontsize=TEXT_SIZE, color=arm_colour(panel.smoothed))
    axes.tick_params(labelsize=TEXT_SIZE - 2)
    axes.locator_params(nbins=5)
    return axes


def projection_figure(panels: Sequence) -> Figure:
    """Four panels in two rows: above all on the same axes, below each network on its own, as the paper shows them."""
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    grid = figure.subplots(2, len(panels))
    shared = _limit(panels)
    for row, limits in zip(grid, ([shared] * len(panels), _own_limits(panels)), strict=True):
        for axes, panel, limit in zip(row, panels, limits, strict=True):
            projection(panel, axes, limit)
    grid[0, 0].set_ylabel("same axes for all", fontsize=TEXT_SIZE)
    grid[1, 0].set_ylabel("axes of each network", fontsize=TEXT_SIZE)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, fontsize=TEXT_SIZE, frameon=False, markerscale=2
    )
    return figure


def _limit(panels: Sequence) -> float:
    return 1.05 * max(np.abs(panel.points).max() for panel in panels)


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
    axes.set_xticks([0, 1], ["hard", "smoothed"], fontsize=TEXT_SIZE)
    axes.set_title(title, fontsize=TEXT_SIZE)
    axes.set_ylabel(unit, fontsize=TEXT_SIZE)
    axes.tick_params(axis="y", labelsize=TEXT_SIZE - 2)
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
    axes.set_xlabel("true logit − each other logit (nats)", fontsize=TEXT_SIZE)
    axes.set_ylabel("loss (nats)", fontsize=TEXT_SIZE)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=TEXT_SIZE, frameon=False)
    return axes


def gap_against_alpha(
    axes: Axes, class_counts: Sequence[int], checked: Sequence[tuple[int, float, float]] = ()
) -> Axes:
    """The best logit gap against α for several numbers of classes; checked: (K, α, gap found by optimisation)."""
    alphas = np.geomspace(1e-3, 0.9, 200)
    for n_classes, style in zip(class_counts, ("-", "--", ":"), strict=False):
        gaps = [optimal_logit_gap(n_classes, alpha) for alpha in alphas]
        axes.plot(alphas, gaps, style, color=NEUTRAL, label=f"{n_classes} classes")
    for _, alpha, gap in checked:
        axes.plot(alpha, gap, "o", color=SMOOTHED)
    axes.set_xscale("log")
    axes.set_xlabel("smoothing factor α", fontsize=TEXT_SIZE)
    axes.set_ylabel("best logit gap (nats)", fontsize=TEXT_SIZE)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=TEXT_SIZE, frameon=False)
    return axes


def smoothing_figure(n_classes: int, alphas: Sequence[float], checked: Sequence[tuple[int, float, float]]) -> Figure:
    """The loss against the gap beside the best gap against α."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    loss_against_gap(left, n_classes, alphas)
    gap_against_alpha(right, (10, 100, 1_000), checked)
    return figure
