"""Figures: what is drawn is the data."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from lsbook import plots
from lsbook.analysis.statistics import mean_interval
from lsbook.analysis.targets import optimal_logit_gap, smallest_loss

POINTS = np.random.default_rng(0).normal(size=(30, 2))
PANEL = SimpleNamespace(
    title="hard targets, training",
    points=POINTS,
    labels=np.repeat([0, 1, 2], 10),
    templates=np.array([[1.0, 0], [0, 1], [-1, -1]]),
    classes=("a", "b", "c"),
    smoothed=False,
)
SMALL = SimpleNamespace(**vars(PANEL) | {"points": POINTS / 4, "smoothed": True, "title": "α = 0.1, training"})


@pytest.fixture
def axes():
    return Figure().subplots()


def test_a_panel_shows_every_point_and_template_on_centred_axes(axes):
    assert plots.projection(PANEL, axes, limit=5) is axes
    offsets = [np.asarray(collection.get_offsets()) for collection in axes.collections]
    assert len(offsets) == 6
    np.testing.assert_allclose(np.concatenate(offsets[::2]), POINTS)
    np.testing.assert_allclose(np.concatenate(offsets[1::2]), PANEL.templates)
    assert axes.get_xlim() == axes.get_ylim() == (-5, 5)
    assert axes.get_title() == PANEL.title


def test_the_upper_row_shares_its_axes_and_the_lower_has_each_networks_own():
    grid = plots.projection_figure([PANEL, SMALL]).axes
    limits = [axes.get_xlim()[1] for axes in grid[:4]]
    largest = 1.05 * np.abs(POINTS).max()
    np.testing.assert_allclose(limits, [largest, largest, largest, largest / 4])


def test_dots_are_seeds_and_the_bar_is_students(axes):
    hard, smoothed = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.7])
    plots.seeds(axes, hard, smoothed, "title", "unit")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), hard)
    interval = mean_interval(hard)
    [segment] = axes.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose(segment[:, 1], [interval.low, interval.high])
    assert axes.get_ylabel() == "unit"


def test_one_seed_has_no_bar(axes):
    plots.seeds(axes, np.array([1.0]), np.array([2.0]), "title", "unit")
    assert len(axes.containers) == 0


def test_a_figure_has_one_diagram_for_each_quantity():
    values = np.array([1.0, 2.0])
    assert len(plots.seeds_figure([("t", "u", values, values)] * 4).axes) == 4


def test_the_marked_minima_are_the_lowest_points_of_their_curves(axes):
    plots.loss_against_gap(axes, 10, (0, 0.05, 0.1, 0.3))
    curves = [line for line in axes.lines if len(line.get_xdata()) > 1]
    dots = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert len(curves) == 4
    for alpha, curve, dot in zip((0.05, 0.1, 0.3), curves[1:], dots, strict=True):
        assert dot.get_xdata()[0] == optimal_logit_gap(10, alpha)
        assert dot.get_ydata()[0] == pytest.approx(curve.get_ydata().min(), abs=1e-3)
        assert dot.get_ydata()[0] == pytest.approx(smallest_loss(10, alpha))
    assert (np.diff(curves[0].get_ydata()) < 0).all()  # the hard loss has no minimum


def test_the_best_gap_falls_with_alpha(axes):
    plots.gap_against_alpha(axes, (10, 100, 1_000), [(10, 0.1, 4.5)])
    assert [len(line.get_xdata()) for line in axes.lines] == [200, 200, 200, 1]
    assert all((np.diff(line.get_ydata()) < 0).all() for line in axes.lines[:3])
