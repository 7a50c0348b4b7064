"""All runs of a chapter: the most valuable first, none twice, none begun that cannot be ended."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lsbook.core.config import Run
from lsbook.core.cpus import cores
from lsbook.core.errors import UserError, one_of
from lsbook.core.store import Store
from lsbook.core.wording import counted
from lsbook.runner import ray_cluster
from lsbook.runner.obtain import Costs, training_side
from lsbook.runner.pool import Machine, Worker, shared_gpu
from lsbook.runner.progress import Board

PLACES = ("local", "ray")
ON_A_GPU = 4  # runs at a time, when it is not said otherwise: the paper's networks leave most of a large one idle
MARGIN = 5  # seconds before the end of a budget, or a tenth of it, in which what still runs keeps its checkpoint


class Place(Protocol):
    """Where runs are trained. count: so many at a time, just now."""

    count: int

    def begin(self, run: Run) -> Worker:
        """Train a run and record it."""

    def ended(self, workers: Sequence[Worker], seconds: float) -> list[Worker]:
        """Those that have ended, as soon as one has, or after some seconds."""

    def stop(self, workers: Sequence[Worker]) -> None:
        """Let them keep a checkpoint and end."""


def sweep(
    runs: Sequence[Run],
    store: Store | None = None,
    budget: float | None = None,
    jobs: int | None = None,
    on: str = "local",
) -> list[Run]:
    """Train what is not recorded, in order; returns what is left.

    budget: seconds. When a run's expected time is more than what is left of them, neither it nor a later one is begun,
        but for the very first; what still runs near their end keeps a checkpoint and goes on next time.
    jobs: so many runs at a time, which share the cores evenly; one a core when not given (two AlexNets with a core each
        train 1.26 × as fast as one after the other on both). So many share a GPU, ON_A_GPU when not given; fewer from
        the first one on that finds no memory left. On a cluster: so many share each GPU.
    on: "local", this machine, or "ray": the nodes of a Ray cluster.
    A run that fails holds up no other. UserError at the end if one did, or when nothing can be recorded.
    """
    one_of("place", on, PLACES)
    store = Store() if store is None else store
    store.check_writable()
    missing = [run for run in runs if run not in store]
    if not missing:
        return []
    if on == "local":  # what a cluster's nodes can import, only they know
        for run in missing:
            training_side().check(run)
    with _place(on, store, jobs, len(missing)) as place, Board() as board:
        course = _Course(store, budget, place, missing)
        with course.ending():
            while course.begin(board):
                for worker in place.ended(course.running, seconds=min(1, max(0, course.remaining))):
                    course.close(worker, board)
                if course.remaining <= 0:
                    place.stop(course.running)
                board.show(course.headline(), course.rows())
    if course.failures:
        raise UserError(f"{len(course.failures)} of the runs failed: {'; '.join(course.failures)}")
    return course.waiting


def _place(on: str, store: Store, jobs: int | None, runs: int) -> contextlib.AbstractContextManager[Place]:
    if on == "ray":
        return ray_cluster.connected(store, jobs)
    if training_side().device().type == "cuda":
        return shared_gpu(store, min(jobs or ON_A_GPU, runs))
    return contextlib.nullcontext(Machine(store, min(jobs or cores(), runs)))


@dataclass
class _Course:
    """A sweep under way. waiting, running: what is to be begun, what has begun."""

    store: Store
    budget: float | None
    place: Place
    waiting: list[Run]
    running: list[Worker] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.costs, self.total, self.stopped = Costs(self.store), len(self.waiting), False
        self.end = (
            float("inf") if self.budget is None else time.monotonic() + max(self.budget - MARGIN, 0.9 * self.budget)
        )

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Whatever ends this block, SIGTERM too, first lets what still runs keep a checkpoint and end."""
        codes = []

        def end(number: int, _) -> None:
            codes.append(128 + number)
            sys.exit(codes[0])

        before = signal.signal(signal.SIGTERM, end)
        try:
            yield
        finally:
            self.place.stop(self.running)
            signal.signal(signal.SIGTERM, before)
            if codes:
                sys.exit(codes[0])  # again, since Ray, where it waited, has made an exit with code 1 of it

    def begin(self, board: Board) -> bool:
        """Fill the free places; False when nothing runs any more."""
        while not self.stopped and len(self.running) < self.place.count and (run := self._next()):
            expected, remaining = self.costs.seconds(run), max(0, self.remaining)
            first = len(self.waiting) == self.total
            if remaining <= (0 if first else expected or 0):
                self.stopped = True
                needs = f"{remaining:.0f} s are left and {run} needs {_in_seconds(expected)}"
                board.say(f"{needs}: no more is begun, {outlook(self.waiting, self.costs)}")
            else:
                self.waiting.remove(run)
                self.running.append(self.place.begin(run))
        return bool(self.running)

    @property
    def remaining(self) -> float:
        """Seconds of the budget."""
        return self.end - time.monotonic()

    def _next(self) -> Run | None:
        """The first none of whose teachers is in training; one that another process trains is waited for at the end.

        Those that would wait with a run begun for the same teacher's answers come after others.
        """
        busy = {worker.run.key for worker in self.running}
        asked = {key for worker in self.running if not worker.step for key in _teachers(worker.run)}
        free = [run for run in self.waiting if busy.isdisjoint(_teachers(run))]
        in_order = sorted(free, key=lambda run: not asked.isdisjoint(_teachers(run)))
        unclaimed = (run for run in in_order if not training_side().is_claimed(run))
        return next(unclaimed, free[0] if free and not self.running else None)

    def close(self, worker: Worker, board: Board) -> None:
        """Take note of a run that has ended, well or not."""
        self.running.remove(worker)
        for line in worker.said:
            board.say(line)
        if worker.stopped:
            self.waiting.insert(0, worker.run)
            then = f"later: {worker.error}" if worker.error else "next time"
            board.say(f"{worker.run} is stopped after about {worker.step} steps and goes on {then}")
            return
        if failure := worker.failure():
            self.failures.append(failure if str(worker.run) in failure else f"{worker.run}: {failure}")
            board.say(self.failures[-1])
            return
        self.costs = Costs(self.store)
        board.say(f"{self.done} of {self.total} done: {worker.run}; {outlook(self.waiting, self.costs)}")

    @property
    def done(self) -> int:
        return self.total - len(self.waiting) - len(self.running) - len(self.failures)

    def headline(self) -> str:
        """How far it is, and when it will end."""
        left = [self.costs.seconds(run) for run in self.waiting] + [self._left(worker) for worker in self.running]
        text = f"{self.done} of {self.total} done, {len(self.running)} running"
        if None in left:
            return f"{text}; {left.count(None)} of unknown length"
        seconds = max([sum(left) / self.place.count, *left[len(self.waiting) :]])
        return f"{text}; ends about {time.strftime('%H:%M', time.localtime(time.time() + seconds))}"

    def rows(self) -> list[tuple[str, str, str]]:
        """Of what runs: share of the steps done, seconds so far and to come, the run."""
        return [
            (f"{worker.step / worker.run.recipe.steps:.0%}", f"{worker.seconds:.0f} s + {_in_seconds(left)}", str(run))
            for worker in self.running
            for run, left in [(worker.run, self._left(worker))]
        ]

    def _left(self, worker: Worker) -> float | None:
        """Seconds that a run still needs, judged by its steps since the first or, before that, by its kind."""
        first, then = worker.first
        if worker.step > first:
            return (time.monotonic() - then) * (worker.run.recipe.steps - worker.step) / (worker.step - first)
        expected = self.costs.seconds(worker.run)
        return None if expected is None else max(0.0, expected - worker.seconds)


def _teachers(run: Run) -> set[str]:
    """The keys of its teachers: which they are, whatever is measured along their training."""
    return {teacher.key for teacher in run.teachers}


def table(runs: Sequence[Run], store: Store | None = None) -> str:
    """One line a run: recorded or missing, expected seconds and memory."""
    store = Store() if store is None else store
    costs = Costs(store)
    lines = []
    for run in runs:
        megabytes = costs.megabytes(run)
        memory = "?" if megabytes is None else f"{megabytes} MB"
        state = "recorded" if run in store else "missing"
        lines.append(f"{state:9} {_in_seconds(costs.seconds(run)):>8} {memory:>8}  {run}")
    return "\n".join([*lines, outlook([run for run in runs if run not in store], costs)])


def outlook(runs: Sequence[Run], costs: Costs) -> str:
    """How many these are and how long they take, one after the other."""
    seconds = [costs.seconds(run) for run in runs]
    known = sum(s for s in seconds if s is not None)
    unknown = f" and {counted(seconds.count(None), 'run')} of unknown length" if None in seconds else ""
    return f"{len(runs)} missing, {counted(round(known / 60), 'minute')}{unknown}"


def _in_seconds(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds:.0f} s"
