"""Inception-v4 (Szegedy et al. 2017), the paper's network for ImageNet; its layers are timm's."""

from torch import Tensor

from lsbook.core.torchvision_operators import declare_missing
from lsbook.models.base import Classifier, Output, initialise

LEAST = 75  # side of the smallest image of which anything is left after the layers without padding


class InceptionV4(Classifier):
    """shape: (C, H, W), both sides at least 75 (299 in the paper); dropout: probability below `output` (section 3.1).

    ValueError for smaller images.
    """

    def __init__(self, shape: tuple[int, int, int], n_classes: int, dropout: float = 0.2):
        super().__init__()
        if min(shape[1:]) < LEAST:
            raise ValueError(f"shape: expected at least {LEAST} × {LEAST} pixels, not {shape[1]} × {shape[2]}")
        declare_missing()
        from timm import create_model  # here, because it takes seconds and only this network needs it

        self.hidden = create_model("inception_v4", num_classes=0, in_chans=shape[0], drop_rate=dropout)
        self.output = Output(self.hidden.num_features, n_classes)
        initialise(self)

    def penultimate(self, x: Tensor) -> Tensor:
        return self.hidden(x)
