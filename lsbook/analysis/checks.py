"""Checks that the analysis functions share. Each raises ValueError naming the argument."""

import math

import numpy as np

# Rounding to float16 changes a probability by at most 2^-11 of itself, and so the sum of a row.
SUM_TOLERANCE = 2e-3


def array(name: str, values, shape: tuple[int | None, ...], dtype=np.float64) -> np.ndarray:
    """`values` as a finite array of `shape`, where None stands for any size above 0.

    dtype: None keeps the type the values have, so that a large array is not copied.
    """
    values = np.asarray(values, dtype=dtype)
    fits = values.ndim == len(shape) and all(
        want in (None, size) for want, size in zip(shape, values.shape, strict=True)
    )
    if not fits:
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name}: expected shape ({expected}), not {values.shape}")
    if values.size == 0:
        raise ValueError(f"{name}: no examples, the shape is {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: NaN or infinite values")
    return values


def class_indices(labels, n: int | None = None, n_classes: int | None = None) -> np.ndarray:
    """`labels` as whole numbers (N,): N equals `n`, each is in [0, n_classes), where these are given."""
    labels = array("labels", labels, (n,), dtype=None)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels: expected whole numbers, not {labels.dtype}")
    if labels.min() < 0 or (n_classes is not None and labels.max() >= n_classes):
        allowed = "0 and above" if n_classes is None else f"0 to {n_classes - 1}"
        raise ValueError(f"labels: {labels.min()} to {labels.max()} where {allowed} is allowed")
    return labels


def logits_and_labels(logits, labels, dtype=np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and the class index of each of the N rows."""
    logits = array("logits", logits, (None, None), dtype)
    return logits, class_indices(labels, *logits.shape)


def distributions(name: str, values) -> np.ndarray:
    """`values` (N, K), uncopied, each row of which is at least 0 and sums to 1 within SUM_TOLERANCE."""
    values = array(name, values, (None, None), dtype=None)
    if values.min() < 0 or np.abs(values.sum(axis=1, dtype=np.float64) - 1).max() > SUM_TOLERANCE:
        raise ValueError(f"{name}: expected rows of probabilities, at least 0 and with sum 1")
    return values


def outcomes(name: str, values, n: int) -> np.ndarray:
    """`values` (n,), Booleans or 0 and 1, as Booleans."""
    values = array(name, values, (n,), dtype=None)
    if values.dtype != bool and not np.isin(values, (0, 1)).all():
        raise ValueError(f"{name}: expected Booleans, or 0 and 1")
    return values.astype(bool)


def fraction(name: str, value) -> float:
    """`value` as a number from 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a number from 0 to 1, not {value!r}")
    return float(value)


def whole_number(name: str, value, least: int) -> int:
    """`value` as a whole number of at least `least`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, not {value!r}")
    return int(value)


def positive(name: str, value) -> float:
    """`value` as a finite number above 0."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name}: expected a number above 0, not {value!r}")
    return float(value)
