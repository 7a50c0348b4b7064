"""Texts as token ids: encoded once and then mapped from disk, so that memory does not limit their length."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from lsbook.core import registry
from lsbook.core.errors import UserError
from lsbook.data import sources, texts
from lsbook.data.vocabulary import Vocabulary

CHUNK = 10_000  # pairs held while a text is encoded


@dataclass(frozen=True)
class Sentences:
    """One language of a text.

    ids: (tokens,) of all sentences in a row, without bos and eos; offsets: (N + 1,) where each begins.
    """

    ids: np.ndarray
    offsets: np.ndarray

    @classmethod
    def from_rows(cls, rows: Sequence[np.ndarray]) -> "Sentences":
        """Concatenate the token ids of each sentence, of which there is at least one."""
        return cls(np.concatenate(rows), np.cumsum([0, *map(len, rows)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    def lengths(self) -> np.ndarray:
        """Return the number of tokens of each sentence, (N,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class EncodedPairs:
    """One split of a text as token ids. fingerprint, variant: as of its `texts.Pairs`."""

    source: Sentences
    target: Sentences
    fingerprint: str
    variant: str

    def __len__(self) -> int:
        return len(self.source)

    def first(self, n: int) -> "EncodedPairs":
        """Return the first n pairs; UserError when there are fewer."""
        if n > len(self):
            raise UserError(f"{n} sentence pairs asked for, but there are {len(self)}")
        source, target = (Sentences(side.ids, side.offsets[: n + 1]) for side in (self.source, self.target))
        return replace(self, source=source, target=target)


def load(name: str, split: str, vocabulary: Vocabulary) -> EncodedPairs:
    """Load a split of a text as token ids, which are encoded once and kept beside the text.

    UserError as of `texts.load`, and when there is no place to keep the ids.
    """
    found = texts.locate(name, split)
    if not found.files:
        pairs = list(found.pairs())
        source, target = encode_pairs(pairs, vocabulary)
        return EncodedPairs(source, target, texts.update_digest(texts.new_digest(), pairs).hexdigest(), found.variant)
    key = sources.content_key(found.files, vocabulary.fingerprint, *found.languages)
    folder = sources.writable_folder(found.files[0].parent / ".encoded") / f"{registry.folder(name)}-{split}-{key}"
    kept = _open(folder, vocabulary, found.variant)
    if kept is None:
        try:
            sources.write_folder(folder, lambda new: _write(new, found, vocabulary))
            kept = _open(folder, vocabulary, found.variant)
        except OSError as error:
            raise UserError(f"{folder.parent} cannot keep the encoded text ({error}); set XDG_CACHE_HOME") from None
    if kept is None:
        raise UserError(f"{folder} is not as it was just written; look after the disk, or set XDG_CACHE_HOME")
    return kept


def encode_pairs(pairs: Sequence[texts.Pair], vocabulary: Vocabulary) -> tuple[Sentences, Sentences]:
    """Encode the source and the target side of sentence pairs."""
    source, target = (vocabulary.encode(side) for side in zip(*pairs, strict=True))
    return Sentences.from_rows(source), Sentences.from_rows(target)


SIDES = ("source", "target")
_FILES = tuple(f"{side}.{ending}" for side in SIDES for ending in ("ids", "npy"))


def _write(folder: Path, found: texts.TextSource, vocabulary: Vocabulary) -> dict[str, str]:
    """Write the ids and offsets of both sides into `folder`. Returns the fingerprint of the text."""
    fingerprint = texts.new_digest()
    lengths: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context((folder / f"{side}.ids").open("wb")) for side in SIDES]
        for chunk in _chunks(found.pairs()):
            texts.update_digest(fingerprint, chunk)
            for sentences, file, counts in zip(encode_pairs(chunk, vocabulary), files, lengths, strict=True):
                sentences.ids.tofile(file)
                counts.append(sentences.lengths())
    for side, counts in zip(SIDES, lengths, strict=True):
        np.save(folder / f"{side}.npy", np.cumsum(np.concatenate([[0], *counts])))
    return {"fingerprint": fingerprint.hexdigest()}


def _chunks(pairs: Iterator[texts.Pair]) -> Iterator[list[texts.Pair]]:
    while chunk := list(islice(pairs, CHUNK)):
        yield chunk


def _open(folder: Path, vocabulary: Vocabulary, variant: str) -> EncodedPairs | None:
    """Map what was written; None unless all of it is there as it was. Takes the time of reading it."""
    notes = sources.read_folder(folder, _FILES)
    if notes is None:
        return None
    source, target = (
        Sentences(np.memmap(folder / f"{side}.ids", vocabulary.dtype, "r"), np.load(folder / f"{side}.npy"))
        for side in SIDES
    )
    return EncodedPairs(source, target, notes["fingerprint"], variant)
