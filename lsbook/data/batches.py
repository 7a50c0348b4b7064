"""Batches of similar numbers of tokens, from sentence pairs of similar lengths, in a few fixed shapes.

Ever new shapes are slow on CPU and cannot be captured on a GPU. So lengths are rounded up, the few widths that waste
least are chosen for the text at hand, and the number of pairs is fixed for each of them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lsbook.data.encoded import EncodedPairs, Sentences
from lsbook.data.vocabulary import Vocabulary


class Shape(NamedTuple):
    """The shape of a batch: how many pairs it has, and tokens of each side, eos included."""

    pairs: int
    source: int
    target: int


@dataclass(frozen=True)
class PaddedBatch:
    """B sentence pairs, filled up with `Vocabulary.pad`.

    Attributes:
        rows: (B,) where the pairs are in the text; -1 for a filler, whose source is empty and target all padding.
        source: (B, S) int64, each sentence with its eos.
        target_in: (B, T) int64, each sentence after bos; `target_in[:, t]` predicts `target_out[:, t]`.
        target_out: (B, T) int64, each sentence before eos.
        weight: factor of the mean over this batch's tokens; that of the parts of a batch makes the mean of their means
            the mean over the whole.
    """

    rows: np.ndarray
    source: np.ndarray
    target_in: np.ndarray
    target_out: np.ndarray
    weight: float = 1.0


class Batches:
    """The batches of a text: `batches(i)` is that of step i, a function of the seed and i alone.

    An epoch, `len(batches)` steps, has every pair exactly once. Each epoch draws anew which pairs are together and in
    which order. `n_truncated` counts the sentences that lose their end.

    Args:
        text: N pairs, at least one.
        tokens: about how many a batch has, source, target and padding together.
        seed: of the draws.
        max_length: a sentence of more tokens, eos included, loses its end.
        max_shapes: how many shapes there are at most.
        multiple: the shapes' widths are multiples of it.
        shard: (rank, world size) of training by several processes: this one's share of each batch is every so many
            pairs from its rank on. A share without pairs has another's first one with no weight.
    """

    def __init__(
        self,
        text: EncodedPairs,
        tokens: int,
        seed: int = 0,
        *,
        max_length: int = 256,
        max_shapes: int = 12,
        multiple: int = 4,
        shard: tuple[int, int] = (0, 1),
    ):
        self.text, self.seed, self.max_length, self.shard = text, seed, max_length, shard
        lengths = np.stack([text.source.lengths(), text.target.lengths()], axis=1) + 1  # eos
        self.n_truncated = int((lengths > max_length).sum())
        cells = -(-np.minimum(lengths, max_length) // multiple)
        widths = choose_widths(cells, max_shapes)
        self.shapes = [
            Shape(max(1, min(tokens // (source + target), len(text))), source, target)
            for source, target in (widths * multiple).tolist()
        ]
        self._narrowest = smallest_fitting(cells, widths)
        self._draw(0)

    def __len__(self) -> int:
        return len(self._plan)

    def __call__(self, step: int) -> PaddedBatch:
        """Return the batch of a step."""
        epoch, within = divmod(step, len(self))
        if epoch != self._epoch:
            self._draw(epoch)
        return self._fill(*self._plan[within])

    def _own_share(self, shape: Shape, pairs: np.ndarray) -> tuple[Shape, np.ndarray, float]:
        """This process's shape, pairs and weight, of a batch's."""
        rank, world_size = self.shard
        own = pairs[rank::world_size]
        shape = shape._replace(pairs=-(-shape.pairs // world_size))
        weight = world_size * self._count_targets(own) / self._count_targets(pairs)
        return shape, own if len(own) else pairs[:1], float(weight)

    def _count_targets(self, pairs: np.ndarray) -> int:
        """How many target tokens pairs have, eos included."""
        offsets = self.text.target.offsets
        return np.minimum(offsets[pairs + 1] - offsets[pairs] + 1, self.max_length).sum()

    def _draw(self, epoch: int) -> None:
        """Plan an epoch. Pairs that fill no batch of their shape go to the next that holds it, the last get fillers."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.text))
        shape_of = self._narrowest[order]
        waiting = [order[shape_of == k] for k in range(len(self.shapes))]
        plan = []
        for k, shape in enumerate(self.shapes):
            whole = len(waiting[k]) // shape.pairs * shape.pairs
            plan += [(shape, rows) for rows in waiting[k][:whole].reshape(-1, shape.pairs)]
            rest = waiting[k][whole:]
            wider = next((j for j in range(k + 1, len(self.shapes)) if _holds(self.shapes[j], shape)), None)
            if wider is not None:
                waiting[wider] = np.concatenate([rest, waiting[wider]])
            elif len(rest):
                plan.append((shape, rest))
        self._epoch, self._plan = epoch, [plan[i] for i in random.permutation(len(plan))]

    def _fill(self, shape: Shape, drawn: np.ndarray) -> PaddedBatch:
        shape, drawn, weight = self._own_share(shape, drawn)
        rows = np.full(shape.pairs, -1)
        rows[: len(drawn)] = drawn
        source, lengths = self._tokens(self.text.source, rows, shape.source)
        source[np.arange(shape.pairs), lengths] = Vocabulary.eos
        target_out, lengths = self._tokens(self.text.target, rows, shape.target)
        target_in = np.roll(target_out, 1, axis=1)
        target_in[:, 0] = Vocabulary.bos
        target_out[np.arange(len(drawn)), lengths[: len(drawn)]] = Vocabulary.eos
        return PaddedBatch(rows, source, target_in, target_out, weight)

    def _tokens(self, side: Sentences, rows: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ids (B, width) filled up with pad, and their number in each row (B,); the last column stays free."""
        starts, ends = side.offsets[rows], side.offsets[rows + 1]
        lengths = np.where(rows < 0, 0, np.minimum(ends - starts, self.max_length - 1))
        columns = np.arange(width)
        inside = columns < lengths[:, None]
        ids = np.full((len(rows), width), Vocabulary.pad, np.int64)
        ids[inside] = side.ids[(starts[:, None] + columns)[inside]]
        return ids, lengths


def _holds(wide: Shape, narrow: Shape) -> bool:
    return wide.source >= narrow.source and wide.target >= narrow.target


def choose_widths(lengths: np.ndarray, most: int) -> np.ndarray:
    """Choose the widths to which sentence pairs are padded, each pair to the narrowest that it fits into.

    Greedy: the first is wide enough for every pair, and each further one saves most of the padding that is left.

    Args:
        lengths: (N, 2) of source and target.
        most: how many widths there are at most, at least 1.

    Returns:
        (K, 2), K ≤ most, their sums rising.
    """
    count = np.zeros(lengths.max(axis=0) + 1, np.int64)  # how many pairs there are of each two lengths
    np.add.at(count, tuple(lengths.T), 1)
    largest = np.array(count.shape) - 1
    widths = [largest]
    padded = np.full(count.shape, largest.sum())  # tokens to which pairs of these lengths are padded so far
    while len(widths) < most:
        saved = _saved_padding(count, padded)
        if saved.max() == 0:
            break
        best = np.array(np.unravel_index(saved.argmax(), saved.shape))
        widths.append(best)
        fitting = padded[: best[0] + 1, : best[1] + 1]
        np.minimum(fitting, best.sum(), out=fitting)
    return np.array(sorted(widths, key=np.sum))


def _saved_padding(count: np.ndarray, padded: np.ndarray) -> np.ndarray:
    """How many tokens of padding each two further widths would save, (S, T) as both arguments are.

    count: pairs of each two lengths. padded: tokens to which they are padded without the further widths.
    """
    total = np.add.outer(*map(np.arange, count.shape))  # tokens of a pair of these widths
    saved = np.zeros_like(count)
    for tokens in range(total[-1, -1]):
        saved_by_length = count * np.maximum(padded - tokens, 0)
        saved_by_fitting = saved_by_length.cumsum(axis=0).cumsum(axis=1)  # over all lengths up to these widths
        saved = np.where(total == tokens, saved_by_fitting, saved)
    return saved


def smallest_fitting(lengths: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return the index (N,) of the first of the widths (K, 2) that each pair of lengths (N, 2) fits into.

    It is found once for all pairs of equal lengths.
    """
    pairs = np.moveaxis(np.indices(lengths.max(axis=0) + 1), 0, -1)
    return (pairs[:, :, None] <= widths).all(axis=-1).argmax(axis=-1)[tuple(lengths.T)]
