"""Runs trained on a Ray cluster, which schedules them, tries again what dies with a process or a node, and cleans up.

A task trains one run with its node's data, source and checkpoints, and answers with the files of the record. Only the
sweep writes them into the store, so that a run which Ray has executed twice is recorded once. A student's node trains
the teacher too, unless its weights are there: let LSBOOK_RUNS name a folder that all nodes share.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from lsbook.core.config import Run
from lsbook.core.errors import UserError, needing
from lsbook.core.store import Store
from lsbook.runner.obtain import import_training, obtain
from lsbook.runner.pool import Worker, captured_stderr

if TYPE_CHECKING:
    import ray

ANSWER_TIMEOUT = 10  # seconds in which a cluster has to answer
STOP_TIMEOUT = 15  # seconds for tasks to end their step and keep it, which goes on there when they need more
TOKEN_ERRORS = "InvalidAuthToken", "AuthenticationError"  # Ray's words for a token that is wrong, or missing here
REFUSED = "refused"  # what is made of them
RETRIES = 5  # of a run whose process or node dies


class RayWorker(Worker):
    """A run that a node trains.

    Attributes:
        result: Ray's reference to what `train_on_node` returns.
        cancelled: whether its task has ended because it was cancelled.
    """

    def __init__(self, run: Run, result: "ray.ObjectRef"):
        super().__init__(run)
        self.result, self.cancelled = result, False

    @property
    @override
    def stopped(self) -> bool:
        return self.cancelled


class ProgressActor:
    """A Ray actor to which tasks report the number of steps done."""

    def __init__(self):
        self.steps: dict[str, int] = {}

    def report(self, key: str, step: int) -> None:
        """Note that the run of this key has done so many steps."""
        self.steps[key] = step

    def all_steps(self) -> dict[str, int]:
        """Return the number of steps done by the key of each run that has reported."""
        return self.steps


def train_on_node(run: Run, progress) -> tuple[dict[str, bytes], list[str]]:
    """Train a run, as a Ray task on a node, with the node's data, sources and checkpoints.

    Args:
        run: what to train.
        progress: handle of a `ProgressActor`.

    Returns:
        The files of the record by name, and the lines printed on standard error.

    Raises:
        UserError: as `obtain` does, with the node's address before it.
    """
    import ray

    # By which Ray cancels a task. A node that was started in the background ignores it, and so would what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory() as folder, captured_stderr() as lines:
            import_training().set_num_threads(1)
            [record] = obtain([run], Store(folder), progress=lambda step: progress.report.remote(run.key, step))
            return record.files(), lines
    except UserError as error:
        raise UserError(f"node {ray.util.get_node_ip_address()}: {error}") from None


@contextlib.contextmanager
def connect(store: Store, jobs: int | None = None) -> Iterator["RayCluster"]:
    """Connect to the Ray cluster at RAY_ADDRESS, or to the one that this machine belongs to, within the block.

    Args:
        store: where the records of the runs go.
        jobs: how many runs at a time share each GPU; 1 when not given.

    Raises:
        UserError: Ray is not installed, no cluster answers, or there is no GPU to share.
    """
    with needing("cluster", "a sweep on a cluster"):
        import ray
    _check_answer()
    with contextlib.redirect_stdout(io.StringIO()):  # Ray prints pages there on each process that dies
        ray.init("auto", log_to_driver=False, logging_level="ERROR")
        try:
            yield RayCluster(store, jobs or 1)
        finally:
            ray.shutdown()


class RayCluster:
    """A Ray cluster as a backend of sweeps: `jobs` runs at a time on each GPU, or without GPUs one on each core."""

    def __init__(self, store: Store, jobs: int):
        self.store, self.jobs = store, jobs
        if jobs > 1 and not self._gpus:
            raise UserError("the cluster has no GPU that several runs could share: leave out --jobs")
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.progress = ray.remote(num_cpus=0, scheduling_strategy=here)(ProgressActor).remote()

    @property
    def _gpus(self) -> float:
        return _resource("GPU")

    @property
    def count(self) -> int:
        """Runs at a time on the nodes that there are now; one waits for a node when there is none."""
        return max(1, int(self._gpus * self.jobs or _resource("CPU")))

    def start(self, run: Run) -> RayWorker:
        """Submit a task that trains a run."""
        import ray

        needs = {"num_cpus": 0, "num_gpus": 1 / self.jobs} if self._gpus else {"num_cpus": 1}
        task = ray.remote(**needs, max_retries=RETRIES)(train_on_node)
        return RayWorker(run, task.options(name=str(run)).remote(run, self.progress))

    def wait(self, workers: Sequence[RayWorker], seconds: float) -> list[RayWorker]:
        """Return one worker that has ended, its record written, as soon as there is one; none after some seconds."""
        import ray

        ready, _ = ray.wait([worker.result for worker in workers], timeout=seconds)
        steps = ray.get(self.progress.all_steps.remote())
        for worker in workers:
            worker.step = steps.get(worker.run.key, 0)
        ended = [worker for worker in workers if worker.result in ready]
        for worker in ended:
            self._record_result(worker)
        return ended

    def _record_result(self, worker: RayWorker) -> None:
        """Write the record of an ended task, or note why there is none."""
        import ray

        try:
            files, worker.messages = ray.get(worker.result)
            self.store.adopt(worker.run, files)
        except ray.exceptions.TaskCancelledError:
            worker.cancelled = True
        except UserError as error:
            worker.error = str(getattr(error, "cause", error))  # Ray adds where the task's own was raised
        except ray.exceptions.RayError as error:
            worker.error = str(error).strip().splitlines()[-1]

    def stop(self, workers: Sequence[RayWorker]) -> None:
        """Let the tasks keep a checkpoint on their node and end; record what has been trained to its end."""
        import ray

        for worker in workers:
            ray.cancel(worker.result)
        results = [worker.result for worker in workers]
        ready, _ = ray.wait(results, num_returns=len(results), timeout=STOP_TIMEOUT) if results else ([], [])
        for worker in workers:
            if worker.result in ready:
                self._record_result(worker)


def _resource(name: str) -> float:
    """How much of a resource, such as GPU, the nodes have together."""
    import ray

    return ray.cluster_resources().get(name, 0)


def _check_answer() -> None:
    """UserError unless a cluster answers, and only to who has its token: else all that reach it can run programs."""
    where = os.environ.get("RAY_ADDRESS") or "auto"
    start = 'start one with "ray start --head", or name another in RAY_ADDRESS'
    answer = _ask({})
    if answer is None:
        raise UserError(f"the Ray cluster at {where} has not answered for {ANSWER_TIMEOUT} s: {start}")
    if answer == REFUSED:
        raise UserError(
            f"the Ray cluster at {where} wants its token: set RAY_AUTH_MODE=token, and have ~/.ray/auth_token "
            "of its first machine at the same place here"
        )
    if answer:
        raise UserError(f"no Ray cluster to be had ({answer}): {start}")
    if _ask({"RAY_AUTH_MODE": "disabled"}) == "":
        raise UserError(
            f"whoever reaches the Ray cluster at {where} can run programs on it: stop it, and start it with a token "
            '("export RAY_AUTH_MODE=token", "ray get-auth-token --generate"), as the chapter Reproduce does'
        )


def _ask(environment: dict[str, str]) -> str | None:
    """How the cluster answers: "" to who may use it, REFUSED to who lacks its token, None not at all, or what is wrong.

    Another process asks, since Ray itself would wait for minutes. environment: of it, besides this one's.
    """
    question = "import ray; print('asking', flush=True); ray.init('auto', log_to_driver=False)"
    with subprocess.Popen(
        [sys.executable, "-c", question],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None and child.stderr is not None  # they are pipes
        child.stdout.readline()  # until here it has imported Ray, which says nothing of the cluster
        timer = threading.Timer(ANSWER_TIMEOUT, child.kill)
        timer.start()
        lines = []
        for line in child.stderr:
            lines.append(line.strip())
            if any(word in line for word in TOKEN_ERRORS):
                child.kill()  # it would ask again and again
                timer.cancel()
                return REFUSED
        child.wait()
        answered = timer.is_alive()
        timer.cancel()
    if not answered:
        return None
    *_, reason = ["it gave no reason", *lines]
    return reason if child.returncode else ""
