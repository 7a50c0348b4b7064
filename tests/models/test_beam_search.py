"""Beam search against greedy search, against enumeration, and against the search without a cache; rectified, too."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from benchmarks.text import plain_translate
from lsbook.core.errors import UserError
from lsbook.models import beam_search
from lsbook.models.beam_search import BeamSearch, translate
from lsbook.models.transformer import KeyValueCache, Transformer

PAD, BOS, EOS = 0, 1, 2
SEARCH = BeamSearch(bos=BOS, eos=EOS, max_extra=6)
# How far log-probabilities of an output may lie apart that two float32 computations find by sums in other orders.
# Logits are up to 8.6, where float32's steps are 2⁻²⁰, and come of a hundred sums in turn; they lie up to 3e-5 from
# those of the same network in float64. Rectified log-probabilities, of small differences, lie up to 7e-5 from theirs.
ROUNDING = 2e-4


def network(vocabulary=9, seed=0) -> Transformer:
    """Weights large enough for the distributions to be peaked and to depend on the source."""
    torch.manual_seed(seed)
    model = Transformer(vocabulary, PAD, layers=2, width=16, heads=4, hidden=24, dropout=0.0).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.6)
    return model


def sentences(n, vocabulary=9, longest=7) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, longest + 1, (n,), generator=generator)
    return [torch.randint(3, vocabulary, (int(m),), generator=generator).tolist() for m in lengths]


@torch.no_grad()
def log_probability(model, source, tokens, temperature=1.0, smoothing=0.0) -> float:
    """Teacher-forced log P of tokens and eos, rectified or not, without padding or cache, summed in float64."""
    logits = model(torch.tensor([source]), torch.tensor([[BOS, *tokens]]))[0].double() / temperature
    q = torch.relu(logits.softmax(dim=1) - smoothing / logits.shape[1])
    return float((q / q.sum(dim=1, keepdim=True))[range(len(tokens) + 1), [*tokens, EOS]].log().sum())


def same(ours, expected, tolerance=ROUNDING):
    assert [t.tokens for t in ours] == [t.tokens for t in expected]
    for a, b in zip(ours, expected, strict=True):
        assert a[1:] == pytest.approx(b[1:], rel=tolerance, abs=tolerance)


@pytest.mark.parametrize(("temperature", "smoothing"), [(1.0, 0.0), (0.5, 0.0), (2.0, 0.1)])
@pytest.mark.parametrize("beam", [1, 4])
def test_search_is_the_plain_one(beam, temperature, smoothing):
    """No cache, no padding, no batch, no early stop: the same outputs in the callers' order, whatever the batch."""
    search = replace(SEARCH, beam=beam, temperature=temperature, smoothing=smoothing)
    model, sources = network(), sentences(20)
    expected = [plain_translate(model, source, search) for source in sources]
    assert len({len(t.tokens) for t in expected}) > 3  # the network does end at various lengths
    same(translate(model, sources, search), expected)
    same(translate(model, sources, search, batch=3), expected)


@pytest.mark.parametrize("length_penalty", [0.0, 2.0])
def test_stopping_early_loses_nothing(length_penalty):
    """A strong penalty lets a long hypothesis overtake one that ended long before; the plain search waits."""
    search = replace(SEARCH, length_penalty=length_penalty)
    model, sources = network(), sentences(20)
    with torch.no_grad():
        model.output.bias[EOS] = 1.0
    expected = [plain_translate(model, source, search) for source in sources]
    same(translate(model, sources, search), expected)
    assert len({len(t.tokens) for t in expected}) > 1


def test_a_beam_of_one_is_greedy():
    model, sources = network(), sentences(10)
    for source, found in zip(sources, translate(model, sources, replace(SEARCH, beam=1)), strict=True):
        tokens = []
        for _ in range(len(source) + SEARCH.max_extra - 1):
            logits = model(torch.tensor([source]), torch.tensor([[BOS, *tokens]]))[0, -1]
            logits[[PAD, BOS]] = -torch.inf
            if logits.argmax() == EOS:
                break
            tokens.append(int(logits.argmax()))
        assert found.tokens == tokens


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 2.0])
def test_a_beam_that_holds_everything_finds_the_best(length_penalty, smoothing):
    """V = 6, at most L = 4 tokens with the eos: a beam of 6³ prunes nothing. All 40 outputs are scored one by one.

    Much smoothing leaves few outputs possible, and of some sources none.
    """
    model, sources = network(vocabulary=6), [[3, 4], [5, 3], [4, 4], [5, 5]]
    search = replace(SEARCH, beam=6**3, max_extra=2, length_penalty=length_penalty, smoothing=smoothing)
    outputs = [list(y) for n in range(4) for y in itertools.product((3, 4, 5), repeat=n)]
    for source, found in zip(sources, translate(model, sources, search), strict=True):
        log_p = [log_probability(model, source, y, smoothing=smoothing) for y in outputs]
        scores = [p / ((6 + len(y)) / 6) ** length_penalty for p, y in zip(log_p, outputs, strict=True)]
        best = scores.index(max(scores))
        assert found.score == pytest.approx(scores[best], abs=ROUNDING)
        assert found.log_probability == pytest.approx(log_p[best], abs=ROUNDING)
        assert found.tokens == outputs[best]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_log_probabilities_are_the_teacher_forced_ones(temperature, smoothing):
    """The output's and the empty one's, each source's own whatever the order and the batch."""
    model, sources = network(), sentences(20)
    search = replace(SEARCH, temperature=temperature, smoothing=smoothing)
    found = translate(model, sources, search, batch=7)
    for source, ours in zip(sources, found, strict=True):
        assert ours.log_empty == pytest.approx(log_probability(model, source, [], temperature, smoothing), abs=ROUNDING)
    found = [(source, ours) for source, ours in zip(sources, found, strict=True) if ours.score > -torch.inf]
    assert len(found) > 10
    for source, ours in found:
        expected = log_probability(model, source, ours.tokens, temperature, smoothing)
        assert ours.log_probability == pytest.approx(expected, abs=ROUNDING)
        assert ours.score == pytest.approx(ours.log_probability / ((6 + len(ours.tokens)) / 6) ** 0.6)


class SmoothedOutput(nn.Linear):
    """Predicts (1 − α) q + α / V exactly, q being what the layer says otherwise; α = 0.2."""

    def forward(self, x: Tensor) -> Tensor:
        return (0.8 * super().forward(x).softmax(dim=-1) + 0.2 / self.out_features).log()


@pytest.mark.parametrize("beam", [4, 32])
def test_rectified_search_reads_a_perfectly_smoothed_network_as_the_network_behind_it(beam):
    """Without length penalty the plain search, to which each token costs log 0.8, finds shorter outputs."""
    model, sources = network(seed=2), sentences(30)
    search = replace(SEARCH, beam=beam, length_penalty=0.0)
    expected = translate(model, sources, search)
    output = SmoothedOutput(16, 9)
    output.load_state_dict(model.output.state_dict())
    model.output = output
    same(translate(model, sources, replace(search, smoothing=0.2)), expected, tolerance=1e-3)
    plain = translate(model, sources, search)
    assert sum(len(t.tokens) for t in plain) < 0.8 * sum(len(t.tokens) for t in expected)


def test_rectified_probabilities():
    """V = 5, α = 0.5: 0.1 is taken from each, what is below it is impossible, and the rest sums to 1.

    The bias of no smoothing is none at all, to the last bit.
    """
    p = torch.tensor([[0.4, 0.3, 0.2, 0.05, 0.05], [0.9, 0.04, 0.03, 0.02, 0.01]])
    search = replace(SEARCH, smoothing=0.5)
    q = search.log_probabilities(p.log()).exp()
    torch.testing.assert_close(q, torch.tensor([[3, 2, 1, 0, 0], [6, 0, 0, 0, 0]]) / 6)
    assert (q[p < 0.1] == 0).all()
    logits = torch.randn(20, 50, generator=torch.Generator().manual_seed(0))
    for temperature in (1.0, 0.7):
        found = replace(search, temperature=temperature).log_probabilities(logits.clone())
        torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(20))
        plain = replace(SEARCH, temperature=temperature).log_probabilities(logits.clone())
        assert torch.equal(plain, (logits / temperature).log_softmax(dim=1))


def test_where_nothing_is_possible_the_output_is_empty_and_its_probability_0():
    """The end is never possible, so every hypothesis is lost in the last step allowed; the plain search ends there."""
    model, sources = network(), sentences(3)
    with torch.no_grad():
        model.output.bias[EOS] = -20.0
    found = translate(model, sources, replace(SEARCH, smoothing=0.1))
    assert found == [([], -torch.inf, -torch.inf, -torch.inf)] * 3
    assert all(t.tokens for t in translate(model, sources, SEARCH))


def test_a_wide_beam_takes_fewer_sentences_at_a_time(monkeypatch):
    sizes, whole = [], beam_search._Batch

    def batch(model, sources, search):
        sizes.append(len(sources))
        return whole(model, sources, search)

    monkeypatch.setattr(beam_search, "_Batch", batch)
    monkeypatch.setattr(beam_search, "HYPOTHESES", 64)
    model, sources, search = network(), sentences(5), replace(SEARCH, beam=32, length_penalty=0.0)
    same(translate(model, sources, search), [plain_translate(model, source, search) for source in sources])
    assert sizes == [2, 2, 1]
    translate(model, sources, replace(SEARCH, beam=100))
    assert sizes[3:] == [1] * 5


def test_cached_activations_are_the_teacher_forced_ones_through_reordering():
    """Two hypotheses to each source; before the third step both continue the second one."""
    model, source = network(), torch.tensor([[3, 4, 5], [6, 7, PAD]])
    steps = torch.tensor([[[BOS, 3, 5, 8], [BOS, 4, 6, 7]], [[BOS, 5, 5, 4], [BOS, 8, 3, 3]]])  # (N, k, T)
    memory, mask = model.encode(source)
    keys_values, cache, cached = model.cross_keys_values(memory), KeyValueCache(2), []
    for t in range(4):
        if t == 2:
            cache.reorder(torch.tensor([[1, 1], [1, 1]]))
        cached.append(model.decode(steps[:, :, t], keys_values, mask, cache))
    lines = steps.clone()
    lines[:, 0, :2] = steps[:, 1, :2]
    for k in range(2):
        expected = model.output(model.penultimate(source, lines[:, k])).log_softmax(dim=2)
        found = model.output(torch.stack([step[:, k] for step in cached], dim=1)).log_softmax(dim=2)
        first = 2 if k == 0 else 0  # the first hypothesis had another past before
        torch.testing.assert_close(found[:, first:], expected[:, first:], rtol=0, atol=ROUNDING)


def test_more_padding_changes_no_score():
    """Beside a sentence of 40 tokens, short ones are padded by 33 and more."""
    model, sources = network(), sentences(6)
    same(translate(model, [*sources, [3] * 40], SEARCH)[:-1], translate(model, sources, SEARCH, batch=1))


def test_outputs_end_in_time_and_hold_no_special_token():
    model, sources = network(), sentences(20)
    with torch.no_grad():
        model.output.bias[[PAD, BOS]] = 50.0
        model.output.bias[EOS] = -50.0
    for source, found in zip(sources, translate(model, sources, replace(SEARCH, max_extra=0)), strict=True):
        assert len(found.tokens) == len(source) - 1
        assert not {PAD, BOS, EOS} & set(found.tokens)


def test_search_runs_in_bfloat16():
    model, sources = network(), sentences(8)
    with torch.autocast("cpu", torch.bfloat16):
        found = translate(model, sources, SEARCH)
    for source, translation in zip(sources, found, strict=True):
        assert translation.log_probability == pytest.approx(log_probability(model, source, translation.tokens), abs=0.5)


def test_the_models_mode_is_left_as_it_was():
    model = Transformer(9, PAD, layers=1, width=8, heads=2, hidden=8, dropout=0.5).train()
    first, second = (translate(model, [[3, 4]], SEARCH) for _ in range(2))
    assert first == second
    assert model.training
    assert translate(model, [], SEARCH) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beam": 0}, "beam must be at least 1, not 0"),
        ({"temperature": 0.0}, "temperature must be above 0 and finite, not 0"),
        ({"temperature": float("nan")}, "temperature must be above 0 and finite, not nan"),
        ({"length_penalty": -1.0}, "length_penalty must be at least 0 and finite, not -1"),
        ({"smoothing": -0.1}, "smoothing must be at least 0 and below 1, not -0.1"),
        ({"smoothing": 1.0}, "smoothing must be at least 0 and below 1, not 1"),
        ({"smoothing": float("nan")}, "smoothing must be at least 0 and below 1, not nan"),
    ],
)
def test_bad_searches(change, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        replace(SEARCH, **change)


def test_bad_sources_and_networks():
    model = network()
    with pytest.raises(UserError, match="^source 1: 0 tokens leave no room for an output$"):
        translate(model, [[3], []], SEARCH)
    with pytest.raises(UserError, match="^source 0: 2 tokens leave no room"):
        translate(model, [[3, 4]], replace(SEARCH, max_extra=-2))
    torch.nn.init.constant_(model.output.bias, float("nan"))
    for smoothing in (0.0, 0.1):
        with pytest.raises(ValueError, match="logits are not finite"):
            translate(model, [[3, 4]], replace(SEARCH, smoothing=smoothing))
