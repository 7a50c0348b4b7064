"""Figures 3 and 4 and Table 3's translation row: does calibration pay in beam search? C7, C9–C11, C17, C20."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from lsbook import figures
from lsbook.analysis import projection, translation
from lsbook.analysis.calibration import Reliability, confidence_reliability
from lsbook.analysis.statistics import Interval, welch_interval
from lsbook.chapters.projections import projected
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
from lsbook.core.wording import counted, listed
from lsbook.evidence import claims, literature
from lsbook.outputs import Figure, Markup, Text
from lsbook.recipes.profiles import PROFILES

# The network of each profile on each of its texts, the first being what "auto" means.
NETWORKS = {
    "smoke": {"grammar": "transformer-64"},
    "laptop": {"multi30k": "transformer-256"},
    "paper": {"multi30k": "transformer-base", "wmt14-en-de": "transformer-base"},
}
SEEDS = {"smoke": "0", "laptop": "0-2", "paper": "0-2"}
QUOTED = "test_bleu", "test_ece", "bleu_temperature"
UNSURE = "128, 128, 128"  # red, green and blue of the grey that marks tokens of little confidence
SHOWN = 3  # translations that differ, at most


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
    return confidence_reliability(record.arrays["test_confidence"].astype(float), record.arrays["test_hit"], n_bins)


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
    """Return an arm's curve. grid: the array of temperatures; fitted: the metric that is the fitted one, by name."""
    temperatures, values, best = arm.records[0].arrays[grid], arm.values(quantity), arm.metric(fitted)
    reached = values[np.arange(len(best)), np.searchsorted(temperatures, best)]
    return Curve(arm.panel_label, arm.colour, temperatures, values, best, reached)


def bleu_by_temperature(record: Record) -> np.ndarray:
    """Test BLEU (b,) at each temperature of the grid."""
    return translation.corpus_bleu(record.arrays["test_statistics"].sum(axis=1, dtype=np.int64))


def beam_bleu(record: Record) -> np.ndarray:
    """Test BLEU (k,), in percent, with each recorded beam size, at temperature 1."""
    return translation.corpus_bleu(record.arrays["beam_statistics"].sum(axis=1, dtype=np.int64))


class Search(NamedTuple):
    """What smoothing adds to test BLEU: smoothed − hard, each with its 95 % Welch interval.

    Attributes:
        sizes: (k,) of the beams, the smallest first.
        gains: k, one a beam.
        difference: the gain with the largest beam − that with the smallest. Each network's two numbers are subtracted
            first, so that the interval is of networks trained independently.
    """

    sizes: np.ndarray
    gains: list[Interval]
    difference: Interval


def search(comparison: Comparison) -> Search:
    """Return what smoothing adds with each beam size, and what more with the largest beam than with the smallest."""
    hard, smoothed = comparison.reference.values(beam_bleu), comparison.main.values(beam_bleu)
    gains = [_change(*columns) for columns in zip(hard.T, smoothed.T, strict=True)]
    difference = _change(hard[:, -1] - hard[:, 0], smoothed[:, -1] - smoothed[:, 0])
    return Search(comparison.reference.records[0].arrays["beams"], gains, difference)


def _change(first: np.ndarray, second: np.ndarray) -> Interval:
    """Mean of second (S',) − first (S,) with its Welch interval, NaN where an arm is a single run."""
    if min(len(first), len(second)) > 1:
        return welch_interval(first, second)
    return Interval(float(second.mean() - first.mean()), math.nan, math.nan)


def three_words(comparison: Comparison, words: str) -> tuple[int, int, int]:
    """Places, among the frequent words that records keep, of three given by name, such as "ein,einer,mit".

    "auto": the three most frequent. UserError unless they are three different ones of these words.
    """
    kept = comparison.reference.records[0].arrays["words"].tolist()
    first, second, third = (0, 1, 2) if words == "auto" else several_of("frequent word", words, kept, 3)
    return first, second, third


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
    of_hard = claim_tables.measure_paired("C20", "", "trained with hard targets", plain, best)
    return [about_as_well, *found, of_hard._replace(conditions="α = 0")]


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
            claim_tables.at_factor(measure(comparison.reference, arm, words), arm.alpha),
            [*comparison.reference.records, *arm.records],
        )
        for arm in comparison.others
    ]


def in_short(comparison: Comparison, words: tuple[int, int, int]) -> Text:
    """The chapter's answer: what contradicts the paper first, then BLEU with the search, calibration, likelihood."""
    reference, main = comparison.reference, comparison.main
    measures = {(m.verdict.claim, m.verdict.part): m for m in measure(reference, main, words)}
    verdicts = {verdict.claim: verdict.verdict for verdict in claim_tables.combined(list(measures.values()))}
    changes = {part: captions.mean_difference(found.first, found.second) for part, found in measures.items()}
    bleu = measures["C10", ""]
    if verdicts["C10"] not in (claims.REPRODUCED, claims.CONTRADICTED):
        changes["C10", ""] = captions.difference(bleu.first, bleu.second)
    hard, scaled, smoothed = (
        arm.metric(name).mean()
        for arm, name in ((reference, "test_ece"), (reference, "test_scaled_ece"), (main, "test_ece"))
    )
    sentences = {
        "C10": f"{bleu_sentence(verdicts['C10'], changes['C10', ''])} {search_sentence(search(comparison))}",
        "C7": calibration_sentence(verdicts["C7"], hard, scaled, smoothed),
        "C11": likelihood_sentence(verdicts["C11"], changes["C11", "T = 1"], changes["C11", "best T"]),
    }
    contradictions_first = sorted(sentences, key=lambda claim: verdicts[claim] != claims.CONTRADICTED)
    return captions.short_answer([sentences[claim] for claim in contradictions_first], TRY)


TRY = Markup("You can [read the probability of every token](explorer.ipynb) of a translation.")


def bleu_sentence(verdict: str, change: str) -> str:
    """A sentence on claim C10. change: smoothed − hard, as text."""
    opening = {
        claims.REPRODUCED: "Smoothing raises BLEU by",
        claims.CONTRADICTED: "Contrary to the paper, smoothing lowers BLEU by",
    }.get(verdict)
    said = f"{opening} {change.lstrip('+−')}" if opening else f"It is open whether smoothing raises BLEU: {change}"
    return f"{said} points, each network at the temperature that was best on validation text."


def search_sentence(found: Search) -> str:
    """A sentence on whether what smoothing adds to BLEU depends on the beam."""
    narrow, wide = (_signed_mean(gain) for gain in (found.gains[0], found.gains[-1]))
    if math.isnan(found.difference.low):
        end = "so few networks decide nothing"
    elif found.difference.low > 0:
        end = "the beam gains more"
    elif found.difference.high < 0:
        end = "the beam gains less"
    else:
        end = "these two do not clearly differ, so it is not shown that calibration is what pays in the beam"
    return (
        f"At T = 1 it is {narrow} with greedy search, where no temperature can act, and {wide} with a beam of "
        f"{found.sizes[-1]}: {end}."
    )


def _signed_mean(interval: Interval) -> str:
    """A difference with the digits that its interval would have, if that is known."""
    if math.isnan(interval.low):
        return f"{interval.mean:+.3g}".replace("-", "−")
    return captions.signed(*interval).partition(" ")[0]


def calibration_sentence(verdict: str, hard: float, scaled: float, smoothed: float) -> str:
    """A sentence on claim C7 for next tokens.

    Args:
        verdict: such as `claims.REPRODUCED`.
        hard: mean ECE with hard targets.
        scaled: the same, at the fitted temperatures.
        smoothed: mean ECE with smoothed targets.
    """
    opening = {
        claims.REPRODUCED: "Smoothing calibrates next tokens about as well as a fitted temperature",
        claims.CONTRADICTED: "Contrary to the paper, smoothing does not calibrate next tokens as well as a temperature",
    }.get(verdict, "It is open whether smoothing calibrates next tokens about as well as a fitted temperature")
    margin = claims.CLAIMS["C7"].part().margin
    return (
        f"{opening} (at most {margin:g} apart): their calibration error is {hard:.3f} with hard targets, {scaled:.3f} "
        f"with these and a fitted temperature, and {smoothed:.3f} with smoothed targets."
    )


def likelihood_sentence(verdict: str, plain: str, best: str) -> str:
    """A sentence on claim C11. plain, best: smoothed − hard at T = 1 and at each network's best T, as text."""
    opening = {
        claims.REPRODUCED: "Smoothing makes the references less likely",
        claims.MIXED: "The paper’s claim that smoothing makes references less likely holds in part",
        claims.CONTRADICTED: "Contrary to the paper, smoothing does not make the references less likely",
    }.get(verdict, "It is open whether smoothing makes the references less likely")
    return (
        f"{opening}: their negative log-likelihood, lower for likelier ones, changes by {plain} nats a token at T = 1, "
        f"and by {best} at each network’s best T."
    )


def reliability_figure(comparison: Comparison, n_bins: int) -> Figure:
    """Next tokens' accuracy against confidence (Figure 3)."""
    return Figure(partial(figures.reliability_figure, diagrams(comparison, n_bins)), comparison.records)


def temperature_figure(comparison: Comparison) -> Figure:
    """BLEU, ECE and NLL against the temperature (Figure 4)."""
    return Figure(partial(figures.temperature_figure, curves(comparison)), comparison.records)


def beams_figure(comparison: Comparison) -> Figure:
    """What smoothing adds to BLEU, against the size of the beam."""
    found = search(comparison)
    return Figure(partial(figures.beams_figure, found.sizes, found.gains), comparison.records)


def example_text(comparison: Comparison) -> Text:
    """Our own sentences that networks of one seed translate differently; a token is marked the less sure it was."""
    seeds = list(zip(*(arm.records for arm in comparison.arms), strict=True))  # of each the records, one an arm
    differing = [sentence for records in seeds for sentence in _differing(comparison, records)]
    n_sentences = len(comparison.reference.records[0].arrays["example_sources"])
    opening = agreement(n_sentences, len(seeds), len(differing))
    return Text(Markup("\n\n").join([opening, *differing[:SHOWN]]))


def _differing(comparison: Comparison, records: Sequence[Record]) -> list[Markup]:
    """The sentences that not all of these networks translate alike, with the translations. records: one an arm."""
    tokens = [example_tokens(record) for record in records]
    marked = [_marked(record) for record in records]
    arrays, found = records[0].arrays, []
    for i, (source, reference) in enumerate(zip(arrays["example_sources"], arrays["example_references"], strict=True)):
        if len({"".join(token for token, _ in each[i]) for each in tokens}) > 1:
            lines = [Markup("**{}** ({})\n").format(source, reference)]
            lines += [
                Markup("- {}: {}").format(arm.name, each[i]) for arm, each in zip(comparison.arms, marked, strict=True)
            ]
            found.append(Markup("\n").join(lines))
    return found


def agreement(n_sentences: int, n_seeds: int, n_differing: int) -> str:
    """A sentence on how often networks of one seed translate alike. n_differing: of the sentences of all seeds."""
    n = n_sentences * n_seeds
    alike = (
        f"This book’s own {n_sentences} sentences, translated by networks of {counted(n_seeds, 'seed')}: "
        f"{n - n_differing} of {n} translations are the same with hard and with smoothed targets."
    )
    if not n_differing:
        return alike
    return f"{alike} {f'The first {SHOWN} that differ' if n_differing > SHOWN else 'What differs'}:"


def differing_share(comparison: Comparison) -> float:
    """The share of the test sentences, mean over the seeds, whose two translations at T = 1 differ in what BLEU counts.

    More may differ, in ways that leave the numbers of n-grams as they are.
    """

    def statistics(record: Record) -> np.ndarray:
        [place] = np.flatnonzero(record.arrays["bleu_temperatures"] == 1)
        return record.arrays["test_statistics"][place]

    shares = [
        (statistics(hard) != statistics(smoothed)).any(axis=1).mean()
        for hard, smoothed in zip(comparison.reference.records, comparison.main.records, strict=False)
    ]
    return float(np.mean(shares))


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
    """Return the tokens of each of our own sentences' translations with their probabilities, the end last.

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
    bleu = literature.TABLE_1["WMT14 English–German", "Transformer", "BLEU"]
    result: dict[str, float | str] = {
        "word_names": ", ".join(f"“{first.arrays['words'][k]}”" for k in words),
        "vocabulary": f"{first.run.vocabulary:,}",
        "test_tokens": f"{len(first.arrays['test_hit']):,}",
        "test_sentences": f"{first.arrays['test_statistics'].shape[1]:,}",
        "differing": f"{100 * differing_share(comparison):.0f}",
        "signature": first.environment["signatures"]["BLEU"].replace("|", ", "),  # which can be broken
        "paper_bleu": f"{bleu['hard'].shown} → {bleu['smoothed'].shown}",
        "paper_ece": published_ece(literature.PAPER),
        "replication_ece": published_ece(literature.REPLICATION),
        **_equally_calibrated(comparison),
    }
    for arm in comparison.arms:
        result[f"{arm.name}_accuracy"] = float(arm.metric("test_accuracy").mean())
        for quantity in QUOTED:
            result[f"{arm.name}_{quantity.removeprefix('test_')}"] = float(arm.metric(quantity).mean())
    return result


def published_ece(source: str) -> str:
    """The Transformer's row of Table 3 in words. source: of `literature.TABLE_3`."""
    [row] = [row for (_, model), row in literature.TABLE_3[source].items() if model == "transformer"]
    factors = [arm for arm in row if arm.startswith("smoothed")]
    smoothed = listed([f"{row[arm].shown} (α = {arm.removeprefix('smoothed ')})" for arm in factors])
    scaled = f"{row['scaled'].shown} (T = {row['temperature'].value:g})"
    return f"{row['hard'].shown} with hard targets, {scaled} once these are scaled, {smoothed} with smoothed ones"


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


CHAPTER = Chapter("machine_translation", groups, DecidedClaims(("C7", "C9", "C10", "C11", "C17", "C20"), settings))
