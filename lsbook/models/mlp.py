"""The fully connected network of the MNIST experiment: two hidden layers of 1200 (teacher) or 800 (student) units."""

from torch import Tensor, nn
from typing_extensions import override

from lsbook.models.base import Classifier, OutputLayer, initialise
from lsbook.models.dropout import Dropout


class MLP(Classifier):
    """Two rectified hidden layers, each followed by dropout when `dropout` > 0.

    Args:
        shape: (C, H, W) of the input.
        n_classes: K.
        hidden: units a layer.
        dropout: probability of zeroing a unit in training.
    """

    def __init__(self, shape: tuple[int, int, int], n_classes: int, hidden: int = 1200, dropout: float = 0.0):
        super().__init__()
        channels, height, width = shape
        self.hidden = nn.Sequential(
            nn.Flatten(),
            *_layer(channels * height * width, hidden, dropout),
            *_layer(hidden, hidden, dropout),
        )
        self.output = OutputLayer(hidden, n_classes)
        initialise(self)

    @override
    def penultimate(self, x: Tensor) -> Tensor:
        return self.hidden(x)


def _layer(n_in: int, n_out: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(n_in, n_out), nn.ReLU(), *([Dropout(dropout)] if dropout else [])]
