"""The first chapter's arithmetic."""

import math

import pytest

from lsbook.chapters import label_smoothing
from lsbook.core.errors import UserError


@pytest.mark.parametrize(
    ("alpha", "n_classes", "gap", "loss"),
    # log(0.91 / 0.01) and the entropy of 0.91 and nine times 0.01; log(0.75 / 0.25) and the entropy of 0.75 and 0.25
    [
        (0.1, 10, "α = 0.1 and 10 classes the true logit should lie 4.51", "0.50"),
        (0.5, 2, "α = 0.5 and 2 classes the true logit should lie 1.10", "0.56"),
    ],
)
def test_in_short_has_the_gap_and_the_entropy_of_the_target(alpha, n_classes, gap, loss):
    assert label_smoothing.in_short(alpha, n_classes).markdown == (
        "**In short.** With hard targets a larger true logit always has a smaller loss. Smoothed targets ask for a "
        f"finite gap: with {gap} nats above each other one, and even there the loss is {loss} nats. So an activation "
        "should be nearer to its own class’s template than to the others, and equally far from all of these. You can "
        "{ref}`move the gap yourself <move-the-gap>`."
    )


def test_the_optimiser_finds_the_formulas_gap():
    for n_classes, alpha, gap in label_smoothing.found_gaps(0.2, 7):
        assert gap == pytest.approx(math.log((1 - alpha + alpha / n_classes) / (alpha / n_classes)), abs=1e-6)


def test_the_chapters_own_setting_comes_first_and_once():
    found = [(k, alpha) for k, alpha, _ in label_smoothing.found_gaps(0.1, 10)]
    assert found[0] == (10, 0.1)
    assert len(set(found)) == len(found) == 6


@pytest.mark.parametrize(("alpha", "n_classes"), [(0, 10), (1, 10), (-0.1, 10), ("abc", 10), (0.1, 1), (0.1, 2.5)])
def test_bad_parameters_are_refused(alpha, n_classes):
    with pytest.raises(UserError, match="must be"):
        label_smoothing.check_choice(alpha, n_classes)


def test_the_survey_prints_table_1():
    rows = {row[:2]: row[2:] for row in label_smoothing.survey_table().rows}
    assert rows["WSJ speech, BiLSTM with attention", "word error rate (%)"] == ("8.9", "7.0 / 6.7")
    assert rows["WMT14 English–German, Transformer", "BLEU"] == ("25.3", "25.8")
