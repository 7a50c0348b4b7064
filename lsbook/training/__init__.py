"""From a run and its data to what the store keeps of it."""

from lsbook.training.engine.checkpoints import delete_checkpoints, is_locked, lock_run, steps_done
from lsbook.training.engine.devices import device, enough_memory, set_num_threads
from lsbook.training.engine.loop import TrainingOutcome, check, load_splits, torchrun_session, train
from lsbook.training.images.task import Splits
from lsbook.training.images.teachers import distillation_target, has_weights, teacher_logits, weights_path

__all__ = [
    "TrainingOutcome",
    "Splits",
    "check",
    "delete_checkpoints",
    "device",
    "distillation_target",
    "enough_memory",
    "has_weights",
    "is_locked",
    "load_splits",
    "lock_run",
    "set_num_threads",
    "steps_done",
    "teacher_logits",
    "torchrun_session",
    "train",
    "weights_path",
]
