"""What a machine allows: its rate of matrix products and its memory's bandwidth, and what a piece of work needs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from lsbook.training.engine import devices

SIDE = {"cpu": 2_048, "cuda": 8_192}  # of the matrices that are multiplied
COPIED = 2**28  # bytes, far more than caches hold
REPEATS = 5


@dataclass(frozen=True)
class Counts:
    """Floating-point operations, and bytes that are read or written at least once."""

    flops: float
    bytes: float

    def __mul__(self, times: float) -> "Counts":
        return Counts(self.flops * times, self.bytes * times)


@dataclass(frozen=True)
class Limits:
    """What a device can do at most.

    flops: operations a second of a large matrix product in the precision of trainings. bandwidth: bytes a second of a
    large copy, read and written.
    """

    device: str
    flops: float
    bandwidth: float

    @classmethod
    def measure(cls, device: torch.device) -> "Limits":
        """Measure a device: the best of some repeats."""
        n = SIDE[device.type]
        a, b = torch.randn(2, n, n, device=device)
        source = torch.ones(COPIED // 4, device=device)
        target = torch.empty_like(source)
        with devices.autocast(device, "mixed"):
            kind = (a[:1] @ b).dtype
            a, b = a.to(kind), b.to(kind)  # beforehand: the limit is of products, not of conversions
            product = _best(lambda: a @ b, device)
        return cls(device.type, 2 * n**3 / product, 2 * COPIED / _best(lambda: target.copy_(source), device))

    def seconds(self, counts: Counts) -> float:
        """Return the seconds that work of these counts takes at least."""
        return max(counts.flops / self.flops, counts.bytes / self.bandwidth)


def _best(work: Callable[[], object], device: torch.device) -> float:
    def seconds() -> float:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return min(seconds() for _ in range(REPEATS + 1))


def count_step(model: torch.nn.Module, loss: Callable[[], torch.Tensor], states: int) -> Counts:
    """Count what a training step cannot do without.

    That is its matrix products; what the forward pass keeps for the backward pass, written and read; and weights,
    gradients and the optimiser's `states` tensors a weight, read and written.
    """
    weights = {p.untyped_storage().data_ptr(): p.nbytes for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        loss().backward()
    activations = sum(size for place, size in kept.items() if place not in weights)
    return Counts(counter.get_total_flops(), 2 * activations + 2 * (2 + states) * sum(weights.values()))


def count_flops(work: Callable[[], object]) -> int:
    """Count the operations of the matrix products in `work`."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
