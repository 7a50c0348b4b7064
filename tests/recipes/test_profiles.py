"""Recipes: what follows from the number and size of somebody's own images."""

import pytest

from lsbook.recipes.profiles import recipe_for_own_images
from lsbook.training.images import augmentation


@pytest.mark.parametrize("model", ["alexnet", "resnet56"])
@pytest.mark.parametrize("size", [24, 25, 31, 32, 33, 64, 224])
def test_a_network_sees_three_quarters_of_a_side_of_ones_own_images_or_more(model, size):
    view = augmentation.from_recipe(recipe_for_own_images(model, 1_000, size))
    _, height, width = view.shape((3, size, size))
    assert 3 / 4 * size <= height == width <= size


@pytest.mark.parametrize(("model", "rate"), [("alexnet", 0.02), ("resnet56", 0.1)])
def test_ones_own_images_of_cifars_size_are_cropped_as_cifars(model, rate):
    recipe = recipe_for_own_images(model, 10_000, 32)
    assert (recipe.augmentation, recipe.batch, recipe.learning_rate) == ("crop24-flip", 128, rate)
    assert recipe.steps == 25 * 10_000 // 128
