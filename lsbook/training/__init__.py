"""From a run and its data to what the store keeps of it."""

from lsbook.training.loop import Outcome, Splits, splits, train

__all__ = ["Outcome", "Splits", "splits", "train"]
