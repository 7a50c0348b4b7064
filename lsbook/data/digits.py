"""scikit-learn's handwritten digits, which need no download."""

import functools
from importlib.util import find_spec
from pathlib import Path

import numpy as np

TESTED = 300  # the last ones


@functools.cache  # scaling takes longer than the trainings of some tests
def load(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 1, 32, 32) uint8, bilinearly scaled from 8 × 8, and labels (N,) of "train" or "test".

    They are read from scikit-learn's file: an import of it takes as long as a short training on them.
    """
    from PIL import Image

    package = find_spec("sklearn")
    path = Path(package.origin if package and package.origin else "").parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    rows = np.loadtxt(path, np.uint8, delimiter=",")
    rows = rows[:-TESTED] if part == "train" else rows[-TESTED:]
    images = (rows[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    scaled = [np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR)) for image in images]
    return np.stack(scaled)[:, None], rows[:, -1].astype(int)
