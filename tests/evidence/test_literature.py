import dataclasses

import pytest

from lsbook.core.registry import DATASETS
from lsbook.evidence.literature import (
    FIGURE_1,
    MNIST_DISTILLATION,
    MUTUAL_INFORMATION,
    PAPER,
    REPLICATION,
    TABLE_1,
    TABLE_2,
    TABLE_3,
)


def values(rows):
    """The numbers of rows, in the order they are printed."""
    return [[entry.value for entry in arms.values()] for arms in rows.values()]


def entries():
    """Every published number with the source under which it is found."""
    tables = [(PAPER, TABLE_1), *TABLE_2.items(), *TABLE_3.items(), *MNIST_DISTILLATION.items()]
    found = [(source, entry) for source, rows in tables for arms in rows.values() for entry in arms.values()]
    return found + [(PAPER, entry) for entry in MUTUAL_INFORMATION.values()]


def test_table_1():
    assert values(TABLE_1) == [[23.1, 22.8], [6.3, 6.1], [8.9, 7.0, 6.7], [25.3, 25.8], [4.67, 4.92]]


def test_table_2():
    assert values(TABLE_2[PAPER]) == [[86.8, 86.7], [72.1, 72.7], [80.9, 80.9]]
    assert values(TABLE_2[REPLICATION]) == [
        [85.01, 85.47],
        [93.59, 93.33],
        [71.61, 72.07],
        [72.20, 72.30],
        [99.06, 99.31],
    ]
    spreads = {row: [entry.spread for entry in arms.values()] for row, arms in TABLE_2[PAPER].items()}
    assert list(spreads.values()) == [[0.2, 0.3], [0.3, 0.3], [None, None]]


def test_table_3():
    assert values(TABLE_3[PAPER]) == [
        [0.150, 0.021, 1.9, 0.024],
        [0.071, 0.022, 1.4, 0.035],
        [0.056, 0.018, 1.13, 0.019],
    ]
    assert values(TABLE_3[REPLICATION]) == [
        [0.207, 0.029, 2.9, 0.053, 0.043],
        [0.097, 0.012, 2.5, 0.026],
        [0.049, 0.006, 3.1, 0.028],
        [0.002, 0.001, 1.06, 0.056],
        [0.150, 0.013, 1.7, 0.060, 0.045],
        [0.449, 0.058, 1.8, 0.372, 0.110],
    ]


def test_mnist_distillation():
    assert values(MNIST_DISTILLATION[PAPER]) == [[0.67, 0.59], [0.74, 0.91]]
    assert values(MNIST_DISTILLATION[REPLICATION]) == [[0.81, 0.69], [0.93, 1.05]]


def test_lookup_by_name():
    assert TABLE_1["WMT14 English–German", "Transformer", "BLEU"]["smoothed"].value == 25.8
    assert TABLE_2[REPLICATION]["cifar10", "alexnet"]["hard"].value == 85.01
    assert TABLE_3[PAPER]["cifar100", "resnet56"]["smoothed 0.05"].value == 0.024
    assert TABLE_3[PAPER]["imagenet", "inception_v4"]["temperature"].value == 1.4
    assert MNIST_DISTILLATION[PAPER]["student"]["smoothed"].value == 0.91


def test_every_number_says_where_it_stands():
    for source, entry in entries():
        assert entry.source == source
        assert (
            entry.where == "report" if source == REPLICATION else entry.where.startswith(("Table", "Figure", "section"))
        )


def test_unchecked_numbers():
    unchecked = [entry.value for _, entry in entries() if not entry.checked]
    assert unchecked == [0.056, 0.018, 1.13, 0.019, 600, 10]


def test_numbers_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        MUTUAL_INFORMATION["views"].value = 11


def test_figure_1():
    assert [row.dataset for row in FIGURE_1] == ["cifar10", "cifar100", "imagenet", "imagenet"]
    assert set(FIGURE_1[0].classes) < set(DATASETS["cifar10"].classes)
    assert FIGURE_1[1].classes == ("beaver", "dolphin", "otter")
    assert FIGURE_1[2].classes == ("tench", "meerkat", "cleaver")
    assert FIGURE_1[3].classes == ("toy poodle", "miniature poodle", "tench")
