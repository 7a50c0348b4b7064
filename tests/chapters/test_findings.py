"""Verdicts of all chapters side by side: on invented findings, and on the records that come with the sources."""

import pytest

from lsbook.chapters import distillation, findings
from lsbook.chapters.distillation import equal_smoothness, mnist
from lsbook.chapters.plans import registered
from lsbook.chapters.shared.selection import RECORDED
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.evidence import literature
from lsbook.evidence.claims import CLAIMS
from tests.chapters.invented import ALEXNET, MLP, finding

TITLES = {ALEXNET: "AlexNet, CIFAR-10", MLP: "MLP 2 × 1200, MNIST"}


def test_every_claim_is_stated_somewhere():
    assert literature.STATED.keys() == CLAIMS.keys()


def test_a_finding_knows_its_network_its_conditions_and_its_change():
    found = finding("C6", -0.05)
    assert found.network == ALEXNET
    assert found.conditions.replace("\N{NO-BREAK SPACE}", " ") == "α = 0.05"  # of C6 on CIFAR-10
    assert finding("C1", 1, MLP).conditions.replace("\N{NO-BREAK SPACE}", " ") == "α = 0.1"
    assert found.change.mean == pytest.approx(-0.05)  # although the claim's sign is −1
    assert found.change.low < found.change.mean < found.change.high
    assert found.id == "c6-alexnet-cifar-10-laptop"
    assert finding("C18", 1, part="variation").id == "c18-alexnet-cifar-10-laptop-variation"


def test_the_records_of_the_sources_are_found_and_nothing_is_trained(monkeypatch):
    def refuse(*_):
        raise AssertionError("a training was begun")

    monkeypatch.setattr("lsbook.runner.obtain._train", refuse)
    found = findings.collect()
    parts = [(f.profile, f.setting, f.verdict.claim, f.verdict.part) for f in found]
    assert len(set(parts)) == len(parts)
    assert ("laptop", TITLES[ALEXNET], "C2", "") in parts
    assert ("laptop", TITLES[MLP], "C6", "") in parts
    [accuracy] = [f for f in found if (f.profile, f.setting, f.verdict.claim) == ("laptop", TITLES[ALEXNET], "C1")]
    assert accuracy.verdict.seeds == 8  # as many as in the calibration's chapter
    [translated] = [f for f in found if (f.network[0], f.verdict.claim) == ("multi30k", "C7")]
    assert translated.verdict.verdict == "undecided"  # 0.042 smoothed, 0.016 hard and scaled: the margin is 0.02
    assert translated.change.mean == pytest.approx(0.042 - 0.016, abs=1e-3)
    seeds = [
        r
        for r in Store()
        if (r.run.dataset, r.run.model) == ("cifar10", "alexnet") and r.run.alpha == 0.1 and not r.run.teacher
    ]
    assert len(seeds) >= 5


@pytest.mark.parametrize("chapter", [name for name, chapter in registered().items() if chapter.claims])
def test_a_chapter_declares_every_claim_that_it_measures(chapter):
    """On the records of the sources: who asks for some claims asks the chapters that declare them."""
    claims = registered()[chapter].claims
    measured = {found.verdict.claim for found in findings.findings(claims.measure("laptop", RECORDED))}
    assert measured
    assert measured <= set(claims.ids)


def test_runs_that_two_profiles_share_are_evidence_for_the_better_one_only(put, tmp_path, monkeypatch):
    """MNIST's are those of both profiles; of CIFAR-10's part of the chapter the smaller ones alone are recorded."""
    monkeypatch.setenv("LSBOOK_RESULTS", str(tmp_path))
    monkeypatch.setattr(findings, "registered", lambda: {"distillation": distillation.CHAPTER})
    group, _ = mnist.groups("laptop")
    for run in {run for seed in range(3) for run in group.runs(seed).values()}:
        put(Store(tmp_path), run, metrics={"test_accuracy": 0.99 + run.seed / 1e4})
    assert [found.profile for found in findings.collect()] == ["paper", "paper"]
    group, _ = equal_smoothness.groups("laptop")
    for run in {run for seed in range(3) for run in group.runs(seed).values()}:
        put(Store(tmp_path), run, metrics={"test_accuracy": 0.7 + run.seed / 1e3})
    profiles = {(found.verdict.claim, found.profile) for found in findings.collect()}
    assert profiles == {("C12", "paper"), *((claim, "laptop") for claim in ("C13", "C14", "C15", "C19"))}


def test_an_unknown_profile_is_refused():
    with pytest.raises(UserError, match="profile"):
        findings.collect("large")
