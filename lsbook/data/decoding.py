"""Images decoded in worker processes, by PyTorch's DataLoader."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lsbook.core.cpus import cores
from lsbook.core.errors import UserError
from lsbook.data.image_files import ImageFiles

SIGNAL_DELAY = 6  # seconds, in which a step ends or is given up
Item = tuple  # the index of an image, and what its view is called with besides the image


def decode_batches(
    images: ImageFiles, batches: Iterable[list[Item]], view: Callable, workers: int | None = None
) -> Iterator[Tensor | list[UserError]]:
    """Yield for each batch the views of its items, stacked; where images are broken, a UserError for each instead.

    Args:
        images: N of them.
        batches: items, each the index of an image and further arguments of `view`.
        view: (image, *arguments) -> array; it has to be picklable.
        workers: processes; one a core when not given, none: decode here.
    """
    loader = DataLoader(
        _Views(images, view),
        batch_sampler=batches,
        num_workers=_cores() if workers is None else workers,
        collate_fn=_stack,
        worker_init_fn=_defer_signals,
        pin_memory=torch.cuda.is_available(),  # or a copy to a GPU could not go on beside the computing
        generator=torch.Generator(),  # or each pass would draw a number that the training's own come after
    )
    return iter(loader)


class _Views(Dataset):
    def __init__(self, images: ImageFiles, view: Callable):
        self.images, self.view = images, view

    def __getitem__(self, item: Item):
        i, *arguments = item
        try:
            return self.images.apply(i, self.view, *arguments)
        except UserError as error:
            return error


def _stack(views: list[np.ndarray | UserError]) -> Tensor | list[UserError]:
    broken = [view for view in views if isinstance(view, UserError)]
    return broken or torch.from_numpy(np.stack([view for view in views if not isinstance(view, UserError)]))


def _defer_signals(_: int) -> None:
    """Ignore SIGINT and put SIGTERM off.

    A signal to the whole process group is for the process that asks for images, which may need them to end its step:
    this one ends when that does, or SIGNAL_DELAY seconds later.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(SIGNAL_DELAY))


def _cores() -> int:
    """Count this process's share of the cores, with others of a `torchrun` on the same machine."""
    return max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
