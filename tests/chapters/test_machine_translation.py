"""The chapter's tables, figures and claims, on records whose scores are known."""

import types

import numpy as np
import pytest

from lsbook import figures
from lsbook.analysis import translation
from lsbook.analysis.calibration import confidence_reliability
from lsbook.chapters import machine_translation as chapter
from lsbook.chapters.shared import claim_tables
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
    confidence, log_probability = (0.8, -0.9) if alpha else (0.9, -0.6)
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
        "token_temperatures": np.array([1.0]),
        "test_confidence": np.full((1, n), confidence, np.float16),
        "test_log_probability": np.full((1, n), log_probability, np.float16),
        "test_hit": np.arange(n) % 10 < 8,
        "test_lengths": np.full(SENTENCES, TOKENS, np.uint16),
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


def test_beams(comparison):
    hard, smoothed = chapter.beams(comparison)
    np.testing.assert_allclose(hard.bleu[0], [bleu(4), bleu(6)])
    np.testing.assert_allclose(smoothed.bleu[0], [bleu(4), bleu(8)])


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
    assert "**reproduced**: C7, C9, C10, C11, C17, C20" in claim_tables.text([setting]).markdown
    assert len(chapter.claim_table(comparison, [setting]).rows) == 7


def test_smoothing_is_held_against_temperature_scaling(comparison, words):
    """Hard targets have an ECE of 0.05 at T = 1.4, smoothed ones of 0.01 at T = 1, and a thousandth more each seed."""
    [found] = [m for m in chapter.measured(comparison, words)[0].measures if m.verdict.claim == "C7"]
    np.testing.assert_allclose(found.first, [0.05, 0.051, 0.052])
    np.testing.assert_allclose(found.second, [0.01, 0.011, 0.012])
    assert found.verdict.mean == pytest.approx(0.04)  # times the claimed sign, −1


def test_a_quarter_of_the_spread_is_a_quarter_of_the_scatter(comparison, words):
    [scatter] = [m for m in chapter.measured(comparison, words)[0].measures if m.verdict.claim == "C17"]
    np.testing.assert_allclose(scatter.second / scatter.first, 1 / 4, rtol=0.1)


def test_differences_over_sentences(comparison):
    """Sentences that are all alike leave the bootstrap nothing to vary, other ones do."""
    hard, smoothed = statistics(6)[None], statistics(8)[None]
    assert chapter.over_sentences(hard, smoothed, chapter._mean_bleu) == pytest.approx([bleu(8) - bleu(6)] * 3)
    half = np.where(np.arange(SENTENCES)[:, None] % 2, statistics(8), statistics(6))[None]
    found = chapter.over_sentences(half[:, :20], smoothed[:, :20], chapter._mean_bleu)
    assert found.low < found.mean - 1
    assert found.high > found.mean + 1
    rows = {row[0]: row for row in chapter.quality_table(comparison).rows}
    assert rows["NLL, T = 1"][1].startswith("0.61")
    assert rows["NLL, T = 1"][4].startswith("+0.300 [+0.300")
    assert rows["token accuracy"][4].startswith("+0.000 [+0.000")
    assert rows["ECE, T = 1"][4].startswith("−0.100 [")
    assert rows["chrF, T = 1"][4] == "—"
    assert "BLEU: a|signature; chrF: another" in chapter.quality_table(comparison).caption


def test_gaps_add_up_to_the_calibration_error(comparison):
    """Of recorded confidences that lie anywhere, edges of bins among them."""
    generator = np.random.default_rng(0)
    confidence = np.r_[np.arange(16) / 15, generator.random(500)].astype(np.float16)
    hit = generator.random(len(confidence)) < 0.6
    kept = {"token_temperatures": np.array([1.0]), "test_confidence": confidence[None], "test_hit": hit}
    gaps = chapter._gaps(types.SimpleNamespace(arrays=kept))
    expected = confidence_reliability(confidence.astype(np.float64), hit, 15).ece
    assert np.abs(gaps.sum(axis=0)).sum() / len(hit) == pytest.approx(expected, abs=1e-12)


def test_table_3_has_the_published_rows_and_ours(comparison):
    papers, replication, ours = chapter.ece_table(comparison).rows
    assert replication == (
        "Transformer, Multi30k, English to German",
        "replication",
        "0.449",
        "0.058 (1.8)",
        "0.372 (0.1), 0.110 (0.3)",
        "—",
    )
    assert papers == ("Transformer, WMT14, English to German", "paper†", "0.056", "0.018 (1.13)", "0.019 (0.1)", "—")
    assert ours[2].startswith("0.101")
    assert ours[3].endswith("(1.40)")
    assert ours[4].endswith("(0.1)")
    assert ours[5].endswith("(1.40)")


def test_our_sentences_are_marked_by_confidence(comparison):
    text = chapter.example_text(comparison).markdown
    assert "**A dog runs.** (Ein Hund rennt.)" in text
    assert '<span style="background-color: rgba(213, 94, 0, 0.00)" title="1.00">Ein</span> <span' in text
    assert 'rgba(213, 94, 0, 0.35)" title="0.50">Hund</span>' in text
    assert ">�</span>" in text
    assert "&#60;" in text
    assert f"({np.log([1, 0.5, 0.25, 0.25, 1]).mean():.2f} nats a token)".replace("-", "−") in text


def test_words_are_chosen_by_name(comparison, words):
    assert words == (0, 1, 2)
    assert chapter.three_words(comparison, "und, ein,mit") == (3, 0, 2)
    titles = [panel.title for panel in chapter.panels(comparison, (3, 0, 2))]
    assert titles == [f"{a}, {b}" for a in ("hard targets", "α = 0.1") for b in ("training", "test")]
    assert chapter.panels(comparison, (3, 0, 2))[0].classes == ("und", "ein", "mit")
    with pytest.raises(UserError, match="unknown frequent word 'Hund': choose from ein, die, mit, und"):
        chapter.three_words(comparison, "ein,die,Hund")
    with pytest.raises(UserError, match="expected 3 different names, each a frequent word"):
        chapter.three_words(comparison, "ein,ein,die")


def test_figures_show_these_data(comparison, words):
    axes = figures.temperature_figure(chapter.curves(comparison)).axes
    assert [a.get_ylabel() for a in axes] == ["ECE", "BLEU", "NLL (nats a token)"]
    np.testing.assert_allclose(axes[2].lines[0].get_ydata(), np.array([1.0, 0.6, 0.5, 0.7]) + 0.01)
    assert axes[1].lines[2].get_xdata().tolist() == [1.25] * 3
    [axes] = figures.beams_figure(chapter.beams(comparison)).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "4"]
    assert len(figures.projection_figure(chapter.panels(comparison, words)).axes) == 8


def test_numbers_and_captions_say_what_was_measured(comparison, words):
    numbers = chapter.numbers(comparison, words)
    assert numbers["test_tokens"] == "10,000"
    assert numbers["hard_ece"] == pytest.approx(0.101)
    assert numbers["hard_scaled_ece"] == pytest.approx(0.051)
    assert numbers["hard_bleu_temperature"] == 1.25
    # The smoothed networks' ECE is 0.011 at T = 1; of the hard ones it is 0.051 at the highest T, and more elsewhere.
    assert (numbers["equal_temperature"], numbers["equal_ece"]) == (BLEU_TEMPERATURES[2], pytest.approx(0.051))
    hard = [chapter.bleu_by_temperature(record) for record in comparison.reference.records]
    assert numbers["equal_bleu"] == pytest.approx(np.mean(hard, axis=0)[2])
    assert numbers["hard_bleu"] == pytest.approx(np.mean(hard, axis=0)[1])
    assert (numbers["widest"], numbers["narrow_gain"].split()[0]) == ("4", "+0.000")
    assert numbers["wide_gain"].startswith("+")
    assert "29,000 sentence pairs, 3 seeds" in numbers["made_from"]


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
