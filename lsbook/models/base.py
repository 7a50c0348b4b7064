"""What all classifiers share: penultimate activations in, templates, logits out."""

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """A network whose `output` is its last linear layer. Subclasses define `penultimate`."""

    output: nn.Linear

    def penultimate(self, *inputs: Tensor) -> Tensor:
        """inputs: (N, C, H, W) images, or a Transformer's sources (N, S) and targets (N, T).

        Returns activations (N, d), or (N, T, d), of the layer below `output`.
        """
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> Tensor:
        """Inputs as of `penultimate`; returns logits (N, K), or (N, T, K)."""
        return self.output(self.penultimate(*inputs))

    def templates(self) -> Tensor:
        """(K, d + 1): each class's weight row with its bias appended."""
        return torch.cat([self.output.weight, self.output.bias[:, None]], dim=1)

    def hidden_linear(self) -> list[nn.Linear]:
        """The fully connected layers below the last one."""
        return [m for m in self.modules() if isinstance(m, nn.Linear) and m is not self.output]


def initialise(model: nn.Module, nonlinearity: str = "relu") -> None:
    """Normal weights of variance 2 / inputs for rectified layers (He et al. 2015), of 1 / inputs for "linear" ones.

    Biases are zero. Drawn from torch's random state.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity=nonlinearity)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
