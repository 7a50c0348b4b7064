"""Penultimate activations seen in the plane of three templates, and measures of what is seen (section 2).

A template is a class's row of the last layer with its bias appended, an activation has a constant 1 appended, so that
activation · template is the logit. Lengths are in the units of the activations. Every measure is of the whole set given
(population variances, 1/n); a ratio whose denominator is 0 raises ValueError.
"""

from typing import NamedTuple

import numpy as np

from lsbook.analysis.checks import array, class_indices, logits_and_labels

# Below the rounding of templates kept as float32: a triangle flatter than this is taken for a line.
FLATNESS = 1e-6


class Plane(NamedTuple):
    """A plane in activation space: `origin` (d,), its point nearest 0, and an orthonormal `basis` (2, d)."""

    origin: np.ndarray
    basis: np.ndarray


def template_plane(templates: np.ndarray) -> Plane:
    """The plane through three templates w_1, w_2, w_3, given as (3, d).

    The basis is (u, v): u runs along w_2 − w_1 and v·(w_3 − w_1) > 0, so that two networks are not mirrored.
    Raises ValueError when a value is not finite, the shape is another, or templates are equal or in one line.
    """
    templates = array("templates", templates, (3, None))
    sides = templates[1:] - templates[0]
    basis, coordinates = _orthonormal_rows(sides)
    extents = coordinates.diagonal()
    if extents.size < 2 or extents.min() <= FLATNESS * np.linalg.norm(sides, axis=1).max():
        raise ValueError("templates: two are equal or all three are in one line, so they span no plane")
    return Plane(templates[0] - (basis @ templates[0]) @ basis, basis)


def project(points: np.ndarray, plane: Plane) -> np.ndarray:
    """Coordinates (x·u, x·v) in the plane of points x (N, d), measured from the plane's origin: (N, 2).

    Raises ValueError when N is 0, a value is not finite, or points and plane differ in d.
    """
    return array("points", points, (None, plane.basis.shape[1])) @ plane.basis.T


def span_coordinates(activations: np.ndarray, templates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Activations (N, d) and templates (K, d) in an orthonormal basis of the templates' span: (N, r) and (K, r).

    r = min(K, d). Every inner product of an activation or a template with a template is kept, so that logits, template
    planes and projections computed from the result equal those of the full arrays. A record therefore needs r numbers
    an activation, 10 for CIFAR-10, instead of d. What an activation has outside the span, which no logit sees, is lost.
    The basis is the templates' own, orthonormalised in their order: the k-th template has no coordinate after the k-th,
    which is not negative.
    Raises ValueError when N or K is 0, a value is not finite, or the arrays differ in d.
    """
    templates = array("templates", templates, (None, None))
    activations = array("activations", activations, (None, templates.shape[1]))
    basis, coordinates = _orthonormal_rows(templates)
    return activations @ basis.T, coordinates


def within_between_scatter(points: np.ndarray, labels: np.ndarray) -> float:
    """How loose clusters are relative to their distance: trace of within- over trace of between-class scatter.

    points: (N, 2); labels: (N,) whole numbers. Classes weigh equally: within is `within_scatter`, between is the mean
    squared distance of the class centroids from their mean.
    Raises ValueError on bad shapes or values, and when all centroids coincide (so with one class).
    """
    centroids = _centroids(points, labels)[0]
    between = np.mean(np.sum((centroids - centroids.mean(axis=0)) ** 2, axis=1))
    return _ratio(within_scatter(points, labels), between, "points: all class centroids coincide")


def within_scatter(points: np.ndarray, labels: np.ndarray) -> float:
    """Trace of the within-class covariance: mean squared distance from the class centroid, classes weighted equally.

    points: (N, 2); labels: (N,) whole numbers. Raises ValueError on bad shapes or values.
    """
    centroids, index, points = _centroids(points, labels)
    squares = np.sum((points - centroids[index]) ** 2, axis=1)
    return float(np.mean(np.bincount(index, squares) / np.bincount(index)))


def triangle_regularity(points: np.ndarray, labels: np.ndarray) -> float:
    """Shortest over longest side of the triangle of the three class centroids: 1 when it is regular.

    points: (N, 2); labels: (N,) whole numbers, three different ones.
    Raises ValueError on bad shapes or values, for another number of classes, and when all centroids coincide.
    """
    centroids = _centroids(points, labels)[0]
    if len(centroids) != 3:
        raise ValueError(f"labels: expected three classes, not {len(centroids)}")
    sides = np.linalg.norm(centroids - np.roll(centroids, 1, axis=0), axis=1)
    return _ratio(sides.min(), sides.max(), "points: all class centroids coincide")


def mean_distance(points: np.ndarray) -> float:
    """Mean distance of projections (N, 2) from the plane's origin. Raises ValueError on bad shapes or values."""
    return float(np.linalg.norm(array("points", points, (None, 2)), axis=1).mean())


def arc_ratio(points: np.ndarray, centre: np.ndarray) -> float:
    """How far points form an arc around `centre`: sd of their arc length over sd of their radius.

    points: (N, 2), two similar classes pooled; centre: (2,), the third class's training centroid.
    Arc length is the mean radius × the angle from the circular mean direction, so that no cut of the circle matters.
    Raises ValueError on bad shapes or values, and when all radii are equal (so for one point).
    """
    offset = array("points", points, (None, 2)) - array("centre", centre, (2,))
    radius = np.linalg.norm(offset, axis=1)
    angle = np.angle(offset @ [1, 1j])
    mean_direction = np.angle(np.exp(1j * angle).mean())
    arc = radius.mean() * np.angle(np.exp(1j * (angle - mean_direction)))
    return _ratio(arc.std(), radius.std(), "points: all at the same distance from the centre")


def logit_gaps(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """True minus each other logit of every example, in nats: (N, K − 1), the others in the order of their class.

    logits: (N, K); labels: (N,). Raises ValueError on bad shapes or values, labels out of range, or K below 2.
    """
    logits, labels = logits_and_labels(logits, labels)
    n, n_classes = logits.shape
    if n_classes < 2:
        raise ValueError("logits: expected two classes or more")
    true = logits[np.arange(n), labels]
    others = logits[np.arange(n_classes) != labels[:, None]].reshape(n, n_classes - 1)
    return true[:, None] - others


def gap_variation(logits: np.ndarray, labels: np.ndarray) -> float:
    """How far the logit gaps are from one constant: sd over mean of `logit_gaps`, all examples and classes pooled.

    Errors as there; also ValueError unless the mean gap is above 0.
    """
    gaps = logit_gaps(logits, labels)
    return _ratio(gaps.std(), gaps.mean(), "logits: the mean gap of true to other logits is not above 0")


def _orthonormal_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Basis (r, d) of the vectors (K, d) and their coordinates (K, r): lower triangular, diagonal not negative."""
    columns, triangle = np.linalg.qr(vectors.T)
    signs = np.where(triangle.diagonal() < 0, -1.0, 1.0)
    return (columns * signs).T, triangle.T * signs


def _centroids(points, labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class centroids (C, 2) in the order of the labels, each point's row among them (N,), the checked points."""
    points = array("points", points, (None, 2))
    classes, index, counts = np.unique(class_indices(labels, len(points)), return_inverse=True, return_counts=True)
    sums = np.zeros((classes.size, 2))
    np.add.at(sums, index, points)
    return sums / counts[:, None], index, points


def _ratio(numerator: float, denominator: float, undefined: str) -> float:
    if denominator <= 0:
        raise ValueError(undefined)
    return float(numerator / denominator)
