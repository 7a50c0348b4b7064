"""The networks: sizes by hand arithmetic, LRN against torch's own, templates that give the logits."""

import pytest
import timm
import torch

from lsbook.core.registry import MODELS
from lsbook.models.alexnet import AlexNet, LocalResponseNorm
from lsbook.models.base import initialise_small
from lsbook.models.mlp import MLP
from lsbook.models.resnet import Block, ResNet


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


def test_resnet56_has_fifty_six_layers_of_the_stated_widths():
    """Nine blocks a stage; two stages begin with a 1 × 1 shortcut; no biases but the last layer's."""

    def stage(n_in, n_out):
        first = 9 * n_in * n_out + 9 * n_out * n_out + 2 * n_in + 2 * n_out  # two convolutions, two normalisations
        shortcut = n_in * n_out if n_in != n_out else 0
        return first + shortcut + 8 * (2 * 9 * n_out * n_out + 4 * n_out)

    expected = 9 * 3 * 16 + stage(16, 16) + stage(16, 32) + stage(32, 64) + 2 * 64 + (64 * 10 + 10)
    model = MODELS["resnet56"].build((3, 24, 24), 10)
    assert parameters(model) == expected
    three_by_three = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(three_by_three) + 1 == 56
    assert parameters(MODELS["resnet56-first7"].build((3, 24, 24), 10)) == expected + (49 - 9) * 3 * 16


def test_resnet_halves_its_maps_twice_and_normalises_at_the_end():
    model = MODELS["resnet8"].build((3, 32, 32), 10)
    assert model.blocks(model.first(torch.randn(2, 3, 32, 32))).shape == (2, 64, 8, 8)
    assert (model.penultimate(torch.randn(2, 3, 32, 32)) >= 0).all()
    with pytest.raises(ValueError, match="depth: expected 6 n"):
        ResNet((3, 32, 32), 10, depth=54)


def test_a_residual_block_without_its_branch_is_the_identity():
    block = Block(4, 4, halve=False)
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("name", "shape"), [("mlp", (1, 28, 28)), ("alexnet", (3, 24, 24)), ("resnet8", (3, 24, 24))])
def test_logits_are_float32_under_autocast(name, shape):
    model = MODELS[name].build(shape, 10).eval()
    with torch.autocast("cpu", torch.bfloat16):
        activations, logits = model.penultimate(x := torch.randn(2, *shape)), model(x)
    assert activations.dtype == torch.bfloat16
    expected = torch.nn.functional.linear(activations.float(), model.output.weight, model.output.bias)
    torch.testing.assert_close(logits, expected)


def test_inception_v4_is_timms():
    """Their count of weights, by hand that of the last layer (1 536 activations and the bias for each class), and, with
    the same weights, their logits."""
    with torch.device("meta"):
        theirs = timm.create_model("inception_v4")
        whole = MODELS["inception_v4"].build((3, 299, 299), 1000)
    assert parameters(whole) == parameters(theirs) == 42_679_816
    assert whole.templates().shape == (1000, 1537)
    ours = MODELS["inception_v4"].build((3, 75, 75), 5).eval()
    assert parameters(whole) - parameters(ours) == 995 * 1537
    theirs.reset_classifier(5)
    names = {name: name.replace("hidden.", "").replace("output.", "last_linear.") for name in ours.state_dict()}
    theirs.load_state_dict({names[name]: value for name, value in ours.state_dict().items()}, assign=True)
    images = torch.randn(2, 3, 80, 75)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs.eval()(images))


@pytest.mark.parametrize(("name", "least"), [("inception_v4", 75), ("alexnet", 4)])
def test_images_of_which_nothing_would_be_left_are_refused(name, least):
    with torch.device("meta"), pytest.raises(ValueError, match=f"at least {least} × {least} pixels, not {least} × "):
        MODELS[name].build((3, least, least - 1), 5)


def test_alexnet_sees_its_smallest_images():
    assert MODELS["alexnet"].build((3, 4, 4), 5)(torch.zeros(1, 3, 4, 4)).shape == (1, 5)


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith(("transformer", "inception"))])
def test_logits_are_activations_times_templates(name):
    shape = (1, 24, 24)
    model = MODELS[name].build(shape, 7).double().eval()
    images = torch.randn(5, *shape, dtype=torch.float64)
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


def test_small_initial_weights_are_the_tutorials():
    torch.manual_seed(0)
    model = MODELS["alexnet"].build((3, 24, 24), 10)
    initialise_small(model)
    layers = {"conv1": (0.05, 0), "conv2": (0.05, 0.1), "fc3": (0.04, 0.1), "fc4": (0.04, 0.1), "output": (1 / 192, 0)}
    for name, (deviation, bias) in layers.items():
        layer = getattr(model, name)
        assert layer.weight.abs().max() <= 2 * deviation
        # A normal distribution cut at two standard deviations keeps 0.88 of one.
        assert float(layer.weight.detach().std()) == pytest.approx(0.8796 * deviation, rel=0.04)
        assert (layer.bias == torch.tensor(float(bias))).all()
