"""Where smoothing helps and harms: each claim on its own runs, whichever of the three experiments are recorded."""

import numpy as np
import pytest

from lsbook.chapters import conditions
from lsbook.chapters.shared import claim_tables
from lsbook.chapters.shared.selection import parse_seeds
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.evidence.claims import REPRODUCED, UNDECIDED

BEAMS = 8, 32
WITH_LABELS, WITH_TEACHERS, TRANSLATING = range(3)  # the groups, in their order


@pytest.fixture
def record(put, tmp_path, monkeypatch):
    """Records a group's runs of each planned seed.

    metrics: those of a run, by its name in the group and the seed; arrays: of every run.
    """
    monkeypatch.setenv("LSBOOK_RESULTS", str(tmp_path))
    store = Store(tmp_path)

    def of_group(place, metrics, **arrays):
        group = conditions.groups("laptop")[place]
        for seed in parse_seeds(group.seeds):
            for name, run in group.runs(seed).items():
                put(store, run, metrics=metrics(name, seed), arrays=arrays)

    return of_group


def labelled(name, seed):
    """Wrong labels cost ten points, half as much with smoothing."""
    arm, noise = name
    lost = {"hard": 10, "smoothed": 5}[arm] * noise / 0.2
    return {"test_accuracy": (70 - lost + 0.1 * seed) / 100, "train_accuracy": 0.9 - noise}


def taught(name, seed):
    """A smoothed teacher costs a point at T = 1 and four at T = 4."""
    alpha, temperature = name
    if temperature is None:
        return {"test_accuracy": 0.8}
    return {"test_accuracy": (60 - (temperature if alpha else 0) + 0.01 * seed * temperature) / 100}


def translating(name, seed):
    found = {}
    for beam in BEAMS:
        found[f"test_unpenalised{beam}_log_length"] = {"hard": -0.1, "smoothed": -0.2}[name] + 0.001 * seed
        found[f"test_unpenalised{beam}_empty_margin"] = -5 + 0.1 * seed
        found[f"test_unpenalised{beam}_bleu"] = 30
        found[f"test_rectified{beam}_bleu"] = 31 + 0.01 * seed
    return found


def verdicts(study):
    return {
        (f.verdict.claim, f.verdict.part, f.setting.rpartition(", ")[2]): (f.verdict.verdict, round(f.change.mean, 6))
        for f in claim_tables.findings(conditions.measured(study))
    }


def test_each_claim_is_decided_on_its_own_runs(record):
    record(WITH_LABELS, labelled)
    record(WITH_TEACHERS, taught)
    record(TRANSLATING, translating, wide_beams=np.array(BEAMS))
    expected = {
        ("L8", "", "20 % wrong labels"): (REPRODUCED, 5.0),
        ("L4", "", "CIFAR-10"): (REPRODUCED, 3.0),
    }
    for beam in ("beam 8", "beam 32"):
        expected["L5", "length", beam] = (REPRODUCED, -0.1)
        expected["L5", "repair", beam] = (REPRODUCED, 1.04)
        expected["L5", "empty", beam] = (UNDECIDED, 0.0)
    study = conditions.study()
    assert verdicts(study) == expected
    assert len(study.records) == 20 + (6 + 12) + 6
    said = conditions.in_short(study).markdown
    assert "Smoothing helps on AlexNet, CIFAR-10, 20 % wrong labels (test accuracy" in said
    assert "decided yet" not in said
    assert "may change" not in said


WARM, WIDE = "teachers at a high temperature", "wide beams in translation"


@pytest.mark.parametrize(
    ("place", "metrics", "claim", "waiting"),
    [
        (WITH_LABELS, labelled, "L8", (WARM, WIDE)),
        (WITH_TEACHERS, taught, "L4", ("wrong labels", WIDE)),
        (TRANSLATING, translating, "L5", ("wrong labels", WARM)),
    ],
)
def test_one_experiment_alone_is_shown_and_the_others_are_said_to_be_waited_for(record, place, metrics, claim, waiting):
    record(place, metrics, wide_beams=np.array(BEAMS))
    study = conditions.study()
    assert {found for found, _, _ in verdicts(study)} == {claim}
    said = conditions.in_short(study).markdown
    assert all(f"{name} (" in said.partition("Nothing is decided yet of ")[2] for name in waiting)
    assert conditions.conditions_figure(study).draw(3.7).axes
    assert len(conditions.conditions_figure(study).draw(7.6).axes) == 1
    assert ("%" in conditions.fitted_text(study).markdown) is (place == WITH_LABELS)
    assert conditions.numbers(study)["noise"] == "0.2"


def test_translations_that_were_not_searched_with_wide_beams_are_left_out(record):
    record(WITH_LABELS, labelled)
    record(TRANSLATING, lambda name, seed: {"test_bleu": 30})
    study = conditions.study()
    assert {claim for claim, _, _ in verdicts(study)} == {"L8"}
    assert len(conditions.conditions_figure(study).draw(7.6).axes) == 1


def test_the_gap_of_wrong_labels_is_that_of_smoothing_alike(record):
    """With a fifth of wrong labels among ten classes, log(0.8 / (0.2 / 9))."""
    record(TRANSLATING, translating, wide_beams=np.array(BEAMS))
    assert conditions.numbers(conditions.study())["gap"] == pytest.approx(3.58351893845611)


@pytest.mark.parametrize("noise", [0, 0.9, -1, float("nan"), "many", True])
def test_a_share_of_wrong_labels_that_cannot_be_is_refused(noise):
    with pytest.raises(UserError, match="noise must be a"):
        conditions.groups("laptop", noise=noise)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, "x"])
def test_a_factor_that_cannot_be_is_refused(alpha):
    with pytest.raises(UserError, match="alpha"):
        [group.runs(0) for group in conditions.groups("smoke", alpha)]
