"""A piece of work done two ways, and how fast each is."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from lsbook.bench.limits import Counts, Limits

ROUNDS = 3


@dataclass(frozen=True)
class Benchmark:
    """Each call of `ours` and `plain` does the work once.

    units: how much of `unit` that is; plain_units: the same of the plain way, where that does less of it.
    counts: arithmetic and memory traffic that the units cannot do without; None where they say nothing.
    bound: what bounds ours, in words. rounds: with a single one there is no warm-up.
    """

    title: str
    unit: str
    units: float
    ours: Callable[[], object]
    plain: Callable[[], object]
    bound: str
    plain_units: float | None = None
    counts: Counts | None = field(default=None)
    rounds: int | None = None


@dataclass(frozen=True)
class Result:
    """Rates in units a second, medians over the rounds. limit: what the machine would allow."""

    name: str
    title: str
    unit: str
    ours: float
    plain: float
    ratio: float
    rounds: int
    limit: float | None
    bound: str


def measure(name: str, benchmark: Benchmark, limits: Limits) -> Result:
    """Warm both ways up, then time them in turn."""
    rounds = benchmark.rounds or ROUNDS
    if rounds > 1:
        benchmark.ours()
        benchmark.plain()
    ours, plain = [], []
    for _ in range(rounds):
        ours.append(benchmark.units / _seconds(benchmark.ours))
        plain.append((benchmark.plain_units or benchmark.units) / _seconds(benchmark.plain))
    ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
    medians = statistics.median(ours), statistics.median(plain)
    limit = benchmark.units / limits.seconds(benchmark.counts) if benchmark.counts else None
    return Result(name, benchmark.title, benchmark.unit, *medians, ratio, rounds, limit, benchmark.bound)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
