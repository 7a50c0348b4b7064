"""Sweeps: the order of the plan, what is skipped, and where a budget stops."""

import pytest

from lsbook.errors import UserError
from lsbook.experiments import sweep
from lsbook.experiments.profiles import PROFILES
from lsbook.experiments.sweep import CHAPTERS
from lsbook.run import Recipe, Run
from lsbook.store import Store


def run(seed=0, steps=2, **fields) -> Run:
    recipe = Recipe(steps=steps, batch=8)
    return Run(dataset="digits", model="alexnet-16", alpha=0.0, seed=seed, recipe=recipe, examples=20, **fields)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_first_seeds_come_first_and_teachers_before_students(chapter, profile):
    runs = sweep.plan(chapter, profile)
    seeds = [run.seed for run in runs]
    assert seeds == sorted(seeds)
    assert len(set(runs)) == len(runs)
    for place, student in enumerate(runs):
        assert student.teacher is None or student.teacher in runs[:place]


def test_named_seeds_are_taken():
    assert {run.seed for run in sweep.plan("projections", "paper", "7,9")} == {7, 9}


@pytest.mark.parametrize(("chapter", "profile"), [("projection", "paper"), ("projections", "papers")])
def test_unknown_names_are_refused(chapter, profile):
    with pytest.raises(UserError, match="choose from"):
        sweep.plan(chapter, profile)


def test_what_is_recorded_is_skipped(tmp_path, capsys):
    store = Store(tmp_path)
    assert sweep.sweep([run(0)], store) == []
    before = store.get(run(0)).environment["recorded"], store.get(run(0)).folder.stat().st_mtime_ns
    assert sweep.sweep([run(0), run(1)], store) == []
    assert (store.get(run(0)).environment["recorded"], store.get(run(0)).folder.stat().st_mtime_ns) == before
    assert "1 of 1 done: digits alexnet-16 alpha=0 seed=1" in capsys.readouterr().err
    assert len(store) == 2


def test_a_budget_is_not_overrun_and_the_rest_goes_on_later(tmp_path, capsys):
    """The record says how fast the network is; a run of a million steps does not fit into a minute."""
    store = Store(tmp_path)
    long, short = run(1, steps=10**6), run(2)
    assert sweep.sweep([run(0), long, short], store, budget=60) == [long, short]
    assert run(0) in store
    assert "stopped, 2 missing" in capsys.readouterr().err
    assert sweep.sweep([run(0), short], store, budget=60) == []


def test_nothing_is_begun_without_time(tmp_path):
    store = Store(tmp_path)
    assert sweep.sweep([run()], store, budget=0) == [run()]
    assert len(store) == 0


def test_the_table_says_what_is_missing(tmp_path):
    store = Store(tmp_path)
    sweep.sweep([run(0)], store)
    first, second, third, last = sweep.table([run(0), run(1, steps=20_000), student()], store).splitlines()
    assert first.startswith("recorded")
    speed = store.get(run(0)).environment["images_per_second"]
    assert second.split()[:3] == ["missing", f"{20_000 * 8 / speed:.0f}", "s"]
    assert third.split()[:2] == ["missing", "?"]
    assert last.endswith("and 1 runs of unknown length")


def student() -> Run:
    recipe = Recipe(steps=2, batch=8)
    return Run(dataset="digits", model="mlp-800", alpha=0.0, seed=0, recipe=recipe, examples=20)
