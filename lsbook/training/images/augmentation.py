"""Views of images, made on the device for a whole batch at once.

Each augmentation has random views for training and one fixed view for evaluation; both end in the numbers that the
network sees, as the recipe's `pixels` says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lsbook.core.config import CROP, Recipe

PAD = 4  # zeros around a CIFAR-100 image, of which the crop is as large as the image (the paper's training settings)
SHIFT = 2  # largest shift of MNIST images in pixels (likewise)
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)  # of Inception's training crops (Szegedy et al. 2015, section 6)
CENTRAL_FRACTION = 0.875  # of the shorter side: what Inception is evaluated on (TensorFlow's Inception preprocessing)


class Views(NamedTuple):
    """Which view of each of B images: vertical and horizontal offset of the window in pixels, and mirrored or not."""

    top: Tensor
    left: Tensor
    mirrored: Tensor


@dataclass(frozen=True)
class Augmentation:
    """A random window into each image, mirrored half of the time: crops, shifts and flips.

    Attributes:
        size: side of the window in pixels; None: as large as the image.
        pad: zeros around the image, into which a window may reach.
        mirror: whether views are mirrored half of the time.
        scaled: side to which the window is scaled bilinearly; None: it is not.
        pixels: one of PIXEL_SCALES.
    """

    size: int | None = None
    pad: int = 0
    mirror: bool = False
    scaled: int | None = None
    pixels: str = "standardised"

    def shape(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Return the shape (C, h, w) of a view of an image of shape (C, H, W)."""
        height, width = (self.scaled, self.scaled) if self.scaled else self._window(shape)
        return shape[0], height, width

    def draw(self, shape: Sequence[int], n: int, generator: torch.Generator, reach: int | None = None) -> Views:
        """Draw random views for n images of shape (C, H, W), on the generator's device.

        Args:
            shape: (C, H, W).
            n: how many views.
            generator: which draws them.
            reach: how far from the central window they are at most, in pixels; None: as far as there are windows.
        """

        def integers(low: int, high: int) -> Tensor:
            return torch.randint(low, high + 1, (n,), generator=generator, device=generator.device)

        def offsets(spare: int) -> Tensor:
            if reach is None:
                return integers(0, spare)
            return integers(max(0, spare // 2 - reach), min(spare // 2 + reach, spare))

        top, left = map(offsets, self._spare(shape))
        return Views(top, left, integers(0, 1).bool() & self.mirror)

    def central(self, shape: Sequence[int], n: int, device) -> Views:
        """Return the evaluation view of n images of shape (C, H, W): the central window, not mirrored."""
        rows, columns = (torch.full((n,), spare // 2, device=device) for spare in self._spare(shape))
        return Views(rows, columns, torch.zeros(n, dtype=torch.bool, device=device))

    def all_views(self, shape: Sequence[int], device) -> Views:
        """Return all V different views of an image of shape (C, H, W), in the order of `view_index`."""
        rows, columns = self._spare(shape)
        counts = rows + 1, columns + 1, 2 if self.mirror else 1
        top, left, mirrored = torch.unravel_index(torch.arange(math.prod(counts), device=device), counts)
        return Views(top, left, mirrored.bool())

    def view_index(self, shape: Sequence[int], views: Views) -> Tensor:
        """Return the index (B,) of each of these views among `all_views`."""
        _, columns = self._spare(shape)
        place = views.top * (columns + 1) + views.left
        return place * 2 + views.mirrored if self.mirror else place

    def take(self, pixels: Tensor, index: Tensor, views: Views) -> Tensor:
        """Return views (B, C, h, w), float32 and channels last, of the images `index` (B,) of pixels (N, C, H, W)."""
        images = F.pad(pixels[index], [self.pad] * 4) if self.pad else pixels
        rows = torch.arange(len(index), device=pixels.device) if self.pad else index
        height, width = self._window(pixels.shape[1:])
        windows = images.unfold(2, height, 1).unfold(3, width, 1)  # a strided look at every window: no copy
        batch = windows[rows, :, views.top, views.left]
        if self.mirror:
            batch = torch.where(views.mirrored[:, None, None, None], batch.flip(-1), batch)
        if self.scaled:
            batch = F.interpolate(batch.float(), size=[self.scaled] * 2, mode="bilinear")
        return PIXEL_SCALES[self.pixels](batch)

    def _window(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width of the window."""
        return (self.size, self.size) if self.size else (shape[1], shape[2])

    def _spare(self, shape: Sequence[int]) -> tuple[int, int]:
        """Largest vertical and horizontal offset of the window."""
        height, width = self._window(shape)
        return shape[1] + 2 * self.pad - height, shape[2] + 2 * self.pad - width


@dataclass(frozen=True)
class InceptionCrop:
    """A part of an image, scaled to `size` × `size` (Szegedy et al. 2015, section 6), mirrored half of the time."""

    size: int
    pixels: str = "standardised"

    def shape(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Return the shape (C, h, w) of a view of an image of any size."""
        return shape[0], self.size, self.size

    def __call__(self, image, seed: int | None = None) -> np.ndarray:
        """Decode a view (3, size, size), uint8. A JPEG is decoded no finer than the view needs.

        Args:
            image: Pillow's, opened and not decoded.
            seed: of a random view; None: the evaluation view, the central part.
        """
        width, height = image.size
        top, left, rows, columns, mirrored = self._central(width, height) if seed is None else self._draw(image, seed)
        image.draft("RGB", (width * self.size // columns, height * self.size // rows))
        across, down = image.width / width, image.height / height
        box = (left * across, top * down, (left + columns) * across, (top + rows) * down)
        view = np.asarray(image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR, box))
        return np.ascontiguousarray((view[:, ::-1] if mirrored else view).transpose(2, 0, 1))

    def _central(self, width: int, height: int) -> tuple[int, int, int, int, bool]:
        side = round(CENTRAL_FRACTION * min(width, height))
        return (height - side) // 2, (width - side) // 2, side, side, False

    def _draw(self, image, seed: int) -> tuple[int, int, int, int, bool]:
        """Draw by torchvision's own function, from torch's random state, which is put back."""
        from torchvision.transforms import RandomResizedCrop

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            top, left, rows, columns = RandomResizedCrop.get_params(image, AREA, ASPECT)
            return top, left, rows, columns, bool(torch.rand(()) < 0.5)


AUGMENTATIONS = {
    "none": Augmentation(),
    "crop24-flip": Augmentation(size=CROP, mirror=True),
    "pad4-flip": Augmentation(pad=PAD, mirror=True),
    "shift2": Augmentation(pad=SHIFT),
}


def from_recipe(recipe: Recipe) -> Augmentation | InceptionCrop:
    """Return the augmentation that a recipe trains with."""
    if recipe.augmentation == "inception":
        assert recipe.size is not None  # which a recipe makes sure of
        return InceptionCrop(recipe.size, recipe.pixels)
    return replace(AUGMENTATIONS[recipe.augmentation], scaled=recipe.size, pixels=recipe.pixels)


def standardise(images: Tensor) -> Tensor:
    """Bring each image of (B, C, H, W) to mean 0 and standard deviation 1; float32, channels last.

    It is (x − mean) / max(sd, 1/√n) over the n values of an image, as in TensorFlow's CIFAR-10 tutorial.
    """
    values = images.float().flatten(1)
    values = values - values.mean(dim=1, keepdim=True)
    deviation = values.square().mean(dim=1, keepdim=True).sqrt()  # ten times as fast as torch.std on a CPU
    values /= deviation.clamp(min=values.shape[1] ** -0.5)
    return values.view_as(images).contiguous(memory_format=torch.channels_last)


def to_unit_interval(images: Tensor) -> Tensor:
    """Bring images (B, C, H, W) of values 0 to 255 to [0, 1]; float32, channels last."""
    return (images.float() / 255).contiguous(memory_format=torch.channels_last)


PIXEL_SCALES = {"standardised": standardise, "unit": to_unit_interval}
