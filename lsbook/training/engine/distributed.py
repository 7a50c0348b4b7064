"""One training by several processes, which `torchrun` starts: rank 0 leads, the other ranks follow it.

Rank 0 does what one process alone would do: it looks into the store, loads data, trains and records. A training that it
begins is broadcast to the others, which load the same data and do their share of every step. A batch, its learning rate
and the loss are those of one process: each rank takes every n-th example of the batch, and the mean of the gradients,
weighted by the shards, is the gradient of the whole. Batch normalisation is PyTorch's SyncBatchNorm, which needs GPUs:
a network that has it is not trained by several processes on CPUs. So only rounding differs from one process, and
dropout, whose random numbers are others on each rank. In a single process, functions return what they are given.
"""

import datetime
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

# Before there is a process group: whichever there is when it is imported, later by PyTorch itself, its functions keep.
import torch.distributed.nn.functional
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lsbook.core.errors import UserError

TIMEOUT = datetime.timedelta(hours=6)  # for the slowest process: the first reading of a large data set takes long

T = TypeVar("T")
S = TypeVar("S", Tensor, list[Any], range)
Network = TypeVar("Network", bound=nn.Module)


class CollectiveError(UserError):
    """A user's mistake that every rank finds at the same point: rank 0 reports it, the others wait for the next run."""


@contextmanager
def session() -> Iterator[None]:
    """Join the processes of a `torchrun` in a process group for the block. UserError for more processes than GPUs.

    Each start of them meets under a name of its own: with --max-restarts the addresses of killed ones are still there.
    """
    if torch.cuda.is_available():
        here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if here > gpus:
            raise UserError(f"{here} processes, but this machine has {gpus} GPUs: torchrun --nproc-per-node {gpus}")
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, number, size = next(distributed.rendezvous("env://", timeout=TIMEOUT))
    store = distributed.PrefixStore(f"start {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    distributed.init_process_group(store=store, rank=number, world_size=size, timeout=TIMEOUT)
    yield
    # What DistributedDataParallel leaves in cycles goes first. If it had the last hold on the group, it would wait for
    # the group's threads and keep Python's lock, which a thread needs to drop a tensor. If it were not freed at all,
    # such a thread would abort the interpreter at its end.
    gc.collect()
    distributed.destroy_process_group()  # not after an error: the others may never answer


def world_size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def shard(whole: S) -> S:
    """This rank's part of a batch or of the examples to evaluate: every n-th, beginning with that of its number."""
    return whole[rank() :: world_size()]


def all_gather(value: T) -> list[T]:
    """Return the values of all ranks, in order. Every rank has to call it."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def all_gather_shards(part: np.ndarray) -> np.ndarray:
    """Return the whole (N, …) whose `shard` is given on each rank. Nothing is padded, so nothing counts twice."""
    parts = all_gather(part)
    whole = np.empty((sum(map(len, parts)), *part.shape[1:]), part.dtype)
    for first, found in enumerate(parts):
        whole[first :: len(parts)] = found
    return whole


def all_gather_concatenate(parts: list[np.ndarray], axis: int = 0) -> np.ndarray:
    """Concatenate these arrays and those of the other ranks, rank after rank."""
    return np.concatenate([array for found in all_gather(parts) for array in found], axis=axis)


def all_reduce_mean(value: Tensor) -> Tensor:
    """Return the mean of a scalar over the ranks."""
    return value if world_size() == 1 else value.new_tensor(sum(all_gather(float(value))) / world_size())


def broadcast(value: T) -> T:
    """Return the value of rank 0."""
    if world_size() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def all_reduce_max(*values: int) -> tuple[int, ...]:
    """Return for each value the largest of the ranks. Cheap: called after every step."""
    if world_size() == 1:
        return values
    found = torch.tensor(values)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return tuple(found.tolist())


def loss_weight(part: int, whole: int) -> float:
    """The factor of a mean over `part` of a batch's `whole` examples by which the mean over ranks is that of all."""
    return world_size() * part / whole


def seed_rank(seed: int, step: int) -> None:
    """Seed torch on every rank but 0, so that draws such as dropout's differ by rank and depend on the step alone."""
    if rank():
        entropy = np.random.SeedSequence([seed, step, rank()])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))


def convert_sync_batchnorm(model: Network) -> Network:
    """Let batch normalisation use the statistics of all ranks' examples, by PyTorch's SyncBatchNorm.

    CollectiveError on CPUs, on which SyncBatchNorm refuses to compute.
    """
    normalises = any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) for m in model.modules())
    if world_size() == 1 or not normalises:
        return model
    if next(model.parameters()).device.type == "cpu":
        raise CollectiveError(
            f"{type(model).__name__} has batch normalisation, which PyTorch synchronises between processes on GPUs "
            "only; start it without torchrun"
        )
    from timm.layers import convert_sync_batchnorm  # which knows timm's own layers besides PyTorch's

    return convert_sync_batchnorm(model)


def data_parallel(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Wrap `loss` (a scalar) so that its gradient in the model's weights becomes the mean over the ranks."""
    return loss if world_size() == 1 else DistributedDataParallel(_LossModule(model, loss))


class _LossModule(nn.Module):
    """The loss of a step as a module's output, which is what DistributedDataParallel knows."""

    def __init__(self, model: nn.Module, loss: Callable[[], Tensor]):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self) -> Tensor:
        return self.loss()


def check_same_data(data: dict[str, str] | UserError) -> None:
    """Raise CollectiveError unless all ranks have the same data.

    Args:
        data: this rank's fingerprints (SHA-256) by split, or why it has none.
    """
    fingerprints: list[dict[str, str]] = []
    for number, other in enumerate(all_gather(data)):
        if isinstance(other, UserError):
            raise CollectiveError(f"process {number}: {other}")
        fingerprints.append(other)
        for name, fingerprint in other.items():
            if fingerprint != fingerprints[0][name]:
                raise CollectiveError(
                    f"process {number} has other data than process 0 ({name}: SHA-256 {fingerprint[:12]} and "
                    f"{fingerprints[0][name][:12]}); give every machine the same files"
                )
