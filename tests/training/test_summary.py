"""What a record keeps is as small as it can be without losing a number."""

import numpy as np
import pytest

from lsbook.analysis import calibration
from lsbook.training.summary import LOGITS, SHOWN, Responses, arrays, half, metrics


@pytest.mark.parametrize(
    ("largest", "dtype"), [(65_504, np.float16), (-65_504, np.float16), (65_536, np.float32), (np.inf, np.float32)]
)
def test_numbers_beyond_float16_stay_numbers(largest, dtype):
    values = np.array([[0.5, largest]], np.float32)
    assert half(values).dtype == dtype
    assert (half(values) == values).all()
    assert half(values[:0]).dtype == np.float16


def test_of_many_classes_the_shown_ones_examples_and_the_first_logits_are_kept():
    """Every template is, so that the gaps of these examples to all classes can be measured; 1.5 MB in all."""
    generator = np.random.default_rng(0)
    templates = generator.normal(size=(200, 65))

    def responses(n: int) -> Responses:
        activations = generator.normal(size=(n, 65)).astype(np.float32)
        return Responses(activations, activations @ templates.T, np.arange(n) % 200)

    train, test = responses(30_000), responses(10_000)
    shown = [150, 3, 8]
    found = arrays(templates, 1.5, train, test, shown, full=True)
    assert sum(values.nbytes for values in found.values()) < 1.5e6
    assert found["templates"].shape == (200, 65)
    for split, n in (("train", SHOWN), ("test", 50)):
        labels = found[f"{split}_labels"]
        assert np.array_equal(np.unique(labels, return_counts=True), [sorted(shown), [n] * 3])
    logits = train.logits[np.isin(train.labels, shown)][: 3 * SHOWN]
    rebuilt = found["train_activations"].astype(np.float64) @ found["templates"].T
    np.testing.assert_allclose(rebuilt, logits, atol=0.1)
    kept = LOGITS // 200
    np.testing.assert_array_equal(found["test_targets"], test.labels[:kept])
    np.testing.assert_array_equal(found["test_logits"], test.logits[:kept].astype(np.float16))
    assert len(found["test_confidence"]) == 10_000


def test_temperatures_are_those_of_the_heldout_images():
    generator = np.random.default_rng(0)

    def responses(size: float) -> Responses:
        logits = size * generator.normal(size=(500, 4)).astype(np.float32)
        return Responses(logits, logits, np.argmax(logits + generator.gumbel(size=logits.shape), axis=1))

    train, heldout, test = responses(1.0), responses(3.0), responses(9.0)
    logits, labels = heldout.logits, heldout.labels
    found = metrics(train, heldout, test)
    assert found["temperature"] == calibration.fit_temperature(logits, labels)
    assert found["temperature_by_ece"] == calibration.fit_temperature_by_ece(logits, labels)
    probabilities = calibration.softmax(test.logits, found["temperature"])
    assert found["test_scaled_ece"] == calibration.expected_calibration_error(probabilities, test.labels)
    nothing = Responses(*(values[:0] for values in heldout))
    assert not [name for name in metrics(train, nothing, test) if "temperature" in name or "scaled" in name]
