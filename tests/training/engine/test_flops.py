"""The operations of a training, against those counted by hand."""

import copy

import pytest
import torch
from torch import nn

from lsbook.core.registry import MODELS
from lsbook.training.engine.flops import count_flops_per_example


def multiplications(model: nn.Module, images: torch.Tensor) -> list[int]:
    """Of each layer with a kernel or a matrix, in order, for all images together."""
    found = []

    def count(layer, _, output):
        found.append(output.numel() * layer.weight[0].numel())

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    model(images)
    return found


@pytest.mark.parametrize("name", ["mlp", "resnet8"])
def test_images_take_three_passes_of_products_and_the_first_layer_two(name):
    """The gradient of the images themselves is not computed."""
    model = MODELS[name].build((3, 32, 32), 10)
    first, *others = multiplications(copy.deepcopy(model), torch.zeros(1, 3, 32, 32))
    expected = 2 * (2 * first + 3 * sum(others))
    for n in (1, 2):
        assert count_flops_per_example(model, (torch.zeros(n, 3, 32, 32),), n) == expected


def test_tokens_take_products_with_weights_and_with_each_other():
    """Two layers on each side, of width 64 and 256 hidden units; 7 tokens of the source and 5 of the target."""
    d, hidden, words, s, t = 64, 256, 900, 7, 5
    encoder = s * (4 * d * d + 2 * d * hidden) + 2 * s * s * d
    decoder = t * (4 * d * d + 2 * d * hidden) + 2 * t * t * d + (2 * t + 2 * s) * d * d + 2 * s * t * d
    expected = 3 * 2 * (2 * encoder + 2 * decoder + t * d * words)
    sides = (torch.full((2, s), 5), torch.full((2, t), 5))
    model = MODELS["transformer-64"].build(words, 0)
    assert count_flops_per_example(model, sides, 2 * (s + t)) == round(expected / (s + t))


@pytest.mark.parametrize("name", ["resnet8", "mlp-dropout"])
def test_counting_changes_neither_the_network_nor_random_numbers(name):
    model = MODELS[name].build((1, 24, 24), 10)
    model(torch.randn(4, 1, 24, 24)).sum().backward()
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    gradients = [weight.grad.clone() for weight in model.parameters()]
    count_flops_per_example(model, (torch.zeros(2, 1, 24, 24),), 2)
    assert torch.equal(torch.get_rng_state(), random)
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    for weight, gradient in zip(model.parameters(), gradients, strict=True):
        assert torch.equal(weight.grad, gradient)
