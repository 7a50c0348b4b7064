"""Sweeps on a Ray cluster: real nodes, all of them on this machine, that come, fail and go."""

import contextlib
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from ray._private.authentication_test_utils import reset_auth_token_state
from ray.cluster_utils import Cluster

from lsbook import cli
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.runner import ray_cluster, sweep
from lsbook.runner.obtain import obtain
from lsbook.training import set_num_threads
from lsbook.training.engine import checkpoints

PROJECT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef" * 4


def run(seed: int, steps: int = 2, **fields) -> Run:
    recipe = Recipe(steps=steps, batch=8, learning_rate=0.01)
    return Run(dataset="digits", model="alexnet-16", alpha=0.1, seed=seed, recipe=recipe, examples=20, **fields)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """A cluster of one node with one core, known by RAY_ADDRESS, and closed to who has not its token. It asks nothing
    of other hosts."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        settings = {
            "LSBOOK_RUNS": str(tmp_path_factory.mktemp("runs")),
            "LSBOOK_DATA": str(tmp_path_factory.mktemp("data")),
            "PYTHONPATH": str(PROJECT / "tests" / "newcomer"),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_TMPDIR": folder,  # names of sockets are too long below pytest's folders
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # not behind whatever else runs here
        }
        for name, value in settings.items():
            patch.setenv(name, value)
        reset_auth_token_state()  # of this process, in which Ray is imported already
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # Ray gives no node more GPUs than it names
        patch.setattr(ray_cluster, "ANSWER_TIMEOUT", 60)  # the machine of the tests may be busy
        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        patch.setenv("RAY_ADDRESS", started.address)
        yield started
        started.shutdown()


@pytest.fixture(scope="module")
def connection(nodes):
    """One for all tests: every new one starts processes that have to import torch."""
    with ray_cluster.connect(Store("nowhere")) as place:
        yield place


@pytest.fixture
def place(connection, tmp_path, monkeypatch):
    """The cluster with an empty store, and what a sweep connects to."""
    monkeypatch.setattr(connection, "store", Store(tmp_path / "results"))
    monkeypatch.setattr(ray_cluster, "connect", lambda *_: contextlib.nullcontext(connection))
    return connection


def wait_until(condition, seconds: float = 600):
    """What it gives when it is met."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def tasks(node) -> dict[int, str]:
    """Processes of a node that train, and what: Ray gives them their task's name."""
    [raylet] = [process.process.pid for process in node.all_processes["raylet"]]
    found = {}
    for child in Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split():
        with contextlib.suppress(OSError):  # it has ended
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().rstrip("\0 ").removeprefix("ray::")
    return {process: name for process, name in found.items() if name.startswith("digits")}


@pytest.mark.parametrize("listens", [False, True], ids=["nobody there", "silence"])
def test_an_address_that_does_not_answer_is_one_line_and_exit_code_2(listens, results, monkeypatch, capsys):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        address = "{}:{}".format(*silent.getsockname())
        monkeypatch.setenv("RAY_ADDRESS", address)
        monkeypatch.setattr(ray_cluster, "ANSWER_TIMEOUT", 1)
        monkeypatch.setattr(sys, "argv", ["lsbook", "sweep", "projections", "--profile", "smoke", "--on", "ray"])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
    captured = capsys.readouterr()
    assert exit_.value.code == 2
    assert captured.out == ""
    assert captured.err == (
        f"lsbook: the Ray cluster at {address} has not answered for 1 s: "
        'start one with "ray start --head", or name another in RAY_ADDRESS\n'
    )


def test_without_a_cluster_or_ray_a_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(ray_cluster, "ANSWER_TIMEOUT", 60)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match='Could not find any running Ray instance.*: start one with "ray start --head"'):
        sweep.sweep([run(0)], Store(tmp_path / "results"), on="ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r'a sweep on a cluster needs ray: pip install -e ".\[cluster\]"'):
        sweep.sweep([run(0)], Store(tmp_path / "results"), on="ray")


@pytest.mark.parametrize(
    "settings",
    [{"RAY_AUTH_TOKEN": TOKEN[::-1]}, {"RAY_AUTH_TOKEN": None}, {"RAY_AUTH_TOKEN": None, "RAY_AUTH_MODE": None}],
    ids=["another token", "no token", "Ray's defaults"],
)
def test_a_cluster_takes_no_runs_from_who_has_not_its_token(nodes, tmp_path, monkeypatch, settings):
    monkeypatch.setenv("HOME", str(tmp_path))  # where Ray keeps one
    for name, value in settings.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    with pytest.raises(UserError, match=f"the Ray cluster at {nodes.address} wants its token: set RAY_AUTH_MODE=token"):
        sweep.sweep([run(0)], Store(tmp_path / "results"), on="ray")


def test_what_is_advised_to_who_has_not_the_token_helps(nodes, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(TOKEN)
    ray_cluster._check_answer()


@pytest.fixture
def open_cluster(tmp_path, monkeypatch):
    """One that was started without a token, on another address of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        address, settings = "127.0.0.9", {"RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": folder}
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
        command += ["--include-dashboard=false", "--num-cpus=1", "--port=0", f"--node-ip-address={address}"]
        silent = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, env=os.environ | settings, **silent) as process:
            try:
                said = ""
                while not (found := re.search(rf"{address}:\d+", said)):
                    line = process.stdout.readline()
                    assert line, said
                    said += line
                monkeypatch.setenv("RAY_ADDRESS", found[0])
                monkeypatch.setattr(ray_cluster, "ANSWER_TIMEOUT", 60)
                yield found[0]
            finally:
                process.terminate()
                process.communicate()


def test_a_cluster_that_takes_runs_from_anybody_gets_none(open_cluster, tmp_path, monkeypatch):
    """Though who asks has a token."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    with pytest.raises(UserError, match=f"whoever reaches the Ray cluster at {open_cluster} can run programs on it"):
        sweep.sweep([run(0)], Store(tmp_path / "results"), on="ray")


def test_unknown_places_are_refused(tmp_path):
    with pytest.raises(UserError, match="unknown place 'moon': choose from local, ray"):
        sweep.sweep([run(0)], Store(tmp_path), on="moon")


@pytest.fixture
def without_torch(tmp_path) -> dict:
    """Of a node with one core: what it is made with."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    return {"num_cpus": 1, "env_vars": {"PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}"}}


def test_several_runs_share_a_gpu_where_there_is_one(place, nodes, without_torch):
    """What runs there needs no core."""
    with pytest.raises(UserError, match="the cluster has no GPU that several runs could share"):
        ray_cluster.RayCluster(place.store, jobs=3)
    node = nodes.add_node(**without_torch | {"num_cpus": 0, "num_gpus": 2, "node_ip_address": "127.0.0.3"})
    sharing = ray_cluster.RayCluster(place.store, jobs=3)
    assert (place.count, sharing.count) == (2, 6)
    task = sharing.start(run(1))
    wait_until(lambda: sharing.wait([task], seconds=1))
    assert task.failure().startswith("node 127.0.0.3: ")
    nodes.remove_node(node)


def test_a_node_that_cannot_train_says_so_and_a_stopped_run_keeps_a_checkpoint(place, nodes, without_torch):
    """One node has no WMT14, the other, which comes and goes, no torch."""
    text = {"dataset": "wmt14-en-de", "model": "transformer-64", "vocabulary": 300, "recipe": Recipe(steps=1)}
    assert place.count == 1
    without_data = place.start(dataclasses.replace(run(0), **text))
    wait_until(lambda: place.wait([without_data], seconds=1))
    assert re.match(r"node [\d.]+: wmt14-en-de not found under ", without_data.failure())
    long = place.start(run(0, steps=10**6))
    wait_until(lambda: tasks(nodes.head_node))
    node = nodes.add_node(**without_torch, node_ip_address="127.0.0.2")
    assert place.count == 2
    other = place.start(run(1))
    wait_until(lambda: place.wait([other], seconds=1))
    assert other.failure() == 'node 127.0.0.2: training a run needs torch: pip install -e ".[train]"'
    nodes.remove_node(node)
    assert place.count == 1
    wait_until(lambda: place.wait([long], seconds=1) or long.step)
    place.stop([long])
    assert place.wait([long], seconds=1) == [long]
    assert long.stopped
    assert long.failure() is None
    assert checkpoints.load_latest(long.run).step >= long.step
    assert not list(place.store)


def test_names_of_ones_own_are_imported_by_the_nodes_and_not_here(place):
    names = {"dataset": "mine.data:stripes", "model": "mine.nets:tiny"}
    own = dataclasses.replace(run(0), **names, recipe=Recipe(steps=2, batch=8, loss="mine.losses:Focal"))
    unknown = dataclasses.replace(own, recipe=dataclasses.replace(own.recipe, loss="no.such:Loss"))
    with pytest.raises(UserError, match=r"1 of the runs failed: .*node [\d.]+: no.such:Loss cannot be imported"):
        sweep.sweep([own, unknown], on="ray", store=place.store)
    [record] = place.store
    assert (record.run, record.classes) == (own, ("left", "middle", "right"))
    assert place.store.verify() == []


def test_ctrl_c_ends_a_sweep_and_what_its_nodes_train_with_one_line(nodes, results):
    """As a terminal sends it: to all processes that the command has started."""
    command = [sys.executable, "-m", "lsbook", "sweep", "projections", "--profile", "smoke", "--on", "ray"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=PROJECT, start_new_session=True, **pipes) as process:
        wait_until(lambda: tasks(nodes.head_node) or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate() == ("", "lsbook: stopped\n")
    assert process.returncode == 128 + signal.SIGINT
    wait_until(lambda: not tasks(nodes.head_node))


def test_every_run_is_recorded_once_though_a_process_dies_and_a_node_goes(place, nodes, tmp_path, monkeypatch):
    """And as by a process of this machine alone. The killed process and the lost node were training just then."""
    runs = [run(seed) for seed in range(36)]
    node = nodes.add_node(num_cpus=1)
    interrupted = []

    def harm():
        wait_until(lambda: len(place.store) >= 4)
        [(killed, name)] = wait_until(lambda: tasks(node)).items()
        os.kill(killed, signal.SIGKILL)
        interrupted.append(name)
        wait_until(lambda: tasks(node).keys() - {killed})  # this one imports torch first
        interrupted.extend(tasks(node).values())
        nodes.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=harm)
    thread.start()
    assert sweep.sweep(runs, on="ray", store=place.store) == []
    thread.join()
    assert len(interrupted) == 2
    assert place.store.verify() == []
    assert sorted(record.run.seed for record in place.store) == list(range(36))
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    set_num_threads(1)
    compared = [run for run in runs if run.seed % 10 == 0 or str(run) in interrupted]
    for alone in obtain(compared, Store(tmp_path / "alone"), progress=False):
        record = place.store.get(alone.run)
        assert (alone.metrics, alone.history) == (record.metrics, record.history)
        assert [alone.environment[key] for key in ("threads", "data")] == [1, record.environment["data"]]
        for name, array in alone.arrays.items():
            assert array.tobytes() == record.arrays[name].tobytes(), name
