"""The loss that is computed with its gradient, a few rows at a time, is PyTorch's."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lsbook.training import losses


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_output_cross_entropy_is_torchs(alpha, monkeypatch):
    monkeypatch.setattr(losses, "ROWS", 3)  # 8 rows: two whole pieces and a part
    torch.manual_seed(0)
    output = nn.Linear(5, 7, dtype=torch.float64)
    activations = torch.randn(8, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(7, (8,))
    inputs = (activations, output.weight, output.bias)
    ours = losses.smoothed_cross_entropy_of_output(activations, output, labels, alpha)
    torchs = F.cross_entropy(output(activations), labels, label_smoothing=alpha)
    torch.testing.assert_close(ours, torchs)
    for a, b in zip(torch.autograd.grad(3 * ours, inputs), torch.autograd.grad(3 * torchs, inputs), strict=True):
        torch.testing.assert_close(a, b)


def test_output_cross_entropy_of_extreme_logits_is_finite():
    output = nn.Linear(1, 2)
    nn.init.constant_(output.weight, 1e4)
    nn.init.zeros_(output.bias)
    activations = torch.ones(1, 1, requires_grad=True)
    loss = losses.smoothed_cross_entropy_of_output(activations, output, torch.tensor([0]), 0.1)
    assert float(loss.detach()) == pytest.approx(math.log(2), abs=2e-3)  # float32 steps by 0.001 at 10⁴


def test_output_cross_entropy_in_bfloat16_comes_close():
    torch.manual_seed(0)
    output, activations, labels = nn.Linear(5, 7), torch.randn(8, 5, requires_grad=True), torch.randint(7, (8,))
    inputs = (activations, output.weight, output.bias)
    expected = F.cross_entropy(output(activations), labels, label_smoothing=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = losses.smoothed_cross_entropy_of_output(activations, output, labels, 0.1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.02, atol=0)
    for a, b in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.01)
