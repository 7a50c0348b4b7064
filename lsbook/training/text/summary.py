"""What a record keeps of a trained Transformer: numbers on the splits, and small arrays for the figures.

Sentences of the data are not among them; those of `data.examples` are our own.
"""

from typing import NamedTuple

import numpy as np

from lsbook.analysis import translation
from lsbook.analysis.projection import span_coordinates
from lsbook.analysis.translation import NextTokens, TemperatureCurves
from lsbook.core.errors import one_line
from lsbook.data import examples
from lsbook.data.encoded import EncodedPairs, Sentences
from lsbook.data.texts import Pairs
from lsbook.data.vocabulary import Vocabulary
from lsbook.models.beam_search import Translation
from lsbook.models.transformer import Transformer
from lsbook.training.engine import distributed
from lsbook.training.images.summary import KEPT_PER_CLASS, append_one, first_of_each_class, to_float16
from lsbook.training.text import translations
from lsbook.training.text.translations import Scores

# Of NLL and ECE; those of BLEU, whose every value is a search through the text, are among them.
NLL_TEMPERATURES = (0.5, 0.56, 0.63, 0.71, 0.8, 0.9, 1.0, 1.12, 1.25, 1.4, 1.6, 1.8, 2.0, 2.24)
BLEU_TEMPERATURES = (0.63, 0.8, 1.0, 1.25, 1.6, 2.0)
BEAM = 4
BEAMS = (1, 2, 4, 8)
WIDE_BEAMS = (8, 32)  # without length penalty
KEPT_SENTENCES = 1_000  # test sentences whose every token is kept
TRAIN_EVALUATED = 1_000  # training pairs whose predictions and activations are kept
N_WORDS = 10  # frequent tokens whose activations are kept
COUNT_CHUNK = 2**22  # tokens counted at a time: NumPy makes eight bytes of each


class Translator(NamedTuple):
    """A trained network with its vocabulary, precision, and how many sentences of a split it translates at most."""

    model: Transformer
    vocabulary: Vocabulary
    precision: str
    max_sentences: int

    def predict(self, text: EncodedPairs, temperatures: tuple[float, ...]) -> NextTokens:
        """Predict every target token of a text."""
        return translations.predict_next_tokens(self.model, text, temperatures, self.precision)

    def score(self, pairs: Pairs, **search) -> Scores:
        """Translate the first `max_sentences` sentences and compare them with their references."""
        return self.translate(pairs, **search)[1]

    def translate(self, pairs: Pairs, **search) -> tuple[list[Translation], Scores]:
        """Translate the first `max_sentences` sentences; return the translations and their scores."""
        pairs = pairs.first(min(self.max_sentences, len(pairs)))
        found = translations.translate_sentences(self.model, pairs.source, self.vocabulary, self.precision, **search)
        return found, translations.score_translations(self.vocabulary.decode([t.tokens for t in found]), pairs.target)


def summarise(
    translator: Translator, train: EncodedPairs, heldout: Pairs, test: Pairs, alpha: float
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, str]]:
    """Evaluate a trained translator: what a record keeps of it.

    Args:
        translator: the network with its vocabulary.
        train: training text.
        heldout: validation text, on which temperatures are chosen.
        test: test text.
        alpha: the smoothing factor of the network's targets.

    Returns:
        Metrics, the arrays of the functions below, and sacreBLEU's signatures.
    """
    metrics, arrays = next_token_results(translator, train, heldout, test)
    of_scores, arrays_of_scores, signatures = translation_results(translator, heldout, test)
    arrays |= arrays_of_scores
    metrics |= wide_beam_results(translator, test, alpha)
    arrays["wide_beams"] = np.array(WIDE_BEAMS, np.uint8)
    arrays |= word_activations(translator, {"train": train, "test": translations.encode(test, translator.vocabulary)})
    return metrics | of_scores, arrays | example_translations(translator), signatures


def next_token_results(
    translator: Translator, train: EncodedPairs, heldout: Pairs, test: Pairs
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Evaluate next-token predictions: metrics, `temperature` being that of the smallest validation NLL, and arrays.

    The arrays are temperatures (T,), test_nll and test_ece (T,) in nats a token and as fractions; and of the N tokens
    of the first KEPT_SENTENCES test sentences test_hit (N,) and, at temperature 1, test_confidence (N,).
    """
    texts = {
        name: translations.encode(pairs, translator.vocabulary)
        for name, pairs in (("heldout", heldout), ("test", test))
    }
    tokens = {name: translator.predict(text, NLL_TEMPERATURES) for name, text in texts.items()}
    found = {name: translation.temperature_curves(predictions) for name, predictions in tokens.items()}
    best = translation.best_temperature(NLL_TEMPERATURES, found["heldout"].nll)
    metrics = {"temperature": best}
    shown = train.first(min(TRAIN_EVALUATED, len(train)))
    metrics |= _at("train", translation.temperature_curves(translator.predict(shown, (1.0,))), 0)
    plain = NLL_TEMPERATURES.index(1)
    for name, curves in found.items():
        metrics |= _at(name, curves, plain)
    metrics |= _at("test_scaled", found["test"], NLL_TEMPERATURES.index(best))
    kept = tokens["test"].lengths[:KEPT_SENTENCES].sum()
    arrays = {
        "temperatures": np.array(NLL_TEMPERATURES),
        "test_nll": found["test"].nll,
        "test_ece": found["test"].ece,
        "test_hit": tokens["test"].hit[:kept],
        "test_confidence": to_float16(tokens["test"].confidence[plain, :kept]),
    }
    return metrics, arrays


def _at(name: str, curves: TemperatureCurves, place: int) -> dict[str, float]:
    """Return the metrics of a split at one temperature of its curves."""
    return {
        f"{name}_accuracy": curves.accuracy,
        f"{name}_nll": float(curves.nll[place]),
        f"{name}_ece": float(curves.ece[place]),
    }


def translation_results(
    translator: Translator, heldout: Pairs, test: Pairs
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, str]]:
    """Evaluate translations: BLEU and chrF in percent, arrays, and sacreBLEU's signatures.

    `bleu_temperature` is that of the largest validation BLEU. The arrays are
    bleu_temperatures (b,) and test_statistics (b, N, 10), found with BEAM hypotheses;
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
        "test_statistics": np.stack([scores.statistics for scores in by_temperature]),
        "beams": np.array(BEAMS, np.uint8),
        "beam_statistics": np.stack([scores.statistics for scores in by_beam]),
    }
    return metrics, arrays, plain.signatures


def wide_beam_results(translator: Translator, test: Pairs, alpha: float) -> dict[str, float]:
    """Measure whether wide beams without length penalty prefer short outputs, as metrics of the test text.

    Searched by the network's own probabilities, `unpenalised`, and by those of a rectified search, `rectified`. With
    alpha = 0 these are the same: then one search gives the metrics of both names.

    Metrics test_{unpenalised,rectified}{beam}_{…}, the beams being WIDE_BEAMS: `bleu` in percent; `log_length`, the log
    of the outputs' over the references' number of tokens; `empty` and `unfound`, the shares of sentences whose output
    is empty, and of those among them for which a rectified search was left without a hypothesis. Besides, in nats,
    test_unpenalised{beam}_empty_margin, the mean of log P(empty output) − log P(output), above 0 where the search has
    missed the former; and test_rectified_empty_possible, the share of sentences whose empty output has q > 0: where it
    has not, that difference is −∞.
    """
    plain = _WideSearch.run(translator, test, 0.0)
    searches = {"unpenalised": plain, "rectified": _WideSearch.run(translator, test, alpha) if alpha else plain}
    metrics: dict[str, float] = {}
    for name, search in searches.items():
        sums = search.statistics.sum(axis=1)
        values = {
            "bleu": translation.corpus_bleu(sums),
            "log_length": translation.log_length_ratio(sums),
            "empty": search.empty.mean(axis=1),
            "unfound": np.isneginf(search.log_probability).mean(axis=1),
        }
        for quantity, each in values.items():
            metrics |= {f"test_{name}{k}_{quantity}": float(v) for k, v in zip(WIDE_BEAMS, each, strict=True)}
    margins = (plain.log_empty - plain.log_probability).mean(axis=1)
    metrics |= {f"test_unpenalised{k}_empty_margin": float(v) for k, v in zip(WIDE_BEAMS, margins, strict=True)}
    metrics["test_rectified_empty_possible"] = float(np.isfinite(searches["rectified"].log_empty[0]).mean())
    return metrics


class _WideSearch(NamedTuple):
    """Translations of N sentences with each of the k WIDE_BEAMS, without length penalty.

    statistics (k, N, 10); empty (k, N): whether the output is; log_probability and log_empty (k, N), in nats, see
    `beam_search.Translation`.
    """

    statistics: np.ndarray
    empty: np.ndarray
    log_probability: np.ndarray
    log_empty: np.ndarray

    @classmethod
    def run(cls, translator: Translator, pairs: Pairs, smoothing: float) -> "_WideSearch":
        searches = [
            translator.translate(pairs, beam=beam, length_penalty=0.0, smoothing=smoothing) for beam in WIDE_BEAMS
        ]
        return cls(
            np.array([scores.statistics for _, scores in searches]),
            np.array([[not t.tokens for t in found] for found, _ in searches]),
            np.array([[t.log_probability for t in found] for found, _ in searches]),
            np.array([[t.log_empty for t in found] for found, _ in searches]),
        )


def word_activations(translator: Translator, texts: dict[str, EncodedPairs]) -> dict[str, np.ndarray]:
    """Take the N_WORDS most frequent whole words of the training text as classes: their activations, as arrays.

    They are words (K,), templates (K, r), and for `train` and `test` {split}_activations (n, r), in the templates'
    span, and {split}_labels (n,), of the first predictions of each word.
    """
    ids = frequent_words(texts["train"], translator.vocabulary)
    templates = translator.model.templates().detach()[ids.tolist()].float().cpu().numpy()
    result = {"words": np.array([one_line(piece[1:]) for piece in translator.vocabulary.pieces(ids)])}
    for name, text in texts.items():
        shown = text.first(min(TRAIN_EVALUATED, len(text)))
        activations, labels = _activations_before(translator, shown, ids)
        rows = first_of_each_class(labels, KEPT_PER_CLASS)
        activations, result["templates"] = span_coordinates(activations[rows], templates)
        result[f"{name}_activations"] = to_float16(activations)
        result[f"{name}_labels"] = labels[rows].astype(np.uint16)
    return result | {"templates": result["templates"].astype(np.float32)}


def frequent_words(text: EncodedPairs, vocabulary: Vocabulary) -> np.ndarray:
    """Return the ids of the most frequent target tokens that begin a word and have only letters, at most N_WORDS."""
    ids = text.target.ids[: text.target.offsets[-1]]
    parts = np.array_split(ids, -(-len(ids) // COUNT_CHUNK))
    counts = sum((np.bincount(part, minlength=vocabulary.size) for part in parts), start=np.zeros(vocabulary.size, int))
    pieces = vocabulary.pieces(range(vocabulary.size))
    letters = [i for i, piece in enumerate(pieces) if piece.startswith("▁") and piece[1:].isalpha() and counts[i]]
    return np.array(sorted(letters, key=lambda i: -counts[i])[:N_WORDS])


def _activations_before(translator: Translator, text: EncodedPairs, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return activations (n, d + 1) that predict one of these tokens, and its index among them (n,)."""
    sentences, activations, labels = [], [], []
    for rows, found, batch in translations.activation_batches(translator.model, text, translator.precision):
        tokens = batch.cpu().numpy()
        chosen = np.isin(tokens, ids)
        sentences.append(rows[chosen])
        activations.append(found.float().cpu().numpy()[chosen])
        labels.append(np.argmax(tokens[chosen, None] == ids, axis=1))
    order = np.argsort(distributed.all_gather_concatenate(sentences), kind="stable")
    of_tokens, words = (distributed.all_gather_concatenate(values)[order] for values in (activations, labels))
    return append_one(of_tokens), words


def example_translations(translator: Translator) -> dict[str, np.ndarray]:
    """Translate the sentences of `data.examples`, as arrays.

    They are example_sources and example_references (n,); example_pieces (m,) of all translations in a row, eos the last
    of each, with example_confidences (m,), each token's probability after those before it; example_lengths (n,) in
    tokens.
    """
    words = translator.vocabulary
    sources, references = zip(*examples.SENTENCES, strict=True)
    found = translations.translate_sentences(translator.model, sources, words, translator.precision, beam=BEAM)
    outputs = [np.array(t.tokens, words.dtype) for t in found]
    text = EncodedPairs(Sentences.from_rows(words.encode(sources)), Sentences.from_rows(outputs), "", "")
    tokens = translator.predict(text, (1.0,))
    pieces = [one_line(piece) for t in found for piece in words.pieces([*t.tokens, words.eos])]
    return {
        "example_sources": np.array(sources),
        "example_references": np.array(references),
        "example_pieces": np.array(pieces),
        "example_confidences": np.exp(tokens.log_probability[0]).astype(np.float16),
        "example_lengths": tokens.lengths.astype(np.uint16),
    }
