"""The chapter's tables and figures, on records whose calibration is known."""

import dataclasses

import numpy as np
import pytest

from lsbook import figures
from lsbook.analysis.calibration import confidence_reliability, negative_log_likelihood, softmax
from lsbook.chapters import calibration, calibration_details
from lsbook.chapters.shared.claim_tables import Measure
from lsbook.chapters.shared.selection import parse_seeds
from lsbook.core.errors import UserError
from lsbook.core.registry import DATASETS
from lsbook.core.store import Store
from lsbook.evidence import claims, literature
from lsbook.runner import obtain

TEMPERATURE = 2.0  # of the networks with hard targets below
ASKED = {
    network: dict.fromkeys(factors, "0-2")
    for network, factors in {("cifar10", "alexnet"): (0.05, 0.1), ("mnist", "mlp"): (0.05, 0.1, 0.3)}.items()
}


@pytest.fixture(autouse=True, scope="module")
def asked():
    """Two networks, one of them trained for three lengths, whatever the book asks for."""
    lengths = ("cifar10", "alexnet"), (("0-2", (10_000, 5), ()), ("0", (50_000, 20), (0.1,)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(calibration.FACTORS, "laptop", ASKED)
        patch.setitem(calibration.LENGTHS, "laptop", lengths)
        yield


def content(alpha: float, seed: int, n: int) -> dict:
    """Confidence 0.9 when hard and 0.8 otherwise, and right 8 times in 10, give or take a thousandth a seed."""
    hit = np.arange(n) < round((0.8 + seed / 1000) * n)
    generator = np.random.default_rng(seed)
    logits = 3 * generator.standard_normal((2_000, 10))
    right = np.array([generator.choice(10, p=p) for p in softmax(logits)])
    found = {
        "test_confidence": np.full(n, 0.8 if alpha else 0.9, np.float16),
        "test_scaled_confidence": np.full(n, 0.8, np.float16),
        "test_hit": hit,
        "test_scaled_hit": hit,
    }
    if seed == 0:
        logits = logits if alpha else TEMPERATURE * logits
        found |= {"test_logits": logits, "test_targets": right.astype(np.uint16)}
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory, put) -> Store:
    """Every run that the chapter asks for in the laptop profile; MNIST has a small test set."""
    store = Store(tmp_path_factory.mktemp("results"))
    for group in calibration.groups("laptop"):
        for seed in parse_seeds(group.seeds)[:3]:
            for run in group.runs(seed).values():
                nll = 0.5 if run.alpha else 0.9
                temperature = 1.0 if run.alpha else TEMPERATURE
                metrics = {"test_accuracy": 0.8 + seed / 1000, "heldout_accuracy": 0.81}
                metrics |= {"temperature": temperature, "temperature_by_ece": temperature + 0.1}
                metrics |= {"test_nll": nll + seed / 1000, "test_scaled_nll": 0.5 + seed / 1000}
                history = {"step": [1, run.recipe.steps], "ece": [0.3, 0.1 + run.alpha]}
                arrays = content(run.alpha, seed, 500 if run.dataset == "mnist" else 10_000)
                for name in ("test", "test_scaled"):
                    confidence, hit = arrays[f"{name}_confidence"].astype(float), arrays[f"{name}_hit"]
                    metrics[f"{name}_ece"] = confidence_reliability(confidence, hit, 15).ece
                put(store, run, metrics=metrics, history=history, arrays=arrays)
    return store


@pytest.fixture
def study(store, monkeypatch) -> calibration.Study:
    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    return calibration.study("auto")


def measures(sweep: calibration.Sweep) -> list[Measure]:
    """Of smoothing against hard targets."""
    return calibration.measure(sweep, sweep.comparison.main, 15)


def with_records(sweep: calibration.Sweep, records: dict[float, list]) -> calibration.Sweep:
    """The network with other records of its factors, compared and not."""
    arms = tuple(dataclasses.replace(arm, records=records[arm.alpha]) for arm in sweep.comparison.arms)
    return dataclasses.replace(sweep, comparison=dataclasses.replace(sweep.comparison, arms=arms), records=records)


def test_the_best_recorded_profile_is_taken_with_all_its_networks(study):
    assert study.profile == "laptop"
    assert [(sweep.run.dataset, sweep.run.model) for sweep in study.sweeps] == list(calibration.FACTORS["laptop"])
    for sweep in study.sweeps:
        assert list(sweep.records) == sorted(sweep.records)
        assert {r.run.seed for records in sweep.records.values() for r in records} == {0, 1, 2}
    assert [sorted(sweep.records) for sweep in study.sweeps] == [[0.0, 0.05, 0.1], [0.0, 0.05, 0.1, 0.3]]


def test_the_compared_factor_is_the_claims(study):
    factors = {sweep.run.dataset: sweep.alpha for sweep in study.sweeps}
    assert factors["cifar10"] == 0.05
    assert factors["mnist"] == 0.1


def test_inceptions_pair_of_one_seed_stands_for_imagenet(monkeypatch):
    """Also on Tiny ImageNet the paper's 0.1 is compared, once; of ImageNet itself three seeds are asked for."""
    for profile, dataset, seeds in (("paper", "32", "0"), ("paper", "", "0-2")):
        dataset = f"tiny-imagenet-{dataset}" if dataset else "imagenet"
        monkeypatch.setitem(calibration.FACTORS, profile, {(dataset, "inception_v4"): {0.1: seeds}})
        [group] = calibration.groups(profile)
        assert group.seeds == seeds
        assert [(run.dataset, run.model, run.alpha) for run in group.runs(0).values()] == [
            (dataset, "inception_v4", 0.0),
            (dataset, "inception_v4", 0.1),
        ]


def test_arms_have_the_errors_they_were_given(study):
    hard, scaled, smoothed = study.sweeps[0].readings
    off = np.array([0.1, 0.099, 0.098])  # 0.9 said, 0.8, 0.801 and 0.802 right
    np.testing.assert_allclose(calibration.ece(hard, 15), off, atol=3e-4)  # float16 keeps 0.9 to 0.0002
    np.testing.assert_allclose(calibration.ece(scaled, 15), 0.1 - off, atol=3e-4)
    np.testing.assert_allclose(calibration.ece(smoothed, 15), 0.1 - off, atol=3e-4)
    np.testing.assert_allclose(calibration.read_metric(hard, "nll"), [0.9, 0.901, 0.902])
    np.testing.assert_allclose(calibration.read_metric(scaled, "nll"), [0.5, 0.501, 0.502])


def test_verdicts(study):
    for sweep in study.sweeps:
        found = {m.verdict.claim: m.verdict.verdict for m in measures(sweep)}
        enough = sweep.run.dataset != "mnist"
        assert found == {
            "C1": claims.REPRODUCED,
            "C6": claims.REPRODUCED,
            "C7": claims.REPRODUCED if enough else claims.NOT_TESTED,
        }


def test_table_3_holds_the_published_rows_and_ours(study):
    rows = calibration_details.ece_table(study).rows
    assert ("ResNet-56, CIFAR-100", "paper", "0.150", "0.021 (1.9)", "0.024 (0.05)", "—") in rows
    assert ("ResNet-56, CIFAR-100", "replication", "0.207", "0.029 (2.9)", "0.053 (0.05), 0.043 (0.1)", "—") in rows
    published = sum(len(table) for table in literature.TABLE_3.values()) - 2  # but the Transformers'
    assert len(rows) == published + len(study.sweeps)
    ours = rows[published]
    assert ours[:2] == (study.sweeps[0].title, "here")
    assert ours[2].startswith("0.09")
    assert ours[3].endswith("(2.00)")
    assert ours[4].endswith("(0.05)")
    assert ours[5] == ours[4].replace("(0.05)", "(1.00)")  # a temperature of 1 changes nothing


def test_the_difference_that_scaling_leaves(study):
    row = calibration_details.likelihood_table(study).rows[0]
    assert row[1].startswith("0.901")
    assert row[4].startswith("0.501")
    assert row[5] == "+0.0000 [−0.0023,\N{NO-BREAK SPACE}+0.0023]"


def test_accuracy_is_compared_at_its_own_factor_where_that_is_recorded(study):
    """C1 has 0.1 everywhere, C6 and C7 have 0.05 on CIFAR-10; a factor that is asked for decides all three."""
    cifar, mnist = study.sweeps
    assert [m.verdict.claim for m in measures(cifar)] == ["C1", "C6", "C7"]
    assert measures(cifar)[0].title == "test accuracy (α = 0.1)"
    assert [(sweep.alpha, sweep.accuracy_alpha) for sweep in (cifar, mnist)] == [(0.05, 0.1), (0.1, 0.1)]
    asked = calibration.study(dataset="mnist", alpha=0.3).sweeps[0]
    assert (asked.alpha, asked.accuracy_alpha) == (0.3, 0.3)
    without = dataclasses.replace(cifar, records={alpha: cifar.records[alpha] for alpha in (0.0, 0.05)})
    assert [m.verdict.claim for m in measures(without)] == ["C6", "C7"]


def test_other_measures_need_the_seed_that_keeps_its_logits(study):
    second = [
        with_records(sweep, {alpha: found[1:] for alpha, found in sweep.records.items()}) for sweep in study.sweeps
    ]
    without = dataclasses.replace(study, sweeps=[study.sweeps[0], second[1]])
    assert [title for title, _ in calibration_details.likelihoods(without)] == [study.sweeps[0].title]
    assert "MNIST" not in calibration_details.measures_table(without).caption
    without = dataclasses.replace(study, sweeps=second)
    for function in (calibration_details.measures_table, calibration_details.likelihoods):
        with pytest.raises(UserError, match="seeds must begin with 0 here"):
            function(without)


@pytest.mark.parametrize("seeds", ["auto", "recorded"])
def test_what_is_not_recorded_is_left_out(study, put, tmp_path, monkeypatch, seeds):
    """Two seeds of one network, none of the other."""
    few = Store(tmp_path)
    for records in study.sweeps[1].records.values():
        for record in records[:2]:
            put(few, record.run, metrics=record.metrics)
    monkeypatch.setenv("LSBOOK_RESULTS", str(tmp_path))
    found = calibration.study("auto", seeds=seeds)
    assert [sweep.run.dataset for sweep in found.sweeps] == ["mnist"]
    assert found.lengths == []
    assert {len(records) for records in found.sweeps[0].records.values()} == {2}
    with pytest.raises(UserError, match="nothing of what is asked is recorded in the profile paper"):
        calibration.study("paper", seeds="recorded")


def test_nll_curves_have_their_minimum_at_the_known_temperature(study):
    title, (hard, smoothed) = calibration_details.likelihoods(study)[0]
    assert title == study.sweeps[0].title
    assert (hard.fitted, smoothed.fitted) == (TEMPERATURE, 1.0)
    for curve in (hard, smoothed):
        assert curve.temperatures[curve.nll.argmin()] == pytest.approx(curve.fitted, rel=0.1)
        assert curve.best <= curve.nll.min() + 2e-3
    arrays = study.sweeps[0].records[0.0][0].arrays
    expected = negative_log_likelihood(arrays["test_logits"], arrays["test_targets"].astype(int), TEMPERATURE)
    assert hard.best == expected


def test_other_measures_are_of_the_first_seed(study):
    table = calibration_details.measures_table(study)
    assert len(table.rows) == 4 * len(study.sweeps)
    network, hard, scaled, smoothed = table.rows[:4]
    assert network[0] == f"**{study.sweeps[0].title}**"
    assert float(hard[1]) > 0.05 > float(scaled[1])  # the logits above are calibrated once divided by 2
    assert scaled[1:-2] == smoothed[1:-2]
    assert hard[-2:] == (f"{TEMPERATURE:.2f}", f"{TEMPERATURE + 0.1:.2f}")
    assert scaled[-2:] == ("—", "—")
    assert smoothed[-2:] == ("1.00", "1.10")
    assert all(len(row) == len(table.header) for row in table.rows)


def test_factors_are_in_order_and_complete(study):
    for found, sweep in zip(calibration.factors(study), study.sweeps, strict=True):
        assert [point.alpha for point in found.smoothing] == sorted(sweep.records)
        assert [point.colour for point in found.smoothing] == ["hard", *["smoothed"] * (len(sweep.records) - 1)]
        assert {len(values) for point in found.smoothing for values in (point.ece, point.accuracy)} == {3}
        np.testing.assert_allclose(found.smoothing[0].accuracy, [80.0, 80.1, 80.2])
        assert found.further == []


def test_a_factor_of_fewer_seeds_than_the_others_is_shown_too(study):
    sweep = study.sweeps[1]
    fewer = dataclasses.replace(sweep, records=sweep.records | {0.3: sweep.records[0.3][:1]})
    [found] = calibration.factors(dataclasses.replace(study, sweeps=[fewer]))
    assert [len(point.ece) for point in found.smoothing] == [3, 3, 3, 1]
    [above, _] = figures.factors_figure([found]).axes
    means = [point.ece.mean() for point in found.smoothing]
    np.testing.assert_allclose(above.containers[0].lines[0].get_ydata(orig=False), means)


def test_networks_whose_error_scaling_raised_are_named(study, monkeypatch):
    none = calibration_details.numbers(study)["grown"]
    assert none == "Here it has clearly raised the error of none of the networks."
    first = study.sweeps[0]
    monkeypatch.setattr(calibration_details, "ece", lambda arm, n_bins: np.linspace(0.01, 0.03, 3) + arm.scaled / 100)
    worse = dataclasses.replace(first, records={0.0: first.records[0.0], 0.1: first.records[0.0][:1]})
    found = calibration_details.numbers(dataclasses.replace(study, sweeps=[worse]))["grown"]
    assert found == ("Here it has raised the error of AlexNet, CIFAR-10 (α = 0, 3 seeds, from 0.020 to 0.030).")


def test_the_better_measures_are_counted(study):
    lower = calibration_details.numbers(study)["lower"]
    table = [row[1:7] for row in calibration_details.measures_table(study).rows if row[0] != "hard, scaled" and row[1]]
    better = [sum(s[k] < h[k] for h, s in zip(table[::2], table[1::2], strict=True)) for k in (0, 4, 5)]
    for name, count in zip(("smaller ECE", "smaller bias-corrected error", "smaller Brier score"), better, strict=True):
        assert f"{name} on {count}" in lower


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ([], ""),
        (["not tested"], ""),
        (
            ["reproduced", "not tested", "reproduced"],
            "Smoothing comes within 0.02 of temperature scaling wherever that was tested.",
        ),
        (
            ["reproduced", "undecided"],
            "Smoothing with the α fixed beforehand does not always calibrate as well as "
            "temperature scaling: its calibration error comes within 0.02 of that on 1 of 2 networks tested.",
        ),
        (
            ["contradicted", "reproduced", "contradicted"],
            "Contrary to the paper, smoothing with the α fixed beforehand does not always calibrate as well as "
            "temperature scaling: its calibration error comes within 0.02 of that on 1 of 3 networks tested.",
        ),
        (
            ["contradicted"],
            "Contrary to the paper, smoothing with the α fixed beforehand does not always calibrate as well as "
            "temperature scaling: its calibration error comes within 0.02 of that on 0 of 1 network tested.",
        ),
    ],
)
def test_the_sentence_on_scaling(verdicts, sentence):
    assert calibration.against_scaling(verdicts) == sentence


@pytest.mark.parametrize(
    ("seeds", "word", "sentence"),
    [
        (
            3,
            "lowers",
            "On X smoothing with α = 0.1 lowers the calibration error from 0.201 to 0.101; a "
            "temperature fitted on held-out data leaves 0.011.",
        ),
        (
            1,
            "",
            "On X it is open what smoothing with α = 0.1 does to the calibration error: 0.200 with hard targets, 0.100 "
            "with smoothed ones; a temperature fitted on held-out data leaves 0.010.",
        ),
    ],
)
def test_the_sentence_on_an_example(seeds, word, sentence):
    errors = np.array([0, 0.001, 0.002])[:seeds]
    found = calibration.example("X", 0.1, 0.2 + errors, 0.1 + errors, 0.01 + errors, word)
    assert found.replace("\N{NO-BREAK SPACE}", " ") == sentence


def test_sentences_on_what_it_depends_on():
    one, three = np.array([0.1]), np.array([0.1, 0.101, 0.102])
    found = calibration.length_change(50_000, 20, one, one + 0.02, {})
    assert found == "by +0.02 after 20 epochs on 50,000 images (1 seed)"
    found = calibration.length_change(50_000, 20, one, one + 0.02, {0.1: one + 0.03, 0.2: one + 0.05})
    assert found == "by +0.02 after 20 epochs on 50,000 images (1 seed; α = 0.1: +0.03; α = 0.2: +0.05)"
    found = calibration.length_change(10_000, 1, three, three - 0.05, {}).replace("\N{NO-BREAK SPACE}", " ")
    assert found == "by −0.0500 [−0.0523, −0.0477] after 1 epoch on 10,000 images (3 seeds)"
    recorded = ["0.05", "0.1", "0.2"]
    assert calibration.within_margin("X", 0.05, [], recorded) == (
        "On X no recorded factor brings the error within the margin of temperature scaling."
    )
    assert calibration.within_margin("X", 0.05, ["0.1"], recorded) == (
        "Of the factors recorded on X, 0.05, 0.1 and 0.2, smoothing comes within the margin of temperature scaling "
        "with 0.1, not with the claim’s 0.05."
    )
    found = calibration.within_margin("X", 0.05, ["0.05", "0.1"], recorded)
    assert found.endswith("with 0.05 and 0.1, the claim’s 0.05 among them.")


def test_labels_are_likelier_where_the_interval_says_so():
    seeds = np.array([0.99, 1.0, 1.01])
    found = calibration.likelier([("W", seeds, seeds - 0.1), ("X", seeds, seeds + 0.1), ("Y", seeds, seeds)])
    assert found == "Yes on W, no on X, open on Y"
    assert calibration.likelier([("Z", seeds[:1], seeds[:1] - 0.1)]) == "Open on Z"


def test_the_answer_begins_with_what_contradicts_the_paper_and_names_the_worst(study):
    """As recorded here smoothing helps; with the arms exchanged it harms."""
    helped = calibration.in_short(study).markdown
    assert helped.startswith("**In short.** Smoothing comes within 0.02 of temperature scaling wherever")
    assert "On AlexNet, CIFAR-10 smoothing with α = 0.05 lowers the calibration error from 0.099 to 0.001" in helped
    swapped = [
        with_records(sweep, {0.0: sweep.records[sweep.alpha], sweep.alpha: sweep.records[0.0]})
        for sweep in study.sweeps
    ]
    harmed = calibration.in_short(dataclasses.replace(study, sweeps=swapped)).markdown
    assert harmed.startswith("**In short.** Contrary to the paper, smoothing with the α fixed")
    assert "raises the calibration error from 0.001 to 0.099" in harmed
    assert "lowers" not in harmed
    text = calibration.depends_text(study).markdown
    assert "after 5 epochs on 10,000 images (3 seeds)" in text
    assert "**The factor.** Of the factors recorded on MLP 2 × 1200, MNIST, 0.05, 0.1" in text


def test_the_picture_is_of_the_first_network_and_of_the_most_harmed(study):
    assert calibration.reliability_figure(study).records == study.sweeps[0].comparison.records
    swapped = [
        with_records(sweep, {0.0: sweep.records[sweep.alpha], sweep.alpha: sweep.records[0.0]})
        for sweep in study.sweeps
    ]
    harmed = dataclasses.replace(study, sweeps=swapped)
    assert len(calibration.reliability_figure(harmed).records) == len(harmed.compared)


def test_along_the_training_stand_epochs(study):
    along = calibration_details.along_training(study)
    assert along.epochs[-1] == pytest.approx(study.sweeps[0].epochs)
    assert {arm.name: arm.values.shape for arm in along.arms} == {"hard": (3, 2), "smoothed": (3, 2)}
    np.testing.assert_allclose(along.arms[1].values[:, -1], 0.15)


def test_lengths_come_shortest_first_with_the_recipes_own(study):
    found = [(length.images, length.epochs) for length in calibration_details.lengths(study)]
    assert found == sorted(found)
    own = study.sweeps[0].epochs
    assert found == [(10_000, pytest.approx(5, abs=0.1)), (10_000, own), (50_000, pytest.approx(20, abs=0.1))]
    assert [len(length.arms[0].values) for length in calibration_details.lengths(study)] == [3, 3, 1]


def test_further_factors_of_a_length_stand_beside_the_compared_one(study):
    """Not in the figure, whose lines are of the compared ones."""
    said = calibration.depends_text(study).markdown.replace("\N{NO-BREAK SPACE}", " ")
    assert (
        "on 10,000 images (3 seeds) and by −0.0997 after 20 epochs on 50,000 images (1 seed; α = 0.1: −0.0997)" in said
    )
    assert {len(length.arms) for length in calibration_details.lengths(study)} == {2}


def test_where_held_out_and_test_images_differ_it_is_said(study, monkeypatch):
    """Of 10,000 and 10,000 images the standard error is 0.0056 at 0.8, of 10,000 and 500 it is 0.018."""
    assert calibration_details.carry_text(study).markdown.endswith("agree within three standard errors.")
    for sweep in study.sweeps:
        for record in sweep.records[0.0]:
            monkeypatch.setitem(record.metrics, "heldout_accuracy", 0.83)
    text = calibration_details.carry_text(study).markdown
    assert "- AlexNet, CIFAR-10: 83.0 % of the held-out and 80.1 % of the test images" in text
    assert text.endswith("leaves an error of 0.001 on the latter.")
    assert "MNIST" not in text
    monkeypatch.setitem(calibration.DATASETS, "cifar10", dataclasses.replace(DATASETS["cifar10"], remark="Mind it."))
    assert calibration_details.carry_text(study).markdown.endswith("on the latter. Mind it.")


def test_samples_of_a_calibrated_model_err_as_the_formula_says():
    """Half-normal means: 15 bins, 8 of them used, each with n/7.5 of the examples; the error falls as 1/√n."""
    found = calibration_details.sample_sizes(15)
    np.testing.assert_allclose(found.plain[2:], found.expected[2:], rtol=0.1)
    confidence = np.linspace(0.5, 1, 10_001)
    closed = np.sqrt(2 / np.pi * 7.5) * np.mean(np.sqrt(confidence * (1 - confidence))) / np.sqrt(found.sizes)
    np.testing.assert_allclose(found.expected[2:], closed[2:], rtol=0.06)  # the lowest bin is half used
    assert (found.debiased[2:] < found.plain[2:] / 2).all()


@pytest.mark.parametrize("n_bins", [0, -1, 1.5, "15", True])
def test_bins_must_be_a_number_of_bins(n_bins):
    with pytest.raises(UserError, match="n_bins must be a whole number of at least 1"):
        calibration.study(n_bins=n_bins)


@pytest.mark.parametrize(
    ("profile", "dataset", "message"),
    [
        ("smoke", "cifar10", "unknown data set of the profile smoke 'cifar10': choose from digits, mnist"),
        ("auto", "imagenet", "unknown data set of the profile laptop 'imagenet': choose from cifar10, tiny-"),
        ("smoke", "grammar", "unknown data set of the profile smoke 'grammar': choose from digits, mnist$"),
    ],
)
def test_a_data_set_that_is_not_there_is_refused(profile, dataset, message):
    with pytest.raises(UserError, match=message):
        calibration.study(profile, dataset)


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        ("0", "alpha must be above 0 here"),
        (0.0, "above 0 here"),
        ("many", "or \"auto\", not 'many'"),
        (1, "alpha must be below 1, not 1"),
        (None, 'or "auto", not None'),
    ],
)
def test_a_factor_that_is_none_is_refused(study, alpha, message):
    with pytest.raises(UserError, match=message):
        calibration.study("laptop", alpha=alpha)


def test_another_factor_joins_the_recorded_ones():
    def asked(profile: str, alpha: float | str) -> list[list[float]]:
        return [[run.alpha for run in group.runs(0).values()] for group in calibration.groups(profile, "mnist", alpha)]

    assert asked("smoke", "0.07") == [[0.0, 0.07]]
    assert asked("laptop", 0.07) == [[0.0, 0.07], *([0.0, 0.07, other] for other in ASKED["mnist", "mlp"])]


def test_an_arm_of_the_readers_is_trained_where_only_smoothing_is_recorded(store, monkeypatch):
    class Trained(Exception):
        pass

    def train(runs, *_):
        raise Trained({(run.recipe.loss, run.alpha) for run in runs})

    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    monkeypatch.setattr(obtain, "_train", train)
    with pytest.raises(Trained, match=r"^{\('maxsup', 0.1\)}"):
        calibration.study(dataset="mnist", other_losses="maxsup")


def test_a_factor_of_the_readers_is_trained_where_only_other_lengths_are_recorded(store, monkeypatch):
    """Those are compared at the chapter's own factor: no answer to what is asked."""

    class Trained(Exception):
        pass

    def train(runs, *_):
        raise Trained({run.alpha for run in runs})

    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    monkeypatch.setattr(obtain, "_train", train)
    with pytest.raises(Trained, match="{0.55}"):
        calibration.study(alpha=0.55)
