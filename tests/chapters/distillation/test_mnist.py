"""The MNIST experiment: its runs, how T and β were chosen, table and claim, on records of known accuracy."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lsbook import figures
from lsbook.chapters.distillation import mnist
from lsbook.chapters.shared import selection
from lsbook.chapters.shared.selection import is_recorded
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.evidence import claims, literature

SOFTNESS = {"hard": 0.6, "smoothed": 0.9}
ERRORS = {
    ("teacher", "hard"): 0.9,
    ("teacher", "smoothed"): 0.8,
    ("student", "hard"): 1.0,
    ("student", "smoothed"): 1.2,
    ("alone", "hard"): 1.5,
}


@pytest.fixture(scope="module", autouse=True)
def few_seeds():
    """All runs are of seeds 0 to 2."""
    with pytest.MonkeyPatch.context() as patch:
        for profile in ("laptop", "paper"):
            patch.setitem(mnist.PLANS, profile, mnist.PLANS[profile]._replace(seeds_of_others="0-2"))
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory, put) -> Store:
    """All runs of the paper profile: seeds differ by a thousandth; T = 2 and β = 0.6 have the least held-out error."""
    store = Store(tmp_path_factory.mktemp("results"))
    for seed in range(3):
        for role, run in mnist.runs("paper", seed).items():
            metrics = {"test_accuracy": 1 - ERRORS[role] / 100 + seed / 1e5}
            if run.teacher:
                metrics["teacher_smoothness"] = SOFTNESS[role[1]]
            put(store, run, metrics=metrics)
        for (temperature, arm), run in mnist.at_temperatures("paper", seed).items():
            if temperature < 8:  # the smoothed teacher's student is better by 0.1 at T = 1, as good at T = 2
                error = 1.0 + (arm == "smoothed") * (temperature - 2) / 10
                metrics = {"test_accuracy": 1 - error / 100, "teacher_smoothness": SOFTNESS[arm] * temperature / 8}
                put(store, run, metrics=metrics)
    search = mnist.search("paper")
    put(store, search[2.0, 0.6].teacher)
    for (temperature, beta), run in search.items():
        metrics = {"heldout_accuracy": 0.98 - (temperature != 2.0) / 1000, "heldout_nll": 0.1 + beta / 100}
        put(store, run, metrics=metrics)
    return store


@pytest.fixture
def study(store, monkeypatch) -> mnist.Study:
    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    return mnist.study("auto")


def test_every_role_has_its_runs(study):
    assert study.profile == "paper"
    assert study.roles.keys() == ERRORS.keys()
    for role, records in study.roles.items():
        assert [record.run for record in records] == [mnist.runs("paper", seed)[role] for seed in range(3)]
    assert {key: record.run for key, record in study.search.items()} == mnist.search("paper")


def test_teachers_and_students_are_the_papers():
    runs = mnist.runs("paper", 5)
    hard, smoothed = runs["teacher", "hard"], runs["teacher", "smoothed"]
    assert (hard.model, hard.alpha, smoothed.model, smoothed.alpha) == ("mlp-dropout", 0.0, "mlp", 0.1)
    for arm, teacher in (("hard", hard), ("smoothed", smoothed)):
        student = runs["student", arm]
        assert (student.teacher, student.model, student.alpha) == (teacher, "mlp-800", 0.0)
        assert (student.recipe.augmentation, teacher.recipe.augmentation) == ("none", "shift2")
        assert student.squared_temperature
    assert {run.examples for run in runs.values()} == {60_000}
    assert {run.recipe.steps * run.recipe.batch // 60_000 for run in runs.values()} == {99}  # whole batches only


def test_the_search_leaves_images_held_out_and_differs_in_temperature_and_beta_alone():
    runs = mnist.search("paper")
    assert runs.keys() == {(t, beta) for t in (1.0, 2.0, 4.0, 8.0) for beta in (0.6, 1.0)}
    for (temperature, beta), run in runs.items():
        assert (run.temperature, run.beta, run.examples, run.teacher.examples) == (temperature, beta, 50_000, 50_000)
    assert len({run.teacher for run in runs.values()}) == 1


def test_the_students_have_the_temperature_and_beta_of_the_least_heldout_error_that_is_recorded():
    store = Store(Path(__file__).parents[3] / "results")
    search = {key: store.get(run) for key, run in mnist.search("paper").items()}
    plan = mnist.PLANS["paper"]
    assert max(search, key=lambda key: search[key].metrics["heldout_accuracy"]) == (plan.temperature, plan.beta)


def test_the_table_holds_paper_replication_and_ours(study):
    table = mnist.error_table(study)
    assert table.header == ("", "Paper", "Replication", "Here")
    assert [row[0] for row in table.rows] == ["hard teacher", "its student", "smoothed teacher", "its student"]
    published = literature.MNIST_DISTILLATION[literature.PAPER]
    assert [row[1] for row in table.rows] == [
        f"{published[role][arm].value:g}" for arm in ("hard", "smoothed") for role in ("teacher", "student")
    ]
    assert [row[3].partition(" ±")[0] for row in table.rows] == ["0.8990", "0.9990", "0.7990", "1.1990"]
    assert "by the paper's protocol, students at T = 8 with β = 0.6" in table.caption


def test_the_claim_compares_teachers_and_students(study):
    [setting] = mnist.measured(study)
    assert setting[:3] == ("distillation", "paper", "MLP 2 × 1200 → MLP 2 × 800, MNIST")
    measures = setting.measures
    assert {m.verdict.part: m.verdict.mean for m in measures} == pytest.approx({"teacher": 0.1, "student": 0.2})
    assert {m.verdict.verdict for m in measures} == {claims.REPRODUCED}
    assert [m.conditions for m in measures] == ["α = 0.1", "α = 0.1, T = 8, β = 0.6"]


def test_other_temperatures_are_those_of_both_teachers_students():
    runs = mnist.at_temperatures("paper", 4)
    assert runs.keys() == {(t, arm) for t in (1.0, 2.0, 4.0, 8.0) for arm in ("hard", "smoothed")}
    for (t, arm), run in runs.items():
        assert dataclasses.replace(run, temperature=8.0) == mnist.runs("paper", 4)["student", arm]
        assert run.temperature == t
    named = mnist.at_temperatures("paper", 4, "3", 1)
    assert {t for t, _ in named} == {3.0, 8.0}
    assert {run.beta for run in named.values()} == {1.0}


@pytest.mark.parametrize(
    ("temperatures", "beta", "message"),
    [
        ("0", "auto", "temperature must be above 0"),
        ("-1,2", "auto", "temperature must be above 0"),
        ("hot", "auto", "temperatures must be numbers"),
        ("2,2", "auto", "temperatures must be numbers .* each once"),
        ("auto", 1.5, "beta must be at most 1"),
        ("auto", "much", "beta must be a number"),
        ("auto", "0.6,0.9", "beta must be a number, not '0.6,0.9'"),
    ],
)
def test_other_temperatures_and_weights_are_checked(temperatures, beta, message):
    with pytest.raises(UserError, match=message):
        mnist.study("laptop", "3", temperatures, beta)


def test_students_differ_by_temperature(study):
    found = mnist.student_differences(study)
    assert {t: change.mean for t, change in found.items()} == pytest.approx({1.0: -0.1, 2.0: 0.0, 4.0: 0.2, 8.0: 0.2})
    # both arms have the standard deviation 0.001 over three seeds: ±2.776 · 0.001 · √(2/3)
    assert found[8.0].high - found[8.0].mean == pytest.approx(2.7764 * 0.001 * np.sqrt(2 / 3), rel=1e-4)
    assert [mnist.smoothness(study.students[t, "smoothed"]) for t in (1.0, 8.0)] == pytest.approx([0.9 / 8, 0.9])
    assert mnist.student_differences(mnist.study("paper", "0")) == {}


def test_the_figure_shows_students_and_their_differences(study):
    temperatures, arms, baseline = mnist.curves(study)
    assert (temperatures, baseline) == ([1.0, 2.0, 4.0, 8.0], pytest.approx(1.499))
    left, right = figures.students_figure(temperatures, arms, baseline).axes
    hard, smoothed = (bars.lines[0].get_ydata(orig=False) for bars in left.containers)
    np.testing.assert_allclose(hard, [1, 1, 1, 0.999])
    np.testing.assert_allclose(smoothed - hard, [-0.1, 0, 0.2, 0.2], atol=1e-12)
    [differences] = (bars.lines[0].get_ydata(orig=False) for bars in right.containers)
    np.testing.assert_allclose(differences, smoothed - hard, atol=1e-12)


def test_without_students_at_other_temperatures_those_of_the_experiment_are_shown(study, monkeypatch):
    unrecorded = mnist.PLANS["paper"]._replace(others=(3.0,))
    monkeypatch.setitem(mnist.PLANS, "paper", unrecorded)
    found = mnist.study("paper", "0")
    assert found.temperatures == [8.0]
    assert found.students[8.0, "smoothed"] == found.roles["student", "smoothed"]


def test_what_the_reader_names_is_trained_where_it_is_not_recorded(study, monkeypatch):
    asked = []

    def noted(runs, store):
        asked.extend(run for run in runs if run not in store)
        raise UserError("enough")

    monkeypatch.setattr(selection, "obtain", noted)
    with pytest.raises(UserError, match="enough"):
        mnist.study("auto", "auto", "3")
    assert {(run.temperature, run.seed) for run in asked} == {(3.0, seed) for seed in (0, 1, 2)}


def test_numbers(study):
    numbers = mnist.numbers(study)
    assert numbers["ahead"] == "behind the best other by 10 images of 10,000"
    assert (numbers["hard_softness"], numbers["smoothed_softness"]) == (pytest.approx(0.6), pytest.approx(0.9))
    assert numbers["edge"].startswith("T = 8 and β = 0.6 lie at an end")


def test_the_laptop_profile_is_the_papers(study):
    assert mnist.study("laptop").roles == study.roles


def test_the_search_alone_is_no_experiment(put, tmp_path):
    store = Store(tmp_path)
    for run in mnist.search("paper").values():
        put(store, run)
    assert not is_recorded(mnist.groups("paper"), store)
