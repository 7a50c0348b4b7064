"""The pre-activation residual network for small images (He et al. 2016, "Identity mappings", section 4)."""

from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from lsbook.models.base import Classifier, OutputLayer, initialise


class ResNet(Classifier):
    """Three stages of two-convolution blocks with width, 2 · width and 4 · width channels, and a final normalisation.

    Args:
        shape: (C, H, W) of the input.
        n_classes: K.
        depth: 6 n + 2 layers for n blocks a stage (56: n = 9).
        width: channels of the first stage.
        first_kernel: side of the first convolution (the label smoothing paper uses 7 on CIFAR-100, else 3).

    Raises:
        ValueError: the depth is not 6 n + 2.
    """

    def __init__(
        self, shape: tuple[int, int, int], n_classes: int, depth: int = 56, width: int = 16, first_kernel: int = 3
    ):
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f"depth: expected 6 n + 2, not {depth}")
        widths = [width, 2 * width, 4 * width]
        self.first = nn.Conv2d(shape[0], width, first_kernel, padding=first_kernel // 2, bias=False)
        layers, n_in = [], width
        for stage, n_out in enumerate(widths):
            for block in range(blocks):
                layers.append(Block(n_in, n_out, halve=stage > 0 and block == 0))
                n_in = n_out
        self.blocks = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.output = OutputLayer(widths[-1], n_classes)
        initialise(self)

    @override
    def penultimate(self, x: Tensor) -> Tensor:
        x = self.blocks(self.first(x))
        return F.relu(self.norm(x)).mean(dim=(2, 3))


class Block(nn.Module):
    """Adds two 3 × 3 convolutions, each after normalisation and ReLU, to its input.

    halve: the first convolution and the shortcut take every second row and column. Where the shape changes, the
    shortcut is a 1 × 1 convolution of the normalised input.
    """

    def __init__(self, n_in: int, n_out: int, halve: bool):
        super().__init__()
        stride = 2 if halve else 1
        self.norm1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False) if n_in != n_out else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, n_in, H, W) to (N, n_out, H, W), or half of both sides."""
        y = F.relu(self.norm1(x), inplace=True)
        x = x if self.shortcut is None else self.shortcut(y)
        y = self.conv2(F.relu(self.norm2(self.conv1(y)), inplace=True))
        return x + y
