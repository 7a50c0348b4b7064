"""The table of costs, on records of known times."""

import dataclasses

import pytest

from lsbook.chapters import costs, plans
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.recipes import profiles

ALEXNET, RESNET = ("CIFAR-10, AlexNet", "6,240"), ("CIFAR-10, ResNet-56", "2,340")


@pytest.fixture
def store(tmp_path, put):
    """Of AlexNet three runs by one machine and two by a faster one; nothing of ResNet-56 but a run of 10 steps."""
    store = Store(tmp_path)
    for seed, seconds in enumerate([100.0, 900.0, 300.0]):
        run = profiles.run("laptop", "cifar10", "alexnet", alpha=0.1, seed=seed)
        probed = dataclasses.replace(run, probe="logit-differences")  # as one of the chapters asks
        put(store, probed, training_seconds=seconds, device="slow", threads=2)
    for seed in (3, 4):
        run = profiles.run("laptop", "cifar10", "alexnet", alpha=0.1, seed=seed)
        put(store, run, training_seconds=10.0, device="fast")
    run = profiles.run("laptop", "cifar10", "resnet56", alpha=0.1, seed=0, settings={"steps": "10"})
    put(store, run, training_seconds=5.0, device="fast", precision="bfloat16")
    return store


def cells(store: Store, profile: str = "laptop") -> dict[tuple[str, str], dict[str, str]]:
    """Row by data and network, and steps: cell by the name of its column."""
    found = costs.table(profile, store)
    rows = [dict(zip(found.header, row, strict=True)) for row in found.rows]
    return {(row["data, network"], row["steps"]): row for row in rows}


def test_a_run_costs_the_median_on_the_machine_that_trained_most(store):
    row = cells(store)[ALEXNET]
    assert (row["profile"], row["seconds a run"]) == ("laptop", "300")
    assert row["trained on"] == "2 threads, slow, float32"
    asked = {run for chapter in plans.registered() for run in plans.plan(chapter, "laptop")}
    keys = {run.key for run in asked if (run.dataset, run.model, run.recipe.steps) == ("cifar10", "alexnet", 6240)}
    assert row["recorded"] == f"3 of {len(keys)}"  # the other two lack what is measured along the training


def test_chapters_cost_the_core_hours_of_their_runs(put, tmp_path):
    """Two chapters share a run, which the last row has once; one that is not recorded costs nothing."""
    store = Store(tmp_path)
    shared, alone = (profiles.run("laptop", "cifar10", "alexnet", alpha=alpha, seed=0) for alpha in (0.1, 0.15))
    put(store, shared, training_seconds=3_600.0, threads=2)
    put(store, alone, training_seconds=1_800.0, threads=1, processes=3)
    found = costs.of_chapters("laptop", store)
    assert found.header == ("chapter", "recorded runs", "cores of a run", "core hours")
    rows = {name: tuple(cells) for name, *cells in found.rows}
    assert rows["projections"] == ("1", "2", "2.0")
    assert rows["calibration"] == ("2", "2 and 3", "3.5")
    assert "machine translation" not in rows
    assert list(rows)[-1] == "all"
    assert rows["all"] == ("2", "2 and 3", "3.5")
    assert costs.of_chapters("paper", Store(tmp_path / "empty")).rows == (("all", "0", "", "0.0"),)


def test_runs_of_another_length_tell_by_their_steps(store):
    """Half a second a step; 2 340 and 64 000 steps."""
    row = cells(store)[RESNET]
    assert (row["recorded"].split()[0], row["seconds a run"]) == ("0", "1,170")
    assert row["trained on"] == "1 thread, fast, bfloat16; estimated from other lengths"
    assert cells(store, "paper")["CIFAR-10, ResNet-56", "64,000"]["seconds a run"] == "32,000"


def test_a_network_without_records_and_batches_of_another_size_tell_nothing(store, put):
    other = profiles.run("laptop", "mnist", "mlp", alpha=0.1, seed=0, settings={"batch": "7", "steps": "9"})
    put(store, other, training_seconds=5.0)
    rows = cells(store)
    row = rows["MNIST, MLP 2 × 1200", "3,120"]
    assert (row["seconds a run"], row["trained on"]) == ("—", "not recorded yet")


def test_operations_are_shown_where_they_are_recorded(store, put):
    assert "operations a run" not in costs.table("laptop", store).header
    counted = profiles.run("laptop", "cifar10", "alexnet", alpha=0.1, seed=5)
    put(store, counted, flops_per_example=1_000, device="slow", threads=2)
    rows = cells(store)
    assert rows[ALEXNET]["operations a run"] == "8.0e+08"  # 6 240 steps × 128 images × 1 000
    assert rows[RESNET]["operations a run"] == "—"


def test_each_planned_run_is_counted_once_and_found_under_its_earlier_name(store, put):
    [first, *_] = dict.fromkeys(plans.plan("mutual_information", "laptop"))
    [_, earlier] = dataclasses.replace(first, probe="none").namesakes()
    put(store, earlier)
    recorded = store.frame()
    planned = costs.planned("laptop", store, recorded, plans.registered())
    assert planned.index.is_unique
    assert set(planned.index) == {run.key for chapter in plans.registered() for run in plans.plan(chapter, "laptop")}
    assert planned.loc[first.key, "record"] == earlier.key
    assert set(planned["record"].dropna()) <= set(recorded.index)


def test_the_book_shows_all_profiles_or_one(tmp_path):
    for profile, names in {"auto": {"smoke", "laptop", "paper"}, "paper": {"paper"}}.items():
        found = costs.table(profile, Store(tmp_path))
        assert set(found.frame["profile"]) == names
        assert {row[-1] for row in found.rows} == {"not recorded yet"}
    with pytest.raises(UserError, match="unknown profile 'huge': choose from auto, smoke, laptop, paper"):
        costs.table("huge")
