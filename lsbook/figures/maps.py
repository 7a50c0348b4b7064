"""Maps, which show a value for each pair of classes as a colour."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lsbook.figures.style import COLOURS


def pairs_figure(arms: Sequence, classes: Sequence[str]) -> Figure:
    """Information about each pair of classes, all arms on one scale. arms: name, colour, values (K, K)."""
    figure = Figure(figsize=(4.5 * len(arms), 4.6), layout="constrained")
    panels = figure.subplots(1, len(arms))
    every = np.stack([arm.values for arm in arms])
    lowest, highest = np.nanmin(every), np.nanmax(every)
    for axes, (name, colour, values) in zip(panels, arms, strict=True):
        image = axes.imshow(values, vmin=lowest, vmax=highest, cmap="cividis")
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
        axes.set_title(name, color=COLOURS[colour])
    figure.colorbar(image, ax=panels, label="mutual information (nats)", shrink=0.8)
    return figure
