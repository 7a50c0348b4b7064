"""The scorecard: every claim on every network as a grid of marks, and every interval of a claim on one axis.

Beside ours stands what the paper and its replication report.
"""

import math
from collections.abc import Sequence

import numpy as np
import scipy  # whose parts load when first used

from lsbook.analysis.statistics import holm, paired_p_value, welch_p_value
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.claim_tables import PAPER_PROFILE, Finding
from lsbook.chapters.topics import LATER_TOPICS, TOPICS, Outcome, Topic, by_network, network_name, topic
from lsbook.core import registry
from lsbook.core.registry import short_title
from lsbook.core.wording import counted, listed, sentence_case
from lsbook.evidence import literature
from lsbook.evidence.claims import ALL_CLAIMS, CONTRADICTED, LEAST_SEEDS, MIXED, NOT_TESTED, REPRODUCED, UNDECIDED
from lsbook.figures.marks import WORDS, hidden, mark
from lsbook.outputs import Html, Markup, Text


def grid(findings: Sequence[Finding], page: str | None = "", topics: Sequence[Topic] = TOPICS) -> Html:
    """The claims by topic in rows, the networks in columns.

    page: where their rows are, if not on this page; None for those of each topic's chapter, below a grid that has the
        legend. Runs are listed where the rows are.
    """
    shown = [finding for finding in findings if finding.verdict.verdict != NOT_TESTED]
    networks = list(dict.fromkeys(finding.network for finding in shown))
    columns = Markup("").join(
        Markup('<th scope="col"><span class="upright">{} <small>{}</small></span></th>').format(
            short_title(model), short_title(dataset)
        )
        for dataset, model in networks
    )
    pages = [f"{topic.page}.html" if page is None else page for topic in topics]
    body = Markup("").join(
        _grid_topic(topic, findings, networks, where) for topic, where in zip(topics, pages, strict=True)
    )
    html = Markup(
        '{}<table class="verdict-grid"><caption class="visually-hidden">The claims by network. Every mark links to its '
        "row.</caption><thead><tr><td></td>{}</tr></thead><tbody>{}</tbody></table>"
    ).format("" if page is None else legend(), columns, body)
    return Html(html, [record for finding in shown for record in finding.records] if page == "" else [])


def later_grid(findings: Sequence[Finding]) -> Html | Text:
    """The claims of later work by topic, or while none is tested how far their runs are. findings: on them."""
    seeds = [f.verdict.seeds for f in findings]
    if any(f.verdict.verdict != NOT_TESTED for f in findings):
        return grid(findings, None, LATER_TOPICS)
    return Text(
        f"None is decided yet: a verdict needs {LEAST_SEEDS} of the new seeds, and {max(seeds, default=0)} "
        f"{'is' if max(seeds, default=0) == 1 else 'are'} recorded."
    )


_MEANING = {MIXED: ": other parts or networks are open or do not", PAPER_PROFILE: " as far as it is known"}


def legend() -> Markup:
    """Return the list that says what each mark of the grid means."""
    words = [
        Markup("<li>{} {}{}</li>").format(mark(verdict), word, _MEANING.get(verdict, ""))
        for verdict, word in WORDS.items()
    ]
    shapes = [
        Markup("<li>{} {}{}</li>").format(
            mark("reproduced", profile == PAPER_PROFILE), captions.standing(profile), _MEANING.get(profile, "")
        )
        for profile in ("laptop", PAPER_PROFILE)
    ]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join([*words, *shapes]))


def _grid_topic(topic: Topic, findings: Sequence[Finding], networks: Sequence[tuple[str, str]], page: str) -> Markup:
    heading = Markup('<tr class="topic"><th scope="rowgroup" colspan="{}">{}</th></tr>').format(
        len(networks) + 1, topic.title
    )
    return Markup("").join([heading, *(_grid_rows(claim, findings, networks, page) for claim in topic.claims)])


def _grid_rows(claim: str, findings: Sequence[Finding], networks: Sequence[tuple[str, str]], page: str) -> Markup:
    """A row for each variant of the claim's settings."""
    by_variant: dict[str, dict[tuple[str, str], list[Outcome]]] = {}
    for network, outcomes in by_network(findings, claim).items():
        for outcome in outcomes:
            by_variant.setdefault(outcome.findings[0].variant, {}).setdefault(network, []).append(outcome)
    text = sentence_case(ALL_CLAIMS[claim].text)
    if not by_variant:
        return Markup('<tr><th scope="row">{}</th><td colspan="{}">{} {}</td></tr>').format(
            text, len(networks), mark(NOT_TESTED), WORDS[NOT_TESTED]
        )
    return Markup("").join(
        Markup('<tr><th scope="row">{}{}</th>{}</tr>').format(
            text,
            Markup(" <small>{}</small>").format(variant) if variant else "",
            Markup("").join(_grid_cell(found.get(network, ()), page) for network in networks),
        )
        for variant, found in by_variant.items()
    )


def _grid_cell(outcomes: Sequence[Outcome], page: str) -> Markup:
    """A mark for each profile, which leads to its row."""
    links = []
    for verdict, (first, *_) in outcomes:
        words = hidden(f"{WORDS[verdict]}, {captions.standing(first.profile)}")
        drawn = mark(verdict, first.profile == PAPER_PROFILE)
        links.append(Markup('<a href="{}#{}">{}{}</a>').format(page, first.id, drawn, words))
    return Markup("<td>{}</td>").format(Markup("").join(links) or hidden("not asked of this network"))


def forest(name: str, findings: Sequence[Finding]) -> Html:
    """The claims of a topic, a table for each unit. name: the topic's."""
    found = [finding for claim in topic(name).claims for finding in findings if finding.verdict.claim == claim]
    tables = claim_tables.forests(found, lambda finding: network_name(finding.network))
    return Html(Markup("").join([tables, _reported(name)]), [record for finding in found for record in finding.records])


def _reported(name: str) -> Markup:
    """What the paper and the replication have on the topic's claims, folded away."""
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>').format(
            sentence_case(ALL_CLAIMS[claim].text), source, outcome, numbers
        )
        for claim in topic(name).claims
        for source, outcome, numbers in _published(claim)
    )
    return Markup(
        '<details><summary>What the paper and the replication report</summary><table class="reported"><thead><tr>'
        '<th scope="col">claim</th><th scope="col">source</th><th scope="col">outcome</th><th scope="col">numbers, '
        "from → to</th></tr></thead><tbody>{}</tbody></table></details>"
    ).format(rows)


def tally_text(findings: Sequence[Finding]) -> Text:
    """How many parts came to what, in which kind of evidence."""
    sentences = []
    for profile in dict.fromkeys(finding.profile for finding in findings):
        own = [f.verdict.verdict for f in findings if f.profile == profile and f.verdict.verdict != NOT_TESTED]
        if own:
            counts = [(WORDS[word], own.count(word)) for word in (REPRODUCED, CONTRADICTED, UNDECIDED)]
            said = listed([f"{n} {verb(word, n)}" for word, n in counts if n])
            where = sentence_case(captions.standing(profile))
            sentences.append(f"{where}, of {counted(len(own), 'tested part')} of claims {said}.")
    return Text(" ".join(sentences) or "Nothing is tested yet.")


def verb(word: str, n: int) -> str:
    """A verdict, one of the words of `WORDS`, as a verb for so many."""
    if word in ("open", "not tested"):
        return f"{'is' if n == 1 else 'are'} {word}"
    return word if n == 1 else word.replace("holds", "hold").replace("does", "do")


def multiplicity_text(findings: Sequence[Finding], later: Sequence[Finding]) -> Text:
    """How many decided parts stay decided when it is taken into account that many are tested. later: of later work."""
    own, others = ([f for f in found if f.verdict.verdict != NOT_TESTED] for found in (findings, later))
    tested = [*own, *others]
    decided = np.array([f.verdict.verdict != UNDECIDED for f in tested])
    values = np.array([_p(f) for f in tested])
    stay = [int((decided & (adjust(values) < 0.05)).sum()) for adjust in (holm, scipy.stats.false_discovery_control)]
    return Text(
        f"{len(own)} parts of the paper’s claims and {len(others)} of later findings are tested at 5 % each. Of the "
        f"{decided.sum()} that are decided, {stay[0]} stay so by "
        f"Holm’s correction, which makes even one wrong decision improbable, and {stay[1]} by Benjamini and "
        "Hochberg’s, which bounds the share of wrong ones."
    )


def _p(finding: Finding) -> float:
    """Return the p-value of the test that the difference is at the threshold."""
    first, second = finding.measure.first, finding.measure.second
    threshold = -finding.part.sign * finding.part.margin
    if finding.measure.paired:
        return paired_p_value(second - first, threshold)
    return welch_p_value(first, second, threshold)


def sampling_text(findings: Sequence[Finding]) -> Text:
    """What the intervals leave out, with the size of what can be computed: the choice of test images."""
    accuracies = [f for f in findings if f.verdict.claim == "C1" and f.verdict.verdict != NOT_TESTED]
    sizes = [f"±{_sampling(f):.1f} points on {network_name(f.network)}" for f in accuracies]
    size = f" (of accuracy about {', '.join(sizes)})" if sizes else ""
    return Text(
        "The intervals are over trainings from other seeds, all on the same training images and tested on the same "
        f"images: they leave out the choice of the former, and of the latter{size}. In a difference, whose two sides "
        "are tested on the same images, that is less, but not nothing."
    )


def _sampling(finding: Finding) -> float:
    """Half of the 95 % interval of an accuracy, in points, over the choice of test images."""
    accuracy = finding.measure.first.mean() / 100
    _, tested = registry.dataset(finding.network[0]).examples
    return 196 * math.sqrt(accuracy * (1 - accuracy) / tested)


_MNIST = {
    source: {f"{role} of the MNIST experiment": arms for role, arms in rows.items()}
    for source, rows in literature.MNIST_DISTILLATION.items()
}


def _networks(table: dict, text: bool) -> dict:
    """Return a table's rows of translation networks, or those of the others."""
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
    "C7": (literature.TABLE_3, "scaled"),
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
    setting = (
        row
        if isinstance(row, str)
        else ", ".join(literature.PUBLISHED_TITLES.get(name, name) for name in reversed(row))
    )
    shown = [arms[first], *(number for arm, number in arms.items() if "smoothed" in arm)]
    head, *rest = (number.shown for number in shown)
    return f"{setting} {head} → {' or '.join(rest)}"
