"""Does a smoothed teacher teach? Its students on MNIST by temperature, and on CIFAR-10 at equal smoothness index γ.

See section 4 of the paper. `mnist` and `equal_smoothness` are the parts; each has a profile of its own.
"""

from dataclasses import dataclass

import numpy as np

from lsbook.analysis.distillation import smoothness_at
from lsbook.analysis.targets import optimal_logit_gap
from lsbook.chapters.distillation import equal_smoothness, mnist, sentences
from lsbook.chapters.shared import captions
from lsbook.chapters.shared.chapter import Chapter, DecidedClaims
from lsbook.chapters.shared.claim_tables import Setting
from lsbook.chapters.shared.selection import RECORDED, Group, is_recorded
from lsbook.core import registry
from lsbook.core.wording import unbroken
from lsbook.outputs import Markup, Text


@dataclass(frozen=True)
class Study:
    """What is recorded for both parts."""

    mnist: mnist.Study
    cifar10: equal_smoothness.Study


def groups(profile: str) -> list[Group]:
    """What the chapter asks for: both parts' groups."""
    return [*mnist.groups(profile), *equal_smoothness.groups(profile)]


def study(
    profile: str = "auto",
    seeds: str = "auto",
    temperatures: str | float = "auto",
    beta: str | float = "auto",
    teachers: str | float = "auto",
    students: str | float = "auto",
) -> Study:
    """The recorded runs of both parts, trained where they are missing.

    temperatures, beta: of students on MNIST, as for `mnist.study`. teachers, students: α on CIFAR-10, as for
    `equal_smoothness.runs`. UserError for what none of them can be, before anything is trained.
    """
    equal_smoothness.runs("laptop", 0, teachers, students)  # is refused here what is refused there
    return Study(
        mnist.study(profile, seeds, temperatures, beta), equal_smoothness.study(profile, seeds, teachers, students)
    )


def measured(study: Study) -> list[Setting]:
    """The claims of both parts."""
    return [*mnist.measured(study.mnist), *equal_smoothness.measured(study.cifar10)]


def settings(profile: str, seeds: str) -> list[Setting]:
    """The claims for the scorecard; where only what is recorded counts, of the parts that are."""
    found: list[Setting] = []
    if seeds != RECORDED or is_recorded(mnist.groups(profile)):
        found += mnist.measured(mnist.study(profile, seeds))
    if seeds != RECORDED or is_recorded(equal_smoothness.groups(profile)):
        found += equal_smoothness.measured(equal_smoothness.study(profile, seeds))
    return found


def in_short(study: Study) -> Text:
    """What both parts found, contradictions of the paper first, and where a reader can compare the students."""
    found = [
        *sentences.other_contradictions(study.cifar10),
        *sentences.errors(study.mnist),
        *sentences.by_temperature(study.mnist),
        sentences.at_equal_smoothness(study.cifar10),
    ]
    found.sort(key=lambda sentence: not sentence.startswith(sentences.CONTRARY))
    link = Markup("[Compare the students](students-by-teacher) yourself.")
    return captions.short_answer([unbroken(sentence) for sentence in found], link)


def of_teachers(study: Study) -> Text:
    """How smoothing changes the calibration of the teachers, and whether a smoothed one is better than none."""
    parts = study.mnist, study.cifar10
    text = Markup("**Calibration.** {}\n\n**No teacher.** {}")
    return Text(text.format(sentences.calibration(*parts), sentences.against_none(*parts)))


def numbers(study: Study) -> dict[str, float | str]:
    """What the chapter's text quotes by name. gap: in nats, with the γ of a teacher all of whose gaps it is."""
    plan = study.mnist.plan
    n_classes = len(registry.dataset(plan.dataset).classes)
    gap = optimal_logit_gap(n_classes, mnist.ALPHA)
    return {
        **mnist.numbers(study.mnist),
        **equal_smoothness.numbers(study.cifar10),
        "precision": sentences.precision(
            {registry.title(part.plan.dataset): part.kinds for part in (study.mnist, study.cifar10)}
        ),
        "gap": gap,
        "softness_at_gap": smoothness_at(plan.temperature, gap * np.eye(1, n_classes), np.array([0])),
    }


CHAPTER = Chapter("distillation", groups, DecidedClaims(("C12", "C13", "C14", "C15", "C19"), settings))
