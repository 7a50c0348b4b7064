"""Every figure, by kind: a `*_figure` takes data and lays one out; the modules' `draw_*` each draw into one Axes.

A module is imported when one of its names is first asked for: sweeps need the chapters, but no matplotlib.
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "curves": (
        "bias_figure",
        "information_figure",
        "length_figure",
        "likelihood_figure",
        "risk_figure",
        "sample_size_figure",
        "smoothing_figure",
        "temperature_figure",
    ),
    "intervals": (
        "beams_figure",
        "conditions_figure",
        "distillation_figure",
        "factors_figure",
        "students_figure",
    ),
    "maps": ("pairs_figure",),
    "projection": (
        "groups_figure",
        "pairs_of_classes_figure",
        "projection_figure",
    ),
    "reliability": ("reliability_figure",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
