"""Every figure, by kind: a `*_figure` takes data and lays one out; the modules' `draw_*` each draw into one Axes."""

from lsbook.figures.curves import (
    bias_figure,
    information_figure,
    length_figure,
    likelihood_figure,
    sample_size_figure,
    smoothing_figure,
    temperature_figure,
)
from lsbook.figures.intervals import beams_figure, distillation_figure, factors_figure, seeds_figure
from lsbook.figures.maps import pairs_figure
from lsbook.figures.projection import projection_figure, rows_figure
from lsbook.figures.reliability import reliability_figure
from lsbook.figures.style import CLASSES, KINDS

__all__ = [
    "CLASSES",
    "KINDS",
    "beams_figure",
    "bias_figure",
    "distillation_figure",
    "factors_figure",
    "information_figure",
    "length_figure",
    "likelihood_figure",
    "pairs_figure",
    "projection_figure",
    "reliability_figure",
    "rows_figure",
    "sample_size_figure",
    "seeds_figure",
    "smoothing_figure",
    "temperature_figure",
]
