"""The chapter's tables, figures and claims, on records whose scores are known."""

import dataclasses
import math
import types

import numpy as np
import pytest

from lsbook import figures
from lsbook.analysis import translation
from lsbook.analysis.statistics import Interval, welch_interval
from lsbook.chapters import machine_translation as chapter
from lsbook.chapters.shared.comparison import Comparison, smoothing_arm
from lsbook.core.errors import UserError
from lsbook.core.registry import network_title
from lsbook.core.store import Store
from lsbook.evidence import claims

TEMPERATURES, BLEU_TEMPERATURES = np.array([0.5, 1.0, 1.4, 2.0]), np.array([0.8, 1.0, 1.25])
SENTENCES, TOKENS = 1_000, 10  # of the test text; tokens of each sentence


def statistics(right: int) -> np.ndarray:
    """(SENTENCES, 10): ten tokens each, `right` of them in one run, as long as the reference: no brevity penalty."""
    counts = [max(right - n, 0) for n in range(4)] + [TOKENS - n for n in range(4)] + [TOKENS, TOKENS]
    return np.tile(np.array(counts, np.uint16), (SENTENCES, 1))


def bleu(right: int) -> float:
    return float(translation.corpus_bleu(statistics(right)[0]))


def content(alpha: float, seed: int) -> tuple[dict, dict]:
    """Smoothed networks: calibrated, better BLEU at every T, worse NLL. Hard ones: best BLEU at T = 1.25.

    Points lie around the corners of a triangle, of smoothed networks half as far; a seed moves everything a little.
    """
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2, 3], 30)
    templates = np.eye(4)
    confidence = 0.8 if alpha else 0.9
    right = (8, 8, 8) if alpha else (5, 6, 7)
    nll = np.array([1.5, 0.9, 0.8, 1.0]) if alpha else np.array([1.0, 0.6, 0.5, 0.7])
    n = SENTENCES * TOKENS
    by_temperature = np.stack([statistics(k) for k in right])
    if seed:
        by_temperature[:, :seed] = statistics(9)[:seed]
    arrays = {
        "temperatures": TEMPERATURES,
        "test_nll": nll + seed / 100,
        "test_ece": np.array([0.2, 0.01 if alpha else 0.1, 0.05, 0.1]) + seed / 1000,
        "test_confidence": np.full(n, confidence, np.float16),
        "test_hit": np.arange(n) % 10 < 8,
        "bleu_temperatures": BLEU_TEMPERATURES,
        "test_statistics": by_temperature,
        "beams": np.array([1, 4], np.uint8),
        "beam_statistics": np.stack([statistics(4), by_temperature[1]]),
        "words": np.array(["ein", "die", "mit", "und"]),
        "templates": templates,
        "train_labels": labels.astype(np.uint16),
        "test_labels": labels.astype(np.uint16),
        "example_sources": np.array(["A dog runs."]),
        "example_references": np.array(["Ein Hund rennt."]),
        "example_pieces": np.array(["▁Ein", "▁Hund", "<0xC3>", "<", "</s>"]),
        "example_confidences": np.array([1.0, 0.5, 0.25, 0.25, 1.0], np.float16),
        "example_lengths": np.array([5], np.uint16),
    }
    for split, spread in {"train": 0.1 if alpha else 0.2, "test": 0.3}.items():
        arrays[f"{split}_activations"] = templates[labels] + spread * generator.standard_normal((120, 4))
    best = 1.0 if alpha else 1.25
    reached = translation.corpus_bleu(by_temperature.sum(axis=1, dtype=int))
    metrics = {
        "test_accuracy": 0.8,
        "test_chrf": 60.0 + seed,
        "test_ece": arrays["test_ece"][1],
        "test_scaled_ece": arrays["test_ece"][2],
        "test_nll": arrays["test_nll"][1],
        "test_scaled_nll": arrays["test_nll"][2],
        "temperature": 1.4,
        "bleu_temperature": best,
        "test_bleu": float(reached[1]),
        "test_scaled_bleu": float(reached[list(BLEU_TEMPERATURES).index(best)]),
    }
    return {name: float(value) for name, value in metrics.items()}, arrays


@pytest.fixture(scope="module")
def store(tmp_path_factory, put) -> Store:
    store = Store(tmp_path_factory.mktemp("results"))
    for seed in range(3):
        for alpha in (0.0, 0.1):
            metrics, arrays = content(alpha, seed)
            signatures = {"BLEU": "a|signature", "chrF": "another"}
            run = chapter.run("laptop", smoothing_arm(alpha), seed)
            put(store, run, metrics=metrics, arrays=arrays, signatures=signatures)
    return store


@pytest.fixture(scope="module")
def comparison(store) -> Comparison:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSBOOK_RESULTS", str(store.path))
        return chapter.select_comparison()


@pytest.fixture(scope="module")
def words(comparison) -> tuple[int, int, int]:
    return chapter.three_words(comparison, "auto")


def test_the_recorded_profile_is_taken_and_arms_differ_in_alpha_alone(comparison):
    assert comparison.profile == "laptop"
    assert [{r.run.alpha for r in arm.records} for arm in comparison.arms] == [{0.0}, {0.1}]
    assert chapter.run("laptop", smoothing_arm(0.0), 1).recipe == chapter.run("laptop", smoothing_arm(0.1), 1).recipe


def test_reliability_is_that_of_the_tokens(comparison):
    [(title, [(_, _, hard), (_, colour, smoothed)])] = chapter.diagrams(comparison)
    assert title == "Transformer, 3 + 3 layers of width 256, Multi30k, English to German"
    assert colour == "smoothed"
    for diagram, error in ((hard[0], 0.1), (smoothed[0], 0.0)):
        assert diagram.ece == pytest.approx(error, abs=3e-4)
        assert diagram.count.sum() == SENTENCES * TOKENS
    with pytest.raises(UserError, match="n_bins must be"):
        chapter.diagrams(comparison, 0)


def test_curves_have_their_marks_where_validation_says(comparison):
    found = dict(chapter.curves(comparison))
    assert list(found) == ["ECE", "BLEU", "NLL (nats a token)"]
    hard, smoothed = found["BLEU"]
    np.testing.assert_allclose(hard.values[0], [bleu(5), bleu(6), bleu(7)])
    assert hard.fitted.tolist() == [1.25] * 3
    assert hard.reached[0] == pytest.approx(bleu(7))
    assert smoothed.reached[0] == pytest.approx(bleu(8))
    np.testing.assert_allclose(found["NLL (nats a token)"][0].reached, [0.5, 0.51, 0.52])


def test_the_searchs_share_is_what_the_largest_beam_gains_more(comparison):
    """With a beam of one all are equal; with 4 the networks of each arm differ by seed."""
    found = chapter.search(comparison)
    hard, smoothed = ([chapter.beam_bleu(record)[1] for record in arm.records] for arm in comparison.arms)
    assert (hard[0], smoothed[0]) == pytest.approx((bleu(6), bleu(8)))
    assert found.sizes.tolist() == [1, 4]
    assert found.gains[0] == pytest.approx([0, 0, 0])
    assert found.gains[1] == pytest.approx(welch_interval(np.array(hard), np.array(smoothed)))
    assert found.difference == pytest.approx(found.gains[1])
    single = chapter.search(comparison.first_seed)
    assert single.difference.mean == pytest.approx(bleu(8) - bleu(6))
    assert math.isnan(single.difference.low)


def test_verdicts(comparison, words):
    [setting] = chapter.measured(comparison, words)
    assert {(m.verdict.claim, m.verdict.part): m.verdict.verdict for m in setting.measures} == {
        ("C7", ""): claims.REPRODUCED,
        ("C9", ""): claims.REPRODUCED,
        ("C10", ""): claims.REPRODUCED,
        ("C11", "T = 1"): claims.REPRODUCED,
        ("C11", "best T"): claims.REPRODUCED,
        ("C17", ""): claims.REPRODUCED,
        ("C20", ""): claims.REPRODUCED,
    }


def test_smoothing_is_held_against_temperature_scaling(comparison, words):
    """Hard targets have an ECE of 0.05 at T = 1.4, smoothed ones of 0.01 at T = 1, and a thousandth more each seed."""
    [found] = [m for m in chapter.measured(comparison, words)[0].measures if m.verdict.claim == "C7"]
    np.testing.assert_allclose(found.first, [0.05, 0.051, 0.052])
    np.testing.assert_allclose(found.second, [0.01, 0.011, 0.012])
    assert found.verdict.mean == pytest.approx(0.04)  # times the claimed sign, −1


def test_a_quarter_of_the_spread_is_a_quarter_of_the_scatter(comparison, words):
    [scatter] = [m for m in chapter.measured(comparison, words)[0].measures if m.verdict.claim == "C17"]
    np.testing.assert_allclose(scatter.second / scatter.first, 1 / 4, rtol=0.1)


def test_published_errors_are_said_as_they_are_printed():
    assert chapter.published_ece("paper") == (
        "0.056† with hard targets, 0.018† (T = 1.13) once these are scaled, 0.019† (α = 0.1) with smoothed ones"
    )
    assert chapter.published_ece("replication") == (
        "0.449 with hard targets, 0.058 (T = 1.8) once these are scaled, 0.372 (α = 0.1) and 0.11 (α = 0.3) with "
        "smoothed ones"
    )


@pytest.mark.parametrize(
    ("verdict", "opening"),
    [
        (claims.REPRODUCED, "Smoothing raises BLEU by 1.0"),
        (claims.CONTRADICTED, "Contrary to the paper, smoothing lowers BLEU by 1.0"),
        (claims.UNDECIDED, "It is open whether smoothing raises BLEU: +1.0"),
    ],
)
def test_the_sentence_on_bleu(verdict, opening):
    found = chapter.bleu_sentence(verdict, "−1.0" if verdict == claims.CONTRADICTED else "+1.0")
    assert found == f"{opening} points, each network at the temperature that was best on validation text."


@pytest.mark.parametrize(
    ("low", "high", "end"),
    [
        (-0.62, 1.0, "these two do not clearly differ, so it is not shown that calibration is what pays in the beam"),
        (0.1, 0.28, "the beam gains more"),
        (-0.3, -0.1, "the beam gains less"),
        (math.nan, math.nan, "so few networks decide nothing"),
    ],
)
def test_the_sentence_on_the_search(low, high, end):
    narrow, wide = (Interval(mean, mean - 0.25, mean + 0.25) for mean in (0.88, 1.07))
    difference = Interval(0.19 if math.isnan(low) else (low + high) / 2, low, high)
    found = chapter.search_sentence(chapter.Search(np.array([1, 8]), [narrow, wide], difference))
    assert found == (
        f"At T = 1 it is +0.88 with greedy search, where no temperature can act, and +1.07 with a beam of 8: {end}."
    )


@pytest.mark.parametrize(
    ("verdict", "opening"),
    [
        (claims.REPRODUCED, "Smoothing calibrates next tokens about as well as a fitted temperature"),
        (
            claims.CONTRADICTED,
            "Contrary to the paper, smoothing does not calibrate next tokens as well as a temperature",
        ),
        (
            claims.NOT_TESTED,
            "It is open whether smoothing calibrates next tokens about as well as a fitted temperature",
        ),
    ],
)
def test_the_sentence_on_calibration(verdict, opening):
    assert chapter.calibration_sentence(verdict, 0.1, 0.02, 0.05) == (
        f"{opening} (at most 0.02 apart): their calibration error is 0.100 with hard targets, 0.020 with these and a "
        "fitted temperature, and 0.050 with smoothed targets."
    )


@pytest.mark.parametrize(
    ("verdict", "opening"),
    [
        (claims.REPRODUCED, "Smoothing makes the references less likely"),
        (claims.MIXED, "The paper’s claim that smoothing makes references less likely holds in part"),
        (claims.CONTRADICTED, "Contrary to the paper, smoothing does not make the references less likely"),
        (claims.UNDECIDED, "It is open whether smoothing makes the references less likely"),
    ],
)
def test_the_sentence_on_the_likelihood(verdict, opening):
    assert chapter.likelihood_sentence(verdict, "−0.1", "+0.1") == (
        f"{opening}: their negative log-likelihood, lower for likelier ones, changes by −0.1 nats a token at T = 1, "
        "and by +0.1 at each network’s best T."
    )


def test_the_answer_begins_with_what_contradicts_the_paper(comparison, words):
    """As recorded here all claims hold; with the arms exchanged those on the likelihood and on BLEU do not."""
    text = chapter.in_short(comparison, words).markdown
    assert text.startswith("**In short.**\n\n- Smoothing raises BLEU by ")
    assert "0.101 with hard targets, 0.051 with these and a fitted temperature, and 0.011 with smoothed" in text
    hard, smoothed = comparison.arms
    swapped = (
        dataclasses.replace(hard, records=smoothed.records),
        dataclasses.replace(smoothed, records=hard.records),
    )
    text = chapter.in_short(dataclasses.replace(comparison, arms=swapped), words).markdown
    assert text.startswith("**In short.**\n\n- Contrary to the paper, smoothing lowers BLEU by ")
    assert "Contrary to the paper, smoothing does not calibrate next tokens as well" in text


@pytest.mark.parametrize(
    ("lowered", "opening"),
    [
        (["test_nll"], "The paper’s claim that smoothing makes references less likely holds in part"),
        (
            ["test_nll", "test_scaled_nll"],
            "Contrary to the paper, smoothing does not make the references less likely",
        ),
    ],
)
def test_a_claim_that_fails_comes_first_and_one_that_holds_in_part_does_not(comparison, words, lowered, opening):
    """Smoothed networks' NLL is half a nat lower than recorded, at T = 1 or at the best T as well."""
    hard, smoothed = comparison.arms
    records = [
        dataclasses.replace(record, metrics=record.metrics | {name: record.metrics[name] - 0.5 for name in lowered})
        for record in smoothed.records
    ]
    changed = dataclasses.replace(comparison, arms=(hard, dataclasses.replace(smoothed, records=records)))
    text = chapter.in_short(changed, words).markdown
    assert f"{opening}: their negative log-likelihood, lower for likelier ones, changes by −0.200 nats" in text
    assert text.startswith(f"**In short.**\n\n- {opening}") is ("Contrary" in opening)


def translated(comparison: Comparison, words: list[str]) -> Comparison:
    """The comparison with another first word in the smoothed networks' translations, one a seed."""
    hard, smoothed = comparison.arms
    arrays = [dict(record.arrays) for record in smoothed.records]
    for each, word in zip(arrays, words, strict=True):
        each["example_pieces"] = np.array([word, *each["example_pieces"][1:]])
    records = [types.SimpleNamespace(arrays=each) for each in arrays]
    return dataclasses.replace(comparison, arms=(hard, dataclasses.replace(smoothed, records=records)))


def test_only_translations_that_differ_are_shown(comparison):
    """Their tokens are marked by confidence."""
    text = chapter.example_text(translated(comparison, ["▁Ein", "▁Der", "▁Ein"])).markdown
    assert "**A dog runs.** (Ein Hund rennt.)" in text
    assert text.count("A dog runs") == 1
    assert 'title="1.00">Ein</span> <span' in text
    assert 'title="1.00">Der</span> <span' in text
    assert 'rgba(128, 128, 128, 0.35)" title="0.50">Hund</span>' in text
    assert ">�</span>" in text
    assert "&#60;" in text
    assert f"({np.log([1, 0.5, 0.25, 0.25, 1]).mean():.2f} nats a token)".replace("-", "−") in text
    assert "A dog runs" not in chapter.example_text(comparison).markdown


def test_it_is_said_how_many_translations_are_the_same(comparison):
    rest = "translations are the same with hard and with smoothed targets."
    said = f"This book’s own 6 sentences, translated by networks of 3 seeds: {{}} of 18 {rest}"
    assert chapter.agreement(6, 3, 0) == said.format(18)
    assert chapter.agreement(6, 3, 1) == said.format(17) + " What differs:"
    assert chapter.agreement(6, 3, 4) == said.format(14) + " The first 3 that differ:"
    assert f"2 of 3 {rest} What" in chapter.example_text(translated(comparison, ["▁Ein", "▁Der", "▁Ein"])).markdown


def test_sentences_whose_counts_differ_are_counted(comparison):
    """At T = 1 hard networks have 6 right tokens and smoothed ones 8, but for the first sentences of later seeds."""
    assert chapter.differing_share(comparison) == pytest.approx(np.mean([1000, 999, 998]) / 1000)


def test_words_are_chosen_by_name(comparison, words):
    assert words == (0, 1, 2)
    assert chapter.three_words(comparison, "und, ein,mit") == (3, 0, 2)
    with pytest.raises(UserError, match="unknown frequent word 'Hund': choose from ein, die, mit, und"):
        chapter.three_words(comparison, "ein,die,Hund")
    with pytest.raises(UserError, match="expected 3 different names, each a frequent word"):
        chapter.three_words(comparison, "ein,ein,die")


def test_figures_show_these_data(comparison):
    axes = figures.temperature_figure(chapter.curves(comparison)).axes
    assert [a.get_ylabel() for a in axes] == ["ECE", "BLEU", "NLL (nats a token)"]
    np.testing.assert_allclose(axes[2].lines[0].get_ydata(), np.array([1.0, 0.6, 0.5, 0.7]) + 0.01)
    assert axes[1].lines[2].get_xdata().tolist() == [1.25] * 3
    found = chapter.search(comparison)
    [axes] = figures.beams_figure(found.sizes, found.gains).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1 (greedy)", "4"]
    assert axes.containers[0].lines[0].get_ydata().tolist() == pytest.approx([0, found.gains[1].mean])
    bars = axes.containers[0].lines[2][0].get_segments()
    assert bars[1][:, 1] == pytest.approx(found.gains[1][1:])
    assert chapter.beams_figure(comparison).records == comparison.records
    assert len(chapter.beams_figure(comparison.first_seed).draw(3.7).axes) == 1


def test_numbers_say_what_was_measured(comparison, words):
    numbers = chapter.numbers(comparison, words)
    assert numbers["test_tokens"] == "10,000"
    assert numbers["hard_ece"] == pytest.approx(0.101)
    assert numbers["hard_bleu_temperature"] == 1.25
    # The smoothed networks' ECE is 0.011 at T = 1; of the hard ones it is 0.051 at the highest T, and more elsewhere.
    assert (numbers["equal_temperature"], numbers["equal_ece"]) == (BLEU_TEMPERATURES[2], pytest.approx(0.051))
    hard = [chapter.bleu_by_temperature(record) for record in comparison.reference.records]
    assert numbers["equal_bleu"] == pytest.approx(np.mean(hard, axis=0)[2])
    assert numbers["hard_bleu"] == pytest.approx(np.mean(hard, axis=0)[1])
    assert (numbers["test_sentences"], numbers["differing"]) == ("1,000", "100")
    assert numbers["signature"] == "a, signature"
    assert numbers["paper_bleu"] == "25.3 → 25.8"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "iwslt"}, "unknown text 'iwslt': choose from auto, grammar, multi30k, wmt14-en-de"),
        (
            {"profile": "smoke", "dataset": "multi30k"},
            "unknown text of the profile smoke 'multi30k': choose from auto, grammar",
        ),
        ({"alpha": 0}, "alpha must be above 0"),
        ({"alpha": 1.0, "profile": "smoke"}, "alpha must be below 1"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(arguments, message, results):
    with pytest.raises(UserError, match=message):
        chapter.select_comparison(**arguments)


def test_a_text_is_looked_for_in_the_profiles_that_have_it(store, monkeypatch):
    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    assert chapter.select_comparison(dataset="multi30k").profile == "laptop"
    asked = []
    monkeypatch.setattr(
        "lsbook.chapters.shared.selection.obtain", lambda runs, *_: asked.extend(runs) or [None] * len(runs)
    )
    assert chapter.select_comparison(dataset="wmt14-en-de", seeds="0").profile == "paper"
    assert {run.dataset for run in asked} == {"wmt14-en-de"}


def test_the_scorecard_gets_every_text_that_is_recorded(store, put, tmp_path, monkeypatch):
    """Of the paper's two texts one has runs; nothing is trained for the other."""
    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    [setting] = chapter.settings("laptop", "recorded")
    assert setting[:3] == ("machine_translation", "laptop", network_title("multi30k", "transformer-256"))
    assert [m.verdict.claim for m in setting.measures] == ["C7", "C9", "C10", "C11", "C11", "C17", "C20"]
    other = Store(tmp_path)
    for alpha in (0.0, 0.1):
        metrics, arrays = content(alpha, 0)
        run = chapter.run("paper", smoothing_arm(alpha), 0, "multi30k")
        put(other, run, metrics=metrics, arrays=arrays)
    monkeypatch.setenv("LSBOOK_RESULTS", str(tmp_path))
    assert [s.title for s in chapter.settings("paper", "recorded")] == [network_title("multi30k", "transformer-base")]
    assert {run.dataset for group in chapter.groups("paper") for run in group.runs(0).values()} == {
        "wmt14-en-de",
        "multi30k",
    }
