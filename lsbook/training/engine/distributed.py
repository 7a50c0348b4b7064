"""One training by several processes, which `torchrun` starts: the first leads, the others follow it.

The first process does what one alone would do: it looks into the store, loads data, trains and records. A training
that it begins is announced to the others, which load the same data and do their share of every step. A batch, its
learning rate and the loss are those of one process: each takes every n-th example of the batch, and the mean of the
gradients, weighted by the shares, is the gradient of the whole. Batch normalisation uses the statistics of the whole
batch: PyTorch's SyncBatchNorm on GPUs, the only place it is for, `whole_batch` elsewhere. So only rounding differs from
one process, and dropout, whose numbers are other ones in each. Alone, every function here hands back what it got.
"""

import datetime
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from lsbook.core.errors import UserError

PATIENCE = datetime.timedelta(hours=6)  # for the slowest process: the first reading of a large data set takes long

T = TypeVar("T")


class Shared(UserError):
    """A mistake that all processes find at once: the first one tells of it."""


@contextmanager
def joined() -> Iterator[None]:
    """Within it the processes of a `torchrun` know each other.

    Each start of them meets under a name of its own: with --max-restarts the addresses of killed ones are still there.
    """
    if torch.cuda.is_available():
        here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if here > gpus:
            raise UserError(f"{here} processes, but this machine has {gpus} GPUs: torchrun --nproc-per-node {gpus}")
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, number, size = next(distributed.rendezvous("env://", timeout=PATIENCE))
    store = distributed.PrefixStore(f"start {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    distributed.init_process_group(store=store, rank=number, world_size=size, timeout=PATIENCE)
    yield
    # What DistributedDataParallel leaves in cycles goes first. If it had the last hold on the group, it would wait for
    # the group's threads and keep Python's lock, which a thread needs to drop a tensor. If it were not freed at all,
    # such a thread would abort the interpreter at its end.
    gc.collect()
    distributed.destroy_process_group()  # not after an error: the others may never answer


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """This process's number; the first one's is 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share(whole: Sequence) -> Sequence:
    """This process's part of a batch or of the examples to evaluate: every n-th."""
    return whole[rank() :: count()]


def every(value: T) -> list[T]:
    """The values of all processes, in their order. All have to call it."""
    if count() == 1:
        return [value]
    values = [None] * count()
    distributed.all_gather_object(values, value)
    return values


def interleaved(part: np.ndarray) -> np.ndarray:
    """The whole (N, …) of which each process has its `share`. Nothing is padded, so nothing counts twice."""
    parts = every(part)
    whole = np.empty((sum(map(len, parts)), *part.shape[1:]), part.dtype)
    for first, found in enumerate(parts):
        whole[first :: len(parts)] = found
    return whole


def concatenated(parts: list[np.ndarray], axis: int = 0) -> np.ndarray:
    """These arrays and those of the other processes, one after another."""
    return np.concatenate([array for found in every(parts) for array in found], axis=axis)


def mean(value: Tensor) -> Tensor:
    """The mean of a scalar over the processes."""
    return value if count() == 1 else value.new_tensor(sum(every(float(value))) / count())


def told(value: T) -> T:
    """The first process's value."""
    if count() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def largest(*values: int) -> tuple[int, ...]:
    """Of each value the largest among the processes. Cheap: asked after every step."""
    if count() == 1:
        return values
    found = torch.tensor(values)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return tuple(found.tolist())


def weight(part: int, whole: int) -> float:
    """Of a mean over this process's part of a batch, so that the mean over processes is the mean over the whole."""
    return count() * part / whole


def draw_differently(seed: int, step: int) -> None:
    """Give every process but the first random numbers of its own, such as dropout's, that depend on the step alone."""
    if rank():
        entropy = np.random.SeedSequence([seed, step, rank()])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))


def synchronised(model: nn.Module) -> nn.Module:
    """The network with batch statistics over all processes where it is on a GPU."""
    if count() == 1 or next(model.parameters()).device.type == "cpu":
        return model
    from timm.layers import convert_sync_batchnorm  # which knows timm's own layers besides PyTorch's

    return convert_sync_batchnorm(model)


def averaging(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """`loss` so that its gradient in the model's weights becomes the mean over the processes."""
    return loss if count() == 1 else DistributedDataParallel(_Loss(model, loss))


class _Loss(nn.Module):
    """The loss of a step as a module's answer, which is what DistributedDataParallel knows."""

    def __init__(self, model: nn.Module, loss: Callable[[], Tensor]):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self) -> Tensor:
        with whole_batch():
            return self.loss()


class whole_batch(TorchFunctionMode):
    """Within it `batch_norm` normalises by mean and variance over the examples of all processes."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.batch_norm:
            return _batch_norm(*args, **kwargs or {})
        return function(*args, **kwargs or {})


def _batch_norm(x: Tensor, running_mean, running_var, weight, bias, training=False, momentum=0.1, eps=1e-5) -> Tensor:
    """As `torch.nn.functional.batch_norm`, x (B, C, …); gradients pass through the other processes' sums too."""
    if not training:
        return torch.batch_norm(x, weight, bias, running_mean, running_var, False, momentum, eps, False)
    dtype, x = x.dtype, x.float()  # sums over a batch need more digits than bfloat16 has
    over, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
    n = all_reduce(x.new_tensor(x.numel() / x.shape[1]))
    mean = all_reduce(x.sum(dim=over)) / n
    centred = x - mean.view(shape)
    variance = all_reduce(centred.square().sum(dim=over)) / n
    with torch.no_grad():
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(variance * n / (n - 1), momentum)
    return (centred * ((variance + eps).rsqrt() * weight).view(shape) + bias.view(shape)).to(dtype)


def agree(data: dict[str, str] | UserError) -> None:
    """Shared unless all processes have data of the same fingerprints, by name; of one that has none, its error."""
    found = every(data)
    for number, other in enumerate(found):
        if isinstance(other, UserError):
            raise Shared(f"process {number}: {other}")
        for name, fingerprint in other.items():
            if fingerprint != found[0][name]:
                raise Shared(
                    f"process {number} has other data than process 0 ({name}: SHA-256 {fingerprint[:12]} and "
                    f"{found[0][name][:12]}); give every machine the same files"
                )
