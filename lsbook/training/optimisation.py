"""Optimiser and learning rate of a recipe."""

import math

import torch

from lsbook.models.base import Classifier
from lsbook.run import Recipe

WARM_UP = 0.2  # fraction of a one-cycle run in which the learning rate rises


def optimiser(model: Classifier, recipe: Recipe) -> torch.optim.SGD:
    """SGD, with Nesterov's momentum where there is any; only the recipe's `decayed` weights decay."""
    if recipe.decayed == "hidden-linear":
        decayed = {layer.weight for layer in model.hidden_linear()}
    else:
        decayed = {p for p in model.parameters() if p.ndim > 1}
    rest = [p for p in model.parameters() if p not in decayed]
    return torch.optim.SGD(
        [
            {"params": [p for p in model.parameters() if p in decayed], "weight_decay": recipe.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
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
