"""Runs trained on this machine, in processes of their own: small ones fill all cores, and none takes others with it.

The processes are forked from a server that has imported torch once. One that loses its parent keeps a checkpoint and
ends, as on SIGTERM.
"""

import contextlib
import io
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait

from lsbook.cores import cores
from lsbook.errors import UserError
from lsbook.experiments.obtain import obtain, training_side
from lsbook.run import Run
from lsbook.store import Store

# Imported once for all: the training side, and what torch and the embedded data import late, at their first use.
PRELOADED = ["lsbook.training", "torch._dynamo", "sklearn.datasets"]


def context() -> multiprocessing.context.ForkServerContext:
    """Where processes come from; the server starts with the first of them."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    return made


class Worker:
    """A run that is being trained. `step`: how many steps are done; `said`: its messages; `first`: the first step that
    was told, and when, by the monotonic clock.

    stopped: whether it has ended because it was asked to.
    """

    stopped = False

    def __init__(self, run: Run):
        self.run, self.began, self.said, self.error = run, time.monotonic(), [], None
        self._step, self.first = 0, (0, self.began)

    @property
    def step(self) -> int:
        return self._step

    @step.setter
    def step(self, done: int) -> None:
        if done and not self._step:
            self.first = done, time.monotonic()
        self._step = done

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def failure(self) -> str | None:
        """Why an ended run is not recorded, as far as is known; None when all went well."""
        return self.error


class Process(Worker):
    """A process that trains one run and records it."""

    def __init__(self, run: Run, store: Store, threads: int):
        super().__init__(run)
        self.asked = False  # to stop
        made = context()
        self._messages, sender = made.Pipe(duplex=False)
        self.process = made.Process(target=_work, args=(run, store, threads, dict(os.environ), sender))
        self.process.start()
        sender.close()

    def listen(self) -> None:
        """Take what the process has sent."""
        with contextlib.suppress(EOFError, OSError):  # it has ended
            while self._messages.poll():
                name, value = self._messages.recv()
                setattr(self, name, value)

    @property
    def stopped(self) -> bool:
        return self.asked and self.process.exitcode in (-signal.SIGTERM, 128 + signal.SIGTERM)

    def failure(self) -> str | None:
        code = self.process.exitcode
        if self.error or code == 0:
            return self.error
        return f"its process was ended by signal {-code}" if code < 0 else f"its process ended with exit code {code}"


class Machine:
    """This machine as a place for runs: `count` of them at a time share its cores evenly."""

    def __init__(self, store: Store, count: int):
        self.store, self.count = store, count

    def begin(self, run: Run) -> Process:
        """Train a run and record it."""
        return Process(run, self.store, max(1, cores() // self.count))

    def ended(self, workers: Sequence[Process], seconds: float) -> list[Process]:
        """Those that have ended, as soon as one has, or after some seconds."""
        wait([worker.process.sentinel for worker in workers], timeout=seconds)
        for worker in workers:
            worker.listen()
        return [worker for worker in workers if not worker.process.is_alive()]

    def stop(self, workers: Sequence[Process]) -> None:
        """Let them keep a checkpoint and end."""
        for worker in workers:
            worker.asked = True
            worker.process.terminate()
        for worker in workers:
            worker.process.join()


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """What is said on standard error within it, line by line, but for progress bars; known at its end."""
    lines: list[str] = []
    with contextlib.redirect_stderr(io.StringIO()) as text:
        try:
            yield lines
        finally:
            lines += [line.rstrip() for line in text.getvalue().splitlines(True) if line.endswith("\n")]


def _work(run: Run, store: Store, threads: int, environment: dict[str, str], messages: Connection) -> None:
    """What the process does. Its standard error goes to the parent, but for progress bars."""
    os.environ.update(environment)  # the server has those of the first process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent has it too and sends SIGTERM
    threading.Thread(target=_follow_parent, daemon=True).start()
    said = []

    def tell(name: str, value) -> None:
        with contextlib.suppress(OSError):  # the parent has ended; a checkpoint is kept all the same
            messages.send((name, value))

    try:
        with heard() as said:
            training_side().use_threads(threads)
            obtain([run], store, progress=lambda step: tell("step", step))
    except UserError as error:
        tell("error", str(error))
    finally:
        tell("said", said)


def _follow_parent() -> None:
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
