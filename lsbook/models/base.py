"""What all classifiers share: penultimate activations in, templates, logits out."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lsbook.core import registry
from lsbook.core.errors import UserError, shortened


class Classifier(nn.Module):
    """A network whose `output` is its last linear layer. Subclasses define `penultimate`."""

    output: nn.Linear

    def penultimate(self, *inputs: Any, **named: Any) -> Tensor:
        """Compute the activations that `output` reads: (N, d) of images (N, C, H, W).

        A Transformer's are (N, T, d), of the token ids of sources (N, S) and targets (N, T).
        """
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the logits (N, K), a Transformer's (N, T, K), for the inputs of `penultimate`."""
        return self.output(self.penultimate(*inputs))

    def templates(self) -> Tensor:
        """Return the templates (K, d + 1): each class's weight row with its bias appended."""
        return torch.cat([self.output.weight, self.output.bias[:, None]], dim=1)

    def hidden_linear(self) -> list[nn.Linear]:
        """Return the fully connected layers below the last one."""
        return [m for m in self.modules() if isinstance(m, nn.Linear) and m is not self.output]


def build(name: str, *data: Any) -> Classifier:
    """The network of a name, freshly initialised from torch's random state.

    data: as for `registry.Model.build`. UserError when the name leads to nothing, or to no `Classifier` that can be
    made of them.
    """
    network = registry.network(name)
    kind = registry.imported(network.factory)
    if not isinstance(kind, type) or not issubclass(kind, Classifier):
        raise UserError(f"{network.factory} has to be a subclass of lsbook.models.base.Classifier")
    try:
        model = network.build(*data)
    except (UserError, MemoryError, RuntimeError):  # torch says by the last, too, that there is no memory
        raise
    except Exception as error:  # of all that may go wrong in somebody's class
        reason = shortened(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{name} cannot be built for {', '.join(map(str, data))}: {reason}") from error
    output = getattr(model, "output", None)
    if not isinstance(output, nn.Linear) or output.bias is None:
        raise UserError(f"{network.factory} has to have its last layer, an nn.Linear with a bias, as `output`")
    return model


class OutputLayer(nn.Linear):
    """The last linear layer of an image network, in its weights' precision also under autocast.

    bfloat16 would round a logit of 10 to a multiple of 1/16.
    """

    def forward(self, activations: Tensor) -> Tensor:
        """Compute logits (…, K) of activations (…, d)."""
        with torch.autocast(activations.device.type, enabled=False):
            return super().forward(activations.to(self.weight.dtype))


def initialise(model: nn.Module, nonlinearity: Literal["relu", "linear"] = "relu") -> None:
    """Normal weights of variance 2 / inputs for rectified layers (He et al. 2015), of 1 / inputs for "linear" ones.

    Biases are zero. The random numbers are torch's.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity=nonlinearity)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def initialise_small(model: Classifier) -> None:
    """Draw the initial weights of TensorFlow's CIFAR-10 tutorial: normal, none beyond two standard deviations.

    The deviations are 0.05 in convolutions, 0.04 in hidden linear layers and 1 / inputs in the last one. Biases are 0
    in the first and the last layer and 0.1 in the others. The random numbers are torch's.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    for layer in layers:
        deviation = 0.05 if isinstance(layer, nn.Conv2d) else 0.04
        if layer is model.output:
            deviation = 1 / layer.in_features
        nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        if layer.bias is not None:
            nn.init.constant_(layer.bias, 0.0 if layer in (layers[0], model.output) else 0.1)
