"""Maps: a value for each pair of classes, as a colour."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lsbook.figures.style import arm_colour


def pairs_figure(hard: np.ndarray, smoothed: np.ndarray, classes: Sequence[str]) -> Figure:
    """(K, K) information about each pair of classes, both arms on one scale."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    panels = figure.subplots(1, 2)
    lowest, highest = np.nanmin([hard, smoothed]), np.nanmax([hard, smoothed])
    for axes, values, name in zip(panels, (hard, smoothed), ("hard targets", "smoothed"), strict=True):
        image = axes.imshow(values, vmin=lowest, vmax=highest, cmap="cividis")
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
        axes.set_title(name, color=arm_colour(name == "smoothed"))
    figure.colorbar(image, ax=panels, label="mutual information (nats)", shrink=0.8)
    return figure
