"""What the features keep: each claim is decided on the arms that it names."""

import pytest

from lsbook.chapters import features, later_findings
from lsbook.chapters.shared import claim_tables
from lsbook.chapters.shared.comparison import Comparison
from lsbook.core.store import Store
from lsbook.evidence.claims import CONTRADICTED, REPRODUCED, UNDECIDED

PLACES = {"hard": 0.0, "smoothed": 1.0, "MaxSup": 0.4, "smoothed by 0.05": 0.5}


@pytest.fixture
def comparison(put, tmp_path, monkeypatch) -> Comparison:
    """Three seeds: smoothing separates by 0.1 more and transfers by two points less; MaxSup lies between."""
    store = Store(tmp_path)
    monkeypatch.setenv("LSBOOK_RESULTS", str(tmp_path))
    [group] = later_findings.network_groups("laptop", network="cifar10-resnet56")
    for seed in (5, 6, 7):
        for name, run in group.runs(seed).items():
            place, noise = PLACES[name], 0.001 * seed
            found = {
                "test_accuracy": 0.7 + noise,
                "train_accuracy": 0.9,
                "train_class_separation": 0.5 + 0.1 * place + noise,
                "train_distance_within": 0.2 - 0.1 * place + noise,
                "train_nc1": 0.8 - 0.2 * place + noise,
                "probe_tiny_imagenet_50_accuracy": 0.2 - 0.02 * place + noise / 10,
                "train_nc2": 0.7 + 0.2 * place + noise,
            }
            put(store, run, metrics=found)
    [found] = later_findings.comparisons("laptop", seeds="recorded")
    return found


def test_every_claim_is_decided_on_the_arms_that_it_names(comparison):
    found = claim_tables.findings(later_findings.measured([comparison], features.measures, features.DECIDED))
    changes = {(f.verdict.claim, f.verdict.part): (f.verdict.verdict, round(f.change.mean, 6)) for f in found}
    assert changes == {
        ("L6", "separation"): (REPRODUCED, 0.1),
        ("L6", "transfer"): (REPRODUCED, -2.0),
        ("L7", "accuracy"): (UNDECIDED, 0.0),  # MaxSup − smoothed
        ("L7", "spread"): (REPRODUCED, 0.06),
        ("L7", "transfer"): (REPRODUCED, 1.2),
        ("L9", "NC1"): (REPRODUCED, -0.2),
        ("L9", "NC2"): (CONTRADICTED, 0.2),
    }


def test_a_claim_of_which_a_record_lacks_a_number_is_left_out(comparison):
    for arm in comparison.arms:
        for record in arm.records:
            del record.metrics["train_nc2"]
    found = claim_tables.findings(later_findings.measured([comparison], features.measures, features.DECIDED))
    assert {f.verdict.claim for f in found} == {"L6", "L7"}


def test_the_answer_and_the_table(comparison):
    text = features.in_short([comparison]).markdown.replace("\N{NO-BREAK SPACE}", " ")
    assert text.startswith(
        "**In short.**\n\n- Smoothed features serve other images less well on ResNet-56, CIFAR-10 (accuracy of a "
        "linear classifier on them 20.1 → 18.1 %)"
    )
    assert "They separate their own classes more on ResNet-56, CIFAR-10 (class separation R² 0.506 → 0.606)" in text
    assert "serve other images better than smoothed ones on ResNet-56, CIFAR-10 (accuracy of a linear classif" in text
    rows = features.feature_table([comparison]).rows
    assert [row[1] for row in rows][:3] == ["hard targets", "smoothed, α = 0.1", "MaxSup, α = 0.1"]
    assert rows[2][-2:] == ("19.3", "10.0")
