"""Where smoothing helps and where it harms: wrong labels (L8), warm teachers (L4), wide beams (L5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from lsbook import figures
from lsbook.analysis.targets import optimal_logit_gap
from lsbook.chapters import later_findings, machine_translation
from lsbook.chapters.later_findings import (
    PROFILE_SEEDS,
    SEEDS,
    TAUGHT_SEEDS,
    TEMPERATURES,
    Statement,
    answer,
    setting,
    wide_beam,
)
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.chapter import Chapter, DecidedClaims
from lsbook.chapters.shared.claim_tables import Measure, Setting
from lsbook.chapters.shared.comparison import ArmValues, Comparison, compare, smoothing_arms
from lsbook.chapters.shared.selection import Group, parse_seeds, select_runs
from lsbook.core import registry
from lsbook.core.config import Run
from lsbook.core.errors import UserError, brief, real_number
from lsbook.core.registry import network_title
from lsbook.core.store import Record
from lsbook.core.wording import counted, listed
from lsbook.evidence.claims import LEAST_SEEDS
from lsbook.outputs import Figure, Text

DECIDED = ("L8", "L4", "L5")
NOISY = {"smoke": ("digits", "alexnet-16"), "laptop": later_findings.NOISY, "paper": later_findings.NOISY}
# Seeds of networks with right and wrong labels, of students, of translating networks.
PLANNED = {
    "smoke": ("0-1", "0", "0"),
    "laptop": (SEEDS[later_findings.NOISY[0]], TAUGHT_SEEDS, SEEDS["multi30k"]),
    "paper": (PROFILE_SEEDS["paper"],) * 3,
}
MOST_NOISE = 0.9  # where each of ten classes is as likely as the right one
# (claim, part) -> what may have come of it, in the order in which it is said.
STATEMENTS = {
    ("L8", ""): Statement(
        "smoothing helps",
        "smoothing harms",
        "test accuracy {first} → {second} %",
    ),
    ("L4", ""): Statement(
        "a smoothed teacher costs its student more when it is warm",
        "a smoothed teacher costs its student less when it is warm",
        "from T = 1 to T = 4 {change} points",
    ),
    ("L5", "length"): Statement(
        "without a length penalty smoothing shortens translations",
        "without a length penalty smoothing lengthens translations",
        "log length ratio {first} → {second}",
    ),
}


class Condition(NamedTuple):
    """A panel of the chapter's figure: a quantity of each arm under several conditions.

    axis: what differs, with the conditions' names (P,); quantity: with its unit; arms: values (P, S) each.
    """

    axis: str
    names: Sequence[str]
    quantity: str
    arms: Sequence[ArmValues[np.ndarray]]


@dataclass(frozen=True)
class Study:
    """What is recorded of the three experiments; one that is not is empty.

    noise: the share of wrong labels, of the networks in `noisy`.
    clean, noisy: networks that learnt from right labels and from partly wrong ones.
    taught: (α of the teacher, T) -> its students, in the order of the seeds; with None for T the teachers.
    translating: networks on a text.
    """

    profile: str
    alpha: float
    noise: float
    clean: Comparison | None
    noisy: Comparison | None
    taught: dict[tuple[float, float | None], list[Record]]
    translating: Comparison | None

    @property
    def records(self) -> list[Record]:
        """The records of all three."""
        compared = [c for c in (self.clean, self.noisy, self.translating) if c]
        students = [record for records in self.taught.values() for record in records]
        return [*(record for comparison in compared for record in comparison.records), *students]


def groups(profile: str, alpha: float = 0.1, noise: float = later_findings.NOISE) -> list[Group]:
    """What the chapter asks for: networks with right and wrong labels, students, translating networks.

    UserError for a factor or a share of wrong labels that cannot be.
    """
    if not 0 < real_number("noise", noise) < MOST_NOISE:
        raise UserError(f"noise must be a share of wrong labels above 0 and below {MOST_NOISE}, not {brief(noise)}")
    arms = smoothing_arms(alpha)

    def labelled(seed: int) -> dict[tuple[str, float], Run]:
        run = partial(later_findings.run, NOISY[profile], seed=seed, profile=profile)
        return {(arm.name, rate): run(arm, noise=rate) for rate in (0.0, noise) for arm in arms}

    def taught(seed: int) -> dict[tuple[float, float | None], Run]:
        students = later_findings.students(seed, profile, alpha)
        found: dict[tuple[float, float | None], Run] = {
            (of, None): run.teachers[0] for (of, _), run in students.items()
        }
        for (of, temperature), run in students.items():
            found[of, temperature] = run
        return found

    def translating(seed: int) -> dict[str, Run]:
        return {arm.name: machine_translation.run(profile, arm, seed) for arm in arms}

    named = noise != later_findings.NOISE
    of_labels, of_students, of_texts = PLANNED[profile]
    return [Group(of_labels, labelled, named), Group(of_students, taught), Group(of_texts, translating)]


def study(profile: str = "auto", alpha: float = 0.1, noise: float = later_findings.NOISE, seeds: str = "auto") -> Study:
    """The recorded runs of the three experiments; of a profile of which nothing is recorded they are all trained.

    Args:
        profile: as for `select_runs`.
        alpha: smoothing factor, above 0 and below 1; of teachers, too.
        noise: share of wrong labels, above 0 and below MOST_NOISE.
        seeds: as for `select_runs`.

    Raises:
        UserError: for a factor, share, seeds or profile that there is not.
    """
    selection = select_runs(profile, seeds, lambda name: groups(name, alpha, noise))
    labelled, taught, translating = selection.groups
    arms = smoothing_arms(alpha)

    def compared(records: dict[str, list[Record]]) -> Comparison | None:
        return compare(selection.profile, arms, records) if records else None

    clean, noisy = (
        compared({name: records for (name, of), records in labelled.items() if of == rate}) for rate in (0.0, noise)
    )
    # Older records were not searched with wide beams.
    searched = all("wide_beams" in record.arrays for records in translating.values() for record in records)
    return Study(selection.profile, alpha, noise, clean, noisy, taught, compared(translating) if searched else None)


def measured(found: Study) -> list[Setting]:
    """The claims on whatever is recorded, L5 in a setting for each beam."""
    settings = []
    if found.noisy:
        where = f", {100 * found.noise:g} % wrong labels"
        arms = found.noisy.reference, found.noisy.main
        settings.append(setting("conditions", found.noisy, where, later_findings.compared("L8", [""], *arms)))
    if found.taught:
        records = [record for records in found.taught.values() for record in records]
        teacher, student = (found.taught[0.0, t][0].run for t in (None, TEMPERATURES[0]))
        title = network_title(student.dataset, teacher.model, student.model)
        settings.append(Setting("conditions", found.profile, title, [_conflict(found)], records))
    if found.translating:
        settings += [
            setting("conditions", found.translating, f", beam {beam}", _search(found.translating, beam))
            for beam in wide_beams(found.translating)
        ]
    return settings


def _conflict(found: Study) -> Measure:
    """L4: the accuracy that a smoothed teacher costs its student, at the lower and at the higher temperature."""
    accuracy = later_findings.QUANTITIES["L4", ""]
    cold, warm = (
        np.array([accuracy(record) for record in found.taught[0.0, temperature]])
        - np.array([accuracy(record) for record in found.taught[found.alpha, temperature]])
        for temperature in TEMPERATURES
    )
    return claim_tables.measure_paired("L4", "", "lost by the student", cold, warm)._replace(
        conditions=f"α = {found.alpha:g}"
    )


def wide_beams(comparison: Comparison) -> list[int]:
    """The sizes of the beams that translations were searched with, without length penalty."""
    beams: list[int] = comparison.reference.records[0].arrays["wide_beams"].tolist()
    return beams


def _search(comparison: Comparison, beam: int) -> list[Measure]:
    """L5 with a beam of that size."""
    hard, smoothed = comparison.reference, comparison.main
    of_both = later_findings.compared("L5", ["length", "empty"], hard, smoothed, partial(wide_beam, beam=beam))
    plain = smoothed.metric(f"test_unpenalised{beam}_bleu")
    rectified = plain + smoothed.values(wide_beam("repair", beam))
    repair = claim_tables.measure_paired("L5", "repair", "repair", plain, rectified)
    return [*of_both, repair._replace(conditions=f"α = {smoothed.alpha:g}")]


def settings(profile: str, seeds: str) -> list[Setting]:
    """The three experiments with their claims, for the scorecard."""
    return measured(study(profile, seeds=seeds))


def in_short(found: Study) -> Text:
    """The chapter's answer: a sentence on each experiment that is tested, and which ones are not."""
    findings = claim_tables.findings(measured(found))
    sentences, waiting = [], []
    names = "wrong labels", "teachers at a high temperature", "wide beams in translation"
    for name, seeds, (part, statement) in zip(names, PLANNED[found.profile], STATEMENTS.items(), strict=True):
        of_part = [finding for finding in findings if (finding.verdict.claim, finding.verdict.part) == part]
        said = answer(of_part, statement)
        standing = later_findings.so_many_seeds([f.verdict.seeds for f in of_part], seeds)
        if said:
            sentences.append(f"{said} {standing}".strip())
        else:
            recorded = max((finding.verdict.seeds for finding in of_part), default=0)
            waiting.append(f"{name} ({recorded} of {counted(len(parse_seeds(seeds)), 'seed')})")
    if waiting:
        sentences.append(
            f"Nothing is decided yet of {listed(waiting)}: a verdict needs {LEAST_SEEDS} of the seeds fixed beforehand."
        )
    return captions.short_answer(sentences)


def numbers(found: Study) -> dict[str, float | str]:
    """The numbers in the chapter's text."""
    classes = len(registry.dataset(NOISY[found.profile][0]).classes)
    alike = found.noise * classes / (classes - 1)
    return {
        "noise": f"{found.noise:g}",
        "percent": f"{100 * found.noise:g}",
        "alike": f"{alike:.3g}",
        "gap": optimal_logit_gap(classes, alike),
    }


def fitted_text(found: Study) -> Text:
    """How much of wrongly labelled training images the networks have learnt by heart."""
    if found.noisy is None:
        return Text("Networks with wrong labels are not recorded here.")
    shares = [f"{100 * arm.metric('train_accuracy').mean():.1f} % ({arm.label})" for arm in found.noisy.arms]
    return Text(
        f"Of the training labels that they were given, wrong ones among them, networks predict {listed(shares)}."
    )


def conditions_figure(found: Study) -> Figure:
    """Accuracy by the share of wrong labels, accuracy of students by temperature, length of translations by beam.

    Of those that are recorded.
    """
    panels = [panel for panel in (_by_noise(found), _by_temperature(found), _by_beam(found)) if panel]
    return Figure(partial(figures.conditions_figure, panels), found.records)


def _by_noise(found: Study) -> Condition | None:
    if not (found.clean and found.noisy):
        return None
    accuracy = later_findings.metric("test_accuracy", 100)
    arms = [
        arm.with_values(np.stack([arm.values(accuracy), with_noise.values(accuracy)]))
        for arm, with_noise in zip(found.clean.arms, found.noisy.arms, strict=True)
    ]
    return Condition("wrong labels (%)", ("0", f"{100 * found.noise:g}"), "test accuracy (%)", arms)


def _by_temperature(found: Study) -> Condition | None:
    if not found.taught:
        return None
    arms = [
        arm.with_values(
            np.array([[100 * r.metrics["test_accuracy"] for r in found.taught[arm.alpha, t]] for t in TEMPERATURES])
        )
        for arm in smoothing_arms(found.alpha)
    ]
    return Condition("temperature T", [f"{t:g}" for t in TEMPERATURES], "student’s accuracy (%)", arms)


def _by_beam(found: Study) -> Condition | None:
    if not found.translating:
        return None
    beams = wide_beams(found.translating)
    arms = [
        arm.with_values(np.stack([arm.values(wide_beam("length", beam)) for beam in beams]))
        for arm in found.translating.arms
    ]
    return Condition("beam", [str(beam) for beam in beams], "log (output ÷ reference length)", arms)


CHAPTER = Chapter("conditions", groups, DecidedClaims(DECIDED, settings))
