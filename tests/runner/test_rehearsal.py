"""The paper profile before a GPU is at hand: every setting, cut to 200 steps, is trained, recorded, copied, checked."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from lsbook.chapters.plans import plan, registered
from lsbook.core.config import Run
from lsbook.core.store import Store
from lsbook.runner.obtain import obtain

STEPS = 200
TAUGHT = 256  # images of ResNet-56 as a teacher and of its students: it sees 162 views of each
FACTOR = 0.1  # of smoothing, or the softness of a teacher: it stands for all others, which train alike
AT_HAND = ("mnist", "cifar10", "tiny-imagenet-32", "multi30k")


def cut(run: Run) -> Run:
    """A run of 200 steps, with few images where a teacher sees many views; everything else is the paper profile's."""
    run = replace(run, recipe=replace(run.recipe, steps=STEPS))
    if not run.teachers:
        return run
    examples = TAUGHT if run.teachers[0].model == "resnet56" else run.examples
    others = {name: getattr(run, name) for name in ("teacher", "as_soft_as")}
    less = {name: replace(cut(other), examples=examples) for name, other in others.items() if other}
    return replace(run, examples=examples, **less)


def settings() -> dict[tuple[str, str], list[Run]]:
    """Data set and network, or "student" after that of one -> runs with the first seed."""
    found = {}
    for run in dict.fromkeys(run for chapter in registered() for run in plan(chapter, "paper", "0")):
        factors = {run.alpha, *(teacher.alpha for teacher in run.teachers)}
        if run.dataset == "mnist" or (run.dataset in AT_HAND and FACTOR in factors):
            found.setdefault((run.dataset, run.model + " student" * bool(run.teachers)), []).append(cut(run))
    return found


@pytest.mark.long
@pytest.mark.parametrize(
    ("dataset", "network"), [pytest.param(*found, marks=pytest.mark.real_data(found[0])) for found in settings()]
)
def test_paper_settings(dataset, network, tmp_path, results):
    runs = settings()[dataset, network]
    for record in obtain(runs, progress=False):
        assert np.isfinite(list(record.metrics.values())).all()
        assert np.isfinite(record.history["loss"]).all()
        assert record.history["step"][-1] == STEPS
    copy = Store(shutil.copytree(results, tmp_path / "copy"))
    assert copy.verify() == []
    assert all(run in copy for run in runs)
