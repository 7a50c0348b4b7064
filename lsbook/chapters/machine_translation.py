"""Figures 3 and 4 and Table 3's translation row: does calibration pay in beam search? C9–C11, C17, C20."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lsbook.analysis import projection, translation
from lsbook.analysis.calibration import Reliability, confidence_reliability
from lsbook.analysis.statistics import Interval, welch_interval
from lsbook.chapters.projections import Panel, named_panels, projected
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.claim_tables import Measure, Setting
from lsbook.chapters.shared.comparison import MOST_BINS, RECORDED, Arms, Group, compare, comparison, is_recorded
from lsbook.core.config import Run
from lsbook.core.errors import one_of, several_of, whole_number
from lsbook.core.store import Record
from lsbook.evidence import claims, literature
from lsbook.outputs import Markup, Table, Text
from lsbook.recipes import profiles
from lsbook.recipes.profiles import PROFILES

# The network of each profile on each of its texts, the first being what "auto" means.
NETWORKS = {
    "smoke": {"grammar": "transformer-64"},
    "laptop": {"multi30k": "transformer-256"},
    "paper": {"multi30k": "transformer-base", "wmt14-en-de": "transformer-base"},
}
SEEDS = {"smoke": "0", "laptop": "0-2", "paper": "0-2"}
NETWORK = "wmt14-en-de", "transformer"  # in the published tables
UNSURE = "213, 94, 0"  # red, green and blue of the colour that marks tokens of little confidence


def arms(
    profile: str = "auto", dataset: str = "auto", alpha: float = 0.1, seeds: str = "auto", n_bins: int = 15
) -> Arms:
    """The recorded runs of the chapter, trained where they are missing.

    dataset: a text of the profile; "auto": its first. n_bins: that `diagrams` will have. UserError when the profile has
    no network for the text, and for numbers of bins that are none.
    """
    whole_number("n_bins", n_bins, 1, MOST_BINS)
    one_of("profile", profile, ("auto", *PROFILES))
    every = dict.fromkeys(name for texts in NETWORKS.values() for name in texts)
    one_of("text", dataset, ["auto", *every])
    own_seeds = {name: SEEDS[name] for name, texts in NETWORKS.items() if dataset in ("auto", *texts)}
    if profile in NETWORKS:
        one_of(f"text of the profile {profile}", dataset, ["auto", *NETWORKS[profile]])
    elif profile == "auto" and len(own_seeds) == 1:
        [profile] = own_seeds
    return compare(profile, alpha, seeds, lambda *which: run(*which, dataset), own_seeds=own_seeds)


def groups(profile: str, alpha: float = 0.1) -> list[Group]:
    """What the chapter asks for on each text of the profile."""
    return [group for dataset in NETWORKS[profile] for group in _groups(profile, alpha, dataset)]


def _groups(profile: str, alpha: float, dataset: str) -> list[Group]:
    return comparison(profile, alpha, lambda *which: run(*which, dataset), SEEDS)


def run(profile: str, alpha: float, seed: int, dataset: str = "auto") -> Run:
    """The run behind one point of the chapter."""
    texts = NETWORKS[profile]
    name = next(iter(texts)) if dataset == "auto" else dataset
    return profiles.run(profile, name, texts[name], alpha, seed)


def metric(records: list[Record], name: str) -> np.ndarray:
    """A recorded metric, one value a seed."""
    return np.array([record.metrics[name] for record in records])


def diagrams(arms: Arms, n_bins: int = 15) -> list[tuple[str, list[tuple[str, str, list[Reliability]]]]]:
    """Title of the network and, for both arms, title, kind and one reliability diagram of next tokens a seed.

    UserError for fewer bins than one.
    """
    whole_number("n_bins", n_bins, 1, MOST_BINS)
    both = ("hard targets", "hard", arms.hard), (f"smoothed, α = {arms.alpha:g}", "smoothed", arms.smoothed)
    return [(arms.title, [(name, kind, [_reliability(r, n_bins) for r in found]) for name, kind, found in both])]


def _reliability(record: Record, n_bins: int) -> Reliability:
    confidence = _of_tokens(record, "confidence")
    return confidence_reliability(confidence, record.arrays["test_hit"], n_bins)


def _of_tokens(record: Record, name: str) -> np.ndarray:
    """What is kept of each test token (N,), at temperature 1."""
    [place] = np.flatnonzero(record.arrays["token_temperatures"] == 1)
    return record.arrays[f"test_{name}"][place].astype(np.float64)


class Curve(NamedTuple):
    """A quantity of the test text against the temperature, on one arm.

    temperatures (T,), values (S, T); fitted, reached (S,): each seed's temperature that is best on validation text for
    the quantity that decides, and the value there.
    """

    title: str
    kind: str
    temperatures: np.ndarray
    values: np.ndarray
    fitted: np.ndarray
    reached: np.ndarray


def curves(arms: Arms) -> list[tuple[str, list[Curve]]]:
    """Figure 4: ECE, BLEU and NLL against the temperature, each with its unit and a curve for both arms.

    Fitted by validation NLL, or for BLEU by validation BLEU.
    """
    quantities = [
        ("ECE", "temperatures", lambda record: record.arrays["test_ece"], "temperature"),
        ("BLEU", "bleu_temperatures", bleu_by_temperature, "bleu_temperature"),
        ("NLL (nats a token)", "temperatures", lambda record: record.arrays["test_nll"], "temperature"),
    ]
    return [(title, [_curve(arms, smoothed, *how) for smoothed in (False, True)]) for title, *how in quantities]


def _curve(arms: Arms, smoothed: bool, grid: str, values: Callable[[Record], np.ndarray], fitted: str) -> Curve:
    records = arms.smoothed if smoothed else arms.hard
    temperatures, found = records[0].arrays[grid], np.array([values(record) for record in records])
    best = metric(records, fitted)
    reached = found[np.arange(len(best)), np.searchsorted(temperatures, best)]
    title, kind = (f"α = {arms.alpha:g}", "smoothed") if smoothed else ("hard targets", "hard")
    return Curve(title, kind, temperatures, found, best, reached)


def bleu_by_temperature(record: Record) -> np.ndarray:
    """Test BLEU (b,) at each temperature of the grid."""
    return translation.corpus_bleu(record.arrays["test_statistics"].sum(axis=1, dtype=np.int64))


class Beams(NamedTuple):
    """Test BLEU (S, B) of one arm with beams of B sizes, at temperature 1."""

    title: str
    kind: str
    sizes: np.ndarray
    bleu: np.ndarray


def beams(arms: Arms) -> list[Beams]:
    """Beam size against BLEU, hard and smoothed."""
    result = []
    for kind, records in (("hard", arms.hard), ("smoothed", arms.smoothed)):
        sums = np.stack([record.arrays["beam_statistics"].sum(axis=1, dtype=np.int64) for record in records])
        title = f"α = {arms.alpha:g}" if kind == "smoothed" else "hard targets"
        result.append(Beams(title, kind, records[0].arrays["beams"], translation.corpus_bleu(sums)))
    return result


def three_words(arms: Arms, words: str) -> tuple[int, int, int]:
    """Places, among the frequent words that records keep, of three given by name, such as "ein,einer,mit".

    "auto": the three most frequent. UserError unless they are three different ones of these words.
    """
    kept = arms.hard[0].arrays["words"].tolist()
    return (0, 1, 2) if words == "auto" else several_of("frequent word", words, kept, 3)


def panels(arms: Arms, words: tuple[int, int, int]) -> list[Panel]:
    """The supplement's projections, from the first seed: hard training and test, smoothed training and test."""
    names = arms.hard[0].arrays["words"][list(words)].tolist()
    return named_panels(arms, words, tuple(names))


def measure(arms: Arms, words: tuple[int, int, int]) -> list[Measure]:
    """Claims C9, C10, C11, C17 and C20, each part measured on every run and decided."""
    quantities = [
        ("C9", "", "next-token ECE", lambda record: record.metrics["test_ece"]),
        ("C10", "", "each network at its best T", lambda record: record.metrics["test_scaled_bleu"]),
        ("C11", "T = 1", "NLL at T = 1", lambda record: record.metrics["test_nll"]),
        ("C11", "best T", "NLL at the best T", lambda record: record.metrics["test_scaled_nll"]),
        ("C17", "", "scatter within / between", lambda record: _scatter(record, words)),
    ]
    found = [
        claim_tables.measure(claim, part, title, map(value, arms.hard), map(value, arms.smoothed))
        for claim, part, title, value in quantities
    ]
    plain, best = metric(arms.hard, "test_bleu"), metric(arms.hard, "test_scaled_bleu")
    verdict = claims.decide_paired(claims.CLAIMS["C20"], best - plain)
    return [*found, Measure("hard network", verdict, plain, best)]


def _scatter(record: Record, words: tuple[int, int, int]) -> float:
    """Within- over between-class scatter of three words in the plane, training text."""
    return projection.within_between_scatter(*projected(record, "train", words)[:2])


def settings(profile: str, seeds: str) -> list[Setting]:
    """The network of each text with its claims, for the scorecard; of what is recorded if only that is asked for."""
    return [
        setting
        for dataset in NETWORKS[profile]
        if seeds != RECORDED or is_recorded(_groups(profile, 0.1, dataset))
        for found in [arms(profile, dataset, seeds=seeds)]
        for setting in measured(found, three_words(found, "auto"))
    ]


def measured(arms: Arms, words: tuple[int, int, int]) -> list[Setting]:
    """The claims."""
    return [Setting("machine_translation", arms.profile, arms.title, measure(arms, words), arms.records)]


def claim_table(arms: Arms, settings: list[Setting]) -> Table:
    """Each quantity on both arms, the difference, and the verdict."""
    header = "hard (C20: at T = 1)", f"smoothed, α = {arms.alpha:g} (C20: hard at its best T)"
    made_from = "C20 compares a network with itself, so its interval is that of paired differences. " + _made_from(arms)
    return claim_tables.table("table-translation-claims", "translation", settings, header, made_from)


def _made_from(arms: Arms) -> str:
    return captions.made_from(arms.profile, arms.records)


def ece_table(arms: Arms) -> Table:
    """Table 3's translation row: the paper, the replication and the recorded networks."""
    rows = [
        captions.published_ece(source, network, row)
        for source, published in literature.TABLE_3.items()
        for network, row in published.items()
        if network[1] == NETWORK[1]
    ]
    both = arms.hard, arms.smoothed
    ece = [metric(records, name) for records in both for name in ("test_ece", "test_scaled_ece")]
    temperatures = tuple(metric(records, "temperature") for records in both)
    rows.append(captions.measured_ece(arms.title, ece, temperatures, arms.alpha))
    return Table(
        "table-translation-ece",
        "Expected calibration error of next tokens on test text (Table 3 of the paper), in brackets the temperature or "
        "the smoothing factor. Here: 15 bins, no padding, the temperature of the smallest NLL on validation text, 95 % "
        "Student t intervals over seeds. The replication counts padding, and chose its temperature on test data. A "
        "dagger marks a number that was not checked in its source. " + _made_from(arms),
        captions.ECE_HEADER,
        tuple(rows),
        arms.records,
    )


def quality_table(arms: Arms) -> Table:
    """BLEU, chrF and NLL of both arms, and the difference with intervals over seeds and over sentences."""
    plain = [_statistics(records, lambda _: 1.0) for records in (arms.hard, arms.smoothed)]
    best = [_statistics(records, lambda r: r.metrics["bleu_temperature"]) for records in (arms.hard, arms.smoothed)]
    rows = (
        _quality("BLEU, T = 1", arms, "test_bleu", over_sentences(*plain, _mean_bleu)),
        _quality("BLEU, best T", arms, "test_scaled_bleu", over_sentences(*best, _mean_bleu)),
        _quality("chrF, T = 1", arms, "test_chrf"),
        _quality("token accuracy", arms, "test_accuracy", _over_tokens(arms, _hits)),
        _quality("NLL, T = 1", arms, "test_nll", _over_tokens(arms, _losses)),
        _quality("ECE, T = 1", arms, "test_ece", _over_tokens(arms, _gaps)),
    )
    signatures = "; ".join(f"{name}: {text}" for name, text in arms.hard[0].environment["signatures"].items())
    published = literature.TABLE_1["WMT14 English–German", "Transformer", "BLEU"]
    return Table(
        "table-translation-quality",
        "Translations of the test text, beam 4, cased and detokenised, and its next tokens. BLEU, chrF in percent, "
        "accuracy and ECE as fractions, NLL in nats a token. Table 1 of the paper has BLEU "
        f"{published['hard'].value:g} → {published['smoothed'].value:g} on WMT14. "
        "Differences are smoothed − hard, with 95 % intervals: Welch's over seeds, and by 1,000 bootstrap samples of "
        "the test sentences with the networks as they are (not of chrF, of which records keep too little). "
        f"sacreBLEU's signatures: {signatures}. " + _made_from(arms),
        ("test text", "hard", "smoothed", "difference, seeds", "difference, sentences"),
        rows,
        arms.records,
    )


def _quality(title: str, arms: Arms, name: str, sentences: Interval | None = None) -> tuple[str, ...]:
    hard, smoothed = metric(arms.hard, name), metric(arms.smoothed, name)
    seeds = captions.signed(*welch_interval(hard, smoothed)) if len(arms.hard) > 1 else "—"
    over = captions.signed(*sentences) if sentences else "—"
    return title, captions.with_interval(hard), captions.with_interval(smoothed), seeds, over


def over_sentences(hard: np.ndarray, smoothed: np.ndarray, mean: Callable) -> Interval:
    """Bootstrap interval of mean(smoothed) − mean(hard), both on the same choice of sentences.

    hard, smoothed: (S, N, c) numbers of each seed and sentence; mean: their weighted sums (S, R, c) to (R,).
    """

    def difference(counts: np.ndarray) -> np.ndarray:
        return mean(counts @ smoothed.astype(np.float64)) - mean(counts @ hard.astype(np.float64))

    return translation.bootstrap_interval(difference, hard.shape[1])


def _statistics(records: list[Record], temperature: Callable[[Record], float]) -> np.ndarray:
    """(S, N, 10): BLEU's statistics of every test sentence at a temperature of each record."""
    places = [np.flatnonzero(r.arrays["bleu_temperatures"] == temperature(r))[0] for r in records]
    return np.stack([r.arrays["test_statistics"][place] for r, place in zip(records, places, strict=True)])


def _mean_bleu(sums: np.ndarray) -> np.ndarray:
    return translation.corpus_bleu(sums).mean(axis=0)


def _hits(record: Record) -> np.ndarray:
    return record.arrays["test_hit"][:, None]


def _losses(record: Record) -> np.ndarray:
    return -_of_tokens(record, "log_probability")[:, None]


def _gaps(record: Record) -> np.ndarray:
    """What each token (N,) adds to the gap between accuracy and confidence of each bin: (N, 15)."""
    confidence = _of_tokens(record, "confidence")
    bins = np.searchsorted(np.arange(1, 15) / 15, confidence)
    return np.eye(15)[bins] * (record.arrays["test_hit"] - confidence)[:, None]


def _over_tokens(arms: Arms, values: Callable[[Record], np.ndarray]) -> Interval:
    """`over_sentences` of Σ |Σ values| / number of tokens. values: of each token that is kept, (N, c)."""

    def sums(record: Record) -> np.ndarray:
        lengths = record.arrays["test_lengths"].astype(int)
        starts = np.cumsum(lengths) - lengths
        return np.hstack([np.add.reduceat(values(record).astype(np.float64), starts), lengths[:, None]])

    def mean(found: np.ndarray) -> np.ndarray:
        return (np.abs(found[..., :-1]).sum(axis=-1) / found[..., -1]).mean(axis=0)

    return over_sentences(*(np.stack([sums(record) for record in each]) for each in (arms.hard, arms.smoothed)), mean)


def example_text(arms: Arms) -> Text:
    """Our own sentences, translated by the first seed of both arms; a token is marked the less sure it was."""
    both = ("hard", arms.hard[0]), ("smoothed", arms.smoothed[0])
    translations = {name: _marked(record) for name, record in both}
    arrays = arms.hard[0].arrays
    lines = []
    for i, (source, reference) in enumerate(zip(arrays["example_sources"], arrays["example_references"], strict=True)):
        lines += [Markup("**{}** ({})").format(source, reference), ""]
        lines += [Markup("- {}: {}").format(name, found[i]) for name, found in translations.items()] + [""]
    return Text(Markup("\n").join(lines))


def _marked(record: Record) -> list[Markup]:
    """Each translation, with its log-probability a token in nats."""
    result = []
    for tokens in example_tokens(record):
        mean = np.log([max(probability, 1e-8) for _, probability in tokens]).mean()
        number = f"{mean:.2f}".replace("-", "−")
        spans = Markup("").join(_span(*token) for token in tokens[:-1])
        result.append(Markup("{} ({} nats a token)").format(spans, number))
    return result


def example_tokens(record: Record) -> list[list[tuple[str, float]]]:
    """Of each translation of our own sentences the tokens and their probabilities, the sentence's end the last of them.

    A token that begins a word begins with a space; a byte that is no text of its own is a replacement character.
    """
    texts = [
        "\N{REPLACEMENT CHARACTER}" if piece.startswith("<0x") else piece.replace("▁", " ")
        for piece in record.arrays["example_pieces"].tolist()
    ]
    tokens = list(zip(texts, record.arrays["example_confidences"].astype(float).tolist(), strict=True))
    ends = np.cumsum(record.arrays["example_lengths"], dtype=int).tolist()
    return [tokens[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _span(token: str, probability: float) -> Markup:
    """A token on a background that is the darker the less probable it was."""
    strength = 0.7 * (1 - probability)
    span = Markup('<span style="background-color: rgba({}, {:.2f})" title="{:.2f}">{}</span>')
    marked = span.format(UNSURE, strength, probability, token.strip())
    return Markup(" {}").format(marked) if token.startswith(" ") else marked


def numbers(arms: Arms, words: tuple[int, int, int]) -> dict[str, float | str]:
    """What the chapter's text quotes by name; means over the seeds."""
    first = arms.hard[0]
    result = {
        "word_names": ", ".join(f"“{first.arrays['words'][k]}”" for k in words),
        "vocabulary": f"{first.run.vocabulary:,}",
        "pairs": f"{first.run.examples:,}",
        "test_tokens": f"{len(first.arrays['test_hit']):,}",
        "made_from": _made_from(arms),
        "first_made_from": _made_from(arms.first),
        **_equally_calibrated(arms),
        **_gains(beams(arms)),
    }
    for name, records in (("hard", arms.hard), ("smoothed", arms.smoothed)):
        confidence = np.mean([_of_tokens(record, "confidence").mean() for record in records])
        result[f"{name}_accuracy"] = float(np.mean([_hits(record).mean() for record in records]))
        result[f"{name}_excess"] = float(confidence) - result[f"{name}_accuracy"]
        result[f"{name}_scatter"] = float(np.mean([_scatter(record, words) for record in records]))
        for quantity in ("test_ece", "test_nll", "test_scaled_nll", "temperature", "bleu_temperature"):
            result[f"{name}_{quantity.removeprefix('test_')}"] = float(metric(records, quantity).mean())
    return result


def _equally_calibrated(arms: Arms) -> dict[str, float]:
    """The hard networks' mean BLEU and ECE at the temperature at which the latter is nearest to the smoothed ones' at
    T = 1, of those at which BLEU is known; and both networks' BLEU at T = 1."""
    arrays = arms.hard[0].arrays
    ece = np.mean([record.arrays["test_ece"] for record in arms.hard], axis=0)
    at = np.searchsorted(arrays["temperatures"], arrays["bleu_temperatures"])
    place = np.abs(ece[at] - metric(arms.smoothed, "test_ece").mean()).argmin()
    return {
        "equal_temperature": float(arrays["bleu_temperatures"][place]),
        "equal_ece": float(ece[at][place]),
        "equal_bleu": float(np.mean([bleu_by_temperature(record)[place] for record in arms.hard])),
        "hard_bleu": float(metric(arms.hard, "test_bleu").mean()),
        "smoothed_bleu": float(metric(arms.smoothed, "test_bleu").mean()),
    }


def _gains(both: list[Beams]) -> dict[str, str]:
    """What smoothing adds to BLEU with the smallest and with the largest beam."""
    hard, smoothed = both
    gains = [captions.difference(hard.bleu[:, place], smoothed.bleu[:, place]) for place in (0, -1)]
    return dict(zip(("narrow_gain", "wide_gain"), gains, strict=True)) | {"widest": str(hard.sizes[-1])}
