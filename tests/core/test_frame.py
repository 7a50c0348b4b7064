"""Recorded runs as a DataFrame, from records of known values."""

import subprocess
import sys
from dataclasses import replace
from io import StringIO

import pandas as pd
import pytest

from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.frame import differences, overview, runs_frame
from lsbook.core.store import Store

PLAIN = Run(dataset="digits", model="mlp", alpha=0.1, seed=3, recipe=Recipe(steps=10, batch=2), examples=20)
PROBED = replace(PLAIN, seed=4, probe="logit-differences")
STUDENT = Run(
    dataset="digits",
    model="mlp-800",
    alpha=0.0,
    seed=5,
    recipe=Recipe(steps=7, batch=2, schedule="steps", milestones=(0.5, 0.75)),
    examples=20,
    teacher=PLAIN,
    temperature=2.0,
    beta=0.6,
)
TEXT = Run(
    dataset="grammar",
    model="transformer-64",
    alpha=0.2,
    seed=0,
    recipe=Recipe(steps=5, batch=100, optimiser="adam", momentum=0.9),
    examples=30,
    vocabulary=900,
)
METRICS = {
    PLAIN: {"test_accuracy": 0.5, "test_ece": 0.0625, "temperature": 1.5},
    PROBED: {"test_accuracy": 0.25, "test_ece": 1 / 3},
    STUDENT: {"test_accuracy": 0.75, "teacher_smoothness": 0.9},
    TEXT: {"test_bleu": 30.0},
}


@pytest.fixture
def store(tmp_path, environment) -> Store:
    store = Store(tmp_path / "results")
    facts = {
        STUDENT: {"training_seconds": 1_234.5, "device": "another device"},
        TEXT: {"signatures": {"BLEU": "a signature"}},
    }
    for run, metrics in METRICS.items():
        store.put(run, metrics=metrics, history={}, environment=environment | facts.get(run, {}), arrays={})
    return store


def test_a_row_says_what_decides_a_run_its_metrics_and_its_environment(store):
    frame = store.frame()
    assert frame.index.name == "key"
    assert sorted(frame.index) == sorted(run.key for run in METRICS)
    assert frame.columns.is_unique
    plain, probed, student, text = (frame.loc[run.key] for run in METRICS)
    assert tuple(plain[["dataset", "model", "alpha", "seed", "examples"]]) == ("digits", "mlp", 0.1, 3, 20)
    assert tuple(plain[["recipe.steps", "recipe.batch", "recipe.optimiser"]]) == (10, 2, "sgd")
    assert (plain["probe"], probed["probe"]) == ("none", "logit-differences")
    assert (student["teacher"], student["teacher.model"], student["teacher.alpha"]) == (PLAIN.key, "mlp", 0.1)
    assert (student["teacher.recipe.steps"], student["recipe.milestones"]) == (10, "0.5, 0.75")
    assert (text["vocabulary"], text["test_bleu"], text["environment.signatures.BLEU"]) == (900, 30, "a signature")
    assert plain["environment.data.variant"] == "a variant"
    assert frame["environment.training_seconds"].sum() == 3 * 3.0 + 1_234.5
    for name, there in {"teacher": [STUDENT], "vocabulary": [TEXT], "test_ece": [PLAIN, PROBED]}.items():
        assert sorted(frame.index[frame[name].notna()]) == sorted(run.key for run in there)


def test_a_metric_and_a_field_of_one_name_have_a_column_each(store):
    """A student's temperature is given, that of calibration is fitted."""
    frame = store.frame()
    assert frame["temperature"].dropna().to_dict() == {STUDENT.key: 2.0}
    assert frame["metrics.temperature"].dropna().to_dict() == {PLAIN.key: 1.5}


def test_runs_are_selected_and_summarised_by_queries(store):
    means = store.frame().groupby("dataset")["test_accuracy"].agg(["mean", "count"])
    assert means.loc["digits"].tolist() == [0.5, 3]
    assert store.frame().query("alpha == 0.1 and seed > 3").index.tolist() == [PROBED.key]


def test_planned_runs_have_the_columns_of_recorded_ones(store):
    frame, planned = store.frame(), runs_frame(METRICS)
    pd.testing.assert_frame_equal(planned, frame.loc[planned.index, planned.columns])


def test_an_empty_store_has_columns_to_ask_for(tmp_path):
    frame = Store(tmp_path).frame()
    assert len(frame) == 0
    assert frame.groupby(["dataset", "recipe.steps"])["environment.training_seconds"].median().empty
    assert frame["teacher"].isna().all()


def test_a_damaged_record_is_one_line(store):
    (store.path / PLAIN.folder / "record.json").write_text("{}")
    with pytest.raises(UserError, match="record.json does not match its checksum"):
        store.frame()


def test_what_is_written_as_csv_is_read_back_equal(store):
    frame = store.frame()
    text = dict.fromkeys(("key", *frame.select_dtypes("str")), str)  # keys and versions may look like numbers
    back = pd.read_csv(StringIO(frame.to_csv()), index_col="key", dtype=text)
    pd.testing.assert_frame_equal(back, frame, check_dtype=False, check_exact=True)
    assert back.loc[PROBED.key, "test_ece"] == 1 / 3


def test_the_overview_has_a_line_for_each_run(store):
    header, _, *lines = overview(store.frame()).splitlines()
    assert [line.split()[0] for line in lines] == [run.key for run in METRICS]
    for name in ("dataset", "model", "loss", "alpha", "seed", "steps", "teacher", "accuracy, %", "ECE, %", "seconds"):
        assert name in header
    assert lines[0].split()[1:] == ["digits", "mlp", "cross-entropy", "0.1", "3", "10", "50.00", "6.25", "3"]
    assert lines[2].split()[5:] == ["5", "7", "mlp", "alpha=0.1", "2", "0.6", "75.00", "1,234"]
    assert overview(store.frame().loc[[TEXT.key], :]).splitlines()[-1].split()[-2:] == ["5", "3"]


def test_the_overview_says_in_words_what_else_tells_runs_apart():
    noisy = replace(PLAIN, label_noise=0.2)
    recipe = replace(PLAIN.recipe, loss="my.losses:Focal", loss_arguments={"gamma": 2, "sharp": True})
    focal = replace(PLAIN, recipe=recipe)
    plain = replace(focal, recipe=replace(recipe, loss_arguments={}))
    lines = overview(runs_frame([PLAIN, noisy, focal, plain])).splitlines()[2:]
    said = {line.split()[0]: " ".join(line.split()[7:]) for line in lines}
    arguments = "loss arguments gamma 2, sharp True"
    assert said == {PLAIN.key: "", noisy.key: "label noise 0.2", focal.key: arguments, plain.key: ""}


def test_a_teachers_settings_are_told_by_what_is_not_at_its_default():
    other = replace(PLAIN, recipe=replace(PLAIN.recipe, loss="maxsup"), label_noise=0.2)
    students = [STUDENT, replace(STUDENT, teacher=other)]
    said = differences(runs_frame(students), ["dataset", "model", "recipe.loss", "alpha"])
    assert said.tolist() == ["", "teacher loss maxsup, teacher label noise 0.2"]


def test_the_store_is_imported_without_pandas():
    script = "import sys, lsbook.core.store, lsbook.cli; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
