"""Findings that nobody measured, for tests of how findings are shown."""

from pathlib import Path

import numpy as np

from lsbook.chapters.findings import Finding
from lsbook.chapters.shared import claim_tables
from lsbook.core.registry import network_title
from lsbook.core.store import Record
from lsbook.evidence.claims import ALL_CLAIMS
from lsbook.recipes import profiles

ALEXNET, MLP = ("cifar10", "alexnet"), ("mnist", "mlp")


def finding(
    claim, difference, network=ALEXNET, profile="laptop", part="", seeds=3, chapter="calibration", paired=False
):
    """Three networks an arm, a hundredth apart; second − first is `difference`. paired: both are of the same runs."""
    first = 0.1 + np.arange(seeds) / 100
    if paired or ALL_CLAIMS[claim].design == "paired":
        second = first + difference + np.arange(seeds) / 1000
        measure = claim_tables.measure_paired(claim, part, f"the {part or 'quantity'}", first, second)
    else:
        measure = claim_tables.measure(
            claim, part, f"the {part or 'quantity'}", first, first + difference, n_test=10_000
        )
    record = Record(profiles.run("laptop", *network, 0.1, 0), {}, {}, {}, Path())
    return Finding(chapter, profile, network_title(*network), measure, [record])
