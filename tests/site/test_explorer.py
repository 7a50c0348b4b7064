"""The explorer's arithmetic, run in a browser, against Python's on the same recorded data."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lsbook import chapters
from lsbook.analysis import calibration, projection, selective, targets
from lsbook.analysis.statistics import mean_interval, welch_interval
from lsbook.chapters import distillation, explorer, machine_translation
from lsbook.chapters.distillation import mnist
from lsbook.chapters.shared.comparison import smoothing_arm
from lsbook.core.registry import DATASETS
from lsbook.core.store import Store
from lsbook.outputs import Widget

PROJECT = Path(__file__).parents[2]
SCRIPTS = PROJECT / "book" / "_extra" / "explorer"
EXACT = {"rel": 1e-9, "abs": 1e-12}  # of sums of up to 10 000 numbers in another order
TRIPLES = [(0, 1, 2), (3, 5, 9), (7, 4, 8)]


@pytest.fixture(scope="module")
def comparison():
    return chapters.projections.rows("auto", 0.1, explorer.SEED)[0].comparison


@pytest.fixture(scope="module")
def study():
    return chapters.calibration.study("auto", seeds=explorer.SEED)


@pytest.fixture(scope="module")
def translated(tmp_path_factory, environment) -> Store:
    """Two sentences as a hard and a smoothed network would translate them."""
    store = Store(tmp_path_factory.mktemp("results"))
    for alpha, confidences in ((0.0, [1, 0.75, 0.5, 1, 0.25, 0.125]), (0.1, [0.5, 0.5, 0.5, 0.5, 0.5, 0.0])):
        arrays = {
            "example_sources": np.array(["a house", "rain"]),
            "example_references": np.array(["ein Haus", "Regen"]),
            "example_pieces": np.array(["▁ein", "▁Ha", "us", "</s>", "<0xC3>", "</s>"]),
            "example_confidences": np.array(confidences, np.float16),
            "example_lengths": np.array([4, 2], np.uint16),
        }
        run = machine_translation.run("laptop", smoothing_arm(alpha), 0)
        store.put(run, metrics={}, history={}, environment=environment, arrays=arrays)
    return store


@pytest.fixture(scope="module")
def informed():
    return chapters.mutual_information.shown("auto", splits=["train"])[0].comparison


@pytest.fixture(scope="module")
def taught() -> distillation.Study:
    return distillation.study()


@pytest.fixture(scope="module")
def page(browser, comparison, study, taught, translated, informed):
    """A page with nothing but the explorer; the data that its parts carry are in `carried`."""
    page = browser.new_page()
    parts = (
        explorer.target(),
        explorer.projection(comparison, (0, 1, 2)),
        explorer.temperature(study),
        explorer.students(taught),
        explorer.translations("auto", 0.1, translated),
        explorer.information(informed),
        explorer.risk(study),
    )
    page.set_content("".join(part.html() for part in parts))
    for name in ("arithmetic", "drawing", "explorer"):
        page.add_script_tag(path=SCRIPTS / f"{name}.js")
    page.evaluate("carried = [...document.querySelectorAll('figure script')].map((s) => read(s.textContent))")
    return page


@pytest.mark.parametrize("alpha", [0.0, 0.05, 0.37, 0.9])
@pytest.mark.parametrize("classes", [2, 3, 1000])
def test_targets_losses_and_gaps_are_those_of_python(page, classes, alpha):
    call = """([k, alpha, gaps]) =>
        [target(k, alpha), smallestLoss(k, alpha), optimalLogitGap(k, alpha), gaps.map((g) => lossAtGap(k, alpha, g))]
    """
    gaps = [0.0, 1.5, 14.0]
    target, least, best, losses = page.evaluate(call, [classes, alpha, gaps])
    expected = targets.smooth_targets(np.array([0]), classes, alpha)
    logits = np.zeros((len(gaps), classes))
    logits[:, 0] = gaps
    assert [target["true"], target["other"]] == pytest.approx(expected[0, :2], **EXACT)
    assert least == pytest.approx(targets.smallest_loss(classes, alpha), **EXACT)
    assert best == pytest.approx(targets.optimal_logit_gap(classes, alpha), **EXACT)
    assert losses == pytest.approx(targets.cross_entropy(logits, np.repeat(expected, len(gaps), axis=0)), **EXACT)
    probabilities = page.evaluate("([k, gaps]) => gaps.map((g) => probabilityAtGap(k, g))", [classes, gaps])
    assert probabilities == pytest.approx(calibration.softmax(logits)[:, 0], **EXACT)


def test_every_finite_half_precision_number_is_read_exactly(page):
    expected = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float64)
    found = json.loads(page.evaluate("JSON.stringify(Array.from({ length: 2 ** 16 }, (_, bits) => half(bits)))"))
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.array(found)[finite], expected[finite])


@pytest.mark.parametrize(
    "values", [np.array([[1.5, 1000], [0, 7e-8]]).astype(t) for t in ("float16", "float32", "uint16")], ids=str
)
def test_arrays_arrive_as_they_were_recorded(page, values):
    text = re.search(r'json">(.*?)</script>', Widget("x", "", {"a": values}).html())[1]
    found = page.evaluate("(text) => { const a = read(text).a; return [a.rows, a.columns, [...(a.values)]]; }", text)
    assert found == [2, 2, values.astype(np.float64).ravel().tolist()]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("classes", TRIPLES)
def test_projections_and_their_measures_are_those_of_python(page, comparison, study, classes, split):
    [sweep] = [sweep for sweep in study.sweeps if sweep.network == comparison.network]
    assert {0.0, 0.05, 0.1} <= set(sweep.records)
    for place, [record] in enumerate(sweep.records.values()):
        call = """([place, split, classes]) => {
            const found = projected(carried[1].networks[place], split, carried[1].labels[split], classes);
            return [found, clusterMeasures(found.points, found.labels)];
        }"""
        found, measures = page.evaluate(call, [place, split, list(classes)])
        points, labels, corners = chapters.projections.projected(record, split, classes)
        np.testing.assert_array_equal(found["labels"], labels)
        np.testing.assert_allclose(found["points"], points, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found["templates"], corners, rtol=1e-9, atol=1e-9)
        assert measures == pytest.approx(
            {
                "scatter": projection.within_between_scatter(points, labels),
                "regularity": projection.triangle_side_ratio(points, labels),
                "distance": projection.mean_distance(points),
            },
            **EXACT,
        )


def test_the_projection_has_each_recorded_factor_once_and_no_other_loss(comparison):
    """A further arm with the same factor, here another network's records in its place, is not taken for smoothing."""
    others = chapters.projections.rows("auto", 0.1, explorer.SEED)[1].comparison.main.records
    other = replace(comparison.main, name="other", settings=(("loss", "other"),), records=others)
    found = explorer.projection(replace(comparison, arms=(*comparison.arms, other)), (0, 1, 2))
    factors = [network["alpha"] for network in found.data["networks"]]
    assert factors == [0.0, 0.05, 0.1, 0.15, 0.2, 0.3]
    assert {(r.run.dataset, r.run.model, r.run.seed) for r in found.records} == {(*comparison.network, 0)}
    assert len(found.records) == len(factors)


def test_the_same_images_are_recorded_of_all_networks(comparison, study):
    [sweep] = [sweep for sweep in study.sweeps if sweep.network == comparison.network]
    for split in ("train", "test"):
        labels = [record.arrays[f"{split}_labels"] for [record] in sweep.records.values()]
        for found in labels:
            np.testing.assert_array_equal(found, comparison.reference.records[0].arrays[f"{split}_labels"])


@pytest.mark.parametrize(("temperature", "bins"), [(1, 15), (0.45, 5), (2.16, 50)])
def test_confidences_likelihood_and_calibration_error_are_those_of_python(page, study, temperature, bins):
    call = """([i, j, temperature, bins]) => {
        const { labels, factors } = carried[2].networks[i];
        const found = predictions(factors[j].logits, labels, temperature);
        const { ece, count } = reliability(found.confidence, found.correct, bins);
        return [found.accuracy, found.nll, ece, count];
    }"""
    for i, sweep in enumerate(study.sweeps):
        for j, [record] in enumerate(sweep.records.values()):
            logits, labels = explorer.shown_logits(record)
            labels = labels.astype(int)
            accuracy, nll, ece, count = page.evaluate(call, [i, j, temperature, bins])
            expected = calibration.reliability(calibration.softmax(logits, temperature), labels, bins)
            assert accuracy == np.mean(logits.argmax(axis=1) == labels)
            assert nll == pytest.approx(calibration.negative_log_likelihood(logits, labels, temperature), **EXACT)
            assert ece == pytest.approx(expected.ece, **EXACT)
            np.testing.assert_array_equal(count, expected.count)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below(page):
    confidence = [0, 1 / 7, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1, 0.3]
    correct = [False, True] * 4 + [True]
    found = page.evaluate("([c, h]) => reliability(c, h, 7)", [confidence, correct])
    expected = calibration.confidence_reliability(np.array(confidence), np.array(correct), 7)
    assert found["count"] == [2, 1, 2, 1, 1, 1, 1]
    assert found["ece"] == pytest.approx(expected.ece, **EXACT)
    for name in ("confidence", "accuracy"):
        np.testing.assert_allclose(found[name], getattr(expected, name), rtol=1e-12)


def test_tokens_are_marked_below_the_chosen_probability(page):
    page.locator("#sure").fill("0.6")
    tokens = page.locator(".tokens").first.locator("> *")
    found = tokens.evaluate_all("(all) => all.map((token) => [token.tagName, token.textContent])")
    assert found == [["SPAN", "ein 1.00"], ["SPAN", "Ha 0.75"], ["MARK", "us 0.50"], ["SPAN", "</s> 1.00"]]
    names = [f"{arm}-{name}" for name in ("marked", "likelihood") for arm in ("hard", "smoothed")]
    shown = [page.locator(f"output[name={name}]").inner_text() for name in names]
    logs = [np.log([1, 0.75, 0.5, 1]).mean(), np.log(0.5)]
    assert shown == ["1", "4", *(f"−{-value:.4f}" for value in logs)]
    page.locator("#sentence").select_option("rain")
    assert page.locator(".tokens").first.inner_text().startswith("\N{REPLACEMENT CHARACTER}")


def outputs(page, *names: str) -> list[str]:
    return [page.locator(f"output[name={name}]").inner_text().replace("−", "-") for name in names]


def test_students_are_shown_at_the_chosen_temperature(page, taught):
    page.locator("#condition-0").fill("2")
    assert outputs(page, "condition-0-shown", "hard-temperature") == ["T = 4", "4.00"]
    hard, smoothed = (mnist.errors(taught.mnist.students[4.0, arm]) for arm in ("hard", "smoothed"))
    shown = outputs(page, "hard-student", "smoothed-student", "hard-teacher", "smoothed-teacher", "smoothed-softness")
    teachers = [taught.mnist.errors("teacher", arm).mean() for arm in ("hard", "smoothed")]
    softness = mnist.smoothness(taught.mnist.students[4.0, "smoothed"])
    assert shown == [f"{value:.2f}" for value in (hard.mean(), smoothed.mean(), *teachers, softness)]
    change, low, high = welch_interval(hard, smoothed)
    assert outputs(page, "student-difference") == [f"{change:+.2f} [{low:+.2f}, {high:+.2f}]"]
    assert page.locator("#student-errors .point").count() == len(hard) + len(smoothed)
    drawn = page.evaluate("carried[3].experiments[0].points[2].arms.smoothed.student")
    assert drawn == pytest.approx(mean_interval(smoothed), **EXACT)
    assert page.locator("#condition-1").is_hidden()


def test_students_at_equal_smoothness_have_equal_smoothness(page, taught):
    page.locator("#experiment").select_option("1")
    for place, alpha in enumerate(taught.cifar10.grid):
        page.locator("#condition-1").fill(f"{place}")
        assert outputs(page, "condition-1-shown") == [f"α = {alpha:g}"]
        hard, smoothed = outputs(page, "hard-softness", "smoothed-softness")
        assert hard == smoothed
        found = [100 - taught.cifar10.accuracies(f"{arm} teacher", alpha).mean() for arm in ("hard", "smoothed")]
        assert outputs(page, "hard-student", "smoothed-student") == [f"{error:.2f}" for error in found]
    above = page.locator("#student-differences desc").text_content()
    assert above == "The whole interval is above 0 at α = 0.6."  # +0.3, +1.0 and +1.6 points, the last clearly
    page.locator("#experiment").select_option("0")


def test_no_translation_is_shown_and_none_trained_while_none_is_recorded(translated, results):
    assert explorer.translations("auto", 0.1) is None
    assert explorer.translations("laptop", 0.2, translated) is None
    assert not results.exists()


def test_colours_are_those_of_the_book():
    """Its style sheet has those of the figures."""
    named = {name for path in SCRIPTS.glob("*.*s") for name in re.findall(r"var\(--([\w-]+)", path.read_text())}
    declared = set(re.findall(r"--([\w-]+): #\w+;", (PROJECT / "_static" / "book.css").read_text()))
    assert {"hard", "smoothed"} <= {name for name in named if not name.startswith("pst-")} <= declared


def test_what_a_page_carries_is_limited(study, monkeypatch):
    assert len(explorer.temperature(study).html()) < 2_000_000
    monkeypatch.setattr(explorer, "LOGITS", 1_000)
    part = explorer.temperature(study)
    for sweep, network in zip(study.with_logits, part.data["networks"], strict=True):
        classes = len(DATASETS[sweep.run.dataset].classes)
        assert {factor["logits"].shape for factor in network["factors"]} == {(1_000 // classes, classes)}
        assert len(network["labels"]) == 1_000 // classes
    assert "MNIST: 100)" in part.caption


@pytest.mark.parametrize("pair", [(0, 1), (9, 3)])
def test_information_along_the_training_is_that_of_python(page, informed, pair):
    call = """(pair) => {
        const data = carried.find((each) => each.steps);
        const column = pairColumn(data.pairs, pair);
        return data.arms.map(({ curves }) => columnRange(curves, column));
    }"""
    for found, arm in zip(page.evaluate(call, pair), informed.arms, strict=True):
        column = arm.records[0].arrays["probe_pairs"].tolist().index(sorted(pair))
        curves = arm.values(lambda record, k=column: record.arrays["train_information"][:, k, -1].mean(axis=-1))
        for name, expected in (("mean", curves.mean(axis=0)), ("least", curves.min(axis=0))):
            np.testing.assert_allclose(found[name], expected, rtol=1e-6)
        np.testing.assert_allclose(found["largest"], curves.max(axis=0), rtol=1e-6)


@pytest.mark.parametrize("p", [0, 1, 4])
def test_risk_and_its_area_are_those_of_python(page, study, p):
    call = """(p) => {
        const { labels, arms } = carried.find((each) => each.networks?.[0].arms).networks[0];
        return arms.map(({ logits }) => {
            const score = trust(logits, p);
            const risk = riskCoverage(score, [...predictions(logits, labels, 1).correct]);
            return { score, risk, area: augrc(risk) };
        });
    }"""
    for found, arm in zip(page.evaluate(call, p), study.with_logits[0].comparison.arms, strict=True):
        logits, labels = explorer.shown_logits(arm.records[0])
        logits = logits.astype(float)
        score = selective.normalised_max_logit(logits, p, centred=True) if p else selective.max_probability(logits)
        correct = logits.argmax(axis=1) == labels
        np.testing.assert_allclose(found["score"], score, rtol=1e-9)
        np.testing.assert_allclose(
            found["risk"], selective.risk_coverage(found["score"], correct), rtol=1e-9, atol=1e-12
        )
        assert found["area"] == pytest.approx(selective.augrc(found["score"], correct), **EXACT)


def test_equal_scores_have_the_error_rate_at_every_coverage(page):
    risk = page.evaluate("riskCoverage([1, 1, 1, 1], [true, false, true, true])")
    assert risk == pytest.approx([0.25] * 4, **EXACT)
