"""Distillation from hard and from smoothed teachers: the MNIST experiment and Figure 5 (section 4 of the paper)."""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lsbook import paper
from lsbook.catalogue import DATASETS, MODELS
from lsbook.experiments import captions, profiles, projections, verdicts
from lsbook.experiments.obtain import Arms, Group, ask
from lsbook.experiments.verdicts import Measure, Setting
from lsbook.page import Table
from lsbook.run import Recipe, Run
from lsbook.store import Record

# MNIST at the paper's scale, the same in both profiles: 100 passes, rate 1 in the first layer and 0.1 above, falling
# linearly, of gradients averaged with 0.9.
_MNIST = Recipe(
    steps=11_700,
    batch=512,
    learning_rate=0.1,
    first_layer=10.0,
    momentum=0.9,
    dampening=0.9,
    schedule="linear",
)
_TOY = Recipe(steps=60, batch=64, learning_rate=0.05, momentum=0.9, schedule="one-cycle")
ALPHA = 0.1  # of the smoothed MNIST teacher, as in the paper


class Mnist(NamedTuple):
    """The MNIST experiment of a profile. temperature, beta: of both students."""

    dataset: str
    examples: int
    recipe: Recipe
    seeds: str
    temperature: float
    beta: float


class Cifar(NamedTuple):
    """Figure 5 in a profile. grid: α of teachers and of students alone, and γ of the hard teacher's students.

    teacher, student: network, and number of images and recipe where the profile has none of its own for it.
    """

    dataset: str
    teacher: tuple[str, tuple[int, Recipe] | None]
    student: tuple[str, tuple[int, Recipe] | None]
    grid: tuple[float, ...]
    seeds: str


_FULL = Mnist("mnist", 60_000, _MNIST, "0-9", temperature=4.0, beta=1.0)
MNIST = {
    "smoke": Mnist("digits", 400, dataclasses.replace(_TOY, steps=40), "0-1", 4.0, 1.0),
    "laptop": _FULL,
    "paper": _FULL,
}
_SHIFTED = dataclasses.replace(_TOY, steps=40, augmentation="shift2")
CIFAR = {
    "smoke": Cifar("digits", ("mlp-800", (200, _SHIFTED)), ("alexnet-16", (200, _SHIFTED)), (0.1, 0.3), "0-1"),
    "laptop": Cifar("cifar10", ("resnet56", None), ("alexnet", None), (0.1, 0.3, 0.6), "0-2"),
    "paper": Cifar("cifar10", ("resnet56", None), ("alexnet", None), (0.05, 0.1, 0.2, 0.4, 0.6), "0-2"),
}
TEACHERS = {"hard": "mlp-dropout", "smoothed": "mlp"}  # dropout, or smoothing instead of it


def mnist_runs(profile: str, seed: int) -> dict[tuple[str, str], Run]:
    """(role, arm) -> run: teachers and students of both arms, and a student alone, which is ("alone", "hard")."""
    plan = MNIST[profile]
    base = Run(dataset=plan.dataset, model="mlp-800", alpha=0.0, seed=seed, recipe=plan.recipe, examples=plan.examples)
    shifted = dataclasses.replace(plan.recipe, augmentation="shift2")
    runs = {("alone", "hard"): base}
    for arm, model in TEACHERS.items():
        alpha = ALPHA if arm == "smoothed" else 0.0
        teacher = dataclasses.replace(base, model=model, alpha=alpha, recipe=shifted)
        runs["teacher", arm] = teacher
        runs["student", arm] = dataclasses.replace(base, teacher=teacher, temperature=plan.temperature, beta=plan.beta)
    return runs


def cifar_runs(profile: str, seed: int) -> dict[tuple[str, float], Run]:
    """(curve, factor) -> run, the curves of Figure 5: "teacher", "alone", "hard teacher" by γ, "smoothed teacher" by α.

    Teachers and students alone also at the factor 0.
    """
    plan = CIFAR[profile]

    def trained(network: tuple[str, tuple[int, Recipe] | None], alpha: float) -> Run:
        model, own = network
        if own is None:
            return profiles.run(profile, plan.dataset, model, alpha, seed)
        examples, recipe = own
        return Run(dataset=plan.dataset, model=model, alpha=alpha, seed=seed, recipe=recipe, examples=examples)

    student = trained(plan.student, 0.0)
    runs = {("teacher", 0.0): trained(plan.teacher, 0.0), ("alone", 0.0): student}
    for factor in plan.grid:
        runs["teacher", factor] = trained(plan.teacher, factor)
        runs["alone", factor] = trained(plan.student, factor)
        runs["hard teacher", factor] = dataclasses.replace(
            student, teacher=runs["teacher", 0.0], smoothness=factor, beta=1.0
        )
        runs["smoothed teacher", factor] = dataclasses.replace(
            student, teacher=runs["teacher", factor], temperature=1.0, beta=1.0
        )
    return runs


@dataclass(frozen=True)
class Study:
    """Records of both experiments by role: lists in the order of the seeds."""

    profile: str
    mnist: dict[tuple[str, str], list[Record]]
    cifar: dict[tuple[str, float], list[Record]]

    @property
    def grid(self) -> list[float]:
        """The factors at which all four curves have a point."""
        return sorted({factor for curve, factor in self.cifar if curve == "smoothed teacher"})

    def made_from(self, *parts: str) -> str:
        """Where the numbers of the parts ("mnist", "cifar") come from."""
        groups = [records for part in parts for records in getattr(self, part).values()]
        return captions.made_from(self.profile, [record for records in groups for record in records])


def groups(profile: str) -> list[Group]:
    """What the chapter asks for: the MNIST runs and those of Figure 5 of a seed."""
    return [
        Group(MNIST[profile].seeds, lambda seed: tuple(mnist_runs(profile, seed).values())),
        Group(CIFAR[profile].seeds, lambda seed: tuple(cifar_runs(profile, seed).values())),
    ]


def study(profile: str = "auto", seeds: str = "auto") -> Study:
    """The recorded runs of the chapter, trained where they are missing."""

    profile, answers = ask(profile, seeds, groups)
    parts = [
        {role: list(records) for role, records in zip(runs(profile, 0), zip(*answer, strict=True), strict=True)}
        if answer
        else {}
        for runs, answer in zip((mnist_runs, cifar_runs), answers, strict=True)
    ]
    return Study(profile, *parts)


def settings(profile: str, seeds: str) -> list[Setting]:
    """Both experiments, as far as there are records of them, for the scorecard. The network is the student's."""
    found = study(profile, seeds=seeds)
    plans = MNIST[found.profile], CIFAR[found.profile]
    networks = (plans[0].dataset, "mlp-800"), (plans[1].dataset, plans[1].student[0])
    parts = (found.mnist, measure_mnist), (found.cifar, measure_cifar)
    return [
        Setting("distillation", found.profile, network, measured(found))
        for network, (records, measured) in zip(networks, parts, strict=True)
        if records
    ]


def _errors(records: list[Record]) -> np.ndarray:
    """Test error in percent, one value a seed."""
    return np.array([100 * (1 - record.metrics["test_accuracy"]) for record in records])


def _accuracies(records: list[Record]) -> np.ndarray:
    return 100 - _errors(records)


def mnist_table(study: Study) -> Table:
    """Test errors of teachers and students beside the published ones."""
    rows = []
    for source, published in paper.MNIST_DISTILLATION.items():
        cells = [f"{published[role][arm].value:g}" for arm in ("hard", "smoothed") for role in ("teacher", "student")]
        rows.append((source.capitalize(), *cells, "—"))
    ours = [
        captions.with_interval(_errors(study.mnist[role, arm])) for arm in TEACHERS for role in ("teacher", "student")
    ]
    plan = MNIST[study.profile]
    alone = captions.with_interval(_errors(study.mnist["alone", "hard"]))
    rows.append((f"Here, {captions.STANDING[study.profile].split(',')[0]}", *ours, alone))
    return Table(
        "table-mnist-distillation",
        "Test error in percent. Teachers see shifted images and have 2 × 1200 units, with dropout or with smoothing "
        f"(α = {ALPHA:g}) instead; students have 2 × 800 units and see unshifted images. Here T = {plan.temperature:g} "
        f"and β = {plan.beta:g}; 95 % Student t intervals over seeds. " + study.made_from("mnist"),
        ("", "hard teacher", "its student", "smoothed teacher", "its student", "student alone"),
        tuple(rows),
    )


class Curve(NamedTuple):
    """A curve of Figure 5: test accuracy in percent (G, S) against γ (G,). kind: its colour."""

    title: str
    kind: str
    factors: np.ndarray
    accuracy: np.ndarray


TITLES = {
    "teacher": ("teacher, α = γ", "teacher"),
    "alone": ("student alone, α = γ", "alone"),
    "hard teacher": ("student of the hard teacher, T from γ", "hard"),
    "smoothed teacher": ("student of a smoothed teacher, α = γ", "smoothed"),
}


def curves(study: Study) -> list[Curve]:
    """The four curves, each at the factors it is recorded at."""
    result = []
    for name, (title, kind) in TITLES.items():
        factors = sorted(factor for curve, factor in study.cifar if curve == name)
        accuracy = np.array([_accuracies(study.cifar[name, factor]) for factor in factors])
        result.append(Curve(title, kind, np.array(factors), accuracy))
    return result


def measure(study: Study) -> list[Measure]:
    """All claims of the chapter."""
    return [*measure_mnist(study), *measure_cifar(study)]


def measure_mnist(study: Study) -> list[Measure]:
    """Both parts of C12."""
    return [
        verdicts.measure("C12", role, f"error of the {role}", *(_errors(study.mnist[role, arm]) for arm in TEACHERS))
        for role in ("teacher", "student")
    ]


def measure_cifar(study: Study) -> list[Measure]:
    """C13, C14, C15 and C19, curves by their means over the grid, seed by seed."""

    def mean(curve: str) -> np.ndarray:
        return np.mean([_accuracies(study.cifar[curve, factor]) for factor in study.grid], axis=0)

    def at(curve: str, factor: float) -> np.ndarray:
        return _accuracies(study.cifar[curve, factor])

    hard, smoothed, alone = mean("hard teacher"), mean("smoothed teacher"), mean("alone")
    return [
        verdicts.measure("C13", "", "teacher, α = 0 and 0.1", at("teacher", 0.0), at("teacher", ALPHA)),
        verdicts.measure("C14", "", "student alone and of the hard teacher", alone, hard),
        verdicts.measure("C15", "", "student of smoothed and of hard teacher", smoothed, hard),
        verdicts.measure(
            "C19", "", "of the smoothed teacher and alone, 0.1", at("smoothed teacher", ALPHA), at("alone", ALPHA)
        ),
    ]


def claim_table(study: Study, measures: list[Measure]) -> Table:
    """Every part of the five claims."""
    made_from = study.made_from("mnist", "cifar")
    header = "first", "second"
    return verdicts.table("table-distillation-claims", "distillation", study.profile, header, measures, made_from)


def harmless(study: Study) -> Measure:
    """Shen et al. 2021's case: does a smoothed teacher's student still beat one that was trained on hard labels?

    No claim of the paper: measured by the rule of C14, at α = 0.1.
    """
    hard_labels, student = (_accuracies(study.cifar[key]) for key in (("alone", 0.0), ("smoothed teacher", ALPHA)))
    return verdicts.measure("C14", "", "student alone on hard labels and of the smoothed teacher", hard_labels, student)


def teachers(study: Study) -> Arms:
    """The hard and the smoothed CIFAR-10 teachers (α = 0.1), as the chapter on projections compares networks."""
    return Arms(study.profile, ALPHA, study.cifar["teacher", 0.0], study.cifar["teacher", ALPHA])


def panels(study: Study, classes: str = "auto") -> list[projections.Panel]:
    """Projections of the two teachers, on training and test images."""
    arms = teachers(study)
    return projections.panels(arms, projections.three_classes(arms, classes))


def numbers(study: Study) -> dict[str, float | str]:
    """What the chapter's text quotes by name."""
    found = harmless(study)
    plan = CIFAR[study.profile]
    names = [f"{MODELS[name].title}" for name, _ in (plan.teacher, plan.student)]
    temperatures = [
        np.mean([r.metrics["teacher_temperature"] for r in study.cifar["hard teacher", factor]])
        for factor in study.grid
    ]
    return {
        "teacher": names[0],
        "student": names[1],
        "data": DATASETS[plan.dataset].title,
        "alone_hard": float(found.hard.mean()),
        "smoothed_student": float(found.smoothed.mean()),
        "lowest_temperature": float(min(temperatures)),
        "highest_temperature": float(max(temperatures)),
        "views": "162" if plan.student[1] is None else "25",
        "made_from_cifar": study.made_from("cifar"),
        "made_from_mnist": study.made_from("mnist"),
    }
