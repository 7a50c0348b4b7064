"""The list of recorded runs."""

import dataclasses

import pytest

from lsbook.chapters import mutual_information, overview
from lsbook.chapters.distillation import equal_smoothness, mnist
from lsbook.chapters.shared.comparison import HARD
from lsbook.core.errors import UserError
from lsbook.core.frame import runs_frame
from lsbook.core.store import Store
from lsbook.recipes import profiles


def test_students_are_listed_by_their_teachers(put, tmp_path):
    store = Store(tmp_path)
    for seed in range(2):
        for run in mnist.runs("paper", seed).values():
            put(store, run, metrics={"test_accuracy": 0.98 + seed / 100})
    table = overview.recorded(store=store)
    assert [row[0].removeprefix("MNIST, ") for row in table.rows] == [
        "MLP 2 × 1200",
        "MLP 2 × 1200 with dropout",
        "MLP 2 × 800",
        "MLP 2 × 800, student of MLP 2 × 1200 with dropout, T = 8, β = 0.6",
        "MLP 2 × 800, student of MLP 2 × 1200, α = 0.1, T = 8, β = 0.6",
    ]
    assert {row[1:] for row in table.rows} == {
        ("60,000", "11,700", "0", "2", "98.5", "3"),
        ("60,000", "11,700", "0.1", "2", "98.5", "3"),
    }
    assert table.caption.endswith("Trained on: a device (10).")
    assert overview.recorded("cifar10", store).rows == ()


def test_runs_that_are_measured_along_the_training_are_listed_apart(put, tmp_path):
    store = Store(tmp_path)
    _, probed = mutual_information.run("laptop", HARD, 0).namesakes()
    for run in (probed, profiles.run("laptop", "cifar10", "resnet56", 0.0, 0)):
        put(store, run, metrics={"test_accuracy": 0.7})
    names = [row[0] for row in overview.recorded(store=store).rows]
    assert names == ["CIFAR-10, ResNet-56", "CIFAR-10, ResNet-56, information measured"]
    taught = equal_smoothness.runs("paper", 0)["smoothed teacher", 0.1]
    assert (
        overview.network_words(runs_frame([taught]).iloc[0])
        == "AlexNet, student of ResNet-56, α = 0.1, T = 1, β = 1, information measured"
    )


def test_what_differs_in_anything_that_decides_a_run_is_listed_apart_and_by_name(put, tmp_path):
    """Accuracies 0.5 to 0.8; seeds are means of one row, another loss, rate of wrong labels or batch is a row."""
    store = Store(tmp_path)
    usual = [profiles.run("laptop", "cifar10", "alexnet", 0.1, seed) for seed in (0, 1)]
    others = [
        profiles.run("laptop", "cifar10", "alexnet", 0.1, 0, settings={"loss": "maxsup"}),
        dataclasses.replace(usual[0], label_noise=0.2),
        profiles.run("laptop", "cifar10", "alexnet", 0.3, 0, settings={"loss": "maxsup"}),
    ]
    for accuracy, run in zip((0.5, 0.6, 0.7, 0.8, 0.9), [*usual, *others], strict=True):
        put(store, run, metrics={"test_accuracy": accuracy})
    rows = [(row[0], row[3], row[4], row[5]) for row in overview.recorded(store=store).rows]
    assert rows == [
        ("CIFAR-10, AlexNet", "0.1", "2", "55.0"),
        ("CIFAR-10, AlexNet, label noise 0.2", "0.1", "1", "80.0"),
        ("CIFAR-10, AlexNet, loss maxsup", "0.1", "1", "70.0"),
        ("CIFAR-10, AlexNet, loss maxsup", "0.3", "1", "90.0"),
    ]


def test_the_overview_of_an_empty_store_has_no_rows(tmp_path):
    assert overview.recorded(store=Store(tmp_path)).rows == ()
    with pytest.raises(UserError, match="unknown data set 'image-net'"):
        overview.recorded("image-net", store=Store(tmp_path))
