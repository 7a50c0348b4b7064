"""When does it help? The answers in a paragraph, and what came out under each topic in sentences."""

from collections.abc import Sequence

from lsbook.chapters import calibration, distillation
from lsbook.chapters.advice import Advice, advice
from lsbook.chapters.findings import Finding
from lsbook.chapters.shared import captions
from lsbook.chapters.topics import answer, network_name, topic, verdict_on
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
    by_verdict: dict[str, list[str]] = {}
    for claim in subject.claims:
        if claim not in key:
            by_verdict.setdefault(verdict_on(findings, claim), []).append(CLAIMS[claim].text)
    sentences += [f"{words}: {'; '.join(by_verdict[v])}." for v, words in _WHERE.items() if v in by_verdict]
    return Text(" ".join(sentences) or "Not tested yet.")
