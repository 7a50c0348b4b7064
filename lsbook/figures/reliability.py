"""Reliability diagrams: accuracy against confidence, bin by bin, and how many examples a bin has."""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import bdtr

from lsbook.analysis.calibration import Reliability
from lsbook.figures.style import COLOURS, NEUTRAL, WIDE

MIN_PER_BIN = 20  # examples behind a point of a reliability diagram
TITLE_LETTERS = 11  # in an inch of a network's title
LEAST_PANEL = 1.1  # inches across: narrower ones continue in a further row
LABELLED = 1.6  # inches: a panel that has room for its whole title in a line


def draw_reliability(axes: Axes, diagrams: Sequence[Reliability], colour: str) -> Axes:
    """Draw accuracy against confidence by bins: the mean over the seeds, and two bands.

    The grey band is where the accuracy of a bin would lie in 95 of 100 samples of as many examples if the confidence
    were right; the coloured one goes from the lowest to the highest seed.

    diagrams: one a seed, all with the same bins. Bins with fewer than MIN_PER_BIN examples in some seed are left out.
    """
    shown = np.min([diagram.count for diagram in diagrams], axis=0) >= MIN_PER_BIN
    confidence, accuracy, count = (
        np.stack([getattr(diagram, name)[shown] for diagram in diagrams])
        for name in ("confidence", "accuracy", "count")
    )
    x, n = confidence.mean(axis=0), count.mean(axis=0).round().astype(int)
    ranges = [_binomial_range(*of_bin) for of_bin in zip(n, np.clip(x, 0, 1), strict=True)]
    low, high = np.reshape(ranges, (-1, 2)).T / n
    axes.plot([0, 1], [0, 1], ":", color=NEUTRAL, linewidth=1)
    axes.fill_between(x, low, high, color=NEUTRAL, alpha=0.25, lw=0)
    axes.fill_between(x, accuracy.min(axis=0), accuracy.max(axis=0), color=colour, alpha=0.3, lw=0)
    axes.plot(x, accuracy.mean(axis=0), "o-", color=colour, markersize=3.5, linewidth=1.3)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return axes


def _binomial_range(n: int, p: float) -> NDArray[np.intp]:
    """(2,): the 2.5 % and the 97.5 % quantile of the number of successes in n trials."""
    return np.searchsorted(bdtr(np.arange(n + 1), n, p), (0.025, 0.975))


def draw_confidences(axes: Axes, diagrams: Sequence[Reliability], colour: str) -> Axes:
    """Draw the share of the examples in each bin of confidence, in percent, mean over the seeds."""
    count = np.mean([diagram.count for diagram in diagrams], axis=0)
    edges = np.linspace(0, 1, len(count) + 1)
    axes.bar(edges[:-1], 100 * count / count.sum(), np.diff(edges), align="edge", color=colour, alpha=0.6, ec="white")
    axes.set(xlim=(0, 1), ylim=(0, 100))
    return axes


def reliability_figure(
    rows: Sequence[tuple[str, Sequence[tuple[str, str, Sequence[Reliability]]]]], width: float = WIDE
) -> Figure:
    """A row for each network (title, arms), an arm being (title, colour, one diagram a seed); histograms below each.

    The panels of a network stay side by side on a phone, as far as there is room: they are what is compared.
    """
    rows = [row for title, arms in rows for row in _in_rows(title, arms, int(width / LEAST_PANEL))]
    columns = max(len(arms) for _, arms in rows)
    panel = width / columns
    figure = Figure(figsize=(width, len(rows) * (1.35 * panel + 0.7)), layout="constrained")
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, (title, arms) in zip(parts, rows, strict=True):
        part.suptitle(textwrap.fill(title, round(TITLE_LETTERS * width)))
        grid = part.subplots(
            2, len(arms), height_ratios=(3, 1), squeeze=False, sharex=True, sharey="row", gridspec_kw={"hspace": 0.02}
        )
        for (above, below), (name, colour, diagrams) in zip(grid.T, arms, strict=True):
            draw_reliability(above, diagrams, COLOURS[colour])
            draw_confidences(below, diagrams, COLOURS[colour])
            above.set_title(name.replace(", ", ",\n") if panel < LABELLED else name, color=COLOURS[colour])
            below.set_box_aspect(0.3)
        grid[1, len(arms) // 2].set_xlabel("confidence")
        grid[0, 0].set_ylabel("accuracy")
        grid[1, 0].set_ylabel("share (%)")
    return figure


def _in_rows(title: str, arms: Sequence, most: int) -> list[tuple[str, Sequence]]:
    """Split a network's arms into rows of equal length, at most so many a row; the first has the title."""
    per_row = math.ceil(len(arms) / math.ceil(len(arms) / most))
    return [("" if start else title, arms[start : start + per_row]) for start in range(0, len(arms), per_row)]
