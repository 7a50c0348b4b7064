"""Part 2, Figure 5: students of hard and of smoothed teachers, compared at equal smoothness index γ of the targets.

See section 4 of the paper.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lsbook.chapters.shared import claim_tables
from lsbook.chapters.shared.claim_tables import Measure, Setting
from lsbook.chapters.shared.selection import Group, select_runs
from lsbook.core import registry
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError, parse_numbers
from lsbook.core.registry import network_title
from lsbook.core.store import Record
from lsbook.core.wording import listed
from lsbook.recipes import profiles

_SHIFTED = Recipe(steps=40, batch=64, learning_rate=0.05, momentum=0.9, schedule="one-cycle", augmentation="shift2")
ALPHA = 0.1  # of the smoothed teacher where one is picked out


class Plan(NamedTuple):
    """Figure 5 in a profile.

    teachers: α of the smoothed ones; students: of those that teach, the γ of whose answers is that of all students;
    teacher, student: network, and number of images and recipe where the profile has none of its own for it; seeds: of
    all of them, and compared_teachers: of C13's two; views: how many there are of an image.
    """

    dataset: str
    teacher: tuple[str, tuple[int, Recipe] | None]
    student: tuple[str, tuple[int, Recipe] | None]
    teachers: tuple[float, ...]
    students: tuple[float, ...]
    seeds: str
    compared_teachers: str
    views: int


_SMALL_SCALE = Plan(
    "cifar10",
    teacher=("resnet56", None),
    student=("alexnet", None),
    teachers=(0.05, 0.1, 0.3, 0.6),
    students=(0.1, 0.3, 0.6),
    seeds="0-2",
    compared_teachers="0-2,5-9",
    views=162,
)
_OF_FIGURE_5 = (0.05, 0.1, 0.2, 0.4, 0.6)
PLANS = {
    "smoke": Plan(
        "digits",
        teacher=("mlp-800", (200, _SHIFTED)),
        student=("alexnet-16", (200, _SHIFTED)),
        teachers=(0.1, 0.3),
        students=(0.1, 0.3),
        seeds="0-1",
        compared_teachers="0-1",
        views=25,
    ),
    "laptop": _SMALL_SCALE,
    "paper": _SMALL_SCALE._replace(teachers=_OF_FIGURE_5, students=_OF_FIGURE_5, compared_teachers="0-2"),
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
    """Records of all points, and of each α the teachers that C13 compares: lists in the order of the seeds."""

    profile: str
    points: dict[tuple[str, float], list[Record]]
    compared_teachers: dict[float, list[Record]]

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
        return _accuracies(self.points[kind, alpha])

    @property
    def kinds(self) -> dict[str, list[Record]]:
        """The records by what the networks are, in words."""
        names = {"teacher": "teachers", "alone": "students without a teacher", "equally soft": "equally soft students"}
        found: dict[str, list[Record]] = {}
        for (kind, _), records in self.points.items():
            found.setdefault(names.get(kind, f"students of the {kind}"), []).extend(records)
        return found

    @property
    def plan(self) -> Plan:
        """Figure 5 in the profile."""
        return PLANS[self.profile]

    def smoothness(self, kind: str, alpha: float) -> float:
        """γ of the targets, the mean of the seeds; of labels it is α exactly."""
        return float(np.mean([r.metrics.get("teacher_smoothness", r.run.alpha) for r in self.points[kind, alpha]]))


def groups(profile: str, *grids: str | float) -> list[Group]:
    """What this part asks for: the runs of a seed, and C13's teachers. grids: as for `runs`."""
    plan, named = PLANS[profile], any(grid != "auto" for grid in grids)

    def compared_teachers(seed: int) -> dict[float, Run]:
        found = runs(profile, seed)
        return {alpha: found["teacher", alpha] for alpha in (0.0, ALPHA)}

    return [
        Group(plan.seeds, lambda seed: runs(profile, seed, *grids), named),
        Group(plan.compared_teachers, compared_teachers, extra=True),
    ]


def study(
    profile: str = "auto", seeds: str = "auto", teachers: str | float = "auto", students: str | float = "auto"
) -> Study:
    """The recorded runs of this part, trained where they are missing. teachers, students: as for `runs`."""
    selection = select_runs(profile, seeds, lambda name: groups(name, teachers, students))
    points, compared_teachers = selection.groups
    return Study(selection.profile, points, compared_teachers)


def _accuracies(records: list[Record]) -> np.ndarray:
    """Test accuracy in percent, one value a record."""
    return np.array([100 * record.metrics["test_accuracy"] for record in records])


def measured(study: Study) -> list[Setting]:
    """C13, C14, C15 and C19."""
    plan = study.plan
    title = network_title(plan.dataset, plan.teacher[0], plan.student[0])
    students = [found for point, found in study.points.items() if point[0] != "teacher" and point != ("alone", 0.0)]
    records = [record for found in (*study.compared_teachers.values(), *students) for record in found]
    return [Setting("distillation", study.profile, title, measure(study), records)]


class CurveStyle(NamedTuple):
    """What a curve of Figure 5 shows, and how.

    kinds: of points; marks: in matplotlib's short form; offset: how far beside its γ it is drawn, so that intervals can
    be told apart.
    """

    kinds: tuple[str, ...]
    title: str
    colour: str
    marks: str
    offset: float = 0.0


class Curve(NamedTuple):
    """A curve of Figure 5: test accuracy in percent (G, S) against γ of the targets (G,)."""

    style: CurveStyle
    smoothness: np.ndarray
    accuracy: np.ndarray


class Lead(NamedTuple):
    """Test accuracy of the hard teacher's students less that of others, in points.

    others: what they are compared with; colour: one of `figures.style.COLOURS`; first, second: accuracies in percent
    (G, S) of the others and of the hard teacher's students, by α of the smoothed teacher.
    """

    others: str
    colour: str
    first: np.ndarray
    second: np.ndarray


CURVES = (
    CurveStyle(("teacher",), "teacher, at the α of its labels", "teacher", "s--"),
    CurveStyle(("alone", "equally soft"), "student without a teacher", "alone", "^-"),
    CurveStyle(("hard teacher",), "student of the hard teacher", "hard", "o-", offset=-0.01),
    CurveStyle(("smoothed teacher",), "student of a smoothed teacher", "smoothed", "D-", offset=0.01),
)


def curves(study: Study) -> tuple[list[Curve], list[tuple[float, float]], list[Lead]]:
    """Figure 5: its four curves, α and γ of each smoothed teacher that teaches, and the hard teacher's leads."""
    result = []
    for style in CURVES:
        points = sorted((key for key in study.points if key[0] in style.kinds), key=lambda key: study.smoothness(*key))
        smoothness = np.array([study.smoothness(*key) for key in points])
        accuracy = np.array([study.accuracies(*key) for key in points])
        result.append(Curve(style, smoothness, accuracy))
    teachers = [(alpha, study.smoothness("smoothed teacher", alpha)) for alpha in study.grid]
    return result, teachers, leads(study)


def leads(study: Study) -> list[Lead]:
    """The hard teacher's students against those of smoothed teachers and those without a teacher, at equal γ."""

    def accuracies(kind: str) -> np.ndarray:
        return np.array([study.accuracies(kind, alpha) for alpha in study.grid])

    hard = accuracies("hard teacher")
    return [
        Lead("student of a smoothed teacher", "smoothed", accuracies("smoothed teacher"), hard),
        Lead("student without a teacher", "alone", accuracies("equally soft"), hard),
    ]


def measure(study: Study) -> list[Measure]:
    """C13, C14, C15 and C19; of C14 and C15 the means over the grid, seed by seed."""

    def mean(kind: str) -> np.ndarray:
        return np.mean([study.accuracies(kind, alpha) for alpha in study.grid], axis=0)

    hard, smoothed, alone = mean("hard teacher"), mean("smoothed teacher"), mean("equally soft")
    grid = f"mean of α = {', '.join(f'{alpha:g}' for alpha in study.grid)}; T such that γ is equal"
    hard_teachers, smoothed_teachers = (_accuracies(study.compared_teachers[alpha]) for alpha in (0.0, ALPHA))
    return [
        claim_tables.measure("C13", "", "teacher, α = 0 and 0.1", hard_teachers, smoothed_teachers),
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


def numbers(study: Study) -> dict[str, float | str]:
    """What the chapter's text quotes of this part by name."""
    plan = study.plan
    temperatures = {
        alpha: np.mean([r.metrics["teacher_temperature"] for r in study.points["hard teacher", alpha]])
        for alpha in study.grid
    }
    smoothness = [study.smoothness("smoothed teacher", alpha) for alpha in study.grid]
    return {
        "teacher": registry.title(plan.teacher[0]),
        "student": registry.title(plan.student[0]),
        "data": registry.title(plan.dataset),
        "grid": listed([f"{alpha:g}" for alpha in study.grid]),
        "smoothness": listed([f"{value:.2f}" for value in smoothness]),
        "temperatures": listed([f"{t:.2f} (α = {alpha:g})" for alpha, t in temperatures.items()]),
        "views": str(plan.views),
    }
