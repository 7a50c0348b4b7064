"""Losses. Each takes logits (B, K) and what they were computed from, and returns a mean over the batch in nats."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from lsbook.training.augmentation import Views


class Batch(NamedTuple):
    """Which images of the training split (B,), their labels (B,), and which view of each."""

    index: Tensor
    labels: Tensor
    views: Views


Loss = Callable[[Tensor, Batch], Tensor]


def smoothed_cross_entropy(alpha: float) -> Loss:
    """Cross-entropy against y (1 − α) + α / K (section 1 of the paper), by PyTorch's own definition of it."""

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.labels, label_smoothing=alpha)

    return loss


def distillation(
    teacher: Callable[[Batch], Tensor], temperature: float, beta: float, alpha: float = 0.0, squared: bool = False
) -> Loss:
    """(1 − β) H(y, p) + β H(pᵗ(T), p(T)) (section 4 of the paper), p(T) = softmax(logits / T).

    teacher: a batch to the teacher's logits (B, K) of the very views that the student sees; alpha: smoothing of y.
    squared: multiply the distilled term by T², so that its gradient keeps its size (Hinton et al. 2015).
    """
    own = smoothed_cross_entropy(alpha)

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        if beta == 0:
            return own(logits, batch)
        targets = F.softmax(teacher(batch) / temperature, dim=1)
        distilled = F.cross_entropy(logits / temperature, targets) * (temperature**2 if squared else 1)
        return distilled if beta == 1 else (1 - beta) * own(logits, batch) + beta * distilled

    return loss
