"""Data sets of one's own: images that a function makes, images that lie in files, and a text."""

import numpy as np

from lsbook.core.registry import Corpus, Dataset
from lsbook.data import embedded

SIZES = {"train": 120, "test": 30}
CLASSES = ("left", "middle", "right")


def load_stripes(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Grey noise (N, 1, 12, 12) with a bright stripe, whose place is the label (N,)."""
    generator = np.random.default_rng(len(part))
    labels = np.arange(SIZES[part]) % 3
    pixels = generator.integers(0, 100, (SIZES[part], 1, 12, 12), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[0, :, 4 * label : 4 * label + 4] += 100
    return pixels, labels


def load_tales(split: str) -> list[tuple[str, str]]:
    """A few sentences of the embedded grammar, of each split others."""
    return embedded.pairs(split)[:80]


stripes = Dataset(
    title="stripes", classes=CLASSES, shape=(1, 12, 12), examples=(120, 30), heldout=30, load="mine.data:load_stripes"
)
in_files = Dataset(title="stripes in files", classes=CLASSES, shape=(1, 12, 12), examples=(120, 30), heldout=30)
tales = Corpus(title="tales", load="mine.data:load_tales", translated=2)
