"""Examples of three classes in the plane of their templates (the paper's figure 1)."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from lsbook.figures.style import CLASSES, COLOURS, MARKERS, NEUTRAL, SMOOTHED, WIDE, grid_for, panel_grid

PANEL_WIDTH = 1.8  # of a panel at least, in inches
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
    axes.locator_params(nbins=4)
    return axes


def _beyond(points: np.ndarray, limit: float) -> int:
    return int((np.abs(points).max(axis=1) > limit).sum())


def projection_figure(panels: Sequence, width: float = WIDE) -> Figure:
    """The panels twice: first all on the same axes, then each network on its own, as the paper shows them."""
    scales = (("same axes for all", [_limit(panels)] * len(panels)), ("axes of each network", _own_limits(panels)))
    rows, columns = grid_for(len(panels), width, PANEL_WIDTH)
    figure = Figure(figsize=(width, 2 * rows * (width / columns + 0.25) + 0.5), layout="constrained")
    for part, (name, limits) in zip(figure.subfigures(2, squeeze=False)[:, 0], scales, strict=True):
        grid = panel_grid(part, len(panels), width, PANEL_WIDTH)
        for axes, panel, limit in zip(grid.flat, panels, limits, strict=False):
            draw_projection(panel, axes, limit)
        part.supylabel(name)
    _class_legend(figure, grid[0, 0])
    return figure


def groups_figure(groups: Sequence[tuple[str, Sequence]], width: float = WIDE) -> Figure:
    """Draw the panels of each (title, panels) together, each network on its own axes, its classes named below.

    Groups stand beside each other as far as there is room.
    """
    most = max(len(panels) for _, panels in groups)
    columns = max(1, min(len(groups), int(width / PANEL_WIDTH) // most))
    rows = math.ceil(len(groups) / columns)
    lines, across = grid_for(most, width / columns, PANEL_WIDTH)
    figure = Figure(figsize=(width, rows * (lines * (width / columns / across + 0.2) + 0.6)), layout="constrained")
    parts = figure.subfigures(rows, columns, squeeze=False).flat
    for part, (title, panels) in zip(parts, groups, strict=False):
        part.suptitle(title)
        grid = panel_grid(part, len(panels), width / columns, PANEL_WIDTH)
        for axes, panel, limit in zip(grid.flat, panels, _own_limits(panels), strict=False):
            draw_projection(panel, axes, limit)
        _class_legend(part, grid[0, 0])
    return figure


def draw_pairs(axes: Axes, network) -> Axes:
    """Draw how much an arc every pair of classes becomes against how similar they are, with 95 % intervals.

    network: row with title, names (P,), similarity (P,), rises (P, 3) as mean, low, high, and own, the pair that is
    marked. Its name is written, and those of the pairs that rise least and most.
    """
    means, low, high = network.rises.T
    error = [means - low, high - means]
    axes.errorbar(network.similarity, means, error, fmt="o", color=NEUTRAL, markersize=4, linewidth=0.6, alpha=0.6)
    own = network.own
    axes.plot(network.similarity[own], means[own], "D", color=SMOOTHED, markersize=7)
    for k in sorted({own, int(means.argmin()), int(means.argmax())}):
        above = k == means.argmax()
        name = axes.annotate(
            network.names[k],
            (network.similarity[k], means[k]),
            xytext=(0, 7 if above else -7),
            textcoords="offset points",
            ha="right" if network.similarity[k] > network.similarity.mean() else "left",
            va="bottom" if above else "top",
        )
        name.set_parse_math(False)
    axes.axhline(0, color=NEUTRAL, linewidth=0.8)
    axes.axvline(0, color=NEUTRAL, linewidth=0.8, linestyle=":")
    axes.set(xlabel="similarity of the two classes", title=network.row.title)
    axes.locator_params(nbins=5)
    axes.margins(x=0.1, y=0.2)  # room for names
    axes.tick_params(labelbottom=True)  # also where another panel stands below
    return axes


def pairs_of_classes_figure(networks: Sequence, width: float = WIDE) -> Figure:
    """Draw `draw_pairs` for each network, all on the same axes."""
    rows, columns = grid_for(len(networks), width, 3)
    figure = Figure(figsize=(width, 3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, network in zip(grid.flat, networks, strict=False):
        draw_pairs(axes, network)
    for axes in grid.flat[len(networks) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("arc / radius, smoothed − hard")
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
