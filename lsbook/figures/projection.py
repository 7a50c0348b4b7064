"""Examples of three classes in the plane of their templates (the paper's figure 1)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from lsbook.figures.style import CLASSES, COLOURS, MARKERS

PANEL_WIDTH = 2.75  # of a panel, in inches
DRAWING_ORDER_CHUNKS = 10  # in which the points of several classes are drawn


def draw_projection(panel, axes: Axes, limit: float) -> Axes:
    """Draw examples of three classes in the plane of their templates, whose origin is in the centre.

    panel: title, points (N, 2), labels (N,) in 0 … 2, templates (3, 2), classes (3 names), arm, colour.
    limit: half-width of both axes. A line runs from the origin through each class's template, a black-edged mark.
    The classes are drawn by turns, so that none hides another. How many examples and templates lie beyond the axes is
    said in a corner.
    """
    kinds = list(zip(CLASSES, MARKERS, panel.classes, strict=True))
    for template, (colour, marker, _) in zip(panel.templates, kinds, strict=True):
        direction = template / np.linalg.norm(template)
        axes.plot(*np.outer(direction, [0, 2 * limit]), color=colour, linewidth=1, alpha=0.8, zorder=1)
        axes.scatter(template[0], template[1], s=40, color=colour, marker=marker, edgecolors="black", zorder=3)
    for turn in range(DRAWING_ORDER_CHUNKS):
        for place, (colour, marker, name) in enumerate(kinds):
            points = panel.points[panel.labels == place][turn::DRAWING_ORDER_CHUNKS]
            label = name if turn == 0 else None
            axes.scatter(
                points[:, 0], points[:, 1], s=12, color=colour, marker=marker, alpha=0.55, linewidths=0, label=label
            )
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    beyond = {name: _beyond(found, limit) for name, found in (("example", panel.points), ("template", panel.templates))}
    if said := ", ".join(f"{n} {name}{'s' * (n > 1)}" for name, n in beyond.items() if n):
        axes.text(0.03, 0.03, f"{said} outside", transform=axes.transAxes, fontsize="small")
    axes.set_title(panel.title, color=COLOURS[panel.colour])
    axes.locator_params(nbins=5)
    return axes


def _beyond(points: np.ndarray, limit: float) -> int:
    return int((np.abs(points).max(axis=1) > limit).sum())


def projection_figure(panels: Sequence) -> Figure:
    """The panels in two rows: above all on the same axes, below each network on its own, as the paper shows them."""
    figure = Figure(figsize=(PANEL_WIDTH * len(panels), 6.4), layout="constrained")
    grid = figure.subplots(2, len(panels))
    shared = _limit(panels)
    for row, limits in zip(grid, ([shared] * len(panels), _own_limits(panels)), strict=True):
        for axes, panel, limit in zip(row, panels, limits, strict=True):
            draw_projection(panel, axes, limit)
    grid[0, 0].set_ylabel("same axes for all")
    grid[1, 0].set_ylabel("axes of each network")
    _class_legend(figure, grid[0, 0])
    return figure


def rows_figure(rows: Sequence[tuple[str, Sequence]]) -> Figure:
    """Draw a row of panels for each (title, panels), each network on its own axes, its classes named below."""
    columns = max(len(panels) for _, panels in rows)
    figure = Figure(figsize=(PANEL_WIDTH * columns, 3.6 * len(rows)), layout="constrained")
    for part, (title, panels) in zip(figure.subfigures(len(rows), squeeze=False)[:, 0], rows, strict=True):
        grid = part.subplots(1, len(panels))
        for axes, panel, limit in zip(grid, panels, _own_limits(panels), strict=True):
            draw_projection(panel, axes, limit)
        grid[0].set_ylabel(title)
        _class_legend(part, grid[0])
    return figure


def _class_legend(figure: FigureBase, axes: Axes) -> None:
    """Name the classes in a row below."""
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="medium", markerscale=2)
    for name in legend.get_texts():
        name.set_parse_math(False)  # a $ in a name is a $


def _limit(panels: Sequence) -> float:
    """Return a half-width a little beyond the farthest point, or twice that of 95 % where a few lie much farther."""
    reach = np.concatenate([np.abs(panel.points).max(axis=1) for panel in panels])
    return min(1.05 * reach.max(), 2 * np.quantile(reach, 0.95))


def _own_limits(panels: Sequence) -> list[float]:
    """Return for each panel the limit of all panels of its network."""
    return [_limit([other for other in panels if other.arm == panel.arm]) for panel in panels]
