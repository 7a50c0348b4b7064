"""Dropout: its mean and variance by arithmetic, its gradient, and that torch's random state decides about it."""

import pytest
import torch

from lsbook.models.dropout import Dropout

N = 200_000


@pytest.mark.parametrize(("probability", "zeroed"), [(0.1, 26), (0.5, 128), (0.999, 255), (0.001, 0)])
def test_mean_and_variance(probability, zeroed):
    """Ones become 0 or 1 / q with q = 1 − zeroed / 256: mean 1, variance 1 / q − 1, within five standard errors."""
    torch.manual_seed(0)
    y = Dropout(probability)(torch.ones(N))
    q = 1 - zeroed / 256
    assert y[y > 0].unique().tolist() == pytest.approx([1 / q])
    deviation = (1 / q - 1) ** 0.5
    assert abs(float(y.mean()) - 1) <= 5 * deviation / N**0.5
    assert float(y.var()) == pytest.approx(1 / q - 1, rel=0.2)


def test_elements_are_dropped_independently():
    """Neighbours, also across the eight bytes of a word, are both kept with probability q²."""
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(N)) > 0).float()
    for distance in (1, 3, 8):
        assert abs(float((kept[:-distance] * kept[distance:]).mean()) - 0.25) < 5 * 0.5 / N**0.5


def test_gradient_is_the_mask():
    torch.manual_seed(0)
    x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    y = Dropout(0.4)(x)
    y.sum().backward()
    assert y.dtype == torch.float64
    torch.testing.assert_close(x.grad * x.detach(), y.detach())
    assert 0 < int((x.grad == 0).sum()) < 21


def test_torchs_seed_decides():
    drop, x = Dropout(0.3), torch.ones(1000)
    torch.manual_seed(5)
    first, second = drop(x), drop(x)
    torch.manual_seed(5)
    assert torch.equal(drop(x), first)
    assert not torch.equal(first, second)


def test_evaluation_and_probability_zero_do_nothing():
    x = torch.randn(5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    for probability in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="probability: expected a value in"):
            Dropout(probability)


def test_bfloat16_is_scaled_in_float32():
    y = Dropout(0.1)(torch.ones(100, dtype=torch.bfloat16))
    assert y.dtype == torch.float32
    assert float(y.max()) == pytest.approx(256 / 230)
