"""Optimiser and learning rate of a recipe."""

import math

import torch

from lsbook.models.base import Classifier
from lsbook.run import Recipe

WARM_UP = 0.2  # fraction of a one-cycle run in which the learning rate rises


def optimiser(model: Classifier, recipe: Recipe) -> torch.optim.SGD:
    """SGD as the recipe says. Each group of weights has its `factor` of the learning rate and its decay."""
    if recipe.decayed == "hidden-linear":
        decayed = {layer.weight for layer in model.hidden_linear()}
    else:
        decayed = {p for p in model.parameters() if p.ndim > 1}
    first = set(next(m for m in model.modules() if next(m.parameters(recurse=False), None) is not None).parameters())
    groups: dict[tuple[float, float], list] = {}
    for p in model.parameters():
        factor = recipe.first_layer if p in first else 1.0
        groups.setdefault((factor, recipe.weight_decay if p in decayed else 0.0), []).append(p)
    return torch.optim.SGD(
        [{"params": found, "factor": factor, "weight_decay": decay} for (factor, decay), found in groups.items()],
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
    elif recipe.schedule == "one-cycle":
        rise = min(1.0, (step + 1) / (WARM_UP * recipe.steps))
        factor = rise if rise < 1 else (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2
    return recipe.learning_rate * factor
