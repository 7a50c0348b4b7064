"""The distillation loss against its formula, its limits and its optimum."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from lsbook.analysis.targets import smooth_targets
from lsbook.training.losses import Batch, distillation, smoothed_cross_entropy

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
    loss = distillation(teacher, temperature, beta, alpha, squared)
    assert float(loss(torch.from_numpy(LOGITS), BATCH)) == pytest.approx(expected, abs=1e-12)


def test_without_the_teacher_it_is_ordinary_training():
    def never(batch):
        raise AssertionError("the teacher was asked")

    ordinary = gradient(smoothed_cross_entropy(0.1), LOGITS)
    np.testing.assert_array_equal(gradient(distillation(never, 2.0, 0.0, 0.1), LOGITS), ordinary)


def test_a_high_temperature_matches_logits():
    """With T², the gradient tends to (z − v)/K a row for logits of mean 0 (Hinton et al. 2015, section 2.1)."""
    student, master = (z - z.mean(axis=1, keepdims=True) for z in (LOGITS, TEACHER))
    found = gradient(distillation(lambda _: torch.from_numpy(master), 1e4, 1.0, squared=True), student)
    np.testing.assert_allclose(12 * found, (student - master) / 10, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.7, 4.0])
def test_a_student_that_equals_its_teacher_has_no_gradient(temperature):
    np.testing.assert_allclose(gradient(distillation(teacher, temperature, 1.0), TEACHER), 0, atol=1e-15)
