"""Which predictions to trust: what later work found about smoothing and confidence, put to the same test.

Calibration after scaling (L1) and without bins (L2), selective classification (L3), the unknown (L10).
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from lsbook import figures
from lsbook.analysis import selective
from lsbook.analysis.statistics import welch_interval
from lsbook.chapters import later_findings
from lsbook.chapters.later_findings import (
    Statement,
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
from lsbook.chapters.shared import captions, claim_tables
from lsbook.chapters.shared.chapter import Chapter, DecidedClaims
from lsbook.chapters.shared.claim_tables import Setting
from lsbook.chapters.shared.comparison import Arm, Comparison
from lsbook.core import registry
from lsbook.core.errors import UserError, brief, real_number, whole_number
from lsbook.core.store import Record
from lsbook.core.wording import listed
from lsbook.evidence.claims import LATER, LEAST_SEEDS
from lsbook.outputs import Figure, Markup, Table, Text, cell_frame

DECIDED = ("L3", "L1", "L2", "L10")
# By which the unknown is told: the parts of L10.
UNKNOWN_SCORES = {"max logit": "the largest logit", "energy": "the energy", "MSP": "the largest probability"}
# (claim, part) -> what may have come of it, in the order in which it is said.
STATEMENTS = {
    ("L3", "ranking"): Statement(
        "smoothed networks know less well when they are wrong, by the measure chosen beforehand,",
        "smoothed networks know better when they are wrong, by the measure chosen beforehand,",
        "AUGRC {first} → {second}",
    ),
    ("L3", "repair"): Statement(
        "ranking by the normalised logit in place of the largest probability repairs that",
        "ranking by the normalised logit in place of the largest probability makes that worse",
        "AUGRC {second} → {first}",
    ),
    ("L1", "ECE"): Statement(
        "after temperature scaling smoothed networks are calibrated worse",
        "after temperature scaling smoothed networks are calibrated better",
        "ECE {first} → {second}",
    ),
    ("L1", "NLL"): Statement(
        "their negative log-likelihood is higher then",
        "their negative log-likelihood is lower then",
        "{first} → {second} nats",
    ),
    **{
        ("L10", part): Statement(
            f"smoothed networks detect unknown images worse by {score}",
            f"smoothed networks detect unknown images better by {score}",
            "AUROC {first} → {second}",
        )
        for part, score in UNKNOWN_SCORES.items()
        if part != "energy"  # which ranks nearly as the largest logit does
    },
}
# Metric -> what it is called in the table of the ranking.
RANKING = {
    "test_msp_augrc": "AUGRC",
    "test_msp_aurc": "AURC, the mean risk",
    "test_msp_auroc": "AUROC of right against wrong",
    "test_msp_coverage_at_risk": "coverage at 5 % risk",
    "test_msp_risk_at_coverage": "risk at 80 % coverage",
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
    found = compared("L10", [*UNKNOWN_SCORES], comparison.reference, comparison.main, partial(unknown, dataset))
    return setting("trust", comparison, f" against {registry.short_title(dataset)}", found)


def settings(profile: str, seeds: str) -> list[Setting]:
    """The networks with their claims, for the scorecard."""
    return measured(comparisons(profile, seeds=seeds), measures, DECIDED)


def in_short(shown: Sequence[Comparison]) -> Text:
    """The chapter's answer."""
    sentences = answers(shown, measured(shown, measures, DECIDED), STATEMENTS, so_far)
    sentences[1:1] = _ranking_without_accuracy(shown)
    link = Markup("You can [accept and reject predictions yourself](#accept-and-reject).")
    return captions.short_answer(sentences, link)


def _ranking_without_accuracy(shown: Sequence[Comparison]) -> list[str]:
    """A sentence on the ranking apart from the accuracy, which also lowers AUGRC; none where it is not recorded."""
    said: dict[str, list[str]] = {}
    auroc = "test_msp_auroc"
    for comparison in shown:
        hard, smoothed = comparison.arms[:2]
        if len(hard.records) < LEAST_SEEDS or not _has(comparison, auroc):
            continue
        before, after = hard.metric(auroc), smoothed.metric(auroc)
        change = welch_interval(before, after)
        verdict = "worse" if change.high < 0 else "better" if change.low > 0 else "neither clearly better nor worse"
        said.setdefault(verdict, []).append(f"on {comparison.title} ({before.mean():.3f} → {after.mean():.3f})")
    found = "; ".join(f"{verdict} {listed(where)}" for verdict, where in said.items())
    return [f"By AUROC, which accuracy does not enter but no rule was fixed for, they know it {found}."] if said else []


def _has(comparison: Comparison, metric: str) -> bool:
    """Whether every hard and smoothed network was measured by it."""
    return all(metric in record.metrics for arm in comparison.arms[:2] for record in arm.records)


def ranking_table(shown: Sequence[Comparison]) -> Table:
    """How hard and smoothed networks rank their own errors, by every recorded measure, those of no claim among them."""
    rows = [
        (comparison.title, title, *(captions.three_digits(arm.mean()) for arm in both), captions.difference(*both))
        for comparison in shown
        for metric, title in RANKING.items()
        if _has(comparison, metric)
        for both in [[arm.metric(metric) for arm in comparison.arms[:2]]]
    ]
    return Table(
        "table-ranking",
        f"Ranking by the largest probability, hard targets against α = {shown[0].main.alpha:g}: means over the seeds, "
        "and the difference with its 95 % Welch interval. AUROC is the ranking alone; the others also change with "
        "accuracy. Only AUGRC was fixed beforehand to decide.",
        cell_frame(("network", "measure", "hard", "smoothed", "difference"), rows),
        [record for comparison in shown for arm in comparison.arms[:2] for record in arm.records],
    )


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
    return selective.risk_by_hundredths(record.arrays["test_confidence"].astype(float), record.arrays["test_hit"])


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
