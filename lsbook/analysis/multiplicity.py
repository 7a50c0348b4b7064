"""Many tests at once: p-values adjusted for how many there are."""

import numpy as np

from lsbook.analysis.checks import array


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjust p-values (M,) so that those below 5 % hold one false rejection or more with at most 5 % (Holm 1979).

    Raises:
        ValueError: for none, or values outside [0, 1].
    """
    p_values = _checked(p_values)
    rising = np.argsort(p_values)
    multiplied = p_values[rising] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[rising] = np.minimum(np.maximum.accumulate(multiplied), 1)
    return adjusted


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Adjust p-values (M,) so that of those below 5 % at most 5 % are expected to be false (Benjamini, Hochberg 1995).

    Raises:
        ValueError: for none, or values outside [0, 1].
    """
    p_values = _checked(p_values)
    m = len(p_values)
    falling = np.argsort(-p_values)
    multiplied = p_values[falling] * m / np.arange(m, 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[falling] = np.minimum.accumulate(multiplied)
    return adjusted


def _checked(p_values: np.ndarray) -> np.ndarray:
    p_values = array("p_values", p_values, (None,))
    if p_values.min() < 0 or p_values.max() > 1:
        raise ValueError("p_values: expected numbers in [0, 1]")
    return p_values
