"""Batches of views, for training and for evaluation, of images that lie on the device or stay in their files.

Which images a training step sees, and which view of each, is a function of the seed and the step alone; each of several
processes has its shard of them.
"""

from collections.abc import Iterator
from functools import partial
from itertools import count

import numpy as np
import torch
from torch import Tensor

from lsbook.core.errors import UserError
from lsbook.data.decoding import decode_batches
from lsbook.data.image_files import ImageFiles
from lsbook.data.images import Images
from lsbook.training.engine import distributed
from lsbook.training.images.augmentation import PIXEL_SCALES, Augmentation, InceptionCrop, Views
from lsbook.training.losses import Batch

EVALUATION_BATCH = 500
BLOCK = 256  # steps whose views a GPU draws at once


class InMemoryBatches:
    """The training batches of images that lie on the device, as bytes; views are made there.

    The views of `block` steps are drawn at once: a GPU's launches are dear, a CPU draws them as it goes.
    """

    def __init__(self, images: Images, view: Augmentation, seed: int, batch: int, device: torch.device, block: int = 1):
        self.pixels = torch.from_numpy(images.pixels).to(device)
        self.labels = torch.from_numpy(images.labels).to(device)
        self.view, self.seed, self.block = view, seed, block
        self._order = ShuffledOrder(seed, len(images), batch)
        self._place = torch.zeros(1, dtype=torch.long, device=device)
        self._drawn: int | None = None
        self._tables: list[Tensor] = []

    def load(self, step: int) -> None:
        """Bring the order and views of a step to the device's memory."""
        block, place = divmod(step, self.block)
        if block != self._drawn:
            self._drawn, self._tables = block, _copy_in_place(self._tables, self._draw(block))
        self._place.fill_(place)

    def __call__(self) -> tuple[Tensor, Batch]:
        """Return the views (B, C, h, w) of the loaded step, and which images they are of."""
        index, *parts = (distributed.shard(table.index_select(0, self._place)[0]) for table in self._tables)
        views = Views(*parts)
        return self.view.take(self.pixels, index, views), Batch(index, self.labels[index], views)

    def close(self) -> None:
        """Do nothing: there are no processes to end."""

    def _draw(self, block: int) -> list[Tensor]:
        """Draw for each of the S steps in a block the images (S, B), and the parts of their views, likewise."""
        device = self.pixels.device
        index = torch.stack([self._order(block * self.block + i) for i in range(self.block)]).to(device)
        generator = torch.Generator(device).manual_seed(int(derive_seeds(self.seed, "views", block)[0]))
        views = self.view.draw(self.pixels.shape[1:], index.numel(), generator)
        return [index, *(part.view_as(index) for part in views)]


class FileBatches:
    """The training batches of images in files, which worker processes decode ahead of time."""

    def __init__(self, images: ImageFiles, view: InceptionCrop, seed: int, batch: int, device: torch.device):
        self.images, self.view, self.seed, self.device = images, view, seed, device
        self.labels = torch.from_numpy(images.labels)
        self._order = ShuffledOrder(seed, len(images), batch)
        self._step: int | None = None
        self._loaded: list[Tensor] = []
        self._decoded: Iterator[Tensor | list[UserError]] = iter(())

    def load(self, step: int) -> None:
        """Bring the views of a step to the device's memory. UserError names a broken image."""
        if step != self._step:
            items = map(partial(_shard_items, self._order, self.seed), count(step))
            # Without a way back here: its workers end with it.
            self._decoded = decode_batches(self.images, items, self.view)
        self._step = step + 1
        index = distributed.shard(self._order(step))
        views = _on_device(next(self._decoded), self.view, self.device)
        self._loaded = _copy_in_place(self._loaded, [views, index.to(self.device), self.labels[index].to(self.device)])

    def __call__(self) -> tuple[Tensor, Batch]:
        """Return the views (B, C, h, w) of the loaded step, and which images they are of."""
        views, index, labels = self._loaded
        return views, Batch(index, labels, None)

    def close(self) -> None:
        """End the worker processes."""
        self._step, self._decoded = None, iter(())


def _shard_items(order: "ShuffledOrder", seed: int, step: int) -> list[tuple[int, int]]:
    """Return (image, seed of its view) for this process's shard of a step's batch."""
    index = order(step)
    pairs = zip(index.tolist(), derive_seeds(seed, "views", step, len(index)).tolist(), strict=True)
    return distributed.shard(list(pairs))


def training_batches(
    images: Images | ImageFiles, view, seed: int, batch: int, device: torch.device
) -> InMemoryBatches | FileBatches:
    """Return the batches of a training: `load(step)` brings that of a step to the device, a call returns it."""
    if isinstance(images, ImageFiles):
        return FileBatches(images, view, seed, batch, device)
    return InMemoryBatches(images, view, seed, batch, device, block=1 if device.type == "cpu" else BLOCK)


def evaluation_batches(images: Images | ImageFiles, view, device: torch.device) -> Iterator[Tensor]:
    """Yield the evaluation views (B, C, h, w) of this process's shard of the images, in order, in batches."""
    parts = distributed.shard(torch.arange(len(images))).split(EVALUATION_BATCH)
    rows = [index for index in parts if len(index)]
    if isinstance(images, ImageFiles):
        for found in decode_batches(images, ([(i,) for i in index.tolist()] for index in rows), view):
            yield _on_device(found, view, device)
        return
    pixels = torch.from_numpy(images.pixels)
    for index in rows:
        central = view.central(images.shape, len(index), device)
        yield view.take(pixels[index].to(device), torch.arange(len(index), device=device), central)


class ShuffledOrder:
    """The examples (batch,) that step i sees: whole batches of a new permutation of n examples in each epoch."""

    def __init__(self, seed: int, n: int, batch: int):
        self.seed, self.n, self.batch = seed, n, batch
        self.epoch: int | None = None
        self.permutation = torch.empty(0, dtype=torch.long)

    def __call__(self, i: int) -> Tensor:
        """Return the indices (batch,) of step i."""
        epoch, within = divmod(i, self.n // self.batch)
        if epoch != self.epoch:
            generator = torch.Generator().manual_seed(int(derive_seeds(self.seed, "order", epoch)[0]))
            self.epoch, self.permutation = epoch, torch.randperm(self.n, generator=generator)
        return self.permutation[within * self.batch : (within + 1) * self.batch]


def derive_seeds(seed: int, purpose: str, i: int, n: int = 1) -> np.ndarray:
    """Derive n seeds (n,) for every run, purpose ("order" or "views") and step i."""
    entropy = [seed, {"order": 0, "views": 1}[purpose], i]
    return np.random.SeedSequence(entropy).generate_state(n, np.uint64) >> np.uint64(1)


def _copy_in_place(old: list[Tensor], new: list[Tensor]) -> list[Tensor]:
    """Copy new values to the tensors of the old ones, in which a replayed CUDA graph reads them."""
    return [o.copy_(n) for o, n in zip(old, new, strict=True)] if old else new


def _on_device(found: Tensor | list[UserError], view: InceptionCrop, device: torch.device) -> Tensor:
    if isinstance(found, list):
        raise UserError(f"{found[0]}; `lsbook data` counts all that are broken")
    return PIXEL_SCALES[view.pixels](found.to(device, non_blocking=True))
