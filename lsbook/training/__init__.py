"""From a run and its data to what the store keeps of it."""

from lsbook.training.loop import Outcome, Splits, splits, train
from lsbook.training.teachers import lesson

__all__ = ["Outcome", "Splits", "lesson", "splits", "train"]
