"""What a record keeps is as small as it can be without losing a number."""

import numpy as np
import pytest

from lsbook.training.summary import half


@pytest.mark.parametrize(
    ("largest", "dtype"), [(65_504, np.float16), (-65_504, np.float16), (65_536, np.float32), (np.inf, np.float32)]
)
def test_numbers_beyond_float16_stay_numbers(largest, dtype):
    values = np.array([[0.5, largest]], np.float32)
    assert half(values).dtype == dtype
    assert (half(values) == values).all()
    assert half(values[:0]).dtype == np.float16
