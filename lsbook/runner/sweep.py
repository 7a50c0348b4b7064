"""All runs of a chapter: the most valuable first, none twice, none started that cannot be ended in time."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from lsbook.core.config import Run
from lsbook.core.cpus import cores
from lsbook.core.errors import UserError, one_of
from lsbook.core.store import Store
from lsbook.core.wording import counted
from lsbook.runner import ray_cluster
from lsbook.runner.obtain import Costs, import_training, is_in_training
from lsbook.runner.pool import LocalPool, Worker, shared_gpu
from lsbook.runner.progress import ProgressTable

BACKENDS = ("local", "ray")
RUNS_PER_GPU = 4  # runs at a time, when it is not said otherwise: the paper's networks leave most of a large one idle
MARGIN = 5  # seconds before the end of a budget, or a tenth of it, in which what still runs keeps its checkpoint


W = TypeVar("W", bound=Worker)


class Backend(Protocol[W]):
    """Where runs are trained: this machine (`LocalPool`) or a Ray cluster (`RayCluster`).

    count: how many runs it trains at a time just now.
    """

    @property
    def count(self) -> int:
        """How many runs it trains at a time just now."""

    def start(self, run: Run) -> W:
        """Begin to train a run."""

    def wait(self, workers: Sequence[W], seconds: float) -> list[W]:
        """Return workers that have ended, as soon as there are any, or after some seconds."""

    def stop(self, workers: Sequence[W]) -> None:
        """Let the workers keep a checkpoint and end."""


def sweep(
    runs: Sequence[Run],
    store: Store | None = None,
    budget: float | None = None,
    jobs: int | None = None,
    on: str = "local",
) -> list[Run]:
    """Train what is not recorded, in order, and return what is left. A run that fails holds up no other.

    Args:
        runs: what is wanted.
        store: where records are; `results/` when not given.
        budget: seconds. When a run's expected time is more than what is left of them, neither it nor a later one is
            started, but for the very first; what still runs near their end keeps a checkpoint and goes on next time.
        jobs: how many runs are trained at a time. On CPUs they share the cores evenly; one a core when not given (two
            AlexNets with a core each train 1.26 × as fast as one after the other on both). On a GPU they share it;
            RUNS_PER_GPU when not given, and fewer from the first one on that finds no memory left. On a cluster: how
            many share each GPU.
        on: "local", this machine, or "ray", the nodes of a Ray cluster.

    Raises:
        UserError: a run failed, said when all others are done, or nothing can be recorded.
    """
    one_of("place", on, BACKENDS)
    store = Store() if store is None else store
    store.check_writable()
    missing = [run for run in runs if run not in store]
    if not missing:
        return []
    if on == "local":  # what a cluster's nodes can import, only they know
        for run in missing:
            import_training().check(run)
    with _backend(on, store, jobs, len(missing)) as backend, ProgressTable() as table:
        state = SweepState(store, budget, backend, missing)
        with state.stopping_at_exit():
            while state.start_runs(table):
                for worker in backend.wait(state.running, seconds=min(1, max(0, state.remaining))):
                    state.finish(worker, table)
                if state.remaining <= 0:
                    backend.stop(state.running)
                table.update(state.headline(), state.rows())
    if state.failures:
        raise UserError(f"{len(state.failures)} of the runs failed: {'; '.join(state.failures)}")
    return state.waiting


def _backend(on: str, store: Store, jobs: int | None, runs: int) -> contextlib.AbstractContextManager[Backend[Any]]:
    if on == "ray":
        return ray_cluster.connect(store, jobs)
    if import_training().device().type == "cuda":
        return shared_gpu(store, min(jobs or RUNS_PER_GPU, runs))
    return contextlib.nullcontext(LocalPool(store, min(jobs or cores(), runs)))


@dataclass
class SweepState:
    """A sweep under way: the runs that wait, the workers that run, and why runs have failed.

    waiting: runs not started, in order. running: workers started and not ended. failures: a line for each failed run.
    """

    store: Store
    budget: float | None
    backend: Backend[Any]
    waiting: list[Run]
    running: list[Worker] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.costs, self.total, self.exhausted = Costs(self.store), len(self.waiting), False
        self.end = (
            float("inf") if self.budget is None else time.monotonic() + max(self.budget - MARGIN, 0.9 * self.budget)
        )

    @contextlib.contextmanager
    def stopping_at_exit(self) -> Iterator[None]:
        """Let what still runs keep a checkpoint and end, whatever ends the block, SIGTERM included."""
        codes = []

        def end(number: int, _) -> None:
            codes.append(128 + number)
            sys.exit(codes[0])

        before = signal.signal(signal.SIGTERM, end)
        try:
            yield
        finally:
            self.backend.stop(self.running)
            signal.signal(signal.SIGTERM, before)
            if codes:
                sys.exit(codes[0])  # again, since Ray, where it waited, has made an exit with code 1 of it

    def start_runs(self, table: ProgressTable) -> bool:
        """Start as many runs as the backend has room and the budget time for; False when nothing runs any more."""
        while not self.exhausted and len(self.running) < self.backend.count and (run := self._next_run()):
            if self._affordable(run):
                self.waiting.remove(run)
                self.running.append(self.backend.start(run))
            else:
                self.exhausted = True
                needs = (
                    f"{max(0, self.remaining):.0f} s are left and {run} needs {_in_seconds(self.costs.seconds(run))}"
                )
                table.print_line(f"{needs}: no more is begun, {describe_remaining(self.waiting, self.costs)}")
        return bool(self.running)

    @property
    def remaining(self) -> float:
        """Seconds left of the budget; negative after its end."""
        return self.end - time.monotonic()

    def _affordable(self, run: Run) -> bool:
        """Whether the rest of the budget is enough for a run, as far as is known; the first needs only some time."""
        is_first = len(self.waiting) == self.total
        expected = self.costs.seconds(run)
        return self.remaining > (0 if is_first or expected is None else expected)

    def _next_run(self) -> Run | None:
        """Choose the run to be started next; None when none can be started now.

        A student waits until its teachers' training has ended. One whose teacher is in use by a worker that has not
        done a step, and may be computing the teacher's logits, would wait for these, so others come before it. A run
        that another process trains, or a teacher of it, is started, and waits for that, only when nothing else is
        running.
        """
        in_training = {worker.run.key for worker in self.running}
        in_use = {key for worker in self.running if not worker.step for key in _teacher_keys(worker.run)}
        ready = [run for run in self.waiting if in_training.isdisjoint(_teacher_keys(run))]
        ready.sort(key=lambda run: not in_use.isdisjoint(_teacher_keys(run)))
        for run in ready:
            if not is_in_training(run):
                return run
        return ready[0] if ready and not self.running else None

    def finish(self, worker: Worker, table: ProgressTable) -> None:
        """Take note of a run that has ended, well or not, and print a line of it."""
        self.running.remove(worker)
        for line in worker.messages:
            table.print_line(line)
        if worker.stopped:
            self.waiting.insert(0, worker.run)
            then = f"later: {worker.error}" if worker.error else "next time"
            table.print_line(f"{worker.run} is stopped after about {worker.step} steps and goes on {then}")
        elif failure := worker.failure():
            self.failures.append(failure if str(worker.run) in failure else f"{worker.run}: {failure}")
            table.print_line(self.failures[-1])
        else:
            self.costs = Costs(self.store)
            left = describe_remaining(self.waiting, self.costs)
            table.print_line(f"{self.done} of {self.total} done: {worker.run}; {left}")

    @property
    def done(self) -> int:
        """How many runs are recorded."""
        return self.total - len(self.waiting) - len(self.running) - len(self.failures)

    def headline(self) -> str:
        """How far the sweep is, and when it will end: at the end of its longest run, or of all shared out evenly."""
        waiting = [self.costs.seconds(run) for run in self.waiting]
        running = [self._seconds_left(worker) for worker in self.running]
        text = f"{self.done} of {self.total} done, {len(self.running)} running"
        known = [seconds for seconds in (*waiting, *running) if seconds is not None]
        if unknown := len(waiting) + len(running) - len(known):
            return f"{text}; {unknown} of unknown length"
        shared_out, longest = sum(known) / self.backend.count, max(known[len(waiting) :], default=0.0)
        end = time.time() + max(shared_out, longest)
        return f"{text}; ends about {time.strftime('%H:%M', time.localtime(end))}"

    def rows(self) -> list[tuple[str, str, str]]:
        """List for each running worker its share of the steps done, seconds so far and to come, and its run."""
        rows = []
        for worker in self.running:
            share = f"{worker.step / worker.run.recipe.steps:.0%}"
            times = f"{worker.seconds:.0f} s + {_in_seconds(self._seconds_left(worker))}"
            rows.append((share, times, str(worker.run)))
        return rows

    def _seconds_left(self, worker: Worker) -> float | None:
        """Seconds that a run still needs, judged by its steps since the first report or, before that, by its kind."""
        first_step, reported = worker.first_report
        if worker.step > first_step:
            seconds_per_step = (time.monotonic() - reported) / (worker.step - first_step)
            return seconds_per_step * (worker.run.recipe.steps - worker.step)
        expected = self.costs.seconds(worker.run)
        return None if expected is None else max(0.0, expected - worker.seconds)


def _teacher_keys(run: Run) -> set[str]:
    """The keys of its teachers: which they are, whatever is measured along their training."""
    return {teacher.key for teacher in run.teachers}


def run_table(runs: Sequence[Run], store: Store | None = None) -> str:
    """Format one line a run: recorded or missing, expected seconds and memory; the last says what is missing."""
    store = Store() if store is None else store
    costs = Costs(store)
    lines = []
    for run in runs:
        megabytes = costs.megabytes(run)
        memory = "?" if megabytes is None else f"{megabytes} MB"
        state = "recorded" if run in store else "missing"
        lines.append(f"{state:9} {_in_seconds(costs.seconds(run)):>8} {memory:>8}  {run}")
    return "\n".join([*lines, describe_remaining([run for run in runs if run not in store], costs)])


def describe_remaining(runs: Sequence[Run], costs: Costs) -> str:
    """Say how many these runs are and how many minutes they take, one after the other."""
    seconds = [costs.seconds(run) for run in runs]
    known = sum(s for s in seconds if s is not None)
    unknown = f" and {counted(seconds.count(None), 'run')} of unknown length" if None in seconds else ""
    return f"{len(runs)} missing, {counted(round(known / 60), 'minute')}{unknown}"


def _in_seconds(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds:.0f} s"
