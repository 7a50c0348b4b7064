"""The grid and the forest plots: every mark leads to its row, and every row has its numbers."""

import re
from html import unescape

import pytest

from lsbook.chapters import scorecard
from lsbook.chapters.findings import collect
from lsbook.chapters.topics import LATER_TOPICS, TOPICS
from lsbook.evidence.claims import CLAIMS, LATER, REPRODUCED
from tests.chapters.invented import MLP, finding

FINDINGS = [
    finding("C1", -5),
    finding("C1", +5, MLP),
    finding("C1", 5, profile="paper"),
    finding("C6", -5),
    finding("C7", 0, seeds=2),
    finding("C18", -1, part="variation"),
    finding("C18", +1, part="optimum"),
]


def test_every_claim_has_its_row_and_belongs_to_one_topic():
    assert sorted(claim for topic in TOPICS for claim in topic.claims) == sorted(CLAIMS)
    html = scorecard.grid(FINDINGS).html
    rows = re.findall(r'<th scope="row">(.*?)</th>', html)
    assert len(rows) == len(CLAIMS)
    assert rows[0] == "Smoothing does not cost accuracy"


@pytest.mark.parametrize("findings", [FINDINGS, None], ids=["invented", "recorded"])
def test_every_mark_of_the_grid_leads_to_a_row(findings):
    findings = findings or collect()
    links = re.findall(r'href="scorecard.html#([^"]+)"', unescape(scorecard.grid(findings, "scorecard.html").html))
    rows = [re.findall(r'<tr id="([^"]+)"', scorecard.forest(topic.name, findings).html) for topic in TOPICS]
    rows = [row for several in rows for row in several]
    assert len(set(rows)) == len(rows) == len(findings)
    assert links
    assert set(links) <= set(rows)


def test_each_setting_of_a_claim_has_a_row_of_the_grid_and_what_is_not_tested_says_so():
    first = finding("L8", 1)
    second = first._replace(setting=f"{first.setting}, half of them", variant="half of them")
    html = unescape(scorecard.grid([first, second], None, LATER_TOPICS).html)
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html)
    text = "Smoothing helps against wrong labels"
    cells = {name: cell for name, cell in rows if name.startswith(text)}
    assert [*cells] == [text, f"{text} <small>half of them</small>"]
    assert [re.findall(r'href="conditions.html#([^"]+)"', cell) for cell in cells.values()] == [[first.id], [second.id]]
    assert all("not tested" in cell for name, cell in rows if name not in cells)


def test_runs_are_listed_where_the_rows_are():
    findings = collect()
    assert scorecard.grid(findings).records
    assert scorecard.grid(findings, "scorecard.html").records == []


def test_a_cell_tells_the_kinds_of_evidence_apart_in_words():
    html = scorecard.grid(FINDINGS).html
    cell = re.search(r"Smoothing does not cost accuracy</th>(.*?)</tr>", html)[1]
    words = re.findall(r'visually-hidden">(.*?)</span>', cell)
    assert words[:3] == [
        "does not hold, in the small-scale setting",
        "holds, by the paper's protocol",
        "holds, in the small-scale setting",
    ]
    assert "holds in part, in the small-scale setting" in html  # C18, whose parts disagree
    assert "not tested, in the small-scale setting" in html  # C7


def test_a_row_has_threshold_conditions_seeds_and_difference():
    html = unescape(scorecard.forest("accuracy", FINDINGS).html).replace("\N{NO-BREAK SPACE}", " ")
    row = re.search(r'<tr id="c1-alexnet-cifar-10-laptop">(.*?)</tr>', html)[1]
    assert "AlexNet (CIFAR-10) <small>α = 0.1; 3 seeds</small>" in row
    assert '<td data-label="must be">> −0.5</td>' in row
    assert "−5.000 [−5.023, −4.977]" in row
    assert "does not hold" in row
    paper = re.search(r'<tr id="c1-alexnet-cifar-10-paper">(.*?)</tr>', html)[1]
    assert 'class="mean square"' in paper


def test_what_others_report_is_folded_away():
    html = scorecard.forest("calibration", FINDINGS).html
    assert "<details><summary>What the paper and the replication report" in html
    assert "ResNet-56, CIFAR-100 0.15 → 0.024; Inception-v4, ImageNet 0.071 → 0.035" in html
    assert "Transformer, WMT14, English to German 0.018† → 0.019†" in html  # scaled → smoothed
    assert "paper, Table 3" in html


def test_counts_are_in_words():
    text = scorecard.tally_text(FINDINGS).markdown
    assert "of 5 tested parts of claims 3 hold and 2 do not hold." in text
    assert "of 1 tested part of claims 1 holds." in text
    assert scorecard.tally_text([]).markdown == "Nothing is tested yet."


def test_corrections_for_many_tests_never_decide_more():
    text = scorecard.multiplicity_text(FINDINGS, FINDINGS[:2]).markdown
    tested, later, decided, holm, hochberg = map(
        int, re.findall(r"(\d+) (?:parts|of later|that are|stay|by Benj)", text)
    )
    assert (tested, later, decided) == (6, 2, 8)
    assert holm <= hochberg <= decided


def test_readings_of_the_same_runs_are_tested_as_pairs():
    """The seeds differ far more from each other than what is read of each: only as pairs do they stay decided."""
    found = finding("L3", 0.005, part="repair", seeds=5, paired=True)
    assert found.verdict.verdict == REPRODUCED
    assert "Of the 1 that are decided, 1 stay so by Holm" in scorecard.multiplicity_text([], [found]).markdown


def test_the_choice_of_test_images_has_its_size():
    """±1.96 √(a (1 − a) / N): with 0.11 % right of 10,000 images 0.07 points."""
    assert "±0.1 points on AlexNet (CIFAR-10)" in scorecard.sampling_text(FINDINGS).markdown


def test_later_findings_have_a_grid_of_their_own_once_one_is_tested():
    """Its marks lead to the topic's chapter; until then a sentence says how many of the seeds there are."""
    untested = [finding("L6", 0.1, seeds=2, part="separation")]
    assert scorecard.later_grid(untested).markdown == (
        "None is decided yet: a verdict needs 3 of the new seeds, and 2 are recorded."
    )
    tested = [finding("L6", 0.1, part="separation"), finding("L6", -2, part="transfer")]
    html = unescape(scorecard.later_grid(tested).html)
    assert f'href="features.html#{tested[0].id}"' in html
    assert "Smoothed features separate classes more and transfer worse" in html
    assert "Smoothing does not cost accuracy" not in html
    assert sorted(claim for topic in LATER_TOPICS for claim in topic.claims) == sorted(LATER)
