"""Pictures of one or several models' predictions: reliability with sampling bands, and risk against coverage."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from lsbook.analysis.calibration import Reliability
from lsbook.core.errors import shortened
from lsbook.figures.projection import draw_projection
from lsbook.figures.reliability import reliability_figure
from lsbook.figures.style import (
    BLACK,
    CLASSES,
    CORRECTED,
    FURTHER,
    HARD,
    NEUTRAL,
    SCALED,
    SMOOTHED,
    WIDE,
    grid_for,
    panel_grid,
)

COLOURS = (HARD, SMOOTHED, NEUTRAL, SCALED, *FURTHER, CORRECTED, *CLASSES, BLACK)  # a model each
MOST_POINTS = 500  # of a drawn curve
LONGEST_NAME = 30  # characters of a name beside a drawing


class RiskCurve(NamedTuple):
    """Risk (N,) at coverage n/N of one model, by one score."""

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


def projections_figure(panels: Sequence[ClassesPanel], width: float = WIDE) -> Figure:
    """Draw each model's three classes in the plane of their templates, on axes of its own."""
    lines, columns = grid_for(len(panels), width, 2.4)
    figure = Figure(figsize=(width, lines * width / columns), layout="tight")
    grid = panel_grid(figure, len(panels), width, 2.4)
    for axes, panel in zip(grid.flat, panels, strict=False):
        draw_projection(panel, axes, 1.05 * float(np.abs(panel.points).max()))
        axes.legend()
    return figure


def sampling_reliability_figure(models: Sequence[tuple[str, Reliability, Reliability]], width: float = WIDE) -> Figure:
    """Draw reliability diagrams of models: title, at T = 1, at the fitted temperature. See `reliability_figure`."""
    rows = [
        (shortened(title, LONGEST_NAME), [("as it is", "hard", [plain]), ("at the fitted T", "scaled", [scaled])])
        for title, plain, scaled in models
    ]
    return reliability_figure(rows, min(width, 6.4))


def risk_coverage_figure(curves: Sequence[tuple[RiskCurve, RiskCurve]], width: float = WIDE) -> Figure:
    """Draw each model's risk by the largest probability (solid) and by the normalised logit (dashed)."""
    figure = Figure(figsize=(min(width, 6.4), 3 + 0.25 * len(curves)), layout="tight")
    axes = figure.subplots()
    for (solid, dashed), colour in zip(curves, COLOURS * len(curves), strict=False):
        for curve, style in ((solid, "-"), (dashed, "--")):
            n = len(curve.risk)
            places = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(int))
            [line] = axes.plot(100 * (places + 1) / n, 100 * curve.risk[places], style, color=colour)
            if curve is solid:
                line.set_label(shortened(curve.title, LONGEST_NAME))
    axes.set(xlabel="coverage: accepted (%)", ylabel="risk: errors among them (%)", xlim=(0, 100))
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), borderaxespad=0)
    return figure
