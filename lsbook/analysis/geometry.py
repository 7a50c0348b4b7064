"""Geometry of penultimate features: how far classes are apart (Kornblith et al. 2021), and neural collapse.

Features (N, d) have no constant 1 appended, nor have templates (K, d), the rows of the last layer, their bias. Classes
are those among the labels and weigh equally, however many examples each has. Computed in float64, class by class.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lsbook.analysis.checks import array, class_indices

EPSILON = np.finfo(np.float64).eps


class ClassSeparation(NamedTuple):
    """r2 = 1 − within / total; within and total are mean cosine distances, from 0 to 2."""

    r2: float
    within: float
    total: float


class NeuralCollapse(NamedTuple):
    """NC1, NC2 of the class means and, where templates were given, NC2 of these. All are 0 at full collapse."""

    nc1: float
    nc2: float
    nc2_templates: float | None


def class_separation(features: np.ndarray, labels: np.ndarray) -> ClassSeparation:
    """Class separation R² = 1 − d_within / d_total by the distance 1 − cos(x, x') of features (Kornblith et al. 2021).

    As their equation 11: d_within is the mean distance of two examples of one class, averaged over the classes, and
    d_total that of an example of one class and one of another or the same, averaged over all K² pairs of classes. An
    example makes a pair with itself, too. The sums over pairs are those of unit vectors: with u_k the mean unit vector
    of class k, d_within = 1 − mean ‖u_k‖² and d_total = 1 − ‖mean u_k‖².
    features: (N, d); labels: (N,).
    Raises ValueError when N is 0, shapes disagree, a feature is not finite, there is one class only, a row of features
    is 0 (as of a dead network) or all have one direction but for rounding.
    """
    means, within = [], []
    for points in _classes(features, labels):
        length = np.linalg.norm(points, axis=1, keepdims=True)
        if not length.all():
            raise ValueError("features: a row is 0, and so has no direction")
        units = points / length
        means.append(units.mean(axis=0))
        within.append(_scatter(units))
    between = _scatter(np.array(means))
    total = np.mean(within) + between
    if total <= EPSILON:
        raise ValueError("features: all have one direction")
    return ClassSeparation(float(between / total), float(np.mean(within)), float(total))


def neural_collapse(features: np.ndarray, labels: np.ndarray, templates: np.ndarray | None = None) -> NeuralCollapse:
    """NC1 and NC2 of features, and NC2 of templates (Papyan, Han and Donoho 2020).

    NC1 = tr(Σ_W Σ_B†) / K: Σ_W is the mean of the class covariances (1/N_k), Σ_B the covariance (1/K) of the class
    means. NC2 = ‖G/‖G‖_F − (I − 11ᵀ/K)/√(K − 1)‖_F, with G the Gram matrix of the K class means, or of the templates,
    less their mean: how far they are from a simplex of equal sides; it cannot be 0 unless d ≥ K − 1.
    The pseudo-inverse is that of the centred means' singular vectors, without those that rounding made.
    features: (N, d), training images'; labels: (N,); templates: (K, d), in the order of the classes.
    Raises ValueError when N is 0, shapes disagree, a value is not finite, there is one class only, or all class means
    or all templates coincide.
    """
    means = np.array([points.mean(axis=0) for points in _classes(features, labels)])
    n_classes, d = means.shape
    if templates is not None:
        templates = array("templates", templates, (n_classes, d))
    centred = means - means.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    kept = singular > max(n_classes, d) * EPSILON * np.linalg.norm(means, axis=1).max()
    kept[n_classes - 1 :] = False  # centred means have sum 0
    if not kept.any():
        raise ValueError("features: all class means coincide")
    whitening = directions[kept].T / singular[kept]
    nc1 = np.mean([_scatter(points @ whitening) for points in _classes(features, labels)])
    nc2_templates = None if templates is None else _simplex_distance("templates", templates)
    return NeuralCollapse(float(nc1), _simplex_distance("features", means), nc2_templates)


def _classes(features, labels) -> Iterator[np.ndarray]:
    """The features of each class (N_k, d) in float64, in the order of the labels: two classes or more."""
    features = array("features", features, (None, None), dtype=None)
    labels = class_indices(labels, len(features))
    present = np.unique(labels)
    if len(present) < 2:
        raise ValueError("labels: expected two classes or more")
    for label in present:
        yield features[labels == label].astype(np.float64)


def _scatter(points: np.ndarray) -> float:
    """Mean squared distance of points (N, d) from their mean."""
    return np.sum((points - points.mean(axis=0)) ** 2) / len(points)


def _simplex_distance(name: str, vectors: np.ndarray) -> float:
    """NC2 of vectors (K, d)."""
    n = len(vectors)
    centred = vectors - vectors.mean(axis=0)
    gram = centred @ centred.T
    if np.linalg.norm(centred) <= n * EPSILON * np.linalg.norm(vectors):
        raise ValueError(f"{name}: all {n} coincide")
    simplex = (np.eye(n) - 1 / n) / np.sqrt(n - 1)
    return float(np.linalg.norm(gram / np.linalg.norm(gram) - simplex))
