"""Reliability diagrams: accuracy against confidence, bin by bin, and how many examples a bin has."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsbook.analysis.calibration import Reliability
from lsbook.figures.style import COLOURS, NEUTRAL

MIN_PER_BIN = 10  # examples behind a point of a reliability diagram


def draw_reliability(axes: Axes, diagrams: Sequence[Reliability], colour: str) -> Axes:
    """Draw accuracy against confidence by bins: mean over the seeds, and a band from the lowest to the highest.

    diagrams: one a seed, all with the same bins. Bins with fewer than LEAST_IN_BIN examples in some seed are left out.
    """
    confidence = np.stack([diagram.confidence for diagram in diagrams])
    accuracy = np.stack([diagram.accuracy for diagram in diagrams])
    shown = np.min([diagram.count for diagram in diagrams], axis=0) >= MIN_PER_BIN
    x = confidence[:, shown].mean(axis=0)
    axes.plot([0, 1], [0, 1], ":", color=NEUTRAL, linewidth=1)
    axes.fill_between(x, accuracy[:, shown].min(axis=0), accuracy[:, shown].max(axis=0), color=colour, alpha=0.25, lw=0)
    axes.plot(x, accuracy[:, shown].mean(axis=0), "o-", color=colour, markersize=4)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return axes


def draw_confidences(axes: Axes, diagrams: Sequence[Reliability], colour: str) -> Axes:
    """Draw the share of the examples in each bin of confidence, in percent, mean over the seeds."""
    count = np.mean([diagram.count for diagram in diagrams], axis=0)
    edges = np.linspace(0, 1, len(count) + 1)
    axes.bar(edges[:-1], 100 * count / count.sum(), np.diff(edges), align="edge", color=colour, alpha=0.6, ec="white")
    axes.set(xlim=(0, 1), ylim=(0, 100))
    return axes


def reliability_figure(rows: Sequence[tuple[str, Sequence[tuple[str, str, Sequence[Reliability]]]]]) -> Figure:
    """A row for each network (title, arms), an arm being (title, colour, one diagram a seed); histograms below each."""
    columns = max(len(arms) for _, arms in rows)
    figure = Figure(figsize=(3 * columns, 4.4 * len(rows)), layout="constrained")
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, (title, arms) in zip(parts, rows, strict=True):
        part.suptitle(title)
        grid = part.subplots(2, len(arms), height_ratios=(3, 1), squeeze=False)
        for (above, below), (name, colour, diagrams) in zip(grid.T, arms, strict=True):
            draw_reliability(above, diagrams, COLOURS[colour])
            draw_confidences(below, diagrams, COLOURS[colour])
            above.set_title(name, color=COLOURS[colour])
            below.set_xlabel("confidence")
        grid[0, 0].set_ylabel("accuracy")
        grid[1, 0].set_ylabel("examples (%)")
    return figure
