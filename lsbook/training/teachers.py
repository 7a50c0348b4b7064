"""Teachers: their weights, and their logits of every view that students may see, computed once and kept on disk.

Both are this machine's own (`runs/`): they follow from the run and are made again where they are missing.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm import tqdm

from lsbook.analysis.distillation import smoothness_at, temperature_for
from lsbook.catalogue import MODELS
from lsbook.data.images import Images
from lsbook.data.sources import write_whole
from lsbook.errors import UserError
from lsbook.models.base import Classifier
from lsbook.paths import runs_path
from lsbook.run import Run
from lsbook.training import augmentation, precision, processes
from lsbook.training.losses import Batch, Loss, distillation

BATCH = 2_048  # views evaluated at a time


def weights_path(run: Run) -> Path:
    """Where the trained weights of a run are kept."""
    return runs_path() / run.folder / "weights.safetensors"


def save_weights(run: Run, model: Classifier) -> None:
    """Keep a trained network: whole or not at all. A disk without space costs only a later student's time.

    Of several processes the first does.
    """
    if processes.rank():
        return
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    with suppress(OSError):
        write_whole(weights_path(run), lambda file: file.write(save(state)))


def has_weights(run: Run) -> bool:
    """Whether the trained weights of a run are here, and whole."""
    return _read_weights(run) is not None


def _read_weights(run: Run) -> dict[str, Tensor] | None:
    try:
        return load_file(weights_path(run))
    except (FileNotFoundError, SafetensorError):  # a damaged file is made again, as a missing one
        return None


def load_weights(run: Run, shape: tuple[int, int, int], n_classes: int) -> Classifier | None:
    """The trained network for images of shape (C, H, W), in evaluation mode; None when its weights are not here."""
    state = _read_weights(run)
    if state is None:
        return None
    view = augmentation.of(run.recipe)
    model = MODELS[run.model].build(view.shape(shape), n_classes)
    model.load_state_dict(state)
    device = precision.device()
    return model.to(device, memory_format=torch.channels_last).eval()


class Bank:
    """A teacher's logits (N, V, K), float16, of all V views of N images; called with a batch, those of its views."""

    def __init__(self, logits: np.ndarray, view: augmentation.Augmentation, shape: tuple[int, int, int], device):
        self.logits = torch.from_numpy(logits).to(device)
        self.view, self.shape = view, shape

    def __call__(self, batch: Batch) -> Tensor:
        """(B, K) float32."""
        return self.logits[batch.index, self.view.number(self.shape, batch.views)].float()


def bank(teacher: Run, images: Images, student: Run) -> Bank | None:
    """The teacher's logits of every view of `images` that the student's augmentation makes; None without its weights.

    It sees their pixels as it was trained on them. Kept by teacher, augmentation and content of the images.
    """
    view = replace(augmentation.of(student.recipe), pixels=teacher.recipe.pixels)
    name = f"bank-{student.recipe.augmentation}{student.recipe.size or ''}-{len(images)}-{images.fingerprint[:16]}.npy"
    path = weights_path(teacher).with_name(name)
    shape = tuple(images.pixels.shape[1:])
    seen, known = view.shape(shape), augmentation.of(teacher.recipe).shape(shape)
    if seen != known:
        raise UserError(f"the student sees views of shape {seen}, but its teacher was trained on {known}")
    if not path.is_file():
        model = load_weights(teacher, shape, len(images.classes))
        if model is None:
            return None
        logits = every_view(model, teacher.recipe.precision, images, view)
        write_whole(path, lambda file: np.save(file, logits))
    return Bank(np.load(path, mmap_mode="c", allow_pickle=False), view, shape, precision.device())


class Lesson(NamedTuple):
    """What a student is trained with, and metrics of its teacher: temperature and smoothness index of the targets."""

    loss: Loss
    metrics: dict[str, float]


def lesson(run: Run, images: Images) -> Lesson | None:
    """Of a student trained on `images`; None when its teacher's weights are not here.

    UserError when the teacher cannot have the smoothness that the run names.
    """
    logits = bank(run.teacher, images, run)
    if logits is None:
        return None
    n_views = logits.logits.shape[1]
    every, labels = logits.logits.flatten(0, 1).cpu().numpy(), images.labels.repeat(n_views)
    try:
        temperature = run.temperature or temperature_for(run.smoothness, every, labels)
    except ValueError as error:
        raise UserError(f"{run}: smoothness {error}") from None
    metrics = {"teacher_temperature": temperature, "teacher_smoothness": smoothness_at(temperature, every, labels)}
    return Lesson(distillation(logits, temperature, run.beta, run.alpha, run.squared_temperature), metrics)


@torch.no_grad()
def every_view(
    model: Classifier, number_format: str, images: Images, view: augmentation.Augmentation, progress: bool = True
) -> np.ndarray:
    """(N, V, K) float16 logits of all V views of N images, in the order of `view.every`."""
    device = model.output.weight.device
    pixels = torch.from_numpy(images.pixels).to(device)
    every = view.every(tuple(pixels.shape[1:]), device)
    n_views = len(every.top)
    result = np.empty((len(images) * n_views, len(images.classes)), np.float16)
    with tqdm(total=len(result), desc="teacher's views", unit="view", mininterval=1, disable=not progress) as bar:
        for rows in torch.arange(len(result), device=device).split(BATCH):
            place = rows % n_views
            chosen = augmentation.Views(*(part[place] for part in every))
            with precision.autocast(device, number_format):
                logits = model(view.take(pixels, rows // n_views, chosen))
            result[rows[0] : rows[-1] + 1] = logits.float().cpu().numpy()
            bar.update(len(rows))
    return result.reshape(len(images), n_views, -1)
