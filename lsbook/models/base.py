"""What all classifiers share: penultimate activations in, templates, logits out."""

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """A network whose `output` is its last linear layer. Subclasses define `penultimate`."""

    output: nn.Linear

    def penultimate(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) standardised images; returns activations (N, d) of the layer below `output`."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W); returns logits (N, K)."""
        return self.output(self.penultimate(x))

    def templates(self) -> Tensor:
        """(K, d + 1): each class's weight row with its bias appended."""
        return torch.cat([self.output.weight, self.output.bias[:, None]], dim=1)

    def hidden_linear(self) -> list[nn.Linear]:
        """The fully connected layers below the last one."""
        return [m for m in self.modules() if isinstance(m, nn.Linear) and m is not self.output]


def initialise(model: nn.Module) -> None:
    """He et al. (2015) normal weights for rectified layers and zero biases, drawn from torch's random state."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
