"""From a run and its data to what the store keeps of it."""

from lsbook.training.checkpoints import claim, clear
from lsbook.training.images import Splits
from lsbook.training.loop import Outcome, splits, together, train
from lsbook.training.teachers import lesson

__all__ = ["Outcome", "Splits", "claim", "clear", "lesson", "splits", "together", "train"]
