"""What every caption says: profile, data and variant, seeds, device, commit; and how verdicts are put in words."""

import math
from collections.abc import Iterable

import numpy as np

from lsbook.analysis.statistics import mean_interval
from lsbook.catalogue import DATASETS, MODELS
from lsbook.claims import CONTRADICTED, REPRODUCED, UNDECIDED, Verdict
from lsbook.store import Record

STANDING = {
    "paper": "under the paper's protocol",
    "laptop": "in the reduced regime",
    "smoke": "on toy data, which decides nothing about the paper",
}


def made_from(profile: str, records: Iterable[Record]) -> str:
    """One sentence on where the numbers come from."""
    records = list(records)
    run, environment = records[0].run, records[0].environment
    variants = _listed(r.environment["data"]["variant"] for r in records)
    devices = _listed(f"{r.environment['device']}, {r.environment['precision']}" for r in records)
    commits = _listed(r.environment["commit"] for r in records)
    seeds = sorted({r.run.seed for r in records})
    return (
        f"Profile {profile}: {MODELS[run.model].title} on {DATASETS[run.dataset].title} ({variants}), "
        f"{run.examples:,} training images, {len(seeds)} seed{'s'[: len(seeds) > 1]}; "
        f"trained on {devices}, torch {environment['torch']}, commit {commits}."
    )


def _listed(values: Iterable[str]) -> str:
    return " and ".join(sorted(set(values)))


def verdict_sentence(profile: str, verdicts: Iterable[Verdict]) -> str:
    """What the claims came to, contradictions first."""
    verdicts = list(verdicts)
    found = [
        f"**{word}**: {', '.join(v.claim for v in verdicts if v.verdict == word)}"
        for word in (CONTRADICTED, REPRODUCED, UNDECIDED)
        if any(v.verdict == word for v in verdicts)
    ]
    untested = [v.claim for v in verdicts if v.verdict not in (CONTRADICTED, REPRODUCED, UNDECIDED)]
    if untested:
        found.append(f"**not tested** (fewer than three seeds): {', '.join(untested)}")
    return f"By the rule, {STANDING[profile]}: {'; '.join(found)}."


def with_interval(values: np.ndarray) -> str:
    """Mean ± half of the 95 % Student t interval of values (S,), two digits of the half; one value stands alone."""
    if len(values) < 2:
        return f"{values[0]:.3g}"
    interval = mean_interval(values)
    half = interval.high - interval.mean
    decimals = max(0, 1 - math.floor(math.log10(half))) if half > 0 else 3
    return f"{interval.mean:.{decimals}f}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{half:.{decimals}f}"


def signed(mean: float, low: float, high: float) -> str:
    """A difference with its interval, every number with its sign."""
    return f"{mean:+.3g} [{low:+.3g},\N{NO-BREAK SPACE}{high:+.3g}]".replace("-", "−")
