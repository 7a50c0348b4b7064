"""Work that a GPU repeats is the work that it does step by step. All of these need a GPU."""

import dataclasses
import signal

import numpy as np
import pytest
import torch

from lsbook.core.config import Run
from lsbook.data.images import load
from lsbook.recipes import profiles
from lsbook.training import Splits, train
from lsbook.training.engine import checkpoints, cuda_graphs, loop
from lsbook.training.images.task import ImageTask

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
_, SMOKE = profiles.RECIPES["smoke", "digits", "alexnet-16"]
RECIPE = dataclasses.replace(SMOKE, steps=40, clip_norm=1.0, weight_decay=1e-3, precision="float32")


def of(model: str, **settings) -> Run:
    recipe = dataclasses.replace(RECIPE, **settings)
    return Run(dataset="digits", model=model, alpha=0.1, seed=0, recipe=recipe, examples=400)


@pytest.fixture(scope="module")
def data() -> Splits:
    return Splits(load("digits", "train").first(400), load("digits", "heldout"), load("digits", "test"))


@pytest.fixture(autouse=True)
def settled(tmp_path, monkeypatch):
    """Algorithms that give the same numbers each time, and a folder of its own for checkpoints."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))


def alike(first, second) -> None:
    """The histories, within a thousandth or, of shares and nats, 0.005."""
    for name, values in first.history.items():
        np.testing.assert_allclose(second.history[name], values, rtol=1e-3, atol=5e-3)


ADAM = {"optimiser": "adam", "learning_rate": 1e-3}


@pytest.mark.parametrize(
    ("model", "settings"), [("alexnet-16", {}), ("resnet56", {}), ("mlp-dropout", {}), ("alexnet-16", ADAM)]
)
def test_a_repeated_training_is_one_step_by_step(data, model, settings, monkeypatch, capsys):
    repeated = train(of(model, **settings), data, progress=False)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(cuda_graphs, "WARM_UP_CALLS", RECIPE.steps)
    alike(train(of(model, **settings), data, progress=False), repeated)


def test_bfloat16_is_repeated_too(data, capsys):
    assert train(of("alexnet-16", precision="mixed"), data, progress=False).metrics["train_accuracy"] > 0.3
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("settings", [{}, ADAM])
def test_an_interrupted_training_goes_on_from_its_checkpoint(data, settings, monkeypatch, capsys):
    run = of("alexnet-16", **settings)
    whole, advance = train(run, data, progress=False), loop._TrainingState.train_step
    checkpoints.delete_checkpoints(run)

    def interrupted(course):
        if course.step == 11:
            monkeypatch.setattr(loop._TrainingState, "train_step", advance)
            signal.raise_signal(signal.SIGTERM)
        advance(course)

    monkeypatch.setattr(loop._TrainingState, "train_step", interrupted)
    with pytest.raises(SystemExit):
        train(run, data, progress=False)
    alike(whole, train(run, data, progress=False))
    assert "goes on after step 16" in capsys.readouterr().err  # eight between two looks at signals


@pytest.mark.usefixtures("stream")
@pytest.mark.parametrize("settings", [{}, ADAM])
def test_no_step_waits_for_the_gpu(data, settings):
    trainer = ImageTask(of("alexnet-16", **settings), data, torch.device("cuda"), None).trainer
    for step in range(2 * cuda_graphs.WARM_UP_CALLS):
        trainer.step(step)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(2 * cuda_graphs.WARM_UP_CALLS, RECIPE.steps):
            trainer.step(step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def stream():
    """One of its own, as each training has."""
    with torch.cuda.stream(torch.cuda.Stream()):
        yield


@pytest.mark.usefixtures("stream")
def test_what_is_repeated_is_done_each_time():
    count = torch.zeros((), device="cuda")
    add = cuda_graphs.GraphedCallable(lambda: count.add_(1))
    assert [float(add()) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert add.graph


@pytest.mark.usefixtures("stream")
def test_what_cannot_be_recorded_is_said_once_and_done_each_time(capsys):
    count = torch.zeros((), device="cuda")
    add = cuda_graphs.GraphedCallable(lambda: count.add_(count.new_ones(()).item()))
    assert [float(add()) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert capsys.readouterr().err.count("this run goes on slower") == 1
