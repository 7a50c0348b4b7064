"""A piece of work done two ways, and how fast each is."""

import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import torch

from benchmarks.limits import Counts, Limits
from lsbook.core.cpus import cores

ROUNDS = 3


@dataclass(frozen=True)
class Benchmark:
    """A piece of work and two functions that each do it once.

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
    """Rates in units a second, medians over the rounds.

    limit: what the machine would allow. busy: the share of its cores' time that ours and its processes computed, over
    all rounds.
    """

    name: str
    title: str
    unit: str
    ours: float
    plain: float
    ratio: float
    rounds: int
    limit: float | None
    busy: float
    bound: str


def measure(name: str, benchmark: Benchmark, limits: Limits) -> Result:
    """Warm both ways up, then time them in turn."""
    rounds = benchmark.rounds or ROUNDS
    if rounds > 1:
        benchmark.ours()
        benchmark.plain()
    turns = [(_times(benchmark.ours), _times(benchmark.plain)) for _ in range(rounds)]
    ours = [benchmark.units / wall for (wall, _), _ in turns]
    plain = [(benchmark.plain_units or benchmark.units) / wall for _, (wall, _) in turns]
    ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
    medians = statistics.median(ours), statistics.median(plain)
    limit = benchmark.units / limits.seconds(benchmark.counts) if benchmark.counts else None
    wall, computed = map(sum, zip(*(of_ours for of_ours, _ in turns), strict=True))
    busy = computed / wall / cores()
    return Result(name, benchmark.title, benchmark.unit, *medians, ratio, rounds, limit, busy, benchmark.bound)


def _times(work: Callable[[], object]) -> tuple[float, float]:
    """Time `work`: seconds that passed, and that cores computed for this process and for those it began."""
    start, computed = time.perf_counter(), _computed()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, _computed() - computed


def _computed() -> float:
    """Return the cores' seconds so far of this process, of those that it began, and of theirs that have ended."""
    own = psutil.Process()
    seconds = time.process_time() + sum(own.cpu_times()[2:4])
    for process in own.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since
            seconds += sum(process.cpu_times()[:4])
    return seconds
