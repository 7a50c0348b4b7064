"""Next-token measures against arithmetic, corpus BLEU against sacreBLEU, the bootstrap against its definition."""

import numpy as np
import pytest
import sacrebleu
from sacrebleu.metrics import BLEU

from lsbook.analysis import translation
from lsbook.analysis.calibration import expected_calibration_error, negative_log_likelihood, softmax
from lsbook.analysis.translation import NextTokens
from lsbook.training.text.translations import score_translations

WORDS = ["ein", "Hund", "läuft", "über", "die", "Wiese", ".", "Katze"]


def text(n: int, seed: int, shortest: int = 1) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, generator.integers(shortest, 12))) for _ in range(n)]


@pytest.mark.parametrize("n", [1, 3, 40])
def test_bleu_of_any_choice_of_sentences_is_sacrebleus(n):
    ours, theirs = text(n, seed=1), text(n, seed=2)
    statistics = score_translations(ours, theirs).statistics
    generator = np.random.default_rng(0)
    choices = [np.arange(n), *generator.integers(n, size=(20, n))]
    expected = [BLEU().corpus_score([ours[i] for i in c], [[theirs[i] for i in c]]).score for c in choices]
    found = translation.corpus_bleu(np.array([statistics[c].sum(axis=0) for c in choices]))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    counts = np.array([np.bincount(c, minlength=n) for c in choices])
    np.testing.assert_allclose(translation.corpus_bleu(counts @ statistics), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("ein Hund", "ein Hund"),  # no n-gram of three or four tokens
        ("Katze Wiese Katze Wiese Katze", "ein Hund läuft über die"),  # nothing right
        ("ein Hund über läuft die", "ein Hund läuft über die"),  # no three in a row
        ("ein Hund läuft über", "ein Hund läuft über die Wiese ."),  # too short
    ],
)
def test_bleu_where_counts_are_zero(ours, theirs):
    found = translation.corpus_bleu(score_translations([ours], [theirs]).statistics[0])
    assert found == pytest.approx(BLEU().corpus_score([ours], [[theirs]]).score, rel=1e-10)


def test_log_length_ratio_is_of_sacrebleus_tokens():
    """No output at all is taken for one token."""
    ours, theirs = text(40, seed=1), text(40, seed=2)
    of_text = BLEU().corpus_score(ours, [theirs])
    statistics = np.stack(
        [score_translations(lines, theirs).statistics.sum(axis=0) for lines in (ours, theirs, [""] * 40)]
    )
    expected = [np.log(of_text.sys_len / of_text.ref_len), 0, -np.log(of_text.ref_len)]
    assert of_text.sys_len != of_text.ref_len
    np.testing.assert_allclose(translation.log_length_ratio(statistics), expected, rtol=1e-12)


def test_scores_of_a_text_are_sacrebleus_with_its_signatures():
    ours, theirs = text(30, seed=3), text(30, seed=4)
    scores = score_translations(ours, theirs)
    assert scores.chrf == sacrebleu.corpus_chrf(ours, [theirs]).score
    assert scores.signatures["BLEU"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    with pytest.raises(ValueError, match="references: 29 for 30"):
        score_translations(ours, theirs[:-1])


def test_curves_are_those_of_the_probabilities():
    generator = np.random.default_rng(0)
    logits, labels = 3 * generator.standard_normal((300, 7)), generator.integers(7, size=300)
    temperatures = (0.5, 1.0, 2.0)
    probabilities = [softmax(logits, t) for t in temperatures]
    tokens = NextTokens(
        np.array([p.max(axis=1) for p in probabilities]),
        np.array([np.log(p[np.arange(300), labels]) for p in probabilities]),
        logits.argmax(axis=1) == labels,
        np.array([300]),
    )
    found = translation.temperature_curves(tokens)
    for i, t in enumerate(temperatures):
        assert found.nll[i] == pytest.approx(negative_log_likelihood(logits, labels, t), rel=1e-12)
        assert found.ece[i] == pytest.approx(expected_calibration_error(probabilities[i], labels), rel=1e-12)
    assert found.accuracy == np.mean(logits.argmax(axis=1) == labels)


@pytest.mark.parametrize(
    ("temperatures", "losses", "best"),
    [
        ([0.4, 1.0, 2.0], [3, 2, 1], 2.0),
        ([0.4, 1.0, 2.0], [1, 1, 1], 1.0),
        ([0.4, 1.0, 2.0], [2, 1, 1], 1.0),
        ([0.4, 1.0, 2.6], [1, 2, 1], 0.4),
    ],
)
def test_the_best_temperature_is_the_nearest_to_1_of_equal_ones(temperatures, losses, best):
    assert translation.best_temperature(temperatures, losses) == best


def test_resamples_draw_as_many_sentences_as_there_are():
    counts = translation.resamples(50, 200)
    assert counts.shape == (200, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert counts.mean() == 1
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: translation.corpus_bleu(np.ones(9)), "statistics: expected ten counts"),
        (lambda: translation.corpus_bleu(-np.ones(10)), "statistics: expected ten counts"),
        (lambda: translation.log_length_ratio(np.ones(9)), "statistics: expected ten counts"),
        (lambda: translation.best_temperature([0.0, 1.0], [1, 2]), "temperatures"),
        (lambda: translation.best_temperature([1.0], [1, 2]), "temperatures"),
        (
            lambda: translation.temperature_curves(NextTokens(np.ones((1, 2)), np.ones((1, 2)), np.ones(2), [2])),
            "log_probability",
        ),
        (
            lambda: translation.temperature_curves(NextTokens(np.ones((1, 2)), -np.ones((1, 3)), np.ones(2), [2])),
            "log_probability",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
