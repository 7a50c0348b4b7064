"""When does it help? The answers in a paragraph, and what came out under each topic in sentences."""

from collections.abc import Sequence

from lsbook.chapters import calibration, distillation
from lsbook.chapters.advice import Advice, advice
from lsbook.chapters.findings import Finding
from lsbook.chapters.shared import captions
from lsbook.chapters.topics import answer, by_network, network_name, topic, verdict_on
from lsbook.core.wording import listed
from lsbook.evidence.claims import CLAIMS, CONTRADICTED, MIXED, REPRODUCED, UNDECIDED
from lsbook.outputs import Markup, Text

# How a claim over all networks is introduced, by its verdict.
_WHERE = {
    REPRODUCED: "On every network that was tested",
    MIXED: "In part, or on some networks",
    CONTRADICTED: "On none that was tested",
    UNDECIDED: "Open",
}
_ON_ONE = {REPRODUCED: "On the one network tested", CONTRADICTED: "Not on the one network tested"}


def in_short(findings: Sequence[Finding], study: calibration.Study, taught: distillation.Study) -> Text:
    """What to do in each situation. study, taught: as for `advice`."""
    rows = advice(findings, study, taught)
    if not rows:
        return Text("Nothing is tested yet, so there is no answer.")
    return captions.short_answer([_line(row) for row in rows])


def _line(row: Advice) -> Markup:
    return Markup("{}. **{}**.").format(row.situation, row.advice)


def reason(name: str, findings: Sequence[Finding]) -> Text:
    """What came out under a topic: its answer with numbers, where that is open, and the topic's other claims."""
    subject = topic(name)
    found = answer(subject, findings)
    sentences = [found.sentence] if subject.sentences else []
    undecided = [network_name(f.network) for f in found.findings if f.verdict.verdict == UNDECIDED]
    if undecided and found.verdict != UNDECIDED:
        sentences.append(f"It is open on {listed(undecided)}.")
    key = {claim for claim, _ in subject.sentences}
    others: dict[str, list[str]] = {words: [] for words in (*_WHERE.values(), *_ON_ONE.values())}
    for claim in subject.claims:
        verdict = verdict_on(findings, claim)
        if claim not in key and verdict in _WHERE:
            where = _ON_ONE if verdict in _ON_ONE and len(by_network(findings, claim)) == 1 else _WHERE
            others[where[verdict]].append(CLAIMS[claim].text)
    sentences += [f"{words}: {'; '.join(texts)}." for words, texts in others.items() if texts]
    return Text(" ".join(sentences) or "Not tested yet.")
