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
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait

from tqdm import tqdm

from lsbook.core.config import Run
from lsbook.core.cpus import cores
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.runner.obtain import import_training, obtain

OUT_OF_MEMORY = "out of memory"  # in the error of a run that has found none
# Imported once for all: the training side, and what torch imports late, at the first step.
PRELOADED = ["lsbook.training", "torch._dynamo"]
# Of glibc, which other systems do not ask for: large tensors lie in pages of 2 MiB, where the kernel gives them. A step
# of AlexNet and of ResNet-56 takes 0.88 of the time, in as much memory (three pairs in turn, one core).
HUGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"


@functools.cache
def forkserver_context() -> multiprocessing.context.ForkServerContext:
    """Start the server that worker processes are forked from; it ends with this process.

    The server and what it forks block SIGINT and SIGTERM, which a terminal or a batch system sends to all: the parent
    decides who ends. A forked process may unblock them, and then gets what it has been sent before, too.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    resource_tracker.ensure_running()  # first: starting it unblocks both signals in this process
    with _blocked(signal.SIGINT, signal.SIGTERM), _huge_pages():  # inherited by what is started within it
        forkserver.ensure_running()
    atexit.register(_end_server)
    return context


def _end_server() -> None:
    """Kill the server, which would live on for the seconds in which it imports, or frees, all of torch."""
    if not multiprocessing.active_children():
        server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]  # nothing public tells it
        os.kill(server, signal.SIGKILL)


@contextlib.contextmanager
def _blocked(*numbers: int) -> Iterator[None]:
    """Put these signals off, for this thread, until the block ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _huge_pages() -> Iterator[None]:
    """Let what is started within it use `HUGE_PAGES`, unless the reader has set that variable."""
    name, value = HUGE_PAGES
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


class Worker:
    """A run in training.

    Attributes:
        run: the run.
        started: when it began, by the monotonic clock in seconds.
        step: how many steps are done, as far as has been reported.
        first_report: the first step reported, and when.
        messages: lines that the training has printed on standard error.
        error: why it failed, in one line, or None.
        stopped: whether it has ended because it was asked to.
    """

    def __init__(self, run: Run):
        self.run, self.started = run, time.monotonic()
        self.messages: list[str] = []
        self.error: str | None = None
        self._step, self.first_report = 0, (0, self.started)

    @property
    def step(self) -> int:
        """How many steps are done, as far as has been reported."""
        return self._step

    @step.setter
    def step(self, done: int) -> None:
        if done and not self._step:
            self.first_report = done, time.monotonic()
        self._step = done

    @property
    def stopped(self) -> bool:
        """Whether it has ended because it was asked to."""
        return False

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started

    def failure(self) -> str | None:
        """Why an ended run is not recorded, as far as is known; None when all went well."""
        return self.error


class WorkerProcess(Worker):
    """A process of this machine that trains one run and records it.

    Attributes:
        stop_requested: whether it has been asked to keep a checkpoint and end.
        postponed: whether it found no memory beside others and goes on when they have ended.
    """

    def __init__(self, run: Run, store: Store, threads: int, environment: Mapping[str, str]):
        super().__init__(run)
        self.stop_requested = self.postponed = False
        processes = forkserver_context()
        self._connection, sender = processes.Pipe(duplex=False)
        self.process = processes.Process(target=_work, args=(run, store, threads, os.environ | environment, sender))
        self.process.start()
        sender.close()

    def receive(self) -> None:
        """Set the attributes that the process has sent: step, messages, error."""
        with contextlib.suppress(EOFError, OSError):  # it has ended
            while self._connection.poll():
                name, value = self._connection.recv()
                setattr(self, name, value)

    @property
    def stopped(self) -> bool:
        """Whether it has ended because it was asked to, or goes on later."""
        terminated = self.process.exitcode in (-signal.SIGTERM, 128 + signal.SIGTERM)
        return self.postponed or (self.stop_requested and terminated)

    def failure(self) -> str | None:
        """Why an ended run is not recorded: its error, or how its process ended; None when all went well."""
        code = self.process.exitcode
        if self.error or not code:
            return self.error
        if code == -signal.SIGKILL:
            return (
                f"its process was killed, as the system does when it is {OUT_OF_MEMORY}; train fewer at a time (--jobs)"
            )
        return f"its process was ended by signal {-code}" if code < 0 else f"its process ended with exit code {code}"


class LocalPool:
    """This machine as a backend of sweeps: `count` runs at a time share its cores evenly, and its GPU if it has one.

    A run that finds no memory beside others is postponed, and from then on fewer are trained at a time.
    """

    def __init__(self, store: Store, count: int, environment: Mapping[str, str] | None = None):
        """environment: variables that the processes have besides this one's."""
        self.store, self.count, self.environment = store, count, environment or {}

    def start(self, run: Run) -> WorkerProcess:
        """Start a process that trains a run and records it."""
        return WorkerProcess(run, self.store, max(1, cores() // self.count), self.environment)

    def wait(self, workers: Sequence[WorkerProcess], seconds: float) -> list[WorkerProcess]:
        """Return the workers that have ended, as soon as one has, or after some seconds."""
        wait([worker.process.sentinel for worker in workers], timeout=seconds)
        ended = [worker for worker in workers if not worker.process.is_alive()]
        for worker in workers:
            worker.receive()  # after that, so that nothing more comes from one that has ended
        for worker in ended:
            failure = worker.failure()
            if len(workers) > 1 and OUT_OF_MEMORY in (failure or ""):
                worker.postponed, worker.error = True, failure
                self.count = max(1, len(workers) - 1)
        return ended

    def stop(self, workers: Sequence[WorkerProcess]) -> None:
        """Let the workers keep a checkpoint and end; an interruption of this ends them at once."""
        for worker in workers:
            worker.stop_requested = True
            worker.process.terminate()
        try:
            for worker in workers:
                worker.process.join()
        finally:
            for worker in workers:
                worker.process.kill()


@contextlib.contextmanager
def shared_gpu(store: Store, count: int) -> Iterator[LocalPool]:
    """Yield a pool of `count` processes that share the GPU, each of which trains one run.

    They share it through CUDA's multi-process service where that can be started, and by the driver's time slices
    elsewhere.
    """
    control = shutil.which("nvidia-cuda-mps-control")
    with tempfile.TemporaryDirectory(prefix="lsbook-mps-") as folder:
        places = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        started = control is not None and _run_silently([control, "-d"], places)
        try:
            yield LocalPool(store, count, places if started else {})
        finally:
            if control is not None and started:
                _run_silently([control], places, b"quit\n")


def _run_silently(command: list[str], environment: Mapping[str, str], stdin: bytes | None = None) -> bool:
    """Run a command with more environment variables, and tell whether it succeeds."""
    nowhere = subprocess.DEVNULL  # not a pipe, which what it starts would keep open
    done = subprocess.run(command, env=os.environ | environment, input=stdin, stdout=nowhere, stderr=nowhere)
    return done.returncode == 0


@contextlib.contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Collect what is printed on standard error within the block, by line, but for progress bars.

    The list is filled when the block ends.
    """
    lines: list[str] = []
    with contextlib.redirect_stderr(io.StringIO()) as text:
        try:
            yield lines
        finally:
            lines += [line.rstrip() for line in text.getvalue().splitlines(True) if line.endswith("\n")]


def _work(run: Run, store: Store, threads: int, environment: dict[str, str], connection: Connection) -> None:
    """Train and record a run: what a worker process does. It sends attributes of its `WorkerProcess`, by name."""
    os.environ.update(environment)  # the server has those of the first process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    tqdm.set_lock(threading.RLock())  # its own is of the system, which complains of one that a killed process had
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lines = []

    def send(name: str, value) -> None:
        with contextlib.suppress(OSError):  # the parent has ended; a checkpoint is kept all the same
            connection.send((name, value))

    try:
        with captured_stderr() as lines:
            import_training().set_num_threads(threads)
            obtain([run], store, progress=lambda step: send("step", step))
    except (UserError, RuntimeError) as error:  # the latter is torch's
        send("error", str(error))
        sys.exit(1)
    finally:
        send("messages", lines)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
