"""Many tests at once: p-values adjusted for how many there are."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsbook.analysis.checks import floats


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values so that those below 5 % hold one false rejection or more with at most 5 % (Holm 1979).

    Args:
        p_values: (M,), from 0 to 1.

    Returns:
        (M,) adjusted p-values in the same order, at most 1.

    Raises:
        ValueError: if there are none, or one is outside [0, 1].
    """
    p_values = _checked(p_values)
    rising = np.argsort(p_values)
    multiplied = p_values[rising] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[rising] = np.minimum(np.maximum.accumulate(multiplied), 1)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values so that of those below 5 % at most 5 % are expected to be false (Benjamini and Hochberg 1995).

    Args:
        p_values: (M,), from 0 to 1.

    Returns:
        (M,) adjusted p-values in the same order, at most 1.

    Raises:
        ValueError: if there are none, or one is outside [0, 1].
    """
    p_values = _checked(p_values)
    m = len(p_values)
    falling = np.argsort(-p_values)
    multiplied = p_values[falling] * m / np.arange(m, 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[falling] = np.minimum.accumulate(multiplied)
    return adjusted


def _checked(p_values: ArrayLike) -> NDArray[np.float64]:
    found = floats("p_values", p_values, (None,))
    if found.min() < 0 or found.max() > 1:
        raise ValueError("p_values: expected numbers in [0, 1]")
    return found
