"""Runs trained on this machine, in processes of their own: small ones fill all cores, and none takes others with it.

The processes are forked from a server that has imported torch once. One that loses its parent keeps a checkpoint and
ends, as on SIGTERM.
"""

import atexit
import contextlib
import functools
import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait

from tqdm import tqdm

from lsbook.core.config import Run
from lsbook.core.cpus import cores
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.runner.obtain import obtain, training_side

NO_MEMORY = "out of memory"  # in the error of a run that has found none
# Imported once for all: the training side, and what torch and the embedded data import late, at their first use.
PRELOADED = ["lsbook.training", "torch._dynamo", "sklearn.datasets"]


@functools.cache
def context() -> multiprocessing.context.ForkServerContext:
    """Where processes come from, and their server, which starts with the first of them and ends with this process.

    Both ignore SIGINT and SIGTERM, which a terminal or a batch system sends to all: the parent decides who ends.
    """
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    with _ignoring(signal.SIGINT, signal.SIGTERM):  # which is inherited by what is started within it
        forkserver.ensure_running()
    atexit.register(_end_server)
    return made


def _end_server() -> None:
    """Do not leave it behind for the seconds in which it imports, or forgets, all of torch."""
    if not multiprocessing.active_children():
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)


@contextlib.contextmanager
def _ignoring(*numbers: int) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


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

    def __init__(self, run: Run, store: Store, threads: int, environment: Mapping[str, str]):
        super().__init__(run)
        self.asked = False  # to stop
        self.put_off = False  # until others have ended
        made = context()
        self._messages, sender = made.Pipe(duplex=False)
        self.process = made.Process(target=_work, args=(run, store, threads, os.environ | environment, sender))
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
        return self.put_off or self.asked and self.process.exitcode in (-signal.SIGTERM, 128 + signal.SIGTERM)

    def failure(self) -> str | None:
        code = self.process.exitcode
        if self.error or code == 0:
            return self.error
        if code == -signal.SIGKILL:
            return f"its process was killed, as the system does when it is {NO_MEMORY}; train fewer at a time (--jobs)"
        return f"its process was ended by signal {-code}" if code < 0 else f"its process ended with exit code {code}"


class Machine:
    """This machine as a place for runs: `count` of them at a time share its cores evenly, and its GPU if it has one.

    One that finds no memory left beside others goes on later, and there are fewer from then on.
    environment: variables that the processes have besides this one's.
    """

    def __init__(self, store: Store, count: int, environment: Mapping[str, str] | None = None):
        self.store, self.count, self.environment = store, count, environment or {}

    def begin(self, run: Run) -> Process:
        """Train a run and record it."""
        return Process(run, self.store, max(1, cores() // self.count), self.environment)

    def ended(self, workers: Sequence[Process], seconds: float) -> list[Process]:
        """Those that have ended, as soon as one has, or after some seconds."""
        wait([worker.process.sentinel for worker in workers], timeout=seconds)
        for worker in workers:
            worker.listen()
        over = [worker for worker in workers if not worker.process.is_alive()]
        for worker in over:
            failure = worker.failure()
            if len(workers) > 1 and NO_MEMORY in (failure or ""):
                worker.put_off, worker.error = True, failure
                self.count = max(1, len(workers) - 1)
        return over

    def stop(self, workers: Sequence[Process]) -> None:
        """Let them keep a checkpoint and end; who interrupts that, too, ends them at once."""
        for worker in workers:
            worker.asked = True
            worker.process.terminate()
        try:
            for worker in workers:
                worker.process.join()
        finally:
            for worker in workers:
                worker.process.kill()


@contextlib.contextmanager
def shared_gpu(store: Store, count: int) -> Iterator[Machine]:
    """Within it so many runs at a time share the GPU, each in a process of its own.

    They do so by CUDA's multi-process service where it can be started, and else by turns, as the driver lets them.
    """
    control = shutil.which("nvidia-cuda-mps-control")
    with tempfile.TemporaryDirectory(prefix="lsbook-mps-") as folder:
        places = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        silent = {"env": os.environ | places, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started = control is not None and subprocess.run([control, "-d"], **silent).returncode == 0
        try:
            yield Machine(store, count, places if started else {})
        finally:
            if started:
                subprocess.run([control], input=b"quit\n", **silent)


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
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    tqdm.set_lock(threading.RLock())  # its own is of the system, which complains of one that a killed process had
    threading.Thread(target=_follow_parent, daemon=True).start()
    said = []

    def tell(name: str, value) -> None:
        with contextlib.suppress(OSError):  # the parent has ended; a checkpoint is kept all the same
            messages.send((name, value))

    try:
        with heard() as said:
            training_side().use_threads(threads)
            obtain([run], store, progress=lambda step: tell("step", step))
    except (UserError, RuntimeError) as error:  # the latter is torch's
        tell("error", str(error))
        sys.exit(1)
    finally:
        tell("said", said)


def _follow_parent() -> None:
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
