import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lsbook.analysis.statistics import (
    mean_interval,
    paired_interval,
    seed_values,
    standard_errors_apart,
    welch_interval,
)

ARMS = st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=2, max_size=8, unique=True)


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
