"""Work that a GPU repeats is the work that it does step by step. All of these need a GPU."""

import dataclasses

import numpy as np
import pytest
import torch

from lsbook.data.images import load
from lsbook.experiments import profiles
from lsbook.run import Run
from lsbook.training import Splits, graphs, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
_, SMOKE = profiles.RECIPES["smoke", "digits", "alexnet-16"]
RECIPE = dataclasses.replace(SMOKE, steps=40, clip_norm=1.0, weight_decay=1e-3, precision="float32")


def outcome(model: str):
    data = Splits(load("digits", "train").first(400), load("digits", "heldout"), load("digits", "test"))
    run = Run(dataset="digits", model=model, alpha=0.1, seed=0, recipe=RECIPE, examples=400)
    return train(run, data, device=torch.device("cuda"), progress=False)


@pytest.mark.parametrize("model", ["alexnet-16", "resnet56", "mlp-dropout"])
def test_a_repeated_training_is_one_step_by_step(model, monkeypatch, capsys):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    repeated = outcome(model)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(graphs, "FIRST", RECIPE.steps)
    plain = outcome(model)
    for name, values in plain.history.items():
        np.testing.assert_allclose(repeated.history[name], values, rtol=1e-3, atol=5e-3)


@pytest.fixture
def stream():
    """One of its own, as each training has."""
    with torch.cuda.stream(torch.cuda.Stream()):
        yield


@pytest.mark.usefixtures("stream")
def test_what_is_repeated_is_done_each_time():
    count = torch.zeros((), device="cuda")
    add = graphs.Repeated(lambda: count.add_(1))
    assert [float(add()) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert add.graph


@pytest.mark.usefixtures("stream")
def test_what_cannot_be_recorded_is_said_once_and_done_each_time(capsys):
    count = torch.zeros((), device="cuda")
    add = graphs.Repeated(lambda: count.add_(count.new_ones(()).item()))
    assert [float(add()) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert capsys.readouterr().err.count("this run goes on slower") == 1
