"""Figure 5: its runs, curves and claims, on records of known accuracy."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from lsbook import figures
from lsbook.chapters.distillation import equal_smoothness
from lsbook.chapters.shared.selection import RECORDED, is_recorded
from lsbook.core.errors import UserError
from lsbook.core.registry import DATASETS
from lsbook.core.store import Store
from lsbook.evidence import claims
from lsbook.training.images import augmentation

ACCURACY = {"teacher": 0.90, "alone": 0.80, "equally soft": 0.80, "hard teacher": 0.84, "smoothed teacher": 0.78}
GAIN = {"teacher": 0.01, "alone": 0.01, "equally soft": 0.01, "hard teacher": 0.03, "smoothed teacher": -0.02}  # by α
SOFTER = 0.2  # γ less α of the smoothed teachers


@pytest.fixture(scope="module")
def store(tmp_path_factory, put) -> Store:
    """All runs of the laptop profile: seeds differ by a thousandth, factors by `GAIN`."""
    store = Store(tmp_path_factory.mktemp("results"))
    for seed in range(3):
        for (kind, alpha), run in equal_smoothness.runs("laptop", seed).items():
            metrics = {"test_accuracy": ACCURACY[kind] + GAIN[kind] * alpha + seed / 1e4}
            if run.teachers:
                metrics |= {"teacher_smoothness": alpha + SOFTER, "teacher_temperature": 2 + alpha}
            put(store, run, metrics=metrics)
    return store


@pytest.fixture
def study(store, monkeypatch) -> equal_smoothness.Study:
    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    return equal_smoothness.study("auto")


def test_every_point_has_its_runs(study):
    assert (study.profile, study.grid) == ("laptop", [0.1, 0.3, 0.6])
    for records in study.points.values():
        assert [record.run.seed for record in records] == [0, 1, 2]


def test_the_curves_differ_as_figure_5_says():
    runs = {key: replace(run, probe="none") for key, run in equal_smoothness.runs("paper", 1).items()}
    for alpha in (0.05, 0.6):
        of_hard, of_smoothed = runs["hard teacher", alpha], runs["smoothed teacher", alpha]
        smoothed, alone = runs["teacher", alpha], runs["equally soft", alpha]
        assert (of_hard.teacher, of_hard.as_soft_as, of_hard.temperature) == (runs["teacher", 0.0], smoothed, None)
        assert (of_smoothed.teacher, of_smoothed.temperature) == (smoothed, 1.0)
        assert (alone.teacher, alone.as_soft_as, alone.alpha) == (None, smoothed, 0.0)
        assert smoothed.alpha == alpha
        assert of_hard.beta == of_smoothed.beta == 1.0
        assert of_hard.recipe == of_smoothed.recipe == alone.recipe
    assert {runs["alone", alpha].alpha for alpha in (0.0, 0.1)} == {0.0, 0.1}
    assert {run.seed for run in runs.values()} == {1}


def test_curves_are_in_percent_at_the_softness_of_their_targets(study):
    curves, teachers, leads = equal_smoothness.curves(study)
    teacher, alone, hard, smoothed = curves
    assert teacher.smoothness.tolist() == pytest.approx([0.0, 0.05, 0.1, 0.3, 0.6])
    assert hard.smoothness.tolist() == smoothed.smoothness.tolist() == pytest.approx([0.3, 0.5, 0.8])
    assert alone.smoothness.tolist() == pytest.approx([0.0, 0.1, 0.3, 0.5, 0.8])
    np.testing.assert_allclose(hard.accuracy[0], [84.3, 84.31, 84.32])
    left, right = figures.distillation_figure(curves, teachers, leads).axes
    np.testing.assert_allclose(left.containers[2].lines[0].get_ydata(orig=False), hard.accuracy.mean(axis=1))
    [above] = left.child_axes
    assert [tick.get_text() for tick in above.get_xticklabels()] == ["0.1", "0.3", "0.6"]
    assert above.get_xticks() == pytest.approx([0.3, 0.5, 0.8])
    of_smoothed, of_none = (bars.lines[0].get_ydata(orig=False) for bars in right.containers)
    np.testing.assert_allclose(of_smoothed, [6.5, 7.5, 9.0])
    np.testing.assert_allclose(of_none, [4.2, 4.6, 5.2])


def test_claims_compare_what_the_scorecard_names(study):
    [setting] = equal_smoothness.measured(study)
    measures = setting.measures
    found = {m.verdict.claim: m.verdict.mean for m in measures}
    assert found == pytest.approx({"C13": 0.1, "C14": 4 + 2 / 3, "C15": 6 + 5 / 3, "C19": 2.3})
    assert {m.verdict.verdict for m in measures} == {claims.REPRODUCED}
    assert setting[:3] == ("distillation", "laptop", "ResNet-56 → AlexNet, CIFAR-10")


def test_teachers_are_compared_on_more_seeds_than_have_students(store, put, tmp_path, monkeypatch):
    """Those alone are no experiment to show."""
    both = [0.0, equal_smoothness.ALPHA]
    everything = Store(shutil.copytree(store.path, tmp_path / "everything"))
    teachers = Store(tmp_path / "teachers")
    for seed in (5, 6, 7, 8):
        runs = equal_smoothness.runs("laptop", seed)
        for alpha in both if seed < 8 else both[:1]:
            for where in (everything, teachers):
                put(where, runs["teacher", alpha], metrics={"test_accuracy": 0.9 + alpha / 10})
    monkeypatch.setenv("LSBOOK_RESULTS", str(everything.path))
    study = equal_smoothness.study("auto")
    compared = study.compared_teachers
    assert {alpha: [record.run.seed for record in records] for alpha, records in compared.items()} == dict.fromkeys(
        both, [0, 1, 2, 5, 6, 7]
    )
    assert {len(records) for records in study.points.values()} == {3}
    seeds = {m.verdict.claim: m.verdict.seeds for m in equal_smoothness.measure(study)}
    assert seeds == {"C13": 6, "C14": 3, "C15": 3, "C19": 3}
    assert {record.run.seed for record in equal_smoothness.measured(study)[0].records} == {0, 1, 2, 5, 6, 7}
    monkeypatch.setenv("LSBOOK_RESULTS", str(teachers.path))
    assert not is_recorded(equal_smoothness.groups("laptop"))
    with pytest.raises(UserError, match="nothing of what is asked is recorded"):
        equal_smoothness.study("laptop", RECORDED)


def test_numbers(study):
    numbers = equal_smoothness.numbers(study)
    assert (numbers["teacher"], numbers["student"], numbers["views"]) == ("ResNet-56", "AlexNet", "162")
    assert numbers["temperatures"] == "2.10 (α = 0.1), 2.30 (α = 0.3) and 2.60 (α = 0.6)"
    assert (numbers["grid"], numbers["smoothness"]) == ("0.1, 0.3 and 0.6", "0.30, 0.50 and 0.80")


@pytest.mark.parametrize("profile", equal_smoothness.PLANS)
def test_the_number_of_views_is_that_of_the_augmentation(profile):
    run = equal_smoothness.runs(profile, 0)["hard teacher", 0.1]
    every = augmentation.from_recipe(run.recipe).all_views(DATASETS[run.dataset].shape, "cpu")
    assert len(every.top) == equal_smoothness.PLANS[profile].views


@pytest.mark.parametrize(
    ("teachers", "students", "known", "teaching"),
    [
        ("auto", "auto", {0.05, 0.1, 0.3, 0.6}, {0.1, 0.3, 0.6}),
        ("0.2,0.4", "auto", {0.1, 0.2, 0.4}, {0.1, 0.2, 0.4}),
        ("0.2,0.4", "0.2", {0.1, 0.2, 0.4}, {0.1, 0.2}),
        ("auto", 0.5, {0.05, 0.1, 0.3, 0.5, 0.6}, {0.1, 0.5}),
        (0.1, "0.1", {0.1}, {0.1}),
    ],
)
def test_both_grids_are_the_readers_with_the_factor_that_is_picked_out(teachers, students, known, teaching):
    runs = equal_smoothness.runs("laptop", 0, teachers, students)
    assert {alpha for kind, alpha in runs if kind == "teacher"} == {0.0, *known}
    for taught in ("hard teacher", "smoothed teacher", "equally soft"):
        assert {alpha for kind, alpha in runs if kind == taught} == teaching


@pytest.mark.parametrize("name", ["teachers", "students"])
@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("0,0.1", "must be above 0"),
        ("0.2,x", "must be numbers"),
        ("1", "alpha must be below 1"),
        (-0.5, "alpha must"),
    ],
)
def test_a_grid_of_anything_else_is_refused(name, grid, message):
    with pytest.raises(UserError, match=message):
        equal_smoothness.study("laptop", "0", **{name: grid})
