"""The chapters that ask for runs; each module has `groups(profile)` and `settings(profile, seeds)`."""

from lsbook.experiments import (
    calibration,
    distillation,
    equal_softness,
    machine_translation,
    mutual_information,
    projections,
)

CHAPTERS = {
    "projections": projections,
    "calibration": calibration,
    "machine_translation": machine_translation,
    "distillation": distillation,
    "equal_softness": equal_softness,
    "mutual_information": mutual_information,
}
