"""Optimiser, learning rate and steps of a recipe."""

import math

import torch
from torch import Tensor

from lsbook.models.base import Classifier
from lsbook.run import Recipe

WARM_UP = 0.2  # fraction of a one-cycle run in which the learning rate rises


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
    weights = [{"params": found, "factor": factor, "weight_decay": decay} for (factor, decay), found in groups.items()]
    if recipe.optimiser == "adam":
        betas = recipe.momentum, recipe.second_momentum
        return torch.optim.AdamW(weights, lr=recipe.learning_rate, betas=betas, eps=EPSILON, fused=True)
    return torch.optim.SGD(
        weights,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        dampening=recipe.dampening,
        nesterov=recipe.momentum > 0 and recipe.dampening == 0,
        fused=True,
    )


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


class Trainer:
    """A network and its optimiser; `step(i)` does the i-th step of the recipe. Subclasses define `loss_of`."""

    def __init__(self, model: Classifier, recipe: Recipe):
        self.model, self.recipe = model, recipe
        self.device = model.output.weight.device
        self.optimiser = optimiser(model, recipe)

    def loss_of(self, i: int) -> Tensor:
        """The loss of step i, a scalar that depends on the weights."""
        raise NotImplementedError

    def step(self, i: int) -> Tensor:
        """Returns the loss, a scalar still on the device."""
        loss = self.recipe.loss_scale * self.loss_of(i)
        for group in self.optimiser.param_groups:
            group["lr"] = group["factor"] * learning_rate(self.recipe, i)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimiser.step()
        return loss.detach()
