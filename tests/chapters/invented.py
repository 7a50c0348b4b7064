"""Findings that nobody measured, for tests of how findings are shown."""

from pathlib import Path

import numpy as np

from lsbook.chapters.findings import Finding
from lsbook.chapters.shared import claim_tables
from lsbook.core.registry import network_title
from lsbook.core.store import Record
from lsbook.evidence import claims
from lsbook.evidence.claims import ALL_CLAIMS
from lsbook.recipes import profiles

ALEXNET, MLP = ("cifar10", "alexnet"), ("mnist", "mlp")


def finding(claim, difference, network=ALEXNET, profile="laptop", part="", seeds=3, chapter="calibration"):
    """Three networks an arm, a hundredth apart; second − first is `difference`."""
    first = 0.1 + np.arange(seeds) / 100
    if ALL_CLAIMS[claim].design == "paired":
        second = first + difference + np.arange(seeds) / 1000
        verdict = claims.decide_paired(ALL_CLAIMS[claim], second - first, part)
        measure = claim_tables.Measure(f"the {part or 'quantity'}", verdict, first, second)
    else:
        measure = claim_tables.measure(
            claim, part, f"the {part or 'quantity'}", first, first + difference, n_test=10_000
        )
    record = Record(profiles.run("laptop", *network, 0.1, 0), {}, {}, {}, Path())
    return Finding(chapter, profile, network_title(*network), measure, [record])
