"""The MNIST experiment: its runs, how T and β were chosen, table and claim, on records of known accuracy."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lsbook.chapters import distillation
from lsbook.chapters.shared import claim_tables, selection
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
            patch.setitem(distillation.PLANS, profile, distillation.PLANS[profile]._replace(seeds_of_others="0-2"))
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory, put) -> Store:
    """All runs of the paper profile: seeds differ by a thousandth; T = 2 and β = 0.6 have the least held-out error."""
    store = Store(tmp_path_factory.mktemp("results"))
    for seed in range(3):
        for role, run in distillation.runs("paper", seed).items():
            metrics = {"test_accuracy": 1 - ERRORS[role] / 100 + seed / 1e5}
            if run.teacher:
                metrics["teacher_smoothness"] = SOFTNESS[role[1]]
            put(store, run, metrics=metrics)
        for (temperature, arm), run in distillation.at_temperatures("paper", seed).items():
            if temperature < 8:  # the smoothed teacher's student is better by 0.1 at T = 1, as good at T = 2
                error = 1.0 + (arm == "smoothed") * (temperature - 2) / 10
                metrics = {"test_accuracy": 1 - error / 100, "teacher_smoothness": SOFTNESS[arm] * temperature / 8}
                put(store, run, metrics=metrics)
    search = distillation.search("paper")
    put(store, search[2.0, 0.6].teacher)
    for (temperature, beta), run in search.items():
        metrics = {"heldout_accuracy": 0.98 - (temperature != 2.0) / 1000, "heldout_nll": 0.1 + beta / 100}
        put(store, run, metrics=metrics)
    return store


@pytest.fixture
def study(store, monkeypatch) -> distillation.Study:
    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    return distillation.study("auto")


def test_every_role_has_its_runs(study):
    assert study.profile == "paper"
    assert study.roles.keys() == ERRORS.keys()
    for role, records in study.roles.items():
        assert [record.run for record in records] == [distillation.runs("paper", seed)[role] for seed in range(3)]
    assert {key: record.run for key, record in study.search.items()} == distillation.search("paper")


def test_teachers_and_students_are_the_papers():
    runs = distillation.runs("paper", 5)
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
    runs = distillation.search("paper")
    assert runs.keys() == {(t, beta) for t in (1.0, 2.0, 4.0, 8.0) for beta in (0.6, 1.0)}
    for (temperature, beta), run in runs.items():
        assert (run.temperature, run.beta, run.examples, run.teacher.examples) == (temperature, beta, 50_000, 50_000)
    assert len({run.teacher for run in runs.values()}) == 1


def test_the_best_have_the_least_heldout_error_then_the_least_loss(study):
    assert distillation.best(study.search) == (2.0, 0.6)
    table = distillation.search_table(study)
    assert table.header == ("", "T = 1", "T = 2", "T = 4", "T = 8")
    assert table.rows == (("β = 0.6", "2.10", "2.00", "2.10", "2.10"), ("β = 1", "2.10", "2.00", "2.10", "2.10"))


def test_the_students_have_the_temperature_and_beta_that_the_recorded_search_chose():
    store = Store(Path(__file__).parents[2] / "results")
    search = {key: store.get(run) for key, run in distillation.search("paper").items()}
    plan = distillation.PLANS["paper"]
    assert distillation.best(search) == (plan.temperature, plan.beta)


def test_the_table_holds_paper_replication_and_ours(study):
    table = distillation.mnist_table(study)
    assert [row[0] for row in table.rows] == ["Paper", "Replication", "Here, by the paper's protocol"]
    published = literature.MNIST_DISTILLATION[literature.PAPER]
    assert table.rows[0][1:5] == tuple(
        f"{published[role][arm].value:g}" for arm in ("hard", "smoothed") for role in ("teacher", "student")
    )
    ours = [cell.partition("\xa0")[0] for cell in table.rows[2][1:]]
    assert ours == ["0.8990", "0.9990", "0.7990", "1.1990", "1.4990"]


def test_the_claim_compares_teachers_and_students(study):
    [setting] = distillation.measured(study)
    measures = setting.measures
    assert {m.verdict.part: m.verdict.mean for m in measures} == pytest.approx({"teacher": 0.1, "student": 0.2})
    assert claim_tables.text([setting]).markdown == "By the rule, by the paper's protocol: **reproduced**: C12."
    assert {m.verdict.verdict for m in measures} == {claims.REPRODUCED}
    assert len(distillation.claim_table(study).rows) == 2


def test_other_temperatures_are_those_of_both_teachers_students():
    runs = distillation.at_temperatures("paper", 4)
    assert runs.keys() == {(t, arm) for t in (1.0, 2.0, 4.0, 8.0) for arm in ("hard", "smoothed")}
    for (t, arm), run in runs.items():
        assert dataclasses.replace(run, temperature=8.0) == distillation.runs("paper", 4)["student", arm]
        assert run.temperature == t
    named = distillation.at_temperatures("paper", 4, "3", 1)
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
        distillation.study("laptop", "3", temperatures, beta)


def test_the_temperatures_table_shows_errors_and_softness(study, monkeypatch):
    table = distillation.temperature_table(study)
    assert [row[0] for row in table.rows] == ["T = 1", "T = 2", "T = 4", "T = 8"]
    assert [row[3].split()[0] for row in table.rows] == ["−0.100", "+0.000", "+0.200", "+0.2000"]
    assert [row[4:] for row in table.rows] == [("0.07", "0.11"), ("0.15", "0.23"), ("0.30", "0.45"), ("0.60", "0.90")]
    assert "3 seeds" in table.caption
    assert "1 seed;" in distillation.temperature_table(distillation.study("paper", "0")).caption
    unrecorded = distillation.PLANS["paper"]._replace(others=(3.0,))
    monkeypatch.setitem(distillation.PLANS, "paper", unrecorded)
    missing = distillation.temperature_table(distillation.study("paper", "0"))
    assert missing.markdown == "Students at other temperatures are not recorded with these seeds."


def test_what_the_reader_names_is_trained_where_it_is_not_recorded(study, monkeypatch):
    asked = []

    def noted(runs, store):
        asked.extend(run for run in runs if run not in store)
        raise UserError("enough")

    monkeypatch.setattr(selection, "obtain", noted)
    with pytest.raises(UserError, match="enough"):
        distillation.study("auto", "auto", "3")
    assert {(run.temperature, run.seed) for run in asked} == {(3.0, seed) for seed in (0, 1, 2)}


def test_numbers_and_captions(study):
    numbers = distillation.numbers(study)
    assert numbers["ahead"] == "behind the best other by 10 images of 10,000"
    assert (numbers["hard_softness"], numbers["smoothed_softness"]) == (pytest.approx(0.6), pytest.approx(0.9))
    np.testing.assert_allclose(numbers["smoothed_student"], 1.199)
    assert numbers["help"].startswith("+0.3000 [+0.2")
    assert "MLP 2 × 800, MLP 2 × 1200 with dropout and MLP 2 × 1200 on MNIST" in study.made_from
    assert "Profile paper: MLP 2 × 1200 with dropout and MLP 2 × 1200 on MNIST" in numbers["teachers_made_from"]
    assert "1 seed;" in numbers["teachers_made_from"]
    assert distillation.numbers(distillation.study("paper", "0"))["help"] == "+0.3"


def test_the_scorecard_gets_the_claim(study):
    [found] = distillation.settings("paper", "recorded")
    assert found[:3] == ("distillation", "paper", "MLP 2 × 1200 → MLP 2 × 800, MNIST")
    assert [m.verdict.seeds for m in found.measures] == [3, 3]


def test_the_laptop_profile_is_the_papers(study):
    assert distillation.study("laptop").roles == study.roles


def test_the_search_alone_is_no_experiment(put, tmp_path):
    store = Store(tmp_path)
    for run in distillation.search("paper").values():
        put(store, run)
    assert not is_recorded(distillation.groups("paper"), store)
