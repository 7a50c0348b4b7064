"""Somebody's own predictions: read from every form that people write, and judged as the book judges its own."""

import gzip
import json
import os
import re
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from torchmetrics.functional.classification import multiclass_calibration_error

from lsbook import assess, cli
from lsbook.analysis.calibration import softmax
from lsbook.assess.judgement import Judgement, _weighted_augrc, _weighted_ece
from lsbook.assess.report import number_text
from lsbook.chapters import your_model
from lsbook.core.errors import UserError

CLASSES = ("ant", "bee", "cat")


def sample(n=200, k=3, seed=0, scale=1.5):
    generator = np.random.default_rng(seed)
    labels = generator.integers(k, size=n)
    logits = generator.normal(size=(n, k))
    logits[np.arange(n), labels] += scale
    return labels, logits


@pytest.fixture(scope="module")
def trained():
    """A model that no one here prepared: scikit-learn's, on its digits."""
    x, y = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=2_000).fit(x[:900] / 16, y[:900])
    return y[900:], model.predict_log_proba(x[900:] / 16)


def write(path, labels, logits, kind="logit", separator=",", **options):
    frame = pd.DataFrame(logits, columns=[f"{kind}_{name}" for name in CLASSES])
    frame.insert(0, "label", [CLASSES[label] for label in labels])
    frame.to_csv(path, index=False, sep=separator, **options)
    return path


def same(found, labels, logits, atol=1e-6):
    assert (found.labels == labels).all()
    np.testing.assert_allclose(softmax(found.logits), softmax(np.asarray(logits)), atol=atol)


def test_every_form_gives_the_same_predictions(tmp_path):
    labels, logits = sample()
    probabilities = softmax(logits)
    np.savez(tmp_path / "a.npz", labels=labels, logits=logits)
    np.savez(tmp_path / "p.npz", label=labels.astype(float), probabilities=probabilities.astype(np.float16))
    write(tmp_path / "a.csv", labels, logits)
    write(tmp_path / "excel.csv", labels, logits, separator=";", decimal=",", encoding="utf-8-sig")
    write(tmp_path / "wide.csv", labels, logits, separator="\t", encoding="utf-16")
    write(tmp_path / "p.csv", labels, probabilities, kind="probability", float_format="%.4f")
    frame = pd.read_csv(tmp_path / "a.csv")
    frame.to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"y": labels, "logits": list(logits)}).to_parquet(tmp_path / "lists.parquet")
    pd.DataFrame(probabilities, columns=CLASSES).assign(target=labels).to_csv(tmp_path / "plain.csv", index=False)
    for name in ("a.npz", "a.csv", "excel.csv", "wide.csv", "a.parquet", "lists.parquet"):
        found = assess.read(tmp_path / name)
        same(found, labels, logits)
        assert found.given == "logits"
    for name in ("p.npz", "p.csv", "plain.csv"):
        found = assess.read(tmp_path / name)
        same(found, labels, logits, atol=1e-3)
        assert found.given == "probabilities"
    assert assess.read(tmp_path / "excel.csv").classes == CLASSES


def test_validation_data_features_and_what_is_not_used_are_told(tmp_path):
    labels, logits = sample()
    others = {"val_labels": labels, "val_logits": logits, "features": np.ones((200, 5)), "templates": np.ones((3, 5))}
    np.savez(tmp_path / "a.npz", labels=labels, logits=logits, epoch=3, **others)
    found = assess.read(tmp_path / "a.npz")
    assert found.notes == ("not used: epoch",)
    assert found.features.shape == (200, 5)
    assert Judgement(found).fitted_on == "validation data"
    frame = pd.DataFrame(logits, columns=CLASSES).assign(label=labels, split=["test", "val"] * 100)
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = assess.read(tmp_path / "a.csv")
    same(found, labels[::2], logits[::2])
    assert (found.validation[0] == labels[1::2]).all()


def test_labels_that_name_the_columns_are_found_by_name(tmp_path):
    """Whatever the order of the columns, and whatever the names look like: 10 before 2, 02, a class NA."""
    labels, logits = sample(k=12)
    order = sorted(range(12), key=str)
    frame = pd.DataFrame({f"logit_{k}": logits[:, k] for k in order}).assign(label=labels)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.astype({"label": float}).to_parquet(tmp_path / "floats.parquet")
    names = np.array([f"0{k}" for k in range(11)] + ["NA"])
    named = pd.DataFrame({f"logit_{names[k]}": logits[:, k] for k in order}).assign(label=names[labels])
    named.to_csv(tmp_path / "names.csv", index=False)
    for name in ("a.csv", "a.parquet", "floats.parquet", "names.csv"):
        same(assess.read(tmp_path / name), np.argsort(order)[labels], logits[:, order])


def test_training_data_are_left_out_and_said_to_be(tmp_path):
    labels, logits = sample()
    frame = pd.DataFrame(logits, columns=CLASSES).assign(label=labels, split=["test", "train"] * 100)
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = assess.read(tmp_path / "a.csv")
    same(found, labels[::2], logits[::2])
    assert found.notes == ("not used: 100 rows of training data",)


def test_files_of_one_name_are_told_apart(tmp_path):
    labels, logits = sample()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "p.npz", labels=labels, logits=logits)
    found = assess.files(tmp_path / "a" / "p.npz", tmp_path / "b" / "p.npz")
    assert [each.name for each in found] == ["p.npz (1)", "p.npz (2)"]


def bad_files(tmp_path):
    """(name, what its line says) of files that hold no predictions."""
    labels, logits = sample(20)
    spoilt = logits.copy()
    spoilt[7, 1] = np.nan
    arrays = {
        "nan": ({"labels": labels, "logits": spoilt}, "logits of example 7 are not finite"),
        "sums": ({"labels": labels, "probabilities": np.abs(logits)}, "sum to"),
        "labels": ({"labels": labels + 5, "logits": logits}, "labels are from"),
        "names": ({"labels": np.array(["dog"] * 20), "logits": logits}, "is no class"),
        "one": ({"labels": labels * 0, "logits": logits[:, :1]}, "two classes or more"),
        "alike": ({"labels": labels, "Labels": labels, "logits": logits}, "have one name"),
        "none": ({"labels": labels[:0], "logits": logits[:0]}, "expected (N, K)"),
        "few": ({"labels": labels[:5], "logits": logits}, "there are 20 examples"),
        "nothing": ({"labels": labels}, "no logits and no probabilities"),
        "unlabelled": ({"logits": logits}, "no labels"),
        "halves": ({"labels": labels + 0.5, "logits": logits}, "whole numbers"),
        "complex": ({"labels": labels, "logits": logits + 1j}, "not numbers"),
        "validation": ({"labels": labels, "logits": logits, "val_labels": labels}, "no val_logits"),
        "objects": ({"labels": labels, "logits": np.array([[None] * 3] * 20)}, "Python objects"),
        "pickled": ({"labels": labels, "logits": logits, "epoch": np.array(Bomb())}, "Python objects"),
        "text": ({"labels": labels, "logits": logits.astype(str)}, "not numbers"),
        "records": ({"labels": labels, "logits": np.zeros(20, dtype=[("a", float)])}, "expected (N, K)"),
        "booleans": ({"labels": labels, "logits": logits > 0}, "not numbers"),
        "dates": ({"labels": labels.astype("datetime64[s]"), "logits": logits}, "whole numbers"),
        "onehot": ({"labels": np.eye(3)[labels], "logits": logits}, "labels have the shape (20, 3)"),
        "percent": ({"labels": labels, "probabilities": 100 * softmax(logits)}, "sum to 100"),
        "example": ({"labels": labels[:1], "logits": logits[:1]}, "one example"),
        "held": (
            {"labels": labels, "logits": logits, "val_labels": labels[:0], "val_logits": logits[:0]},
            "val_logits",
        ),
        "named": ({"labels": labels, "logits": logits, "class_names": np.eye(3)}, "class names have the shape (3, 3)"),
        "twice": (
            {"labels": np.array(["a"] * 20), "logits": logits, "class_names": np.array(["a", "a", "b"])},
            "several classes are named 'a'",
        ),
    }
    for name, (content, said) in arrays.items():
        np.savez(tmp_path / f"{name}.npz", **content)
        yield f"{name}.npz", said
    texts = {
        "empty.csv": ("", "No columns"),
        "text.csv": ("label,a,b\nx,one,two\n", "no column for each class"),
        "nolabel.csv": ("a,b\n0.5,0.5\n", "no column of labels"),
        "gap.csv": ("label,a,b\n,0.5,0.5\n", "row 0 has no label"),
        "ragged.csv": ("label,a,b\n0,1,2,3,4\n1,2\n", ""),
        "a.txt": ("hello", "predictions are read from"),
        "not.npz": ("hello", ""),
        "not.parquet": ("hello", ""),
        "missing.csv": (None, "is no file"),
        "onlyval.csv": ("label,split,a,b\n0,val,0.5,0.5\n", "no row is test data"),
        "header.csv": ("label,a,b\n", "no column for each class"),
        "headless.csv": ("0,0.2,0.8\n1,0.7,0.3\n", "no column of labels"),
        "foreign.csv": ("Etikett;Ameise;Biene\n0;0,2;0,8\n", "there are 'Etikett, Ameise, Biene'"),
        "double.csv": ("label,a,a\n0,1,2\n1,2,1\n", "two columns 'a'"),
        "spaced.csv": ("label,a, a\n0,1,2\n1,2,1\n", "two columns 'a'"),
        "capital.csv": ("Label,label,a,b\n0,0,1,2\n1,1,2,1\n", "two columns 'label'"),
        "thousands.csv": ('label,a,b,c\n0,"1,234.5",1,2\n1,2,3,1\n', "column 'a' should be numbers, but '1,234.5'"),
        "points.csv": ("label;logit_a;logit_b\n0;1.234,5;2\n1;2;3,5\n", "should be numbers, but '1.234,5'"),
        "percent.csv": ("label,a,b\n0,20%,80%\n1,70%,30%\n", "'a, b' are no numbers"),
        "infinite.csv": ("label,a,b\n0,0,-inf\n1,-inf,0\n", "logits of example 0 are not finite"),
        "zero.csv": ("label,a,b\n0,\0,1\n", "no column for each class"),
        "quote.csv": ('label,a,b\n"0,1,2\n1,2,1\n', "EOF inside string"),
        "a": ("label,a,b\n0,1,2\n", "predictions are read from"),
    }
    (tmp_path / "folder.npz").mkdir()
    yield "folder.npz", "is no file"
    for name in ("gzip.csv.gz", "gzip.csv", "gzip.npz"):
        (tmp_path / name).write_bytes(gzip.compress(b"label,a,b\n0,1,2\n1,2,1\n"))
        yield name, "compressed by gzip; unpack it first"
    for name, lists in {"ragged": [[1.0, 2.0], [1.0]], "empty": [[1.0, 2.0], None]}.items():
        pd.DataFrame({"y": [0, 1], "logits": lists}).to_parquet(tmp_path / f"{name}.parquet")
        yield f"{name}.parquet", "not equally long"
    for name, (text, said) in texts.items():
        if text is not None:
            (tmp_path / name).write_text(text)
        yield name, said


class Bomb:
    """What would be run if an array of objects were unpickled."""

    def __reduce__(self):
        return pytest.fail, ("the array was unpickled",)


def test_what_holds_no_predictions_is_one_line(tmp_path):
    for name, said in bad_files(tmp_path):
        with pytest.raises(UserError) as caught:
            assess.read(tmp_path / name)
        assert said in str(caught.value), name
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_holds_no_predictions_ends_the_command_before_anything_runs(tmp_path, monkeypatch, capsys):
    for name, said in bad_files(tmp_path):
        monkeypatch.setattr(sys, "argv", ["lsbook", "assess", str(tmp_path / name), "--out", str(tmp_path / "page")])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, line = capsys.readouterr()
        assert (stopped.value.code, out, line.count("\n")) == (2, "", 1), name
        assert line.startswith("lsbook: ")
        assert said in line
        assert not (tmp_path / "page").exists()


def every_part(judgements):
    """All that a page shows, made."""
    return [
        assess.opening(judgements, False),
        assess.advice(judgements),
        assess.read_text(judgements),
        assess.reliability_figure(judgements),
        assess.table(judgements),
        assess.brier_table(judgements),
        assess.comparison_table(judgements),
        assess.risk_figure(judgements),
        assess.projection_figures(judgements),
    ]


def test_odd_files_have_a_page(tmp_path):
    """Numbers of every type, the logarithms of probabilities, what spreadsheets add, a class for every example."""
    labels, logits = sample(60)
    names = np.array(CLASSES)
    many = np.random.default_rng(0).normal(size=(60, 1_000))
    arrays = {
        "half": {"labels": labels.astype(np.uint8), "logits": logits.astype(np.float16)},
        "logarithms": {"labels": labels, "logits": np.log(softmax(logits))},
        "whole": {"labels": labels.astype(float), "logits": (4 * logits).astype(np.int8)},
        "long": {"labels": labels, "logits": logits.astype(np.longdouble)},
        "big-endian": {"labels": labels.astype(">i4"), "logits": logits.astype(">f4")},
        "large": {"labels": labels, "logits": (1e37 * logits).astype(np.float32)},
        "larger": {"labels": labels, "logits": 1e300 * logits},
        "text": {"labels": names[labels], "logits": logits, "class_names": names},
        "bytes": {"labels": names[labels].astype("S"), "logits": logits, "class_names": names.astype("S")},
        "same-name": {"labels": labels, "logits": logits, "class_names": np.array(["a", "a", "b"])},
        "capitals": {"Labels": labels, "LOGITS": logits},
        "two": {"labels": labels[:2], "logits": logits[:2]},
        "thousand": {"labels": many.argmax(axis=1), "logits": many},
    }
    for name, content in arrays.items():
        np.savez(tmp_path / f"{name}.npz", **content)
    write(tmp_path / "index.csv", labels, logits)
    rows = "a;b;label;Id;\n0,2;0,8;b;17;\n0,7;0,3;a;18;\n"
    (tmp_path / "excel.csv").write_text(f"sep=;\n{rows}", encoding="utf-8-sig", newline="\r\n")
    (tmp_path / "mac.csv").write_text(rows, newline="\r")
    pd.DataFrame(logits, columns=CLASSES).assign(label=labels).to_csv(tmp_path / "numbered.csv")
    nullable = pd.DataFrame(logits, columns=CLASSES, dtype="Float64").assign(y=pd.array(labels, dtype="Int64"))
    nullable.assign(nested=[{"a": 1}] * 60).to_parquet(tmp_path / "nullable.parquet")
    found = {path.name: assess.read(path) for path in tmp_path.iterdir()}
    for predictions in found.values():
        assert len(every_part(assess.judge([predictions, predictions]))) == 9
    for name in ("logarithms", "text", "bytes", "same-name", "capitals"):
        same(found[f"{name}.npz"], labels, logits)
    assert found["text.npz"].classes == found["bytes.npz"].classes == CLASSES
    for name in ("excel.csv", "mac.csv"):
        assert found[name].classes == ("a", "b")
        same(found[name], [1, 0], np.log([[0.2, 0.8], [0.7, 0.3]]))
        assert found[name].notes == ("not used: Id, Unnamed: 4",)
    assert found["numbered.csv"].notes == ("not used: Unnamed: 0",)
    assert found["nullable.parquet"].notes == ("not used: nested",)
    for name in ("numbered.csv", "nullable.parquet"):
        same(found[name], labels, logits)


@pytest.mark.long
def test_a_million_examples_take_little_more_memory_than_they_have(tmp_path):
    """40 MB of logits; all that is computed of one example, and its shares of the resamples, are some numbers each."""
    generator = np.random.default_rng(0)
    labels = generator.integers(10, size=10**6)
    logits = generator.standard_normal((10**6, 10), dtype=np.float32)
    np.savez(tmp_path / "a.npz", labels=labels, logits=logits)
    tracemalloc.start()
    try:
        every_part(assess.files(tmp_path / "a.npz"))
        assert tracemalloc.get_traced_memory()[1] < 8 * logits.nbytes
    finally:
        tracemalloc.stop()


def test_a_thousand_classes_are_never_copied_in_double_precision():
    """Beside the 32 MB of logits lie the two halves of them and the probabilities, in single precision."""
    generator = np.random.default_rng(0)
    labels = generator.integers(1_000, size=8_000)
    logits = generator.standard_normal((8_000, 1_000), dtype=np.float32)
    predictions = assess.from_arrays("a", {"labels": labels, "logits": logits})
    tracemalloc.start()
    try:
        assess.table(assess.judge([predictions]))
        assert tracemalloc.get_traced_memory()[1] < 3 * logits.nbytes
    finally:
        tracemalloc.stop()


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("lsbook.assess.predictions.MOST_VALUES", 1_000)
    np.savez_compressed(tmp_path / "a.npz", labels=np.zeros(500, int), logits=np.zeros((500, 3)))
    with pytest.raises(UserError, match="more than 1,000 numbers"):
        assess.read(tmp_path / "a.npz")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_give_predictions_or_one_line(tmp_path_factory, data):
    labels, logits = sample(30)
    kind = data.draw(st.sampled_from(["npz", "csv", "parquet"]))
    path = tmp_path_factory.mktemp("fuzz") / f"a.{kind}"
    if kind == "npz":
        np.savez(path, labels=labels, logits=logits)
    else:
        frame = pd.DataFrame(logits, columns=CLASSES).assign(label=labels)
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 20))
    path.write_bytes(bytes(content[: len(content) - cut]))
    try:
        found = assess.read(path)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(found.logits).all()


def test_measures_are_those_of_other_libraries(trained):
    labels, logits = trained
    [judgement] = assess.judge([assess.from_arrays("digits", {"labels": labels, "logits": logits})])
    p = softmax(judgement.predictions.logits)
    found = judgement.metrics
    error = multiclass_calibration_error(torch.tensor(p), torch.tensor(labels), num_classes=10, n_bins=15)
    assert found["ece"] == pytest.approx(float(error), abs=1e-6)
    assert found["nll"] == pytest.approx(log_loss(labels, p), rel=1e-6)
    assert found["brier"] == pytest.approx(brier_score_loss(labels, p, scale_by_half=False), rel=1e-6)
    right = p.argmax(axis=1) == labels
    bins = calibration_curve(right, judgement.confidence, n_bins=15)
    filled = judgement.reliability.count > 0
    for ours, theirs in zip((judgement.reliability.accuracy, judgement.reliability.confidence), bins, strict=True):
        np.testing.assert_allclose(ours[filled], theirs)
    assert found["auroc"] == pytest.approx(roc_auc_score(right, p.max(axis=1)))
    assert found["accuracy"] == pytest.approx(100 * right.mean())


def test_the_temperature_is_the_one_that_scikit_learn_fits():
    """On the digits of 900 to 1,300, for logits of a model that is fitted to the first 900 and far too confident."""
    x, y = load_digits(return_X_y=True)
    x = x / 16
    model = LogisticRegression(C=1e3, max_iter=5_000).fit(x[:900], y[:900])
    scaled = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(x[900:1300], y[900:1300])
    arrays = {"labels": y[1300:], "logits": model.decision_function(x[1300:])}
    arrays |= {"val_labels": y[900:1300], "val_logits": model.decision_function(x[900:1300])}
    [judgement] = assess.judge([assess.from_arrays("digits", arrays)])
    assert judgement.temperature > 2
    theirs = scaled.predict_proba(x[1300:])
    np.testing.assert_allclose(softmax(arrays["logits"], judgement.temperature), theirs, atol=1e-3)
    assert judgement.metrics["scaled_nll"] == pytest.approx(log_loss(y[1300:], theirs), rel=1e-3)
    error = multiclass_calibration_error(torch.tensor(theirs), torch.tensor(y[1300:]), num_classes=10, n_bins=15)
    assert judgement.metrics["scaled_ece"] == pytest.approx(float(error), abs=1e-3)


def test_the_books_own_records_read_back_give_the_books_own_numbers(tmp_path):
    own = your_model.ours(0.0)
    np.savez(tmp_path / "ours.npz", labels=own.labels, logits=own.logits)
    [judgement] = assess.files(tmp_path / "ours.npz")
    [record] = [
        r for r in your_model.Store() if r.run == your_model.profiles.run("laptop", "cifar10", "alexnet", 0.0, 0)
    ]
    for name, recorded, tolerance in [
        ("ece", "test_ece", 2e-3),
        ("nll", "test_nll", 2e-3),
        ("accuracy", "test_accuracy", 0),
    ]:
        scale = 100 if name == "accuracy" else 1
        assert judgement.metrics[name] == pytest.approx(scale * record.metrics[recorded], abs=tolerance or 0.05)


def test_weighted_measures_are_those_of_repeated_examples():
    generator = np.random.default_rng(1)
    confidence, correct = generator.uniform(size=50), generator.uniform(size=50) < 0.7
    weights = generator.integers(0, 4, size=50)
    repeated = np.repeat(np.arange(50), weights)
    found = assess.judgement.calibration.confidence_reliability(confidence[repeated], correct[repeated], 15).ece
    assert _weighted_ece(confidence, correct, weights) == pytest.approx(found)
    order = np.argsort(-confidence)
    score = confidence[repeated] + 1e-9 * np.arange(len(repeated))[::-1]  # those of one example beside each other
    augrc = assess.judgement.selective.augrc(score, correct[repeated])
    assert _weighted_augrc(order, correct, weights.astype(float)) == pytest.approx(augrc)


def test_intervals_cover_what_they_should():
    """Of the accuracy the bootstrap's is the binomial's, within what 200 resamples can tell."""
    labels, logits = sample(2_000)
    [judgement] = assess.judge([assess.from_arrays("a", {"labels": labels, "logits": logits})])
    mean, low, high = judgement.interval("accuracy")
    half = 100 * stats.norm.ppf(0.975) * np.sqrt(mean / 100 * (1 - mean / 100) / 2_000)
    assert high - low == pytest.approx(2 * half, rel=0.2)
    assert low < mean < high


def test_parameters_come_from_other_examples_than_they_are_applied_to():
    """A model without skill on half of the examples: the temperature of each half is fitted on the other."""
    labels, logits = sample(1_000)
    [alone] = assess.judge([assess.from_arrays("a", {"labels": labels, "logits": 3 * logits})])
    assert len(alone.temperatures) == 2
    assert alone.metrics["scaled_ece"] < alone.metrics["ece"]
    validation = {"val_labels": labels, "val_logits": logits}
    [given_some] = assess.judge([assess.from_arrays("a", {"labels": labels, "logits": 3 * logits, **validation})])
    assert len(given_some.temperatures) == 1
    assert given_some.temperature == pytest.approx(alone.temperature / 3, rel=0.1)


def test_advice_tells_the_books_smoothed_network_from_its_hard_one():
    judgements = your_model.judgements()
    hard, smoothed = assess.advice(judgements).markdown.splitlines()
    assert "Divide its logits by T = 2." in hard
    assert "no sign of smoothed labels" in hard
    assert "probably trained with smoothed labels, by about α = 0.09" in smoothed
    assert "Take its confidence as it is" in smoothed


def test_files_that_differ_in_a_number_are_seeds_of_a_group():
    made = [
        assess.from_arrays(
            f"{group}-{seed}.npz", dict(zip(("labels", "logits"), (labels, scale * logits), strict=True))
        )
        for labels, logits in [sample()]
        for group, scale in (("hard", 3), ("smoothed", 1))
        for seed in range(2)
    ]
    table = assess.comparison_table(assess.judge(made))
    assert "hard (2), smoothed (2)" in table.caption
    assert table.rows[0][0] == "smoothed − hard: accuracy (points)"
    assert (table.frame.model == "smoothed").all()
    assert (table.frame.reference == "hard").all()


def test_every_table_gives_the_numbers_that_it_shows():
    """The second model differs on a tenth of the examples, on which it is right."""
    labels, logits = sample()
    better = logits.copy()
    better[:20] = 3 * np.eye(3)[labels[:20]]
    models = assess.judge(
        [
            assess.from_arrays(name, {"labels": labels, "logits": scores})
            for name, scores in (("first", logits), ("second", better))
        ]
    )
    whole, brier, compared = (make(models) for make in (assess.table, assess.brier_table, assess.comparison_table))
    right = [100 * model.predictions.correct.mean() for model in models]
    accuracy = whole.frame[whole.frame.measure == "accuracy"].set_index("model")
    assert list(accuracy["mean"]) == right
    assert (accuracy.low <= accuracy["mean"]).all()
    assert (accuracy.high <= 100).all()
    [difference] = compared.frame[compared.frame.measure == "accuracy"].itertuples()
    assert (difference.model, difference.reference, difference.unit) == ("second", "first", "%")
    assert difference.mean == pytest.approx(right[1] - right[0])
    parts = brier.frame[brier.frame.model == "first"].set_index("part").value
    whole_score = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bin
    assert parts.score == pytest.approx(whole_score)
    for table, columns in ((whole, ["mean", "low", "high"]), (brier, ["value"]), (compared, ["mean", "low", "high"])):
        assert set(table.frame[columns].dtypes.astype(str)) == {"float64"}
        assert table.rows


@pytest.mark.parametrize(
    ("value", "signed", "shown"),
    [
        (4.22e-10, True, "0.0000"),
        (-4.22e-10, True, "0.0000"),
        (0.00007, True, "+0.0001"),
        (-0.01234, True, "−0.0123"),
        (0.5, False, "0.5000"),
        (1e300, False, "> 1,000,000"),
        (-1e300, True, "< −1,000,000"),
        (float("nan"), False, "—"),
    ],
)
def test_numbers_are_shown_without_exponents(value, signed, shown):
    assert number_text(value, 4, signed) == shown


def test_no_table_has_an_exponent():
    """Two models that differ by next to nothing, and one with logits of any size."""
    labels, logits = sample()
    models = assess.judge(
        [
            assess.from_arrays(name, {"labels": labels, "logits": scores})
            for name, scores in (("a", logits), ("b", logits + 1e-9 * logits**2), ("c", 1e300 * logits))
        ]
    )
    for make in (assess.table, assess.brier_table, assess.comparison_table):
        assert not re.search(r"\de[-+−]?\d", make(models).plain())
        assert len(make(models).plain()) < 3_000


def test_files_of_other_examples_are_not_compared():
    labels, logits = sample()
    first = assess.from_arrays("a", {"labels": labels, "logits": logits})
    second = assess.from_arrays("b", {"labels": (labels + 1) % 3, "logits": logits})
    with pytest.raises(UserError, match="other labels of example 0"):
        assess.judge([first, second])
    shorter = assess.from_arrays("b", {"labels": labels[:10], "logits": logits[:10]})
    with pytest.raises(UserError, match="200 examples"):
        assess.judge([first, shorter])


def test_names_from_a_file_are_text():
    labels, logits = sample()
    names = ["<script>", "{download}`x`", "|"]
    found = assess.from_arrays("<img>", {"labels": labels, "logits": logits, "class_names": np.array(names)})
    judgements = assess.judge([found, found])
    for shown in (
        assess.read_text(judgements).markdown,
        assess.advice(judgements).markdown,
        assess.table(judgements).html(),
        assess.comparison_table(judgements).markdown(),
    ):
        assert "<img>" not in shown
        assert "<script>" not in shown


def test_names_that_are_no_utf8_can_be_written(tmp_path):
    labels, logits = sample()
    path = tmp_path / os.fsdecode(b"\xff.npz")
    np.savez(path, labels=labels, logits=logits, class_names=np.array(["\udcff", "b", "c"]))
    [found] = assess.files(path)
    assert found.name == "\ufffd.npz"
    assert assess.table([found]).html().encode()
    assert found.predictions.classes == ("\ufffd", "b", "c")


@pytest.mark.parametrize(("labels", "logits"), [([0] * 30, 1), ([0, 1] * 15, 0), ([0, 1, 2] * 10, 50)])
def test_models_without_skill_or_errors_still_have_a_page(labels, logits):
    """Always the same class, no skill at all, never wrong."""
    labels = np.array(labels)
    scores = np.zeros((30, 3))
    scores[np.arange(30), labels] = logits
    judgements = assess.judge([assess.from_arrays("a", {"labels": labels, "logits": scores})])
    assert assess.table(judgements).rows
    assert assess.advice(judgements).markdown
    assess.reliability_figure(judgements)
    assess.risk_figure(judgements)


def test_the_projection_needs_features_and_templates():
    labels, logits = sample()
    generator = np.random.default_rng(0)
    arrays = {"labels": labels, "logits": logits, "features": generator.normal(size=(200, 6))}
    templates = generator.normal(size=(3, 7))  # with biases
    assert "needs features" in assess.projection_figures(assess.judge([assess.from_arrays("a", arrays)])).markdown
    found = assess.projection_figures(assess.judge([assess.from_arrays("a", arrays | {"templates": templates})]))
    assert len(found.draw(7.6).axes) == 1


def test_paths_are_one_or_a_list():
    assert [str(p) for p in your_model.paths("a b.npz")] == ["a b.npz"]
    assert [str(p) for p in your_model.paths(json.dumps(["a.npz", "b.npz"]))] == ["a.npz", "b.npz"]
    for text in ("[1]", "[", '{"a": 1}[', "[[]]"):
        if text.startswith("["):
            with pytest.raises(UserError, match="JSON list"):
                your_model.paths(text)
