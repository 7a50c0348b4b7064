"""The first chapter's arithmetic."""

import math

import pytest

from lsbook.chapters import label_smoothing
from lsbook.core.errors import UserError


def test_the_worked_example_is_the_corrected_one():
    """K = 3, α = 0.1, second class: 0.1 / 3 = 0.0333 and 0.9 + 0.0333."""
    hard, smoothed = label_smoothing.worked_example(0.1).rows
    assert hard[1:] == ("0.0000", "1.0000", "0.0000", "1.0000")
    assert smoothed[1:] == ("0.0333", "0.9333", "0.0333", "1.0000")


@pytest.mark.parametrize(("alpha", "n_classes"), [(0.1, 10), (0.5, 2), (0.01, 100)])
def test_the_loss_is_the_sum_of_its_two_parts(alpha, n_classes):
    assert label_smoothing.two_parts(alpha, n_classes) < 1e-12


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
