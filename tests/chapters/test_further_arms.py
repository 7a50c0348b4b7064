"""Further arms, as a reader asks for them: MaxSup and a loss of the reader's own beside hard and smoothed targets,
trained by a sweep and shown."""

import dataclasses
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from lsbook import figures
from lsbook.analysis.calibration import confidence_reliability
from lsbook.chapters import calibration, calibration_details, later_findings, projections
from lsbook.chapters.shared import claim_tables
from lsbook.core.store import Record, Store
from lsbook.figures import style
from lsbook.recipes import profiles
from lsbook.runner.sweep import sweep

SEEDS = range(2)
LOSSES = "maxsup,mine.losses:Focal"
NAMES = ["hard", "smoothed", "MaxSup", "Focal"]
LABELS = ["hard targets", "smoothed, α = 0.1", "MaxSup, α = 0.1", "Focal, α = 0.1"]
NETWORK = "narrow AlexNet, digits (scikit-learn)"
HEADINGS = [NETWORK, f"{NETWORK}, MaxSup, α = 0.1", f"{NETWORK}, Focal, α = 0.1"]


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory):
    """The arms of both chapters, on the smoke data, in the book's store; the reader's module can be imported.

    A quarter of the smoke profile's steps are enough to be shown.
    """
    store = Store(tmp_path_factory.mktemp("results"))
    mine = str(Path(__file__).parents[1] / "newcomer")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(mine)
        patch.setenv("PYTHONPATH", mine)
        patch.setenv("LSBOOK_RESULTS", str(store.path))
        smoke = "smoke", "digits", "alexnet-16"
        examples, recipe = profiles.RECIPES[smoke]
        patch.setitem(profiles.RECIPES, smoke, (examples, dataclasses.replace(recipe, steps=recipe.steps // 4)))
        [group] = projections.groups("smoke", 0.1, LOSSES)
        runs = [run for seed in SEEDS for run in group.runs(seed).values()]
        assert [(run.recipe.loss, run.alpha) for run in runs[:4]] == [
            ("cross-entropy", 0.0),
            ("cross-entropy", 0.1),
            ("maxsup", 0.1),
            ("mine.losses:Focal", 0.1),
        ]
        assert sweep(runs, store) == []
        yield store


@pytest.fixture(scope="module")
def rows(store) -> list[projections.FigureRow]:
    return projections.rows("smoke", 0.1, "recorded", other_losses=LOSSES)


@pytest.fixture(scope="module")
def study(store) -> calibration.Study:
    return calibration.study("smoke", seeds="recorded", other_losses=LOSSES)


def maxsup(store: Store) -> list[Record]:
    return sorted((record for record in store if record.run.recipe.loss == "maxsup"), key=lambda r: r.run.seed)


def test_projections_have_its_panels_its_values_and_its_rows(rows, store):
    [first] = rows
    assert [arm.label for arm in first.comparison.arms] == LABELS
    drawn = figures.projection_figure(projections.panels(first.comparison, first.classes))
    titles = [axes.get_title() for axes in drawn.axes[:8]]
    assert titles == [
        f"{arm}, {split}" for arm in ("hard targets", "α = 0.1", *LABELS[2:]) for split in ("training", "test")
    ]
    assert drawn.axes[4].title.get_color() == style.COLOURS["third"]
    assert drawn.axes[6].title.get_color() == style.COLOURS["fourth"]
    table = projections.accuracy_table(rows)
    assert table.header == ("Network", "", "Hard", "Smoothed", "MaxSup", "Focal", "α")
    accuracies = [100 * record.metrics["test_accuracy"] for record in maxsup(store)]
    assert float(table.rows[-1][4].split(" ±")[0]) == pytest.approx(np.mean(accuracies), rel=0.05)


def test_the_rule_is_applied_to_it_under_its_own_heading(rows, study):
    for measured in (projections.measured(rows), calibration.measured(study)):
        assert [setting.title for setting in measured] == HEADINGS
        first, second, third = ([found.verdict.claim for found in setting.measures] for setting in measured)
        assert first == second == third
        html = claim_tables.claim_table(measured).html
        labels = re.findall(r'<tr id="([^"]*)"><th scope="row">(.*?) <small>', html)
        short = [heading.removesuffix(", α = 0.1") for heading in HEADINGS]  # the row says α below
        assert [unescape(label) for _, label in labels] == short * len(first)
        assert len({anchor for anchor, _ in labels}) == len(labels)


def test_calibration_has_its_diagram_its_point_and_its_row(study, store):
    [(_, arms)] = calibration.diagrams(study)
    assert [arm.name for arm in arms] == [LABELS[0], "hard, scaled", *LABELS[1:]]
    drawn = figures.reliability_figure(calibration.diagrams(study))
    assert [axes.get_title().replace("\n", " ") for axes in drawn.axes[:5]] == [arm.name for arm in arms]
    assert drawn.axes[3].lines[1].get_color() == style.COLOURS["third"]
    expected = [
        confidence_reliability(r.arrays["test_confidence"].astype(float), r.arrays["test_hit"], 15).ece
        for r in maxsup(store)
    ]
    [points] = calibration.factors(study)
    assert [point.name for point in points.further] == NAMES[2:]
    np.testing.assert_allclose(points.further[0].ece, expected, rtol=1e-3)  # confidences are kept rounded
    rows = {row[:2]: row for row in calibration_details.ece_table(study).rows}
    assert rows[HEADINGS[1], "here"][4].startswith(f"{np.mean(expected):.2f}"[:4])
    assert len({rows[heading, "here"][2:4] for heading in HEADINGS}) == 1  # the reference is the same
    assert [row[0] for row in calibration_details.likelihood_table(study).rows] == HEADINGS
    assert [row[0] for row in calibration_details.measures_table(study).rows[1:]] == [arm.name for arm in arms]
    [axes] = figures.likelihood_figure(calibration_details.likelihoods(study)).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == LABELS
    lengths, along = calibration_details.lengths(study), calibration_details.along_training(study)
    along = figures.length_figure(lengths, along).axes[-1]
    assert [text.get_text() for text in along.get_legend().get_texts()] == NAMES
    assert "MaxSup networks, against hard ones" in calibration_details.numbers(study)["lower"]


def test_without_being_asked_for_it_is_not_shown(store):
    [first] = projections.rows("smoke", 0.1, "recorded")
    assert [arm.label for arm in first.comparison.arms] == LABELS[:2]


def test_later_findings_compare_the_same_arms():
    assert [arm.label for arm in later_findings.arms()[:3]] == LABELS[:3]
