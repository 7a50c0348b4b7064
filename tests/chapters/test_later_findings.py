"""Claims of later work: every part has its quantity, and the runs that decide it are new."""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsbook.chapters import conditions, features, later_findings, trust
from lsbook.chapters.shared.selection import Group, parse_seeds
from lsbook.core.config import Run
from lsbook.core.store import Store
from lsbook.evidence.claims import CLAIMS, LATER
from tests.chapters.invented import ALEXNET, finding

RESULTS = Path(__file__).parents[2] / "results"


@dataclasses.dataclass
class Recorded:
    """A record with these metrics, of a network on CIFAR-10."""

    metrics: dict
    run = later_findings.run(("cifar10", "alexnet"), later_findings.arms()[1], 5)


def test_every_part_is_read_of_a_run():
    parts = {(claim.id, part.name) for claim in LATER.values() for part in claim.parts}
    elsewhere = {("L5", name) for name in ("length", "repair", "empty")}
    elsewhere |= {("L10", name) for name in ("MSP", "max logit", "energy")}
    assert parts == later_findings.QUANTITIES.keys() | elsewhere
    assert not CLAIMS.keys() & LATER.keys()


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        (later_findings.QUANTITIES["L3", "repair"], 0.03 - 0.01),
        (later_findings.QUANTITIES["L6", "transfer"], 40.0),
        (later_findings.QUANTITIES["L8", ""], 70.0),
        (later_findings.unknown("mnist", "max logit"), 0.9),
        (later_findings.wide_beam("repair", 32), 2.5),
        (later_findings.wide_beam("length", 8), -0.1),
        (later_findings.wide_beam("empty", 8), -3.0),
    ],
)
def test_quantities_are_those_of_the_record(quantity, expected):
    metrics = {"test_msp_augrc": 0.03, "test_normalised_logit_augrc": 0.01, "test_accuracy": 0.7}
    metrics |= {"probe_tiny_imagenet_50_accuracy": 0.4, "ood_mnist_max_logit_auroc": 0.9}
    metrics |= {"test_rectified32_bleu": 30.5, "test_unpenalised32_bleu": 28.0}
    metrics |= {"test_unpenalised8_log_length": -0.1, "test_unpenalised8_empty_margin": -3.0}
    assert quantity(Recorded(metrics)) == pytest.approx(expected)


def asked() -> set[Run]:
    """All runs on CIFAR-10: hard, smoothed and MaxSup networks, networks with wrong labels, students."""
    groups = [*later_findings.network_groups("laptop"), *conditions.groups("laptop")[:2]]
    return {run for group in groups for run in runs_of(group)}


def runs_of(group: Group) -> Iterator[Run]:
    return (run for seed in parse_seeds(group.seeds) for run in group.runs(seed).values())


def test_the_runs_are_new():
    """Of students the seeds begin where those of Figure 5 had ended."""
    students = {run for run in asked() if run.teachers}
    networks = {run for group in later_findings.network_groups("laptop") for run in runs_of(group)}
    networks |= {run for run in asked() if run.label_noise}
    assert (len(networks), len(students)) == (40 + 10, 12)
    assert {run.seed for run in networks} == set(range(5, 10))
    assert {run.seed for run in students} == {3, 4, 5}
    assert {run.recipe.loss for run in networks} == {"cross-entropy", "maxsup"}


def test_the_quantities_are_recorded():
    """Of whatever is recorded of these runs, every quantity can be read."""
    store = Store(RESULTS)
    for run in asked():
        if run in store and not run.teachers and not run.label_noise:
            found = {part: quantity(store.get(run)) for part, quantity in later_findings.QUANTITIES.items()}
            assert all(abs(value) < 1e4 for value in found.values())


ON_ALEXNET, ON_RESNET, ON_TINY = (
    "on AlexNet, CIFAR-10",
    "on ResNet-56, CIFAR-10",
    "on ResNet-56, Tiny ImageNet at 32 × 32, 50 classes",
)
MORE, LESS, ZERO = "(+0.200)", "(−0.200)", "(+0.000)"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([0.2], f"They do {ON_ALEXNET} {MORE}."),
        ([0.2, 0.2], f"They do {ON_ALEXNET} {MORE} and {ON_RESNET}."),
        ([0.2, -0.2], f"Contrary to the report, they do not {ON_RESNET} {LESS}; they do {ON_ALEXNET} {MORE}."),
        ([0.2, 0.2, 0.2], f"They do {ON_ALEXNET} {MORE} and in 2 others."),
        ([0.2, 0.0, -0.2], f"Contrary to the report, they do not {ON_TINY} {LESS}; they do {ON_ALEXNET} {MORE}; "
         f"it is open {ON_RESNET}."),
        ([0.0, 0.0, 0.2], f"They do {ON_TINY} {MORE}; it is open in 2 other settings."),
        ([0.2, 0.0, 0.0, 0.0], f"They do {ON_ALEXNET} {MORE}; it is open in 3 other settings."),
        ([0.0, 0.0], f"Whether they do is open {ON_ALEXNET} {ZERO} and {ON_RESNET}."),
    ],
)  # fmt: skip
def test_an_answer_says_in_which_settings_it_holds_or_does_not(changes, sentence):
    statement = later_findings.Statement("they do", "they do not", "{change}")
    networks = itertools.cycle([ALEXNET, ("cifar10", "resnet56"), ("tiny-imagenet-50", "resnet56")])
    untested = finding("L6", 0.2, seeds=2, part="separation")
    found = [
        finding("L6", change, network, part="separation") for change, network in zip(changes, networks, strict=False)
    ]
    said = later_findings.answer([untested, *found], statement)
    assert said.replace("\N{NO-BREAK SPACE}", " ") == sentence
    assert later_findings.answer([untested], statement) == ""


@pytest.mark.parametrize("chapter", [conditions, features, trust], ids=lambda chapter: chapter.CHAPTER.name)
def test_every_statement_is_on_a_part_of_a_claim(chapter):
    for (claim, part), statement in chapter.STATEMENTS.items():
        assert part in [known.name for known in LATER[claim].parts]
        assert statement.reported != statement.opposite
        assert "{" not in statement.numbers.format(first="1", second="2", change="+1")
