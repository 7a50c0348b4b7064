"""Optimiser, learning rate and steps of a recipe."""

import math
import warnings
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from lsbook.core.config import Recipe
from lsbook.models.base import Classifier
from lsbook.training.engine import cuda_graphs, distributed

WARM_UP = 0.2  # fraction of a one-cycle run in which the learning rate rises
AVERAGING_INTERVAL = 0.01  # fraction of a run between two moments whose weights are averaged
ADAM_EPSILON = 1e-9  # of Adam, as in Vaswani et al. (2017, section 5.3)


def optimiser(model: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    """Make SGD or AdamW as the recipe says; each group of weights has its decay and `factor` of the learning rate."""
    if recipe.decayed == "hidden-linear":
        decayed = {layer.weight for layer in model.hidden_linear()}
    else:
        decayed = {p for p in model.parameters() if p.ndim > 1}
    first = set(next(m for m in model.modules() if next(m.parameters(recurse=False), None) is not None).parameters())
    groups: dict[tuple[float, float], list] = {}
    for p in model.parameters():
        factor = recipe.first_layer if p in first else 1.0
        groups.setdefault((factor, recipe.weight_decay if p in decayed else 0.0), []).append(p)
    on_gpu = next(model.parameters()).device.type == "cuda"
    weights = [
        {
            "params": found,
            "factor": factor,
            "weight_decay": decay,
            # In the GPU's memory, where a repeated step finds it.
            "lr": torch.tensor(recipe.learning_rate, device="cuda") if on_gpu else recipe.learning_rate,
        }
        for (factor, decay), found in groups.items()
    ]
    if recipe.optimiser == "adam":
        betas = recipe.momentum, recipe.second_momentum
        if on_gpu:  # its first steps are not recorded yet, of which it would warn
            warnings.filterwarnings("ignore", "(?s).*running without CUDA graph capture")
        return torch.optim.AdamW(weights, betas=betas, eps=ADAM_EPSILON, fused=True, capturable=on_gpu)
    return torch.optim.SGD(weights, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the learning rate of a step, 0 … steps − 1, under the recipe's schedule."""
    done = step / recipe.steps
    factor = 1.0
    if recipe.schedule == "linear":
        factor = 1 - done
    elif recipe.schedule == "steps":
        factor = 0.1 ** sum(done >= milestone for milestone in recipe.milestones)
    elif recipe.schedule == "inverse-root":
        factor = min((step + 1) / recipe.warm_up, math.sqrt(recipe.warm_up / (step + 1)))
    elif recipe.schedule == "one-cycle":
        rise = min(1.0, (step + 1) / (WARM_UP * recipe.steps))
        factor = rise if rise < 1 else (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2
    return recipe.learning_rate * factor


def averaged_steps(recipe: Recipe) -> set[int]:
    """Return the numbers of steps after which the weights are among those averaged."""
    return {round(recipe.steps * (1 - k * AVERAGING_INTERVAL)) for k in range(recipe.averaged)}


Network = TypeVar("Network", bound=Classifier)


class Trainer(Generic[Network]):
    """A network and its optimiser; `step(i)` does the i-th step of the recipe. Subclasses define `load_batch`, `loss`.

    Attributes:
        average: the mean of the weights so far at the steps that the recipe averages, or None.
        static_shapes: whether all steps do the same work on arrays of the same shapes, so that a GPU can replay it as a
            CUDA graph.
    """

    static_shapes = False

    def __init__(self, model: Network, recipe: Recipe):
        self.model, self.recipe = distributed.convert_sync_batchnorm(model), recipe
        self.device = model.output.weight.device
        self.optimiser = optimiser(self.model, recipe)
        self.average = AveragedModel(self.model) if recipe.averaged > 1 else None
        self._loss = distributed.data_parallel(self.model, self.loss)
        repeats = self.static_shapes and self.device.type == "cuda" and distributed.world_size() == 1
        self._work = cuda_graphs.GraphedCallable(self._descend) if repeats else self._descend

    def load_batch(self, i: int) -> None:
        """Bring the batch of step i to the device."""
        raise NotImplementedError

    def loss(self) -> Tensor:
        """Compute the loss of the loaded batch, a scalar; of several processes its mean over the ranks is the loss."""
        raise NotImplementedError

    def step(self, i: int) -> Tensor:
        """Do the i-th step and return its loss, a scalar still on the device, which the next step may overwrite."""
        self.load_batch(i)
        self._set_learning_rate(learning_rate(self.recipe, i))
        loss = self._work()
        if self.average and i + 1 in averaged_steps(self.recipe):
            self.average.update_parameters(self.model)
        return loss

    def finish(self) -> None:
        """Give the network the averaged weights, where the recipe averages; called after the last step."""
        if self.average:
            self.model.load_state_dict(self.average.module.state_dict())

    def _set_learning_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(group["factor"] * rate)
            else:
                group["lr"] = group["factor"] * rate

    def _descend(self) -> Tensor:
        """Do what a step does on the device, which depends on nothing but the device's memory."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.recipe.loss_scale * self._loss()
        loss.backward()
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimiser.step()
        return loss.detach()
