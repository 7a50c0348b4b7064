"""Pictures of one or several models' predictions: reliability with sampling bands, and risk against coverage."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom

from lsbook.analysis.calibration import Reliability
from lsbook.figures.projection import draw_projection
from lsbook.figures.reliability import MIN_PER_BIN, draw_confidences
from lsbook.figures.style import HARD, NEUTRAL, SCALED, SMOOTHED

COLOURS = (HARD, SMOOTHED, NEUTRAL, SCALED)
MOST_POINTS = 500  # of a drawn curve


class RiskCurve(NamedTuple):
    """Risk (N,) at coverage n/N by one score of one model."""

    title: str
    risk: np.ndarray


class ClassesPanel(NamedTuple):
    """Examples of three classes of one model, as `figures.projection.draw_projection` takes them."""

    title: str
    points: np.ndarray
    labels: np.ndarray
    templates: np.ndarray
    classes: tuple[str, ...]
    colour: str


def projections_figure(panels: Sequence[ClassesPanel]) -> Figure:
    """Each model's three classes in the plane of their templates, on axes of its own."""
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.6 * lines), layout="tight")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        draw_projection(panel, axes, 1.05 * float(np.abs(panel.points).max()))
        axes.legend()
    for axes in grid[len(panels) :]:
        axes.remove()
    return figure


def sampling_reliability_figure(models: Sequence[tuple[str, Reliability, Reliability]]) -> Figure:
    """For each model (title, at T = 1, at the fitted temperature) accuracy against confidence, and how often each is.

    The band is where the accuracy of a bin would lie in 95 of 100 samples of as many examples if the confidence were
    right. Bins with fewer than MIN_PER_BIN examples are left out.
    """
    figure = Figure(figsize=(6.4, 4.2 * len(models)), layout="tight")  # the same in every build, to the last digit
    grid = figure.subplots(2 * len(models), 2, height_ratios=[3, 1] * len(models), squeeze=False)
    for row, (title, *diagrams) in enumerate(models):
        readings = (f"{title}\nas it is", f"{title}\nat the fitted temperature")
        axes = grid[2 * row : 2 * row + 2].T
        for (above, below), name, diagram, colour in zip(axes, readings, diagrams, (HARD, SCALED), strict=True):
            _draw(above, diagram, colour)
            draw_confidences(below, [diagram], colour)
            above.set_title(name, color=colour)
            below.set_xlabel("confidence")
        grid[2 * row, 0].set_ylabel("accuracy")
        grid[2 * row + 1, 0].set_ylabel("examples (%)")
    return figure


def _draw(axes, diagram: Reliability, colour: str) -> None:
    shown = diagram.count >= MIN_PER_BIN
    confidence, count = diagram.confidence[shown], diagram.count[shown]
    low, high = (binom.ppf(share, count, np.clip(confidence, 0, 1)) / count for share in (0.025, 0.975))
    axes.fill_between(confidence, low, high, color=NEUTRAL, alpha=0.25, lw=0)
    axes.plot([0, 1], [0, 1], ":", color=NEUTRAL, linewidth=1)
    axes.plot(confidence, diagram.accuracy[shown], "o-", color=colour, markersize=4)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")


def risk_coverage_figure(curves: Sequence[tuple[RiskCurve, RiskCurve]]) -> Figure:
    """For each model its risk by the largest probability (solid) and by the normalised logit (dashed)."""
    figure = Figure(figsize=(6.4, 3.6), layout="tight")
    axes = figure.subplots()
    for (solid, dashed), colour in zip(curves, COLOURS * len(curves), strict=False):
        for curve, style in ((solid, "-"), (dashed, "--")):
            n = len(curve.risk)
            places = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(int))
            axes.plot(100 * (places + 1) / n, 100 * curve.risk[places], style, color=colour, label=curve.title)
    axes.set(xlabel="coverage: accepted examples (%)", ylabel="risk: errors among them (%)", xlim=(0, 100))
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure
