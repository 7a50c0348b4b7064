"""A trained Transformer's answers: predictions of each token of a text, and translations with their scores."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lsbook.analysis.translation import ORDERS, NextTokens
from lsbook.data import encoded
from lsbook.data.batches import Batch, Batches
from lsbook.data.encoded import Encoded
from lsbook.data.texts import Pairs
from lsbook.data.vocabulary import Vocabulary
from lsbook.models.beam_search import Search, Translation, translate
from lsbook.models.transformer import Transformer
from lsbook.training.engine import distributed
from lsbook.training.engine.devices import autocast

EVALUATION_TOKENS = 4_096  # in a batch, both sides and padding together
ROWS = 512  # whose logits are evaluated at a time


def encode(pairs: Pairs, vocabulary: Vocabulary) -> Encoded:
    """The same pairs as token ids."""
    sides = encoded.encode(list(zip(pairs.source, pairs.target, strict=True)), vocabulary)
    return Encoded(*sides, pairs.fingerprint, pairs.variant)


def predicting(model: Transformer, batch: Batch) -> tuple[Tensor, Tensor]:
    """Activations (n, d) that predict the n tokens of a batch's targets, without padding, and these tokens (n,)."""
    device = model.output.weight.device
    source, target_in, target_out = (
        torch.from_numpy(side).to(device) for side in (batch.source, batch.target_in, batch.target_out)
    )
    tokens = target_out != model.pad
    return model.penultimate(source, target_in)[tokens], target_out[tokens]


@torch.no_grad()
def predictions(model: Transformer, text: Encoded, precision: str) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Batch by batch: each token's sentence (n,), and what `predicting` gives. Sentences come in any order, each whole.

    Of several processes each has its share of the batches.

    The model is left in the mode (training or not) that it was in.
    """
    was_training = model.training
    model.eval()
    batches = Batches(text, EVALUATION_TOKENS)
    for i in distributed.share(range(len(batches))):
        batch = batches(i)
        with autocast(model.output.weight.device, precision):
            activations, labels = predicting(model, batch)
        yield np.repeat(batch.rows, (batch.target_out != model.pad).sum(axis=1)), activations, labels
    model.train(was_training)


@torch.no_grad()
def next_tokens(model: Transformer, text: Encoded, temperatures: Sequence[float], precision: str) -> NextTokens:
    """Predict every token of a text's targets, at all temperatures (above 0) in one pass; float32."""
    parts, sentences = [], []
    for rows, activations, labels in predictions(model, text, precision):
        sentences.append(rows)
        for h, y in zip(activations.split(ROWS), labels.split(ROWS), strict=True):
            with autocast(h.device, precision):
                logits = model.output(h).float()
            parts.append(_evaluate(logits, y, temperatures).cpu().numpy())
    sentences, n = distributed.concatenated(sentences), len(temperatures)
    values = distributed.concatenated(parts, axis=1)[:, np.argsort(sentences, kind="stable")]
    return NextTokens(values[:n], values[n:-1], values[-1] == 1, np.bincount(sentences, minlength=len(text)))


def _evaluate(logits: Tensor, labels: Tensor, temperatures: Sequence[float]) -> Tensor:
    """(2 T + 1, n): largest probability and log-probability of the labels at each temperature, then hit or miss."""
    largest, found = logits.max(dim=1, keepdim=True)
    logits -= largest
    of_labels = logits.gather(1, labels[:, None])[:, 0]
    totals = [(logits / temperature).exp_().sum(dim=1) for temperature in temperatures]
    log_probabilities = [of_labels / t - total.log() for t, total in zip(temperatures, totals, strict=True)]
    return torch.stack([*(1 / total for total in totals), *log_probabilities, (found[:, 0] == labels).float()])


def translated(
    model: Transformer, sentences: Sequence[str], vocabulary: Vocabulary, precision: str, **search
) -> list[Translation]:
    """The translations found for these sentences; search: fields of `decoding.Search` besides bos and eos."""
    sources = [np.append(ids, vocabulary.eos).astype(np.int64) for ids in vocabulary.encode(sentences)]
    with autocast(model.output.weight.device, precision):
        own = translate(model, distributed.share(sources), Search(bos=vocabulary.bos, eos=vocabulary.eos, **search))
    shares = distributed.every(own)
    return [shares[i % len(shares)][i // len(shares)] for i in range(len(sources))]


class Scores(NamedTuple):
    """statistics (N, 10) uint16 of each sentence, see `analysis.translation.corpus_bleu`; chrF of the text, in percent;
    sacreBLEU's signatures of both by name."""

    statistics: np.ndarray
    chrf: float
    signatures: dict[str, str]


def score(translations: Sequence[str], references: Sequence[str]) -> Scores:
    """Cased BLEU and chrF of detokenised text, by sacreBLEU. ValueError unless there is one reference to each."""
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
