"""What each chapter asks: which runs, which tables. Recorded runs are used; only missing ones are trained."""

from lsbook.experiments import (
    calibration,
    label_smoothing,
    machine_translation,
    mutual_information,
    overview,
    projections,
)

__all__ = ["calibration", "label_smoothing", "machine_translation", "mutual_information", "overview", "projections"]
