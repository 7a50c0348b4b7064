"""The questions that the book answers, and the sentences that answer them, chosen by what was found."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lsbook.chapters.shared import captions
from lsbook.chapters.shared.claim_tables import PAPER_PROFILE, Finding
from lsbook.core.registry import short_title
from lsbook.evidence import claims
from lsbook.evidence.claims import CONTRADICTED, MIXED, NOT_TESTED, REPRODUCED, UNDECIDED


@dataclass(frozen=True)
class Topic:
    """A question. title: in a word; claims: all of the topic; page: the chapter about it.

    sentences: for each (claim, part) that decides the answer on the first page one for each verdict, with `network`,
    `conditions`, `change` (signed, with its interval) and `size` (the same without the sign) to fill in.
    """

    name: str
    title: str
    claims: tuple[str, ...]
    page: str
    sentences: dict[tuple[str, str], dict[str, str]]


_ACCURACY = {
    REPRODUCED: "On {network} accuracy does not fall by half a point: {change} points.",
    UNDECIDED: "On {network} it is open whether accuracy falls by half a point: {change} points.",
    CONTRADICTED: "On {network} accuracy falls by more than half a point: {change} points.",
}
_TIGHTNESS = {
    REPRODUCED: "On {network} clusters get tighter: scatter within ÷ between falls by {size}.",
    UNDECIDED: "On {network} it is open whether clusters get tighter: {change}.",
    CONTRADICTED: "On {network} clusters get looser: scatter within ÷ between rises by {size}.",
}
_CALIBRATION = {
    REPRODUCED: "On {network} smoothing lowers the calibration error by {size}.",
    UNDECIDED: "On {network} it is open whether smoothing lowers the calibration error: {change}.",
    CONTRADICTED: "On {network} smoothing raises the calibration error by {size}.",
}
_BLEU = {
    REPRODUCED: "On {network} smoothing raises BLEU by {size}, and no temperature makes up for it.",
    UNDECIDED: "On {network} it is open whether smoothing raises BLEU by more than a temperature does: {change}.",
    CONTRADICTED: "On {network} smoothing lowers BLEU by {size}, each network at its best temperature.",
}
_STUDENT_ERROR = {
    REPRODUCED: "On {network} the smoothed teacher’s student makes more errors: {change} points ({conditions}).",
    UNDECIDED: "On {network} it is open whether the smoothed teacher’s student makes more errors: {change} points "
    "({conditions}).",
    CONTRADICTED: "On {network} the smoothed teacher’s student makes fewer errors: {change} points ({conditions}).",
}
_STUDENT_ACCURACY = {
    REPRODUCED: "With a teacher {network} the hard teacher’s student is ahead by {size} points at equal γ.",
    UNDECIDED: "With a teacher {network} it is open whose student is better at equal γ: {change} points.",
    CONTRADICTED: "With a teacher {network} the smoothed teacher’s student is ahead by {size} points at equal γ.",
}

TOPICS = (
    Topic("accuracy", "Accuracy", ("C1",), "projections", {("C1", ""): _ACCURACY}),
    Topic("geometry", "Geometry", ("C2", "C3", "C4", "C5", "C8", "C18"), "projections", {("C2", ""): _TIGHTNESS}),
    Topic("calibration", "Calibration", ("C6", "C7"), "calibration", {("C6", ""): _CALIBRATION}),
    Topic(
        "translation", "Translation", ("C9", "C10", "C20", "C11", "C17"), "machine_translation", {("C10", ""): _BLEU}
    ),
    Topic(
        "distillation",
        "Distillation",
        ("C12", "C13", "C14", "C15", "C19"),
        "distillation",
        {("C12", "student"): _STUDENT_ERROR, ("C15", ""): _STUDENT_ACCURACY},
    ),
    Topic("information", "Information", ("C16",), "mutual_information", {}),
)


# What later work says of smoothing, in chapters of its own.
LATER_TOPICS = (
    Topic("trust", "Which predictions to trust", ("L3", "L1", "L2", "L10"), "trust", {}),
    Topic("features", "What the features keep", ("L6", "L7", "L9"), "features", {}),
    Topic("conditions", "Where it helps and where it harms", ("L8", "L4", "L5"), "conditions", {}),
)


def topic(name: str) -> Topic:
    """The topic of that name. Raises KeyError when there is none."""
    return {topic.name: topic for topic in TOPICS}[name]


def network_name(network: tuple[str, str]) -> str:
    """Name a network and its data in few words, such as "AlexNet (CIFAR-10)".

    network: data set and model.
    """
    return f"{short_title(network[1])} ({short_title(network[0])})"


def overall(verdicts: Iterable[str]) -> str:
    """One verdict on several networks.

    Reproduced or contradicted where all are that were tested; mixed where some are reproduced and others are not;
    undecided where none is reproduced and not all are contradicted; not tested where nothing is.
    """
    tested = [verdict for verdict in verdicts if verdict != NOT_TESTED]
    if not tested:
        return NOT_TESTED
    if len(set(tested)) == 1:
        return tested[0]
    return MIXED if {REPRODUCED, MIXED} & set(tested) else UNDECIDED


@dataclass(frozen=True)
class Answer:
    """What came of a topic: the verdict on what decides it over all networks, and the findings on each of them."""

    topic: Topic
    verdict: str
    findings: Sequence[Finding]

    @property
    def tested(self) -> list[Finding]:
        """The findings that have a verdict."""
        return [finding for finding in self.findings if finding.verdict.verdict != NOT_TESTED]

    @property
    def sentence(self) -> str:
        """One sentence on the strongest evidence, and one on the first finding that contradicts it, if one does."""
        tested = self.tested
        if not tested:
            return "Not tested: too few runs are recorded."
        opposite = {REPRODUCED: CONTRADICTED, CONTRADICTED: REPRODUCED}.get(tested[0].verdict.verdict)
        others = [finding for finding in tested if finding.verdict.verdict == opposite]
        return " ".join(self._about(finding) for finding in (tested[0], *others[:1]))

    def _about(self, finding: Finding) -> str:
        change, verdict = finding.change, finding.verdict
        return self.topic.sentences[verdict.claim, verdict.part][verdict.verdict].format(
            network=network_name(finding.network),
            conditions=finding.conditions,
            change=captions.signed(*change),
            size=captions.magnitude(*change),
        )


def answer(topic: Topic, findings: Sequence[Finding]) -> Answer:
    """The answer to a topic's question. The paper's protocol comes first, then what has most seeds."""
    found = [f for f in findings if (f.verdict.claim, f.verdict.part) in topic.sentences]
    found.sort(key=lambda finding: (finding.profile != PAPER_PROFILE, -finding.verdict.seeds))
    return Answer(topic, overall(finding.verdict.verdict for finding in found), found)


class Outcome(NamedTuple):
    """What came of a claim in one setting: a verdict on its parts together, and the findings on each."""

    verdict: str
    findings: list[Finding]


def verdict_on(findings: Sequence[Finding], claim: str) -> str:
    """One verdict on a claim over all networks; see `overall`."""
    return overall(outcome.verdict for several in by_network(findings, claim).values() for outcome in several)


def by_network(findings: Sequence[Finding], claim: str) -> dict[tuple[str, str], list[Outcome]]:
    """Network -> what came of a claim in each setting that it was measured in."""
    own = [finding for finding in findings if finding.verdict.claim == claim]
    result: dict[tuple[str, str], list[Outcome]] = {}
    for _, parts in itertools.groupby(own, lambda finding: (finding.profile, finding.setting)):
        found = list(parts)
        verdict = claims.combine([finding.verdict for finding in found]).verdict
        result.setdefault(found[0].network, []).append(Outcome(verdict, found))
    return result
