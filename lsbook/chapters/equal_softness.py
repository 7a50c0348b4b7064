"""Figure 5: students of hard and of smoothed teachers, compared at equal smoothness index γ of the targets.

See section 4 of the paper.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lsbook.chapters import projections
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.chapter import Chapter, DecidedClaims
from lsbook.chapters.shared.claim_tables import Measure, Setting
from lsbook.chapters.shared.comparison import Comparison, compare, smoothing_arms
from lsbook.chapters.shared.selection import Group, select_runs
from lsbook.core import registry
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError, parse_numbers
from lsbook.core.registry import network_title
from lsbook.core.store import Record
from lsbook.core.wording import listed
from lsbook.recipes import profiles

_SHIFTED = Recipe(steps=40, batch=64, learning_rate=0.05, momentum=0.9, schedule="one-cycle", augmentation="shift2")
_EVERY = (0.05, 0.1, 0.2, 0.4, 0.6)
ALPHA = 0.1  # of the smoothed teacher where one is picked out


class Plan(NamedTuple):
    """Figure 5 in a profile.

    teachers: α of the smoothed ones; students: of those that teach, the γ of whose answers is that of all students;
    teacher, student: network, and number of images and recipe where the profile has none of its own for it; views: how
    many there are of an image.
    """

    dataset: str
    teacher: tuple[str, tuple[int, Recipe] | None]
    student: tuple[str, tuple[int, Recipe] | None]
    teachers: tuple[float, ...]
    students: tuple[float, ...]
    seeds: str
    views: int


PLANS = {
    "smoke": Plan(
        "digits", ("mlp-800", (200, _SHIFTED)), ("alexnet-16", (200, _SHIFTED)), (0.1, 0.3), (0.1, 0.3), "0-1", 25
    ),
    "laptop": Plan(
        "cifar10", ("resnet56", None), ("alexnet", None), (0.05, 0.1, 0.3, 0.6), (0.1, 0.3, 0.6), "0-2", 162
    ),
    "paper": Plan("cifar10", ("resnet56", None), ("alexnet", None), _EVERY, _EVERY, "0-2", 162),
}


def runs(
    profile: str, seed: int, teachers: str | float = "auto", students: str | float = "auto"
) -> dict[tuple[str, float], Run]:
    """(kind, α) -> run.

    teachers: α of the smoothed ones, such as "0.1,0.3", or the profile's. students: α of those that teach, or the
    profile's, or all teachers' that are named. What teaches is a teacher, and 0.1 always does.
    "teacher": trained with α. "smoothed teacher": a student of that one, at T = 1.

    "hard teacher": a student of the hard one, T such that its targets are as soft as the smoothed one's, γ of which is
    α only where it fits its targets. "equally soft": a student without a teacher, its labels smoothed as much; "alone":
    by α.
    UserError unless both are of numbers above 0 and below 1.
    """
    plan = PLANS[profile]

    def trained(network: tuple[str, tuple[int, Recipe] | None], alpha: float) -> Run:
        model, own = network
        if own is None:
            return profiles.run(profile, plan.dataset, model, alpha, seed)
        examples, recipe = own
        return Run(dataset=plan.dataset, model=model, alpha=alpha, seed=seed, recipe=recipe, examples=examples)

    student, hard = trained(plan.student, 0.0), trained(plan.teacher, 0.0)
    found = {("teacher", 0.0): hard, ("alone", 0.0): student, ("alone", ALPHA): trained(plan.student, ALPHA)}
    known = plan.teachers if teachers == "auto" else _factors("teachers", teachers)
    usual = plan.students if teachers == "auto" else known
    taught = {ALPHA, *(usual if students == "auto" else _factors("students", students))}
    for alpha in sorted({*known, *taught}):
        found["teacher", alpha] = trained(plan.teacher, alpha)
    for alpha in sorted(taught):
        smoothed = found["teacher", alpha]
        found["smoothed teacher", alpha] = replace(student, teacher=smoothed, temperature=1.0, beta=1.0)
        found["hard teacher", alpha] = replace(student, teacher=hard, as_soft_as=smoothed, beta=1.0)
        found["equally soft", alpha] = replace(student, as_soft_as=smoothed)
    return found


def _factors(name: str, text: str | float) -> tuple[float, ...]:
    alphas = parse_numbers(name, text)
    if 0 in alphas:
        raise UserError(f"{name} must be above 0: they are α of smoothed teachers")
    return alphas


@dataclass(frozen=True)
class Study:
    """Records of all points: lists in the order of the seeds."""

    profile: str
    points: dict[tuple[str, float], list[Record]]

    @property
    def grid(self) -> list[float]:
        """α of the smoothed teachers that teach."""
        return sorted(alpha for kind, alpha in self.points if kind == "smoothed teacher")

    @property
    def records(self) -> list[Record]:
        """The records of all teachers and students of Figure 5."""
        return [record for records in self.points.values() for record in records]

    def accuracies(self, kind: str, alpha: float) -> np.ndarray:
        """Test accuracy in percent, one value a seed."""
        return np.array([100 * record.metrics["test_accuracy"] for record in self.points[kind, alpha]])

    def smoothness(self, kind: str, alpha: float) -> float:
        """γ of the targets, the mean of the seeds; of labels it is α exactly."""
        return float(np.mean([r.metrics.get("teacher_smoothness", r.run.alpha) for r in self.points[kind, alpha]]))


def groups(profile: str, *grids: str | float) -> list[Group]:
    """What the chapter asks for: the runs of a seed. grids: as for `runs`."""
    named = any(grid != "auto" for grid in grids)
    return [Group(PLANS[profile].seeds, lambda seed: runs(profile, seed, *grids), named)]


def study(
    profile: str = "auto",
    seeds: str = "auto",
    teachers: str | float = "auto",
    students: str | float = "auto",
    classes: str = "auto",
) -> Study:
    """The recorded runs of the chapter, trained where they are missing.

    teachers, students: as for `runs`. classes: that `panels` will show; UserError unless there are such.
    """
    selection = select_runs(
        profile,
        seeds,
        lambda name: groups(name, teachers, students),
        check=lambda dataset: projections.three_classes(dataset, classes),
    )
    [points] = selection.groups
    return Study(selection.profile, points)


def settings(profile: str, seeds: str) -> list[Setting]:
    """The claims for the scorecard."""
    return measured(study(profile, seeds=seeds))


def measured(study: Study) -> list[Setting]:
    """The claims."""
    plan = PLANS[study.profile]
    title = network_title(plan.dataset, plan.teacher[0], plan.student[0])
    unused = {("alone", 0.0)} | {("teacher", alpha) for kind, alpha in study.points if alpha not in (0.0, ALPHA)}
    records = [record for point, found in study.points.items() if point not in unused for record in found]
    return [Setting("equal_softness", study.profile, title, measure(study), records)]


class CurveStyle(NamedTuple):
    """What a curve of Figure 5 shows, and how.

    kinds: of points; marks: in matplotlib's short form; aside: how far beside its γ it is drawn, so that intervals can
    be told apart; student: or else a teacher.
    """

    kinds: tuple[str, ...]
    title: str
    colour: str
    marks: str
    aside: float = 0.0
    student: bool = True


class Curve(NamedTuple):
    """A curve of Figure 5: test accuracy in percent (G, S) against γ of the targets (G,)."""

    style: CurveStyle
    smoothness: np.ndarray
    accuracy: np.ndarray


CURVES = (
    CurveStyle(("teacher",), "teacher, α = γ", "teacher", "s--", student=False),
    CurveStyle(("alone", "equally soft"), "no teacher, α = γ", "alone", "^-"),
    CurveStyle(("hard teacher",), "student of the hard teacher, T from γ", "hard", "o-", aside=-0.01),
    CurveStyle(("smoothed teacher",), "student of a smoothed teacher, T = 1", "smoothed", "D-", aside=0.01),
)


def curves(study: Study) -> list[Curve]:
    """The four curves."""
    result = []
    for style in CURVES:
        points = sorted((key for key in study.points if key[0] in style.kinds), key=lambda key: study.smoothness(*key))
        smoothness = np.array([study.smoothness(*key) for key in points])
        accuracy = np.array([study.accuracies(*key) for key in points])
        result.append(Curve(style, smoothness, accuracy))
    return result


def measure(study: Study) -> list[Measure]:
    """C13, C14, C15 and C19; of C14 and C15 the means over the grid, seed by seed."""

    def mean(kind: str) -> np.ndarray:
        return np.mean([study.accuracies(kind, alpha) for alpha in study.grid], axis=0)

    hard, smoothed, alone = mean("hard teacher"), mean("smoothed teacher"), mean("equally soft")
    grid = f"mean of α = {', '.join(f'{alpha:g}' for alpha in study.grid)}; T such that γ is equal"
    return [
        claim_tables.measure(
            "C13", "", "teacher, α = 0 and 0.1", study.accuracies("teacher", 0.0), study.accuracies("teacher", ALPHA)
        ),
        claim_tables.measure("C14", "", "student without and of the hard teacher", alone, hard, conditions=grid),
        claim_tables.measure("C15", "", "student of smoothed and of hard teacher", smoothed, hard, conditions=grid),
        claim_tables.measure(
            "C19",
            "",
            "student of the smoothed teacher and alone, α = 0.1",
            study.accuracies("smoothed teacher", ALPHA),
            study.accuracies("alone", ALPHA),
            conditions=f"α = {ALPHA:g}, T = 1",
        ),
    ]


def harmless(study: Study) -> Measure:
    """Shen et al. 2021's case: does a smoothed teacher's student still beat one that was trained on hard labels?

    No claim of the paper: measured by the rule of C14, at α = 0.1.
    """
    hard_labels, student = (study.accuracies(*key) for key in (("alone", 0.0), ("smoothed teacher", ALPHA)))
    return claim_tables.measure(
        "C14", "", "student without a teacher on hard labels and of the smoothed teacher", hard_labels, student
    )


def teachers(study: Study) -> Comparison:
    """The hard and the smoothed CIFAR-10 teachers (α = 0.1), as the chapter on projections compares networks."""
    arms = smoothing_arms(ALPHA)
    return compare(study.profile, arms, {arm.name: study.points["teacher", arm.alpha] for arm in arms})


def panels(study: Study, classes: str = "auto") -> list[projections.Panel]:
    """Projections of the two teachers, on training and test images."""
    compared = teachers(study)
    return projections.panels(compared, projections.three_classes(compared.network[0], classes))


def numbers(study: Study) -> dict[str, float | str]:
    """Return the numbers and words that the chapter's text quotes by name."""
    found = harmless(study)
    plan = PLANS[study.profile]
    names = [registry.title(name) for name, _ in (plan.teacher, plan.student)]
    temperatures = {
        alpha: np.mean([r.metrics["teacher_temperature"] for r in study.points["hard teacher", alpha]])
        for alpha in study.grid
    }
    smoothness = [study.smoothness("smoothed teacher", alpha) for alpha in study.grid]
    return {
        "teacher": names[0],
        "student": names[1],
        "data": registry.title(plan.dataset),
        "alone_hard": float(found.first.mean()),
        "smoothed_student": float(found.second.mean()),
        "help": captions.difference(found.first, found.second),
        "grid": listed([f"{alpha:g}" for alpha in study.grid]),
        "smoothness": listed([f"{value:.2f}" for value in smoothness]),
        "temperatures": listed([f"{t:.2f} (α = {alpha:g})" for alpha, t in temperatures.items()]),
        "arithmetic": _arithmetic(study),
        "by_factor": listed([f"{_smoothed_less_hard(study, alpha)} (α = {alpha:g})" for alpha in study.grid]),
        "views": str(plan.views),
        "shown_alpha": f"{ALPHA:g}",
    }


def _smoothed_less_hard(study: Study, alpha: float) -> str:
    hard, smoothed = (study.accuracies(f"{teacher} teacher", alpha) for teacher in ("hard", "smoothed"))
    return captions.difference(hard, smoothed)


def _arithmetic(study: Study) -> str:
    """Which records are of another precision than most, in a sentence; nothing where all are of one."""
    formats = {key: [r.environment["precision"] for r in records] for key, records in study.points.items()}
    every = [name for found in formats.values() for name in found]
    most = max(sorted(set(every)), key=every.count)
    names = {"teacher": "teachers", "alone": "students without a teacher", "equally soft": "equally soft students"}
    names |= {kind: f"students of the {kind}" for kind in ("hard teacher", "smoothed teacher")}
    which = []
    for kind, name in names.items():
        others = {alpha: set(found) - {most} for (of, alpha), found in formats.items() if of == kind}
        alphas = [f"{alpha:g}" for alpha, found in sorted(others.items()) if found]
        if alphas:
            which.append(f"{name} with α of {listed(alphas)} ({listed(sorted(set.union(*others.values())))})")
    return f"Records are in {most}, except, at least in part, those of {listed(which)}." if which else ""


CHAPTER = Chapter(
    "equal_softness",
    groups,
    DecidedClaims(("C13", "C14", "C15", "C19"), settings),
)
