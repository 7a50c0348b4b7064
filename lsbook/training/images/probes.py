"""What is measured along a training besides accuracy and calibration. A probe never changes the training.

"logit-differences": how much the difference of two logits, over augmented views, tells about the image it was computed
from, for every pair of classes (section 4 and Figure 6 of the paper).
"""

import time
from itertools import combinations

import numpy as np
import torch

from lsbook.analysis.information import bracket
from lsbook.core.config import Run
from lsbook.data.images import Images
from lsbook.models.base import Classifier
from lsbook.training.engine.devices import autocast
from lsbook.training.images.augmentation import Augmentation, Views, from_recipe
from lsbook.training.images.summary import quantise
from lsbook.training.images.views import EVALUATION_BATCH

PAIR = (0, 1)  # classes whose differences are kept: the first two of Figure 1's first row
MAX_CLASSES = 10  # at most, the first ones, of which pairs are made
EXAMPLES_PER_CLASS = 300  # of each class: N = 600 of a pair, as in the paper
N_VIEWS = 10  # of each example: the paper's L
VIEW_COUNTS = (2, N_VIEWS)  # how many views an estimate uses, the first ones of each example
REACHES = (0, 1, 2)  # pixels from the central window, of weaker views of the trained network
# Steps, evenly spaced in their logarithm; rounding makes some of the first ones coincide. Of short runs:
MAX_POINTS = 24
MIN_STEPS_PER_POINT = 4  # at least as many times as many steps


class LogitDifferences:
    """Measures differences z_a − z_b of two classes' logits, for their first examples under N_VIEWS fixed views each.

    A split without images has none, and neither have classes that lack images in another split.

    Attributes:
        points: the steps after which it measures.
        seconds: what it has taken so far.
    """

    def __init__(self, run: Run, train: Images, heldout: Images):
        self.run = run
        self.splits = {name: images for name, images in (("train", train), ("heldout", heldout)) if len(images)}
        points = min(MAX_POINTS, max(2, run.recipe.steps // MIN_STEPS_PER_POINT))
        self.points = sorted({round(step) for step in np.geomspace(1, run.recipe.steps, points)})
        self.classes = range(min(len(train.classes), MAX_CLASSES))
        with_images = [k for k in self.classes if all((images.labels == k).any() for images in self.splits.values())]
        self.pairs = list(combinations(with_images, 2))
        self.found: dict[str, list[np.ndarray]] = {f"{split}_information": [] for split in self.splits}
        self.seconds = 0.0

    def measure(self, model: Classifier, step: int) -> bool:
        """Evaluate the network as it is after `step` steps; once more where that was broken off.

        False when its logits are not finite.
        """
        began, place = time.perf_counter(), self.points.index(step)
        for name, images in self.splits.items():
            self.found[f"{name}_information"][place:] = [self._information(self._view_logits(model, images))]
        self.seconds += time.perf_counter() - began
        return all(np.isfinite(of_points[-1]).all() for of_points in self.found.values())

    def _information(self, logits: list[np.ndarray]) -> np.ndarray:
        """Estimates (M, V, 2) for every pair."""
        estimates = [_estimates(_differences(logits, pair)) for pair in self.pairs]
        return np.array(estimates, np.float32).reshape(-1, len(VIEW_COUNTS), 2)

    def arrays(self, model: Classifier) -> dict[str, np.ndarray]:
        """Return what a record keeps, by name.

        probe_steps (P,); probe_pairs (M, 2) of class labels; probe_views (V,), how many an estimate uses;
        probe_reaches (R,); and of each split, train and heldout,

        {split}_examples (K,), how many of each class; {split}_information (P, M, V, 2), plug-in and leave-one-out
        estimate in nats; {split}_weaker_information (R, M, V, 2), of the trained network, views at most so far from the
        central one. Of training images also train_differences (1, N, N_VIEWS), the trained network's logit differences
        of PAIR, those of its first class before those of the second, where both have images.
        """
        result: dict[str, np.ndarray] = {
            "probe_steps": np.array(self.points, np.uint32),
            "probe_pairs": np.array(self.pairs, np.uint16).reshape(-1, 2),
            "probe_views": np.array(VIEW_COUNTS, np.uint16),
            "probe_reaches": np.array(REACHES, np.uint16),
        }
        for name, images in self.splits.items():
            weaker = [self._information(self._view_logits(model, images, reach)) for reach in REACHES]
            result[f"{name}_weaker_information"] = np.stack(weaker)
            result[f"{name}_examples"] = np.array([len(rows) for rows in self._rows(images)], np.uint16)
        result |= {name: np.stack(of_points) for name, of_points in self.found.items() if self.pairs}
        differences = _differences(self._view_logits(model, self.splits["train"]), PAIR)
        if len(differences):
            result["train_differences"] = quantise(differences, np.sqrt(differences.var(axis=1, ddof=1).mean()))[None]
        return result

    def state(self) -> dict[str, torch.Tensor]:
        """Return what was measured so far, for a checkpoint."""
        found = {name: torch.from_numpy(np.stack(values)) for name, values in self.found.items() if values}
        return found | {"seconds": torch.tensor(self.seconds, dtype=torch.float64)}

    def load_state(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        self.found = {name: list(tensors[name].numpy()) if name in tensors else [] for name in self.found}
        self.seconds = float(tensors["seconds"])

    def _rows(self, images: Images) -> list[np.ndarray]:
        """Find the rows of the first images of each class."""
        return [np.flatnonzero(images.labels == label)[:EXAMPLES_PER_CLASS] for label in self.classes]

    @torch.no_grad()
    def _view_logits(self, model: Classifier, images: Images, reach: int | None = None) -> list[np.ndarray]:
        """Compute logits (n, N_VIEWS, K), float32, of random views of each class's first images, the same every time.

        reach: as for `Augmentation.draw`.
        """
        rows = self._rows(images)
        device = model.output.weight.device
        augmentation = from_recipe(self.run.recipe)
        assert isinstance(augmentation, Augmentation)  # what is probed does not stay in files
        pixels = torch.from_numpy(images.pixels[np.concatenate(rows)]).to(device)
        generator = torch.Generator(device).manual_seed(self.run.seed)
        index = torch.arange(len(pixels), device=device).repeat_interleave(N_VIEWS)
        views = augmentation.draw(pixels.shape[1:], len(index), generator, reach)
        was_training = model.training
        model.eval()
        parts = []
        for batch in torch.arange(len(index), device=device).split(EVALUATION_BATCH):
            with autocast(device, self.run.recipe.precision):
                shown = augmentation.take(pixels, index[batch], Views(*(part[batch] for part in views)))
                parts.append(model(shown).float())
        model.train(was_training)
        logits = torch.cat(parts).view(len(pixels), N_VIEWS, -1).cpu().numpy()
        return np.split(logits, np.cumsum([len(of_class) for of_class in rows])[:-1])


def _differences(logits: list[np.ndarray], pair: tuple[int, int]) -> np.ndarray:
    """(N, N_VIEWS) of the examples of both classes."""
    both = np.concatenate([logits[label] for label in pair])
    return both[:, :, pair[0]] - both[:, :, pair[1]]


def _estimates(differences: np.ndarray) -> list[tuple[float, float]]:
    """Return both estimates for each number of views in VIEW_COUNTS.

    They are NaN where a logit is not finite, as a diverged network's.
    """
    if not np.isfinite(differences).all():
        return [(np.nan, np.nan)] * len(VIEW_COUNTS)
    found = [bracket(differences[:, :views]) for views in VIEW_COUNTS]
    return [(estimate.plug_in, estimate.leave_one_out) for estimate in found]
