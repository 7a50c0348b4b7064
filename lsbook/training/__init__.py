"""From a run and its data to what the store keeps of it."""

from lsbook.training.checkpoints import claim, clear, is_claimed, steps_done
from lsbook.training.images import Splits
from lsbook.training.loop import Outcome, splits, together, train
from lsbook.training.precision import use_threads
from lsbook.training.teachers import bank, has_weights, lesson, weights_path

__all__ = [
    "Outcome",
    "Splits",
    "bank",
    "claim",
    "clear",
    "has_weights",
    "is_claimed",
    "lesson",
    "splits",
    "steps_done",
    "together",
    "train",
    "use_threads",
    "weights_path",
]
