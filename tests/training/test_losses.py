"""The distillation loss against its formula, its limits and its optimum; the loss of a large output is PyTorch's."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, softmax
from torch import nn
from torch.nn import functional as F

from lsbook.analysis.targets import cross_entropy, smooth_targets
from lsbook.training import losses
from lsbook.training.losses import Batch, Distillation, MaxSup, SmoothedCrossEntropy

GENERATOR = np.random.default_rng(0)
LOGITS, TEACHER = GENERATOR.normal(size=(2, 12, 10)) * 2
LABELS = GENERATOR.integers(10, size=12)
BATCH = Batch(index=torch.arange(12), labels=torch.from_numpy(LABELS), views=None)


def teacher(batch: Batch) -> torch.Tensor:
    return torch.from_numpy(TEACHER)[batch.index]


def gradient(loss, logits: np.ndarray) -> np.ndarray:
    z = torch.from_numpy(logits).requires_grad_()
    loss(z, BATCH).backward()
    return z.grad.numpy()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("alpha", "squared"), [(0.0, False), (0.1, True)])
def test_it_is_the_formula(temperature, beta, alpha, squared):
    hard = -np.sum(smooth_targets(LABELS, 10, alpha) * log_softmax(LOGITS, axis=1), axis=1).mean()
    soft = -np.sum(softmax(TEACHER / temperature, axis=1) * log_softmax(LOGITS / temperature, axis=1), axis=1).mean()
    expected = (1 - beta) * hard + beta * soft * (temperature**2 if squared else 1)
    loss = Distillation(teacher, temperature, beta, alpha, squared)
    assert float(loss(torch.from_numpy(LOGITS), BATCH)) == pytest.approx(expected, abs=1e-12)


@given(
    logits=arrays(np.float64, (4, 5), elements=st.floats(-30, 30)),
    labels=arrays(np.int64, 4, elements=st.integers(0, 4)),
    alpha=st.floats(0, 0.99),
)
def test_smoothing_and_max_suppression_add_a_logit_less_the_mean_to_cross_entropy(logits, labels, alpha):
    """Smoothed − hard = α (z_true − mean z), MaxSup − hard = α (max z − mean z): equal where nothing is misclassified.

    Below both, by the definition of smoothed targets in NumPy.
    """
    batch = Batch(index=None, labels=torch.from_numpy(labels), views=None)
    z = torch.from_numpy(logits)
    hard = cross_entropy(logits, smooth_targets(labels, 5, 0.0)).mean()
    true, largest, mean = logits[np.arange(4), labels], logits.max(axis=1), logits.mean(axis=1)
    smoothed = cross_entropy(logits, smooth_targets(labels, 5, alpha)).mean()
    assert smoothed - hard == pytest.approx(alpha * (true - mean).mean(), abs=1e-9)
    assert float(MaxSup(alpha=alpha)(z, batch)) - hard == pytest.approx(alpha * (largest - mean).mean(), abs=1e-9)


def test_without_the_teacher_it_is_ordinary_training():
    def never(batch):
        raise AssertionError("the teacher was asked")

    ordinary = gradient(SmoothedCrossEntropy(alpha=0.1), LOGITS)
    np.testing.assert_array_equal(gradient(Distillation(never, 2.0, 0.0, 0.1), LOGITS), ordinary)


def test_a_high_temperature_matches_logits():
    """With T², the gradient tends to (z − v)/K a row for logits of mean 0 (Hinton et al. 2015, section 2.1)."""
    student, master = (z - z.mean(axis=1, keepdims=True) for z in (LOGITS, TEACHER))
    found = gradient(Distillation(lambda _: torch.from_numpy(master), 1e4, 1.0, squared=True), student)
    np.testing.assert_allclose(12 * found, (student - master) / 10, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.7, 4.0])
def test_a_student_that_equals_its_teacher_has_no_gradient(temperature):
    np.testing.assert_allclose(gradient(Distillation(teacher, temperature, 1.0), TEACHER), 0, atol=1e-15)


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
