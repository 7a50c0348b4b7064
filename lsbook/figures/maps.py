"""Maps, which show a value for each pair of classes as a colour."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lsbook.figures.style import COLOURS, WIDE, grid_for


def pairs_figure(arms: Sequence, classes: Sequence[str], width: float = WIDE) -> Figure:
    """Information about each pair of classes, all arms on one scale. arms: name, colour, values (K, K)."""
    rows, columns = grid_for(len(arms), width, 3)
    figure = Figure(figsize=(width, rows * (width / columns)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    every = np.stack([arm.values for arm in arms])
    lowest, highest = np.nanmin(every), np.nanmax(every)
    for axes, (name, colour, values) in zip(panels, arms, strict=True):
        image = axes.imshow(values, vmin=lowest, vmax=highest, cmap="cividis")
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
        axes.set_title(name, color=COLOURS[colour])
    figure.colorbar(image, ax=panels, label="mutual information (nats)", shrink=0.8)
    return figure
