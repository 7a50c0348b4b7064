"""What each chapter asks: which runs, which tables. Recorded runs are used; only missing ones are trained."""

from lsbook.experiments import (
    calibration,
    distillation,
    label_smoothing,
    machine_translation,
    mutual_information,
    overview,
    projections,
)

# Chapter -> profile -> the groups of runs that it asks for.
CHAPTERS = {
    "projections": projections.groups,
    "calibration": calibration.groups,
    "machine_translation": machine_translation.groups,
    "distillation": distillation.groups,
    "mutual_information": mutual_information.groups,
}

__all__ = [
    "CHAPTERS",
    "calibration",
    "distillation",
    "label_smoothing",
    "machine_translation",
    "mutual_information",
    "overview",
    "projections",
]
