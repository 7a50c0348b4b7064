"""From a run and its data to what the store keeps of it."""

from lsbook.training.loop import Outcome, Splits, splits, train
from lsbook.training.teachers import student_loss

__all__ = ["Outcome", "Splits", "splits", "student_loss", "train"]
