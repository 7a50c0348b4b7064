"""The paper's claims and the rule, fixed before looking, by which the scorecard decides them.

d is second − first arm, that is smoothed − hard or what the claim's quantity names, times the claimed sign, so that a
claim reads d > −margin. It is reproduced when the whole 95 % interval of d is above −margin, contradicted when all of
it is below, undecided otherwise, and not tested with fewer than three seeds in an arm.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lsbook.analysis.statistics import Interval, paired_interval, seed_values, welch_interval

REPRODUCED, CONTRADICTED, UNDECIDED, NOT_TESTED = "reproduced", "contradicted", "undecided", "not tested"
MIXED = "mixed"  # of a claim one of whose parts is reproduced and another contradicted
LEAST_SEEDS = 3
_UNKNOWN = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Part:
    """One measured quantity of a claim.

    Attributes:
        quantity: what is measured, of which d is the difference that the claim is about.
        sign: +1 where the claim is that d is above 0, −1 where it is that d is below.
        units: of d and the margin.
        margin: how far d may lie on the wrong side of 0 all the same, at least 0.
        name: tells the parts of one claim apart.
    """

    quantity: str
    sign: int
    units: str
    margin: float = 0.0
    name: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim of one part, or of several that are told apart by name.

    alpha: smoothing factor of the smoothed arm; alphas: data sets on which it is another.
    design: "independent" (networks trained apart, Welch), "paired" (runs of one teacher or network), None: either.
    least_test: fewest test examples on which the claim can be tested.
    caveat: a sentence that belongs to the verdict wherever that stands.
    """

    id: str
    text: str
    parts: tuple[Part, ...]
    alpha: float = 0.1
    alphas: Mapping[str, float] = field(default_factory=dict)
    design: str | None = "independent"
    least_test: int = 0
    caveat: str = ""

    def alpha_on(self, dataset: str) -> float:
        """Smoothing factor on a data set."""
        return self.alphas.get(dataset, self.alpha)

    def part(self, name: str = "") -> Part:
        """Return the part of that name. Raises ValueError, listing the names, when there is none."""
        for part in self.parts:
            if part.name == name:
                return part
        raise ValueError(f"part: {self.id} has no part {name!r}, only {[part.name for part in self.parts]}")


class Verdict(NamedTuple):
    """What a claim, or one part of it, came to.

    Attributes:
        claim: the claim's id.
        verdict: REPRODUCED, CONTRADICTED, UNDECIDED, NOT_TESTED, or MIXED.
        mean: of d times the claimed sign, in the part's units; NaN when not tested or when parts are combined.
        low: the lower end of its 95 % interval.
        high: the upper end.
        seeds: number of runs in the smaller arm.
        part: the part's name, "" for the claim as a whole.
    """

    claim: str
    verdict: str
    mean: float
    low: float
    high: float
    seeds: int
    part: str = ""


def decide(claim: Claim, first: np.ndarray, second: np.ndarray, part: str = "", n_test: int = 0) -> Verdict:
    """Verdict from two arms of networks trained independently.

    first, second: (S,) and (S',), the quantity of each run; d = second − first is smoothed − hard, or the difference
    that the claim's quantity names.
    part: name of the part, for a claim of several; n_test: number of test examples, which C7 needs.
    Raises ValueError for NaN, an unknown part, or a claim whose runs come in pairs.
    """
    _require_design(claim, "independent")
    found = claim.part(part)
    first, second = seed_values("first", first), seed_values("second", second)
    n_seeds = min(first.size, second.size)
    if n_seeds < LEAST_SEEDS or n_test < claim.least_test:
        return _verdict(claim, part, NOT_TESTED, n_seeds)
    return _judge(claim, found, welch_interval(found.sign * first, found.sign * second), n_seeds)


def decide_paired(claim: Claim, differences: np.ndarray, part: str = "") -> Verdict:
    """Return the verdict from differences within pairs of runs, by Student's interval.

    Args:
        claim: what is claimed.
        differences: d (S,), one a pair, in the order that the claim's quantity names.
        part: name of the part, for a claim of several.

    Raises:
        ValueError: for a value that is not finite, an unknown part, or a claim whose arms are independent.
    """
    _require_design(claim, "paired")
    found = claim.part(part)
    differences = seed_values("differences", differences)
    if differences.size < LEAST_SEEDS:
        return _verdict(claim, part, NOT_TESTED, differences.size)
    return _judge(claim, found, paired_interval(found.sign * differences), differences.size)


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on a claim from one verdict on each of its parts.

    It is reproduced when all parts are, mixed when one is and another is contradicted, contradicted when one is and
    none is reproduced, else not tested when one part is not, else undecided.

    Raises:
        ValueError: unless these are all the parts of one claim, each once.
    """
    given = sorted((verdict.claim, verdict.part) for verdict in verdicts)
    if not any(given == sorted((claim.id, part.name) for part in claim.parts) for claim in ALL_CLAIMS.values()):
        raise ValueError("verdicts: expected one for each part of one claim")
    claim = ALL_CLAIMS[verdicts[0].claim]
    found = {verdict.verdict for verdict in verdicts}
    if {REPRODUCED, CONTRADICTED} <= found:
        combined = MIXED
    else:
        combined = next(v for v in (CONTRADICTED, NOT_TESTED, UNDECIDED, REPRODUCED) if v in found)
    return _verdict(claim, "", combined, min(verdict.seeds for verdict in verdicts))


def _judge(claim: Claim, part: Part, interval: Interval, n_seeds: int) -> Verdict:
    threshold = -part.margin
    above, below = interval.low > threshold, interval.high < threshold
    verdict = REPRODUCED if above else CONTRADICTED if below else UNDECIDED
    return _verdict(claim, part.name, verdict, n_seeds, interval)


def _verdict(claim: Claim, part: str, verdict: str, n_seeds: int, interval: Interval = _UNKNOWN) -> Verdict:
    return Verdict(claim.id, verdict, interval.mean, interval.low, interval.high, n_seeds, part)


def _require_design(claim: Claim, design: str) -> None:
    if claim.design not in (None, design):
        raise ValueError(f"claim: the runs of {claim.id} are {claim.design}, not {design}")


# Table 3 of the paper has 0.05 on CIFAR, for which Tiny ImageNet stands, too, and 0.1 on ImageNet.
_ALPHAS_OF_TABLE_3 = dict.fromkeys(
    ("cifar10", "cifar100", "tiny-imagenet-5", "tiny-imagenet-32", "tiny-imagenet-50"), 0.05
)

_CLAIMS = (
    Claim("C1", "smoothing does not cost accuracy", (Part("test accuracy", +1, "points", margin=0.5),)),
    Claim(
        "C2",
        "training clusters get tighter",
        (Part("within- over between-class scatter in the plane, training", -1, "ratio"),),
    ),
    Claim(
        "C3",
        "clusters move toward an equilateral triangle",
        (Part("shortest over longest side of the triangle of class centroids, training", +1, "ratio"),),
    ),
    Claim(
        "C4",
        "projections shrink",
        (Part("mean distance of projections from the plane's origin", -1, "activation units"),),
    ),
    Claim(
        "C5",
        "two similar classes form an arc",
        (Part("sd of arc length over sd of radius, seen from the third class's training centroid", +1, "ratio"),),
        caveat="This ratio rises for nearly every pair of classes, similar or not.",
    ),
    Claim(
        "C6",
        "smoothing lowers the calibration error",
        (Part("test ECE at T = 1", -1, "fraction"),),
        alphas=_ALPHAS_OF_TABLE_3,
        caveat="It depends on the training: after a short one, or on easy data, the sign turns.",
    ),
    Claim(
        "C7",
        "smoothing calibrates about as well as temperature scaling",
        (Part("test ECE, smoothed at T = 1 − hard at its fitted T", -1, "fraction", margin=0.02),),
        alphas=_ALPHAS_OF_TABLE_3,
        least_test=10_000,
        caveat="It is tested where there are 10,000 test examples or more: chance adds to the error of fewer.",
    ),
    Claim(
        "C8",
        "validation activations spread toward the centre",
        (Part("validation over training within-class scatter in the plane", +1, "ratio"),),
        caveat="This ratio rises as well where training clusters merely tighten.",
    ),
    Claim("C9", "smoothing calibrates translation", (Part("next-token ECE at T = 1", -1, "fraction"),)),
    Claim(
        "C10",
        "smoothing raises BLEU, and no temperature makes up for it",
        (Part("test BLEU, each model at its best T on validation text", +1, "BLEU"),),
    ),
    Claim(
        "C11",
        "smoothing worsens the likelihood of translations",
        (
            Part("test NLL at T = 1", +1, "nats a token", name="T = 1"),
            Part("test NLL, each model at its best T on validation text", +1, "nats a token", name="best T"),
        ),
    ),
    Claim(
        "C12",
        "on MNIST a smoothed teacher is better and its student worse",
        (
            Part("test error of the teacher", -1, "points", name="teacher"),
            Part("test error of the student", +1, "points", name="student"),
        ),
        caveat="Its recipe was revised after a first round, and only the hard teacher has dropout.",
    ),
    Claim("C13", "moderate smoothing helps the CIFAR-10 teacher", (Part("test accuracy, teacher", +1, "points"),)),
    Claim(
        "C14",
        "the hard teacher's student beats one without a teacher",
        (Part("test accuracy at equal γ, hard teacher's student − student without a teacher", +1, "points"),),
        design=None,
    ),
    Claim(
        "C15",
        "a smoothed teacher distils worse",
        (Part("test accuracy at equal γ, hard teacher's student − smoothed teacher's student", +1, "points"),),
        design=None,
    ),
    Claim(
        "C16",
        "smoothing erases information late in training",
        (
            Part("mutual information at the end of training", -1, "nats", name="end"),
            Part("mutual information at its peak − at the end", +1, "nats", name="fall"),
        ),
    ),
    Claim(
        "C17",
        "the tightening shows in the Transformer",
        (Part("within- over between-class scatter in the plane, frequent tokens, training", -1, "ratio"),),
    ),
    Claim(
        "C18",
        "logit gaps become more alike, and nearer to their optimum",
        (
            Part("sd over mean of true − other logits, training", -1, "ratio", name="variation"),
            Part("distance of the mean gap from the smoothed optimum, training", -1, "nats", name="optimum"),
        ),
        caveat="It is about networks that have fitted their training images.",
    ),
    Claim(
        "C19",
        "even a student without a teacher can beat the smoothed teacher's",
        (Part("test accuracy, student without − with the smoothed teacher, both at α = 0.1", +1, "points"),),
        design=None,
    ),
    Claim(
        "C20",
        "temperature raises the hard model's BLEU",
        (Part("test BLEU of the hard model, at its best T on validation text − at T = 1", +1, "BLEU"),),
        design="paired",
    ),
)

CLAIMS = {claim.id: claim for claim in _CLAIMS}

# What later work says. Measured on seeds of which nothing was seen before these quantities were written down.
_LATER = (
    Claim(
        "L1",
        "after temperature scaling smoothed networks are calibrated worse",
        (
            Part("test ECE, each network at its own held-out T", +1, "fraction", name="ECE"),
            Part("test NLL, each network at its own held-out T", +1, "nats", name="NLL"),
        ),
    ),
    Claim(
        "L2",
        "smoothing lowers the calibration error however it is measured",
        (
            Part("test smooth ECE at T = 1", -1, "fraction", name="smooth ECE"),
            Part("test miscalibration of the isotonic fit at T = 1", -1, "fraction", name="isotonic"),
            Part("test debiased squared calibration error at T = 1", -1, "fraction", name="debiased"),
        ),
        alphas=_ALPHAS_OF_TABLE_3,
    ),
    Claim(
        "L3",
        "smoothing ranks its own errors worse, and normalising logits repairs it",
        (
            Part("test AUGRC by the largest probability", +1, "fraction", name="ranking"),
            Part(
                "test AUGRC of smoothed networks, largest probability − normalised logit", +1, "fraction", name="repair"
            ),
            Part(
                "what normalising takes off AUGRC, with smoothed − with hard targets", +1, "fraction", name="particular"
            ),
        ),
        design=None,
        caveat="The third part holds also where normalising harms both, if it harms more with hard targets.",
    ),
    Claim(
        "L4",
        "a smoothed teacher's student loses more at a high temperature",
        (Part("test accuracy, hard − smoothed teacher's student, at T = 4 − at T = 1, β = 1", +1, "points"),),
        design="paired",
    ),
    Claim(
        "L5",
        "smoothing makes wide beams prefer short translations",
        (
            Part("log of output over reference length, no length penalty", -1, "nats", name="length"),
            Part("BLEU of smoothed networks, rectified − plain probabilities", +1, "BLEU", name="repair"),
            Part("log P(empty) − log P(best)", +1, "nats", name="empty"),
        ),
        design=None,
    ),
    Claim(
        "L6",
        "smoothed features separate classes more and transfer worse",
        (
            Part("class separation R², training", +1, "fraction", name="separation"),
            Part("test accuracy of a linear probe on another data set", -1, "points", name="transfer"),
        ),
    ),
    Claim(
        "L7",
        "MaxSup keeps what smoothing loses",
        (
            Part("test accuracy, MaxSup − smoothed", +1, "points", name="accuracy"),
            Part("mean cosine distance within classes, training, MaxSup − smoothed", +1, "ratio", name="spread"),
            Part(
                "test accuracy of a linear probe on another data set, MaxSup − smoothed", +1, "points", name="transfer"
            ),
        ),
    ),
    Claim(
        "L8",
        "smoothing helps against wrong labels",
        (Part("test accuracy with clean labels after training with a fifth of wrong ones", +1, "points"),),
    ),
    Claim(
        "L9",
        "smoothing takes neural collapse further",
        (
            Part("NC1 at the end, training", -1, "ratio", name="NC1"),
            Part("NC2 of class means at the end, training", -1, "ratio", name="NC2"),
        ),
        caveat="It was reported of networks that make no more errors on their training images.",
    ),
    Claim(
        "L10",
        "smoothing hurts the detection of the unknown",
        (
            Part("AUROC of known against unknown test images by the largest probability", -1, "fraction", name="MSP"),
            Part("AUROC of known against unknown test images by the largest logit", -1, "fraction", name="max logit"),
            Part("AUROC of known against unknown test images by the energy", -1, "fraction", name="energy"),
        ),
    ),
)

LATER = {claim.id: claim for claim in _LATER}
ALL_CLAIMS = CLAIMS | LATER
