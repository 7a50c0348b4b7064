"""Batches of views, for training and for evaluation, of images that lie on the device or stay in their files.

Which images a training step sees, and which view of each, is a function of the seed and the step alone; of several
processes each has its share of them.
"""

from collections.abc import Iterator
from functools import partial
from itertools import count

import numpy as np
import torch
from torch import Tensor

from lsbook.core.errors import UserError
from lsbook.data.decoding import decoded
from lsbook.data.image_files import ImageFiles
from lsbook.data.images import Images
from lsbook.training.engine import distributed
from lsbook.training.images.augmentation import SCALES, Augmentation, InceptionCrop, Views
from lsbook.training.losses import Batch

EVALUATION_BATCH = 500
BLOCK = 256  # steps whose views a GPU draws at once


class FromMemory:
    """The batches of images that are moved to the device whole, as bytes; views are made there.

    block: steps whose views are drawn at once. A GPU's launches are dear, a CPU draws them as it goes.
    """

    def __init__(self, images: Images, view: Augmentation, seed: int, batch: int, device: torch.device, block: int = 1):
        self.pixels = torch.from_numpy(images.pixels).to(device)
        self.labels = torch.from_numpy(images.labels).to(device)
        self.view, self.seed, self.block = view, seed, block
        self._order = Order(seed, len(images), batch)
        self._place = torch.zeros(1, dtype=torch.long, device=device)
        self._drawn, self._tables = None, None

    def load(self, step: int) -> None:
        """Have the order and views of a step in the device's memory."""
        block, place = divmod(step, self.block)
        if block != self._drawn:
            self._drawn, self._tables = block, _kept(self._tables, self._draw(block))
        self._place.fill_(place)

    def __call__(self) -> tuple[Tensor, Batch]:
        """Views (B, C, h, w) of the loaded step, and what they are of."""
        index, *views = (distributed.share(table.index_select(0, self._place)[0]) for table in self._tables)
        views = Views(*views)
        return self.view.take(self.pixels, index, views), Batch(index, self.labels[index], views)

    def close(self) -> None:
        """Nothing."""

    def _draw(self, block: int) -> list[Tensor]:
        """Of each step in a block: the images (S, B), and the parts of their views, likewise."""
        device = self.pixels.device
        index = torch.stack([self._order(block * self.block + i) for i in range(self.block)]).to(device)
        generator = torch.Generator(device).manual_seed(int(seeds(self.seed, "views", block)))
        views = self.view.draw(tuple(self.pixels.shape[1:]), index.numel(), generator)
        return [index, *(part.view_as(index) for part in views)]


class FromFiles:
    """The batches of images that worker processes decode, ahead of time while steps come one after another."""

    def __init__(self, images: ImageFiles, view: InceptionCrop, seed: int, batch: int, device: torch.device):
        self.images, self.view, self.seed, self.device = images, view, seed, device
        self.labels = torch.from_numpy(images.labels)
        self._order = Order(seed, len(images), batch)
        self._step, self._loaded = None, None

    def load(self, step: int) -> None:
        """Have the views of a step in the device's memory. UserError names a broken image."""
        if step != self._step:
            items = map(partial(_items, self._order, self.seed), count(step))
            self._decoded = decoded(self.images, items, self.view)  # without a way back here: its workers end with it
        self._step = step + 1
        index = distributed.share(self._order(step))
        views = _on_device(next(self._decoded), self.view, self.device)
        self._loaded = _kept(self._loaded, [views, index.to(self.device), self.labels[index].to(self.device)])

    def __call__(self) -> tuple[Tensor, Batch]:
        """Views (B, C, h, w) of the loaded step, and what they are of."""
        views, index, labels = self._loaded
        return views, Batch(index, labels, None)

    def close(self) -> None:
        """End the worker processes."""
        self._step, self._decoded = None, None


def _items(order: "Order", seed: int, step: int) -> list[tuple[int, int]]:
    """(image, seed of its view) of this process's share of a step's batch."""
    index = order(step)
    pairs = zip(index.tolist(), seeds(seed, "views", step, len(index)).tolist(), strict=True)
    return distributed.share(list(pairs))


def batches(images: Images | ImageFiles, view, seed: int, batch: int, device: torch.device) -> FromMemory | FromFiles:
    """The batches of a training: `load(step)` brings those of a step to the device, a call gives them there."""
    if isinstance(images, ImageFiles):
        return FromFiles(images, view, seed, batch, device)
    return FromMemory(images, view, seed, batch, device, block=1 if device.type == "cpu" else BLOCK)


def evaluation(images: Images | ImageFiles, view, device: torch.device) -> Iterator[Tensor]:
    """The evaluation views (B, C, h, w) of this process's share of the images, in order, in batches."""
    rows = filter(len, distributed.share(torch.arange(len(images))).split(EVALUATION_BATCH))
    if isinstance(images, ImageFiles):
        for found in decoded(images, ([(i,) for i in index.tolist()] for index in rows), view):
            yield _on_device(found, view, device)
        return
    pixels = torch.from_numpy(images.pixels)
    for index in rows:
        central = view.central(images.shape, len(index), device)
        yield view.take(pixels[index].to(device), torch.arange(len(index), device=device), central)


class Order:
    """Which examples step i sees: whole batches of a new permutation for each pass through the data."""

    def __init__(self, seed: int, n: int, batch: int):
        self.seed, self.n, self.batch = seed, n, batch
        self.epoch, self.permutation = None, None

    def __call__(self, i: int) -> Tensor:
        epoch, within = divmod(i, self.n // self.batch)
        if epoch != self.epoch:
            generator = torch.Generator().manual_seed(int(seeds(self.seed, "order", epoch)))
            self.epoch, self.permutation = epoch, torch.randperm(self.n, generator=generator)
        return self.permutation[within * self.batch : (within + 1) * self.batch]


def seeds(seed: int, purpose: str, i: int, n: int | None = None) -> np.ndarray | np.uint64:
    """A seed of its own for every run, purpose and step, or n of them."""
    entropy = [seed, {"order": 0, "views": 1}[purpose], i]
    return np.random.SeedSequence(entropy).generate_state(n or 1, np.uint64)[slice(n) if n else 0] >> np.uint64(1)


def _kept(old: list[Tensor] | None, new: list[Tensor]) -> list[Tensor]:
    """The new values in the places of the old ones, where a GPU's repeated step looks for them."""
    return [o.copy_(n) for o, n in zip(old, new, strict=True)] if old else new


def _on_device(found: Tensor | list[UserError], view: InceptionCrop, device: torch.device) -> Tensor:
    if isinstance(found, list):
        raise UserError(f"{found[0]}; `lsbook data` counts all that are broken")
    return SCALES[view.pixels](found.to(device, non_blocking=True))
