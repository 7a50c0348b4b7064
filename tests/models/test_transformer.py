"""The Transformer: sizes by hand, attention and positions by their formulas, and what each position may see."""

import math

import pytest
import torch

from lsbook.core.registry import MODELS
from lsbook.models.transformer import CrossAttention, SelfAttention, Transformer, sinusoidal_positions

PAD, BOS, EOS = 0, 1, 2


def tiny(vocabulary=11, dropout=0.0) -> Transformer:
    torch.manual_seed(0)
    return Transformer(vocabulary, PAD, layers=2, width=16, heads=4, hidden=24, dropout=dropout)


def batch(lengths, width, seed=0):
    """Random tokens, no special ones, padded on the right to `width`."""
    tokens = torch.randint(3, 11, (len(lengths), width), generator=torch.Generator().manual_seed(seed))
    return tokens.masked_fill(torch.arange(width) >= torch.tensor(lengths)[:, None], PAD)


@pytest.mark.parametrize(
    ("name", "vocabulary", "layers", "d", "h", "expected"),
    [
        ("transformer-base", 100, 6, 512, 2048, 44_154_980),
        ("transformer-256", 8_000, 3, 256, 512, 6_001_472),
        ("transformer-64", 500, 2, 64, 256, 264_692),
    ],
)
def test_sizes(name, vocabulary, layers, d, h, expected):
    """One matrix for three uses, a bias a word; attention maps have no biases, normalisations have 2 d."""
    attention, feed_forward, norm = 4 * d * d, 2 * d * h + h + d, 2 * d
    encoder_layer = attention + feed_forward + 2 * norm
    decoder_layer = 2 * attention + feed_forward + 3 * norm
    by_hand = vocabulary * d + vocabulary + layers * (encoder_layer + decoder_layer) + 2 * norm
    model = MODELS[name].build(vocabulary, PAD)
    assert sum(p.numel() for p in model.parameters()) == by_hand == expected


def test_logits_are_activations_times_templates():
    model, source, target = tiny(), batch([5, 3], 5), batch([4, 4], 4)
    activations = model.penultimate(source, target)
    assert activations.shape == (2, 4, 16)
    with_one = torch.cat([activations, torch.ones(2, 4, 1)], dim=2)
    torch.testing.assert_close(with_one @ model.templates().T, model(source, target))
    torch.testing.assert_close(activations.mean(dim=2), torch.zeros(2, 4), rtol=0, atol=1e-5)  # normalised
    torch.testing.assert_close(activations.var(dim=2, correction=0), torch.ones(2, 4), rtol=0, atol=1e-3)


def test_the_embedding_is_the_output_matrix_scaled_plus_the_position():
    model = tiny()
    expected = 4 * model.output.weight[7] + sinusoidal_positions(3, 1, 16)[0]  # √16 = 4
    torch.testing.assert_close(model.embed(torch.tensor([[5, 5, 5, 7]]))[0, 3], expected)


def test_positions_are_sines_and_cosines():
    """sin and cos of p / 10000^(2i / d), section 3.5."""
    table = sinusoidal_positions(2, 3, 8)
    for row, p in enumerate((2, 3, 4)):
        angles = [p / 10_000 ** (2 * i / 8) for i in range(4)]
        expected = torch.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
        torch.testing.assert_close(table[row], expected)


def test_self_attention_is_its_formula():
    """softmax(q kᵀ / √(d / heads)) v, one head after the other, of what a position may see."""
    torch.manual_seed(0)
    attention, x = SelfAttention(8, 2), torch.randn(3, 8)
    q, k, v = attention.maps(attention.norm(x)).split(8, dim=1)
    future = torch.ones(3, 3).triu(diagonal=1).bool()
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        weights = (q[:, head] @ k[:, head].T / 2).masked_fill(future, -torch.inf).softmax(dim=1)
        heads.append(weights @ v[:, head])
    torch.testing.assert_close(attention(x[None])[0], attention.joint(torch.cat(heads, dim=1)))


def test_cross_attention_is_its_formula():
    torch.manual_seed(0)
    attention, x, memory = CrossAttention(8, 2), torch.randn(3, 8), torch.randn(4, 8)
    q, (k, v) = attention.queries(attention.norm(x)), attention.maps(memory).split(8, dim=1)
    heads = [(q[:, h] @ k[:3, h].T / 2).softmax(dim=1) @ v[:3, h] for h in (slice(0, 4), slice(4, 8))]
    mask = torch.tensor([True, True, True, False])[None, None, None]
    found = attention(x[None], attention.keys_values(memory[None]), mask)
    torch.testing.assert_close(found[0], attention.joint(torch.cat(heads, dim=1)))


def test_a_position_sees_no_later_target():
    model, source, target = tiny(), batch([5], 5), batch([6], 6)
    changed = target.clone()
    changed[0, 4] = 3 if target[0, 4] != 3 else 4
    before, after = model(source, target), model(source, changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_every_target_position_sees_every_source_token():
    model, source, target = tiny(), batch([5], 5), batch([3], 3)
    for i in range(5):
        changed = source.clone()
        changed[0, i] = 3 if source[0, i] != 3 else 4
        difference = (model(changed, target) - model(source, target)).abs().amax(dim=2)
        assert (difference > 1e-4).all()


def test_padding_changes_nothing():
    model = tiny().eval()
    source, target = batch([5, 3], 5), batch([4, 2], 4)
    wide = model(torch.nn.functional.pad(source, [0, 6]), torch.nn.functional.pad(target, [0, 3]))
    narrow = model(source, target)
    alone = model(source[1:, :3], target[1:, :2])
    real = target != PAD
    torch.testing.assert_close(wide[:, :4][real], narrow[real], rtol=0, atol=1e-5)
    torch.testing.assert_close(alone[0], narrow[1, :2], rtol=0, atol=1e-5)


def test_padding_has_no_gradient_below_the_output():
    model = tiny()
    source, target = batch([5, 3], 5), batch([4, 2], 4)
    model.penultimate(source, target)[target != PAD][:, 0].sum().backward()
    assert model.output.weight.grad[PAD].abs().sum() == 0
    assert model.output.weight.grad[source[0, 0]].abs().sum() > 0


def test_dropout_acts_in_training_only():
    model, source, target = tiny(dropout=0.3), batch([5], 5), batch([4], 4)
    assert not torch.equal(model(source, target), model(source, target))
    model.eval()
    assert torch.equal(model(source, target), model(source, target))


def test_initial_maps_keep_the_variance():
    """Weights of variance 1 / inputs, fused maps like single ones, and zero biases."""
    torch.manual_seed(0)
    model = Transformer(500, PAD, layers=1, width=64, heads=4, hidden=100, dropout=0.0)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            assert float(module.weight.detach().var()) * module.in_features == pytest.approx(1, rel=0.1)
            assert module.bias is None or not module.bias.any()


def test_bfloat16_comes_close():
    model, source, target = tiny(), batch([5, 3], 5), batch([4, 2], 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(source, target).float()
    torch.testing.assert_close(found, model(source, target), rtol=0, atol=0.15)
    found.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 30, "heads": 4}, "width: expected"),
        ({"width": 9, "heads": 3}, "width: expected"),
        ({"pad": 11}, "pad"),
    ],
)
def test_impossible_sizes(arguments, message):
    with pytest.raises(ValueError, match=message):
        Transformer(11, **arguments)
