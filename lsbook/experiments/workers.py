"""Runs trained in processes of their own: small ones fill all cores, and one that dies takes no other with it.

The processes are forked from a server that has imported torch once. One that loses its parent keeps a checkpoint and
ends, as on SIGTERM.
"""

import contextlib
import io
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait

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
    """A process that trains one run and records it. `step`: how many steps it has done; `said`: its messages."""

    def __init__(self, run: Run, store: Store, threads: int):
        self.run, self.began, self.step, self.said, self.error = run, time.monotonic(), 0, [], None
        made = context()
        self._messages, sender = made.Pipe(duplex=False)
        self.process = made.Process(target=_work, args=(run, store, threads, dict(os.environ), sender), daemon=True)
        self.process.start()
        sender.close()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def listen(self) -> None:
        """Take what the process has sent."""
        with contextlib.suppress(EOFError, OSError):  # it has ended
            while self._messages.poll():
                name, value = self._messages.recv()
                setattr(self, name, value)

    @property
    def stopped(self) -> bool:
        """It ended because it was asked to."""
        return self.process.exitcode in (-signal.SIGTERM, 128 + signal.SIGTERM)

    def failure(self) -> str | None:
        """Why the ended process recorded nothing, as far as is known; None when it went well."""
        code = self.process.exitcode
        if self.error or code == 0:
            return self.error
        return f"its process was ended by signal {-code}" if code < 0 else f"its process ended with exit code {code}"


def ended(workers: Sequence[Worker], seconds: float) -> list[Worker]:
    """Those that have ended, as soon as one has, or after some seconds."""
    wait([worker.process.sentinel for worker in workers], timeout=seconds)
    for worker in workers:
        worker.listen()
    return [worker for worker in workers if not worker.process.is_alive()]


@contextlib.contextmanager
def ending(workers: Sequence[Worker]) -> Iterator[None]:
    """Whatever ends this block, SIGTERM too, first lets the workers that still run keep a checkpoint and end."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        stop(workers)


def stop(workers: Sequence[Worker]) -> None:
    """Let them keep a checkpoint and end."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join()


def _work(run: Run, store: Store, threads: int, environment: dict[str, str], messages: Connection) -> None:
    """What the process does. Its standard error goes to the parent, but for progress bars."""
    os.environ.update(environment)  # the server has those of the first process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent has it too and sends SIGTERM
    threading.Thread(target=_follow_parent, daemon=True).start()
    with contextlib.redirect_stderr(io.StringIO()) as text:
        try:
            training_side().use_threads(threads)
            obtain([run], store, progress=lambda step: messages.send(("step", step)))
        except UserError as error:
            messages.send(("error", str(error)))
        finally:
            messages.send(("said", [line for line in text.getvalue().splitlines(True) if line.endswith("\n")]))


def _follow_parent() -> None:
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
