"""Measured claims: a quantity on two arms with its verdict, and the tables that show them."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lsbook.analysis.statistics import Interval
from lsbook.chapters.shared import captions
from lsbook.core.store import Record
from lsbook.core.wording import counted, sentence_case, unbroken
from lsbook.evidence import claims
from lsbook.evidence.claims import ALL_CLAIMS, NOT_TESTED, Part, Verdict
from lsbook.figures.forest import Row, RowGroup, forest_table
from lsbook.figures.marks import WORDS, mark
from lsbook.outputs import Html, Markup

PAPER_PROFILE = "paper"  # the profile of the paper's protocol
UNITS = {"fraction": "fraction of 1", "ratio": "a ratio, without unit"}


class Measure(NamedTuple):
    """A part of a claim, measured on two arms: one value a seed. title: in a few words, for a diagram or a row.

    conditions: such as "α = 0.1, T = 8"; empty where only the claim's own α says under which; paired: whether both are
    of the same runs.
    """

    title: str
    verdict: Verdict
    first: np.ndarray
    second: np.ndarray
    conditions: str = ""
    paired: bool = False


class Setting(NamedTuple):
    """What claims were measured on in a profile.

    chapter: where; title: networks and data as the reader knows them, with the arm where that is not smoothing;
    records: of all measures; variant: what tells it from other settings of the same networks, such as "α = 0.05".
    """

    chapter: str
    profile: str
    title: str
    measures: list[Measure]
    records: Sequence[Record]
    variant: str = ""


class Finding(NamedTuple):
    """A part of a claim, measured in a chapter in a profile.

    setting: networks and data as the reader knows them; records: what the chapter measured its claims there on;
    variant: of the setting, as `Setting` has it.
    """

    chapter: str
    profile: str
    setting: str
    measure: Measure
    records: Sequence[Record] = ()
    variant: str = ""

    @property
    def verdict(self) -> Verdict:
        """The verdict of the rule on the finding's measure."""
        return self.measure.verdict

    @property
    def network(self) -> tuple[str, str]:
        """Data set and model of the network that the claim is about: of students the teacher."""
        run = next((record.run.teacher for record in reversed(self.records) if record.run.teacher), self.records[0].run)
        return run.dataset, run.model

    @property
    def conditions(self) -> str:
        """What was set, such as "α = 0.1, T = 8", without a break within an equation."""
        own = f"α = {ALL_CLAIMS[self.verdict.claim].alpha_on(self.network[0]):g}"
        return unbroken(self.measure.conditions or own)

    @property
    def part(self) -> Part:
        """The part of the claim: its quantity, units, margin and sign."""
        return ALL_CLAIMS[self.verdict.claim].part(self.verdict.part)

    @property
    def change(self) -> Interval:
        """The difference with its interval in the part's units, second − first: not multiplied by the claimed sign."""
        sign, verdict = self.part.sign, self.verdict
        return Interval(sign * verdict.mean, *sorted((sign * verdict.low, sign * verdict.high)))

    @property
    def id(self) -> str:
        """The anchor of its row."""
        named = (self.verdict.claim, self.setting, self.profile, self.verdict.part)
        return "-".join(re.sub(r"[^a-z0-9]+", "-", name.lower()) for name in named if name)


def findings(settings: Iterable[Setting]) -> list[Finding]:
    """Every part of every claim that was measured in these settings."""
    return [
        Finding(setting.chapter, setting.profile, setting.title, measure, setting.records, setting.variant)
        for setting in settings
        for measure in setting.measures
    ]


def measure(
    claim: str,
    part: str,
    title: str,
    first: np.ndarray,
    second: np.ndarray,
    n_test: int = 0,
    conditions: str = "",
) -> Measure:
    """The verdict on one part of a claim from its quantity on each run of two arms, (S,) and (S',)."""
    verdict = claims.decide(ALL_CLAIMS[claim], first, second, part, n_test)
    return Measure(title, verdict, first, second, conditions)


def measure_paired(claim: str, part: str, title: str, first: np.ndarray, second: np.ndarray) -> Measure:
    """The verdict on one part of a claim from two readings (S,) of the same runs; d = second − first."""
    return Measure(title, claims.decide_paired(ALL_CLAIMS[claim], second - first, part), first, second, paired=True)


def at_factor(measures: Sequence[Measure], alpha: float) -> list[Measure]:
    """The measures, those without conditions of their own under the smoothing factor that was compared."""
    return [found if found.conditions else found._replace(conditions=f"α = {alpha:g}") for found in measures]


def combined(measures: Sequence[Measure]) -> list[Verdict]:
    """One a claim, its parts combined."""
    parts: dict[str, list[Verdict]] = {}
    for found in measures:
        parts.setdefault(found.verdict.claim, []).append(found.verdict)
    return [claims.combine(found) for found in parts.values()]


def claim_table(settings: Sequence[Setting]) -> Html:
    """A chapter's claims as forest plots, with both arms' means, what the difference must be, and the verdict."""
    found = findings(settings)

    def label(finding: Finding) -> str:
        return unbroken(finding.setting).removesuffix(f", {finding.conditions}")  # which the row names below

    return Html(forests(found, label), [record for each in found for record in each.records])


def forests(found: Sequence[Finding], label: Callable[[Finding], str]) -> Markup:
    """A forest plot of the findings of each unit, those of a claim on one axis. label: names a finding's network."""
    by_unit: dict[str, dict[str, list[Finding]]] = {}
    for finding in found:
        by_unit.setdefault(finding.part.units, {}).setdefault(finding.verdict.claim, []).append(finding)
    return Markup("").join(
        forest_table(
            f"Differences, smoothed − hard unless said, in {UNITS.get(unit, unit)}",
            [_groups(several, label) for several in by_claim.values()],
        )
        for unit, by_claim in by_unit.items()
    )


def _groups(found: Sequence[Finding], label: Callable[[Finding], str]) -> list[RowGroup]:
    """A group for each part of a claim."""
    parts: dict[str, list[Finding]] = {}
    for finding in found:
        parts.setdefault(finding.verdict.part, []).append(finding)
    claim = ALL_CLAIMS[found[0].verdict.claim]
    return [
        RowGroup(
            sentence_case(claim.text),
            f"{several[0].part.quantity}. {claim.caveat}".strip(),
            [_row(finding, label(finding)) for finding in several],
        )
        for several in parts.values()
    ]


def _row(finding: Finding, label: str) -> Row:
    part, verdict, measured = finding.part, finding.verdict, finding.measure
    tested = verdict.verdict != NOT_TESTED
    threshold = -part.sign * part.margin or 0.0  # no −0
    return Row(
        id=finding.id,
        label=label,
        detail=f"{finding.conditions}; {counted(verdict.seeds, 'seed')}",
        means=f"{captions.three_digits(measured.first.mean())} → {captions.three_digits(measured.second.mean())}",
        interval=finding.change if tested else None,
        threshold=threshold,
        upward=part.sign > 0,
        shown=captions.signed(*finding.change) if tested else "—",
        required=f"{'>' if part.sign > 0 else '<'}\N{NO-BREAK SPACE}{threshold:g}".replace("-", "−"),
        verdict=Markup("{} {}").format(mark(verdict.verdict, finding.profile == PAPER_PROFILE), WORDS[verdict.verdict]),
        paper_protocol=finding.profile == PAPER_PROFILE,
    )
