import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lsbook.analysis.statistics import (
    difference_interval,
    holm,
    mean_interval,
    paired_interval,
    paired_p_value,
    seed_values,
    standard_errors_apart,
    welch_interval,
    welch_p_value,
)

ARMS = st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=2, max_size=8, unique=True)
FEW_VALUES = st.lists(st.floats(-10, 10).map(lambda value: round(value, 3)), min_size=2, max_size=8)


def test_interval_of_three_values():
    """t(2) has its 97.5 % point at 4.30265, the standard error of (1, 2, 3) is 1/√3."""
    half = 4.30265 / math.sqrt(3)
    assert mean_interval([1, 2, 3]) == pytest.approx((2, 2 - half, 2 + half), rel=1e-5)


@given(ARMS, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_one_arm_equals_scipy(values, level):
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    for interval in (mean_interval(values, level), paired_interval(values, level)):
        assert interval == pytest.approx((np.mean(values), *expected), abs=1e-9)


@given(ARMS, ARMS, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_two_arms_equal_scipy(hard, smoothed, level):
    expected = stats.ttest_ind(smoothed, hard, equal_var=False).confidence_interval(level)
    interval = welch_interval(hard, smoothed, level)
    assert interval == pytest.approx((np.mean(smoothed) - np.mean(hard), *expected), abs=1e-9)


def test_no_variance_gives_a_point():
    assert mean_interval([0.1] * 3) == (0.1, 0.1, 0.1)
    assert welch_interval([0.25] * 3, [0.75] * 4) == (0.5, 0.5, 0.5)


def test_one_arm_without_variance_equals_the_other_alone():
    assert welch_interval([0, 0, 0], [1, 2, 3]) == pytest.approx(mean_interval([1, 2, 3]))


def test_no_seeds_are_allowed_where_nothing_is_computed():
    assert seed_values("hard", []).shape == (0,)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("values", lambda: mean_interval([1])),
        ("values", lambda: mean_interval([[1, 2]])),
        ("values", lambda: mean_interval([1, math.inf])),
        ("differences", lambda: paired_interval([])),
        ("differences", lambda: paired_interval([1, math.nan])),
        ("hard", lambda: welch_interval([1], [1, 2])),
        ("smoothed", lambda: welch_interval([1, 2], [1])),
        ("smoothed", lambda: welch_interval([1, 2], [1, math.nan])),
        ("level", lambda: mean_interval([1, 2], level=95)),
    ],
)
def test_bad_input_names_the_argument(argument, call):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()


def test_shares_lie_as_far_apart_as_the_chi_squared_test_says():
    chi2 = stats.chi2_contingency([[30, 70], [45, 155]], correction=False).statistic
    assert standard_errors_apart(0.3, 100, 0.225, 200) == pytest.approx(np.sqrt(chi2))
    assert standard_errors_apart(0.225, 200, 0.3, 100) == pytest.approx(-np.sqrt(chi2))


@given(FEW_VALUES, FEW_VALUES, st.floats(-5, 5))
def test_a_p_value_is_below_5_percent_exactly_where_the_interval_leaves_the_threshold_out(first, second, threshold):
    for interval, p in [
        (paired_interval(np.array(first)), paired_p_value(np.array(first), threshold)),
        (
            welch_interval(np.array(first), np.array(second)),
            welch_p_value(np.array(first), np.array(second), threshold),
        ),
    ]:
        nearest = min(abs(interval.low - threshold), abs(interval.high - threshold))
        if nearest > 1e-9:  # at an end rounding decides
            assert (p < 0.05) == (not interval.low <= threshold <= interval.high)


def test_a_difference_of_single_runs_is_a_point():
    assert difference_interval([1.0], [1.5, 2.5]) == (1.0, 1.0, 1.0)
    assert difference_interval([1.0, 2.0], [3.0, 5.0]) == welch_interval([1.0, 2.0], [3.0, 5.0])


def test_p_values_are_those_of_scipy():
    first, second = np.array([1.0, 2.0, 4.0]), np.array([2.5, 3.0, 7.0, 6.0])
    assert paired_p_value(first, 0.5) == pytest.approx(stats.ttest_1samp(first, 0.5).pvalue)
    expected = stats.ttest_ind(second - 0.5, first, equal_var=False).pvalue
    assert welch_p_value(first, second, 0.5) == pytest.approx(expected)


def test_values_without_variance_are_at_the_threshold_or_not():
    assert paired_p_value(np.array([1.0, 1.0]), 1.0) == 1
    assert paired_p_value(np.array([1.0, 1.0]), 0.5) == 0
    assert welch_p_value(np.array([0.0, 0.0, 0.0]), np.array([1.0, 1.0]), 1.0) == 1


def test_adjusted_p_values_are_those_one_can_redo():
    """Of four: by 4, 3, 2, 1 from the smallest up, and they never fall."""
    p = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.9])).tolist() == [1, 1]


@pytest.mark.parametrize("values", [[], [1.5], [-0.1], [float("nan")]])
def test_what_is_no_p_value_is_refused(values):
    with pytest.raises(ValueError, match="p_values"):
        holm(np.array(values))
