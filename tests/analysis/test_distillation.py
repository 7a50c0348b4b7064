"""The smoothness index of targets where it is known."""

import numpy as np
import pytest

from lsbook.analysis.calibration import softmax
from lsbook.analysis.distillation import smoothness_at, smoothness_index, temperature_for
from lsbook.analysis.targets import smooth_targets

LABELS = np.arange(40) % 10


@pytest.mark.parametrize("alpha", [0.0, 0.05, 0.1, 0.6, 0.99])
@pytest.mark.parametrize("n_classes", [2, 10])
def test_smoothed_targets_have_their_factor(alpha, n_classes):
    labels = LABELS % n_classes
    assert smoothness_index(smooth_targets(labels, n_classes, alpha), labels) == pytest.approx(alpha, abs=1e-14)


def test_a_uniform_teacher_has_1_and_a_wrong_one_more():
    assert smoothness_index(np.full((40, 10), 0.1), LABELS) == pytest.approx(1)
    assert smoothness_index(smooth_targets((LABELS + 1) % 10, 10, 0.0), LABELS) == pytest.approx(10 / 9)


def teacher(dtype=np.float64) -> np.ndarray:
    """Logits that are right about most labels."""
    generator = np.random.default_rng(0)
    return (generator.normal(size=(40, 10)) + 6 * np.eye(10)[LABELS]).astype(dtype)


@pytest.mark.parametrize("temperature", [0.01, 0.5, 1, 40])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float16, 1e-6)])
def test_it_is_the_index_of_the_softmax(temperature, dtype, tolerance, monkeypatch):
    monkeypatch.setattr("lsbook.analysis.distillation.BLOCK_ROWS", 16)
    logits = teacher(dtype)
    logits[:8] = np.roll(logits[:8], 1, axis=1)  # wrong by much, and by infinitely much when cold
    expected = smoothness_index(softmax(logits, temperature), LABELS)
    assert smoothness_at(temperature, logits, LABELS) == pytest.approx(expected, abs=tolerance)
    with pytest.raises(ValueError, match="temperature"):
        smoothness_at(-temperature, logits, LABELS)


@pytest.mark.parametrize("index", [0.05, 0.1, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_the_temperature_gives_the_index(index, dtype, monkeypatch):
    monkeypatch.setattr("lsbook.analysis.distillation.BLOCK_ROWS", 16)
    logits = teacher(dtype)
    temperature = temperature_for(index, logits, LABELS)
    assert smoothness_index(softmax(logits, temperature), LABELS) == pytest.approx(index, abs=1e-6)


def test_one_gap_has_a_closed_form():
    """True logit g above nine others: p = 1/(1 + 9 exp(−g/T)), so γ = (1 − p) 10/9 gives T = g / log(9 p/(1 − p))."""
    logits = 5.0 * np.eye(10)[LABELS]
    p = 1 - 0.9 * 0.2
    assert temperature_for(0.2, logits, LABELS) == pytest.approx(5 / np.log(9 * p / (1 - p)), rel=1e-6)


def test_an_index_out_of_reach_is_refused():
    logits = teacher()
    logits[:8] = np.roll(logits[:8], 1, axis=1)  # a fifth is wrong: γ is at least 0.2 · 10/9
    with pytest.raises(ValueError, match="index: this teacher's is between 0.222 and 1, not 0.1"):
        temperature_for(0.1, logits, LABELS)


def test_one_class_has_no_index():
    with pytest.raises(ValueError, match="logits: expected two classes or more"):
        smoothness_at(1.0, [[1.0], [2.0]], [0, 0])


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.ones((2, 1)), [0, 0], "probabilities: expected two classes or more"),
        (np.full((2, 3), 0.5), [0, 1], "probabilities: expected rows"),
        (np.full((2, 4), 0.25), [0, 4], "labels: 0 to 4"),
        (np.full((2, 4), 0.25), [0], "labels: expected shape"),
        (np.zeros((0, 4)), [], "no examples"),
    ],
)
def test_bad_targets_are_refused(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        smoothness_index(probabilities, labels)
