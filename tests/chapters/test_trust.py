"""Which predictions to trust: each claim is decided on the arms and readings that it names."""

import dataclasses

import numpy as np
import pytest

from lsbook.chapters import later_findings, trust
from lsbook.chapters.shared import claim_tables
from lsbook.chapters.shared.comparison import Comparison
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.evidence.claims import NOT_TESTED, REPRODUCED, UNDECIDED

NETWORK = "cifar10-alexnet"


def metrics(arm: str, seed: int) -> dict[str, float]:
    """Smoothing ranks worse by 0.02, of which normalising repairs 0.01; it scales worse; MNIST is seen less."""
    change = {"hard": 0.0, "smoothed": 1.0, "smoothed by 0.05": 0.5, "MaxSup": 0.25}[arm]
    noise = 0.0001 * seed
    return {
        "test_msp_augrc": 0.08 + 0.02 * change + noise,
        "test_normalised_logit_augrc": 0.08 + 0.01 * change + noise,
        "test_scaled_ece": 0.01 + 0.02 * change + noise,
        "test_scaled_nll": 0.8 + 0.1 * change + noise,
        "test_smooth_ece": 0.2 - 0.1 * change + noise,
        "test_isotonic_miscalibration": 0.03 - 0.01 * change + noise,
        "test_debiased_squared_error": 0.02 - 0.01 * change + noise,
        "test_msp_risk_at_coverage": 0.2 + 0.01 * change,
        "test_msp_auroc": 0.8 - 0.01 * change + noise,
        **{f"ood_mnist_{score}_auroc": 0.7 - 0.1 * change + noise for score in ("msp", "max_logit", "energy")},
        **{f"ood_tiny_imagenet_32_{score}_auroc": 0.7 + noise for score in ("msp", "max_logit", "energy")},
    }


@pytest.fixture
def recorded(put, tmp_path, monkeypatch):
    """A function that records so many seeds of every arm of AlexNet, and gives the comparison."""

    def record(seeds: int, curves: bool = True) -> Comparison:
        store = Store(tmp_path / str(seeds))
        monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
        [group] = later_findings.network_groups("laptop", network=NETWORK)
        for seed in range(5, 5 + seeds):
            for name, run in group.runs(seed).items():
                risk = np.linspace(0, 0.3, 100, dtype=np.float32) + np.float32(0.01 * seed)
                arrays = {"test_msp_risk": risk, "test_normalised_logit_risk": risk / 2} if curves else {}
                arrays |= {
                    "test_confidence": np.full(200, 0.5, np.float16),
                    "test_hit": np.arange(200) % 4 > 0,
                }
                put(store, run, metrics=metrics(name, seed), arrays=arrays)
        [comparison] = later_findings.comparisons("laptop", seeds="recorded")
        return comparison

    return record


def verdicts(comparison: Comparison) -> dict[tuple[str, str, str], str]:
    """(setting, claim, part) -> verdict."""
    settings = later_findings.measured([comparison], trust.measures, trust.DECIDED)
    found = claim_tables.findings(settings)
    return {(f.setting, f.verdict.claim, f.verdict.part): f.verdict.verdict for f in found}


def test_every_claim_is_decided_on_what_it_names(recorded):
    comparison = recorded(3)
    found = verdicts(comparison)
    title = comparison.title
    assert {part: found[title, "L3", part] for part in ("ranking", "repair", "particular")} == {
        "ranking": REPRODUCED,
        "repair": REPRODUCED,  # 0.01 of a smoothed network's AUGRC
        "particular": REPRODUCED,  # a hard one's is 0
    }
    assert found[title, "L1", "ECE"] == found[f"{title}, α = 0.05", "L1", "NLL"] == REPRODUCED
    assert {found[title, "L2", part] for part in ("smooth ECE", "isotonic", "debiased")} == {REPRODUCED}
    [smooth] = [
        f
        for f in claim_tables.findings(later_findings.measured([comparison], trust.measures, ["L2"]))
        if f.verdict.part == "smooth ECE"
    ]
    assert smooth.change.mean == pytest.approx(-0.05)  # with 0.05, the claim's factor on CIFAR-10
    assert {found[f"{title} against MNIST", "L10", part] for part in trust.UNKNOWN_SCORES} == {REPRODUCED}
    unknown = {verdict for (where, claim, _), verdict in found.items() if claim == "L10" and "Tiny" in where}
    assert unknown == {UNDECIDED}


def test_too_few_seeds_decide_nothing_and_the_page_says_so(recorded):
    comparison = recorded(1)
    assert set(verdicts(comparison).values()) == {NOT_TESTED}
    text = trust.in_short([comparison]).markdown
    assert text == (
        "**In short.** Nothing here is decided yet: of the seeds 5-9, fixed beforehand, 1 is recorded, and a verdict "
        "needs 3. So far, of the 80 % of the images that it trusts most, AlexNet, CIFAR-10 errs on 20.0 % with hard "
        "targets, and on 21.0 % with α = 0.1. You can [accept and reject predictions yourself](#accept-and-reject)."
    )


def test_the_answer_has_a_sentence_on_each_finding(recorded):
    text = trust.in_short([recorded(3)]).markdown.replace("\N{NO-BREAK SPACE}", " ")
    assert text.startswith(
        "**In short.**\n\n- Smoothed networks know less well when they are wrong, by the measure chosen beforehand, on "
        "AlexNet, CIFAR-10 (AUGRC 0.0806 → 0.101)"
    )
    assert "By AUROC, which accuracy does not enter but no rule was fixed for, they know it worse on AlexNet" in text
    assert "in place of the largest probability repairs that on AlexNet, CIFAR-10 (AUGRC 0.101 → 0.0" in text
    assert (
        "After temperature scaling smoothed networks are calibrated worse on AlexNet, CIFAR-10 (ECE 0.0106 → " in text
    )
    assert "unknown images worse by the largest probability on AlexNet, CIFAR-10 against MNIST (AUROC" in text
    assert "; it is open on AlexNet, CIFAR-10 against Tiny ImageNet" in text
    assert "This is on 3 of the 5 seeds fixed beforehand, and may change." in text


def test_the_table_of_the_ranking_has_every_measure_that_is_recorded(recorded):
    table = trust.ranking_table([recorded(3)])
    assert [row[1] for row in table.rows] == ["AUGRC", "AUROC of right against wrong", "risk at 80 % coverage"]
    assert table.rows[1][2:4] == ("0.801", "0.791")
    assert table.rows[1][4].startswith("−0.0100")
    assert len(table.records) == 6


def test_curves_are_the_recorded_ones_or_else_those_of_what_is_stored(recorded):
    comparison = recorded(2)
    hard = comparison.reference
    np.testing.assert_allclose(trust.risk_over_seeds(hard, "msp")[:, 0], [0.05, 0.06], rtol=1e-6)
    figure = trust.risk_figure([comparison]).draw(7.6)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["hard targets", "smoothed, α = 0.1", "MaxSup, α = 0.1", "smoothed, α = 0.1, normalised"]
    older = dataclasses.replace(recorded(1, curves=False).reference)
    assert trust.risk_over_seeds(older, "normalised_logit").shape == (0, 100)
    np.testing.assert_allclose(
        trust.risk_over_seeds(older, "msp"), np.full((1, 100), 0.25)
    )  # all confidences are equal


@pytest.mark.parametrize(
    ("accepted", "p", "message"),
    [
        (0.0, 2, "accepted must be a share above 0 and at most 1, not 0.0"),
        (1.5, 2, "accepted must be a share above 0 and at most 1, not 1.5"),
        ("half", 2, "accepted must be a number, not 'half'"),
        (0.8, 0, "p must be a whole number of at least 1 and at most 10, not 0"),
        (0.8, 2.5, "p must be a whole number of at least 1 and at most 10, not 2.5"),
    ],
)
def test_bad_choices_are_one_line(accepted, p, message):
    with pytest.raises(UserError) as error:
        trust.check_choice(accepted, p)
    assert str(error.value) == message


def test_an_unknown_network_is_one_line():
    with pytest.raises(UserError, match="unknown network of the profile laptop 'cifar10-vgg': choose from all, "):
        later_findings.comparisons("laptop", network="cifar10-vgg")
