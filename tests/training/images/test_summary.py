"""What a record keeps is as small as it can be without losing a number."""

import zlib

import numpy as np
import pytest

from lsbook.analysis import calibration
from lsbook.analysis.information import bracket
from lsbook.training.images.summary import (
    KEPT_PER_CLASS,
    LOGIT_SPREAD,
    MAX_KEPT_LOGITS,
    ModelOutputs,
    arrays,
    metrics,
    quantise,
    to_float16,
)


@pytest.mark.parametrize(
    ("largest", "dtype"), [(65_504, np.float16), (-65_504, np.float16), (65_536, np.float32), (np.inf, np.float32)]
)
def test_numbers_beyond_float16_stay_numbers(largest, dtype):
    values = np.array([[0.5, largest]], np.float32)
    assert to_float16(values).dtype == dtype
    assert (to_float16(values) == values).all()
    assert to_float16(values[:0]).dtype == np.float16


@pytest.mark.parametrize("spread", [3e-5, 0.125, 100.0])
def test_rounding_follows_the_spread_and_leaves_what_has_none(spread):
    values = spread * np.random.default_rng(0).normal(size=(600, 10)).astype(np.float32)
    kept = quantise(values, spread)
    assert kept.dtype == np.float16
    assert np.abs(kept - values).max() <= 1.001 * spread / 16
    np.testing.assert_array_equal(quantise(kept.astype(np.float32), spread), kept)
    assert len(zlib.compress(kept.tobytes())) < 0.67 * len(zlib.compress(to_float16(values).tobytes()))
    for nothing in (0.0, np.nan, np.inf):
        np.testing.assert_array_equal(quantise(values, nothing), to_float16(values))


@pytest.mark.parametrize("level", [0.0, 1e-3, 50.0])
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_rounding_is_finer_than_what_chance_leaves_of_a_figure(level, spread):
    """Information of views whose deviation is 0.01 around means `spread` times as far apart; ECE of random answers."""
    generator = np.random.default_rng(0)
    samples = level + 0.01 * (spread * generator.normal(size=(600, 1)) + generator.normal(size=(600, 10)))
    exact, kept = (bracket(values).midpoint for values in (samples, quantise(samples, 0.01)))
    if level < 50:  # float16 itself is too coarse there
        assert kept == pytest.approx(exact, abs=2e-3)
    logits = spread * generator.normal(size=(10_000, 10))
    labels = np.argmax(logits + generator.gumbel(size=logits.shape), axis=1)
    eces = (
        calibration.expected_calibration_error(calibration.softmax(z.astype(float), 1.0), labels)
        for z in (logits, quantise(logits, LOGIT_SPREAD))
    )
    assert np.ptp(list(eces)) < 2e-3  # its standard error is 0.003


def test_of_many_classes_the_shown_ones_examples_and_the_first_logits_are_kept():
    """Every template is, so that the gaps of these examples to all classes can be measured; 1.5 MB in all."""
    generator = np.random.default_rng(0)
    templates = generator.normal(size=(200, 65))

    def responses(n: int) -> ModelOutputs:
        activations = generator.normal(size=(n, 65)).astype(np.float32)
        return ModelOutputs(activations, activations @ templates.T, np.arange(n) % 200)

    train, test = responses(30_000), responses(10_000)
    shown = [150, 3, 8]
    found = arrays(templates, 1.5, train, test, shown, full=True)
    assert sum(values.nbytes for values in found.values()) < 1.5e6
    assert found["templates"].shape == (200, 65)
    for split, n in (("train", KEPT_PER_CLASS), ("test", 50)):
        labels = found[f"{split}_labels"]
        assert np.array_equal(np.unique(labels, return_counts=True), [sorted(shown), [n] * 3])
    logits = train.logits[np.isin(train.labels, shown)][: 3 * KEPT_PER_CLASS]
    rebuilt = found["train_activations"].astype(np.float64) @ found["templates"].T
    np.testing.assert_allclose(rebuilt, logits, atol=0.1)
    kept = MAX_KEPT_LOGITS // 200
    np.testing.assert_array_equal(found["test_targets"], test.labels[:kept])
    np.testing.assert_array_equal(found["test_logits"], quantise(test.logits[:kept], LOGIT_SPREAD))
    assert len(found["test_confidence"]) == 10_000


def test_temperatures_are_those_of_the_heldout_images():
    generator = np.random.default_rng(0)

    def responses(size: float) -> ModelOutputs:
        logits = size * generator.normal(size=(500, 4)).astype(np.float32)
        return ModelOutputs(logits, logits, np.argmax(logits + generator.gumbel(size=logits.shape), axis=1))

    train, heldout, test = responses(1.0), responses(3.0), responses(9.0)
    logits, labels = heldout.logits, heldout.labels
    found = metrics(train, heldout, test)
    assert found["temperature"] == calibration.fit_temperature(logits, labels)
    assert found["temperature_by_ece"] == calibration.fit_temperature_by_ece(logits, labels)
    probabilities = calibration.softmax(test.logits, found["temperature"])
    assert found["test_scaled_ece"] == calibration.expected_calibration_error(probabilities, test.labels)
    nothing = ModelOutputs(*(values[:0] for values in heldout))
    assert not [name for name in metrics(train, nothing, test) if "temperature" in name or "scaled" in name]
