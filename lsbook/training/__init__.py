"""From a run and its data to what the store keeps of it."""

from lsbook.training.engine.checkpoints import claim, clear, is_claimed, steps_done
from lsbook.training.engine.devices import device, enough_memory, use_threads
from lsbook.training.engine.loop import Outcome, check, splits, together, train
from lsbook.training.images.task import Splits
from lsbook.training.images.teachers import bank, has_weights, lesson, weights_path

__all__ = [
    "Outcome",
    "Splits",
    "bank",
    "check",
    "claim",
    "clear",
    "device",
    "enough_memory",
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
