"""Later findings, put to the same test: which runs decide them, and what is read of each.

Written down before any of these runs was measured. Their seeds are new, because the numbers of the older ones had been
seen. Verdicts are by the rule of `claims`; d is smoothed − hard, unless the claim's quantity says otherwise.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from lsbook.chapters import equal_softness
from lsbook.chapters.shared.comparison import Arm, group_of, loss_arm, smoothing_arms
from lsbook.chapters.shared.selection import Group
from lsbook.core import registry
from lsbook.core.config import Recipe, Run
from lsbook.core.registry import identifier
from lsbook.core.store import Record

SEEDS = {"cifar10": "5-9", "tiny-imagenet-50": "0-4", "multi30k": "3-5"}
TAUGHT_SEEDS = "3-5"  # of students, as many as Figure 5's
NETWORKS = (("cifar10", "alexnet"), ("cifar10", "resnet56"))
# Of every network: hard targets, smoothing with 0.1, which decides, and MaxSup with the same factor, which L7 compares
# with it; and smoothing with the factor of L2, with which L1 is decided as well.
ARMS = (*smoothing_arms(0.1, "maxsup"), replace(loss_arm(Recipe.loss, 0.05, "smoothed"), name="smoothed by 0.05"))
NOISY = ("cifar10", "alexnet")
NOISE = 0.2
TEMPERATURES = (1.0, 4.0)

Quantity = Callable[[Record], float]


def metric(name: str, factor: float = 1.0) -> Quantity:
    """A recorded number of the run. factor: 100 for points."""
    return lambda record: factor * record.metrics[name]


def probe_accuracy(record: Record) -> float:
    """Of a linear probe on the other data set, in percent."""
    transfer = registry.dataset(record.run.dataset).transfer
    if transfer is None:
        raise ValueError(f"record: features of {record.run.dataset} are tried on no other data set")
    return 100 * record.metrics[f"probe_{identifier(transfer)}_accuracy"]


def normalisation_gain(record: Record) -> float:
    """AUGRC by the largest probability − by the normalised logit."""
    return record.metrics["test_msp_augrc"] - record.metrics["test_normalised_logit_augrc"]


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


def run(network: tuple[str, str], arm: Arm, seed: int, noise: float = 0.0) -> Run:
    """A run of the small-scale setting. network: data set and model; noise: the rate of wrong labels."""
    return replace(arm.run("laptop", *network, seed), label_noise=noise)


def students(seed: int) -> dict[tuple[float, float], Run]:
    """(α of the teacher, T) -> Figure 5's student of that teacher at that temperature, with β = 1 (L4)."""
    runs = equal_softness.runs("laptop", seed)
    return {
        (alpha, temperature): replace(
            runs["alone", 0.0], teacher=runs["teacher", alpha], temperature=temperature, beta=1.0
        )
        for alpha in (0.0, 0.1)
        for temperature in TEMPERATURES
    }


def groups() -> list[Group]:
    """All runs on CIFAR-10: hard, smoothed and MaxSup networks, networks with wrong labels, students."""
    compared = [group_of(ARMS, partial(run, network), SEEDS[network[0]]) for network in NETWORKS]
    noisy = group_of(ARMS[:2], partial(run, NOISY, noise=NOISE), SEEDS[NOISY[0]])
    return [*compared, noisy, Group(TAUGHT_SEEDS, students)]
