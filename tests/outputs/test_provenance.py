"""What was trained on what, how often, on which machines and with which code."""

from dataclasses import replace
from pathlib import Path

from lsbook.core.config import Recipe, Run
from lsbook.core.store import Record
from lsbook.outputs.provenance import describe_records

TEACHER = Run(dataset="mnist", model="mlp", alpha=0.1, seed=0, recipe=Recipe(steps=1, batch=100), examples=100)


def record(run: Run, device: str = "a CPU", commit: str = "c0") -> Record:
    environment = {"data": {"variant": "a variant"}, "precision": "float32", "torch": "2.0"}
    return Record(run, {}, {}, environment | {"device": device, "commit": commit}, Path())


def test_seeds_are_counted_a_setting():
    def made_from(*runs: Run) -> str:
        return describe_records(map(record, runs))

    seeds = [replace(TEACHER, seed=seed) for seed in range(3)]
    assert "MLP 2 × 1200 on MNIST (a variant), 100 training images, 3 seeds; trained on" in made_from(*seeds, seeds[0])
    assert "100 training images, 1 to 3 seeds;" in made_from(*seeds, replace(TEACHER, alpha=0.2))
    assert "100 training images, 1 seed;" in made_from(TEACHER, replace(TEACHER, alpha=0.2, seed=1))
    taught = [replace(run, alpha=0.0, teacher=run, temperature=2.0, beta=0.5) for run in seeds]
    assert "100 training images, 3 seeds;" in made_from(*taught)


def test_machines_are_named_and_many_commits_counted():
    records = [
        record(replace(TEACHER, seed=seed), device, f"c{seed}")
        for seed, device in enumerate(("a CPU", "a GPU", "a CPU"))
    ]
    last = "; trained on a CPU and a GPU, float32, torch 2.0, "
    assert describe_records(records[:2]).endswith(last + "commit c0 and c1.")
    assert describe_records(records).endswith(last + "3 commits.")
