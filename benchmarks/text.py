"""Training of a Transformer, and its beam search."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from benchmarks.limits import Counts, count_flops, count_step
from benchmarks.timing import Benchmark
from lsbook.core.registry import MODELS
from lsbook.data.encoded import EncodedPairs, Sentences
from lsbook.data.vocabulary import Vocabulary
from lsbook.models.beam_search import BeamSearch, Translation, translate
from lsbook.models.transformer import Transformer
from lsbook.recipes import profiles
from lsbook.training.engine import devices
from lsbook.training.engine.optimisation import ADAM_EPSILON
from lsbook.training.text import translations
from lsbook.training.text.task import TextTrainer

MODEL, VOCABULARY = "transformer-256", 8_000
PAIRS = 2_000  # that training draws from
STEPS = 4  # of training in a round
SENTENCES = 400  # translated in a round
PLAIN_SENTENCES = 8  # the same of the plain way
WORKERS = 2  # of the plain way's DataLoader


def sentences(n: int, seed: int) -> list[list[int]]:
    """Made-up sentences as long as Multi30k's, as token ids without bos and eos."""
    generator = np.random.default_rng(seed)
    lengths = generator.normal(14, 4, n).round().clip(5, 40).astype(int)
    return [generator.integers(4, VOCABULARY, length).tolist() for length in lengths]


def transformer() -> Benchmark:
    """Training under the laptop recipe for Multi30k, against batches of pairs as they come, padded to the longest."""
    run, device = profiles.run("laptop", "multi30k", MODEL, alpha=0.1, seed=0), devices.device()
    source, target = sentences(PAIRS, 0), sentences(PAIRS, 1)
    model, plain_model = (MODELS[MODEL].build(VOCABULARY, Vocabulary.pad).to(device) for _ in range(2))
    trainer = TextTrainer(run, model, EncodedPairs(*map(Sentences.from_rows, (source, target)), "", ""))
    batches = [trainer.batches(step) for step in range(STEPS)]
    pairs = round(np.mean([(batch.rows >= 0).sum() for batch in batches]))
    optimiser = torch.optim.Adam(
        plain_model.parameters(),
        run.recipe.learning_rate,
        (run.recipe.momentum, run.recipe.second_momentum),
        ADAM_EPSILON,
    )
    plain = plain_training(plain_model, list(zip(source, target, strict=True))[: STEPS * pairs], pairs, optimiser, run)

    def ours() -> None:
        for step in range(STEPS):
            trainer.step(step)

    def loss() -> torch.Tensor:
        with devices.autocast(device, run.recipe.precision):
            activations, labels = translations.target_activations(model, batches[0])
            logits = model.output(activations)
        return F.cross_entropy(logits.float(), labels)

    tokens = [int((batch.target_out != Vocabulary.pad).sum()) for batch in batches]
    return Benchmark(
        "Transformer, training",
        "target tokens",
        sum(tokens),
        ours,
        plain,
        "the output layer's and the blocks' products, and many small operations between them",
        plain_units=sum(len(sentence) + 1 for sentence in target[: STEPS * pairs]),
        counts=count_step(model, loss, states=run.recipe.states) * (sum(tokens) / tokens[0]),
    )


def plain_training(model: Transformer, pairs: list, batch: int, optimiser, run) -> Callable[[], None]:
    """One pass as it is usually written: a DataLoader with two workers, padding to the longest, float32."""
    device = model.output.weight.device

    def collate(rows):
        bos, eos = [Vocabulary.bos], [Vocabulary.eos]
        sides = [s + eos for s, _ in rows], [bos + t for _, t in rows], [t + eos for _, t in rows]
        return [pad_sequence([*map(torch.tensor, side)], True, Vocabulary.pad) for side in sides]

    loader = DataLoader(pairs, batch, shuffle=True, num_workers=WORKERS, collate_fn=collate)

    def work() -> None:
        for source, target_in, target_out in loader:
            optimiser.zero_grad()
            logits = model(source.to(device), target_in.to(device)).flatten(0, 1)
            labels = target_out.to(device).flatten()
            loss = F.cross_entropy(logits, labels, ignore_index=Vocabulary.pad, label_smoothing=run.alpha)
            loss.backward()
            optimiser.step()

    return work


def translation() -> Benchmark:
    """Beam search by 4 hypotheses each, against one sentence at a time without a cache.

    The weights are random, so a bias keeps eos away until the longest output, three tokens above the source's length.
    """
    device, search = devices.device(), BeamSearch(bos=2, eos=3, max_extra=3)
    model = MODELS[MODEL].build(VOCABULARY, 0).to(device).eval()
    with torch.no_grad():
        model.output.bias[search.eos] = -20.0
    sources = sentences(SENTENCES, 0)

    def ours() -> None:
        with devices.autocast(device, "mixed"):
            translate(model, sources, search)

    def plain() -> None:
        for source in sources[:PLAIN_SENTENCES]:
            plain_translate(model, source, search)

    return Benchmark(
        "Translation, beam 4",
        "sentences",
        len(sources),
        ours,
        plain,
        "choosing the best of 8 000 words, and the output layer's products",
        plain_units=min(PLAIN_SENTENCES, len(sources)),
        counts=Counts(count_flops(ours), 0),
    )


@torch.no_grad()
def plain_translate(model: Transformer, source: Sequence[int], search: BeamSearch) -> Translation:
    """The same search for one sentence as it is usually written: each step decodes all hypotheses from their start."""
    device = model.output.weight.device
    memory, mask = model.encode(torch.tensor([list(source)], device=device))
    live, ended = [([search.bos], 0.0)], []
    for length in range(1, len(source) + search.max_extra + 1):
        prefixes = torch.tensor([tokens for tokens, _ in live], device=device)
        keys_values = model.cross_keys_values(memory.expand(len(live), -1, -1))
        logits = model.output(model.decode(prefixes, keys_values, mask)[:, -1])
        log_p = search.log_probabilities(logits)
        if length == 1:
            log_empty = float(log_p[0, search.eos])
        possible = log_p.isfinite()
        possible[:, [model.pad, search.bos]] = False
        if length == len(source) + search.max_extra:
            possible[:, : search.eos] = possible[:, search.eos + 1 :] = False
        total = log_p.masked_fill(~possible, -torch.inf) + torch.tensor([p for _, p in live], device=device)[:, None]
        values, index = total.flatten().topk(min(search.beam - len(ended), int(possible.sum())))
        grown = [
            (live[i // log_p.shape[1]][0] + [i % log_p.shape[1]], value)
            for i, value in zip(index.tolist(), values.tolist(), strict=True)
        ]
        ended += [
            Translation(y[1:-1], p, p / search.penalty(length), log_empty) for y, p in grown if y[-1] == search.eos
        ]
        live = [(y, p) for y, p in grown if y[-1] != search.eos]
        if not live:
            break
    nothing = Translation([], -torch.inf, -torch.inf, log_empty)
    return max(ended, key=lambda translation: translation.score, default=nothing)
