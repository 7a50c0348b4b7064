"""The chapter's table, curves and claims, on records of known accuracy."""

import numpy as np
import pytest

from lsbook import claims, paper, plots
from lsbook.experiments import distillation, verdicts
from lsbook.store import Store

ACCURACY = {"teacher": 0.90, "alone": 0.80, "hard teacher": 0.84, "smoothed teacher": 0.78}
ERRORS = {
    ("teacher", "hard"): 0.9,
    ("teacher", "smoothed"): 0.8,
    ("student", "hard"): 1.0,
    ("student", "smoothed"): 1.2,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory, environment) -> Store:
    """All runs of the laptop profile: seeds differ by a thousandth, factors by as much as they are."""
    store = Store(tmp_path_factory.mktemp("results"))
    for seed in range(3):
        for role, run in distillation.mnist_runs("laptop", seed).items():
            metrics = {"test_accuracy": 1 - ERRORS.get(role, 1.5) / 100 + seed / 1e5}
            store.put(run, metrics=metrics, history={}, environment=environment, arrays={})
        for (curve, factor), run in distillation.cifar_runs("laptop", seed).items():
            metrics = {"test_accuracy": ACCURACY[curve] + factor / 100 + seed / 1e4, "teacher_temperature": 2 + factor}
            store.put(run, metrics=metrics, history={}, environment=environment, arrays={})
    return store


@pytest.fixture
def study(store, monkeypatch) -> distillation.Study:
    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    return distillation.study("auto")


def test_every_role_has_its_runs(study):
    assert study.profile == "laptop"
    assert study.grid == [0.1, 0.3, 0.6]
    for records in [*study.mnist.values(), *study.cifar.values()]:
        assert [record.run.seed for record in records] == [0, 1, 2]


def test_teachers_and_students_are_the_papers():
    runs = distillation.mnist_runs("paper", 5)
    hard, smoothed = runs["teacher", "hard"], runs["teacher", "smoothed"]
    assert (hard.model, hard.alpha, smoothed.model, smoothed.alpha) == ("mlp-dropout", 0.0, "mlp", 0.1)
    for arm, teacher in (("hard", hard), ("smoothed", smoothed)):
        student = runs["student", arm]
        assert (student.teacher, student.model, student.alpha) == (teacher, "mlp-800", 0.0)
        assert (student.recipe.augmentation, teacher.recipe.augmentation) == ("none", "shift2")
    assert {run.examples for run in runs.values()} == {60_000}
    assert {run.recipe.steps * run.recipe.batch // 60_000 for run in runs.values()} == {99}  # whole batches only


def test_the_curves_differ_as_figure_5_says():
    runs = distillation.cifar_runs("paper", 1)
    for factor in (0.05, 0.6):
        of_hard, of_smoothed = runs["hard teacher", factor], runs["smoothed teacher", factor]
        assert (of_hard.teacher, of_hard.smoothness, of_hard.temperature) == (runs["teacher", 0.0], factor, None)
        assert (of_smoothed.teacher, of_smoothed.temperature) == (runs["teacher", factor], 1.0)
        assert runs["teacher", factor].alpha == runs["alone", factor].alpha == factor
        assert of_hard.beta == of_smoothed.beta == 1.0
        assert of_hard.recipe == of_smoothed.recipe == runs["alone", factor].recipe
    assert {run.seed for run in runs.values()} == {1}


def test_the_table_holds_paper_replication_and_ours(study):
    table = distillation.mnist_table(study)
    assert [row[0] for row in table.rows] == ["Paper", "Replication", "Here, in the reduced regime"]
    published = paper.MNIST_DISTILLATION[paper.PAPER]
    assert table.rows[0][1:5] == tuple(
        f"{published[role][arm].value:g}" for arm in ("hard", "smoothed") for role in ("teacher", "student")
    )
    assert [cell.partition("\xa0")[0] for cell in table.rows[2][1:]] == [
        "0.8990",
        "0.9990",
        "0.7990",
        "1.1990",
        "1.4990",
    ]


def test_curves_are_in_percent_at_their_factors(study):
    teacher, alone, hard, smoothed = distillation.curves(study)
    assert teacher.factors.tolist() == alone.factors.tolist() == [0.0, 0.1, 0.3, 0.6]
    assert hard.factors.tolist() == smoothed.factors.tolist() == [0.1, 0.3, 0.6]
    np.testing.assert_allclose(hard.accuracy[0], [84.1, 84.11, 84.12])
    left, right = plots.distillation_figure([teacher, alone, hard, smoothed]).axes
    assert (len(left.containers), len(right.containers)) == (4, 3)
    np.testing.assert_allclose(left.containers[2].lines[0].get_ydata(orig=False), hard.accuracy.mean(axis=1))


def test_claims_compare_what_the_scorecard_names(study):
    measures = distillation.measure(study)
    found = {(m.verdict.claim, m.verdict.part): m for m in measures}
    assert found["C12", "teacher"].verdict.mean == pytest.approx(0.1)
    assert found["C12", "student"].verdict.mean == pytest.approx(0.2)
    assert found["C13", ""].verdict.mean == pytest.approx(0.1)
    assert found["C14", ""].verdict.mean == pytest.approx(4)
    assert found["C15", ""].verdict.mean == pytest.approx(6)
    assert found["C19", ""].verdict.mean == pytest.approx(2)
    assert {m.verdict.verdict for m in measures} == {claims.REPRODUCED}
    text = verdicts.text(study.profile, measures).markdown
    assert text == "By the rule, in the reduced regime: **reproduced**: C12, C13, C14, C15, C19."
    assert len(distillation.claim_table(study, measures).rows) == 6


def test_a_smoothed_teacher_may_still_help(study):
    found = distillation.harmless(study)
    np.testing.assert_allclose(found.hard, [80, 80.01, 80.02])
    np.testing.assert_allclose(found.smoothed, [78.1, 78.11, 78.12])
    assert found.verdict.verdict == claims.CONTRADICTED


def test_numbers_and_captions(study):
    numbers = distillation.numbers(study)
    assert (numbers["teacher"], numbers["student"], numbers["views"]) == ("ResNet-56", "AlexNet", "162")
    assert (numbers["lowest_temperature"], numbers["highest_temperature"]) == (2.1, 2.6)
    assert "MLP 2 × 800 on MNIST" in numbers["made_from_mnist"]
    assert "ResNet-56 on CIFAR-10" in numbers["made_from_cifar"]


def test_the_scorecard_gets_each_experiment_that_is_recorded(store, environment, tmp_path, monkeypatch):
    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    mnist, cifar = distillation.settings("laptop", "recorded")
    assert (mnist.network, cifar.network) == (("mnist", "mlp-800"), ("cifar10", "alexnet"))
    assert [m.verdict.claim for m in mnist.measures] == ["C12", "C12"]
    assert [m.verdict.claim for m in cifar.measures] == ["C13", "C14", "C15", "C19"]
    few = Store(tmp_path)
    for run in distillation.mnist_runs("laptop", 4).values():
        few.put(run, metrics={"test_accuracy": 0.99}, history={}, environment=environment, arrays={})
    monkeypatch.setenv("LSBOOK_RESULTS", str(tmp_path))
    [alone] = distillation.settings("laptop", "recorded")
    assert alone.network == mnist.network
    assert {m.verdict.seeds for m in alone.measures} == {1}
