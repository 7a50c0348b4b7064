"""Verdicts of all chapters side by side: on invented findings, and on the records that come with the sources."""

import numpy as np
import pytest

from lsbook.chapters import distillation, scorecard
from lsbook.chapters.plans import CHAPTERS
from lsbook.chapters.scorecard import Finding
from lsbook.chapters.shared import claim_tables
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.evidence import literature
from lsbook.evidence.claims import CLAIMS

ALEXNET, MLP = "AlexNet, CIFAR-10", "MLP 2 × 1200, MNIST"


def finding(claim, difference, setting=ALEXNET, profile="laptop", part="", seeds=3, chapter="calibration"):
    """Three networks an arm, a hundredth apart; smoothed − hard is `difference`."""
    hard = np.arange(seeds) / 100
    measure = claim_tables.measure(claim, part, f"the {part or 'quantity'}", hard, hard + difference, n_test=10_000)
    return Finding(chapter, profile, setting, measure)


FINDINGS = [
    finding("C1", -5),
    finding("C1", +5, MLP),
    finding("C1", 0, profile="paper", seeds=2),
    finding("C6", -5),
    finding("C6", -5, MLP),
    finding("C2", 0.001),
    finding("C12", -1, MLP, part="teacher"),
    finding("C12", -1, MLP, part="student"),
]


def test_every_claim_belongs_to_one_chapter_and_is_stated_somewhere():
    listed = [name for _, names in scorecard.CLAIMS_OF.values() for name in names]
    assert sorted(listed) == sorted(CLAIMS)
    assert scorecard.CLAIMS_OF.keys() == CHAPTERS.keys()
    assert literature.STATED.keys() == CLAIMS.keys()


def test_the_summary_has_every_claim_once_and_contradictions_first():
    table = scorecard.summary_table(FINDINGS)
    assert table.header == ("claim", "in the reduced regime", "at the paper's scale")
    rows = {row[0].partition(":")[0]: row[1:] for row in table.rows}
    assert list(rows) == list(CLAIMS)
    assert rows["C1"][0] == "**contradicted**: AlexNet, CIFAR-10. **reproduced**: MLP 2 × 1200, MNIST"
    assert rows["C1"][1] == "**not tested**: AlexNet, CIFAR-10"
    assert rows["C2"][0] == "**undecided**: AlexNet, CIFAR-10"
    assert rows["C3"] == ("not tested", "not tested")


def test_a_claim_whose_parts_disagree_is_mixed_and_says_which_is_which():
    [outcome] = scorecard.outcomes(FINDINGS, "C12")
    assert outcome.verdict == "mixed"
    assert outcome.setting == f"{MLP} (the teacher: reproduced; the student: contradicted)"
    both = [finding("C12", sign, MLP, part=part) for part, sign in (("teacher", -1), ("student", +1))]
    assert scorecard.outcomes(both, "C12")[0].setting == MLP


def test_the_text_names_contradictions_first_and_what_is_untested():
    lines = scorecard.summary_text(FINDINGS).markdown.splitlines()
    first = "- **Contradicted** in the reduced regime", "  - C1, smoothing does not cost accuracy: AlexNet, CIFAR-10"
    assert tuple(lines[:2]) == first
    reproduced = lines[lines.index("- **Reproduced** in the reduced regime") :]
    assert "  - C6, smoothing lowers the calibration error: AlexNet, CIFAR-10; MLP 2 × 1200, MNIST" in reproduced
    assert lines[-1].startswith("- **Not tested** yet: C3, C4, C5, C7")
    mixed = [*FINDINGS, finding("C6", -5, profile="paper")]
    lines = scorecard.summary_text(mixed).markdown.splitlines()
    place = lines.index("- **Reproduced** at the paper's scale")
    assert lines[place + 1 : place + 2] == ["  - C6, smoothing lowers the calibration error: AlexNet, CIFAR-10"]
    assert lines[place + 2] == "- **Undecided** in the reduced regime"


def test_details_put_the_sources_beside_ours():
    rows = scorecard.detail_table(FINDINGS, "calibration").rows
    rows = rows[: next(place for place, row in enumerate(rows) if row[0] == "**C7**")]
    assert rows[0] == ("**C6**", "", "**smoothing lowers the calibration error**")
    assert rows[1] == (
        "paper, Table 3",
        "claimed",
        "ResNet-56, CIFAR-100 0.15 → 0.024; Inception-v4, ImageNet 0.071 → 0.035",
    )
    assert rows[2][0] == "replication"
    assert rows[2][2].startswith("ResNet-56, CIFAR-100 0.207 → 0.053 or 0.043; AlexNet, CIFAR-10 0.097 → 0.026; ")
    assert rows[-1][0] == "here, in the reduced regime"
    text = rows[-1][2].replace("\N{NO-BREAK SPACE}", " ")
    assert text.startswith(
        "MLP 2 × 1200, MNIST, 3 seeds: the quantity ↓ 0.010 ± 0.025 → -4.990 ± 0.025, difference −5.000 ["
    )
    assert rows[-1][1].startswith("<strong>reproduced</strong><br><svg")
    assert 'aria-label="interval right of the threshold"' in rows[-1][1]


def test_too_few_seeds_have_no_picture():
    [row] = [row for row in scorecard.detail_table(FINDINGS, "projections").rows if "2 seeds" in row[2]]
    assert row[0] == "here, at the paper's scale"
    assert row[1] == "not tested"
    assert "difference" not in row[2]


def test_a_claim_without_numbers_says_where_it_is_stated():
    rows = scorecard.detail_table([], "mutual_information").rows
    assert rows[1:] == (("paper, Figure 6", "claimed", "—"), ("replication", "not reproduced", "—"))


def test_details_of_every_chapter_are_whole():
    for chapter in CHAPTERS:
        table = scorecard.detail_table(FINDINGS, chapter)
        assert all(len(row) == len(table.header) for row in table.rows)
        shown = {row[0].strip("*") for row in table.rows if row[0].startswith("**")}
        assert shown == set(scorecard.CLAIMS_OF[chapter][1])


def test_answers_give_the_difference():
    text = scorecard.answers(FINDINGS, "C6", "C20", "C1").markdown.splitlines()
    begin = "- C6, smoothing lowers the calibration error: in the reduced regime **reproduced** on AlexNet, CIFAR-10 ("
    assert text[0].startswith(begin)
    assert "−5.000 [−5.0" in text[0]
    assert text[1] == "- C20, temperature raises the hard model's BLEU: **not tested**."
    assert "at the paper's scale **not tested** on AlexNet, CIFAR-10 (the quantity, points ↑: 2 seeds)" in text[2]


def test_the_records_of_the_sources_are_found_and_nothing_is_trained(monkeypatch):
    def refuse(*_):
        raise AssertionError("a training was begun")

    monkeypatch.setattr("lsbook.runner.obtain._train", refuse)
    found = scorecard.findings()
    parts = [(f.profile, f.setting, f.verdict.claim, f.verdict.part) for f in found]
    assert len(set(parts)) == len(parts)
    assert ("laptop", ALEXNET, "C2", "") in parts
    assert ("laptop", MLP, "C6", "") in parts
    [accuracy] = [f for f in found if (f.profile, f.setting, f.verdict.claim) == ("laptop", ALEXNET, "C1")]
    assert accuracy.verdict.seeds == 5  # the projections' five, not the calibration's three
    seeds = [
        r
        for r in Store()
        if (r.run.dataset, r.run.model) == ("cifar10", "alexnet") and r.run.alpha == 0.1 and not r.run.teacher
    ]
    assert len(seeds) >= 5


def test_runs_that_two_profiles_share_are_evidence_for_the_better_one_only(put, tmp_path, monkeypatch):
    monkeypatch.setenv("LSBOOK_RESULTS", str(tmp_path))
    group, _ = distillation.groups("laptop")
    for run in {run for seed in range(3) for run in group.runs(seed)}:
        metrics = {"test_accuracy": 0.99 + run.seed / 1e4}
        put(Store(tmp_path), run, metrics=metrics)
    assert [found.profile for found in scorecard.findings()] == ["paper", "paper"]


def test_an_unknown_profile_is_refused():
    with pytest.raises(UserError, match="profile"):
        scorecard.findings("large")
