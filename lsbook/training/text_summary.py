"""What a record keeps of a trained Transformer: numbers on the splits, and small arrays for the figures.

Sentences of the data are not among them; those of `data.examples` are our own.
"""

from typing import NamedTuple

import numpy as np

from lsbook.analysis import translation
from lsbook.analysis.projection import span_coordinates
from lsbook.analysis.translation import Curves, NextTokens
from lsbook.data import examples
from lsbook.data.encoded import Encoded, Sentences
from lsbook.data.text import Pairs
from lsbook.data.vocabulary import Vocabulary
from lsbook.errors import one_line
from lsbook.models.transformer import Transformer
from lsbook.training import processes, translations
from lsbook.training.summary import SHOWN, first_of_each_class, half, with_one
from lsbook.training.translations import Scores

# Of NLL and ECE; those of BLEU, whose every value is a search through the text, are among them.
TEMPERATURES = (0.5, 0.56, 0.63, 0.71, 0.8, 0.9, 1.0, 1.12, 1.25, 1.4, 1.6, 1.8, 2.0, 2.24)
BLEU_TEMPERATURES = (0.63, 0.8, 1.0, 1.25, 1.6, 2.0)
BEAM = 4
BEAMS = (1, 2, 4, 8)
KEPT = 1_000  # test sentences whose every token is kept
TRAIN_MEASURED = 1_000  # training pairs whose predictions and activations are kept
WORDS = 10  # frequent tokens whose activations are kept
COUNTED = 2**22  # tokens counted at a time: NumPy makes eight bytes of each


class Translator(NamedTuple):
    """A trained network, its vocabulary, its recipe's precision, and how many sentences of a split are translated."""

    model: Transformer
    vocabulary: Vocabulary
    precision: str
    most: int

    def predict(self, text: Encoded, temperatures: tuple[float, ...]) -> NextTokens:
        """The next-token predictions of a text."""
        return translations.next_tokens(self.model, text, temperatures, self.precision)

    def score(self, pairs: Pairs, **search) -> Scores:
        """Translate the first sentences and compare them with their references."""
        pairs = pairs.first(min(self.most, len(pairs)))
        found = translations.translated(self.model, pairs.source, self.vocabulary, self.precision, **search)
        return translations.score(self.vocabulary.decode([t.tokens for t in found]), pairs.target)


def summarise(
    translator: Translator, train: Encoded, heldout: Pairs, test: Pairs, full: bool
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, str]]:
    """Metrics, arrays and sacreBLEU's signatures.

    The arrays: those of `predicted`, `scored`, `words` and `example_translations` below.
    full: keep every token's prediction at every temperature of BLEU, otherwise at 1.
    """
    metrics, arrays = predicted(translator, train, heldout, test, full)
    of_scores, arrays_of_scores, signatures = scored(translator, heldout, test)
    arrays |= arrays_of_scores
    arrays |= words(translator, {"train": train, "test": translations.encode(test, translator.vocabulary)})
    return metrics | of_scores, arrays | example_translations(translator), signatures


def predicted(
    translator: Translator, train: Encoded, heldout: Pairs, test: Pairs, full: bool
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Metrics of next tokens, `temperature` being that of the smallest validation NLL, and these arrays:

    temperatures (T,), {heldout,test}_{nll,ece} (T,) in nats a token and as fractions; of the first KEPT test sentences
    test_lengths (n,), and of their N tokens test_hit (N,), and at token_temperatures (t,) test_confidence and
    test_log_probability (t, N).
    """
    texts = {
        name: translations.encode(pairs, translator.vocabulary)
        for name, pairs in (("heldout", heldout), ("test", test))
    }
    tokens = {name: translator.predict(text, TEMPERATURES) for name, text in texts.items()}
    found = {name: translation.curves(predictions) for name, predictions in tokens.items()}
    best = translation.best_temperature(TEMPERATURES, found["heldout"].nll)
    metrics = {"temperature": best}
    shown = train.first(min(TRAIN_MEASURED, len(train)))
    metrics |= _at("train", translation.curves(translator.predict(shown, (1.0,))), 0)
    for name, curves in found.items():
        metrics |= _at(name, curves, TEMPERATURES.index(1))
    metrics |= _at("test_scaled", found["test"], TEMPERATURES.index(best))
    arrays = {f"{name}_{curve}": getattr(found[name], curve) for name in found for curve in ("nll", "ece")}
    kept = BLEU_TEMPERATURES if full else (1.0,)
    arrays |= {"temperatures": np.array(TEMPERATURES), "token_temperatures": np.array(kept)}
    rows = [TEMPERATURES.index(t) for t in kept]
    lengths = tokens["test"].lengths[:KEPT]
    arrays["test_lengths"] = lengths.astype(np.uint16)
    arrays["test_hit"] = tokens["test"].hit[: lengths.sum()]
    for name in ("confidence", "log_probability"):
        arrays[f"test_{name}"] = half(getattr(tokens["test"], name)[rows, : lengths.sum()])
    return metrics, arrays


def _at(name: str, curves: Curves, place: int) -> dict[str, float]:
    """The metrics of a split at one temperature of its curves."""
    return {
        f"{name}_accuracy": curves.accuracy,
        f"{name}_nll": float(curves.nll[place]),
        f"{name}_ece": float(curves.ece[place]),
    }


def scored(
    translator: Translator, heldout: Pairs, test: Pairs
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, str]]:
    """BLEU and chrF, `bleu_temperature` being that of the largest validation BLEU, sacreBLEU's signatures, and arrays:

    bleu_temperatures (b,), heldout_bleu (b,), test_chrf (b,), test_statistics (b, N, 10), found with BEAM hypotheses;
    beams (k,), beam_statistics (k, N, 10), at temperature 1.
    """
    validation = [translator.score(heldout, temperature=t, beam=BEAM).statistics for t in BLEU_TEMPERATURES]
    by_temperature = [translator.score(test, temperature=t, beam=BEAM) for t in BLEU_TEMPERATURES]
    plain = by_temperature[BLEU_TEMPERATURES.index(1)]
    by_beam = [plain if beam == BEAM else translator.score(test, beam=beam) for beam in BEAMS]
    heldout_bleu = translation.corpus_bleu(np.sum(validation, axis=1))
    best = translation.best_temperature(BLEU_TEMPERATURES, -heldout_bleu)
    metrics = {
        "heldout_bleu": float(heldout_bleu[BLEU_TEMPERATURES.index(1)]),
        "bleu_temperature": best,
    }
    for name, scores in {"test": plain, "test_scaled": by_temperature[BLEU_TEMPERATURES.index(best)]}.items():
        metrics[f"{name}_bleu"] = float(translation.corpus_bleu(scores.statistics.sum(axis=0)))
        metrics[f"{name}_chrf"] = scores.chrf
    arrays = {
        "bleu_temperatures": np.array(BLEU_TEMPERATURES),
        "heldout_bleu": heldout_bleu,
        "test_chrf": np.array([scores.chrf for scores in by_temperature]),
        "test_statistics": np.stack([scores.statistics for scores in by_temperature]),
        "beams": np.array(BEAMS, np.uint8),
        "beam_statistics": np.stack([scores.statistics for scores in by_beam]),
    }
    return metrics, arrays, plain.signatures


def words(translator: Translator, texts: dict[str, Encoded]) -> dict[str, np.ndarray]:
    """Tokens as classes, the WORDS most frequent ones of the training text that are whole words, as arrays:

    words (K,), templates (K, r), and for `train` and `test` {split}_activations (n, r), in the templates' span, and
    {split}_labels (n,), of the first predictions of each.
    """
    ids = frequent_words(texts["train"], translator.vocabulary)
    templates = translator.model.templates().detach()[ids.tolist()].float().cpu().numpy()
    result = {"words": np.array([one_line(piece[1:]) for piece in translator.vocabulary.pieces(ids)])}
    for name, text in texts.items():
        shown = text.first(min(TRAIN_MEASURED, len(text)))
        activations, labels = _of_words(translator, shown, ids)
        rows = first_of_each_class(labels, SHOWN)
        activations, result["templates"] = span_coordinates(activations[rows], templates)
        result[f"{name}_activations"] = half(activations)
        result[f"{name}_labels"] = labels[rows].astype(np.uint16)
    return result | {"templates": result["templates"].astype(np.float32)}


def frequent_words(text: Encoded, vocabulary: Vocabulary) -> np.ndarray:
    """The ids of the most frequent target tokens that begin a word and have only letters, WORDS at most."""
    ids = text.target.ids[: text.target.offsets[-1]]
    parts = np.array_split(ids, -(-len(ids) // COUNTED))
    counts = sum(np.bincount(part, minlength=vocabulary.size) for part in parts)
    pieces = vocabulary.pieces(range(vocabulary.size))
    letters = [i for i, piece in enumerate(pieces) if piece.startswith("▁") and piece[1:].isalpha() and counts[i]]
    return np.array(sorted(letters, key=lambda i: -counts[i])[:WORDS])


def _of_words(translator: Translator, text: Encoded, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Activations (n, d + 1), with the constant 1, that predict one of these tokens, and its place among them (n,)."""
    sentences, activations, labels = [], [], []
    for rows, found, tokens in translations.predictions(translator.model, text, translator.precision):
        tokens = tokens.cpu().numpy()
        chosen = np.isin(tokens, ids)
        sentences.append(rows[chosen])
        activations.append(found.float().cpu().numpy()[chosen])
        labels.append(np.argmax(tokens[chosen, None] == ids, axis=1))
    order = np.argsort(processes.concatenated(sentences), kind="stable")
    return with_one(processes.concatenated(activations)[order]), processes.concatenated(labels)[order]


def example_translations(translator: Translator) -> dict[str, np.ndarray]:
    """Translations of our own sentences, as arrays:

    example_sources and example_references (n,); example_pieces (m,) of all translations in a row, eos the last of each,
    with example_confidences (m,), each token's probability after those before it; example_lengths (n,) in tokens.
    """
    words = translator.vocabulary
    sources, references = zip(*examples.SENTENCES, strict=True)
    found = translations.translated(translator.model, sources, words, translator.precision, beam=BEAM)
    sides = words.encode(sources), [np.array(t.tokens, words.dtype) for t in found]
    text = Encoded(*map(Sentences.of, sides), "", "")
    tokens = translator.predict(text, (1.0,))
    pieces = [one_line(piece) for t in found for piece in words.pieces([*t.tokens, words.eos])]
    return {
        "example_sources": np.array(sources),
        "example_references": np.array(references),
        "example_pieces": np.array(pieces),
        "example_confidences": np.exp(tokens.log_probability[0]).astype(np.float16),
        "example_lengths": tokens.lengths.astype(np.uint16),
    }
