"""What the chapter says came out: every sentence that it can choose, on errors that nobody measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lsbook.chapters import distillation
from lsbook.chapters.distillation import equal_smoothness, mnist, sentences
from lsbook.core.store import Record, Store

BFLOAT16 = {"precision": "bfloat16"}
NO_BREAK = str.maketrans({"\N{NO-BREAK SPACE}": " "})


def records(run, error, seeds, **metrics) -> list[Record]:
    """One a seed, with test errors a hundredth of a point apart: a Welch interval of two arms of three is ±0.023."""
    errors = error + np.arange(seeds) / 100 - (seeds - 1) / 200
    return [
        Record(replace(run, seed=seed), {"test_accuracy": 1 - each / 100, **metrics}, {}, BFLOAT16, Path())
        for seed, each in enumerate(errors)
    ]


def on_mnist(student=0.1, teacher=-0.1, alone=0.5, seeds=3, low=((0.2, 0.0),)) -> mnist.Study:
    """Errors of the smoothed teacher and its student less the hard ones, of which each has 1 %.

    low: of temperatures below 8, from 1 up, what the hard teacher's student loses there, and the difference.
    """
    errors = {
        ("alone", "hard"): 1 + alone,
        ("teacher", "hard"): 1.0,
        ("teacher", "smoothed"): 1 + teacher,
        ("student", "hard"): 1.0,
        ("student", "smoothed"): 1 + student,
    }
    runs = mnist.runs("paper", 0)
    ece = {"hard": 0.01, "smoothed": 0.1}
    roles = {key: records(runs[key], error, seeds, test_ece=ece[key[1]]) for key, error in errors.items()}
    students = {(8.0, arm): roles["student", arm] for arm in ("hard", "smoothed")}
    for place, (loss, difference) in enumerate(low):
        students[2.0**place, "hard"] = records(runs["student", "hard"], 1 + loss, seeds)
        students[2.0**place, "smoothed"] = records(runs["student", "smoothed"], 1 + loss + difference, seeds)
    return mnist.Study("paper", roles, {}, students)


def on_cifar10(leads=(1.0, 2.0), seeds=3, **changes: float) -> equal_smoothness.Study:
    """Students of the hard teacher err on 30 %, those of smoothed ones on as much more; changes: of other kinds."""
    runs = equal_smoothness.runs("laptop", 0, ",".join(["0.1", "0.3"][: len(leads)]))
    errors = {"teacher": 27.0, "alone": 33.0, "equally soft": 32.0, "hard teacher": 30.0} | changes
    points = {}
    for (kind, alpha), run in runs.items():
        error = errors.get(kind, 30.0)
        if kind == "smoothed teacher":
            error += leads[[0.1, 0.3].index(alpha)]
        if kind == "teacher" and alpha:
            error += changes.get("smoothing", 0.0)
        points[kind, alpha] = records(run, error, seeds, test_ece=0.1 - alpha / 2)
    teachers = {alpha: points["teacher", alpha] for alpha in (0.0, equal_smoothness.ALPHA)}
    return equal_smoothness.Study("laptop", points, teachers)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (
            {},
            "On MNIST a smoothed teacher’s student makes more errors than a hard teacher’s: 1.10 % against 1.00 % at "
            "a temperature of T = 8; the smoothed teacher itself makes fewer errors, 0.90 % against 1.00 %.",
        ),
        (
            {"student": 0.0, "teacher": 0.0},
            "On MNIST it is open whether a smoothed teacher’s student makes more errors than a hard teacher’s: 1.00 % "
            "against 1.00 % at a temperature of T = 8; whether the smoothed teacher itself makes fewer "
            "errors is open, 1.00 % against 1.00 %.",
        ),
        (
            {"student": -0.1},
            "Contrary to the paper, a smoothed teacher’s student on MNIST makes fewer errors than a hard teacher’s: "
            "0.90 % against 1.00 % at a temperature of T = 8.|On MNIST, the smoothed teacher itself "
            "makes fewer errors, 0.90 % against 1.00 %.",
        ),
        (
            {"teacher": 0.1},
            "On MNIST a smoothed teacher’s student makes more errors than a hard teacher’s: 1.10 % against 1.00 % at "
            "a temperature of T = 8.|Contrary to the paper, the smoothed teacher on MNIST itself makes "
            "more errors, 1.10 % against 1.00 %.",
        ),
        (
            {"seeds": 1},
            "There are too few seeds for a verdict on MNIST; a smoothed teacher’s student and a hard teacher’s err on "
            "1.10 % against 1.00 % at a temperature of T = 8; the teachers themselves on 0.90 % against 1.00 %.",
        ),
    ],
    ids=["as the paper", "open", "student contradicts", "teacher contradicts", "too few seeds"],
)
def test_errors_on_mnist_are_said_with_their_temperature(measured, expected):
    found = sentences.errors(on_mnist(**measured))
    assert [sentence.translate(NO_BREAK) for sentence in found] == expected.split("|")


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (
            {},
            "makes more errors at T = 8 and does not clearly differ at T = 1: from T = 1 to 8 the hard teacher’s "
            "student improves by 0.20 points, the smoothed teacher’s improves by 0.10 points.",
        ),
        (
            {"low": ((0.2, -0.1), (0.1, 0.0), (-0.1, 0.1))},
            "makes more errors at T = 4 and 8, makes fewer errors at T = 1 and does not clearly differ at T = 2: from "
            "T = 1 to 8 the hard teacher’s student improves by 0.20 points, the smoothed teacher’s gets neither "
            "clearly better nor worse.",
        ),
        (
            {"student": 0.0, "low": ((-0.2, 0.0),)},
            "does not clearly differ at T = 1 and 8: from T = 1 to 8 the hard teacher’s student gets worse by 0.20 "
            "points, the smoothed teacher’s gets worse by 0.20 points.",
        ),
        ({"low": ()}, None),
        ({"seeds": 1}, None),
    ],
    ids=["improve", "reversed", "worse", "one temperature", "one seed"],
)
def test_what_the_temperature_changes(measured, expected):
    found = [sentence.translate(NO_BREAK) for sentence in sentences.by_temperature(on_mnist(**measured))]
    assert found == ([f"On the seeds recorded at every T its student {expected}"] if expected else [])


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (
            {},
            "On CIFAR-10, where both teachers’ answers are made equally soft (γ), the hard teacher’s students are "
            "ahead of the smoothed teachers’: the difference is +1.500 [+1.477, +1.523] points of accuracy in the "
            "mean, +1.000 at α = 0.1 and +2.000 at α = 0.3.",
        ),
        (
            {"leads": (0.0, 0.0)},
            "On CIFAR-10, where both teachers’ answers are made equally soft (γ), it is open whether the hard "
            "teacher’s students are ahead of the smoothed teachers’: the difference is +0.000 [−0.023, +0.023] points "
            "of accuracy in the mean, +0.000 at α = 0.1 and +0.000 at α = 0.3.",
        ),
        (
            {"leads": (2.0, -3.0)},
            "Contrary to the paper, the hard teacher’s students on CIFAR-10, where both teachers’ answers are made "
            "equally soft (γ), are behind the smoothed teachers’: the difference is −0.500 [−0.523, −0.477] points of "
            "accuracy in the mean, +2.000 at α = 0.1 and −3.000 at α = 0.3.",
        ),
        (
            {"leads": (1.0,)},
            "On CIFAR-10, where both teachers’ answers are made equally soft (γ), the hard teacher’s students are "
            "ahead of the smoothed teachers’: the difference is +1.000 [+0.977, +1.023] points of accuracy, α = 0.1.",
        ),
        (
            {"seeds": 1},
            "There are too few seeds for a verdict on CIFAR-10, where both teachers’ answers are made equally soft "
            "(γ): the difference is +1.5 points of accuracy in the mean, +1 at α = 0.1 and +2 at α = 0.3.",
        ),
    ],
    ids=["as the paper", "open", "contradicts", "one teacher", "too few seeds"],
)
def test_the_difference_at_equal_smoothness_is_said_for_the_mean_and_by_factor(measured, expected):
    assert sentences.at_equal_smoothness(on_cifar10(**measured)).translate(NO_BREAK) == expected


@pytest.mark.parametrize(
    ("float32", "said"),
    [
        ((), ""),
        ((("MNIST", "teachers"),), "Records are in bfloat16, except those of 1 of 2 teachers on MNIST (float32)."),
        (
            (("MNIST", "teachers"), ("MNIST", "students"), ("CIFAR-10", "students")),
            "Records are in bfloat16, except those of 1 of 2 teachers and 1 of 2 students on MNIST (float32); "
            "1 of 2 students on CIFAR-10 (float32).",
        ),
    ],
)
def test_what_is_of_another_precision_is_counted(float32, said):
    run = equal_smoothness.runs("laptop", 0)["teacher", 0.0]

    def record(precision: str) -> Record:
        return Record(run, {}, {}, {"precision": precision}, Path())

    parts = {
        data: {
            kind: [record("bfloat16"), record("float32" if (data, kind) in float32 else "bfloat16")]
            for kind in ("teachers", "students")
        }
        for data in ("MNIST", "CIFAR-10")
    }
    assert sentences.precision(parts) == said


def test_other_claims_are_named_where_they_are_contradicted():
    assert sentences.other_contradictions(on_cifar10(alone=29.0)) == []
    study = on_cifar10(leads=(1.0, 1.0), smoothing=1.0, **{"equally soft": 20.0})
    assert [sentence.translate(NO_BREAK) for sentence in sentences.other_contradictions(study)] == [
        "Contrary to the paper, smoothing makes the teacher on CIFAR-10 less accurate: −1.000 [−1.023, −0.977] points.",
        "Contrary to the paper, the hard teacher’s students on CIFAR-10 are behind those without a teacher: −10.000 "
        "[−10.023, −9.977] points.",
        "Contrary to the paper, the student without a teacher on CIFAR-10 is behind the smoothed one’s: −2.000 "
        "[−2.023, −1.977] points.",
    ]


def test_teachers_are_compared_in_calibration_and_with_none():
    text = distillation.of_teachers(distillation.Study(on_mnist(), on_cifar10()))._repr_mimebundle_()["text/plain"]
    calibration, against_none = text.translate(NO_BREAK).split("\n\n")
    assert calibration.endswith(
        "With α = 0.1 the calibration error (test ECE) of teachers rises from 0.010 to 0.100 on MNIST (part 1) and "
        "falls from 0.100 to 0.050 on CIFAR-10 (part 2)."
    )
    assert against_none.endswith(
        "The error of the smoothed teacher’s student less that of a student without a teacher, on hard labels, is "
        "−0.400 [−0.423, −0.377] points on MNIST (T = 8) and −2.000 [−2.023, −1.977] on CIFAR-10 (T = 1); an interval "
        "below 0 says that a smoothed teacher is better than none."
    )


def test_contradictions_come_first():
    study = distillation.Study(on_mnist(), on_cifar10(leads=(-1.0, -1.0), alone=29.0))
    text = distillation.in_short(study).markdown
    assert text.startswith("**In short.**\n\n- Contrary to the paper, the hard teacher’s students on CIFAR-10")
    assert text.index("On MNIST") < text.index("On the seeds recorded") < text.index("[Compare")


def test_the_chapter_asks_for_both_parts_and_decides_those_that_are_recorded(put, results):
    assert len(distillation.groups("laptop")) == 4
    store = Store(results)
    for seed in range(3):
        for run in equal_smoothness.runs("laptop", seed).values():
            put(store, run, metrics={"test_accuracy": 0.7 + seed / 1000})
    [setting] = distillation.settings("laptop", "recorded")
    assert [found.verdict.claim for found in setting.measures] == ["C13", "C14", "C15", "C19"]


def test_the_answer_to_the_question_is_the_index_of_ten_classes_at_the_optimal_gap(monkeypatch):
    """One logit is log(0.91 / 0.01) above nine others, divided by 8: γ = (1 − p) · 10 / 9."""
    monkeypatch.setattr(mnist, "numbers", lambda study: {})
    monkeypatch.setattr(equal_smoothness, "numbers", lambda study: {})
    found = distillation.numbers(distillation.Study(on_mnist(), on_cifar10()))
    assert found["gap"] == pytest.approx(np.log(91))
    assert found["softness_at_gap"] == pytest.approx((1 - 91 ** (1 / 8) / (91 ** (1 / 8) + 9)) * 10 / 9)
