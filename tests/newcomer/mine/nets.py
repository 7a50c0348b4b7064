"""A network of one's own."""

from torch import Tensor, nn

from lsbook.core.registry import Model
from lsbook.models.base import Classifier, OutputLayer


class Tiny(Classifier):
    """One hidden layer."""

    def __init__(self, shape: tuple[int, int, int], n_classes: int, width: int):
        super().__init__()
        channels, height, side = shape
        self.hidden = nn.Linear(channels * height * side, width)
        self.output = OutputLayer(width, n_classes)

    def penultimate(self, images: Tensor) -> Tensor:
        return self.hidden(images.flatten(1)).relu()


tiny = Model(title="a tiny network", factory="mine.nets:Tiny", arguments={"width": 16})
no_classifier = Model(title="no network of classifiers", factory="torch.nn:Linear")
