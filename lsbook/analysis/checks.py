"""Checks of arguments that the functions of this room share; each raises ValueError, naming the argument."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Rounding to float16 changes a probability by at most 2^-11 of itself, and so the sum of a row.
SUM_TOLERANCE = 2e-3


def array(name: str, values: ArrayLike, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return `values` as an array of whatever type they have, so that a large array is not copied.

    Args:
        name: what the message calls them.
        values: anything that NumPy takes for an array.
        shape: the size that each axis must have, None for any size above 0.

    Raises:
        ValueError: if the shape is another, an axis has size 0, or a value is no number, NaN or infinite.
    """
    try:
        found = np.asarray(values)
    except ValueError as error:  # rows that are not equally long
        raise ValueError(f"{name}: {error}") from None
    fits = found.ndim == len(shape) and all(want in (None, size) for want, size in zip(shape, found.shape, strict=True))
    if not fits:
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name}: expected shape ({expected}), not {found.shape}")
    if found.size == 0:
        raise ValueError(f"{name}: no examples, the shape is {found.shape}")
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected numbers, not {found.dtype}")
    if not np.isfinite(found).all():
        raise ValueError(f"{name}: NaN or infinite values")
    return found


def floats(name: str, values: ArrayLike, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """Return `values` as a float64 array, checked as by `array`.

    Raises:
        ValueError: if the shape is another than `shape`, an axis has size 0, or a value is no number, NaN or infinite.
    """
    try:
        found = np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from None
    return array(name, found, shape)


def class_indices(labels: ArrayLike, n: int | None = None, n_classes: int | None = None) -> NDArray[np.integer]:
    """Return the labels as an array (N,) of whole numbers.

    Raises:
        ValueError: if there are none, or another number of them than `n`; if they are no whole numbers; or if one is
            outside [0, n_classes). None leaves out a check.
    """
    found = array("labels", labels, (n,))
    if not np.issubdtype(found.dtype, np.integer):
        raise ValueError(f"labels: expected whole numbers, not {found.dtype}")
    if found.min() < 0 or (n_classes is not None and found.max() >= n_classes):
        allowed = "0 and above" if n_classes is None else f"0 to {n_classes - 1}"
        raise ValueError(f"labels: {found.min()} to {found.max()} where {allowed} is allowed")
    return found


def logits_and_labels(logits: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, NDArray[np.integer]]:
    """Return logits (N, K), uncopied, and the class index (N,) of each row.

    Raises:
        ValueError: if N is 0, shapes disagree, a logit is not finite or a label is outside [0, K).
    """
    found = array("logits", logits, (None, None))
    return found, class_indices(labels, *found.shape)


def distributions(name: str, values: ArrayLike) -> np.ndarray:
    """Return `values` (N, K), uncopied, each row of which is a distribution over K classes.

    Raises:
        ValueError: if N is 0, a value is below 0 or not finite, or the sum of a row is off 1 by more than
            SUM_TOLERANCE.
    """
    found = array(name, values, (None, None))
    if found.min() < 0 or np.abs(found.sum(axis=1, dtype=np.float64) - 1).max() > SUM_TOLERANCE:
        raise ValueError(f"{name}: expected rows of probabilities, at least 0 and with sum 1")
    return found


def booleans(name: str, values: ArrayLike, n: int) -> NDArray[np.bool]:
    """Return `values` (n,), given as Booleans or as 0 and 1, as Booleans.

    Raises:
        ValueError: if the shape is another or there is another value.
    """
    found = array(name, values, (n,))
    if found.dtype != bool and not np.isin(found, (0, 1)).all():
        raise ValueError(f"{name}: expected Booleans, or 0 and 1")
    return found.astype(bool)


def fraction(name: str, value: float) -> float:
    """Return a number from 0 to 1. Raises ValueError for any other."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a number from 0 to 1, not {value!r}")
    return float(value)


def integer(name: str, value: object, least: int) -> int:
    """Return a whole number of at least `least`. Raises ValueError for anything else, Booleans as well."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, not {value!r}")
    return int(value)


def positive(name: str, value: float) -> float:
    """Return a finite number above 0. Raises ValueError for any other."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name}: expected a number above 0, not {value!r}")
    return float(value)
