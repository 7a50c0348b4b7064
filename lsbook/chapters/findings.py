"""What all chapters measured: every part of every claim in every setting, with its verdict."""

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lsbook.analysis.statistics import Interval
from lsbook.chapters.plans import registered
from lsbook.chapters.shared import claim_tables
from lsbook.chapters.shared.claim_tables import Measure
from lsbook.chapters.shared.selection import RECORDED, is_recorded
from lsbook.core.errors import one_of
from lsbook.core.store import Record
from lsbook.evidence import claims
from lsbook.evidence.claims import CLAIMS, MIXED, Verdict
from lsbook.recipes.profiles import PROFILES

EVIDENCE = ("paper", "laptop")  # profiles that say something about the paper, the better first


class Finding(NamedTuple):
    """A part of a claim, measured in a chapter in a profile.

    setting: networks and data as the reader knows them; records: what the chapter measured its claims there on.
    """

    chapter: str
    profile: str
    setting: str
    measure: Measure
    records: Sequence[Record] = ()

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
        """Such as "α = 0.1, T = 8", without a break within an equation."""
        own = f"α = {CLAIMS[self.verdict.claim].alpha_on(self.network[0]):g}"
        return (self.measure.conditions or own).replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")

    @property
    def change(self) -> Interval:
        """The difference with its interval in the part's units, second − first: not multiplied by the claimed sign."""
        sign, verdict = CLAIMS[self.verdict.claim].part(self.verdict.part).sign, self.verdict
        return Interval(sign * verdict.mean, *sorted((sign * verdict.low, sign * verdict.high)))

    @property
    def id(self) -> str:
        """The anchor of its row in the scorecard."""
        named = (self.verdict.claim, *self.network, self.profile, self.verdict.part)
        return "-".join(re.sub(r"[^a-z0-9]+", "-", name.lower()) for name in named if name)


def collect(profile: str = "auto", seeds: str = RECORDED) -> list[Finding]:
    """What the chapters measured; of a part that two of them measured in one setting, that with more seeds.

    A profile that asks for a better one's runs adds nothing.

    profile: a name, or "auto": all that are evidence. seeds: as chapters take them; by default nothing is trained.
    UserError for an unknown profile.
    """
    one_of("profile", profile, ("auto", *PROFILES))
    best: dict[tuple, Finding] = {}
    seen = []
    for name in EVIDENCE if profile == "auto" else (profile,):
        for chapter in registered().values():
            groups = chapter.groups(name)
            asked = [group.runs(0) for group in groups]
            if chapter.claims is None or asked in seen or (seeds == RECORDED and not is_recorded(groups)):
                continue
            seen.append(asked)
            for found in _flat(chapter.claims.measure(name, seeds)):
                part = found.profile, found.setting, found.verdict.claim, found.verdict.part
                if part not in best or best[part].verdict.seeds < found.verdict.seeds:
                    best[part] = found
    return list(best.values())


def _flat(settings: Iterable[claim_tables.Setting]) -> list[Finding]:
    return [
        Finding(setting.chapter, setting.profile, setting.title, measure, setting.records)
        for setting in settings
        for measure in setting.measures
    ]


class Outcome(NamedTuple):
    """The verdict on a claim in one setting, its parts combined; the setting names those that decide, if not all do."""

    profile: str
    setting: str
    verdict: str


def outcomes(findings: Sequence[Finding], claim: str) -> list[Outcome]:
    """One for each setting in which the claim was measured."""
    found = [finding for finding in findings if finding.verdict.claim == claim]
    by_setting = itertools.groupby(found, lambda finding: (finding.profile, finding.setting))
    return [_outcome(*setting, [finding.measure for finding in parts]) for setting, parts in by_setting]


def _outcome(profile: str, setting: str, parts: Sequence[Measure]) -> Outcome:
    verdict = claims.combine([part.verdict for part in parts]).verdict
    if verdict == MIXED:
        named = "; ".join(f"{part.title}: {part.verdict.verdict}" for part in parts)
        return Outcome(profile, f"{setting} ({named})", verdict)
    deciding = [part.title for part in parts if part.verdict.verdict == verdict]
    named = f" ({', '.join(deciding)})" if len(deciding) < len(parts) else ""
    return Outcome(profile, setting + named, verdict)
