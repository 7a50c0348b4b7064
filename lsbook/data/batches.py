"""Batches of like numbers of tokens, from sentence pairs of like lengths, in a few fixed shapes.

Ever new shapes are slow on CPU and cannot be captured on a GPU. So lengths are rounded up, the few widths that waste
least are chosen for the text at hand, and the number of pairs is fixed for each of them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lsbook.data.encoded import Encoded, Sentences
from lsbook.data.vocabulary import Vocabulary


class Shape(NamedTuple):
    """Pairs in a batch, and tokens of each side with eos."""

    pairs: int
    source: int
    target: int


@dataclass(frozen=True)
class Batch:
    """B pairs, filled up with `Vocabulary.pad`.

    rows: (B,) where the pairs are in the text; -1 for a filler, whose source is empty and whose target is all padding.
    source: (B, S) int64, each sentence with its eos.
    target_in, target_out: (B, T) int64, each sentence after bos and before eos. `target_in[:, t]` predicts
    `target_out[:, t]`.
    weight: of a mean over the tokens of a part of a batch, so that the mean of the parts is that over the whole batch.
    """

    rows: np.ndarray
    source: np.ndarray
    target_in: np.ndarray
    target_out: np.ndarray
    weight: float = 1.0


class Batches:
    """The batches of a text: `batches(i)` is that of step i, a function of the seed and i alone.

    An epoch, `len(batches)` steps, has every pair exactly once. Each epoch draws anew which pairs are together and in
    which order. tokens: about how many a batch has, source, target and padding together. longest: a sentence of more
    tokens with its eos loses its end; `cut` counts them. shapes: at most so many; multiple: their widths are
    multiples of it. part: which part of each batch and of how many, for training by several processes: every so many
    pairs from one on. A part without pairs has another's first one with no weight.
    """

    def __init__(
        self,
        text: Encoded,
        tokens: int,
        seed: int = 0,
        *,
        longest: int = 256,
        shapes: int = 12,
        multiple: int = 4,
        part: tuple[int, int] = (0, 1),
    ):
        self.text, self.seed, self.longest, self.part = text, seed, longest, part
        lengths = np.stack([text.source.lengths(), text.target.lengths()], axis=1) + 1  # eos
        self.cut = int((lengths > longest).sum())
        cells = -(-np.minimum(lengths, longest) // multiple)
        widths = choose_widths(cells, shapes)
        self.shapes = [
            Shape(max(1, min(tokens // (source + target), len(text))), source, target)
            for source, target in (widths * multiple).tolist()
        ]
        self._narrowest = narrowest(cells, widths)
        self._draw(0)

    def __len__(self) -> int:
        return len(self._plan)

    def __call__(self, step: int) -> Batch:
        epoch, within = divmod(step, len(self))
        if epoch != self._epoch:
            self._draw(epoch)
        return self._fill(*self._plan[within])

    def _share(self, shape: Shape, drawn: np.ndarray) -> tuple[Shape, np.ndarray, float]:
        """This part's shape, pairs and weight."""
        first, parts = self.part
        own = drawn[first::parts]
        offsets = self.text.target.offsets
        whole, tokens = (np.minimum(offsets[rows + 1] - offsets[rows] + 1, self.longest).sum() for rows in (drawn, own))
        shape = shape._replace(pairs=-(-shape.pairs // parts))
        return shape, own if len(own) else drawn[:1], float(parts * tokens / whole)

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

    def _fill(self, shape: Shape, drawn: np.ndarray) -> Batch:
        shape, drawn, weight = self._share(shape, drawn)
        rows = np.full(shape.pairs, -1)
        rows[: len(drawn)] = drawn
        source, lengths = self._tokens(self.text.source, rows, shape.source)
        source[np.arange(shape.pairs), lengths] = Vocabulary.eos
        target_out, lengths = self._tokens(self.text.target, rows, shape.target)
        target_in = np.roll(target_out, 1, axis=1)
        target_in[:, 0] = Vocabulary.bos
        target_out[np.arange(len(drawn)), lengths[: len(drawn)]] = Vocabulary.eos
        return Batch(rows, source, target_in, target_out, weight)

    def _tokens(self, side: Sentences, rows: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (B, width) filled up with pad, and how many there are of each row; the last column stays free."""
        starts, ends = side.offsets[rows], side.offsets[rows + 1]
        lengths = np.where(rows < 0, 0, np.minimum(ends - starts, self.longest - 1))
        columns = np.arange(width)
        inside = columns < lengths[:, None]
        ids = np.full((len(rows), width), Vocabulary.pad, np.int64)
        ids[inside] = side.ids[(starts[:, None] + columns)[inside]]
        return ids, lengths


def _holds(wide: Shape, narrow: Shape) -> bool:
    return wide.source >= narrow.source and wide.target >= narrow.target


def choose_widths(lengths: np.ndarray, most: int) -> np.ndarray:
    """At most `most` pairs of widths, each sentence pair to be padded to the smallest that it fits into.

    lengths: (N, 2) of source and target. Returns (K, 2), the sum of widths rising, the last wide enough for every pair.
    Greedy: each further one is that which saves most padding.
    """
    count = np.zeros(lengths.max(axis=0) + 1, np.int64)
    np.add.at(count, tuple(lengths.T), 1)
    size = np.add.outer(*map(np.arange, count.shape))
    padded = np.full(count.shape, size[-1, -1])  # size to which pairs of these lengths are padded so far
    widths = [np.array(count.shape) - 1]
    while len(widths) < most:
        saved = np.zeros(count.shape, np.int64)
        for candidate in range(size[-1, -1]):
            within = (count * np.maximum(padded - candidate, 0)).cumsum(axis=0).cumsum(axis=1)
            saved = np.where(size == candidate, within, saved)
        best = np.array(np.unravel_index(saved.argmax(), saved.shape))
        if saved.max() == 0:
            break
        widths.append(best)
        smaller = padded[: best[0] + 1, : best[1] + 1]
        np.minimum(smaller, best.sum(), out=smaller)
    return np.array(sorted(widths, key=np.sum))


def narrowest(lengths: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """(N,) which of `choose_widths`' widths (K, 2) is the first that each pair of lengths (N, 2) fits into.

    It is found once for all pairs of equal lengths.
    """
    every = np.moveaxis(np.indices(lengths.max(axis=0) + 1), 0, -1)
    return (every[:, :, None] <= widths).all(axis=-1).argmax(axis=-1)[tuple(lengths.T)]
