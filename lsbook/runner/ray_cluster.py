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

from lsbook.core.config import Run
from lsbook.core.errors import UserError, needing
from lsbook.core.store import Store
from lsbook.runner.obtain import obtain, training_side
from lsbook.runner.pool import Worker, heard

PATIENCE = 10  # seconds in which a cluster has to answer
ENDING = 15  # seconds for tasks to end their step and keep it, which goes on there when they need more
REFUSALS = "InvalidAuthToken", "AuthenticationError"  # Ray's words for a token that is wrong, or missing here
REFUSED = "refused"  # what is made of them
RETRIES = 5  # of a run whose process or node dies


class Task(Worker):
    """A run that a node trains. result: refers to what `train` will give."""

    def __init__(self, run: Run, result):
        super().__init__(run)
        self.result = result


class Notes:
    """What tasks tell of themselves: the number of steps done, by a run's key. Lives as a Ray actor."""

    def __init__(self):
        self.steps: dict[str, int] = {}

    def tell(self, key: str, step: int) -> None:
        """A task has done so many steps."""
        self.steps[key] = step

    def told(self) -> dict[str, int]:
        """All that is known."""
        return self.steps


def train(run: Run, notes) -> tuple[dict[str, bytes], list[str]]:
    """What a task does: the files of the record, and what was said. notes: handle of `Notes`.

    UserError, naming the node, when it cannot.
    """
    import ray

    # By which Ray cancels a task. A node that was started in the background ignores it, and so would what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory() as folder, heard() as said:
            training_side().use_threads(1)
            [record] = obtain([run], Store(folder), progress=lambda step: notes.tell.remote(run.key, step))
            return record.files(), said
    except UserError as error:
        raise UserError(f"node {ray.util.get_node_ip_address()}: {error}") from None


@contextlib.contextmanager
def connected(store: Store, jobs: int | None = None) -> Iterator["Cluster"]:
    """Within it the Ray cluster at RAY_ADDRESS, or else the one that this machine belongs to, is a place for runs.

    jobs: of runs at a time on each GPU, one by default.
    UserError when Ray is not installed, no cluster answers, or there is no GPU to share.
    """
    with needing("cluster", "a sweep on a cluster"):
        import ray
    _check_answer()
    with contextlib.redirect_stdout(io.StringIO()):  # Ray prints pages there on each process that dies
        ray.init("auto", log_to_driver=False, logging_level="ERROR")
        try:
            yield Cluster(ray, store, jobs or 1)
        finally:
            ray.shutdown()


class Cluster:
    """A Ray cluster as a place for runs, `jobs` of them on each GPU, or else one on each core. ray: the module."""

    def __init__(self, ray, store: Store, jobs: int):
        self.ray, self.store, self.jobs = ray, store, jobs
        if jobs > 1 and not self._gpus:
            raise UserError("the cluster has no GPU that several runs could share: leave out --jobs")
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.notes = ray.remote(num_cpus=0, scheduling_strategy=here)(Notes).remote()

    @property
    def _gpus(self) -> float:
        return self.ray.cluster_resources().get("GPU", 0)

    @property
    def count(self) -> int:
        """Runs at a time on the nodes that there are now; one waits for a node when there is none."""
        return max(1, int(self._gpus * self.jobs or self.ray.cluster_resources().get("CPU", 0)))

    def begin(self, run: Run) -> Task:
        """Have a run trained."""
        needs = {"num_cpus": 0, "num_gpus": 1 / self.jobs} if self._gpus else {"num_cpus": 1}
        task = self.ray.remote(**needs, max_retries=RETRIES)(train)
        return Task(run, task.options(name=str(run)).remote(run, self.notes))

    def ended(self, workers: Sequence[Task], seconds: float) -> list[Task]:
        """One that has ended, its record written, as soon as there is one; none after some seconds."""
        over, _ = self.ray.wait([worker.result for worker in workers], timeout=seconds)
        told = self.ray.get(self.notes.told.remote())
        for worker in workers:
            worker.step = told.get(worker.run.key, 0)
        found = [worker for worker in workers if worker.result in over]
        for worker in found:
            self._take(worker)
        return found

    def _take(self, worker: Task) -> None:
        """Record what a task has ended with."""
        try:
            files, worker.said = self.ray.get(worker.result)
            self.store.adopt(worker.run, files)
        except self.ray.exceptions.TaskCancelledError:
            worker.stopped = True
        except UserError as error:
            worker.error = str(getattr(error, "cause", error))  # Ray adds where the task's own was raised
        except self.ray.exceptions.RayError as error:
            worker.error = str(error).strip().splitlines()[-1]

    def stop(self, workers: Sequence[Task]) -> None:
        """Let them keep a checkpoint on their node and end; what has been trained to its end is recorded."""
        for worker in workers:
            self.ray.cancel(worker.result)
        results = [worker.result for worker in workers]
        over, _ = self.ray.wait(results, num_returns=len(results), timeout=ENDING) if results else ([], [])
        for worker in workers:
            if worker.result in over:
                self._take(worker)


def _check_answer() -> None:
    """UserError unless a cluster answers, and only to who has its token: else all that reach it can run programs."""
    where = os.environ.get("RAY_ADDRESS") or "auto"
    start = 'start one with "ray start --head", or name another in RAY_ADDRESS'
    answer = _ask({})
    if answer is None:
        raise UserError(f"the Ray cluster at {where} has not answered for {PATIENCE} s: {start}")
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
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", question], env=os.environ | environment, **pipes) as child:
        child.stdout.readline()  # until here it has imported Ray, which says nothing of the cluster
        patience = threading.Timer(PATIENCE, child.kill)
        patience.start()
        lines = []
        for line in child.stderr:
            lines.append(line.strip())
            if any(word in line for word in REFUSALS):
                child.kill()  # it would ask again and again
                patience.cancel()
                return REFUSED
        child.wait()
        answered = patience.is_alive()
        patience.cancel()
    if not answered:
        return None
    *_, reason = ["it gave no reason", *lines]
    return reason if child.returncode else ""
