"""The networks: sizes by hand arithmetic, LRN against torch's own, templates that give the logits."""

import pytest
import torch

from lsbook.catalogue import MODELS
from lsbook.models.alexnet import AlexNet, LocalResponseNorm
from lsbook.models.mlp import MLP


def parameters(model) -> int:
    return sum(p.numel() for p in model.parameters())


def test_alexnet_has_the_size_of_the_tutorials():
    """Two 5 × 5 convolutions of 64 channels; pooling takes 24 × 24 to 6 × 6; 384, 192 and 10 units."""
    expected = (
        (5 * 5 * 3 * 64 + 64)
        + (5 * 5 * 64 * 64 + 64)
        + (6 * 6 * 64 * 384 + 384)
        + (384 * 192 + 192)
        + (192 * 10 + 10)
    )  # fmt: skip
    assert parameters(AlexNet((3, 24, 24), 10)) == expected == 1_068_298


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mlp", (784 * 1200 + 1200) + (1200 * 1200 + 1200) + (1200 * 10 + 10)),
        ("mlp-dropout", (784 * 1200 + 1200) + (1200 * 1200 + 1200) + (1200 * 10 + 10)),
        ("mlp-800", (784 * 800 + 800) + (800 * 800 + 800) + (800 * 10 + 10)),
    ],
)
def test_mlps_have_two_hidden_layers(name, expected):
    assert parameters(MODELS[name].build((1, 28, 28), 10)) == expected


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_activations_times_templates(name):
    shape = (1, 24, 24)
    model = MODELS[name].build(shape, 7).eval()
    images = torch.randn(5, *shape)
    activations = torch.cat([model.penultimate(images), torch.ones(5, 1)], dim=1)
    assert model(images).shape == (5, 7)
    torch.testing.assert_close(activations @ model.templates().T, model(images))


def test_dropout_acts_in_training_only():
    model = MLP((1, 8, 8), 3, hidden=50, dropout=0.5)
    images = torch.randn(4, 1, 8, 8)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


def test_local_response_norm_is_torchs():
    """TensorFlow's `bias=1, alpha=0.001/9, beta=0.75, depth_radius=4`; torch divides alpha by the size itself."""
    x = (30 * torch.randn(2, 20, 3, 4, dtype=torch.float64)).requires_grad_()
    ours = LocalResponseNorm(20).double()
    theirs = torch.nn.LocalResponseNorm(size=9, alpha=0.001, beta=0.75, k=1)
    weights = torch.randn(2, 20, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-6, atol=1e-6)
    gradients = [torch.autograd.grad((f(x) * weights).sum(), x)[0] for f in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(ours(x), x, rtol=0.01)  # it does something at this size


def test_local_response_norm_has_the_right_gradient():
    norm = LocalResponseNorm(12).double()
    x = (30 * torch.randn(1, 12, 1, 2, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(norm, (x,))
