"""What all chapters measured: every part of every claim in every setting, with its verdict."""

import itertools
from collections.abc import Collection, Sequence
from typing import NamedTuple

from lsbook.chapters.plans import registered
from lsbook.chapters.shared.claim_tables import Finding, Measure, findings
from lsbook.chapters.shared.selection import RECORDED, is_recorded
from lsbook.core.errors import one_of
from lsbook.evidence import claims
from lsbook.evidence.claims import CLAIMS, MIXED
from lsbook.recipes.profiles import PROFILES

EVIDENCE = ("paper", "laptop")  # profiles that say something about the paper, the better first


def collect(profile: str = "auto", seeds: str = RECORDED, ids: Collection[str] = CLAIMS) -> list[Finding]:
    """What the chapters measured; of a part that two of them measured in one setting, that with more seeds.

    What a better profile measured on the same runs is not taken again.

    Args:
        profile: a name, or "auto": all that are evidence.
        seeds: as chapters take them; by default nothing is trained.
        ids: of the claims that are wanted, by default those of the paper.

    Raises:
        UserError: for an unknown profile.
    """
    one_of("profile", profile, ("auto", *PROFILES))
    best: dict[tuple, Finding] = {}
    measured = set()
    for name in EVIDENCE if profile == "auto" else (profile,):
        for chapter in registered().values():
            if chapter.claims is None or not {*ids} & {*chapter.claims.ids}:
                continue
            if seeds == RECORDED and not is_recorded(chapter.groups(name)):
                continue
            for found in findings(chapter.claims.measure(name, seeds)):
                part = found.profile, found.setting, found.verdict.claim, found.verdict.part
                if found.verdict.claim not in ids:
                    continue
                on = *part[1:], frozenset(record.run.key for record in found.records)
                if on not in measured and (part not in best or best[part].verdict.seeds < found.verdict.seeds):
                    best[part] = found
                measured.add(on)
    return list(best.values())


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
