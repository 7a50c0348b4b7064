"""Which predictions to trust: what later work found about smoothing and confidence, put to the same test.

Calibration after scaling (L1) and without bins (L2), selective classification (L3), the unknown (L10).
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from lsbook import figures
from lsbook.analysis import selective
from lsbook.chapters import later_findings
from lsbook.chapters.later_findings import (
    answers,
    compared,
    comparisons,
    measured,
    metric,
    network_groups,
    normalisation_gain,
    setting,
    unknown,
)
from lsbook.chapters.shared import claim_tables
from lsbook.chapters.shared.chapter import Chapter, DecidedClaims
from lsbook.chapters.shared.claim_tables import Setting
from lsbook.chapters.shared.comparison import Arm, Comparison
from lsbook.core import registry
from lsbook.core.errors import UserError, brief, real_number, whole_number
from lsbook.core.store import Record
from lsbook.evidence.claims import CONTRADICTED, LATER, REPRODUCED, UNDECIDED
from lsbook.outputs import Figure, Markup, Text

DECIDED = ("L3", "L1", "L2", "L10")
UNKNOWN_SCORES = ("MSP", "max logit", "energy")  # by which the unknown is told, the parts of L10
# (claim, part) -> by verdict a sentence; see `later_findings.answer`.
TEMPLATES = {
    ("L3", "ranking"): {
        REPRODUCED: "On {network} smoothed networks rank their own errors worse: AUGRC {means} ({change}).",
        CONTRADICTED: "On {network} smoothed networks rank their own errors better: AUGRC {means} ({change}).",
        UNDECIDED: "Whether smoothed networks rank their own errors worse is open on {network}: AUGRC {change}.",
    },
    ("L3", "repair"): {
        REPRODUCED: "Dividing the largest logit by the norm of all repairs their ranking by {change}.",
        CONTRADICTED: "Dividing the largest logit by the norm of all makes their ranking worse ({change}).",
        UNDECIDED: "Whether dividing the largest logit by the norm of all repairs their ranking is open ({change}).",
    },
    ("L1", "ECE"): {
        REPRODUCED: "After temperature scaling they are calibrated worse: on {network} ECE {means} ({change}).",
        CONTRADICTED: "After temperature scaling they are calibrated better: on {network} ECE {means} ({change}).",
        UNDECIDED: "Who is calibrated better after temperature scaling is open on {network}: ECE {change}.",
    },
    ("L10", "MSP"): {
        REPRODUCED: "Unknown images are detected worse: on {network} AUROC {means} ({change}).",
        CONTRADICTED: "Unknown images are detected better: on {network} AUROC {means} ({change}).",
        UNDECIDED: "Whether unknown images are detected worse is open on {network}: AUROC {change}.",
    },
}


def measures(comparison: Comparison, claim: str) -> list[Setting]:
    """A claim on a network, in a setting for each factor or unknown data set. NotRecorded without the metrics."""
    make = partial(setting, "trust", comparison)
    hard, smoothed = comparison.reference, comparison.main
    second = next((arm for arm in comparison.arms if arm.alpha == later_findings.SECOND_FACTOR), None)
    parts = [part.name for part in LATER[claim].parts]
    if claim == "L3":
        hard_gain, gain = (arm.values(normalisation_gain) for arm in (hard, smoothed))
        normalised, plain = (smoothed.values(metric(f"test_{of}_augrc")) for of in ("normalised_logit", "msp"))
        return [
            make(
                "",
                [
                    *compared(claim, parts[:1], hard, smoothed),
                    claim_tables.measure_paired(claim, "repair", "repair", normalised, plain),
                    claim_tables.measure(claim, "particular", "particular", hard_gain, gain),
                ],
            )
        ]
    if claim == "L10":
        return [_unknown_setting(comparison, dataset) for dataset in registry.dataset(comparison.network[0]).unknown]
    if claim == "L2":
        arm = second if second and LATER[claim].alpha_on(comparison.network[0]) == second.alpha else smoothed
        return [make("", compared(claim, parts, hard, arm))]
    further = [second] if second and second is not smoothed else []
    found = [make("", compared(claim, parts, hard, smoothed))]
    return found + [make(f", α = {arm.alpha:g}", compared(claim, parts, hard, arm)) for arm in further]


def _unknown_setting(comparison: Comparison, dataset: str) -> Setting:
    """L10 against the test images of one data set."""
    found = compared("L10", UNKNOWN_SCORES, comparison.reference, comparison.main, partial(unknown, dataset))
    return setting("trust", comparison, f" against {registry.title(dataset)}", found)


def settings(profile: str, seeds: str) -> list[Setting]:
    """The networks with their claims, for the scorecard."""
    return measured(comparisons(profile, seeds=seeds), measures, DECIDED)


def in_short(shown: Sequence[Comparison]) -> Text:
    """The chapter's answer."""
    sentences = answers(shown, measured(shown, measures, DECIDED), TEMPLATES, so_far)
    link = Markup("You can [accept and reject predictions yourself](#accept-and-reject).")
    return Text(Markup("**In short.** {}").format(Markup(" ").join([*sentences, link])))


def so_far(comparison: Comparison) -> str:
    """What the recorded seeds of a network show, without a verdict."""
    hard, smoothed = (100 * arm.metric("test_msp_risk_at_coverage").mean() for arm in comparison.arms[:2])
    return (
        f"So far, of the {100 * ACCEPTED:.0f} % of the images that it trusts most, {comparison.title} errs on "
        f"{hard:.1f} % with hard targets, and on {smoothed:.1f} % with α = {comparison.main.alpha:g}."
    )


ACCEPTED = 0.8  # at which the risk is recorded


def risk_over_seeds(arm: Arm, score: str) -> np.ndarray:
    """(S', 100) risk at each hundredth of coverage, of those records of an arm that have a curve.

    Of a record without curves the largest probabilities are taken as they are stored, rounded: equal ones count as
    their mean over all orders.

    score: "msp", "max_logit" or "normalised_logit".
    """
    found = [curve for record in arm.records if (curve := _risk_curve(record, score)) is not None]
    return np.array(found).reshape(-1, 100)


def _risk_curve(record: Record, score: str) -> np.ndarray | None:
    if f"test_{score}_risk" in record.arrays:
        return np.asarray(record.arrays[f"test_{score}_risk"], dtype=float)
    if score != "msp" or "test_confidence" not in record.arrays:
        return None
    risk = selective.risk_coverage(record.arrays["test_confidence"].astype(float), record.arrays["test_hit"])
    accepted = np.maximum(np.round(np.arange(1, 101) * len(risk) / 100).astype(int), 1)
    return risk[accepted - 1]


def risk_figure(shown: Sequence[Comparison]) -> Figure:
    """Risk against coverage of each arm by the largest probability, and of smoothing by the normalised logit too."""
    panels = []
    for comparison in shown:
        curves = [(arm.label, arm.colour, "-", risk_over_seeds(arm, "msp")) for arm in comparison.arms[:3]]
        smoothed = comparison.main
        curves.append(
            (f"{smoothed.label}, normalised", smoothed.colour, "--", risk_over_seeds(smoothed, "normalised_logit"))
        )
        panels.append((comparison.title, [curve for curve in curves if len(curve[-1])]))
    return Figure(partial(figures.risk_figure, panels), [record for each in shown for record in each.records])


def check_choice(accepted: float, p: int) -> None:
    """UserError unless `accepted` is a share above 0 and at most 1, and `p` of the norm a whole number from 1 to 10."""
    if not 0 < real_number("accepted", accepted) <= 1:
        raise UserError(f"accepted must be a share above 0 and at most 1, not {brief(accepted)}")
    whole_number("p", p, 1, 10)


CHAPTER = Chapter("trust", network_groups, DecidedClaims(DECIDED, settings))
