"""Runs that take turns in one process: the same records as alone; neither an end nor a failure disturbs the others."""

import contextlib
import dataclasses
import signal
import time

import pytest
import torch

from lsbook.errors import UserError
from lsbook.experiments import lanes, sweep
from lsbook.experiments.lanes import Lanes
from lsbook.experiments.obtain import obtain
from lsbook.run import Recipe, Run
from lsbook.store import Store
from lsbook.training import checkpoints, precision, teachers


def run(seed=0, model="alexnet-16", steps=12, **fields) -> Run:
    taught = {name: fields.pop(name) for name in ("teacher", "temperature", "beta") if name in fields}
    recipe = Recipe(**{"steps": steps, "batch": 8, "learning_rate": 0.01} | fields)
    alpha = 0.0 if taught else 0.1
    return Run(dataset="digits", model=model, alpha=alpha, seed=seed, recipe=recipe, examples=40, **taught)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Sweeps take turns, three at a time, as they do on a GPU."""
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(sweep, "_place", lambda on, store, jobs, _: contextlib.nullcontext(Lanes(store, jobs)))


def test_turns_give_what_each_gives_alone(tmp_path):
    """Networks of several kinds and lengths, one that draws random numbers as it trains, more runs than places."""
    runs = [run(), run(1, steps=5), run(model="mlp-dropout"), run(1, model="mlp-dropout", steps=20), run(2)]
    together, alone = Store(tmp_path / "together"), Store(tmp_path / "alone")
    assert sweep.sweep(runs, together, jobs=3) == []
    for one in runs:
        [record] = obtain([one], alone, progress=False)
        found = together.get(one)
        assert (found.metrics, found.history) == (record.metrics, record.history)
        for name, array in record.arrays.items():
            assert found.arrays[name].tobytes() == array.tobytes()
    assert together.verify() == []


def test_one_that_fails_holds_up_no_other(tmp_path):
    store, wild = Store(tmp_path / "results"), run(9, learning_rate=1e9, momentum=0.9)
    with pytest.raises(UserError, match="1 of the runs failed: .* is not finite any more"):
        sweep.sweep([run(), wild, run(1)], store, jobs=3)
    assert [one in store for one in (run(), wild, run(1))] == [True, False, True]


def test_they_stop_when_the_budget_ends_and_go_on(tmp_path, monkeypatch):
    """The budget's clock is moved to its end when one of them has had 12 turns."""
    store, runs = Store(tmp_path / "results"), [run(steps=10**6), run(1, steps=10**6)]
    whole, now = lanes.Lane.turn, time.monotonic

    def turn(lane):
        if lane.turns == 11:
            monkeypatch.setattr(time, "monotonic", lambda: now() + 2_000)
        return whole(lane)

    monkeypatch.setattr(lanes.Lane, "turn", turn)
    assert set(sweep.sweep(runs, store, budget=1_000, jobs=2)) == set(runs)
    steps = [checkpoints.latest(one).step for one in runs]
    assert min(steps) > 0
    assert max(steps) - min(steps) <= 1  # turns go round


def test_a_run_that_is_longer_than_the_budget_gets_on_each_time(tmp_path, monkeypatch):
    """Though its length is known; nor does what is kept of it count as work to be done."""
    store, long = Store(tmp_path / "results"), run(1, steps=10**6)
    sweep.sweep([run(0)], store, jobs=1)
    whole, now, moved, done = lanes.Lane.turn, time.monotonic, [0.0], [0]

    def turn(lane):
        moved[0] += 1_000 * (lane.turns == 5)
        return whole(lane)

    monkeypatch.setattr(lanes.Lane, "turn", turn)
    monkeypatch.setattr(time, "monotonic", lambda: now() + moved[0])
    for _ in range(2):
        assert sweep.sweep([long, run(2)], store, budget=500, jobs=1) == [long, run(2)]
        done.append(checkpoints.steps_done(long))
        speed = store.get(run(0)).environment["images_per_second"]
        assert sweep.Costs(store).seconds(long) == pytest.approx((10**6 - done[-1]) * 8 / speed)
    assert 0 < done[1] < done[2]


def test_a_signal_lets_each_keep_a_checkpoint(tmp_path, monkeypatch):
    store, runs, whole = Store(tmp_path / "results"), [run(), run(1)], lanes.Lane.turn

    def turn(lane):
        if lane.run.seed == 1 and lane.turns == 7:
            signal.raise_signal(signal.SIGTERM)
        return whole(lane)

    monkeypatch.setattr(lanes.Lane, "turn", turn)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        sweep.sweep(runs, store, jobs=2)
    assert [checkpoints.latest(one).step for one in runs] == [7, 7]
    assert signal.getsignal(signal.SIGTERM) == before
    assert len(store) == 0


def test_students_of_one_teacher_wait_for_it_by_turns(tmp_path):
    """The teacher is recorded, but its weights are not here: the first student trains it anew, the second waits."""
    teacher, store = run(), Store(tmp_path / "results")
    obtain([teacher], store, progress=False)
    teachers.weights_path(teacher).unlink()
    taught = [run(seed, teacher=teacher, temperature=2.0, beta=0.5) for seed in (1, 2)]
    assert sweep.sweep(taught, store, jobs=2) == []
    assert all(one in store for one in taught)


def test_torchs_own_errors_end_one_run_only(tmp_path, monkeypatch):
    """In a turn or while a checkpoint is kept."""
    store, runs, whole = Store(tmp_path / "results"), [run(), run(1)], lanes.Lane.turn

    def turn(lane):
        if lane.run.seed == 1 and lane.turns == 3:
            lane._work.close()
            lane._work = raising()
        return whole(lane)

    def raising():
        raise RuntimeError("an illegal access")
        yield

    monkeypatch.setattr(lanes.Lane, "turn", turn)
    with pytest.raises(UserError, match="1 of the runs failed: .*an illegal access"):
        sweep.sweep(runs, store, jobs=2)
    assert [one in store for one in runs] == [True, False]

    class Full:
        def close(self):
            raise RuntimeError("an illegal access")

    place = Lanes(store, jobs=2)
    full, other = place.begin(run(2)), place.begin(run(3))
    other.turn()
    full._work = Full()
    place.stop([full, other])
    assert (full.stopped, full.failure(), other.stopped) == (False, "an illegal access", True)


def test_without_memory_for_all_there_are_fewer_and_each_is_recorded(tmp_path, monkeypatch, capsys):
    """One of three finds none in its fourth turn, and one of the two that are left then; alone it would have failed."""
    store, whole, failed = Store(tmp_path / "results"), lanes.Lane.turn, []
    place = Lanes(store, jobs=3)

    def turn(lane):
        if lane.turns >= 3 and len(failed) < 2 and place.most == (lanes.MOST, 2)[len(failed)]:
            failed.append(lane.run)
            lane._work.close()
            lane._work = raising()
        return whole(lane)

    def raising():
        raise torch.OutOfMemoryError("CUDA out of memory.")
        yield

    monkeypatch.setattr(lanes.Lane, "turn", turn)
    monkeypatch.setattr(sweep, "_place", lambda *_: contextlib.nullcontext(place))
    assert sweep.sweep([run(seed, steps=40) for seed in range(3)], store) == []
    assert len(store) == 3
    assert len(failed) == 2
    assert place.count == 1
    assert capsys.readouterr().err.count("and goes on later: CUDA out of memory.") == 2


def test_after_a_trial_as_many_run_as_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "fitting", lambda: 3)
    place, counts = Lanes(Store(tmp_path / "results")), []
    first = place.begin(dataclasses.replace(run(), alpha=0.2))
    for _ in range(lanes.TRIAL):
        counts.append(place.count)
        assert place.ended([first], seconds=0) == []
    assert counts == [1] * lanes.TRIAL
    assert place.count == 3
    monkeypatch.setattr(precision, "fitting", lambda: pytest.fail("measured with more than one at work"))
    second = place.begin(dataclasses.replace(run(1), alpha=0.2))
    for _ in range(lanes.TRIAL):
        place.ended([first, second], seconds=0)
    assert place.count == 3
    place.stop([first, second])
