"""Teachers: their weights, and their logits for every view that students may see, computed once and kept on disk.

Both are this machine's own (`runs/`): they follow from the run and are made again where they are missing.
"""

import hashlib
import math
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
from lsbook.data.sources import write_atomically
from lsbook.models.base import Classifier, build
from lsbook.training.engine import devices, distributed
from lsbook.training.images import augmentation
from lsbook.training.losses import Batch, Distillation, Loss, SmoothedCrossEntropy

VIEWS_AT_ONCE = 2_048  # views evaluated at a time


def weights_path(run: Run) -> Path:
    """Return where the trained weights of a run are kept."""
    return runs_path() / run.folder / "weights.safetensors"


def save_weights(run: Run, model: Classifier) -> None:
    """Write the weights of a trained network, whole or not at all; of several processes rank 0 does.

    A disk without space costs only a later student's time.
    """
    if distributed.rank():
        return
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    with suppress(OSError):
        write_atomically(weights_path(run), lambda file: file.write(save(state)))


def has_weights(run: Run) -> bool:
    """Whether the trained weights of a run are on this machine, and whole."""
    return _read_weights(run) is not None


def _read_weights(run: Run) -> dict[str, Tensor] | None:
    try:
        return load_file(weights_path(run))
    except (FileNotFoundError, SafetensorError):  # a damaged file is made again, as a missing one
        return None


def load_weights(run: Run, shape: tuple[int, int, int], n_classes: int) -> Classifier | None:
    """Load a trained network for images of shape (C, H, W), in evaluation mode; None when its weights are not here."""
    state = _read_weights(run)
    if state is None:
        return None
    view = augmentation.from_recipe(run.recipe)
    model = build(run.model, view.shape(shape), n_classes)
    model.load_state_dict(state)
    device = devices.device()
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # which torch knows
    return model.eval()


class TeacherLogits:
    """A teacher's logits (N, V, K), float16, for all V views of N images; called with a batch, those of its views."""

    def __init__(self, logits: np.ndarray, view: augmentation.Augmentation, images: Images, device: torch.device):
        self.logits = torch.from_numpy(logits).to(device)
        self.view, self.shape = view, images.shape
        self.labels = images.labels.repeat(logits.shape[1])

    def __call__(self, batch: Batch) -> Tensor:
        """Return the logits (B, K), float32, for the views of a batch."""
        assert batch.views is not None  # whose images stay in files, no student learns from
        return self.logits[batch.index, self.view.view_index(self.shape, batch.views)].float()

    def smoothness(self, temperature: float) -> float:
        """Return the smoothness index γ of the targets at a temperature, over all views."""
        return smoothness_at(temperature, self._flat, self.labels)

    def temperature(self, smoothness: float) -> float:
        """Find the temperature at which the targets have this smoothness index γ. ValueError where there is none."""
        return temperature_for(smoothness, self._flat, self.labels)

    @property
    def _flat(self) -> np.ndarray:
        """The logits (N · V, K)."""
        return self.logits.flatten(0, 1).cpu().numpy()


def teacher_logits(teacher: Run, images: Images, student: Run) -> TeacherLogits | None:
    """Load, or compute and keep, a teacher's logits for every view of `images` that a student may see.

    The student's augmentation makes the views; the teacher sees their pixels on the scale that it was trained on.

    Returns:
        The logits; None where the teacher's weights are not on this machine.

    Raises:
        UserError: the student's views have another shape than those that the teacher was trained on.
    """
    path = _logits_path(teacher, images, student)
    if path is None:
        return None
    of_student = augmentation.from_recipe(student.recipe)
    assert isinstance(of_student, augmentation.Augmentation)  # the other one is for images that stay in files
    view = replace(of_student, pixels=teacher.recipe.pixels)
    _check_shape(view, teacher, images)
    logits = _read_logits(path)
    if logits is None:
        model = load_weights(teacher, images.shape, len(images.classes))
        if model is None:
            return None
        logits = _compute_and_keep(path, model, teacher.recipe.precision, images, view)
    return TeacherLogits(logits, view, images, devices.device())


def _logits_path(teacher: Run, images: Images, student: Run) -> Path | None:
    """Where the logits are kept: named by augmentation, weights and images. None without the teacher's weights."""
    weights = weights_path(teacher)
    if not weights.is_file():
        return None
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    made_from = f"{digest[:16]}-{images.fingerprint[:16]}-{len(images)}"
    return weights.with_name(f"bank-{student.recipe.augmentation}{student.recipe.size or ''}-{made_from}.npy")


def _check_shape(view: augmentation.Augmentation, teacher: Run, images: Images) -> None:
    seen, known = view.shape(images.shape), augmentation.from_recipe(teacher.recipe).shape(images.shape)
    if seen != known:
        raise UserError(f"the student sees views of shape {seen}, but its teacher was trained on {known}")


def _compute_and_keep(
    path: Path, model: Classifier, precision: str, images: Images, view: augmentation.Augmentation
) -> np.ndarray:
    """Compute the logits (N, V, K) into a file, which gets its name when it is complete.

    An interrupted computation goes on where it was. Without space for the file they are in memory alone.
    """
    partial = path.with_suffix(".part")
    n_views = len(view.all_views(images.shape, "cpu").top)
    logits = _open_partial(partial, (len(images), n_views, len(images.classes)))
    compute_view_logits(model, precision, images, view, logits)
    if isinstance(logits, np.memmap):
        with suppress(OSError):
            logits.flush()
            partial.replace(path)
            logits = np.load(path, mmap_mode="c")
    return logits


def _read_logits(path: Path) -> np.ndarray | None:
    try:
        return np.load(path, mmap_mode="c", allow_pickle=False)
    except (FileNotFoundError, EOFError, ValueError):  # a damaged file is made again, as a missing one
        return None


def _open_partial(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Open what an interrupted process has left in a file, or a new one of NaN; an array in memory without space.

    The file has its whole size from the beginning: what is mapped to memory must not run out of space.
    """
    found = _read_logits(path)
    if found is None or found.shape != shape:
        nothing = np.full(shape, np.nan, np.float16)
        try:
            write_atomically(path, lambda file: np.save(file, nothing))
        except OSError:
            return nothing
    return np.load(path, mmap_mode="r+")


class DistillationTarget(NamedTuple):
    """What a student learns: its loss, and metrics of the targets in it (smoothness index, temperature)."""

    loss: Loss
    metrics: dict[str, float]


def distillation_target(
    run: Run, logits: Mapping[Run, TeacherLogits], smoothness: float | None = None
) -> DistillationTarget:
    """Make the loss of a run that has teachers, and metrics of its targets.

    Args:
        run: a student, or a run whose labels are smoothed to the smoothness index of another network's targets.
        logits: those of each of the run's teachers.
        smoothness: γ of the targets of `run.as_soft_as` at T = 1 where it is known; found from its logits when None.

    Raises:
        UserError: no temperature gives the teacher's targets the smoothness index that the run asks for.
    """
    if smoothness is None:
        smoothness = logits[run.as_soft_as].smoothness(1.0) if run.as_soft_as else math.nan
    if run.teacher is None:
        return DistillationTarget(SmoothedCrossEntropy(alpha=smoothness), {"teacher_smoothness": smoothness})
    teacher = logits[run.teacher]
    try:
        temperature = run.temperature or teacher.temperature(smoothness)
    except ValueError as error:
        raise UserError(f"{run}: smoothness {error}") from None
    assert run.beta is not None  # with a teacher it is given
    metrics = {"teacher_temperature": temperature, "teacher_smoothness": teacher.smoothness(temperature)}
    return DistillationTarget(
        Distillation(
            teacher=teacher, temperature=temperature, beta=run.beta, alpha=run.alpha, squared=run.squared_temperature
        ),
        metrics,
    )


@torch.no_grad()
def compute_view_logits(
    model: Classifier,
    precision: str,
    images: Images,
    view: augmentation.Augmentation,
    logits: np.ndarray,
    progress: bool = True,
) -> None:
    """Evaluate a network on all V views of N images, in the order of `view.all_views`.

    Args:
        model: a network of K classes, in evaluation mode.
        precision: of its recipe.
        images: N decoded images.
        view: which makes the views.
        logits: (N, V, K) float16 to be filled; batches at its beginning without any NaN are taken as they are.
        progress: whether a bar is shown.
    """
    device = model.output.weight.device
    pixels = torch.from_numpy(images.pixels).to(device)
    views = view.all_views(images.shape, device)
    n_views = len(views.top)
    flat = logits.reshape(-1, logits.shape[2])
    missing = np.isnan(flat).any(axis=1)
    first = int(missing.argmax()) // VIEWS_AT_ONCE * VIEWS_AT_ONCE if missing.any() else len(flat)
    bar = tqdm(total=len(flat), initial=first, desc="teacher's views", unit="view", mininterval=1, disable=not progress)
    with bar:
        for rows in torch.arange(first, len(flat), device=device).split(VIEWS_AT_ONCE):
            image, which = rows // n_views, rows % n_views
            with devices.autocast(device, precision):
                outputs = model(view.take(pixels, image, augmentation.Views(*(part[which] for part in views))))
            flat[rows[0] : rows[-1] + 1] = outputs.float().cpu().numpy()
            bar.update(len(rows))
