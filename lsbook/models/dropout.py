"""Dropout whose mask is cheap on a CPU, where PyTorch draws one number an element in series."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

LEVELS = 256  # values of the random byte that decides about an element


class Dropout(nn.Module):
    """Zeroes elements with a probability in training and divides the others by the probability of staying.

    The probability is in [0, 1). On a CPU it is rounded to whole 256ths, 0.1 to 26/256, and the scale is that of the
    rounded value, so the mean stays exact; the bytes come from SFC64, seeded from torch's random state at each call,
    and the result is at least float32, for in bfloat16 the scale itself would be off. Elsewhere it is PyTorch's own
    dropout. ValueError for a probability outside [0, 1).
    """

    def __init__(self, probability: float):
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"probability: expected a value in [0, 1), not {probability}")
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of x, of any shape."""
        if not self.training or self.probability == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.probability)
        return x.to(torch.promote_types(x.dtype, torch.float32)) * _mask(x.shape, self.probability)

    @override
    def extra_repr(self) -> str:
        return str(self.probability)


def _mask(shape: torch.Size, probability: float) -> Tensor:
    """Draw float32 zeros and, elsewhere, the inverse of the probability of staying."""
    zeroed = min(round(probability * LEVELS), LEVELS - 1)
    seed = int(torch.randint(2**63 - 1, ()))
    words = np.random.SFC64(seed).random_raw(-(-shape.numel() // 8))  # eight bytes each
    kept = words.view(np.uint8)[: shape.numel()] >= zeroed
    return torch.from_numpy(np.multiply(kept, LEVELS / (LEVELS - zeroed), dtype=np.float32)).view(shape)
