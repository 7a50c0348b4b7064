"""All claims in all settings: the paper's numbers, the replication's, ours with intervals, and the verdicts."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lsbook import outputs
from lsbook.chapters.plans import CHAPTERS
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.claim_tables import Measure
from lsbook.chapters.shared.comparison import RECORDED, is_recorded
from lsbook.core.errors import one_of
from lsbook.core.store import Record
from lsbook.core.wording import counted
from lsbook.evidence import claims, literature
from lsbook.evidence.claims import CLAIMS, IN_ORDER, MIXED, NOT_TESTED, Verdict
from lsbook.outputs import Markup, Table, Text
from lsbook.recipes.profiles import PROFILES

EVIDENCE = ("paper", "laptop")  # profiles that say something about the paper, the better first
# Chapter -> what its claims are about, and which they are.
CLAIMS_OF = {
    "projections": ("accuracy and projections", ("C1", "C2", "C3", "C4", "C5", "C8", "C18")),
    "calibration": ("calibration", ("C6", "C7")),
    "machine_translation": ("translation", ("C9", "C10", "C11", "C17", "C20")),
    "distillation": ("distillation", ("C12",)),
    "equal_softness": ("distillation at equal softness", ("C13", "C14", "C15", "C19")),
    "mutual_information": ("information", ("C16",)),
}


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
        return self.measure.verdict


def findings(profile: str = "auto", seeds: str = RECORDED) -> list[Finding]:
    """What the chapters measured; of a part that two of them measured in one setting, that with more seeds.

    A profile that asks for a better one's runs adds nothing.

    profile: a name, or "auto": all that are evidence. seeds: as chapters take them; by default nothing is trained.
    UserError for an unknown profile.
    """
    one_of("profile", profile, ("auto", *PROFILES))
    best: dict[tuple, Finding] = {}
    seen = []
    for name in EVIDENCE if profile == "auto" else (profile,):
        for chapter in CHAPTERS.values():
            groups = chapter.groups(name)
            asked = [group.runs(0) for group in groups]
            if asked in seen or (seeds == RECORDED and not is_recorded(groups)):
                continue
            seen.append(asked)
            for found in _flat(chapter.settings(name, seeds)):
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


def summary_table(findings: Sequence[Finding]) -> Table:
    """Every claim in a row: what it says and what it came to, in each kind of evidence."""
    profiles = _profiles(findings) or ["laptop"]
    rows = []
    for claim in CLAIMS.values():
        found = outcomes(findings, claim.id)
        cells = [_by_verdict([outcome for outcome in found if outcome.profile == name]) for name in profiles]
        rows.append((f"{claim.id}: {claim.text}", *cells))
    return Table(
        "table-scorecard",
        "The paper's claims and what they came to here: the verdict by the rule, with the settings in which it holds. "
        "Not tested: no runs are recorded yet, or too few.",
        ("claim", *map(captions.standing, profiles)),
        tuple(rows),
        _records(findings),
    )


def _records(findings: Iterable[Finding]) -> list[Record]:
    return [record for finding in findings for record in finding.records]


def _profiles(findings: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(finding.profile for finding in findings))


def _by_verdict(outcomes: Sequence[Outcome]) -> str:
    """Verdicts with their settings, contradictions first."""
    parts = []
    for word in IN_ORDER:
        settings = [outcome.setting for outcome in outcomes if outcome.verdict == word]
        if settings:
            parts.append(Markup("**{}**: {}").format(word, "; ".join(settings)))
    return Markup(". ").join(parts) or NOT_TESTED


def detail_table(findings: Sequence[Finding], chapter: str) -> Table:
    """The claims of a chapter, each with what the paper and the replication report and what each setting here found."""
    subject, names = CLAIMS_OF[chapter]
    rows = []
    for name in names:
        ours = [_row(finding) for finding in findings if finding.verdict.claim == name]
        strong = Markup("**{}**").format
        rows += [(strong(name), "", strong(CLAIMS[name].text)), *_published(name), *ours]
    return Table(
        f"table-scorecard-{chapter.replace('_', '-')}",
        f"The claims about {subject}. Numbers are of the claim's two arms, in most rows hard → smoothed targets; ours "
        "are means with 95 % Student t intervals over seeds, then comes the difference, second − first, with its 95 % "
        "interval. An arrow upward or downward gives the claimed direction; in the picture the claimed side is to the "
        "right of the line. A dagger marks a number that was not checked in its source.",
        ("source", "verdict", "finding"),
        tuple(rows),
        _records(finding for finding in findings if finding.verdict.claim in names),
    )


def _row(finding: Finding) -> tuple[str, str, str]:
    name, first, second, difference, word = claim_tables.cells(finding.measure)
    verdict = finding.verdict
    text = f"{finding.setting}, {counted(verdict.seeds, 'seed')}: {name.partition(': ')[2]} {first} → {second}"
    if math.isnan(verdict.mean):
        return f"here, {captions.standing(finding.profile)}", word, text
    threshold = -CLAIMS[verdict.claim].part(verdict.part).margin
    picture = outputs.interval_picture(verdict.low, verdict.mean, verdict.high, threshold)
    outcome = Markup("<strong>{}</strong><br>{}").format(word, picture)
    return f"here, {captions.standing(finding.profile)}", outcome, f"{text}, difference {difference}"


_MNIST = {
    source: {f"{role} of the MNIST experiment": arms for role, arms in rows.items()}
    for source, rows in literature.MNIST_DISTILLATION.items()
}


def _networks(table: dict, text: bool) -> dict:
    """Of a table, the rows of translation networks, or those of the others."""
    return {
        source: {row: arms for row, arms in rows.items() if (row[1] == "transformer") == text}
        for source, rows in table.items()
    }


def _survey(metric: str) -> dict:
    return {literature.PAPER: {row[:2]: arms for row, arms in literature.TABLE_1.items() if row[2] == metric}}


# Claim -> its published numbers (source -> row -> arm -> number), and the first arm; the second is a smoothed one.
_TABLES = {
    "C1": (literature.TABLE_2, "hard"),
    "C6": (_networks(literature.TABLE_3, text=False), "hard"),
    "C7": (_networks(literature.TABLE_3, text=False), "scaled"),
    "C9": (_networks(literature.TABLE_3, text=True), "hard"),
    "C10": (_survey("BLEU"), "hard"),
    "C11": (_survey("perplexity"), "hard"),
    "C12": (_MNIST, "hard"),
}


def _published(claim: str) -> list[tuple[str, str, str]]:
    """What the paper says, in numbers or else where, and what the replication says if anything."""
    table, first = _TABLES.get(claim, ({}, ""))
    said = {
        source: "; ".join(_numbers(row, arms, first) for row, arms in rows.items()) for source, rows in table.items()
    }
    printed = (number.where for arms in table.get(literature.PAPER, {}).values() for number in arms.values())
    where = ", ".join(dict.fromkeys([literature.PAPER, literature.STATED[claim], *printed]))
    rows = [(where, "claimed", said.get(literature.PAPER, "—"))]
    if claim in literature.REPLICATED or said.get(literature.REPLICATION):
        outcome = literature.REPLICATED.get(claim, "reported")
        rows.append((literature.REPLICATION, outcome, said.get(literature.REPLICATION, "—")))
    return rows


def _numbers(row: str | tuple[str, ...], arms: dict[str, literature.Published], first: str) -> str:
    """A row of a published table: "AlexNet, CIFAR-10 86.8 → 86.7"."""
    setting = row if isinstance(row, str) else ", ".join(literature.TITLES.get(name, name) for name in reversed(row))
    shown = [arms[first], *(number for arm, number in arms.items() if "smoothed" in arm)]
    head, *rest = (number.shown for number in shown)
    return f"{setting} {head} → {' or '.join(rest)}"


def summary_text(findings: Sequence[Finding]) -> Text:
    """The claims under each verdict and kind of evidence, contradictions first, as a list."""
    found = {claim: outcomes(findings, claim) for claim in CLAIMS}
    lines = []
    for word, profile in itertools.product(IN_ORDER[:-1], _profiles(findings)):
        listed = {
            claim: "; ".join(o.setting for o in several if (o.verdict, o.profile) == (word, profile))
            for claim, several in found.items()
        }
        item, heading = Markup("  - {}, {}: {}"), Markup("- **{}** {}")
        items = [item.format(claim, CLAIMS[claim].text, settings) for claim, settings in listed.items() if settings]
        lines += [heading.format(word.capitalize(), captions.standing(profile)), *items] if items else []
    untested = [claim for claim, several in found.items() if all(o.verdict == NOT_TESTED for o in several)]
    if untested:
        lines.append(Markup("- **{}** yet: {}").format(NOT_TESTED.capitalize(), ", ".join(untested)))
    return Text(Markup("\n").join(lines))


def answers(findings: Sequence[Finding], *names: str) -> Text:
    """Each of the claims with its verdict and difference in every kind of evidence and setting, as a list."""
    lines = []
    for name in names:
        found = [finding for finding in findings if finding.verdict.claim == name]
        by_profile = itertools.groupby(found, lambda finding: finding.profile)
        said = Markup("; ").join(
            Markup("{} {}").format(captions.standing(profile), Markup("; ").join(map(_answer, several)))
            for profile, several in by_profile
        )
        said = said or Markup("**{}**").format(NOT_TESTED)
        lines.append(Markup("- {}, {}: {}.").format(name, CLAIMS[name].text, said))
    return Text(Markup("\n").join(lines))


def _answer(finding: Finding) -> Markup:
    name, _, _, difference, word = claim_tables.cells(finding.measure)
    seeds = counted(finding.verdict.seeds, "seed")
    found = seeds if finding.verdict.verdict == NOT_TESTED else f"{difference}, {seeds}"
    return Markup("**{}** on {} ({}: {})").format(word, finding.setting, name.partition(": ")[2], found)
