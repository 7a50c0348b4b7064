"""Later findings, put to the same test: which runs decide them, and what is read of each.

Written down before any of these runs was measured. Their seeds are new, because the numbers of the older ones had been
seen. Verdicts are by the rule of `claims`; d is smoothed − hard, unless the claim's quantity says otherwise.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from lsbook.chapters.distillation import equal_smoothness
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.claim_tables import Finding, Measure, Setting
from lsbook.chapters.shared.comparison import Arm, Comparison, compare, group_of, loss_arm, smoothing_arms
from lsbook.chapters.shared.selection import Group, parse_seeds, select_runs
from lsbook.core import registry
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import one_of
from lsbook.core.registry import identifier
from lsbook.core.store import Record
from lsbook.core.wording import listed, sentence_case
from lsbook.evidence.claims import CONTRADICTED, LEAST_SEEDS, NOT_TESTED, REPRODUCED, UNDECIDED

SEEDS = {"cifar10": "5-9", "tiny-imagenet-50": "0-4", "multi30k": "3-5"}
TAUGHT_SEEDS = "3-5"  # of students, as many as Figure 5's
PROFILE_SEEDS = {"smoke": "0-2", "paper": "0-4"}  # where nothing had been seen; in the small-scale setting SEEDS
NETWORKS = {
    "smoke": (("digits", "alexnet-16"),),
    "laptop": (("cifar10", "alexnet"), ("cifar10", "resnet56")),
    "paper": (("cifar10", "alexnet"), ("cifar10", "resnet56")),
}
SECOND_FACTOR = 0.05  # of L2, with which L1 is decided as well
NOISY = ("cifar10", "alexnet")  # the network that learns from wrong labels
NOISE = 0.2  # the share of them
TEMPERATURES = (1.0, 4.0)

Quantity = Callable[[Record], float]


def arms(alpha: float = 0.1) -> list[Arm]:
    """The arms of every network: hard targets, smoothing with α, MaxSup with the same factor, smoothing with 0.05.

    The second is what the claims are about; L7 compares the third with it.
    """
    found = smoothing_arms(alpha, "maxsup")
    if alpha != SECOND_FACTOR:
        found.append(replace(loss_arm(Recipe.loss, SECOND_FACTOR, "smoothed"), name="smoothed by 0.05"))
    return found


def metric(name: str, factor: float = 1.0) -> Quantity:
    """A recorded number of the run. factor: 100 for points."""
    return lambda record: factor * recorded(record, name)


class NotRecorded(Exception):
    """A record lacks a number, as one does that was made before it was measured."""


def recorded(record: Record, name: str) -> float:
    """A number of a record. NotRecorded where it lacks it."""
    if name not in record.metrics:
        raise NotRecorded(f"the record {record.run.key} has no {name}")
    return record.metrics[name]


def probe_accuracy(record: Record) -> float:
    """Return the accuracy of a linear probe on the other data set, in percent. NotRecorded where none was tried."""
    transfer = registry.dataset(record.run.dataset).transfer
    return 100 * recorded(record, f"probe_{identifier(transfer or 'no other')}_accuracy")


def normalisation_gain(record: Record) -> float:
    """AUGRC by the largest probability − by the normalised logit."""
    return recorded(record, "test_msp_augrc") - recorded(record, "test_normalised_logit_augrc")


# (claim, part) -> what is read of each run, in the part's units. L4 compares runs of its own; see `wide_beam` for L5.
QUANTITIES: dict[tuple[str, str], Quantity] = {
    ("L1", "ECE"): metric("test_scaled_ece"),
    ("L1", "NLL"): metric("test_scaled_nll"),
    ("L2", "smooth ECE"): metric("test_smooth_ece"),
    ("L2", "isotonic"): metric("test_isotonic_miscalibration"),
    ("L2", "debiased"): metric("test_debiased_squared_error"),
    ("L3", "ranking"): metric("test_msp_augrc"),
    ("L3", "repair"): normalisation_gain,
    ("L3", "particular"): normalisation_gain,
    ("L4", ""): metric("test_accuracy", 100),
    ("L6", "separation"): metric("train_class_separation"),
    ("L6", "transfer"): probe_accuracy,
    ("L7", "accuracy"): metric("test_accuracy", 100),
    ("L7", "spread"): metric("train_distance_within"),
    ("L7", "transfer"): probe_accuracy,
    ("L8", ""): metric("test_accuracy", 100),
    ("L9", "NC1"): metric("train_nc1"),
    ("L9", "NC2"): metric("train_nc2"),
}


def unknown(dataset: str, part: str) -> Quantity:
    """A part of L10: the AUROC against the test images of a data set that the network does not know."""
    score = {"MSP": "msp", "max logit": "max_logit", "energy": "energy"}[part]
    return metric(f"ood_{identifier(dataset)}_{score}_auroc")


def wide_beam(part: str, beam: int) -> Quantity:
    """A part of L5, searched without length penalty by so many hypotheses: 8 or 32, each a setting of its own."""
    if part == "repair":
        return lambda record: (
            record.metrics[f"test_rectified{beam}_bleu"] - record.metrics[f"test_unpenalised{beam}_bleu"]
        )
    quantity = {"length": "log_length", "empty": "empty_margin"}[part]
    return metric(f"test_unpenalised{beam}_{quantity}")


def run(network: tuple[str, str], arm: Arm, seed: int, noise: float = 0.0, profile: str = "laptop") -> Run:
    """A run of a profile. network: data set and model; noise: the rate of wrong labels."""
    return replace(arm.run(profile, *network, seed), label_noise=noise)


def network_groups(profile: str, alpha: float = 0.1, network: str = "all") -> list[Group]:
    """The runs of every arm, a group for each network of the profile. network: "all", or one such as "cifar10-alexnet".

    UserError for a network that the profile does not have here.
    """
    known = {f"{dataset}-{model}": (dataset, model) for dataset, model in NETWORKS[profile]}
    one_of(f"network of the profile {profile}", network, ("all", *known))
    return [
        group_of(arms(alpha), partial(run, pair, profile=profile), PROFILE_SEEDS.get(profile, SEEDS.get(pair[0], "")))
        for name, pair in known.items()
        if network in ("all", name)
    ]


def comparisons(
    profile: str = "auto", alpha: float = 0.1, seeds: str = "auto", network: str = "all"
) -> list[Comparison]:
    """The arms of each network with their records, trained where they are missing.

    Args:
        profile: as for `select_runs`.
        alpha: smoothing factor, above 0 and below 1.
        seeds: as for `select_runs`.
        network: as for `network_groups`.

    Raises:
        UserError: for a network, factor, seeds or profile that there is not.
    """
    selection = select_runs(profile, seeds, lambda name: network_groups(name, alpha, network))
    return [compare(selection.profile, arms(alpha), found) for found in selection.groups if found]


def measured(
    comparisons: Sequence[Comparison], measures: Callable[[Comparison, str], list[Setting]], ids: Sequence[str]
) -> list[Setting]:
    """Every claim of `ids` on every network whose records have what it needs."""
    found = []
    for comparison in comparisons:
        for claim in ids:
            with contextlib.suppress(NotRecorded):
                found += measures(comparison, claim)
    return found


def setting(chapter: str, comparison: Comparison, where: str, measures: list[Measure]) -> Setting:
    """What claims came to on a network. where: on what else than the network, such as ", α = 0.05"."""
    title, variant = comparison.title + where, where.strip(", ")
    return Setting(chapter, comparison.profile, title, measures, comparison.records, variant)


def compared(
    claim: str, parts: Sequence[str], first: Arm, second: Arm, quantity: Callable[[str], Quantity] | None = None
) -> list[Measure]:
    """Parts of a claim on two arms. NotRecorded where a record lacks the quantity.

    quantity: part -> what is read of each run; QUANTITIES if not given.
    """
    conditions = f"α = {second.alpha:g}"
    found = []
    for part in parts:
        of_part = quantity(part) if quantity else QUANTITIES[claim, part]
        before, after = (arm.values(of_part) for arm in (first, second))
        found.append(claim_tables.measure(claim, part, part, before, after, conditions=conditions))
    return found


def students(seed: int, profile: str, alpha: float) -> dict[tuple[float, float], Run]:
    """(α of the teacher, T) -> Figure 5's student of that teacher at that temperature, with β = 1 (L4).

    alpha: of the smoothed teachers, above 0 and below 1.
    """
    runs = equal_smoothness.runs(profile, seed, alpha)
    return {
        (of_teacher, temperature): replace(
            runs["alone", 0.0], teacher=runs["teacher", of_teacher], temperature=temperature, beta=1.0
        )
        for of_teacher in (0.0, alpha)
        for temperature in TEMPERATURES
    }


class Statement(NamedTuple):
    """What may have come of a part of a claim, in words.

    reported: what is so where the report holds, such as "smoothed features separate the classes more"; opposite: where
    the contrary does; numbers: what is said of a network in brackets, with the means `first` and `second` of both arms
    and their difference `change` to fill in.
    """

    reported: str
    opposite: str
    numbers: str


def answer(findings: Sequence[Finding], statement: Statement) -> str:
    """One sentence on a part of a claim: in which settings its contrary holds, in which it does, in which it is open.

    Args:
        findings: on the part, one a setting (networks, or data sets unknown to them).
        statement: what is said of it.

    Returns:
        the sentence, with the numbers of one setting of a verdict; empty where nothing is tested.
    """
    found = {name: [f for f in findings if f.verdict.verdict == name] for name in (REPRODUCED, CONTRADICTED, UNDECIDED)}
    words = {CONTRADICTED: f"contrary to the report, {statement.opposite}", REPRODUCED: statement.reported}
    said = [f"{words[name]} {_where(found[name], statement.numbers)}" for name in words if found[name]]
    undecided = found[UNDECIDED]
    if said and undecided:
        where = f"on {undecided[0].setting}" if len(undecided) == 1 else f"in {len(undecided)} other settings"
        said.append(f"it is open {where}")
    elif undecided:
        said.append(f"whether {statement.reported} is open {_where(undecided, statement.numbers)}")
    return sentence_case("; ".join(said)) + "." if said else ""


def _where(findings: Sequence[Finding], numbers: str) -> str:
    """In which settings something came out, one or two by name, with the numbers of the first."""
    first, *others = findings
    before, after = (captions.three_digits(arm.mean()) for arm in (first.measure.first, first.measure.second))
    change = captions.mean_difference(first.measure.first, first.measure.second)
    shown = numbers.format(first=before, second=after, change=change)
    elsewhere = [f"on {finding.setting}" for finding in others] if len(others) < 2 else [f"in {len(others)} others"]
    return listed([f"on {first.setting} ({shown})", *elsewhere])


def answers(
    comparisons: Sequence[Comparison],
    settings: Sequence[Setting],
    statements: Mapping[tuple[str, str], Statement],
    so_far: Callable[[Comparison], str],
) -> list[str]:
    """The sentences that answer a chapter: that nothing is decided yet, or one on each part that is tested.

    Args:
        comparisons: the networks that are shown.
        settings: the claims measured on them.
        statements: (claim, part) -> what is said of it, in this order.
        so_far: of a network what the recorded seeds show without a verdict, said where nothing is decided.
    """
    found = claim_tables.findings(settings)
    planned = network_groups(comparisons[0].profile)[0].seeds
    standing = so_many_seeds([len(comparison.reference.records) for comparison in comparisons], planned)
    if not is_tested(found):
        return [standing, so_far(comparisons[0])]
    said = [
        answer([finding for finding in found if (finding.verdict.claim, finding.verdict.part) == part], statement)
        for part, statement in statements.items()
    ]
    return [sentence for sentence in (*said, standing) if sentence]


def is_tested(found: Sequence[Finding]) -> bool:
    """Whether anything is tested."""
    return any(finding.verdict.verdict != NOT_TESTED for finding in found)


def has_all_seeds(finding: Finding) -> bool:
    """Whether a finding is on all the seeds that were fixed for its network beforehand."""
    planned = PROFILE_SEEDS.get(finding.profile) or SEEDS[finding.network[0]]
    return finding.verdict.seeds >= len(parse_seeds(planned))


def so_many_seeds(counts: Sequence[int], planned: str) -> str:
    """A sentence on how final the verdicts are; "" where all seeds of every network are recorded.

    counts: the recorded seeds of each network. planned: the seeds, such as "5-9".
    """
    most, all_planned = max(counts, default=0), len(parse_seeds(planned))
    if most < LEAST_SEEDS:
        return (
            f"Nothing here is decided yet: of the seeds {planned}, fixed beforehand, {most} "
            f"{'is' if most == 1 else 'are'} recorded, and a verdict needs {LEAST_SEEDS}."
        )
    if min(counts) < all_planned:
        few = f"{min(counts)} to {most}" if min(counts) < most else f"{most}"
        return f"This is on {few} of the {all_planned} seeds fixed beforehand, and may change."
    return ""
