"""Measured claims: a quantity on two arms with its verdict, and the table that shows them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lsbook.chapters.shared import captions
from lsbook.core.store import Record
from lsbook.evidence import claims
from lsbook.outputs import Markup, Table, Text, cell_frame


class Measure(NamedTuple):
    """A part of a claim, measured on two arms: one value a seed. title: in a few words, for a diagram or a row.

    conditions: such as "α = 0.1, T = 8"; empty where only the claim's own α says under which.
    """

    title: str
    verdict: claims.Verdict
    first: np.ndarray
    second: np.ndarray
    conditions: str = ""


class Setting(NamedTuple):
    """What claims were measured on in a profile.

    chapter: where; title: networks and data as the reader knows them, with the arm where that is not smoothing;
    records: of all measures.
    """

    chapter: str
    profile: str
    title: str
    measures: list[Measure]
    records: Sequence[Record]


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
    verdict = claims.decide(claims.CLAIMS[claim], first, second, part, n_test)
    return Measure(title, verdict, first, second, conditions)


def combined(measures: Sequence[Measure]) -> list[claims.Verdict]:
    """One a claim, its parts combined."""
    parts: dict[str, list[claims.Verdict]] = {}
    for found in measures:
        parts.setdefault(found.verdict.claim, []).append(found.verdict)
    return [claims.combine(found) for found in parts.values()]


def text(settings: Sequence[Setting]) -> Text:
    """What the claims came to, contradictions first: a sentence, or a list of the networks when there are several."""
    profile = settings[0].profile
    if len(settings) == 1:
        return Text(captions.verdict_sentence(profile, combined(settings[0].measures)))
    line = Markup("- {}: {}")
    lines = [line.format(setting.title, captions.verdict_list(combined(setting.measures))) for setting in settings]
    return Text(Markup("\n").join([f"By the rule, {captions.STANDING[profile]}:", "", *lines]))


def table(name: str, subject: str, settings: Sequence[Setting], header: tuple[str, str], made_from: str) -> Table:
    """Each quantity on two arms, the difference, and the verdict; networks have headings when there are several.

    header: the two arms; subject: of the claims.
    """
    rows: list[tuple[str, ...]] = []
    for setting in settings:
        rows += [(Markup("**{}**").format(setting.title), "", "", "", "")] if len(settings) > 1 else []
        rows += [cells(found) for found in setting.measures]
    return Table(
        name,
        f"The claims about {subject}, {captions.STANDING[settings[0].profile]}. An arrow gives the claimed direction "
        "of the difference, second − first, which has a 95 % Welch interval; other intervals are 95 % Student t over "
        "seeds. " + made_from,
        cell_frame(("claim", *header, "difference", "verdict"), rows),
        [record for setting in settings for record in setting.records],
    )


def cells(found: Measure) -> tuple[str, str, str, str, str]:
    """Name of the quantity, first and second arm, their difference, verdict."""
    verdict = found.verdict
    part = claims.CLAIMS[verdict.claim].part(verdict.part)
    unit = "" if part.units in ("ratio", "fraction") else f", {part.units}"
    claimed = "↑" if part.sign > 0 else "↓"
    difference = "—"
    if verdict.verdict != claims.NOT_TESTED:
        low, high = sorted((part.sign * verdict.low, part.sign * verdict.high))
        difference = captions.signed(part.sign * verdict.mean, low, high)
    name = f"{verdict.claim}: {found.title}{unit} {claimed}"
    return name, captions.with_interval(found.first), captions.with_interval(found.second), difference, verdict.verdict
