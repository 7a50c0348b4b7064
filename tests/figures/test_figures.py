"""Figures: what is drawn is the data."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from lsbook import figures
from lsbook.analysis.calibration import Reliability
from lsbook.analysis.statistics import mean_interval
from lsbook.analysis.targets import optimal_logit_gap, smallest_loss
from lsbook.chapters.shared.comparison import ArmValues
from lsbook.figures import curves, intervals, projection, reliability, style

POINTS = np.random.default_rng(0).normal(size=(30, 2))
PANEL = SimpleNamespace(
    title="hard targets, training",
    points=POINTS,
    labels=np.repeat([0, 1, 2], 10),
    templates=np.array([[1.0, 0], [0, 1], [-1, -1]]),
    classes=("a", "b", "c"),
    arm="hard",
    colour="hard",
)
OTHER_ARM = {"arm": "smoothed", "colour": "smoothed", "title": "α = 0.1, training"}
SMALL = SimpleNamespace(**vars(PANEL) | OTHER_ARM | {"points": POINTS / 4})


def arm(values, name="hard") -> ArmValues:
    return ArmValues(name, name, np.array(values))


@pytest.fixture
def axes():
    return Figure().subplots()


def test_a_panel_shows_every_point_and_template_on_centred_axes(axes):
    assert projection.draw_projection(PANEL, axes, limit=5) is axes
    offsets = [np.asarray(collection.get_offsets()) for collection in axes.collections]
    np.testing.assert_allclose(np.concatenate(offsets[:3]), PANEL.templates)
    drawn = np.concatenate(offsets[3:])
    np.testing.assert_allclose(drawn[np.lexsort(drawn.T)], POINTS[np.lexsort(POINTS.T)])
    assert axes.get_xlim() == axes.get_ylim() == (-5, 5)
    assert axes.get_title() == PANEL.title


def test_panels_that_fill_no_last_row_leave_its_end_empty():
    """Ten in rows of four, as five arms have, and again on axes of their own."""
    assert len(figures.projection_figure([PANEL, SMALL] * 5, 7.6).axes) == 20


def test_the_upper_row_shares_its_axes_and_the_lower_has_each_networks_own():
    grid = figures.projection_figure([PANEL, SMALL]).axes
    limits = [axes.get_xlim()[1] for axes in grid[:4]]
    largest = 1.05 * np.abs(POINTS).max()
    np.testing.assert_allclose(limits, [largest, largest, largest, largest / 4])


def test_names_of_classes_are_no_formulas():
    figure = figures.projection_figure([SimpleNamespace(**vars(PANEL) | {"classes": ("$\\x$", "b", "c")}), SMALL])
    figure.savefig(io.BytesIO())
    assert figure.legends[0].get_texts()[0].get_text() == "$\\x$"


def test_classes_are_drawn_by_turns(axes):
    points = np.zeros((60, 2))
    many = SimpleNamespace(**vars(PANEL) | {"points": points, "labels": np.repeat([0, 1, 2], 20)})
    colours = [tuple(c.get_facecolor()[0][:3]) for c in projection.draw_projection(many, axes, limit=5).collections[3:]]
    assert len(set(colours[:3])) == 3
    assert colours == colours[:3] * 10


def test_templates_that_are_not_seen_are_counted(axes):
    assert [text.get_text() for text in projection.draw_projection(PANEL, axes, limit=0.9).texts][0].endswith(
        "3 templates outside"
    )


def test_a_point_far_from_all_others_is_counted_beyond_the_axes():
    far = SimpleNamespace(**vars(PANEL) | {"points": np.vstack([POINTS[:-1], [100, 0]])})
    first, other, *_ = figures.projection_figure([far, SMALL]).axes
    within = np.abs(np.vstack([POINTS[:-1], POINTS / 4])).max(axis=1)
    assert within.max() < first.get_xlim()[1] < 2.1 * within.max()
    assert [text.get_text() for text in (*first.texts, *other.texts)] == ["1 example outside"]


def test_the_marked_minima_are_the_lowest_points_of_their_curves(axes):
    curves.draw_loss_against_gap(axes, 10, (0, 0.05, 0.1, 0.3))
    lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
    dots = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert len(lines) == 4
    for alpha, curve, dot in zip((0.05, 0.1, 0.3), lines[1:], dots, strict=True):
        assert dot.get_xdata()[0] == optimal_logit_gap(10, alpha)
        assert dot.get_ydata()[0] == pytest.approx(curve.get_ydata().min(), abs=1e-3)
        assert dot.get_ydata()[0] == pytest.approx(smallest_loss(10, alpha))
    assert (np.diff(lines[0].get_ydata()) < 0).all()  # the hard loss has no minimum


def test_the_best_gap_falls_with_alpha(axes):
    curves.draw_gap_against_alpha(axes, (10, 100, 1_000), [(10, 0.1, 4.5)])
    assert [len(line.get_xdata()) for line in axes.lines] == [200, 200, 200, 1]
    assert all((np.diff(line.get_ydata()) < 0).all() for line in axes.lines[:3])


def diagram(confidence, accuracy, count) -> Reliability:
    return Reliability(np.array(confidence), np.array(accuracy), np.array(count))


SEEDS = [
    diagram([0.2, 0.5, 0.9], [0.1, 0.4, 0.8], [50, 9, 100]),
    diagram([0.3, 0.6, 0.9], [0.2, np.nan, 0.6], [40, 0, 200]),
]


def test_a_reliability_diagram_shows_the_mean_and_the_range_of_well_filled_bins(axes):
    reliability.draw_reliability(axes, SEEDS, "black")
    _, points = axes.lines
    np.testing.assert_allclose(points.get_xydata(), [[0.25, 0.15], [0.9, 0.7]])  # the middle bin has 9 and 0 examples
    sampling, seeds = ({tuple(c) for c in band.get_paths()[0].vertices.round(6)} for band in axes.collections)
    assert seeds == {(0.25, 0.1), (0.25, 0.2), (0.9, 0.6), (0.9, 0.8)}
    low, high = stats.binom.interval(0.95, [45, 150], [0.25, 0.9])  # mean counts of the two bins
    expected = np.array([low / [45, 150], high / [45, 150]])
    assert sampling == {(x, round(end, 6)) for x, ends in zip((0.25, 0.9), expected.T, strict=True) for end in ends}


def test_confidences_are_shares_in_percent(axes):
    reliability.draw_confidences(axes, SEEDS, "black")
    heights = [bar.get_height() for bar in axes.patches]
    np.testing.assert_allclose(heights, 100 * np.array([45, 4.5, 150]) / 199.5)
    assert [bar.get_x() for bar in axes.patches] == pytest.approx([0, 1 / 3, 2 / 3])


def test_every_network_has_its_row_of_three_arms():
    arms = [(kind, kind, SEEDS) for kind in ("hard", "scaled", "smoothed")]
    figure = figures.reliability_figure([("first", arms), ("second", arms)])
    assert [part.get_suptitle() for part in figure.subfigs] == ["first", "second"]
    titles = [axes.get_title() for axes in figure.subfigs[1].axes]
    assert titles == ["hard", "scaled", "smoothed", "", "", ""]
    colours = [axes.lines[1].get_color() for axes in figure.subfigs[0].axes[:3]]
    assert colours == [style.HARD, style.SCALED, style.SMOOTHED]


def test_factors_have_means_and_intervals_over_the_seeds():
    ece = np.array([[0.1, 0.2, 0.3], [0.0, 0.1, 0.2], [0.3, 0.3, 0.6]])
    arms = zip(("hard", "smoothed", "MaxSup"), ("hard", "smoothed", "third"), (0.0, 0.1, 0.1), ece, strict=True)
    points = [
        SimpleNamespace(name=name, colour=colour, alpha=alpha, ece=values, accuracy=100 * values)
        for name, colour, alpha, values in arms
    ]
    network = SimpleNamespace(title="a, b", smoothing=points[:2], further=points[2:])
    left, right = figures.factors_figure([network]).axes
    np.testing.assert_allclose(left.containers[0].lines[0].get_ydata(orig=False), [0.2, 0.1])
    interval = mean_interval(ece[1])
    np.testing.assert_allclose(left.containers[0].lines[2][0].get_segments()[1][:, 1], [interval.low, interval.high])
    np.testing.assert_allclose(right.containers[0].lines[0].get_ydata(orig=False), [20, 10])
    assert left.containers[1].lines[0].get_color() == style.HARD
    assert left.containers[1].lines[0].get_xydata().tolist() == [[0.0, pytest.approx(0.2)]]
    assert left.containers[2].lines[0].get_xydata().tolist() == [[0.1, pytest.approx(0.4)]]
    assert left.containers[2].lines[0].get_color() == style.COLOURS["third"]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["MaxSup"]


def test_lengths_have_a_line_for_each_number_of_images(axes):
    def length(images, epochs, hard):
        arms = [arm([hard, hard]), arm([hard + 1] * 2, "smoothed")]
        return SimpleNamespace(images=images, epochs=epochs, arms=arms)

    intervals.draw_lengths(axes, [length(100, 5, 0.1), length(100, 20, 0.2), length(400, 10, 0.3)])
    drawn = {c.get_label(): c.lines[0].get_xydata().tolist() for c in axes.containers}
    assert drawn["hard, 100 images"] == [[5, 0.1], [20, 0.2]]
    assert drawn["smoothed, 400 images"] == [[10, 1.3]]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["5", "10", "20"]


ALONG = SimpleNamespace(
    title="a", epochs=np.array([1.0, 2.0]), arms=[arm([[1.0, 3.0], [2.0, 5.0]]), arm(np.ones((2, 2)), "smoothed")]
)


def test_along_a_training_stands_the_mean_over_the_seeds(axes):
    curves.draw_along_training(axes, ALONG)
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[1, 1.5], [2, 4]])
    assert axes.lines[1].get_color() == style.SMOOTHED


@pytest.mark.parametrize(
    ("trainings", "panels"), [([], 1), ([SimpleNamespace(images=1, epochs=1, arms=[arm([0.1])])], 2)]
)
def test_without_other_lengths_one_training_stands_alone(trainings, panels):
    assert len(figures.length_figure(trainings, ALONG).axes) == panels


def test_likelihoods_are_marked_at_the_fitted_temperature():
    curves = [
        SimpleNamespace(
            title=kind, colour=kind, temperatures=np.array([1.0, 2]), nll=np.array([3.0, 4]), fitted=1.5, best=2
        )
        for kind in ("hard", "smoothed")
    ]
    [axes] = figures.likelihood_figure([("a, b", curves)]).axes
    dots = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert dots == [[[1.5, 2.0]], [[1.5, 2.0]]]
    assert axes.get_title() == "a,\nb"
    assert len(figures.likelihood_figure([("a, b", curves)] * 5).axes) == 5


def test_sample_sizes_show_all_three_estimates():
    values = {name: np.array([0.1, 0.2]) * k for k, name in enumerate(("plain", "expected", "debiased"), start=1)}
    [axes] = figures.sample_size_figure(SimpleNamespace(sizes=np.array([10, 100]), **values)).axes
    np.testing.assert_allclose([line.get_ydata() for line in axes.lines], list(values.values()))
    assert axes.get_xscale() == "log"


def test_a_colour_has_one_meaning():
    """The student alone is what the others are compared with, so it is neutral."""
    kinds = [colour for kind, colour in style.COLOURS.items() if kind != "alone"]
    others = [colour for colour in style.FACTOR_COLOURS if colour not in kinds]
    colours = [*kinds, *others, *style.CLASSES, style.NEUTRAL, style.CORRECTED]
    assert len(set(colours)) == len(colours)
    assert style.COLOURS["alone"] == style.NEUTRAL
