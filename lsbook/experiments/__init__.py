"""What each chapter asks: which runs, which tables. Recorded runs are used; only missing ones are trained."""

from lsbook.experiments import (
    calibration,
    distillation,
    label_smoothing,
    mutual_information,
    overview,
    projections,
)

__all__ = ["calibration", "distillation", "label_smoothing", "mutual_information", "overview", "projections"]
