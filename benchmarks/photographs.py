"""Decoding of photographs into Inception's training views."""

from io import BytesIO

import numpy as np
from PIL import Image

from benchmarks.timing import Benchmark
from lsbook.core.torchvision_operators import declare_missing
from lsbook.training.images.augmentation import AREA, ASPECT, InceptionCrop

PHOTOGRAPHS = 200  # decoded in a round
SIDE = 299  # of the views: Inception-v4's input


def decoding() -> Benchmark:
    """Inception's training views of made-up JPEGs as large as ImageNet's: 500 × 375 pixels, 110 kB. One core each way.

    Ours is what each worker process of a training does; the plain way is torchvision's transforms of decoded images.
    """
    declare_missing()
    from torchvision import transforms

    encoded = [_photograph(seed) for seed in range(4)]
    crop = InceptionCrop(SIDE)
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIDE, AREA, ASPECT),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
        ]
    )

    def ours() -> None:
        for i in range(PHOTOGRAPHS):
            crop(Image.open(BytesIO(encoded[i % len(encoded)])), i)

    def plain() -> None:
        for i in range(PHOTOGRAPHS):
            transform(Image.open(BytesIO(encoded[i % len(encoded)])).convert("RGB"))

    return Benchmark(
        "Inception's crops, one core",
        "images",
        PHOTOGRAPHS,
        ours,
        plain,
        "the JPEG decoder, which skips what the view does not need, and scaling",
    )


def _photograph(seed: int) -> bytes:
    """A JPEG of smooth shapes and noise."""
    generator = np.random.default_rng(seed)
    shapes = Image.fromarray(generator.integers(0, 256, (38, 50, 3), dtype=np.uint8)).resize((500, 375))
    pixels = np.asarray(shapes) + generator.normal(0, 18, (375, 500, 3))
    buffer = BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
