"""What is measured along a training besides accuracy and calibration. A probe never changes the training.

"logit-differences": the difference of two logits of training images, over augmented views, from which the mutual
information between image and difference is estimated (section 4 and Figure 6 of the paper).
"""

import time

import numpy as np
import torch

from lsbook.data.images import Images
from lsbook.models.base import Classifier
from lsbook.run import Run
from lsbook.training.augmentation import Views, of
from lsbook.training.precision import autocast
from lsbook.training.summary import LOGIT_SPREAD, coarse, first_of_each_class
from lsbook.training.views import EVALUATION_BATCH

PAIR = (0, 1)  # classes whose logits are compared: the first two of Figure 1's first row
EXAMPLES = 300  # of each class: N = 600 of a pair, as in the paper
VIEWS = 10  # of each example: the paper's L
POINTS = 24  # steps, evenly spaced in their logarithm; rounding makes some of the first ones coincide


class LogitDifferences:
    """Differences z_a − z_b of the logits of PAIR, for the first examples of both classes under VIEWS fixed views each.

    points: the steps after which it measures; held-out images at every second one, the last among them. seconds: that
    it has taken so far.
    """

    def __init__(self, run: Run, train: Images, heldout: Images):
        self.run, self.splits = run, {"train": train, "heldout": heldout}
        self.points = sorted({round(step) for step in np.geomspace(1, run.recipe.steps, POINTS)})
        self.measured = {"train": set(self.points), "heldout": set(self.points[::-1][::2])}
        self.rows = {name: first_of_each_class(images.labels, EXAMPLES) for name, images in self.splits.items()}
        self.differences: dict[str, list[np.ndarray]] = {"train": [], "heldout": []}
        self.seconds = 0.0

    def measure(self, model: Classifier, step: int) -> None:
        """Evaluate the network as it is after `step` steps."""
        began = time.perf_counter()
        for name, images in self.splits.items():
            if step in self.measured[name]:
                logits = self._view_logits(model, name, self._pair_rows(images, name))
                self.differences[name].append(logits[:, :, PAIR[0]] - logits[:, :, PAIR[1]])
        self.seconds += time.perf_counter() - began

    def arrays(self, model: Classifier) -> dict[str, np.ndarray]:
        """{train,heldout}_differences (P, N, VIEWS), those of class PAIR[0] first, {train,heldout}_steps (P,); of the
        first seed also train_view_logits (n, VIEWS, K) of the trained network and their labels (n,), for other pairs.
        """
        result = {}
        for name, found in self.differences.items():
            differences = np.stack(found)
            within = np.sqrt(differences.var(axis=2, ddof=1).mean(axis=1))
            result[f"{name}_differences"] = coarse(differences, within[:, None, None])
            result[f"{name}_steps"] = np.array(sorted(self.measured[name]), np.uint32)
        if self.run.seed == 0:
            rows = self.rows["train"]
            result["train_view_logits"] = coarse(self._view_logits(model, "train", rows), LOGIT_SPREAD)
            result["train_view_labels"] = self.splits["train"].labels[rows].astype(np.uint16)
        return result

    def state(self) -> dict[str, torch.Tensor]:
        """What was measured so far, for a checkpoint."""
        found = {name: torch.from_numpy(np.stack(values)) for name, values in self.differences.items() if values}
        return found | {"seconds": torch.tensor(self.seconds, dtype=torch.float64)}

    def load_state(self, tensors: dict[str, torch.Tensor]) -> None:
        """The inverse of `state`."""
        self.differences = {name: list(tensors[name].numpy()) if name in tensors else [] for name in self.splits}
        self.seconds = float(tensors["seconds"])

    def _pair_rows(self, images: Images, name: str) -> np.ndarray:
        rows = self.rows[name]
        return np.concatenate([rows[images.labels[rows] == label] for label in PAIR])

    @torch.no_grad()
    def _view_logits(self, model: Classifier, name: str, rows: np.ndarray) -> np.ndarray:
        """(n, VIEWS, K) float32 logits of random views of the images `rows`; the same views at every call."""
        device = model.output.weight.device
        augmentation = of(self.run.recipe)
        pixels = torch.from_numpy(self.splits[name].pixels[rows]).to(device)
        generator = torch.Generator(device).manual_seed(self.run.seed)
        index = torch.arange(len(rows), device=device).repeat_interleave(VIEWS)
        views = augmentation.draw(tuple(pixels.shape[1:]), len(index), generator)
        was_training = model.training
        model.eval()
        logits = []
        for batch in torch.arange(len(index), device=device).split(EVALUATION_BATCH):
            with autocast(device, self.run.recipe.precision):
                images = augmentation.take(pixels, index[batch], Views(*(part[batch] for part in views)))
                logits.append(model(images).float())
        model.train(was_training)
        return torch.cat(logits).view(len(rows), VIEWS, -1).cpu().numpy()
