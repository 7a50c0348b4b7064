"""Sweeps: the order of the plan, what is skipped, and where a budget stops."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import types

import pytest
import torch

from lsbook.chapters.plans import plan, registered
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.recipes.profiles import PROFILES
from lsbook.runner import pool, sweep
from lsbook.runner.obtain import obtain
from lsbook.training.engine import checkpoints, loop


def run(seed=0, steps=2, learning_rate=0.1, **fields) -> Run:
    recipe = Recipe(steps=steps, batch=8, learning_rate=learning_rate)
    return Run(dataset="digits", model="alexnet-16", alpha=0.0, seed=seed, recipe=recipe, examples=20, **fields)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("chapter", registered())
def test_first_seeds_come_first_and_teachers_before_students(chapter, profile):
    runs = plan(chapter, profile)
    seeds = [run.seed for run in runs]
    assert seeds == sorted(seeds)
    assert len(set(runs)) == len(runs)
    for place, student in enumerate(runs):
        assert {teacher.key for teacher in student.teachers} <= {run.key for run in runs[:place]}


def test_named_seeds_are_taken():
    assert {run.seed for run in plan("projections", "paper", "7,9")} == {7, 9}


def test_a_named_network_is_trained_alone():
    runs = plan("projections", "paper", network="cifar10-resnet56")
    assert {(run.dataset, run.model) for run in runs} == {("cifar10", "resnet56")}
    assert runs == [run for run in plan("projections", "paper") if run.model == "resnet56" and run in runs]


@pytest.mark.parametrize(
    ("chapter", "profile", "network"),
    [("projection", "paper", "all"), ("projections", "papers", "all"), ("projections", "paper", "alexnet")],
)
def test_unknown_names_are_refused(chapter, profile, network):
    with pytest.raises(UserError, match="choose from"):
        plan(chapter, profile, network=network)


def test_what_another_process_trains_comes_last(tmp_path):
    state = sweep.SweepState(Store(tmp_path), None, None, [run(0), run(1)])
    with checkpoints.lock_run(run(0)):
        assert state._next_run() == run(1)
        state.waiting.remove(run(1))
        state.running = [pool.Worker(run(1))]
        assert state._next_run() is None
        state.running = []
        assert state._next_run() == run(0)


def test_whose_teacher_another_process_trains_comes_last(tmp_path):
    student = run(0, teacher=run(7), temperature=2.0, beta=1.0)
    state = sweep.SweepState(Store(tmp_path), None, None, [student, run(1)])
    with checkpoints.lock_run(run(7)):
        assert state._next_run() == run(1)
        state.waiting.remove(run(1))
        assert state._next_run() == student
    assert state._next_run() == student


def test_who_would_wait_for_the_same_teachers_logits_comes_later(tmp_path):
    """As long as the first has not done a step; but rather than none it is begun all the same."""
    first, second = (run(seed, teacher=run(7), temperature=2.0, beta=1.0) for seed in (0, 1))
    other = run(2, teacher=run(8), temperature=2.0, beta=1.0)
    state = sweep.SweepState(Store(tmp_path), None, None, [second, other])
    state.running = [pool.Worker(first)]
    assert state._next_run() == other
    state.running[0].step = 1
    assert state._next_run() == second
    state.running, state.waiting = [pool.Worker(first)], [second]
    assert state._next_run() == second


def test_what_is_recorded_is_skipped(tmp_path, capsys):
    store = Store(tmp_path)
    assert sweep.sweep([run(0)], store) == []
    before = store.get(run(0)).environment["recorded"], store.get(run(0)).folder.stat().st_mtime_ns
    assert sweep.sweep([run(0), run(1)], store) == []
    assert (store.get(run(0)).environment["recorded"], store.get(run(0)).folder.stat().st_mtime_ns) == before
    assert "1 of 1 done: digits alexnet-16 alpha=0 seed=1" in capsys.readouterr().err
    assert len(store) == 2


def test_who_is_stopped_as_soon_as_it_is_started_ends(tmp_path):
    """Before its process has come to what it is to do."""
    machine = pool.LocalPool(Store(tmp_path), 1)
    worker = machine.start(run(0, steps=50))
    machine.stop([worker])
    assert worker.stopped
    assert run(0, steps=50) not in machine.store


@pytest.mark.parametrize("code", [-signal.SIGTERM, 128 + signal.SIGTERM])
def test_who_is_stopped_by_another_has_failed(tmp_path, code):
    """Only what the sweep itself has stopped goes on; else one that is always stopped would be begun for ever."""
    worker = object.__new__(pool.WorkerProcess)
    pool.Worker.__init__(worker, run(0))
    worker.process, worker.stop_requested, worker.postponed = types.SimpleNamespace(exitcode=code), True, False
    assert worker.stopped
    worker.stop_requested = False
    assert not worker.stopped
    state = sweep.SweepState(Store(tmp_path), None, None, [])
    state.running = [worker]
    state.finish(worker, types.SimpleNamespace(print_line=print))
    assert state.waiting == []
    assert len(state.failures) == 1


def test_sigterm_is_the_exit_code_though_a_place_makes_another_exit_of_it(tmp_path):
    """As Ray does while it waits."""
    stopped = []
    state = sweep.SweepState(Store(tmp_path), None, types.SimpleNamespace(stop=stopped.append), [])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as exit_, state.stopping_at_exit():
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit:
            raise SystemExit(1) from None
    assert exit_.value.code == 128 + signal.SIGTERM
    assert stopped == [[]]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_budget_is_not_overrun_and_the_rest_goes_on_later(tmp_path, capsys):
    """The record says how fast the network is; a run of a million steps does not fit into a minute."""
    store = Store(tmp_path)
    long, short = run(1, steps=10**6), run(2)
    assert sweep.sweep([run(0), long, short], store, budget=60, jobs=1) == [long, short]
    assert run(0) in store
    assert "no more is begun, 2 missing" in capsys.readouterr().err
    assert sweep.sweep([run(0), short], store, budget=60) == []


def test_a_budget_ends_with_time_to_keep_checkpoints(tmp_path):
    for budget, seconds in ((60, 55), (10, 9)):
        assert sweep.SweepState(Store(tmp_path), budget, None, []).remaining == pytest.approx(seconds, abs=0.5)


def test_what_a_run_needs_is_judged_by_what_it_has_done_since_it_began(tmp_path):
    state, worker = sweep.SweepState(Store(tmp_path), None, None, []), pool.Worker(run(steps=100))
    worker.started -= 20
    assert state._seconds_left(worker) is None
    worker.step = 50  # from its checkpoint
    assert state._seconds_left(worker) is None
    worker.step, worker.first_report = 75, (50, worker.first_report[1] - 20)
    assert state._seconds_left(worker) == pytest.approx(20, abs=0.1)
    state.costs._speeds["digits", "alexnet-16"] = 8 / 4.0
    worker.step = 50
    assert state._seconds_left(worker) == pytest.approx(380, abs=1)


def test_what_is_not_whole_is_no_measure_and_no_hindrance(tmp_path):
    """A record on its way here, and a folder that is none."""
    store = Store(tmp_path / "results")
    sweep.sweep([run(0)], store)
    expected = sweep.Costs(store).seconds(run(1))
    (store.path / "digits-mlp" / "0123456789ab").mkdir(parents=True)
    (store.path / "digits-mlp" / ".ipynb_checkpoints").mkdir()
    assert sweep.Costs(store).seconds(run(1)) == expected
    assert "missing" in sweep.run_table([run(1)], store)
    assert sweep.sweep([run(1)], store) == []
    assert len(store.verify()) == 1


def test_a_run_of_unknown_length_is_stopped_when_the_budget_ends_and_goes_on(tmp_path, capsys, monkeypatch):
    """Whether it had begun its steps by then or not."""
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    long = run(1, steps=10**6)
    assert sweep.sweep([long], Store(tmp_path), budget=4) == [long]
    assert "and goes on next time" in capsys.readouterr().err


def test_nothing_is_begun_without_time(tmp_path):
    store = Store(tmp_path)
    assert sweep.sweep([run()], store, budget=0) == [run()]
    assert len(store) == 0


def test_workers_at_once_record_what_a_run_alone_does(tmp_path):
    """Exactly, at an equal number of threads: here half of the cores, for each of two."""
    together, alone = Store(tmp_path / "together"), Store(tmp_path / "alone")
    runs = [run(seed, steps=20, learning_rate=0.01) for seed in range(4)]
    assert sweep.sweep(runs, together, jobs=2) == []
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, pool.cores() // 2))
    obtain(runs, alone, progress=False)
    torch.set_num_threads(threads)
    for first, second in zip(together, alone, strict=True):
        assert (first.run, first.metrics, first.history) == (second.run, second.metrics, second.history)
        assert first.environment["threads"] == second.environment["threads"]
        for name, array in second.arrays.items():
            assert first.arrays[name].tobytes() == array.tobytes(), name


def test_students_begin_when_their_teacher_has_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    events, finish = [], sweep.SweepState.finish

    class Noted(pool.WorkerProcess):
        def __init__(self, run, *rest):
            events.append(run)
            super().__init__(run, *rest)

    monkeypatch.setattr(pool, "WorkerProcess", Noted)
    monkeypatch.setattr(
        sweep.SweepState, "finish", lambda state, worker, table: [events.append("end"), finish(state, worker, table)]
    )
    students = [run(seed, teacher=run(), temperature=2.0, beta=1.0) for seed in (0, 1)]
    assert sweep.sweep([run(), *students], Store(tmp_path / "results"), jobs=3) == []
    assert events == [run(), "end", *students, "end", "end"]


def test_a_run_that_fails_holds_up_no_other(tmp_path, capsys):
    bad = run(0, steps=30, learning_rate=1e9)
    with pytest.raises(UserError, match="1 of the runs failed: .*not finite any more at step") as caught:
        sweep.sweep([bad, run(1)], Store(tmp_path))
    assert "\n" not in str(caught.value)
    assert [record.run for record in Store(tmp_path)] == [run(1)]


def test_on_a_terminal_it_shows_what_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes Rich take standard error for a terminal
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    sweep.sweep([run(1, steps=10**6), run(2)], Store(tmp_path / "results"), budget=6, jobs=1)
    shown = capsys.readouterr().err
    assert "0 of 2 done, 1 running; 2 of unknown length" in shown
    assert f"{run(1, steps=10**6)}" in shown


def test_the_table_says_what_is_missing_and_what_it_takes(tmp_path):
    store = Store(tmp_path)
    sweep.sweep([run(0)], store)
    first, second, third, last = sweep.run_table([run(0), run(1, steps=20_000), student()], store).splitlines()
    assert first.startswith("recorded")
    facts = store.get(run(0)).environment
    assert second.split()[:3] == ["missing", f"{20_000 * 8 / facts['images_per_second']:.0f}", "s"]
    assert second.split()[3:5] == [str(facts["peak_memory_mb"]), "MB"]
    assert third.split()[:3] == ["missing", "?", "?"]
    assert last.endswith("and 1 run of unknown length")


def student() -> Run:
    recipe = Recipe(steps=2, batch=8)
    return Run(dataset="digits", model="mlp-800", alpha=0.0, seed=0, recipe=recipe, examples=20)


def test_what_another_process_trains_is_left_for_the_end(tmp_path, monkeypatch):
    """The first run is locked until the second has been trained."""
    lock = contextlib.ExitStack()
    lock.enter_context(checkpoints.lock_run(run(0)))
    trained = []

    def train(run, *arguments, **settings):
        trained.append(run.seed)
        lock.close()
        return loop.train(run, *arguments, **settings)

    monkeypatch.setattr("lsbook.training.train", train)
    records = obtain([run(0), run(1), run(2)], Store(tmp_path))
    assert [record.run.seed for record in records] == [0, 1, 2]
    assert trained == [1, 0, 2]


def ended_process(error: str | None, code: int = 1):
    """A process that has ended with this error, or this exit code."""
    reader, writer = multiprocessing.Pipe()
    writer.close()
    worker = object.__new__(pool.WorkerProcess)
    pool.Worker.__init__(worker, run(0))
    worker.process = types.SimpleNamespace(sentinel=reader, is_alive=lambda: False, exitcode=code)
    worker.error, worker.postponed, worker.stop_requested, worker.receive = error, False, False, lambda: None
    return worker


def test_without_memory_for_all_there_are_fewer(tmp_path):
    machine = pool.LocalPool(Store(tmp_path), 3)
    full, wrong, fine = map(
        ended_process, ("CUDA out of memory. Tried to allocate 2 GB", "no such file", None), (1, 1, 0)
    )
    assert machine.wait([full, wrong, fine], seconds=0) == [full, wrong, fine]
    assert [worker.postponed for worker in (full, wrong, fine)] == [True, False, False]
    assert machine.count == 2
    single = ended_process("out of memory")  # no other will make room for it
    machine.wait([single], seconds=0)
    assert (single.postponed, machine.count) == (False, 2)
    killed, fine = ended_process(None, code=-signal.SIGKILL), ended_process(None, code=0)  # by the system
    machine.wait([killed, fine], seconds=0)
    assert (killed.postponed, fine.postponed, machine.count) == (True, False, 1)
    assert killed.error == killed.failure()
    assert "killed, as the system does when it is out of memory" in killed.failure()


def test_what_a_process_says_at_its_end_is_heard(tmp_path):
    """However late: here, while it is asked whether it has ended."""
    worker = ended_process(None)
    del worker.receive
    worker._connection, sender = multiprocessing.Pipe(duplex=False)
    worker.process.is_alive = lambda: sender.send(("error", "out of memory")) or False
    assert pool.LocalPool(Store(tmp_path), 2).wait([worker, ended_process(None, code=0)], seconds=0)
    assert worker.postponed


@pytest.mark.parametrize(("code", "served"), [(0, True), (1, False)])
def test_processes_share_a_gpu_by_cudas_service_where_it_starts(tmp_path, monkeypatch, code, served):
    """A stand-in for its control program writes down how it is called, and where."""
    control, calls = tmp_path / "nvidia-cuda-mps-control", tmp_path / "calls"
    control.write_text(
        f'#!/bin/sh\necho "$1 $CUDA_MPS_PIPE_DIRECTORY" >> {calls}\n[ "$1" = -d ] && exit {code}\ncat >> {calls}\n'
    )
    control.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pool.shared_gpu(Store(tmp_path / "results"), 4) as machine:
        places = set(machine.environment.values())
        assert bool(places) == served
    started, *ended = calls.read_text().splitlines()
    assert started.startswith("-d /")
    assert ended == ([f" {places.pop()}", "quit"] if served else [])


@pytest.mark.parametrize(("own", "found"), [(None, "glibc.malloc.hugetlb=1"), ("glibc.malloc.check=0", None)])
def test_processes_ask_for_large_pages_unless_the_reader_has_settings(own, found):
    """They are forked from a server, which has them from its start; this process keeps its own."""
    code = """if True:
        import os, pathlib
        from lsbook.runner import pool
        pool.PRELOADED.clear()
        worker = pool.forkserver_context().Process(target=len, args=("",))
        worker.start()
        worker.join()  # so the server has begun
        server = pathlib.Path(f"/proc/{pool.forkserver._forkserver._forkserver_pid}/environ").read_text().split("\\0")
        found = [v.partition("=")[2] for v in server if v.startswith("GLIBC_TUNABLES=")]
        print(os.environ.get("GLIBC_TUNABLES"), *found)
    """
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {} if own is None else {"GLIBC_TUNABLES": own}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [str(own), found or own]
