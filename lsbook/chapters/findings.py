"""What all chapters measured: every part of every claim in every setting, with its verdict."""

from collections.abc import Collection

from lsbook.chapters.plans import registered
from lsbook.chapters.shared.claim_tables import Finding, findings
from lsbook.chapters.shared.selection import RECORDED, is_recorded
from lsbook.core.errors import one_of
from lsbook.evidence.claims import CLAIMS
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
