"""The sentences that say what came out, chosen by verdicts and intervals."""

from collections.abc import Mapping, Sequence

import numpy as np

from lsbook.analysis.statistics import welch_interval
from lsbook.chapters.distillation import equal_smoothness, mnist
from lsbook.chapters.shared import captions
from lsbook.core import registry
from lsbook.core.store import Record
from lsbook.core.wording import listed
from lsbook.evidence.claims import CONTRADICTED, NOT_TESTED, REPRODUCED, UNDECIDED

CONTRARY = "Contrary to the paper"  # how a sentence on a contradiction begins

_STUDENT = {
    REPRODUCED: "On {data} a smoothed teacher’s student makes more errors than a hard teacher’s: {errors}",
    UNDECIDED: "On {data} it is open whether a smoothed teacher’s student makes more errors than a hard teacher’s: "
    "{errors}",
    CONTRADICTED: f"{CONTRARY}, a smoothed teacher’s student on {{data}} makes fewer errors than a hard teacher’s: "
    "{errors}",
    NOT_TESTED: "There are too few seeds for a verdict on {data}; a smoothed teacher’s student and a hard teacher’s "
    "err on {errors}",
}
_TEACHER = {
    REPRODUCED: "the smoothed teacher itself makes fewer errors, {errors}",
    UNDECIDED: "whether the smoothed teacher itself makes fewer errors is open, {errors}",
    CONTRADICTED: "the smoothed teacher on {data} itself makes more errors, {errors}",
    NOT_TESTED: "the teachers themselves on {errors}",
}
_EQUALLY_SOFT = "where both teachers’ answers are made equally soft (γ)"
_AT_EQUAL_SMOOTHNESS = {
    REPRODUCED: f"On {{data}}, {_EQUALLY_SOFT}, the hard teacher’s students are ahead of the smoothed teachers’",
    UNDECIDED: f"On {{data}}, {_EQUALLY_SOFT}, it is open whether the hard teacher’s students are ahead of the "
    "smoothed teachers’",
    CONTRADICTED: f"{CONTRARY}, the hard teacher’s students on {{data}}, {_EQUALLY_SOFT}, are behind the smoothed "
    "teachers’",
    NOT_TESTED: f"There are too few seeds for a verdict on {{data}}, {_EQUALLY_SOFT}",
}
_OTHERS = {
    "C13": f"{CONTRARY}, smoothing makes the teacher on {{data}} less accurate: {{change}} points.",
    "C14": f"{CONTRARY}, the hard teacher’s students on {{data}} are behind those without a teacher: "
    "{change} points.",
    "C19": f"{CONTRARY}, the student without a teacher on {{data}} is behind the smoothed one’s: {{change}} points.",
}


def errors(study: mnist.Study) -> list[str]:
    """The verdicts on student and teacher in one sentence, or in two where one is a contradiction."""
    teacher, student = mnist.measure(study)
    found = f"{_means(student.first, student.second)} at a temperature of T = {study.plan.temperature:g}"
    of_student = _STUDENT[student.verdict.verdict].format(data=_data(study), errors=found)
    means = _means(teacher.first, teacher.second)
    of_teacher = _TEACHER[teacher.verdict.verdict].format(data=_data(study), errors=means)
    if CONTRADICTED in (teacher.verdict.verdict, student.verdict.verdict):
        begun = CONTRARY if teacher.verdict.verdict == CONTRADICTED else f"On {_data(study)}"
        return [f"{of_student}.", f"{begun}, {of_teacher}."]
    return [f"{of_student}; {of_teacher}."]


def by_temperature(study: mnist.Study) -> list[str]:
    """Say at which temperatures the students differ, and how both students' errors change with T.

    They differ where the interval of the difference leaves 0 out.
    """
    changes = mnist.student_differences(study)
    low, high = study.temperatures[0], study.temperatures[-1]
    if low == high or not changes:
        return []
    places = {
        "makes more errors": [t for t, change in changes.items() if change.low > 0],
        "makes fewer errors": [t for t, change in changes.items() if change.high < 0],
        "does not clearly differ": [t for t, change in changes.items() if change.low <= 0 <= change.high],
    }
    where = [f"{words} at T = {listed([f'{t:g}' for t in at])}" for words, at in places.items() if at]
    hard, smoothed = (
        _gain(mnist.errors(study.students[low, arm]), mnist.errors(study.students[high, arm]))
        for arm in ("hard", "smoothed")
    )
    return [
        f"On the seeds recorded at every T its student {listed(where)}: from T = {low:g} to {high:g} the hard "
        f"teacher’s student {hard}, the smoothed teacher’s {smoothed}."
    ]


def _gain(at_low: np.ndarray, at_high: np.ndarray) -> str:
    """What becomes of errors at a low temperature when it is high."""
    change = welch_interval(at_low, at_high)
    if change.high < 0:
        return f"improves by {-change.mean:.2f} points"
    if change.low > 0:
        return f"gets worse by {change.mean:.2f} points"
    return "gets neither clearly better nor worse"


def at_equal_smoothness(study: equal_smoothness.Study) -> str:
    """The verdict on the mean over the smoothed teachers, and how the difference depends on their α."""
    [found] = [each for each in equal_smoothness.measure(study) if each.verdict.claim == "C15"]
    lead, *_ = equal_smoothness.leads(study)
    pairs = list(zip(lead.first, lead.second, strict=True))
    means = [captions.mean_difference(*pair) for pair in pairs]
    each = [f"{mean} at α = {alpha:g}" for alpha, mean in zip(study.grid, means, strict=True)]
    if len(each) == 1:
        differences = f"{captions.difference(found.first, found.second)} points of accuracy, α = {study.grid[0]:g}"
    else:
        differences = f"{captions.difference(found.first, found.second)} points of accuracy in the mean, {listed(each)}"
    begun = _AT_EQUAL_SMOOTHNESS[found.verdict.verdict].format(data=_data(study))
    return f"{begun}: the difference is {differences}."


def precision(parts: Mapping[str, Mapping[str, Sequence[Record]]]) -> str:
    """Say which records are of another precision than most; nothing where all are of one.

    parts: data set -> kind of networks -> their records.
    """
    every = [
        record.environment["precision"] for kinds in parts.values() for found in kinds.values() for record in found
    ]
    most = max(sorted(set(every)), key=every.count)
    said = []
    for data, kinds in parts.items():
        others = {kind: [r for r in found if r.environment["precision"] != most] for kind, found in kinds.items()}
        counts = [f"{len(others[kind])} of {len(found)} {kind}" for kind, found in kinds.items() if others[kind]]
        if counts:
            names = sorted({record.environment["precision"] for found in others.values() for record in found})
            said.append(f"{listed(counts)} on {data} ({listed(names)})")
    return f"Records are in {most}, except those of {'; '.join(said)}." if said else ""


def other_contradictions(study: equal_smoothness.Study) -> list[str]:
    """A sentence on each contradicted claim that no other sentence is about."""
    return [
        _OTHERS[found.verdict.claim].format(data=_data(study), change=captions.difference(found.first, found.second))
        for found in equal_smoothness.measure(study)
        if found.verdict.claim in _OTHERS and found.verdict.verdict == CONTRADICTED
    ]


def calibration(first: mnist.Study, second: equal_smoothness.Study) -> str:
    """What smoothing does to the calibration of the teachers, on both data sets."""
    parts = [
        (f"on {_data(first)} (part 1)", [first.roles["teacher", arm] for arm in ("hard", "smoothed")]),
        (f"on {_data(second)} (part 2)", list(second.compared_teachers.values())),
    ]
    changes = []
    for where, arms in parts:
        before, after = (np.mean([record.metrics["test_ece"] for record in records]) for records in arms)
        changes.append(f"{'rises' if after > before else 'falls'} from {before:.3f} to {after:.3f} {where}")
    return f"With α = {mnist.ALPHA:g} the calibration error (test ECE) of teachers {listed(changes)}."


def against_none(first: mnist.Study, second: equal_smoothness.Study) -> str:
    """Smoothed teachers' students against those of hard labels alone (Shen et al. 2021), on both data sets."""
    of_first = captions.difference(first.errors("alone"), first.errors("student", "smoothed"))
    taught = second.accuracies("smoothed teacher", equal_smoothness.ALPHA)
    of_second = captions.difference(100 - second.accuracies("alone", 0.0), 100 - taught)
    return (
        "The error of the smoothed teacher’s student less that of a student without a teacher, on hard labels, is "
        f"{of_first} points on {_data(first)} (T = {first.plan.temperature:g}) and {of_second} on {_data(second)} "
        "(T = 1); an interval below 0 says that a smoothed teacher is better than none."
    )


def _data(study: mnist.Study | equal_smoothness.Study) -> str:
    return registry.short_title(study.plan.dataset)


def _means(hard: np.ndarray, smoothed: np.ndarray) -> str:
    return f"{smoothed.mean():.2f} % against {hard.mean():.2f} %"
