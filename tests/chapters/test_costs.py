"""The cost model: its facts against PyTorch's counters, its arithmetic against hand-made machines and records."""

import math

import pytest
import torch

from benchmarks.limits import count_step
from lsbook.chapters import costs
from lsbook.core.config import Run
from lsbook.core.errors import UserError
from lsbook.core.registry import CORPORA, DATASETS, MODELS
from lsbook.core.store import Store
from lsbook.recipes import profiles
from lsbook.training.images import augmentation

TOKENS = 30  # of each side of a pair


def a_run(dataset: str, model: str) -> Run:
    profile = "paper" if ("paper", dataset, model) in profiles.RECIPES else "laptop"
    return profiles.run(profile, dataset, model, alpha=0.1, seed=0)


@pytest.mark.parametrize(("dataset", "model"), costs.NETWORKS)
def test_networks_are_as_pytorch_counts_them(dataset, model):
    run = a_run(dataset, model)
    if dataset in CORPORA:
        network, sides = MODELS[model].build(run.vocabulary), torch.randint(4, 800, (2, 2, TOKENS))
        examples = sides.numel()
    else:
        shape = DATASETS[dataset].shape or (3, run.recipe.size, run.recipe.size)
        shape = augmentation.of(run.recipe).shape(shape) if DATASETS[dataset].shape else shape
        network, sides = MODELS[model].build(shape, len(DATASETS[dataset].classes)), [torch.randn(2, *shape)]
        examples = 2
    found, weights = costs.NETWORKS[dataset, model], sum(weight.numel() for weight in network.parameters())
    counts = count_step(network, lambda: network(*sides).logsumexp(dim=-1).mean(), states=0)
    assert found.weights == weights
    assert counts.flops == examples * found.flops
    kept = counts.bytes / 2 / costs.FLOAT - 2 * weights
    assert kept == pytest.approx(examples * found.activations, rel=1e-4)


def test_a_step_takes_its_operations_its_traffic_and_its_pause():
    """A network of 100 operations, 10 activations and 5 weights, in a recipe with momentum and batches of 128."""
    run = a_run("mnist", "mlp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(costs.NETWORKS, ("mnist", "mlp"), costs.Network(100, 10, 5))
        machine = costs.Machine("a machine", flops=1000, bandwidth=500, share=0.5, pause=0.25)
        moved = 4 * (2 * 128 * 10 + 2 * 3 * 5)  # weights, gradients, momenta: read and written
        step = (128 * 100 / 1000 + moved / 500) / 0.5 + 0.25
        assert machine.seconds(run) == pytest.approx(run.recipe.steps * step)


def test_cores_in_bfloat16_multiply_faster_and_move_half_as_much():
    two, same = costs.cores(2), costs.cores(2, "bfloat16")
    assert same.flops > 2 * two.flops
    assert (two.kept, same.kept) == (4, 2)


@pytest.fixture
def store(tmp_path, put):
    """Three networks that reach 20, 40 (bfloat16) and 80 % of what a thread allows; the last has a slower one too."""
    store = Store(tmp_path)
    names = [("mnist", "mlp", 0.2), ("cifar10", "alexnet", 0.4), ("cifar10", "resnet56", 0.8)]
    for dataset, model, share in (*names, ("cifar10", "resnet56", 0.1)):
        run = profiles.run("laptop", dataset, model, alpha=0.0, seed=int(100 * share))
        number_format = "bfloat16" if model == "alexnet" else "float32"
        rate = share * run.recipe.steps * run.recipe.batch / costs.cores(1, number_format).seconds(run)
        put(store, run, images_per_second=rate, threads=1, precision=number_format)
    return store


def test_each_network_is_predicted_from_the_others(store):
    ratios = {row[0]: float(row[-1]) for row in costs.check(store).rows}
    expected = [math.sqrt(0.4 * 0.8) / 0.2, math.sqrt(0.2 * 0.8) / 0.4, math.sqrt(0.2 * 0.4) / 0.8]
    assert list(ratios.values()) == pytest.approx(expected, abs=0.005)
    assert costs.fitted_share(costs.measured(store)) == pytest.approx(0.4)
    assert [row[2] for row in costs.check(store).rows] == ["float32", "bfloat16", "float32"]


def test_nothing_is_predicted_for_cores_of_which_no_other_network_is_recorded(tmp_path, put):
    store = Store(tmp_path)
    assert costs.check(store).rows == ()
    hours = costs.paper(store=store).header.index("hours, 2 cores")
    assert {row[hours] for row in costs.paper(store=store).rows} == {"—"}
    put(store, a_run("mnist", "mlp"), images_per_second=1000.0, threads=1)
    [(*_, predicted, measured, ratio)] = costs.check(store).rows
    assert (predicted, measured, ratio) == ("—", "1,000", "—")
    assert "—" not in {row[hours] for row in costs.paper(store=store).rows}


def test_cores_that_feed_a_gpu(monkeypatch):
    """One that trains on 1 000 images a second, beside cores that decode as many as the benchmarks say."""
    monkeypatch.setattr(costs, "_rate", lambda machine, run: 1_000.0)
    found = costs.numbers()
    assert found["wanted"] == "1,000"
    assert int(found["feeding_cores"]) - 1 < 1_000 / found["decoded"] <= int(found["feeding_cores"])


@pytest.mark.parametrize("number", [0, -1, 2.5, True])
def test_numbers_of_runs_and_gpus_must_be_some(number):
    for name, table in {
        "gpus": lambda: costs.paper(gpus=number),
        "study_seeds": lambda: costs.studies(seeds=number),
        "study_factors": lambda: costs.studies(factors=number),
    }.items():
        with pytest.raises(UserError, match=f"{name} must be a whole number of at least 1, not {number}"):
            table()


def test_gpus_that_share_a_training_lose_to_pauses_and_links():
    """Nothing but products, 1 000 s of them: halved by two GPUs, the gradients sent once; then by 16, in two nodes."""
    run = profiles.run("paper", "imagenet", "inception_v4", alpha=0.1, seed=0)
    network, (steps, batch) = costs.NETWORKS["imagenet", "inception_v4"], (run.recipe.steps, run.recipe.batch)
    sent = 4 * network.weights
    machine = costs.Machine("", steps * batch * network.flops / 1_000, math.inf, links=(sent * steps, sent * steps / 2))
    assert machine.seconds(run) == pytest.approx(1_000)
    assert machine.seconds(run, 2) == pytest.approx(1_000 / 2 + 2 * 1 / 2)
    assert machine.seconds(run, 16) == pytest.approx(1_000 / 16 + 2 * 15 / 16 * 2)
    for row in costs.trainings((1, 4)).rows:
        alone, four = (float(cell.split()[0]) for cell in row[2:])
        assert row[2].endswith("(100%)")
        assert alone / 4 < four < alone


def test_runs_take_turns_on_gpus(monkeypatch, store):
    """An hour each: 20 runs take 20 hours on one GPU, 3 turns on eight, one on 64; the chapters plan 22 ResNet-56."""
    monkeypatch.setattr(costs.Machine, "seconds", lambda machine, run: 3600.0)
    for row in costs.studies(seeds=5, factors=4, counts=(1, 8, 64)).rows:
        assert row[1:] == ("20", "1.0", "20", "20", "3", "1")
    monkeypatch.setattr(costs, "fitted_share", lambda runs: 1.0)
    rows = {row[0]: row for row in costs.paper(gpus=8, store=store).rows}
    assert rows["CIFAR-10, ResNet-56"][-3:] == ("22", "22.00", "3.00")
