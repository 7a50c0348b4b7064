"""Inception-v4 (Szegedy et al. 2017), the paper's network for ImageNet; its layers are timm's."""

from torch import Tensor
from typing_extensions import override

from lsbook.core.torchvision_operators import declare_missing
from lsbook.models.base import Classifier, OutputLayer, initialise

MIN_SIDE = 75  # side of the smallest image of which anything is left after the layers without padding


class InceptionV4(Classifier):
    """Inception-v4.

    Args:
        shape: (C, H, W) of the input, both sides at least MIN_SIDE (299 in the paper).
        n_classes: K.
        dropout: probability below `output` (section 3.1).

    Raises:
        ValueError: the images are smaller.
    """

    def __init__(self, shape: tuple[int, int, int], n_classes: int, dropout: float = 0.2):
        super().__init__()
        if min(shape[1:]) < MIN_SIDE:
            raise ValueError(f"shape: expected at least {MIN_SIDE} × {MIN_SIDE} pixels, not {shape[1]} × {shape[2]}")
        declare_missing()
        from timm import create_model  # here, because it takes seconds and only this network needs it

        self.hidden = create_model("inception_v4", num_classes=0, in_chans=shape[0], drop_rate=dropout)
        self.output = OutputLayer(self.hidden.num_features, n_classes)
        initialise(self)

    @override
    def penultimate(self, x: Tensor) -> Tensor:
        return self.hidden(x)
