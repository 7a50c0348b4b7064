"""Penultimate activations seen in the plane of three templates, and measures of what is seen (section 2).

A template is a class's row of the last layer with its bias appended, an activation has a constant 1 appended, so that
activation · template is the logit. Lengths are in the units of the activations. Every measure is of the whole set given
(population variances, 1/n); a ratio whose denominator is 0 raises ValueError.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsbook.analysis.checks import class_indices, floats

# Below the rounding of templates kept as float32: a triangle flatter than this is taken for a line.
FLATNESS = 1e-6


class Plane(NamedTuple):
    """A plane in activation space.

    Attributes:
        origin: (d,), its point nearest 0.
        basis: (2, d), orthonormal.
    """

    origin: NDArray[np.float64]
    basis: NDArray[np.float64]


def template_plane(templates: ArrayLike) -> Plane:
    """Return the plane through three templates w_1, w_2, w_3 (Müller et al. 2019, section 2).

    Its basis is (u, v): u runs along w_2 − w_1 and v·(w_3 − w_1) > 0, so that two networks are not mirrored.

    Args:
        templates: (3, d).

    Raises:
        ValueError: if a value is not finite, the shape is another, or templates are equal or in one line.
    """
    templates = floats("templates", templates, (3, None))
    sides = templates[1:] - templates[0]
    basis, coordinates = _orthonormal_rows(sides)
    extents = coordinates.diagonal()
    if extents.size < 2 or extents.min() <= FLATNESS * np.linalg.norm(sides, axis=1).max():
        raise ValueError("templates: two are equal or all three are in one line, so they span no plane")
    return Plane(templates[0] - (basis @ templates[0]) @ basis, basis)


def project(points: ArrayLike, plane: Plane) -> NDArray[np.float64]:
    """Project points on a plane, orthogonally.

    Args:
        points: x (N, d), such as activations.
        plane: as `template_plane` gives it, with the basis (u, v).

    Returns:
        (N, 2) coordinates (x·u, x·v), measured from the plane's origin.

    Raises:
        ValueError: if N is 0, a value is not finite, or points and plane differ in d.
    """
    return np.asarray(floats("points", points, (None, plane.basis.shape[1])) @ plane.basis.T)


def span_coordinates(activations: ArrayLike, templates: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return activations and templates in an orthonormal basis of the templates' span.

    Every inner product of an activation or a template with a template is kept, so that logits, template
    planes and projections computed from the result equal those of the full arrays. A record therefore needs r numbers
    an activation, 10 for CIFAR-10, instead of d. What an activation has outside the span, which no logit sees, is lost.
    The basis is the templates' own, orthonormalised in their order: the k-th template has no coordinate after the k-th,
    which is not negative.

    Args:
        activations: (N, d).
        templates: (K, d).

    Returns:
        (N, r) activations and (K, r) templates, r = min(K, d).

    Raises:
        ValueError: if N or K is 0, a value is not finite, or the arrays differ in d.
    """
    templates = floats("templates", templates, (None, None))
    activations = floats("activations", activations, (None, templates.shape[1]))
    basis, coordinates = _orthonormal_rows(templates)
    return activations @ basis.T, coordinates


def within_between_scatter(points: ArrayLike, labels: ArrayLike) -> float:
    """Return how loose clusters are relative to their distance: trace of within- over trace of between-class scatter.

    Classes weigh equally: within is `within_scatter`, between the mean squared distance of the class centroids from
    their mean.

    Args:
        points: (N, 2), projections.
        labels: (N,) class indices.

    Returns:
        A ratio, 0 where each class is one point.

    Raises:
        ValueError: if N is 0, shapes disagree, a value is not finite, or all centroids coincide (so for one class).
    """
    centroids = _centroids(points, labels)[0]
    between = np.mean(np.sum((centroids - centroids.mean(axis=0)) ** 2, axis=1))
    return _ratio(within_scatter(points, labels), between, "points: all class centroids coincide")


def within_scatter(points: ArrayLike, labels: ArrayLike) -> float:
    """Return the trace of the within-class covariance: the mean squared distance of points from their class centroid.

    Classes weigh equally, however many points each has.

    Args:
        points: (N, 2), projections.
        labels: (N,) class indices.

    Returns:
        In squared units of the points.

    Raises:
        ValueError: if N is 0, shapes disagree or a value is not finite.
    """
    centroids, index, points = _centroids(points, labels)
    squares = np.sum((points - centroids[index]) ** 2, axis=1)
    return float(np.mean(np.bincount(index, squares) / np.bincount(index)))


def triangle_side_ratio(points: ArrayLike, labels: ArrayLike) -> float:
    """Return the shortest over the longest side of the triangle of three class centroids: 1 where it is equilateral.

    Args:
        points: (N, 2), projections.
        labels: (N,) class indices, three different ones.

    Raises:
        ValueError: if N is 0, shapes disagree, a value is not finite, there are not three classes, or all centroids
            coincide.
    """
    centroids = _centroids(points, labels)[0]
    if len(centroids) != 3:
        raise ValueError(f"labels: expected three classes, not {len(centroids)}")
    sides = np.linalg.norm(centroids - np.roll(centroids, 1, axis=0), axis=1)
    return _ratio(sides.min(), sides.max(), "points: all class centroids coincide")


def mean_distance(points: ArrayLike) -> float:
    """Return the mean distance of projections from the plane's origin, in units of the activations.

    Args:
        points: (N, 2), projections.

    Raises:
        ValueError: if N is 0, the shape is another or a value is not finite.
    """
    return float(np.linalg.norm(floats("points", points, (None, 2)), axis=1).mean())


def arc_ratio(points: ArrayLike, centre: ArrayLike) -> float:
    """Return how far points form an arc around a centre: the sd of their arc length over the sd of their radius.

    Arc length is the mean radius × the angle from the circular mean direction, so that no cut of the circle matters.

    Args:
        points: (N, 2), projections of two similar classes pooled.
        centre: (2,), the centroid of the third class's training examples.

    Returns:
        A ratio: 1 where points spread as far along the circle as across it, more on an arc.

    Raises:
        ValueError: if N is 0, a shape is another, a value is not finite, or all radii are equal (so for one point).
    """
    offset = floats("points", points, (None, 2)) - floats("centre", centre, (2,))
    radius = np.linalg.norm(offset, axis=1)
    angle = np.angle(offset @ [1, 1j])
    mean_direction = np.angle(np.exp(1j * angle).mean())
    arc = radius.mean() * np.angle(np.exp(1j * (angle - mean_direction)))
    return _ratio(arc.std(), radius.std(), "points: all at the same distance from the centre")


def logit_gaps(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Return the true minus each other logit of every example, in nats (Müller et al. 2019, section 2).

    Args:
        logits: (N, K), K ≥ 2.
        labels: (N,) class indices.

    Returns:
        (N, K − 1), the other classes in their order.

    Raises:
        ValueError: if N is 0, shapes disagree, a logit is not finite, a label is out of range or K is below 2.
    """
    logits = floats("logits", logits, (None, None))
    n, n_classes = logits.shape
    labels = class_indices(labels, n, n_classes)
    if n_classes < 2:
        raise ValueError("logits: expected two classes or more")
    true = logits[np.arange(n), labels]
    others = logits[np.arange(n_classes) != labels[:, None]].reshape(n, n_classes - 1)
    return np.asarray(true[:, None] - others)


def gap_variation(logits: ArrayLike, labels: ArrayLike) -> float:
    """Return how far the logit gaps are from one constant: sd over mean of `logit_gaps`, examples and classes pooled.

    Args:
        logits: (N, K), K ≥ 2.
        labels: (N,) class indices.

    Raises:
        ValueError: if N is 0, shapes disagree, a logit is not finite, a label is out of range, K is below 2, or the
            mean gap is not above 0.
    """
    gaps = logit_gaps(logits, labels)
    return _ratio(gaps.std(), gaps.mean(), "logits: the mean gap of true to other logits is not above 0")


def _orthonormal_rows(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Basis (r, d) of the vectors (K, d) and their coordinates (K, r): lower triangular, diagonal not negative."""
    columns, triangle = np.linalg.qr(vectors.T)
    signs = np.where(triangle.diagonal() < 0, -1.0, 1.0)
    return (columns * signs).T, triangle.T * signs


def _centroids(
    points: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
    """Class centroids (C, 2) in the order of the labels, each point's row among them (N,), the checked points."""
    points = floats("points", points, (None, 2))
    classes, index, counts = np.unique(class_indices(labels, len(points)), return_inverse=True, return_counts=True)
    sums = np.zeros((classes.size, 2))
    np.add.at(sums, index, points)
    return sums / counts[:, None], index, points


def _ratio(numerator: float, denominator: float, undefined: str) -> float:
    if denominator <= 0:
        raise ValueError(undefined)
    return float(numerator / denominator)
