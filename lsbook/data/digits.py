"""scikit-learn's handwritten digits, which need no download."""

import functools

import numpy as np

TESTED = 300  # the last ones


@functools.cache  # scaling takes longer than the trainings of some tests
def load(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 1, 32, 32) uint8, bilinearly scaled from 8 × 8, and labels (N,) of "train" or "test"."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows = slice(None, -TESTED) if part == "train" else slice(-TESTED, None)
    scaled = [
        np.asarray(Image.fromarray((image * (255 / 16)).astype(np.uint8)).resize((32, 32), Image.Resampling.BILINEAR))
        for image in digits.images[rows]
    ]
    return np.stack(scaled)[:, None], digits.target[rows]
