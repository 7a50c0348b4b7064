"""Optimiser, learning rate and steps of a recipe."""

import math
import warnings

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from lsbook.core.config import Recipe
from lsbook.models.base import Classifier
from lsbook.training.engine import cuda_graphs, distributed

WARM_UP = 0.2  # fraction of a one-cycle run in which the learning rate rises
AVERAGED_APART = 0.01  # fraction of a run between two moments whose weights are averaged
EPSILON = 1e-9  # of Adam, as in Vaswani et al. (2017, section 5.3)


def optimiser(model: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD or Adam as the recipe says. Each group of weights has its `factor` of the learning rate and its decay."""
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
        return torch.optim.AdamW(weights, betas=betas, eps=EPSILON, fused=True, capturable=on_gpu)
    return torch.optim.SGD(weights, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True)


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of step 0 … steps − 1."""
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
    """After which steps the weights are among those averaged."""
    return {round(recipe.steps * (1 - k * AVERAGED_APART)) for k in range(recipe.averaged)}


class Trainer:
    """A network and its optimiser; `step(i)` does the i-th step of the recipe. Subclasses define `load` and `loss`.

    average: the mean of the weights so far at the moments that the recipe averages, if it does.
    alike: whether all steps do the same work on arrays of the same shapes, so that a GPU can repeat it as one.
    """

    alike = False

    def __init__(self, model: Classifier, recipe: Recipe):
        self.model, self.recipe = distributed.synchronised(model), recipe
        self.device = model.output.weight.device
        self.optimiser = optimiser(self.model, recipe)
        self.average = AveragedModel(self.model) if recipe.averaged > 1 else None
        self._loss = distributed.averaging(self.model, self.loss)
        repeats = self.alike and self.device.type == "cuda" and distributed.count() == 1
        self._work = cuda_graphs.Repeated(self._descend) if repeats else self._descend

    def load(self, i: int) -> None:
        """Bring what step i learns from to the device."""
        raise NotImplementedError

    def loss(self) -> Tensor:
        """Of what was loaded: a scalar that depends on the weights; of several processes the mean is that loss."""
        raise NotImplementedError

    def step(self, i: int) -> Tensor:
        """Returns the loss, a scalar still on the device, which the next step may overwrite."""
        self.load(i)
        self._set_learning_rate(learning_rate(self.recipe, i))
        loss = self._work()
        if self.average and i + 1 in averaged_steps(self.recipe):
            self.average.update_parameters(self.model)
        return loss

    def finish(self) -> None:
        """After the last step: let the averaged weights be the network's, where the recipe averages."""
        if self.average:
            self.model.load_state_dict(self.average.module.state_dict())

    def _set_learning_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(group["factor"] * rate)
            else:
                group["lr"] = group["factor"] * rate

    def _descend(self) -> Tensor:
        """The work of a step on the device, which depends on nothing but the device's memory."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.recipe.loss_scale * self._loss()
        loss.backward()
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimiser.step()
        return loss.detach()
