"""Byte-pair vocabularies, one for both languages of a text, by SentencePiece (Kudo and Richardson 2018).

Characters that the vocabulary lacks are spelt in bytes, so every sentence can be encoded.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from lsbook.core import registry
from lsbook.core.errors import UserError
from lsbook.data import sources, texts

SPACE = "\u2581"  # what SentencePiece has for it
RESERVED = "\u2585"  # what it has for unknown characters: it would leave out a sentence with one
CACHED_WORDS = 500_000  # whose ids are kept in memory, about 100 MB
MAX_SENTENCES = 1_000_000  # at most so many are learned from, evenly spaced over the text

_PAD, _BOS, _EOS = 0, 1, 2  # ids

_SETTINGS: dict[str, Any] = {
    "model_type": "bpe",
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "pad_id": _PAD,
    "bos_id": _BOS,
    "eos_id": _EOS,
    "unk_id": 3,  # SentencePiece demands one; with bytes to fall back on it is never used
    "num_threads": 1,
    "max_sentence_length": texts.MAX_BYTES,  # it would leave out longer ones, and spell what only these have in bytes
}


@dataclass(frozen=True)
class Vocabulary:
    """Encodes sentences as token ids and back.

    model: SentencePiece's own serialisation. pad fills batches up, bos begins and eos ends a sentence.
    """

    model: bytes
    pad: ClassVar[int] = _PAD
    bos: ClassVar[int] = _BOS
    eos: ClassVar[int] = _EOS

    @property
    def size(self) -> int:
        """Number of different tokens, pad, bos and eos among them."""
        return self._processor.vocab_size()

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """The smallest type that holds every id."""
        return np.uint16 if self.size <= 2**16 else np.uint32

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the model."""
        return hashlib.sha256(self.model).hexdigest()

    def encode(self, sentences: Sequence[str]) -> list[np.ndarray]:
        """Encode each sentence as ids, without bos and eos.

        No token reaches over a space, so a sentence's tokens are those of its words, and each word is encoded once.
        """
        split = [sentence.replace(SPACE, " ").split(" ") if sentence else [] for sentence in sentences]
        words, dtype = self._words, self.dtype
        if len(words) > CACHED_WORDS:
            words.clear()
        new = list(set(chain.from_iterable(split)) - words.keys())
        words.update((word, np.array(ids, dtype).tobytes()) for word, ids in zip(new, self._encode(new), strict=True))
        return [np.frombuffer(b"".join(map(words.__getitem__, sentence)), dtype) for sentence in split]

    def _encode(self, words: list[str]) -> list[list[int]]:
        """Encode words, each with the space before it; an empty one is that space."""
        space = [self._processor.piece_to_id(SPACE)]
        return [ids if word else space for word, ids in zip(words, self._processor.encode(words), strict=True)]

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Decode ids to sentences; pad, bos and eos leave no trace.

        Inverse of `encode`, except that U+2581, which stands for a space within SentencePiece, comes back as one.
        """
        return [self._processor.decode(np.asarray(sentence).tolist()) for sentence in ids]

    def pieces(self, ids: Sequence[int] | np.ndarray) -> list[str]:
        """Return the text of each token of one sentence; "▁" begins a word."""
        return [self._processor.id_to_piece(int(i)) for i in ids]

    @cached_property
    def _words(self) -> dict[str, bytes]:
        """The ids of the words that were encoded last, in the memory of an array."""
        return {}

    @cached_property
    def _processor(self):
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_proto=self.model)


def load(name: str, size: int) -> Vocabulary:
    """Load the vocabulary of a text's training split, both languages together, learned once and kept beside the text.

    UserError when the text is missing or supports no vocabulary of that size.
    """
    import sentencepiece

    training = texts.locate(name, "train")
    if not training.files:
        return learn(_thinned(training.pairs()), size)
    settings = json.dumps([size, MAX_SENTENCES, _SETTINGS, training.languages, sentencepiece.__version__])
    key = sources.content_key(training.files, settings)
    folder = sources.writable_folder(training.files[0].parent / ".encoded")
    path = folder / f"{registry.folder(name)}-{size}-{key}.vocabulary"
    with suppress(OSError, RuntimeError):  # the second from SentencePiece
        model = sources.without_checksum(path.read_bytes())
        if model and Vocabulary(model).size == size:
            return Vocabulary(model)
    vocabulary = learn(_thinned(training.pairs()), size)
    with suppress(OSError):  # a full or read-only disk costs only the next start's time
        sources.write_atomically(path, lambda file: file.write(sources.with_checksum(vocabulary.model)))
    return vocabulary


def learn(sentences: Iterable[str], size: int) -> Vocabulary:
    """Learn a vocabulary of these sentences. UserError when they support none of that size."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    learnable = (sentence.replace(RESERVED, " ") for sentence in sentences)
    try:
        SentencePieceTrainer.train(
            sentence_iterator=learnable, model_writer=model, vocab_size=size, minloglevel=3, **_SETTINGS
        )
    except RuntimeError as error:
        raise UserError(f"a vocabulary of {size} tokens is {_reason(str(error))}") from None
    return Vocabulary(model.getvalue())


def _reason(message: str) -> str:
    """Say SentencePiece's complaint in our words, or its own first line."""
    if most := re.search(r"set it to a value <= (\d+)", message):
        return f"larger than the text supports: choose at most {most[1]}"
    if least := re.search(r"smaller than required_chars. \d+ vs (\d+)", message):
        return f"too small for the characters of the text: choose at least {least[1]}"
    return f"not possible: {message.partition(chr(10))[0]}"


def _thinned(pairs: Iterable[texts.Pair]) -> list[str]:
    """Return all sentences, or of long texts those of every second, fourth, … pair: at most MAX_SENTENCES."""
    kept, stride = [], 1
    for i, pair in enumerate(pairs):
        if i % stride == 0:
            kept.append(pair)
        if 2 * len(kept) > MAX_SENTENCES:
            kept, stride = kept[::2], 2 * stride
    return [sentence for pair in kept for sentence in pair]
