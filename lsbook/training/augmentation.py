"""Views of images, made on the device for a whole batch at once.

Each augmentation has a random view for training and one fixed view for evaluation; both end in per-image
standardisation: (x − mean) / max(sd, 1/√n) over the n values of an image, as in TensorFlow's CIFAR-10 tutorial.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lsbook.errors import one_of

CROP = 24  # side of the CIFAR-10 crops (the paper's training settings)
PAD = 4  # zeros around a CIFAR-100 image, of which the crop is as large as the image (likewise)
SHIFT = 2  # largest shift of MNIST images in pixels (likewise)


class Views(NamedTuple):
    """Which view of each image in a batch: vertical and horizontal offset of the window, and mirrored or not; (B,)."""

    top: Tensor
    left: Tensor
    mirrored: Tensor


@dataclass(frozen=True)
class Augmentation:
    """A window of `size` (None: the whole image) into the image padded by `pad` zeros, mirrored half of the time."""

    size: int | None = None
    pad: int = 0
    mirror: bool = False

    def shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape (C, h, w) of a view of images of shape (C, H, W)."""
        return (shape[0], self.size, self.size) if self.size else shape

    def draw(self, shape: tuple[int, int, int], n: int, generator: torch.Generator) -> Views:
        """Random views for n images of shape (C, H, W), on the generator's device."""
        spare_rows, spare_columns = self._spare(shape)
        device = generator.device
        top = torch.randint(spare_rows + 1, (n,), generator=generator, device=device)
        left = torch.randint(spare_columns + 1, (n,), generator=generator, device=device)
        mirrored = torch.randint(2, (n,), generator=generator, device=device).bool()
        return Views(top, left, mirrored & self.mirror)

    def central(self, shape: tuple[int, int, int], n: int, device) -> Views:
        """The evaluation view: the central window, not mirrored."""
        rows, columns = (torch.full((n,), spare // 2, device=device) for spare in self._spare(shape))
        return Views(rows, columns, torch.zeros(n, dtype=torch.bool, device=device))

    def every(self, shape: tuple[int, int, int], device) -> Views:
        """All different views there are of an image of shape (C, H, W), (V,), in the order of `number`."""
        rows, columns = self._spare(shape)
        counts = rows + 1, columns + 1, 2 if self.mirror else 1
        top, left, mirrored = torch.unravel_index(torch.arange(math.prod(counts), device=device), counts)
        return Views(top, left, mirrored.bool())

    def number(self, shape: tuple[int, int, int], views: Views) -> Tensor:
        """The place (B,) of each of these views in `every`."""
        _, columns = self._spare(shape)
        place = views.top * (columns + 1) + views.left
        return place * 2 + views.mirrored if self.mirror else place

    def take(self, pixels: Tensor, index: Tensor, views: Views) -> Tensor:
        """Standardised views (B, C, h, w) float32, channels last, of the images `index` (B,) of pixels (N, C, H, W)."""
        images = torch.nn.functional.pad(pixels[index], [self.pad] * 4) if self.pad else pixels
        rows = torch.arange(len(index), device=pixels.device) if self.pad else index
        _, height, width = self.shape(tuple(pixels.shape[1:]))
        windows = images.unfold(2, height, 1).unfold(3, width, 1)  # a strided look at every window: no copy
        batch = windows[rows, :, views.top, views.left]
        return standardise(torch.where(views.mirrored[:, None, None, None], batch.flip(-1), batch))

    def _spare(self, shape: tuple[int, int, int]) -> tuple[int, int]:
        """Largest vertical and horizontal offset of the window."""
        _, height, width = self.shape(shape)
        return shape[1] + 2 * self.pad - height, shape[2] + 2 * self.pad - width


AUGMENTATIONS = {
    "none": Augmentation(),
    "crop24-flip": Augmentation(size=CROP, mirror=True),
    "pad4-flip": Augmentation(pad=PAD, mirror=True),
    "shift2": Augmentation(pad=SHIFT),
}


def named(name: str) -> Augmentation:
    """The augmentation of a recipe."""
    one_of("augmentation", name, AUGMENTATIONS)
    return AUGMENTATIONS[name]


def standardise(images: Tensor) -> Tensor:
    """(B, C, H, W) of any number type to float32 of mean 0 and standard deviation 1 for each image, channels last."""
    x = images.float()
    deviation, mean = torch.std_mean(x, dim=(1, 2, 3), correction=0, keepdim=True)
    least = x[0].numel() ** -0.5
    return ((x - mean) / deviation.clamp(min=least)).contiguous(memory_format=torch.channels_last)
