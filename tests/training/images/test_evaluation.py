"""What a record says besides accuracy and calibration: each number against its definition, computed otherwise."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from lsbook.analysis import calibration
from lsbook.analysis.selective import Normalisation
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.registry import DATASETS
from lsbook.data.images import Images, load
from lsbook.training import Splits, train
from lsbook.training.images import evaluation, summary, transfer
from lsbook.training.images import task as images
from lsbook.training.images.summary import ModelOutputs
from lsbook.training.images.task import noisy_labels

GENERATOR = np.random.default_rng(0)
CLASSES = 4


def responses(n: int = 300, width: int = 6, spread: float = 1.0) -> ModelOutputs:
    """Answers of a linear classifier that is right more often than not."""
    labels = GENERATOR.integers(CLASSES, size=n)
    labels[:CLASSES] = range(CLASSES)
    features = np.eye(CLASSES, width)[labels] + spread * GENERATOR.normal(size=(n, width))
    activations = np.append(features, np.ones((n, 1)), axis=1).astype(np.float32)
    return ModelOutputs(activations, 2 * activations[:, :CLASSES], labels)


def test_trust_is_that_of_each_score_on_each_split():
    heldout, test = responses(), responses()
    found = evaluation.selective_prediction(heldout, test)
    probabilities = calibration.softmax(test.logits)
    correct = test.logits.argmax(axis=1) == test.labels
    assert found["test_msp_auroc"] == pytest.approx(roc_auc_score(correct, probabilities.max(axis=1)))
    assert found["test_max_logit_auroc"] == pytest.approx(roc_auc_score(correct, test.logits.max(axis=1)))
    z = test.logits.astype(float)
    z -= found["normalised_logit_centred"] * z.mean(axis=1, keepdims=True)
    p = found["normalised_logit_p"]
    normalised = z.max(axis=1) / (np.abs(z) ** p).sum(axis=1) ** (1 / p)
    assert found["test_normalised_logit_auroc"] == pytest.approx(roc_auc_score(correct, normalised))
    order = np.argsort(-probabilities.max(axis=1))
    risks = np.cumsum(~correct[order]) / np.arange(1, 301)
    assert found["test_msp_aurc"] == pytest.approx(risks.mean())
    assert found["test_msp_augrc"] == pytest.approx((risks * np.arange(1, 301) / 300).mean())
    assert found["test_msp_risk_at_coverage"] == pytest.approx(risks[239])
    assert found["test_msp_coverage_at_risk"] == np.flatnonzero(risks <= 0.05)[-1] / 300 + 1 / 300
    assert {name.split("_")[0] for name in found} == {"test", "heldout", "normalised"}
    assert len(found) == 2 + 2 * 3 * 5


def test_risk_curves_are_of_the_most_trusted_hundredths():
    test = responses(250)
    found = evaluation.risk_curves(test, Normalisation(2, False))
    wrong = test.logits.argmax(axis=1) != test.labels
    z = test.logits.astype(float)
    scores = {"max_logit": z.max(axis=1), "normalised_logit": z.max(axis=1) / np.linalg.norm(z, axis=1)}
    for name, score in scores.items():
        errors = wrong[np.argsort(-score)].cumsum()
        expected = [errors[n - 1] / n for n in (2, 5, 8, 10, 12, 15, 18, 20, 22, 25)]  # round(2.5 c), halves to even
        np.testing.assert_allclose(found[f"test_{name}_risk"][:10], expected, rtol=1e-6)
        assert found[f"test_{name}_risk"][-1] == np.float32(wrong.mean())
    assert evaluation.risk_curves(test, None).keys() == {"test_msp_risk", "test_max_logit_risk"}
    assert {curve.shape for curve in evaluation.risk_curves(responses(30), None).values()} == {(100,)}


def test_where_nothing_is_wrong_there_is_nothing_to_tell_apart():
    perfect = responses(spread=0.0)
    found = evaluation.selective_prediction(perfect._replace(labels=perfect.labels[:0]), perfect)
    assert not any("auroc" in name or "normalised" in name for name in found)
    assert found["test_msp_aurc"] == 0
    assert found["test_msp_coverage_at_risk"] == 1


def test_calibration_without_bins_adds_up():
    test = responses()
    found = evaluation.calibration_without_bins(test, 1.5)
    probabilities = calibration.softmax(test.logits, 1.5)
    assert found["brier"] == pytest.approx(
        brier_score_loss(test.labels, probabilities, labels=range(CLASSES), scale_by_half=False)
    )
    correct = probabilities.argmax(axis=1) == test.labels
    parts = correct.var() + found["isotonic_miscalibration"] - found["isotonic_discrimination"]
    assert parts == pytest.approx(np.mean((probabilities.max(axis=1) - correct) ** 2))
    assert 0 < found["smooth_ece"] < 0.5


def test_geometry_is_that_of_features_without_the_constant():
    train_, test = responses(), responses()
    templates = GENERATOR.normal(size=(CLASSES, 7))
    found = evaluation.feature_geometry(train_, test, templates)
    units = train_.activations[:, :-1].astype(float)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    distances = 1 - units @ units.T
    groups = [np.flatnonzero(train_.labels == k) for k in range(CLASSES)]
    blocks = np.array([[distances[np.ix_(a, b)].mean() for b in groups] for a in groups])
    assert found["train_distance_within"] == pytest.approx(np.trace(blocks) / CLASSES)
    assert found["train_class_separation"] == pytest.approx(1 - np.trace(blocks) / CLASSES / blocks.mean())
    dead = train_._replace(activations=np.zeros_like(train_.activations))
    assert evaluation.feature_geometry(dead, test, templates) == {}
    some = ModelOutputs(*(part[train_.labels > 0] for part in train_))
    assert evaluation.feature_geometry(some, test, templates) == {}
    of_one_class = ModelOutputs(*(part[test.labels == 1] for part in test))
    assert evaluation.feature_geometry(train_, of_one_class, templates) == {}


@pytest.mark.parametrize(
    "outputs",
    [
        lambda labels, features: np.zeros((len(labels), 6)),
        lambda labels, features: np.ones((len(labels), 6)),
        lambda labels, features: np.outer(1 + labels, np.ones(6)),
        lambda labels, features: np.where(labels[:, None] == 0, 0, features),
    ],
    ids=["dead", "constant", "of one direction", "dead to a class"],
)
@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_a_network_that_has_learnt_nothing_is_measured_as_far_as_it_goes(outputs, bias):
    """No measure that is undefined stops the others or is recorded."""
    labels = np.arange(120) % CLASSES
    features = np.append(outputs(labels, GENERATOR.normal(size=(120, 6))), np.ones((120, 1)), axis=1)
    templates = np.append(np.ones((CLASSES, 6)), bias * np.ones((CLASSES, 1)), axis=1)
    split = ModelOutputs(features.astype(np.float32), (features @ templates.T).astype(np.float32), labels)
    found = summary.metrics(split, split, split) | evaluation.selective_prediction(split, split)
    found |= evaluation.calibration_without_bins(split, found["temperature"])
    found |= evaluation.feature_geometry(split, split, templates)
    assert np.isfinite(list(found.values())).all()
    assert "train_class_separation" not in found
    normalisation = Normalisation(int(found["normalised_logit_p"]), bool(found["normalised_logit_centred"]))
    assert all(np.isfinite(risk).all() for risk in evaluation.risk_curves(split, normalisation).values())
    assert summary.arrays(templates.astype(np.float32), found["temperature"], split, split, [0, 1, 2], full=True)


def strange(n: int, shape=(1, 8, 8), classes=("a", "b", "c"), shown=()) -> Images:
    labels = np.arange(n) % len(classes)
    pixels = GENERATOR.integers(20, size=(n, *shape)) + 80 * labels[:, None, None, None]
    return Images(pixels.astype(np.uint8), labels, classes, "", "")


@pytest.fixture
def other(monkeypatch):
    """A data set of grey 8 × 8 images of three classes, told apart by their brightness, that `digits` does not know."""
    parts = {"train": strange(60), "heldout": strange(30), "test": strange(30)}
    monkeypatch.setitem(DATASETS, "strange", dataclasses.replace(DATASETS["digits"], classes=("a", "b", "c"), shown=()))
    ours = dataclasses.replace(DATASETS["digits"], unknown={"strange": ("b",), "mnist": ()}, transfer="strange")
    monkeypatch.setitem(DATASETS, "digits", ours)
    monkeypatch.setattr(transfer, "is_available", lambda name: name == "strange")
    monkeypatch.setattr(transfer, "load", lambda name, split: parts[split])
    monkeypatch.setattr(transfer, "train_and_heldout", lambda name: (parts["train"], parts["heldout"]))
    return parts


def seen(images_: Images) -> ModelOutputs:
    """A network whose features are the four quarters of the image's middle 8 × 8 pixels, and whose logits these."""
    assert images_.shape == (3, 12, 12)
    middle = images_.pixels[:, 0, 2:10, 2:10].reshape(len(images_), 2, 4, 2, 4).mean(axis=(2, 4)).reshape(-1, 4)
    return ModelOutputs(np.append(middle, np.ones((len(middle), 1)), axis=1).astype(np.float32), middle, images_.labels)


def test_the_unknown_is_told_by_three_scores(other):
    test = ModelOutputs(None, 300 * np.eye(4), np.arange(4))
    found = transfer.out_of_distribution("digits", (3, 12, 12), test, seen)
    assert found.keys() == {f"ood_strange_{score}_auroc" for score in ("msp", "max_logit", "energy")}
    assert set(found.values()) == {1.0}
    rest = other["test"].pixels[other["test"].labels != 1]
    logits = rest.reshape(20, 2, 4, 2, 4).mean(axis=(2, 4)).reshape(20, 4)
    ours = np.array([[90.0, 0, 0, 0]])  # between the dark and the bright class
    found = transfer.out_of_distribution("digits", (3, 12, 12), ModelOutputs(None, ours, np.zeros(1)), seen)
    expected = roc_auc_score([1, *[0] * 20], [90.0, *logits.max(axis=1)])
    assert found["ood_strange_max_logit_auroc"] == pytest.approx(expected)
    assert expected == 0.5


def test_a_linear_probe_learns_what_the_features_tell(other):
    found = transfer.linear_probe("digits", (3, 12, 12), seen)
    assert found["probe_strange_accuracy"] == 1
    assert found["probe_strange_strength"] in transfer.STRENGTHS
    blind = transfer.linear_probe("digits", (3, 12, 12), lambda x: seen(dataclasses.replace(x, pixels=x.pixels * 0)))
    assert blind["probe_strange_accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("part", ["unknown", "transfer"])
@pytest.mark.parametrize("more", [[], ["test (1).parquet"], ["data/test.parquet"]])
def test_another_data_set_that_is_damaged_is_said_before_a_training(data_folder, monkeypatch, part, more):
    """Not at its end, where hours would have been for nothing. Without it, or a part, a run is trained all the same."""
    tried = {"unknown": {"mnist": ()}} if part == "unknown" else {"transfer": "mnist"}
    monkeypatch.setitem(DATASETS, "digits", dataclasses.replace(DATASETS["digits"], **tried))
    run = Run(dataset="digits", model="mlp", alpha=0.1, seed=0, recipe=Recipe(steps=1), examples=200)
    assert len(images.load_splits(run).train) == 200
    (data_folder / "mnist").mkdir()
    for name in ("train.parquet", "test.parquet"):
        (data_folder / "mnist" / name).write_bytes(b"no Parquet")
        assert len(images.load_splits(run).train) == 200
        (data_folder / "mnist" / name).unlink()
    for name in ("train.parquet", "test.parquet", *more):
        (data_folder / "mnist" / name).parent.mkdir(parents=True, exist_ok=True)
        (data_folder / "mnist" / name).write_bytes(b"no Parquet")
    with pytest.raises(UserError, match=r"mnist.*(damaged|keep one|is named neither)"):
        images.load_splits(run)


@pytest.mark.parametrize(
    ("part", "labels", "message"),
    [
        ("test", 1, "strange has no test images that are unknown: all are of classes that are left out"),
        ("train", 2, "strange is too small for a linear probe, which needs held-out images and two classes"),
        ("heldout", None, "strange is too small for a linear probe"),
    ],
)
def test_another_data_set_that_lacks_what_is_measured_is_said_before_a_training(other, part, labels, message):
    rows = other[part].labels == labels
    other[part] = dataclasses.replace(other[part], pixels=other[part].pixels[rows], labels=other[part].labels[rows])
    with pytest.raises(UserError, match=message):
        transfer.check("digits")


def test_images_that_fit_no_view_are_refused():
    for shape in ((3, 4, 12), (1, 12, 12)):
        with pytest.raises(ValueError, match=r"images: \(3, 8, 8\) do not fit into"):
            transfer._in_shape(strange(3, (3, 8, 8)), shape)


def test_the_classes_left_out_exist():
    for source in DATASETS.values():
        for name, left_out in source.unknown.items():
            assert set(left_out) <= set(DATASETS[name].classes)
            assert len(set(left_out)) == len(left_out)


def test_every_training_records_them():
    run = Run(
        dataset="digits",
        model="alexnet-16",
        alpha=0.1,
        seed=0,
        recipe=Recipe(steps=20, batch=64, learning_rate=0.02, loss="maxsup", augmentation="crop24-flip"),
        examples=200,
        label_noise=0.2,
    )
    outcome = train(run, images.load_splits(run), progress=False)
    expected = {"test_msp_augrc", "heldout_normalised_logit_aurc", "test_scaled_smooth_ece", "test_brier"}
    expected |= {"train_class_separation", "test_class_separation", "train_nc1", "train_nc2_templates"}
    assert {"test_msp_risk", "test_max_logit_risk", "test_normalised_logit_risk"} <= outcome.arrays.keys()
    assert expected <= outcome.metrics.keys()
    assert all(np.isfinite(value) for value in outcome.metrics.values())


def test_where_the_test_images_are_of_one_class_what_is_defined_is_recorded(monkeypatch):
    """And of the classes that figures show it is none."""
    monkeypatch.setitem(DATASETS, "digits", dataclasses.replace(DATASETS["digits"], shown=("7",)))
    recipe = Recipe(steps=5, batch=64, learning_rate=0.02)
    run = Run(dataset="digits", model="mlp-800", alpha=0.1, seed=0, recipe=recipe, examples=200)
    data = images.load_splits(run)
    rows = data.test.labels == 3
    of_one_class = dataclasses.replace(data.test, pixels=data.test.pixels[rows], labels=data.test.labels[rows])
    outcome = train(run, data._replace(test=of_one_class), progress=False)
    assert {"test_accuracy", "test_ece", "test_msp_augrc"} <= outcome.metrics.keys()
    assert "test_class_separation" not in outcome.metrics
    assert {"templates", "train_activations", "test_logits"} <= outcome.arrays.keys()
    assert not {"test_activations", "test_labels"} & outcome.arrays.keys()


def test_wrong_labels_are_as_many_as_said_and_never_the_right_ones():
    labels = GENERATOR.integers(10, size=50_000)
    noisy = noisy_labels(labels, 10, 0.2, np.random.SeedSequence(1))
    wrong = noisy != labels
    assert wrong.mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 50_000))
    shifts = np.bincount((noisy - labels)[wrong] % 10, minlength=10)
    assert shifts[0] == 0
    assert np.abs(shifts[1:] / wrong.sum() - 1 / 9).max() < 4 * np.sqrt(1 / 9 / wrong.sum())
    np.testing.assert_array_equal(noisy_labels(labels[:100], 10, 0.2, np.random.SeedSequence(1)), noisy[:100])
    np.testing.assert_array_equal(noisy_labels(labels, 10, 0.0, np.random.SeedSequence(1)), labels)


def test_training_and_heldout_labels_are_noisy_and_test_labels_clean():
    run = Run(dataset="digits", model="mlp", alpha=0.0, seed=3, recipe=Recipe(steps=1), examples=800, label_noise=0.3)
    found = images.load_splits(run)
    again, other = images.load_splits(run), images.load_splits(dataclasses.replace(run, seed=4))
    for name in Splits._fields:
        clean, noisy = load("digits", name), getattr(found, name)
        clean = clean.first(len(noisy))
        np.testing.assert_array_equal(noisy.pixels, clean.pixels)
        np.testing.assert_array_equal(noisy.labels, getattr(again, name).labels)
        changed = np.mean(noisy.labels != clean.labels)
        assert changed == 0 if name == "test" else abs(changed - 0.3) < 0.09
        assert name == "test" or (getattr(other, name).labels != noisy.labels).any()
    assert (found.train.labels[:300] == load("digits", "train").labels[:300]).tolist() != (
        found.heldout.labels == load("digits", "heldout").labels
    ).tolist()
