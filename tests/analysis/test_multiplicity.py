"""p-values against the intervals whose tests they are, and their adjustment against numbers one can redo."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lsbook.analysis.multiplicity import benjamini_hochberg, holm
from lsbook.analysis.statistics import paired_interval, paired_p_value, welch_interval, welch_p_value

VALUES = st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=2, max_size=8)


@given(VALUES, VALUES, st.floats(-5, 5))
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
    """Of four: Holm multiplies by 4, 3, 2, 1 from the smallest up and never falls; Benjamini and Hochberg multiply the
    k-th smallest by 4 / k and never rise from the largest down."""
    p = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.02, 0.04, 0.04, 0.02])
    assert holm(np.array([0.6, 0.9])).tolist() == [1, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_benjamini_and_hochbergs_values_are_scipys(p):
    np.testing.assert_allclose(benjamini_hochberg(np.array(p)), stats.false_discovery_control(p, method="bh"))


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("values", [[], [1.5], [-0.1], [float("nan")]])
def test_what_is_no_p_value_is_refused(adjust, values):
    with pytest.raises(ValueError, match="p_values"):
        adjust(np.array(values))
