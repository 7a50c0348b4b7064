"""The paper's small AlexNet for CIFAR-10: the network of TensorFlow's CIFAR-10 tutorial, on 24 × 24 crops.

conv 5×5×64, max-pool, LRN; conv 5×5×64, LRN, max-pool; 384 and 192 rectified units; K outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from lsbook.models.base import Classifier, OutputLayer, initialise

MIN_SIDE = 4  # side of the smallest image of which both pools leave anything


class AlexNet(Classifier):
    """The tutorial's network. Its hidden layers have 6 and 3 times as many units as `width` (384 and 192 at 64).

    Args:
        shape: (C, H, W) of the input, both sides at least MIN_SIDE.
        n_classes: K.
        width: channels of both convolutions.

    Raises:
        ValueError: the images are smaller.
    """

    def __init__(self, shape: tuple[int, int, int], n_classes: int, width: int = 64):
        super().__init__()
        channels, height, breadth = shape
        if min(height, breadth) < MIN_SIDE:
            raise ValueError(f"shape: expected at least {MIN_SIDE} × {MIN_SIDE} pixels, not {height} × {breadth}")
        self.conv1 = nn.Conv2d(channels, width, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(width, width, kernel_size=5, padding=2)
        self.norm = LocalResponseNorm(width)
        self.fc3 = nn.Linear(width * _pooled(height) * _pooled(breadth), 6 * width)
        self.fc4 = nn.Linear(6 * width, 3 * width)
        self.output = OutputLayer(3 * width, n_classes)
        initialise(self)

    @override
    def penultimate(self, x: Tensor) -> Tensor:
        x = self.norm(F.relu(_pool(self.conv1(x))))  # the same as pooling after the ReLU, on a quarter of the values
        x = _pool(self.norm(F.relu(self.conv2(x))))
        if x.requires_grad:
            x.register_hook(_channels_last)  # else the pool's gradient copies all that it reads and writes
        x = F.relu(self.fc3(x.flatten(start_dim=1)))
        return F.relu(self.fc4(x))


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _pool(x: Tensor) -> Tensor:
    """Pool 3 × 3 maxima, two apart; a window may reach past the right and lower edge (TensorFlow's SAME)."""
    return F.max_pool2d(x, kernel_size=3, stride=2, ceil_mode=True)


def _pooled(size: int) -> int:
    """Return height or width after both pools."""
    for _ in range(2):
        size = -(-(size - 3) // 2) + 1
    return size


class LocalResponseNorm(nn.Module):
    """Computes x / (1 + a Σ x²)^¾, the sum over the 9 channels around each (Krizhevsky et al. 2012, section 3.3).

    a = 0.001 / 9 and the exponent are the tutorial's. The sum is a product with a banded matrix, which runs at
    matrix speed where `torch.nn.LocalResponseNorm(9, 0.001, 0.75, 1)`, equal in value, pools over a fifth dimension.
    """

    def __init__(self, channels: int, reach: int = 4, a: float = 0.001 / 9):
        super().__init__()
        index = torch.arange(channels)
        band = (index[:, None] - index[None, :]).abs() <= reach
        self.register_buffer("band", a * band.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, H, W) over its channels."""
        return _Normalise.apply(x, self.band)


class _Normalise(torch.autograd.Function):
    """Computes x s^-¾, s = 1 + band·x², with as little memory traffic as its gradient allows."""

    @staticmethod
    def forward(ctx, x: Tensor, band: Tensor) -> Tensor:
        s = _across_channels(x.square(), band).add_(1.0)
        root = s.rsqrt()
        factor = root.sqrt().mul_(root)
        ctx.save_for_backward(x, s, factor, band)
        return factor * x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        x, s, factor, band = ctx.saved_tensors
        scaled = factor * gradient
        shared = _across_channels((scaled * x).div_(s), band)
        return torch.addcmul(scaled, shared, x, value=-1.5), None


def _across_channels(x: Tensor, band: Tensor) -> Tensor:
    """Multiply the channels of (N, C, H, W) by a symmetric matrix (C, C)."""
    return (x.permute(0, 2, 3, 1) @ band.to(x.dtype)).permute(0, 3, 1, 2)
