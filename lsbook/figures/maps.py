"""Maps, which show a value for each pair of classes as a colour."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lsbook.figures.style import BLACK, WIDE


def pairs_figure(differences: np.ndarray, lower: np.ndarray, classes: Sequence[str], width: float = WIDE) -> Figure:
    """Differences (K, K) between two arms for each pair of classes, a dot where `lower` (K, K) is true."""
    side = min(width, 5.2)
    figure = Figure(figsize=(side, 0.92 * side), layout="constrained")
    axes = figure.subplots()
    reach = np.nanmax(np.abs(differences))
    image = axes.imshow(differences, vmin=-reach, vmax=reach, cmap="PuOr")
    axes.plot(*np.nonzero(lower)[::-1], ".", color=BLACK, markersize=4)
    axes.set_xticks(range(len(classes)), classes, rotation=90)
    axes.set_yticks(range(len(classes)), classes)
    figure.colorbar(image, ax=axes, label="smoothed − hard (nats)", shrink=0.8)
    return figure
