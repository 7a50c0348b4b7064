"""The first page: the question, a moving picture, five answers, and what to do with them."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lsbook.analysis import projection
from lsbook.chapters import calibration, distillation, projections
from lsbook.chapters.advice import advice
from lsbook.chapters.findings import Finding
from lsbook.chapters.scorecard import verb
from lsbook.chapters.shared import captions
from lsbook.chapters.topics import (
    PAPER_PROFILE,
    TOPICS,
    Answer,
    Topic,
    answer,
    network_name,
    verdict_on,
)
from lsbook.core import registry
from lsbook.core.registry import short_title
from lsbook.core.store import Record, Store
from lsbook.core.wording import counted, listed, sentence_case
from lsbook.evidence import literature
from lsbook.evidence.claims import CONTRADICTED, MIXED, NOT_TESTED, REPRODUCED, UNDECIDED
from lsbook.evidence.literature import TABLE_2, TABLE_3
from lsbook.figures.marks import WORDS, hidden, mark
from lsbook.outputs import Html, Markup, Text, embedded_json
from lsbook.recipes import profiles

NETWORK = ("cifar10", "alexnet")  # of the moving picture: the first row of the paper's Figure 1
PROFILE = "laptop"
POINTS = 60  # of a class
WIDTH, HEIGHT = 760, 560  # of the picture, in its own units, of which about two are a pixel

# Topic -> what smoothing does by the verdict on it, to be read after "Here smoothing". where: see `_where`.
_IN_SHORT = {
    "geometry": {
        REPRODUCED: "tightens clusters",
        MIXED: "tightens clusters {where}",
        CONTRADICTED: "loosens clusters",
    },
    "accuracy": {
        REPRODUCED: "costs no accuracy to speak of",
        MIXED: "costs no accuracy {where}",
        CONTRADICTED: "costs accuracy",
    },
    "calibration": {
        REPRODUCED: "makes confidence more believable",
        MIXED: "makes confidence believable only where training had made it too high",
        CONTRADICTED: "makes confidence less believable",
    },
    "translation": {REPRODUCED: "raises BLEU", MIXED: "raises BLEU in part", CONTRADICTED: "lowers BLEU"},
    "distillation": {
        REPRODUCED: "makes a worse teacher",
        MIXED: "can spoil a teacher",
        CONTRADICTED: "makes a better teacher",
    },
}


def lede(findings: Sequence[Finding]) -> Text:
    """What smoothing is, what this book is, and what came out: three sentences."""
    answers = [answer(topic, findings) for topic in TOPICS if topic.name in _IN_SHORT]
    said = [_IN_SHORT[found.topic.name].get(found.verdict, "").format(where=_where(found)) for found in answers]
    outcome = f"Here smoothing {listed([text for text in said if text])}." if any(said) else "Nothing is recorded yet."
    return Text(
        Markup(
            "Label smoothing moves a share α of every target from the true class to all classes equally. This book "
            "repeats what Müller, Kornblith and Hinton {{cite}}`muller2019` did with it, without published code, and "
            "computes every number from recorded trainings. {}"
        ).format(outcome)
    )


def _where(found: Answer) -> str:
    """On how many networks it holds, such as "on 2 of 4 networks (1 open)"."""
    n_open = sum(finding.verdict.verdict == UNDECIDED for finding in found.tested)
    return f"on {_tally(found)}" + (f" ({n_open} open)" if n_open else "")


def _tally(found: Answer) -> str:
    """On how many of the tested networks it holds, such as "2 of 4 networks"."""
    holding = sum(finding.verdict.verdict == REPRODUCED for finding in found.tested)
    return f"{holding} of {counted(len(found.tested), 'network')}"


def first_screen(findings: Sequence[Finding], store: Store | None = None) -> Html:
    """The moving picture beside the five answers."""
    records = moving_records(Store() if store is None else store)
    picture = _picture(records) if len(records) > 1 else Markup("")
    answers = [answer(topic, findings) for topic in TOPICS if topic.sentences]
    cards = Markup("").join(_card(found, findings) for found in answers)
    html = Markup(
        '<div class="first-screen">{}<section class="answers" aria-labelledby="five-answers"><h2 id="five-answers">'
        "Five answers: do the paper’s claims hold?</h2><ul>{}</ul></section></div>"
    ).format(picture, cards)
    shown = [record for found in answers for finding in found.findings for record in finding.records]
    return Html(html, [*records, *shown])


def _card(found: Answer, findings: Sequence[Finding]) -> Markup:
    """An answer: mark, topic, tally, sentences, a small mark for each network, and what came of all of its claims."""
    tested = found.tested
    tally = f": {_tally(found)}" if found.verdict == MIXED else ""
    marks = Markup("").join(
        Markup("<li>{}{}{}</li>").format(
            mark(finding.verdict.verdict, finding.profile == PAPER_PROFILE),
            _brief(finding.network, [other.network for other in tested[:i]]),
            hidden(f": {WORDS[finding.verdict.verdict]}, {captions.standing(finding.profile)}"),
        )
        for i, finding in enumerate(tested)
    )
    return Markup(
        '<li><h3>{} <a href="{}.html">{}</a> <span class="tally">{}</span></h3><p>{}</p><ul class="marks">{}</ul>'
        "{}</li>"
    ).format(
        mark(found.verdict),
        found.topic.page,
        found.topic.title,
        WORDS[found.verdict] + tally,
        found.sentence,
        marks,
        _all_claims(found.topic, findings),
    )


def _all_claims(topic: Topic, findings: Sequence[Finding]) -> Markup:
    """What came of all claims of a topic that has several."""
    if len(topic.claims) == 1:
        return Markup("")
    found = [verdict_on(findings, claim) for claim in topic.claims]
    counts = [(word, found.count(verdict)) for verdict, word in WORDS.items()]
    every = "both" if len(found) == 2 else f"all {len(found)}"
    said = [f"{n} {verb(word, n)}" for word, n in counts if n]
    text = f"Of {every} claims {listed(said)}."
    if len(said) == 1:
        text = f"{sentence_case(every)} claims {said[0].partition(' ')[2]}."
    return Markup("<p><small>{}</small></p>").format(text)


def _brief(network: tuple[str, str], before: Sequence[tuple[str, str]]) -> str:
    """A network by its model, or where one before it is the same model by its data."""
    known = {short_title(model) for _, model in before}
    return short_title(network[0]) if short_title(network[1]) in known else short_title(network[1])


def moving_records(store: Store) -> list[Record]:
    """The first seed's recorded networks by α, from hard targets up; those whose activations are kept."""
    factors = (0.0, *calibration.FACTORS[PROFILE][NETWORK])
    runs = [profiles.run(PROFILE, *NETWORK, alpha, 0) for alpha in factors]
    records = [store.get(run) for run in runs]
    return [record for record in records if record and "train_activations" in record.arrays]


class View(NamedTuple):
    """A network's picture: points (N, 2), and corners (3, 2) of the triangle of the clusters' centroids.

    Both are scaled to that triangle. measures: the three of section 2.
    """

    alpha: float
    points: np.ndarray
    corners: np.ndarray
    measures: tuple[float, float, float]


def view(record: Record) -> View:
    """The first images of three classes, seen in the plane of their templates."""
    classes = projections.three_classes(record.run.dataset, "auto")
    points, places, _ = projections.projected(record, "train", classes)
    measures = (
        projection.within_between_scatter(points, places),
        projection.triangle_side_ratio(points, places),
        projection.mean_distance(points),
    )
    kept = np.concatenate([np.flatnonzero(places == k)[:POINTS] for k in range(3)])
    corners = np.stack([points[places == k].mean(axis=0) for k in range(3)])
    middle = corners.mean(axis=0)
    size = np.sqrt(np.mean(np.sum((corners - middle) ** 2, axis=1)))
    scale = HEIGHT / 4 / size
    to_stage = np.array([scale, -scale])  # the page's second axis points down
    centre = np.array([WIDTH / 2, HEIGHT / 2])
    seen, triangle = ((part - middle) * to_stage + centre for part in (points[kept], corners))
    return View(record.run.alpha, seen, triangle, measures)


MEASURES = ("scatter within ÷ between", "shortest ÷ longest side", "distance from the origin")


def _picture(records: Sequence[Record]) -> Markup:
    """The figure at the factor of the claims; its script plays the way there from hard targets."""
    views = [view(record) for record in records]
    shown = next((i for i, v in enumerate(views) if v.alpha == 0.1), len(views) - 1)
    now = views[shown]
    stops = Markup("").join(Markup("<span>{}</span>").format("hard" if v.alpha == 0 else f"{v.alpha:g}") for v in views)
    return Markup(
        '<figure class="moving">{drawing}'
        '<div class="controls"><label for="smoothing-factor">Smoothing factor <output>α = {alpha:g}</output></label>'
        '<button type="button" hidden>Play</button>'
        '<input id="smoothing-factor" type="range" min="0" max="{last}" step="1" value="{shown}" disabled>'
        '<div class="stops" aria-hidden="true">{stops}</div></div>'
        '<table><thead><tr><td></td><th scope="col" class="hard">hard</th><th scope="col" class="now">α = {alpha:g}'
        "</th></tr></thead><tbody>{rows}</tbody></table>"
        "<figcaption>{images} training images, {network}, one seed, in the plane of three classes. Each picture is "
        "scaled to the triangle of its cluster centres; dashed: that of hard targets.</figcaption>"
        '<script type="application/json">{data}</script></figure>'
    ).format(
        drawing=_drawing(views[0], now),
        alpha=now.alpha,
        last=len(views) - 1,
        shown=shown,
        stops=stops,
        rows=_rows(views[0], now),
        images=len(now.points),
        network=network_name(NETWORK),
        data=embedded_json([_data(v) for v in views]),
    )


def _drawing(hard: View, now: View) -> Markup:
    """The images of a factor as dots, with the triangle of their centres and that of hard targets."""
    classes = projections.three_classes(NETWORK[0], "auto")
    names = [registry.dataset(NETWORK[0]).classes[k] for k in classes]
    dots = Markup("").join(Markup('<circle cx="{:.0f}" cy="{:.0f}" r="5"/>').format(x, y) for x, y in now.points)
    labels = Markup("").join(
        Markup('<text x="{:.0f}" y="{:.0f}" text-anchor="middle">{}</text>').format(x, _label_place(k, now), names[k])
        for k, (x, _) in enumerate(now.corners)
    )
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="Three clusters of training images, {}, at α = {:g}; with hard '
        'targets they are wider.">{}<polygon class="hard" points="{}"/><polygon class="now" points="{}"/>{}</svg>'
    ).format(WIDTH, HEIGHT, listed(names), now.alpha, dots, _corners(hard), _corners(now), labels)


def _rows(hard: View, now: View) -> Markup:
    """What is measured, with hard targets and at a factor."""
    return Markup("").join(
        Markup('<tr><th scope="row">{}</th><td>{}</td><td data-measure="{}">{}</td></tr>').format(
            title, before, i, after
        )
        for i, (title, before, after) in enumerate(zip(MEASURES, _measures(hard), _measures(now), strict=True))
    )


def _data(v: View) -> dict:
    """What the script needs of a factor."""
    return {
        "alpha": v.alpha,
        "points": np.rint(v.points).astype(int).tolist(),
        "corners": np.rint(v.corners).astype(int).tolist(),
        "measures": _measures(v),
    }


def _measures(v: View) -> list[str]:
    scatter, evenness, distance = v.measures
    return [f"{scatter:.2f}", f"{evenness:.2f}", f"{distance:.1f}"]


def _label_place(k: int, now: View) -> float:
    """Return the height of a class's name: below the clusters at the bottom, above that at the top."""
    low = now.corners[k, 1] > HEIGHT / 2
    of_class = now.points[k * (len(now.points) // 3) : (k + 1) * (len(now.points) // 3), 1]
    return min(of_class.max() + 28, HEIGHT - 4) if low else max(of_class.min() - 12, 20)


def _corners(v: View) -> str:
    return " ".join(f"{x:.0f},{y:.0f}" for x, y in v.corners)


def decision_table(findings: Sequence[Finding], study: calibration.Study, taught: distillation.Study) -> Html:
    """The advice with its reasons and where the evidence is."""
    body = Markup("").join(
        Markup(
            '<tr><th scope="row">{}</th><td data-label="do"><strong>{}</strong></td>'
            '<td data-label="because">{} <a href="{}.html">Evidence</a></td></tr>'
        ).format(row.situation, row.advice, row.because, row.page)
        for row in advice(findings, study, taught)
    )
    html = Markup(
        '<table class="decisions"><thead><tr><th scope="col">Your situation</th><th scope="col">What to do</th>'
        '<th scope="col">Because</th></tr></thead><tbody>{}</tbody></table>'
    ).format(body)
    return Html(html)  # of the same runs as the picture and the grid, under which they are listed


def evidence_text(findings: Sequence[Finding]) -> Text:
    """Return three sentences on the kind of evidence that the findings are."""
    tested = [finding for finding in findings if finding.verdict.verdict != NOT_TESTED]
    small = [finding for finding in tested if finding.profile != PAPER_PROFILE]
    protocol = list(dict.fromkeys(network_name(f.network) for f in tested if f.profile == PAPER_PROFILE))
    done = {f.network for f in tested if f.profile == PAPER_PROFILE}
    done_by_title = {(dataset, short_title(model)) for dataset, model in done}
    wanted = dict.fromkeys(network for table in (TABLE_2, TABLE_3) for network in table[literature.PAPER])
    missing = [
        f"{literature.PUBLISHED_TITLES[model]} on {literature.PUBLISHED_TITLES[data]}"
        for data, model in wanted
        if (data, literature.PUBLISHED_TITLES[model]) not in done_by_title
    ]
    revised = (
        ", with a recipe revised once after test errors had been seen"
        if any(f.verdict.claim == "C12" for f in tested)
        else ""
    )
    sizes = [record.run.examples for f in small for record in f.records if not record.run.is_text]
    usual = f", mostly {statistics.mode(sizes):,} training images seen many times" if sizes else ""
    others = "none follows the paper’s protocol"
    if protocol:
        n = len(tested) - len(small)
        others = f"the other {n} follow{'s' * (n == 1)} the paper’s protocol, on {listed(protocol)}{revised}"
    return Text(
        f"{len(small)} of the {len(tested)} tested parts of claims come from a small-scale setting{usual}, because "
        "long training on few images makes small networks overconfident; it was chosen after a first try, with more "
        f"images and fewer epochs, in which smoothing raised the calibration error. {sentence_case(others)}; it has "
        f"still to be followed for {listed(missing)}. Intervals cover repeated training from other seeds; they leave "
        "out the choice of training images and of test images."
    )
