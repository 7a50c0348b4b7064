"""What each chapter asks: which runs, which tables. Recorded runs are used; only missing ones are trained.

A module is imported when it is first named, so that a chapter depends on what it uses alone.
"""

from importlib import import_module
from types import ModuleType

__all__ = [
    "calibration",
    "conclusion",
    "costs",
    "distillation",
    "equal_softness",
    "explorer",
    "findings",
    "label_smoothing",
    "landing",
    "machine_translation",
    "mutual_information",
    "overview",
    "projections",
    "scorecard",
    "status",
    "your_model",
]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
