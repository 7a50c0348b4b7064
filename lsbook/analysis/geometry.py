"""Geometry of penultimate features: class separation (Kornblith et al. 2021), neural collapse (Papyan et al. 2020).

Features (N, d) have no constant 1 appended, nor have templates (K, d), the rows of the last layer, their bias. Classes
are those among the labels and weigh equally, however many examples each has. Everything is computed in float64.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsbook.analysis.checks import array, class_indices, floats

MACHINE_EPSILON = np.finfo(np.float64).eps


class ClassSeparation(NamedTuple):
    """Class separation and what it is made of (Kornblith et al. 2021, equation 11).

    Attributes:
        r2: 1 − within / total, at most 1.
        within: mean cosine distance within classes, from 0 to 2.
        total: mean cosine distance over all pairs of classes, from 0 to 2.
    """

    r2: float
    within: float
    total: float


class NeuralCollapse(NamedTuple):
    """Two of the properties of neural collapse (Papyan, Han and Donoho 2020), each 0 at full collapse.

    Attributes:
        nc1: variability within classes relative to that between them.
        nc2: distance of the class means from a simplex of equal sides.
        nc2_templates: the same distance of the last layer's rows; None where they were not given.
    """

    nc1: float
    nc2: float
    nc2_templates: float | None


class DegenerateFeaturesError(ValueError):
    """Features of which a measure is not defined, as those of a network that has not learnt anything."""


def class_separation(features: ArrayLike, labels: ArrayLike) -> ClassSeparation:
    """Measure class separation R² = 1 − d_within / d_total by cosine distances 1 − cos(x, x') (Kornblith et al. 2021).

    As in their equation 11, d_within averages over all pairs of examples of one class and then over the classes, and
    d_total over all pairs of an example of one class and one of another or the same, and then over all K² pairs of
    classes. Every example makes a pair with itself, too. With u_k the mean unit vector of class k, these are exactly
    d_within = 1 − mean_k ‖u_k‖² and d_total = 1 − ‖mean_k u_k‖², in O(N d).

    Args:
        features: (N, d).
        labels: (N,) class indices.

    Raises:
        DegenerateFeaturesError: if a row of features is 0 or all have one direction but for rounding.
        ValueError: if N is 0, shapes disagree, a feature is not finite or there is one class only.
    """
    means, within = [], []
    for points in _classes(features, labels):
        length = np.linalg.norm(points, axis=1, keepdims=True)
        if not length.all():
            raise DegenerateFeaturesError("features: a row is 0, and so has no direction")
        units = points / length
        means.append(units.mean(axis=0))
        within.append(_scatter(units))
    between = _scatter(np.array(means))
    total = np.mean(within) + between
    if total <= MACHINE_EPSILON:
        raise DegenerateFeaturesError("features: all have one direction")
    return ClassSeparation(float(between / total), float(np.mean(within)), float(total))


def neural_collapse(features: ArrayLike, labels: ArrayLike, templates: ArrayLike | None = None) -> NeuralCollapse:
    """Measure neural collapse, NC1 and NC2, of features, and NC2 of templates (Papyan, Han and Donoho 2020).

    NC1 = tr(Σ_W Σ_B†) / K, where Σ_W is the mean of the class covariances (1/N_k) and Σ_B the covariance (1/K) of the
    class means; its pseudo-inverse leaves out directions in which the means differ by rounding only.
    NC2 = ‖G/‖G‖_F − (I − 11ᵀ/K)/√(K − 1)‖_F, where G is the Gram matrix of the K class means, or of the templates, less
    their mean: how far these are from a simplex of equal sides. It cannot be 0 unless d ≥ K − 1.

    Args:
        features: (N, d), of training images.
        labels: (N,) class indices.
        templates: (K, d), the last layer's weight of each class among the labels, in increasing order of the class.

    Raises:
        DegenerateFeaturesError: if all class means or all templates coincide.
        ValueError: if N is 0, shapes disagree, a value is not finite or there is one class only.
    """
    means = np.array([points.mean(axis=0) for points in _classes(features, labels)])
    centred = _centred("features", means)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    kept = singular > _rounding(means)
    whitening = directions[kept].T / singular[kept]
    nc1 = np.mean([_scatter(points @ whitening) for points in _classes(features, labels)])
    nc2_templates = None
    if templates is not None:
        nc2_templates = _simplex_distance(_centred("templates", floats("templates", templates, means.shape)))
    return NeuralCollapse(float(nc1), _simplex_distance(centred), nc2_templates)


def _classes(features: ArrayLike, labels: ArrayLike) -> Iterator[NDArray[np.float64]]:
    """The features of each class (N_k, d) in float64, in the order of the labels: two classes or more."""
    features = array("features", features, (None, None))
    labels = class_indices(labels, len(features))
    present = np.unique(labels)
    if len(present) < 2:
        raise ValueError("labels: expected two classes or more")
    for label in present:
        yield features[labels == label].astype(np.float64)


def _scatter(points: NDArray[np.float64]) -> float:
    """Mean squared distance of points (N, d) from their mean."""
    return float(np.sum((points - points.mean(axis=0)) ** 2) / len(points))


def _centred(name: str, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors (K, d) less their mean."""
    centred: NDArray[np.float64] = vectors - vectors.mean(axis=0)
    if np.linalg.norm(centred, 2) <= _rounding(vectors):
        raise DegenerateFeaturesError(f"{name}: all {len(vectors)} classes coincide")
    return centred


def _rounding(vectors: NDArray[np.float64]) -> float:
    """A bound of what rounding adds to the singular values of vectors (K, d) less their mean."""
    return float(vectors.size * MACHINE_EPSILON * np.abs(vectors).max())


def _simplex_distance(centred: NDArray[np.float64]) -> float:
    """NC2 of vectors (K, d) whose sum is 0."""
    n = len(centred)
    gram = centred @ centred.T
    simplex = (np.eye(n) - 1 / n) / np.sqrt(n - 1)
    return float(np.linalg.norm(gram / np.linalg.norm(gram) - simplex))
