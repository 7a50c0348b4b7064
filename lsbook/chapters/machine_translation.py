"""Figures 3 and 4 and Table 3's translation row: does calibration pay in beam search? C7, C9–C11, C17, C20."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lsbook.analysis import projection, translation
from lsbook.analysis.calibration import Reliability, confidence_reliability
from lsbook.analysis.statistics import Interval, welch_interval
from lsbook.chapters.projections import Panel, named_panels, projected
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.chapter import Chapter, DecidedClaims
from lsbook.chapters.shared.claim_tables import Measure, Setting
from lsbook.chapters.shared.comparison import (
    MOST_BINS,
    Arm,
    ArmValues,
    Comparison,
    compare,
    group_of,
    smoothing_arms,
)
from lsbook.chapters.shared.selection import RECORDED, Group, is_recorded, select_runs
from lsbook.core.config import Run
from lsbook.core.errors import one_of, several_of, whole_number
from lsbook.core.store import Record
from lsbook.evidence import literature
from lsbook.outputs import Markup, Table, Text, cell_frame
from lsbook.recipes.profiles import PROFILES

# The network of each profile on each of its texts, the first being what "auto" means.
NETWORKS = {
    "smoke": {"grammar": "transformer-64"},
    "laptop": {"multi30k": "transformer-256"},
    "paper": {"multi30k": "transformer-base", "wmt14-en-de": "transformer-base"},
}
SEEDS = {"smoke": "0", "laptop": "0-2", "paper": "0-2"}
NETWORK = "wmt14-en-de", "transformer"  # in the published tables
QUOTED = "test_bleu", "test_ece", "test_scaled_ece", "test_nll", "test_scaled_nll", "temperature", "bleu_temperature"
UNSURE = "213, 94, 0"  # red, green and blue of the colour that marks tokens of little confidence


def select_comparison(
    profile: str = "auto", dataset: str = "auto", alpha: float = 0.1, seeds: str = "auto", n_bins: int = 15
) -> Comparison:
    """The recorded runs of the chapter, trained where they are missing.

    dataset: a text of the profile; "auto": its first. n_bins: that `diagrams` will have. UserError when the profile has
    no network for the text, and for numbers of bins that are none.
    """
    whole_number("n_bins", n_bins, 1, MOST_BINS)
    one_of("profile", profile, ("auto", *PROFILES))
    every = dict.fromkeys(name for texts in NETWORKS.values() for name in texts)
    one_of("text", dataset, ["auto", *every])
    having = [name for name, texts in NETWORKS.items() if dataset in ("auto", *texts)]
    if profile in NETWORKS:
        one_of(f"text of the profile {profile}", dataset, ["auto", *NETWORKS[profile]])
    elif profile == "auto" and len(having) == 1:
        [profile] = having
    selection = select_runs(profile, seeds, lambda name: [_group(name, dataset, alpha)] if name in having else [])
    [records] = selection.groups
    return compare(selection.profile, smoothing_arms(alpha), records)


def groups(profile: str, alpha: float = 0.1) -> list[Group]:
    """What the chapter asks for on each text of the profile."""
    return [_group(profile, dataset, alpha) for dataset in NETWORKS[profile]]


def _group(profile: str, dataset: str, alpha: float) -> Group:
    return group_of(smoothing_arms(alpha), lambda arm, seed: run(profile, arm, seed, dataset), SEEDS[profile])


def run(profile: str, arm: Arm, seed: int, dataset: str = "auto") -> Run:
    """The run behind one point of the chapter. dataset: as for `select_comparison`."""
    texts = NETWORKS[profile]
    name = next(iter(texts)) if dataset == "auto" else dataset
    return arm.run(profile, name, texts[name], seed)


def diagrams(comparison: Comparison, n_bins: int = 15) -> list[tuple[str, list[ArmValues[list[Reliability]]]]]:
    """Title of the network and, for each arm, one reliability diagram of next tokens a seed.

    UserError for fewer bins than one.
    """
    whole_number("n_bins", n_bins, 1, MOST_BINS)
    arms = [
        ArmValues(arm.label, arm.colour, [_reliability(record, n_bins) for record in arm.records])
        for arm in comparison.arms
    ]
    return [(comparison.title, arms)]


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
    colour: str
    temperatures: np.ndarray
    values: np.ndarray
    fitted: np.ndarray
    reached: np.ndarray


def curves(comparison: Comparison) -> list[tuple[str, list[Curve]]]:
    """Figure 4: ECE, BLEU and NLL against the temperature, each with its unit and a curve for each arm.

    Fitted by validation NLL, or for BLEU by validation BLEU.
    """
    quantities: list[tuple[str, str, Callable[[Record], np.ndarray], str]] = [
        ("ECE", "temperatures", lambda record: record.arrays["test_ece"], "temperature"),
        ("BLEU", "bleu_temperatures", bleu_by_temperature, "bleu_temperature"),
        ("NLL (nats a token)", "temperatures", lambda record: record.arrays["test_nll"], "temperature"),
    ]
    return [
        (title, [_curve(arm, grid, quantity, fitted) for arm in comparison.arms])
        for title, grid, quantity, fitted in quantities
    ]


def _curve(arm: Arm, grid: str, quantity: Callable[[Record], np.ndarray], fitted: str) -> Curve:
    """grid: name of the array of temperatures; fitted: name of the metric that is the fitted one."""
    temperatures, values, best = arm.records[0].arrays[grid], arm.values(quantity), arm.metric(fitted)
    reached = values[np.arange(len(best)), np.searchsorted(temperatures, best)]
    return Curve(arm.panel_label, arm.colour, temperatures, values, best, reached)


def bleu_by_temperature(record: Record) -> np.ndarray:
    """Test BLEU (b,) at each temperature of the grid."""
    return translation.corpus_bleu(record.arrays["test_statistics"].sum(axis=1, dtype=np.int64))


class Beams(NamedTuple):
    """Test BLEU (S, B) of one arm with beams of B sizes, at temperature 1."""

    title: str
    colour: str
    sizes: np.ndarray
    bleu: np.ndarray


def beams(comparison: Comparison) -> list[Beams]:
    """Beam size against BLEU, for each arm."""
    result = []
    for arm in comparison.arms:
        sums = arm.values(lambda record: record.arrays["beam_statistics"].sum(axis=1, dtype=np.int64))
        sizes = arm.records[0].arrays["beams"]
        result.append(Beams(arm.panel_label, arm.colour, sizes, translation.corpus_bleu(sums)))
    return result


def three_words(comparison: Comparison, words: str) -> tuple[int, int, int]:
    """Places, among the frequent words that records keep, of three given by name, such as "ein,einer,mit".

    "auto": the three most frequent. UserError unless they are three different ones of these words.
    """
    kept = comparison.reference.records[0].arrays["words"].tolist()
    first, second, third = (0, 1, 2) if words == "auto" else several_of("frequent word", words, kept, 3)
    return first, second, third


def panels(comparison: Comparison, words: tuple[int, int, int]) -> list[Panel]:
    """The supplement's projections, from the first seed: of each arm training and test."""
    names = comparison.reference.records[0].arrays["words"][list(words)].tolist()
    return named_panels(comparison, words, tuple(names))


def measure(reference: Arm, arm: Arm, words: tuple[int, int, int]) -> list[Measure]:
    """Claims C7, C9, C10, C11, C17 and C20, each part measured on every run and decided."""
    quantities = [
        ("C9", "", "next-token ECE", lambda record: record.metrics["test_ece"]),
        ("C10", "", "each network at its best T", lambda record: record.metrics["test_scaled_bleu"]),
        ("C11", "T = 1", "NLL at T = 1", lambda record: record.metrics["test_nll"]),
        ("C11", "best T", "NLL at the best T", lambda record: record.metrics["test_scaled_nll"]),
        ("C17", "", "scatter within / between", lambda record: _scatter(record, words)),
    ]
    found = [
        claim_tables.measure(claim, part, title, reference.values(quantity), arm.values(quantity))
        for claim, part, title, quantity in quantities
    ]
    n_test = len(reference.records[0].arrays["test_hit"])
    scaled, smoothed = reference.metric("test_scaled_ece"), arm.metric("test_ece")
    about_as_well = claim_tables.measure("C7", "", "next-token ECE against scaled hard", scaled, smoothed, n_test)
    plain, best = reference.metric("test_bleu"), reference.metric("test_scaled_bleu")
    return [about_as_well, *found, claim_tables.measure_paired("C20", "", "trained with hard targets", plain, best)]


def _scatter(record: Record, words: tuple[int, int, int]) -> float:
    """Within- over between-class scatter of three words in the plane, training text."""
    return projection.within_between_scatter(*projected(record, "train", words)[:2])


def settings(profile: str, seeds: str) -> list[Setting]:
    """The network of each text with its claims, for the scorecard; of what is recorded if only that is asked for."""
    return [
        setting
        for dataset in NETWORKS[profile]
        if seeds != RECORDED or is_recorded([_group(profile, dataset, 0.1)])
        for found in [select_comparison(profile, dataset, seeds=seeds)]
        for setting in measured(found, three_words(found, "auto"))
    ]


def measured(comparison: Comparison, words: tuple[int, int, int]) -> list[Setting]:
    """The claims, on each arm that is compared with the reference."""
    return [
        Setting(
            "machine_translation",
            comparison.profile,
            comparison.title_of(arm),
            measure(comparison.reference, arm, words),
            [*comparison.reference.records, *arm.records],
        )
        for arm in comparison.others
    ]


def ece_table(comparison: Comparison) -> Table:
    """Table 3's translation row: the paper, the replication and the recorded networks."""
    rows = [
        captions.published_ece(source, network, row)
        for source, published in literature.TABLE_3.items()
        for network, row in published.items()
        if network[1] == NETWORK[1]
    ]
    hard = _measured_ece(comparison.reference)
    rows += [
        captions.measured_ece(comparison.title_of(arm), "here", hard, _measured_ece(arm), arm.alpha)
        for arm in comparison.others
    ]
    return Table(
        "table-translation-ece",
        "Expected calibration error of next tokens on test text (Table 3 of the paper), in brackets the temperature or "
        "the smoothing factor. Here: 15 bins, no padding, the temperature of the smallest NLL on validation text, 95 % "
        "Student t intervals over seeds. The replication counts padding, and chose its temperature on test data. A "
        "dagger marks a number that was not checked in its source.",
        cell_frame(captions.ECE_HEADER, rows),
        comparison.records,
    )


def _measured_ece(arm: Arm) -> captions.MeasuredEce:
    return captions.MeasuredEce(*map(arm.metric, ("test_ece", "test_scaled_ece", "temperature")))


def quality_table(comparison: Comparison) -> Table:
    """BLEU, chrF and NLL of each arm, and the differences with intervals over seeds and over sentences."""
    at_one, at_best = _bleu_sums(lambda record: 1.0), _bleu_sums(lambda record: record.metrics["bleu_temperature"])
    quantities: list[tuple[str, str, SentenceSums | None]] = [
        ("BLEU, T = 1", "test_bleu", at_one),
        ("BLEU, best T", "test_scaled_bleu", at_best),
        ("chrF, T = 1", "test_chrf", None),
        ("token accuracy", "test_accuracy", _token_sums(_hits)),
        ("NLL, T = 1", "test_nll", _token_sums(_losses)),
        ("ECE, T = 1", "test_ece", _token_sums(_gaps)),
    ]
    rows = [_quality(comparison, *quantity) for quantity in quantities]
    several = len(comparison.others) > 1
    differences = [
        f"difference, {of}" + f", {arm.name}" * several for arm in comparison.others for of in ("seeds", "sentences")
    ]
    environment = comparison.reference.records[0].environment
    signatures = "; ".join(f"{name}: {text}" for name, text in environment["signatures"].items())
    published = literature.TABLE_1["WMT14 English–German", "Transformer", "BLEU"]
    return Table(
        "table-translation-quality",
        "Translations of the test text, beam 4, cased and detokenised, and its next tokens. BLEU, chrF in percent, "
        "accuracy and ECE as fractions, NLL in nats a token. Table 1 of the paper has BLEU "
        f"{published['hard'].value:g} → {published['smoothed'].value:g} on WMT14. "
        "Differences are smoothed − hard, with 95 % intervals: Welch's over seeds, and by 1,000 bootstrap samples of "
        "the test sentences with the networks as they are (not of chrF, of which records keep too little). "
        f"sacreBLEU's signatures: {signatures}.",
        cell_frame(("test text", *(arm.name for arm in comparison.arms), *differences), rows),
        comparison.records,
    )


class SentenceSums(NamedTuple):
    """How a quantity is computed from sums over sentences.

    of: arm -> (S, N, c) numbers of each seed and sentence; mean: their weighted sums (S, R, c) to (R,).
    """

    of: Callable[[Arm], np.ndarray]
    mean: Callable[[np.ndarray], np.ndarray]


def _quality(comparison: Comparison, title: str, name: str, sums: SentenceSums | None) -> tuple[str, ...]:
    """A row: a metric on every arm, and of each other arm its differences. sums: None where too little is kept."""
    reference = comparison.reference
    cells = [captions.with_interval(arm.metric(name)) for arm in comparison.arms]
    for arm in comparison.others:
        several = len(reference.records) > 1
        seeds = captions.signed(*welch_interval(reference.metric(name), arm.metric(name))) if several else "—"
        over = captions.signed(*over_sentences(sums.of(reference), sums.of(arm), sums.mean)) if sums else "—"
        cells += [seeds, over]
    return title, *cells


def over_sentences(hard: np.ndarray, smoothed: np.ndarray, mean: Callable) -> Interval:
    """Bootstrap interval of mean(smoothed) − mean(hard), both on the same choice of sentences.

    hard, smoothed: (S, N, c) numbers of each seed and sentence; mean: their weighted sums (S, R, c) to (R,).
    """

    def difference(counts: np.ndarray) -> np.ndarray:
        return mean(counts @ smoothed.astype(np.float64)) - mean(counts @ hard.astype(np.float64))

    return translation.bootstrap_interval(difference, hard.shape[1])


def _bleu_sums(temperature: Callable[[Record], float]) -> SentenceSums:
    """BLEU from its statistics (S, N, 10) of every test sentence at a temperature of each record."""

    def statistics(record: Record) -> np.ndarray:
        [place] = np.flatnonzero(record.arrays["bleu_temperatures"] == temperature(record))
        return record.arrays["test_statistics"][place]

    return SentenceSums(lambda arm: arm.values(statistics), _mean_bleu)


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


def _token_sums(values: Callable[[Record], np.ndarray]) -> SentenceSums:
    """Σ |Σ values| / number of tokens. values: of each token that is kept, (N, c)."""

    def sums(record: Record) -> np.ndarray:
        lengths = record.arrays["test_lengths"].astype(int)
        starts = np.cumsum(lengths) - lengths
        return np.hstack([np.add.reduceat(values(record).astype(np.float64), starts), lengths[:, None]])

    def mean(found: np.ndarray) -> np.ndarray:
        return (np.abs(found[..., :-1]).sum(axis=-1) / found[..., -1]).mean(axis=0)

    return SentenceSums(lambda arm: arm.values(sums), mean)


def example_text(comparison: Comparison) -> Text:
    """Our own sentences, translated by the first seed of each arm; a token is marked the less sure it was."""
    translations = {arm.name: _marked(arm.records[0]) for arm in comparison.arms}
    arrays = comparison.reference.records[0].arrays
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


def numbers(comparison: Comparison, words: tuple[int, int, int]) -> dict[str, float | str]:
    """What the chapter's text quotes by name; means over the seeds."""
    first = comparison.reference.records[0]
    result: dict[str, float | str] = {
        "word_names": ", ".join(f"“{first.arrays['words'][k]}”" for k in words),
        "vocabulary": f"{first.run.vocabulary:,}",
        "pairs": f"{first.run.examples:,}",
        "test_tokens": f"{len(first.arrays['test_hit']):,}",
        **_equally_calibrated(comparison),
        **_gains(comparison),
    }
    for arm in comparison.arms:
        accuracy = arm.values(lambda record: _hits(record).mean()).mean()
        confidence = arm.values(lambda record: _of_tokens(record, "confidence").mean()).mean()
        scatter = arm.values(lambda record: _scatter(record, words)).mean()
        result |= {
            f"{arm.name}_accuracy": float(accuracy),
            f"{arm.name}_excess": float(confidence - accuracy),
            f"{arm.name}_scatter": float(scatter),
        }
        for quantity in QUOTED:
            result[f"{arm.name}_{quantity.removeprefix('test_')}"] = float(arm.metric(quantity).mean())
    return result


def _equally_calibrated(comparison: Comparison) -> dict[str, float]:
    """Mean BLEU and ECE with hard targets at the temperature whose ECE is nearest to that of smoothed ones at T = 1.

    It is one of the temperatures at which BLEU is known.
    """
    hard = comparison.reference
    arrays = hard.records[0].arrays
    ece = hard.values(lambda record: record.arrays["test_ece"]).mean(axis=0)
    at = np.searchsorted(arrays["temperatures"], arrays["bleu_temperatures"])
    place = np.abs(ece[at] - comparison.main.metric("test_ece").mean()).argmin()
    return {
        "equal_temperature": float(arrays["bleu_temperatures"][place]),
        "equal_ece": float(ece[at][place]),
        "equal_bleu": float(hard.values(bleu_by_temperature).mean(axis=0)[place]),
    }


def _gains(comparison: Comparison) -> dict[str, str]:
    """What smoothing adds to BLEU with the smallest and with the largest beam."""
    hard, smoothed, *_ = beams(comparison)
    return {
        "narrow_gain": captions.difference(hard.bleu[:, 0], smoothed.bleu[:, 0]),
        "wide_gain": captions.difference(hard.bleu[:, -1], smoothed.bleu[:, -1]),
        "widest": str(hard.sizes[-1]),
    }


CHAPTER = Chapter("machine_translation", groups, DecidedClaims(("C7", "C9", "C10", "C11", "C17", "C20"), settings))
