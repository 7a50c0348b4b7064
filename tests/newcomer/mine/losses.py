"""A loss of one's own."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from lsbook.core.config import Fraction
from lsbook.core.strict import strict
from lsbook.training.losses import Batch


@strict
class Focal:
    """The mean of (1 − p_y)^γ times smoothed cross-entropy (Lin et al. 2017); γ = 0 leaves the latter."""

    alpha: Fraction
    gamma: Annotated[float, Field(ge=0)] = 2.0

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        losses = F.cross_entropy(logits, batch.labels, label_smoothing=self.alpha, reduction="none")
        probability = torch.softmax(logits, dim=1).gather(1, batch.labels[:, None])[:, 0]
        return ((1 - probability) ** self.gamma * losses).mean()


class Plain:
    """Cross-entropy, by a class without any config."""

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.labels)
