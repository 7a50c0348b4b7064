"""Beam search with a Transformer: all hypotheses of a batch of sentences advance together, nothing is computed twice.

A hypothesis Y of |Y| tokens, its eos counted, scores log P(Y | X) / ((5 + |Y|) / 6)^a with length penalty a (Wu et al.
2016, equation 14, without coverage), where P is the product of softmax(logits / T) over its tokens. In each step a
sentence keeps its most probable hypotheses. One that ends keeps its place from then on, so a beam of 1 is greedy.
Padding and bos are never produced, and in the last step allowed a hypothesis can only end.

A network trained with smoothed targets over V tokens predicts (1 − α) q + α / V where the truth is q. Rectified search
(Liang et al. 2022, arXiv 2205.00659) scores with q, so that no token costs log(1 − α) for the smoothing alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lsbook.core.errors import UserError
from lsbook.models.transformer import KeyValueCache, Transformer

SOURCES_AT_ONCE = 128  # sentences that advance together, fewer when the beam is wide:
HYPOTHESES = 1_024  # whose probabilities of 8 000 tokens take 33 MB


@dataclass(frozen=True, kw_only=True)
class BeamSearch:
    """How to search. The defaults are those of Vaswani et al. (2017, section 6.1).

    Attributes:
        bos: id of the token that begins a target.
        eos: id of the token that ends one.
        beam: hypotheses to a sentence, at least 1.
        length_penalty: a of the score, at least 0.
        temperature: T of the softmax, above 0.
        max_extra: an output has at most as many tokens as its source, and so many more.
        smoothing: the factor α in [0, 1) of the network's targets, for a rectified search: p = softmax(logits / T) is
            read as q ∝ max(p − α / V, 0) over the whole vocabulary, and tokens of q = 0 are never chosen. At 0 it is
            the plain search.

    Raises:
        UserError: a value is out of its range.
    """

    bos: int
    eos: int
    beam: int = 4
    length_penalty: float = 0.6
    temperature: float = 1.0
    max_extra: int = 50
    smoothing: float = 0.0

    def __post_init__(self):
        if self.beam < 1:
            raise UserError(f"beam must be at least 1, not {self.beam}")
        if not 0 < self.temperature < math.inf:
            raise UserError(f"temperature must be above 0 and finite, not {self.temperature:g}")
        if not 0 <= self.length_penalty < math.inf:
            raise UserError(f"length_penalty must be at least 0 and finite, not {self.length_penalty:g}")
        if not 0 <= self.smoothing < 1:
            raise UserError(f"smoothing must be at least 0 and below 1, not {self.smoothing:g}")

    def penalty(self, length: int | Tensor) -> float | Tensor:
        """Return ((5 + |Y|) / 6)^a, by which the log-probability of a hypothesis of |Y| tokens is divided."""
        return ((5 + length) / 6) ** self.length_penalty

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Turn logits (n, V) in float32, which are overwritten, into log-probabilities in nats; −∞ where q = 0.

        ValueError when a rectified search meets logits that are not finite.
        """
        log_p = logits.div_(self.temperature).log_softmax(dim=-1)
        if not self.smoothing:
            return log_p
        q = log_p.exp_().sub_(self.smoothing / logits.shape[1]).clamp_(min=0)
        total = q.sum(dim=1, keepdim=True)
        if not (total > 0).all():  # the largest p is at least 1 / V
            raise ValueError("the network's logits are not finite")
        return q.div_(total).log_()


class Translation(NamedTuple):
    """What was found for a source X.

    tokens: without bos and eos; log_probability: log P(Y | X) in nats, with the eos; score: after the length penalty;
    log_empty: log P(Y | X) of the empty output, which is the eos alone. All by q where the search is rectified.
    """

    tokens: list[int]
    log_probability: float
    score: float
    log_empty: float


@torch.inference_mode()
def translate(
    model: Transformer, sources: Sequence[Sequence[int]], search: BeamSearch, batch: int | None = None
) -> list[Translation]:
    """Find the best translation of each source, in the order of the sources.

    Where a rectified search is left without a hypothesis, the tokens are none, and log P and the score are −∞. The
    network is left in the mode (training or not) that it was in.

    Args:
        model: a trained network.
        sources: token ids as the network was trained on, without padding.
        search: how to search.
        batch: how many sources advance together; by default SOURCES_AT_ONCE, or as many as have HYPOTHESES in all.

    Raises:
        UserError: a source is empty or leaves no room for an output.
        ValueError: no hypothesis of a source is finite.
    """
    batch = batch or min(SOURCES_AT_ONCE, -(-HYPOTHESES // search.beam))
    for i, source in enumerate(sources):
        if not len(source) or len(source) + search.max_extra < 1:
            raise UserError(f"source {i}: {len(source)} tokens leave no room for an output")
    was_training = model.training
    model.eval()
    found: list[Translation | None] = [None] * len(sources)
    order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        translations = _Batch(model, [sources[i] for i in rows], search).run()
        for i, translation in zip(rows, translations, strict=True):
            found[i] = translation
    model.train(was_training)
    translated = [translation for translation in found if translation is not None]
    if len(translated) < len(found):
        raise ValueError(f"source {found.index(None)}: the network's logits are not finite")
    return translated


class _Batch:
    """A search for N sources with k hypotheses to each; sources that are done drop out.

    rows (N,): which source of the batch each is; limits (N,): tokens an output may have; ended (N,): hypotheses that
    have; best (N,): the best score of those. tokens (N, k, steps) and scores (N, k), log P(Y | X): the hypotheses,
    −∞ where a place is empty or its hypothesis has ended.
    """

    def __init__(self, model: Transformer, sources: Sequence[Sequence[int]], search: BeamSearch):
        self.model, self.search = model, search
        self.found: list[Translation | None] = [None] * len(sources)
        device, n, k = model.output.weight.device, len(sources), search.beam
        padded = pad_sequence([torch.as_tensor(s) for s in sources], batch_first=True, padding_value=model.pad)
        memory, self.mask = model.encode(padded.to(device))
        self.cross_keys_values = model.cross_keys_values(memory)
        self.cache = KeyValueCache(len(self.cross_keys_values))
        self.rows = torch.arange(n, device=device)
        self.limits = torch.tensor([len(source) + search.max_extra for source in sources], device=device)
        self.ended = torch.zeros(n, dtype=torch.long, device=device)
        self.best = torch.full((n,), -math.inf, device=device)
        self.tokens = torch.full((n, k, 1), search.bos, device=device)
        self.log_empty: list[float] = []
        self.scores = torch.full((n, k), -math.inf, device=device)
        self.scores[:, 0] = 0.0  # all begin alike, so one is enough

    def run(self) -> list[Translation | None]:
        """Return the best translation of each source; None where a plain search found no hypothesis finite."""
        while len(self.rows):
            self._choose(*self._candidates())
            self._collect()
            self._drop()
        if self.search.smoothing:
            found = zip(self.found, self.log_empty, strict=True)
            return [own or Translation([], -math.inf, -math.inf, log_empty) for own, log_empty in found]
        return self.found

    def _candidates(self) -> tuple[Tensor, Tensor]:
        """Compute log P and last token, both (N, k, c), of the c best continuations of each hypothesis."""
        activations = self.model.decode(self.tokens[:, :, -1], self.cross_keys_values, self.mask, self.cache)
        alive = self.scores.isfinite()
        logits = self.model.output(activations[alive]).float()
        log_p = self.search.log_probabilities(logits)
        if self.tokens.shape[2] == 1:  # one hypothesis to a source
            self.log_empty = log_p[:, self.search.eos].tolist()
        log_p[:, [self.model.pad, self.search.bos]] = -math.inf
        last = (self.limits == self.tokens.shape[2])[:, None].expand_as(alive)[alive]
        if last.any():
            ends = log_p[last, self.search.eos]
            log_p[last] = -math.inf
            log_p[last, self.search.eos] = ends
        top, ids = log_p.topk(min(self.search.beam, log_p.shape[1]), dim=-1)
        candidates = top.new_full((*alive.shape, top.shape[1]), -math.inf)
        candidates[alive] = self.scores[alive][:, None] + top
        tokens = ids.new_zeros(candidates.shape)
        tokens[alive] = ids
        return candidates, tokens

    def _choose(self, candidates: Tensor, tokens: Tensor) -> None:
        """Continue each source's most probable hypotheses, as many as have not ended yet."""
        places = torch.arange(self.search.beam, device=candidates.device)
        scores, index = candidates.flatten(start_dim=1).topk(self.search.beam, dim=1)
        self.scores = scores.masked_fill(places >= (self.search.beam - self.ended)[:, None], -math.inf)
        parents = index // candidates.shape[2]
        chosen = tokens.flatten(start_dim=1).gather(1, index)
        self.tokens = torch.cat([self.tokens.take_along_dim(parents[:, :, None], dim=1), chosen[:, :, None]], dim=2)
        self.cache.reorder(parents)

    def _collect(self) -> None:
        """Take out hypotheses that have ended, and note each source's best."""
        over = (self.tokens[:, :, -1] == self.search.eos) & self.scores.isfinite()
        length = self.tokens.shape[2] - 1
        log_p, places = self.scores.masked_fill(~over, -math.inf).max(dim=1)
        scores = log_p / self.search.penalty(length)
        better = (scores > self.best).nonzero()[:, 0]
        tokens = self.tokens[better, places[better], 1:-1]
        columns = (column.tolist() for column in (self.rows[better], tokens, log_p[better], scores[better]))
        for row, ids, log_probability, score in zip(*columns, strict=True):
            self.found[row] = Translation(ids, log_probability, score, self.log_empty[row])
        self.best = torch.maximum(self.best, scores)
        self.ended += over.sum(dim=1)
        self.scores = self.scores.masked_fill(over, -math.inf)

    def _drop(self) -> None:
        """Stop where no hypothesis could still beat the best: even with certain tokens up to the longest output.

        Copying what remains costs as much as a few steps, so sources leave only when they are a quarter.
        """
        hope = self.scores.max(dim=1).values / self.search.penalty(self.limits)
        going = hope > self.best
        self.scores = self.scores.masked_fill(~going[:, None], -math.inf)
        if going.sum() > 0.75 * len(going):
            return
        keep = going.nonzero()[:, 0]
        for name in ("rows", "limits", "ended", "best", "tokens", "scores", "mask"):
            setattr(self, name, getattr(self, name)[keep])
        self.cross_keys_values = [(keys[keep], values[keep]) for keys, values in self.cross_keys_values]
        self.cache.select(keep)
