"""Losses. Each takes logits (B, K) and labels (B,) and returns a mean over the batch in nats."""

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]


def smoothed_cross_entropy(alpha: float) -> Loss:
    """Cross-entropy against y (1 − α) + α / K (section 1 of the paper), by PyTorch's own definition of it."""
    return partial(F.cross_entropy, label_smoothing=alpha)
