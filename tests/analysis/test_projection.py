import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lsbook.analysis.projection import (
    arc_ratio,
    gap_variation,
    logit_gaps,
    mean_distance,
    project,
    span_coordinates,
    template_plane,
    triangle_side_ratio,
    within_between_scatter,
    within_scatter,
)

GENERATORS = st.integers(0, 10_000).map(np.random.default_rng)
TRIANGLE = np.array([[0.0, 0, 2], [3, 0, 2], [0, 4, 2]])


def distances(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def test_known_plane():
    plane = template_plane(TRIANGLE)
    assert plane.origin == pytest.approx([0, 0, 2])
    assert plane.basis == pytest.approx(np.eye(3)[:2])
    assert project([[1, 2, 99]], plane) == pytest.approx(np.array([[1, 2]]))


def test_the_third_template_is_always_above():
    mirrored = template_plane(TRIANGLE * [1, -1, 1])
    assert mirrored.basis == pytest.approx(np.array([[1, 0, 0], [0, -1, 0]]))


@given(GENERATORS, st.integers(2, 20))
def test_plane_holds_the_templates_and_keeps_their_distances(rng, d):
    templates = rng.normal(size=(3, d)) * 10.0 ** rng.integers(-3, 4)
    plane = template_plane(templates)
    projected = project(templates, plane)
    assert distances(projected) == pytest.approx(distances(templates))
    assert plane.origin + projected @ plane.basis == pytest.approx(templates)
    assert plane.basis @ plane.basis.T == pytest.approx(np.eye(2), abs=1e-12)
    assert plane.basis @ plane.origin == pytest.approx(np.zeros(2), abs=1e-12 * np.abs(templates).max())
    assert projected[1, 0] > projected[0, 0]
    assert projected[1, 1] == pytest.approx(projected[0, 1])
    assert projected[2, 1] > projected[0, 1]


@given(GENERATORS, st.integers(3, 12), st.integers(2, 12))
def test_span_coordinates_keep_logits_and_projections(rng, n_classes, d):
    activations, templates = rng.normal(size=(5, d)), rng.normal(size=(n_classes, d))
    few, few_templates = span_coordinates(activations, templates)
    rank = min(n_classes, d)
    assert few.shape == (5, rank)
    assert few_templates.shape == (n_classes, rank)
    assert few @ few_templates.T == pytest.approx(activations @ templates.T)
    assert few_templates @ few_templates.T == pytest.approx(templates @ templates.T)
    full = project(activations, template_plane(templates[:3]))
    assert project(few, template_plane(few_templates[:3])) == pytest.approx(full)


@given(GENERATORS)
def test_span_coordinates_have_one_sign(rng):
    templates = rng.normal(size=(4, 9))
    _, coordinates = span_coordinates(rng.normal(size=(2, 9)), templates)
    assert np.triu(coordinates, k=1) == pytest.approx(np.zeros((4, 4)), abs=1e-12)
    assert (coordinates.diagonal() > 0).all()


def test_span_coordinates_of_dependent_templates_keep_logits():
    activations, templates = np.array([[1.0, 2, 3]]), np.array([[1.0, 1, 0], [2, 2, 0], [0, 0, 0], [1, 0, 1]])
    few, few_templates = span_coordinates(activations, templates)
    assert few @ few_templates.T == pytest.approx(np.array([[3, 6, 0, 4]]))


@pytest.mark.parametrize("repeats", [1, 3])
def test_scatter_weighs_classes_equally(repeats):
    """Centroids (−2, 0) and (2, 0), squared distances 1 and 9 from them: within 5, between 4, however many of each."""
    points = np.array([[-2, 1], [-2, -1]] * repeats + [[2, 3], [2, -3]])
    labels = np.array([7] * 2 * repeats + [30] * 2)
    assert within_scatter(points, labels) == pytest.approx(5)
    assert within_between_scatter(points, labels) == pytest.approx(5 / 4)


def test_scatter_ratio_has_no_scale():
    points, labels = np.array([[0.0, 1], [1, 0], [4, 4], [6, 4]]), np.array([0, 0, 1, 1])
    ratio = within_between_scatter(points, labels)
    assert within_between_scatter(10 * points + 3, labels) == pytest.approx(ratio)


def test_triangle_side_ratio():
    centroids, spread = np.array([[0.0, 0], [3, 0], [3, 4]]), np.array([[1.0, 2], [-1, -2]])
    points = (centroids[:, None] + spread).reshape(6, 2)
    assert triangle_side_ratio(points, np.repeat([4, 30, 55], 2)) == pytest.approx(3 / 5)
    regular = [[0, 0], [1, 0], [0.5, math.sqrt(0.75)]]
    assert triangle_side_ratio(regular, [0, 1, 2]) == pytest.approx(1)


def test_mean_distance():
    assert mean_distance([[3, 4], [0, 0]]) == pytest.approx(2.5)


@example(direction=math.pi, x=0, y=0)
@given(st.floats(-math.pi, math.pi), st.floats(-5, 5), st.floats(-5, 5))
def test_arc_ratio_is_the_same_in_every_direction(direction, x, y):
    """Radii 1 and 3, angles ±0.1 rad: sd of arc length 2 · 0.1, sd of radius 1."""
    angles, radii = direction + np.array([0.1, 0.1, -0.1, -0.1]), np.array([1, 3, 1, 3])
    points = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1)
    assert arc_ratio(points, [x, y]) == pytest.approx(0.2)


def test_logit_gaps():
    logits = np.array([[1.0, 5, 3], [1, 5, 3], [1, 5, 3]])
    assert logit_gaps(logits, [1, 0, 2]).tolist() == [[4, 2], [-4, -2], [2, -2]]


def test_gap_variation():
    assert gap_variation([[1, 5, 3]], [1]) == pytest.approx(1 / 3)
    assert gap_variation([[2, 7, 2], [9, 4, 4]], [1, 0]) == 0


PLANE = template_plane(TRIANGLE)
LINE = [[0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("templates", lambda: template_plane(LINE)),
        ("templates", lambda: template_plane(np.float32([[0.1, 0.1], [0.3, 0.3], [0.7, 0.7]]))),
        ("templates", lambda: template_plane([[1, 2], [1, 2], [5, 0]])),
        ("templates", lambda: template_plane([[1, 2], [5, 0], [1, 2]])),
        ("templates", lambda: template_plane([[1, 2], [5, 0], [5, 0]])),
        ("templates", lambda: template_plane(np.ones((3, 4)))),
        ("templates", lambda: template_plane([[1], [2], [4]])),
        ("templates", lambda: template_plane(TRIANGLE[:2])),
        ("templates", lambda: template_plane(TRIANGLE * math.nan)),
        ("points", lambda: project(np.zeros((4, 2)), PLANE)),
        ("points", lambda: project(np.zeros((0, 3)), PLANE)),
        ("points", lambda: project([[0, 0, math.inf]], PLANE)),
        ("activations", lambda: span_coordinates(np.zeros((4, 2)), TRIANGLE)),
        ("templates", lambda: span_coordinates(np.zeros((4, 3)), TRIANGLE[0])),
        ("points", lambda: within_scatter([[0, 0, 0]], [0])),
        ("points", lambda: within_scatter(np.zeros((0, 2)), [])),
        ("labels", lambda: within_scatter(LINE, [0, 1])),
        ("labels", lambda: within_scatter(LINE, [0, 1, -1])),
        ("points", lambda: within_between_scatter(LINE, [0, 0, 0])),
        ("labels", lambda: triangle_side_ratio(LINE, [0, 1, 1])),
        ("points", lambda: triangle_side_ratio(np.ones((3, 2)), [0, 1, 2])),
        ("points", lambda: mean_distance([[0, math.nan]])),
        ("points", lambda: arc_ratio([[1, 2]], [0, 0])),
        ("centre", lambda: arc_ratio(LINE, [0, 0, 0])),
        ("logits", lambda: logit_gaps([[1], [2]], [0, 0])),
        ("labels", lambda: logit_gaps([[1, 2]], [2])),
        ("logits", lambda: gap_variation([[1, 2]], [0])),
    ],
)
def test_bad_input_names_the_argument(argument, call):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()
