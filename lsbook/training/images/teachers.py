"""Teachers: their weights, and their logits of every view that students may see, computed once and kept on disk.

Both are this machine's own (`runs/`): they follow from the run and are made again where they are missing.
"""

import hashlib
from collections.abc import Mapping
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
from lsbook.core.config import Run
from lsbook.core.errors import UserError
from lsbook.core.paths import runs_path
from lsbook.data.images import Images
from lsbook.data.sources import write_whole
from lsbook.models.base import Classifier, build
from lsbook.training.engine import devices, distributed
from lsbook.training.images import augmentation
from lsbook.training.losses import Batch, Distillation, Loss, SmoothedCrossEntropy

BATCH = 2_048  # views evaluated at a time


def weights_path(run: Run) -> Path:
    """Where the trained weights of a run are kept."""
    return runs_path() / run.folder / "weights.safetensors"


def save_weights(run: Run, model: Classifier) -> None:
    """Keep a trained network: whole or not at all. A disk without space costs only a later student's time.

    Of several processes the first does.
    """
    if distributed.rank():
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
    model = build(run.model, view.shape(shape), n_classes)
    model.load_state_dict(state)
    device = devices.device()
    return model.to(device, memory_format=torch.channels_last).eval()


class Bank:
    """A teacher's logits (N, V, K), float16, of all V views of N images; called with a batch, those of its views."""

    def __init__(self, logits: np.ndarray, view: augmentation.Augmentation, images: Images, device: torch.device):
        self.logits = torch.from_numpy(logits).to(device)
        self.view, self.shape = view, tuple(images.pixels.shape[1:])
        self.labels = images.labels.repeat(logits.shape[1])

    def __call__(self, batch: Batch) -> Tensor:
        """(B, K) float32."""
        return self.logits[batch.index, self.view.number(self.shape, batch.views)].float()

    def smoothness(self, temperature: float) -> float:
        """γ of the targets at a temperature, over all views."""
        return smoothness_at(temperature, self._every, self.labels)

    def temperature(self, smoothness: float) -> float:
        """At which the targets have this γ. ValueError where there is none."""
        return temperature_for(smoothness, self._every, self.labels)

    @property
    def _every(self) -> np.ndarray:
        return self.logits.flatten(0, 1).cpu().numpy()


def bank(teacher: Run, images: Images, student: Run) -> Bank | None:
    """The teacher's logits of every view of `images` that the student's augmentation makes; None without its weights.

    It sees their pixels as it was trained on them. Kept, where there is space, by the content of its weights and of the
    images, and by augmentation.
    """
    weights = weights_path(teacher)
    if not weights.is_file():
        return None
    of = f"{hashlib.sha256(weights.read_bytes()).hexdigest()[:16]}-{images.fingerprint[:16]}-{len(images)}"
    path = weights.with_name(f"bank-{student.recipe.augmentation}{student.recipe.size or ''}-{of}.npy")
    view = replace(augmentation.of(student.recipe), pixels=teacher.recipe.pixels)
    shape = tuple(images.pixels.shape[1:])
    seen, known = view.shape(shape), augmentation.of(teacher.recipe).shape(shape)
    if seen != known:
        raise UserError(f"the student sees views of shape {seen}, but its teacher was trained on {known}")
    logits = _read_bank(path)
    if logits is None:
        model = load_weights(teacher, shape, len(images.classes))
        if model is None:
            return None
        part = path.with_suffix(".part")
        every = len(images), len(view.every(shape, "cpu").top), len(images.classes)
        logits = every_view(model, teacher.recipe.precision, images, view, _begun(part, every))
        if isinstance(logits, np.memmap):
            with suppress(OSError):
                logits.flush()
                part.replace(path)
                logits = np.load(path, mmap_mode="c")
    return Bank(logits, view, images, devices.device())


def _read_bank(path: Path) -> np.ndarray | None:
    try:
        return np.load(path, mmap_mode="c", allow_pickle=False)
    except (FileNotFoundError, EOFError, ValueError):  # a damaged file is made again, as a missing one
        return None


def _begun(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """What an interrupted process has left in a file, NaN where it had nothing yet; in memory where there is no space.

    The file has its whole size from the beginning: what is mapped to memory must not run out of space.
    """
    found = _read_bank(path)
    if found is None or found.shape != shape:
        nothing = np.full(shape, np.nan, np.float16)
        try:
            write_whole(path, lambda file: np.save(file, nothing))
        except OSError:
            return nothing
    return np.load(path, mmap_mode="r+")


class Lesson(NamedTuple):
    """What is learned from other networks' answers, and metrics of the targets: smoothness index, and temperature."""

    loss: Loss
    metrics: dict[str, float]


def lesson(run: Run, banks: Mapping[Run, Bank]) -> Lesson:
    """Of a run that has teachers. banks: of each of them.

    UserError when its teacher cannot be as soft as the run says.
    """
    smoothness = run.as_soft_as and banks[run.as_soft_as].smoothness(1.0)
    if run.teacher is None:
        return Lesson(SmoothedCrossEntropy(alpha=smoothness), {"teacher_smoothness": smoothness})
    bank = banks[run.teacher]
    try:
        temperature = run.temperature or bank.temperature(smoothness)
    except ValueError as error:
        raise UserError(f"{run}: smoothness {error}") from None
    metrics = {"teacher_temperature": temperature, "teacher_smoothness": bank.smoothness(temperature)}
    return Lesson(
        Distillation(
            teacher=bank, temperature=temperature, beta=run.beta, alpha=run.alpha, squared=run.squared_temperature
        ),
        metrics,
    )


@torch.no_grad()
def every_view(
    model: Classifier,
    number_format: str,
    images: Images,
    view: augmentation.Augmentation,
    begun: np.ndarray | None = None,
    progress: bool = True,
) -> np.ndarray:
    """(N, V, K) float16 logits of all V views of N images, in the order of `view.every`.

    begun: an array to fill, of which a batch without any NaN is taken as it is.
    """
    device = model.output.weight.device
    pixels = torch.from_numpy(images.pixels).to(device)
    every = view.every(tuple(pixels.shape[1:]), device)
    shape = len(images), len(every.top), len(images.classes)
    result = np.full(shape, np.nan, np.float16) if begun is None else begun
    flat = result.reshape(-1, shape[2])
    first = int(np.argmax(np.append(np.isnan(flat).any(axis=1), True))) // BATCH * BATCH
    bar = tqdm(total=len(flat), initial=first, desc="teacher's views", unit="view", mininterval=1, disable=not progress)
    with bar:
        for rows in torch.arange(first, len(flat), device=device).split(BATCH):
            place = rows % shape[1]
            chosen = augmentation.Views(*(part[place] for part in every))
            with devices.autocast(device, number_format):
                logits = model(view.take(pixels, rows // shape[1], chosen))
            flat[rows[0] : rows[-1] + 1] = logits.float().cpu().numpy()
            bar.update(len(rows))
    return result
