"""Runs: what is checked when one is made, and what its key depends on."""

import dataclasses
import json
from pathlib import Path

import pytest

from lsbook.core.config import Recipe, Run, as_dict, canonical_json, from_dict, with_settings
from lsbook.core.errors import UserError

RECIPE = Recipe(steps=100)
RUN = Run(dataset="digits", model="mlp", alpha=0.1, seed=0, recipe=RECIPE, examples=200)


def test_key_is_the_hash_of_the_canonical_json():
    """Checked with: printf '%s' '<the JSON below>' | sha256sum"""
    assert canonical_json(RUN) == (
        '{"alpha":0.1,"dataset":"digits","examples":200,"model":"mlp","recipe":{"steps":100},"seed":0}'
    )
    assert RUN.key == "27cf0de8fc58"


def test_no_recorded_run_is_renamed():
    """The folders' names were written when the runs were made; two of their keys are said here, too."""
    folders = list((Path(__file__).parents[2] / "results").glob("*/*/record.json"))
    assert len(folders) >= 200
    for path in folders:
        run = from_dict(json.loads(path.read_text())["run"])
        assert run.folder == f"{path.parts[-3]}/{path.parts[-2]}"
    keys = {path.parts[-2] for path in folders}
    assert {"7c7f07a68107", "a6e3e6b32902"} <= keys


def test_zero_and_zero_point_zero_are_one_run():
    whole, real = dataclasses.replace(RUN, alpha=0), dataclasses.replace(RUN, alpha=0.0)
    assert whole == real
    assert whole.key == real.key


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 0.2},
        {"seed": 1},
        {"dataset": "mnist"},
        {"model": "mlp-800"},
        {"examples": 201},
        {"recipe": Recipe(steps=100, revision=2)},
        {"recipe": Recipe(steps=100, learning_rate=0.2)},
        {"teacher": RUN, "temperature": 2.0, "beta": 0.5},
        {"recipe": Recipe(steps=100, loss="maxsup")},
        {"label_noise": 0.2},
    ],
)
def test_every_field_changes_the_key(change):
    assert dataclasses.replace(RUN, **change).key != RUN.key


def test_what_only_measures_changes_no_key():
    probed = dataclasses.replace(RUN, probe="logit-differences")
    assert probed.key == RUN.key
    assert probed != RUN
    assert from_dict(as_dict(probed)) == probed
    student = dataclasses.replace(RUN, teacher=probed, temperature=2, beta=1)
    assert student == dataclasses.replace(RUN, teacher=RUN, temperature=2, beta=1)


def test_a_run_survives_json():
    recipe = Recipe(steps=10, schedule="steps", milestones=(1 / 3, 2 / 3))
    student = dataclasses.replace(RUN, recipe=recipe, teacher=RUN, temperature=2, beta=1)
    assert from_dict(json.loads(json.dumps(as_dict(student)))) == student


def test_a_student_is_named_with_its_teacher():
    student = dataclasses.replace(RUN, teacher=RUN, temperature=2, beta=0.5)
    taught = f"beta=0.5 taught by {RUN.model} alpha=0.1"
    assert f"seed=0 {taught} at T=2 ({student.key})" in str(student)
    as_soft = dataclasses.replace(student, temperature=None, as_soft_as=dataclasses.replace(RUN, alpha=0.3))
    assert f"{taught} as soft as {RUN.model} alpha=0.3 (" in str(as_soft)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": -0.1}, "alpha must be at least 0, not -0.1"),
        ({"alpha": 1}, "alpha must be below 1, not 1"),
        ({"alpha": "abc"}, "alpha must be a number, not 'abc'"),
        ({"alpha": float("nan")}, "alpha must be a finite number"),
        ({"alpha": True}, "alpha must be a number, not True"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"seed": 2**32}, "seed must be below 4.29497e\\+09, not 4294967296"),
        ({"examples": 0}, "examples must be at least 1, not 0"),
        ({"dataset": "cifar"}, "unknown data set 'cifar': choose from cifar10, mnist, cifar100, tiny-imagenet-32"),
        ({"model": "vgg"}, "unknown model 'vgg': choose from mlp"),
        ({"probe": "all"}, "probe must be one of 'none' or 'logit-differences', not 'all'"),
        ({"teacher": RUN, "temperature": 1, "beta": 1, "label_noise": 0.1}, "label_noise is not for students"),
        (
            {"teacher": RUN, "temperature": 1, "beta": 1, "recipe": Recipe(steps=1, loss="maxsup")},
            "the loss maxsup is not for students",
        ),
        ({"teacher": RUN}, "a student needs a teacher, beta, and one of"),
        ({"teacher": RUN, "temperature": 0, "beta": 1}, "temperature must be above 0"),
        ({"teacher": RUN, "temperature": 1, "beta": 1.1}, "beta must be at most 1, not 1.1"),
    ],
)
def test_bad_values_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(RUN, **change)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"schedule": "cosine"}, "schedule must be one of 'constant', 'one-cycle', 'steps', 'linear' or"),
        ({"schedule": "steps"}, "milestones"),
        ({"milestones": (0.5,)}, "milestones"),
        ({"schedule": "steps", "milestones": (0.7, 0.3)}, "milestones"),
        ({"averaged": 101}, "averaged must be at most 100, not 101"),
        ({"augmentation": "mixup"}, "augmentation must be one of 'none', 'crop24-flip'"),
        ({"momentum": 1.0}, "momentum must be below 1, not 1"),
        ({"learning_rate": 0}, "learning_rate must be above 0"),
        ({"weight_decay": -1}, "weight_decay must be at least 0, not -1"),
    ],
)
def test_bad_recipes_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        Recipe(**{"steps": 1} | values)


def test_unknown_and_missing_fields_are_refused():
    with pytest.raises(UserError, match="unknown field of Run 'alfa': choose from dataset, model, alpha"):
        from_dict(as_dict(RUN) | {"alfa": 0.1})
    with pytest.raises(UserError, match="unknown field of Recipe 'lr': choose from steps"):
        from_dict(as_dict(RUN) | {"recipe": {"steps": 1, "lr": 0.1}})
    with pytest.raises(UserError, match="seed"):
        from_dict({name: value for name, value in as_dict(RUN).items() if name != "seed"})


HOSTILE = (
    *("", "abc", "nan", "inf", "-inf", "1e999", "-1", "0", "0.5", "1e300", "-1e-300", "True", "None", "()", "[]", "{}"),
    *("9" * 23, "-" + "9" * 23, "9" * 400, "9" * 5_000, "9" * 400 + ".5", "(" * 5_000, "[" * 150 + "]" * 150, "{[]}"),
    *("(0.5, 'a')", "(float('nan'),)", "(1e999,)", "{'a': 1}", "b'x'", "1j", "1_0", "x" * 100_000, "a\nb\x1b[2J"),
)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Recipe)])
def test_every_setting_of_a_recipe_is_one_or_is_refused_in_one_line(name):
    """A setting that is taken is finite and has a key; every other is a short line that names it."""
    base = dataclasses.replace(RECIPE, steps=1_000, batch=16)
    for text in HOSTILE:
        try:
            recipe = with_settings(base, {name: text})
            found = dataclasses.replace(RUN, recipe=recipe, examples=10**9)
        except UserError as error:
            assert name in str(error) or "size" in str(error), text
            assert len(str(error)) < 400
            assert str(error).isprintable()
        else:
            assert len(found.key) == 12
            assert from_dict(json.loads(canonical_json(found))) == found


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Run)])
def test_every_field_of_a_run_is_one_or_is_refused_in_one_line(name):
    values = (
        "",
        "a\x1bb",
        "x" * 100_000,
        [],
        {},
        [[]],
        b"x",
        None,
        True,
        -1,
        0.5,
        float("nan"),
        1e308,
        10**23,
        10**5_000,
    )
    for value in values:
        try:
            found = dataclasses.replace(RUN, **{name: value})
        except UserError as error:
            assert len(str(error)) < 400
            assert str(error).isprintable()
        else:
            assert from_dict(json.loads(canonical_json(found))) == found


def test_a_batch_is_as_large_as_the_run_says():
    """Of fewer images than a batch there would be smaller batches than the key names."""
    with pytest.raises(UserError, match="batch: at most the 200 training images, not 201"):
        dataclasses.replace(RUN, recipe=Recipe(steps=1, batch=201))


def test_one_milestone_needs_no_comma():
    steps = Recipe(steps=1, schedule="steps", milestones=(0.5,))
    for text in ("0.5", "(0.5,)", "[0.5]"):
        assert with_settings(Recipe(steps=1), {"schedule": "steps", "milestones": text}) == steps


def test_views_have_a_bound_together():
    with pytest.raises(UserError, match="a batch of 512 views of 1024 × 1024 has more than 268,435,456 pixels"):
        Recipe(steps=1, batch=512, size=1_024)
    with pytest.raises(UserError, match="size must be at most 1024, not 100000"):
        Recipe(steps=1, size=100_000)
