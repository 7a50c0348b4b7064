"""A trained Transformer at work: predictions of each token of a text, and translations with their scores."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lsbook.analysis.translation import ORDERS, NextTokens
from lsbook.data import encoded
from lsbook.data.batches import Batches, PaddedBatch
from lsbook.data.encoded import EncodedPairs
from lsbook.data.texts import Pairs
from lsbook.data.vocabulary import Vocabulary
from lsbook.models.beam_search import BeamSearch, Translation, translate
from lsbook.models.transformer import Transformer
from lsbook.training.engine import distributed
from lsbook.training.engine.devices import autocast

EVALUATION_TOKENS = 4_096  # in a batch, both sides and padding together
ROWS = 512  # whose logits are evaluated at a time


def encode(pairs: Pairs, vocabulary: Vocabulary) -> EncodedPairs:
    """Encode sentence pairs as token ids."""
    source, target = encoded.encode_pairs(list(zip(pairs.source, pairs.target, strict=True)), vocabulary)
    return EncodedPairs(source, target, pairs.fingerprint, pairs.variant)


def target_activations(model: Transformer, batch: PaddedBatch) -> tuple[Tensor, Tensor]:
    """Compute the activations (n, d) that predict a batch's n target tokens, without padding; return both."""
    device = model.output.weight.device
    source, target_in, target_out = (
        torch.from_numpy(side).to(device) for side in (batch.source, batch.target_in, batch.target_out)
    )
    tokens = target_out != model.pad
    return model.penultimate(source, target_in)[tokens], target_out[tokens]


@torch.no_grad()
def activation_batches(
    model: Transformer, text: EncodedPairs, precision: str
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Yield for each batch of a text its tokens' sentences (n,), and what `target_activations` gives.

    Sentences come in any order, each whole; of several processes each has its shard of the batches. The model is left
    in the mode (training or not) that it was in.
    """
    was_training = model.training
    model.eval()
    batches = Batches(text, EVALUATION_TOKENS)
    for i in distributed.shard(range(len(batches))):
        batch = batches(i)
        with autocast(model.output.weight.device, precision):
            activations, labels = target_activations(model, batch)
        yield np.repeat(batch.rows, (batch.target_out != model.pad).sum(axis=1)), activations, labels
    model.train(was_training)


@torch.no_grad()
def predict_next_tokens(
    model: Transformer, text: EncodedPairs, temperatures: Sequence[float], precision: str
) -> NextTokens:
    """Predict every target token of a text from those before it, at all temperatures (above 0) in one pass; float32."""
    parts, sentence_parts = [], []
    for rows, activations, labels in activation_batches(model, text, precision):
        sentence_parts.append(rows)
        for h, y in zip(activations.split(ROWS), labels.split(ROWS), strict=True):
            with autocast(h.device, precision):
                logits = model.output(h).float()
            parts.append(_evaluate(logits, y, temperatures).cpu().numpy())
    sentences, n = distributed.all_gather_concatenate(sentence_parts), len(temperatures)
    values = distributed.all_gather_concatenate(parts, axis=1)[:, np.argsort(sentences, kind="stable")]
    return NextTokens(values[:n], values[n:-1], values[-1] == 1, np.bincount(sentences, minlength=len(text)))


def _evaluate(logits: Tensor, labels: Tensor, temperatures: Sequence[float]) -> Tensor:
    """Return (2 T + 1, n): at T temperatures largest probabilities and the labels' log-probabilities, then hits."""
    largest, found = logits.max(dim=1, keepdim=True)
    logits -= largest
    of_labels = logits.gather(1, labels[:, None])[:, 0]
    totals = [(logits / temperature).exp_().sum(dim=1) for temperature in temperatures]
    log_probabilities = [of_labels / t - total.log() for t, total in zip(temperatures, totals, strict=True)]
    return torch.stack([*(1 / total for total in totals), *log_probabilities, (found[:, 0] == labels).float()])


def translate_sentences(
    model: Transformer, sentences: Sequence[str], vocabulary: Vocabulary, precision: str, **search
) -> list[Translation]:
    """Translate sentences by beam search; `search` are fields of `beam_search.BeamSearch` besides bos and eos."""
    sources = [np.append(ids, vocabulary.eos).astype(np.int64) for ids in vocabulary.encode(sentences)]
    with autocast(model.output.weight.device, precision):
        own = translate(model, distributed.shard(sources), BeamSearch(bos=vocabulary.bos, eos=vocabulary.eos, **search))
    shares = distributed.all_gather(own)
    return [shares[i % len(shares)][i // len(shares)] for i in range(len(sources))]


class Scores(NamedTuple):
    """How well N translations match their references.

    statistics: (N, 10) uint16, from which `analysis.translation.corpus_bleu` computes BLEU. chrf: of the whole text, in
    percent. signatures: sacreBLEU's, of both by name.
    """

    statistics: np.ndarray
    chrf: float
    signatures: dict[str, str]


def score_translations(translations: Sequence[str], references: Sequence[str]) -> Scores:
    """Compute cased BLEU and chrF by sacreBLEU. ValueError unless there is one reference to each translation."""
    from sacrebleu.metrics import BLEU, CHRF

    if len(translations) != len(references):
        raise ValueError(f"references: {len(references)} for {len(translations)} translations")
    bleu, chrf = BLEU(), CHRF()
    bleu.corpus_score(translations, [references])
    sentence = BLEU(effective_order=True)  # as is advised for sentences; the counts are the same
    counts = [sentence.sentence_score(ours, [theirs]) for ours, theirs in zip(translations, references, strict=True)]
    statistics = np.array([[*c.counts, *c.totals, c.sys_len, c.ref_len] for c in counts], np.uint16)
    of_text = chrf.corpus_score(translations, [references]).score
    signatures = {"BLEU": str(bleu.get_signature()), "chrF": str(chrf.get_signature())}
    return Scores(statistics.reshape(-1, 2 * ORDERS + 2), of_text, signatures)
