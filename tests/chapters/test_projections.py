"""The chapter's tables and panels, on records whose geometry is known."""

import dataclasses
from html import unescape

import numpy as np
import pytest

from lsbook import training
from lsbook.chapters import projections
from lsbook.chapters.shared import captions
from lsbook.chapters.shared.claim_tables import Measure, combined
from lsbook.chapters.shared.comparison import Comparison
from lsbook.chapters.shared.selection import Selection, parse_seeds, select_runs
from lsbook.core.config import Run
from lsbook.core.errors import UserError
from lsbook.core.registry import DATASETS
from lsbook.core.store import Record, Store
from lsbook.evidence import claims, literature
from lsbook.outputs import Text
from lsbook.recipes import profiles
from lsbook.runner.obtain import obtain

CORNERS = np.array([[np.cos(a), np.sin(a)] for a in (0, 2 * np.pi / 3, 4 * np.pi / 3)])


def arrays(size: float, spread: float, test_spread: float, seed: int) -> dict:
    """Ten classes in ten dimensions; those of the first three are at `size` times the corners of a triangle."""
    generator = np.random.default_rng(seed)
    templates = np.eye(10)
    templates[:3] = np.eye(3, 10) - np.eye(3, 10).mean(axis=0)  # a regular triangle around 0
    labels = np.repeat(np.arange(10), 100)
    centres = size * templates
    result = {"templates": templates.astype(np.float32)}
    for split, deviation in {"train": spread, "test": test_spread}.items():
        noise = deviation * generator.standard_normal((1000, 10))
        result[f"{split}_activations"] = (centres[labels] + noise).astype(np.float16)
        result[f"{split}_labels"] = labels.astype(np.uint16)
    return result


def alexnet(profile: str, alpha: float, seed: int) -> Run:
    """A run of the first network."""
    dataset, model, *_ = projections.NETWORKS[profile][0]
    return profiles.run(profile, dataset, model, alpha, seed)


@pytest.fixture(scope="module")
def store(tmp_path_factory, put) -> Store:
    """Three seeds an arm of two networks; smoothed clusters are smaller, tighter for it, and spread in test."""
    store = Store(tmp_path_factory.mktemp("results"))
    for seed in range(3):
        for alpha, size, spread, test_spread, accuracy in ((0.0, 8, 1.5, 2.0, 0.74), (0.1, 4, 0.2, 0.8, 0.75)):
            metrics = {"test_accuracy": accuracy + seed / 1000, "train_accuracy": accuracy + 0.2}
            content = arrays(size, spread, test_spread, seed)
            for model in ("alexnet", "resnet56"):
                run = profiles.run("laptop", "cifar10", model, alpha, seed)
                put(store, run, metrics=metrics, arrays=content)
    return store


@pytest.fixture(scope="module")
def rows(store) -> list[projections.FigureRow]:
    return projections.rows("auto", 0.1, "0-2", store=store)


@pytest.fixture
def unfitted(rows, put, tmp_path) -> projections.FigureRow:
    """The second network, after smoothed trainings that ended early with clusters larger than those of hard targets."""
    smoothed = [
        put(
            Store(tmp_path),
            record.run,
            metrics={"test_accuracy": 0.5 + record.run.seed / 1000, "train_accuracy": 0.4},
            arrays=arrays(12, 3, 3, record.run.seed),
        )
        for record in rows[1].comparison.main.records
    ]
    return with_records(rows[1], rows[1].comparison.reference.records, smoothed)


def shown(text: Text) -> str:
    """A text as a reader sees it, apart from its roles."""
    return unescape(text.markdown)


@pytest.fixture(scope="module")
def comparison(rows) -> Comparison:
    return rows[0].comparison


def selected(profile: str, alpha: float, seeds: str, store: Store) -> Selection:
    """The runs of the first network of each profile."""
    return select_runs(profile, seeds, lambda name: projections.groups(name, alpha)[:1], store)


def measures(row: projections.FigureRow) -> list[Measure]:
    """Of smoothing against hard targets."""
    return projections.measure(row, row.comparison.main)


def test_the_measures_are_those_of_the_geometry(rows):
    found = {(m.verdict.claim, m.verdict.part): m for m in measures(rows[0])}
    side = np.sqrt(2)  # of the triangle of templates; its corners are side / √3 from the centre
    scatter = found["C2", ""]
    # within: 2 dimensions of variance s²; between: squared distance size² side² / 3
    assert scatter.first.mean() == pytest.approx(2 * 1.5**2 / (64 * side**2 / 3), rel=0.1)
    assert scatter.second.mean() == pytest.approx(2 * 0.2**2 / (16 * side**2 / 3), rel=0.1)
    assert found["C3", ""].second.mean() == pytest.approx(1, abs=0.02)
    assert found["C4", ""].second.mean() == pytest.approx(4 * side / np.sqrt(3), rel=0.05)
    assert found["C8", ""].second.mean() == pytest.approx((0.8 / 0.2) ** 2, rel=0.15)
    np.testing.assert_allclose(found["C1", ""].first, [74.0, 74.1, 74.2])
    verdicts = {v.claim: v.verdict for v in combined(list(found.values())) if v.claim not in ("C3", "C5")}
    assert verdicts == dict.fromkeys(("C1", "C2", "C4", "C8", "C18"), claims.REPRODUCED)


def test_panels_are_the_four_columns(comparison):
    panels = projections.panels(comparison, (0, 1, 2))
    assert [p.title for p in panels] == [
        "hard targets, training",
        "hard targets, test",
        "α = 0.1, training",
        "α = 0.1, test",
    ]
    assert [(p.arm, p.colour) for p in panels] == [(arm, arm) for arm in ("hard", "hard", "smoothed", "smoothed")]
    for panel in panels:
        assert panel.points.shape == (300, 2)
        assert panel.classes == ("airplane", "automobile", "bird")
        assert np.bincount(panel.labels).tolist() == [100, 100, 100]
        centroids = np.array([panel.points[panel.labels == k].mean(axis=0) for k in range(3)])
        cosines = np.sum(centroids * panel.templates, axis=1)
        assert (cosines > 0.9 * np.linalg.norm(centroids, axis=1) * np.linalg.norm(panel.templates, axis=1)).all()


def test_classes_are_those_of_the_first_row(store):
    rows = projections.rows("auto", 0.1, "0-2", "dog,frog,ship", store=store)
    assert [row.names(row.classes) for row in rows] == [("dog", "frog", "ship"), ("airplane", "automobile", "bird")]
    assert [row.names(row.similar) for row in rows] == [("cat", "dog", "ship")] * 2


def test_similar_classes_are_asked_for_an_arc(rows):
    """The record's cat and dog are two clouds: arc and radius are found here from the angles seen from the ship's."""
    row = rows[0]
    [found] = [each for each in measures(row) if each.verdict.claim == "C5"]
    assert found.title == "cat and dog, sd of arc / radius"
    points, places, _ = projections.projected(row.comparison.reference.records[0], "train", row.similar)
    from_ship = (points[places != 2] - points[places == 2].mean(axis=0)) @ np.array([1, 1j])
    turned = from_ship * np.exp(-1j * np.angle((from_ship / abs(from_ship)).mean()))
    expected = (abs(from_ship).mean() * np.angle(turned)).std() / abs(from_ship).std()
    assert found.first[0] == pytest.approx(expected, rel=0.01)


def test_each_network_has_one_setting(rows):
    settings = projections.measured(rows)
    assert [setting.title for setting in settings] == ["AlexNet, CIFAR-10", "ResNet-56, CIFAR-10"]
    for setting in settings:
        assert [m.verdict.claim for m in setting.measures] == ["C1", "C2", "C3", "C4", "C8", "C18", "C18", "C5"]


def test_numbers_are_of_the_first_network(rows):
    """Clusters of hard networks are at 8 times their templates, those of smoothed ones at 4 times."""
    numbers = projections.numbers(rows)
    assert (numbers["network"], numbers["similar_names"]) == ("AlexNet, CIFAR-10", "cat and dog")
    assert (numbers["hard_beyond"], numbers["smoothed_beyond"]) == pytest.approx((8, 4), rel=0.03)
    assert numbers["smoothed_distance"] == pytest.approx(4 * np.sqrt(2 / 3), rel=0.02)
    assert numbers["smoothed_reach"] == pytest.approx(1, abs=0.1)


def with_records(row: projections.FigureRow, hard: list[Record], smoothed: list[Record]) -> projections.FigureRow:
    """The same row with other records in its arms."""
    arms = (dataclasses.replace(arm, records=r) for arm, r in zip(row.comparison.arms, (hard, smoothed), strict=True))
    return row._replace(comparison=dataclasses.replace(row.comparison, arms=tuple(arms)))


def test_networks_that_have_not_fitted_their_training_images_are_named(rows, unfitted):
    shares = (
        "Training images classified correctly (hard and smoothed): AlexNet, CIFAR-10: 94 and 95 %; ResNet-56, CIFAR-10"
    )
    assert projections.fitting_text(rows).markdown == (
        f"{shares}: 94 and 95 %. So all have reached the end of training, which the claims are about."
    )
    hard, smoothed = (
        np.mean([_distance_from_optimum(record) for record in arm.records]) for arm in unfitted.comparison.arms
    )
    assert projections.fitting_text([rows[0], unfitted]).markdown == (
        f"{shares}: 94 and 40 %. The claims are about the end of training, which ResNet-56, CIFAR-10, with less than "
        "80 %, has not reached. That about logit gaps turns on it: the mean gap of ResNet-56, CIFAR-10 is off "
        f"the optimum for smoothed targets by {hard:.2f} nats with hard targets and {smoothed:.2f} nats with smoothed "
        "targets."
    )


def _distance_from_optimum(record: Record) -> float:
    """Of the mean gap between the true and another logit, as claim C18 has it."""
    logits = record.arrays["train_activations"].astype(float) @ record.arrays["templates"].T
    true = logits[np.arange(len(logits)), record.arrays["train_labels"]]
    return abs((10 * true - logits.sum(axis=1)).mean() / 9 - np.log(0.91 / 0.01))  # α = 0.1, ten classes


LINK = "You can {ref}`choose classes and α yourself <projection-widget>`."


def change(row: projections.FigureRow, claim: str, part: str = "") -> str:
    """The mean difference of a measure of both arms, as it is shown."""
    [found] = [m for m in measures(row) if (m.verdict.claim, m.verdict.part) == (claim, part)]
    return captions.mean_difference(found.first, found.second)


def test_in_short_says_what_holds_on_how_many_networks(rows):
    assert shown(projections.in_short(rows)) == (
        "**In short.** In the small-scale setting, smoothing tightens the training clusters on 2 of 2 networks "
        f"(scatter within over between: {change(rows[0], 'C2')} on AlexNet, CIFAR-10) and shrinks the projections on "
        f"2 of 2 networks. On 2 networks accuracy does not fall by half a point. {LINK}"
    )


def test_in_short_begins_with_what_contradicts_the_paper(rows, unfitted):
    """Hard and smoothed networks have changed places: the opposite of each claim is found."""
    turned = with_records(rows[0], rows[0].comparison.main.records, rows[0].comparison.reference.records)
    first = "loosens the training clusters, enlarges the projections, lowers the scatter of test images relative to "
    first += "training images"
    gaps = "makes the logit gaps less alike, leaves the mean logit gap farther from its optimum"
    last = "makes two look-alike classes less of an arc"
    assert shown(projections.in_short([turned, unfitted], "More.")) == (
        "**In short.**\n\n- Contrary to the paper’s claims, on AlexNet, CIFAR-10 smoothing costs more than half a "
        f"point of accuracy ({change(turned, 'C1')} points), {first}, {gaps} and {last}.\n- In the small-scale "
        "setting, smoothing is not shown to do what Figure 1 is about.\n- On 2 networks accuracy falls by more than "
        "half a point.\n- More.\n- Contrary to the paper’s claims, on ResNet-56, CIFAR-10, which has not fitted its "
        f"training images, smoothing costs more than half a point of accuracy ({change(unfitted, 'C1')} points), "
        f"{first}, {gaps} and {last}.\n\n{LINK}"
    )


def test_in_short_leaves_open_what_is_undecided(rows, put, tmp_path):
    """Accuracies of 60, 75 and 90 %, and the same arrays on both arms."""
    hard = rows[0].comparison.reference.records
    metrics = [{"test_accuracy": 0.6 + 0.15 * seed, "train_accuracy": 0.9} for seed in range(3)]
    smoothed = [put(Store(tmp_path), r.run, metrics=m, arrays=r.arrays) for r, m in zip(hard, metrics, strict=True)]
    assert shown(projections.in_short([with_records(rows[0], hard, smoothed)])) == (
        "**In short.** In the small-scale setting, smoothing is not shown to do what Figure 1 is about. On AlexNet, "
        f"CIFAR-10 it is open whether accuracy falls by half a point. {LINK}"
    )


def test_in_short_decides_nothing_with_two_seeds(store):
    rows = projections.rows("auto", 0.1, "0-1", store=store)
    hard, smoothed = (np.mean(values) for values in next(m for m in measures(rows[0]) if m.verdict.claim == "C2")[2:4])
    assert shown(projections.in_short(rows)) == (
        "**In short.** In the small-scale setting, fewer than three seeds decide no claim. On AlexNet, CIFAR-10 the "
        f"scatter within over between classes is {hard:.3f} with hard targets and {smoothed:.3f} with smoothed. {LINK}"
    )


def test_the_order_of_the_classes_is_the_callers(comparison):
    panel = projections.panels(comparison, (2, 0, 1))[0]
    assert panel.classes == ("bird", "airplane", "automobile")
    assert panel.points[panel.labels == 0].mean(axis=0) @ panel.templates[0] > 0


@pytest.mark.parametrize(
    ("classes", "expected"), [("auto", (0, 1, 2)), ("cat,dog,ship", (3, 5, 8)), (" ship , cat,dog", (8, 3, 5))]
)
def test_classes_by_name(classes, expected):
    assert projections.three_classes("cifar10", classes) == expected


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("cat,dog", "expected 3 different names, each a class of CIFAR-10, not 'cat,dog'"),
        ("cat,dog,ship,truck", "expected 3 different names"),
        ("cat,dog,cat", "expected 3 different names"),
        ("cat,dog,cow", "unknown class of CIFAR-10 'cow': choose from airplane, automobile"),
        ("", "unknown class of CIFAR-10 ''"),
    ],
)
def test_classes_that_are_not_three_different_ones_are_refused(tmp_path, monkeypatch, classes, message):
    """Before anything is trained."""
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained in vain"))
    with pytest.raises(UserError, match=message):
        projections.rows("laptop", classes=classes, store=Store(tmp_path))


def test_of_many_classes_those_can_be_shown_whose_examples_are_kept():
    many = "tiny-imagenet-50"
    names = DATASETS[many].classes
    assert [names[k] for k in projections.three_classes(many, "auto")] == ["goldfish", "tabby", "monarch"]
    found = projections.three_classes(many, "tabby,Egyptian cat,goldfish")
    assert found == (names.index("tabby"), names.index("Egyptian cat"), 0)
    with pytest.raises(UserError, match="unknown class of Tiny ImageNet at 32 × 32, 50 classes 'koala': choose from"):
        projections.three_classes(many, "koala,tabby,goldfish")


def test_the_accuracy_table_holds_paper_replication_and_ours(rows):
    table = projections.accuracy_table(rows)
    assert [row[:2] for row in table.rows] == [
        *(("AlexNet, CIFAR-10", source) for source in ("Paper", "Replication", "Here, in the small-scale setting")),
        *(("ResNet-56, CIFAR-10", source) for source in ("Replication", "Here, in the small-scale setting")),
    ]
    published = literature.TABLE_2[literature.PAPER]["cifar10", "alexnet"]
    assert table.rows[0][2] == f"{published['hard'].value} ± {published['hard'].spread}"
    assert table.rows[2][2] == "74.10 ±\xa00.25"  # sd 0.1, 3 seeds: 4.303 · 0.1 / √3


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.5], "0.5"),
        ([0.0, 2.0], "1 ± 13"),  # Student's t for one degree of freedom is 12.706
        ([0.811, 0.813], "0.812 ± 0.013"),
        ([3.0, 3.0], "3.000 ± 0.000"),
    ],
)
def test_a_mean_has_as_many_digits_as_its_interval(values, text):
    assert captions.with_interval(np.array(values)).replace("\xa0", " ") == text


def test_two_seeds_decide_nothing(store):
    rows = projections.rows("auto", 0.1, "0-1", store=store)
    assert {m.verdict.verdict for row in rows for m in measures(row)} == {claims.NOT_TESTED}


@pytest.fixture
def few(store, put, tmp_path):
    """A store with two seeds of the AlexNet pair."""
    few = Store(tmp_path)
    for record in store:
        if record.run.model == "alexnet" and record.run.recipe.steps == 6_240 and record.run.seed < 2:
            put(few, record.run)
    return few


@pytest.fixture
def asked(monkeypatch):
    """The (alpha, seed) of each run that would be taken from the store or trained."""
    asked = []

    def obtain(runs, _):
        asked.extend((run.alpha, run.seed) for run in runs)
        return list(runs)

    monkeypatch.setattr("lsbook.chapters.shared.selection.obtain", obtain)
    return asked


def test_auto_seeds_of_a_named_profile_are_the_recorded_ones_when_they_are_enough(store, few, asked):
    selected("laptop", 0.1, "auto", store)
    assert asked == [(alpha, seed) for seed in range(3) for alpha in (0.0, 0.1)]
    asked.clear()
    selected("laptop", 0.1, "auto", few)
    assert asked == [(alpha, seed) for seed in parse_seeds("0-2,5-9") for alpha in (0.0, 0.1)]


def test_auto_seeds_of_no_named_profile_are_the_recorded_ones_however_few(few, asked):
    selected("auto", 0.1, "auto", few)
    assert asked == [(alpha, seed) for seed in range(2) for alpha in (0.0, 0.1)]


def test_a_better_profile_does_not_win_with_too_few_seeds_for_a_verdict(store, few, put):
    """Neither for a chapter nor for the scorecard, which asks for recorded seeds."""
    for alpha in (0.0, 0.1):
        run = alexnet("paper", alpha, 0)
        for each in (store, few):
            put(each, run, metrics={"test_accuracy": 0.5}, arrays=arrays(4, 1, 1, 0))
    for seeds in ("auto", "recorded"):
        assert selected("auto", 0.1, seeds, store).profile == "laptop"
        found = selected("auto", 0.1, seeds, few)
        assert (found.profile, len(found.groups[0]["hard"])) == ("laptop", 2)
    assert selected("auto", 0.1, "0", store).profile == "paper"


def test_auto_is_the_best_profile_of_which_all_is_recorded(store, put):
    assert selected("auto", 0.1, "0-2", store).profile == "laptop"
    for profile, seeds in {"paper": (0, 1, 2), "smoke": (0, 1, 2)}.items():
        for alpha in (0.0, 0.1):
            for seed in seeds[: 2 if alpha else 3]:  # one smoothed run is missing
                run = alexnet(profile, alpha, seed)
                content = arrays(4, 1, 1, seed)
                put(store, run, metrics={"test_accuracy": 0.5}, arrays=content)
    assert selected("auto", 0.1, "0-2", store).profile == "laptop"
    assert selected("auto", 0.1, "0-1", store).profile == "paper"


def test_auto_leaves_out_what_is_not_recorded_unless_nothing_is(store, tmp_path, monkeypatch):
    monkeypatch.setattr("lsbook.chapters.shared.selection.obtain", lambda runs, _: list(runs))
    for recorded, seeds in ((Store(tmp_path), [8, 8, 3]), (store, [3, 3, 0])):
        found = select_runs("auto", "auto", projections.groups, recorded)
        assert (found.profile, [len(group.get("hard", ())) for group in found.groups]) == ("laptop", seeds)


def test_the_arms_differ_in_alpha_alone(comparison):
    assert [arm.label for arm in comparison.arms] == ["hard targets", "smoothed, α = 0.1"]
    hard, smoothed = (arm.records for arm in comparison.arms)
    for reference, compared in zip(hard, smoothed, strict=True):
        assert dataclasses.replace(compared.run, alpha=0.0) == reference.run
        assert compared.run.alpha == 0.1
    assert [r.run.seed for r in hard] == [0, 1, 2]


@pytest.mark.parametrize(
    "losses",
    ["cross-entropy", "maxsup,maxsup", "maxsup,a,b,c", "none,none", "", "maxsup,cross-entropy", "a:b,c:b", None, ["a"]],
)
def test_further_arms_are_other_losses_each_once(losses):
    with pytest.raises(UserError):
        projections.groups("laptop", 0.1, losses)[0].runs(0)


def test_an_empty_store_is_used_and_not_the_default_one(tmp_path, results, monkeypatch):
    """An empty store has length 0; it is a store all the same."""
    run = alexnet("smoke", 0.1, 0)
    short = dataclasses.replace(run, examples=20, recipe=dataclasses.replace(run.recipe, steps=1, batch=4))
    store = Store(tmp_path / "mine")
    [record] = obtain([short], store)
    assert record.folder.is_relative_to(tmp_path / "mine")
    assert not results.exists()


@pytest.mark.parametrize(
    ("text", "expected"), [("0-4", [0, 1, 2, 3, 4]), ("3", [3]), (3, [3]), ("0,2,5-6", [0, 2, 5, 6])]
)
def test_seeds(text, expected):
    assert parse_seeds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "a", "0,0", "1-0", "0,5-3", "0-1-2", "0.5", "-1", "0-1000", "0-99999999999999999999"]
)
def test_bad_seeds_are_refused(text):
    with pytest.raises(UserError, match="seeds must be whole numbers"):
        parse_seeds(text)


@pytest.mark.parametrize("alpha", [0, 0.0])
def test_there_is_nothing_to_compare_without_smoothing(store, alpha):
    with pytest.raises(UserError, match="alpha must be above 0 here"):
        projections.rows("laptop", alpha, "0-2", store=store)
