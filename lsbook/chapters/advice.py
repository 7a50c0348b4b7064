"""What to do, by what was found: rules that choose a sentence for each situation of a reader's."""

from collections.abc import Sequence
from typing import NamedTuple

from lsbook.analysis.statistics import welch_interval
from lsbook.chapters import calibration, calibration_details, distillation
from lsbook.chapters.findings import Finding
from lsbook.chapters.later_findings import has_all_seeds
from lsbook.chapters.shared import captions
from lsbook.chapters.topics import PAPER_PROFILE, network_name
from lsbook.core.registry import short_title
from lsbook.core.wording import counted, listed
from lsbook.evidence.claims import CONTRADICTED, NOT_TESTED, REPRODUCED, UNDECIDED


class Advice(NamedTuple):
    """A row of the decision table. because: with its numbers; page: the chapter that has the evidence."""

    situation: str
    advice: str
    because: str
    page: str


class Situation(NamedTuple):
    """A situation of which a part of a later finding decides what to do.

    advice: by the verdict; an open one decides nothing. quantity: that the differences are of; page: with the evidence.
    """

    claim: str
    part: str
    situation: str
    advice: dict[str, str]
    quantity: str
    page: str


_HARM = {REPRODUCED: "Leave it out", CONTRADICTED: "Smooth"}  # where later work found that smoothing harms
LATER_SITUATIONS = (
    Situation(
        "L8",
        "",
        "A share of the labels is wrong, any wrong class alike",
        {REPRODUCED: "Smooth", CONTRADICTED: "Leave it out"},
        "Test accuracy in points",
        "conditions",
    ),
    Situation(
        "L3",
        "ranking",
        "You reject what the network is unsure of",
        _HARM,
        "Errors among what is accepted (AUGRC)",
        "trust",
    ),
    Situation(
        "L6",
        "transfer",
        "Its features will serve another task",
        _HARM,
        "Accuracy of a linear probe in points",
        "features",
    ),
)


def advice(findings: Sequence[Finding], study: calibration.Study, taught: distillation.Study) -> list[Advice]:
    """What to do in each situation, by what was found; where nothing is tested there is no advice.

    findings: those of later work, too; study: for calibration by length of training; taught: for students by
    temperature.
    """
    rows = (
        _for_accuracy(findings),
        _with_held_out_data(findings),
        _without_held_out_data(findings, study),
        _when_not_overconfident(findings, study),
        _for_translation(findings),
        _for_teaching(taught),
        *(_by_later_work(findings, situation) for situation in LATER_SITUATIONS),
    )
    return [row for row in rows if row]


def _tested(findings: Sequence[Finding], claim: str, part: str = "") -> list[Finding]:
    """The tested ones of a part of a claim, the paper's protocol first, then by seeds."""
    found = [f for f in findings if (f.verdict.claim, f.verdict.part) == (claim, part)]
    tested = [f for f in found if f.verdict.verdict != NOT_TESTED]
    return sorted(tested, key=lambda f: (f.profile != PAPER_PROFILE, -f.verdict.seeds))


def _change_on(finding: Finding) -> str:
    return f"{captions.signed(*finding.change)} on {network_name(finding.network)}"


def _for_accuracy(findings: Sequence[Finding]) -> Advice | None:
    tested = _tested(findings, "C1")
    if not tested:
        return None
    gains = [f for f in tested if f.change.low > 0]
    losses = [f for f in tested if f.change.high < 0]
    if gains and not losses:
        networks = counted(len(tested), "network")
        if len(gains) == len(tested):
            advice = f"Try {gains[0].conditions}: accuracy rose on all {networks}"
        else:
            seen = f"accuracy rose clearly on {len(gains)} of {networks}, and fell clearly on none"
            advice = f"Try {gains[0].conditions}, and expect little: {seen}"
    elif gains:
        advice = f"Try it, and compare: it gained on {len(gains)} and lost on {len(losses)} of {len(tested)} networks"
    elif losses:
        advice = f"Leave it out: it lost on {len(losses)} of {counted(len(tested), 'network')}, and gained on none"
    else:
        advice = "Do not expect a difference: none was seen"
    because = f"Test accuracy in points: {'; '.join(map(_change_on, tested))}."
    return Advice("You want accuracy, and nothing else", advice, because, "projections")


def _errors(findings: Sequence[Finding]) -> list[tuple[Finding, float, float, float]]:
    """List the mean calibration errors, hard, smoothed and hard scaled, of each network with C7 and C6 or C9."""
    scaled = {(f.network, f.profile): f.measure.first.mean() for f in _tested(findings, "C7")}
    return [
        (f, f.measure.first.mean(), f.measure.second.mean(), scaled[f.network, f.profile])
        for f in (*_tested(findings, "C6"), *_tested(findings, "C9"))
        if (f.network, f.profile) in scaled
    ]


def _with_held_out_data(findings: Sequence[Finding]) -> Advice | None:
    found = _errors(findings)
    if not found:
        return None
    better = [scaled < smoothed for _, _, smoothed, scaled in found]
    if all(better):
        advice = "Fit a temperature; no smoothing is needed for it"
    elif any(better):
        advice = f"Fit a temperature: it was better than smoothing on {sum(better)} of {len(better)} networks"
    else:
        advice = "Smooth: a fitted temperature was no better on any network"
    finding, hard, smoothed, scaled = found[0]
    because = (
        f"Calibration error on {network_name(finding.network)}: {hard:.3f} with hard targets, {smoothed:.3f} smoothed "
        f"({finding.conditions}), {scaled:.3f} with hard targets and a fitted temperature."
    )
    return Advice("You use the probabilities, and have held-out data", advice, because, "calibration")


def _without_held_out_data(findings: Sequence[Finding], study: calibration.Study) -> Advice | None:
    helped = [f for f in _tested(findings, "C6") if f.verdict.verdict == REPRODUCED]
    if not helped:
        return None
    errors = [
        f"{f.measure.first.mean():.3f} → {f.measure.second.mean():.3f} on {network_name(f.network)}, {f.conditions}"
        for f in helped
    ]
    return Advice(
        "You use the probabilities, hard targets make the network overconfident, and nothing is held out",
        "Smooth",
        f"Calibration error: {'; '.join(errors)}. {_with_other_factors(helped, study)}".strip(),
        "calibration",
    )


def _with_other_factors(helped: Sequence[Finding], study: calibration.Study) -> str:
    """The errors with a further factor that is recorded for all these networks, where there is one."""
    sweeps = [sweep for sweep in study.sweeps for f in helped if f.network == sweep.network]
    others = [{arm.alpha: arm for arm in sweep.factors if arm.alpha not in (0.0, sweep.alpha)} for sweep in sweeps]
    shared = sorted(set.intersection(*map(set, others))) if len(others) == len(helped) else []
    if not shared:
        return ""
    errors = [f"{calibration.ece(arms[shared[0]], study.n_bins).mean():.3f}" for arms in others]
    return f"The factor was fixed beforehand: with α = {shared[0]:g} the error is {listed(errors)}."


def _when_not_overconfident(findings: Sequence[Finding], study: calibration.Study) -> Advice | None:
    harmed = [_change_on(f) for f in _tested(findings, "C6") if f.verdict.verdict == CONTRADICTED]
    for length in calibration_details.lengths(study):
        hard, smoothed, *_ = (arm.values for arm in length.arms)
        if min(len(hard), len(smoothed)) > 1:
            change = welch_interval(hard, smoothed)
            if change.low > 0:
                trained = f"after {length.epochs:.0f} epochs of {length.images:,} images"
                harmed.append(f"{captions.signed(*change)} on {network_name(study.lengths[0].network)} {trained}")
    if not harmed:
        return None
    because = f"Smoothing overshoots there: it changes the calibration error by {'; '.join(harmed)}."
    return Advice(
        "You use the probabilities, and hard targets hardly make the network overconfident: few epochs for many "
        "images, or an easy task",
        "Leave it out",
        because,
        "calibration",
    )


def _for_translation(findings: Sequence[Finding]) -> Advice | None:
    tested = _tested(findings, "C10")
    if not tested:
        return None
    advice = {
        REPRODUCED: f"Smooth, {tested[0].conditions}",
        UNDECIDED: "Try both: a gain beyond a temperature’s is not decided",
        CONTRADICTED: "Fit a temperature instead",
    }[tested[0].verdict.verdict]
    because = f"BLEU, each network at its best temperature: {'; '.join(map(_change_on, tested))}."
    return Advice("You translate", advice, because, "machine_translation")


def _for_teaching(taught: distillation.Study) -> Advice | None:
    """Advise by the temperatures at which the smoothed teacher's student makes more errors."""
    changes = distillation.mnist.student_differences(taught.mnist)
    if not changes:
        return None
    data = short_title(taught.mnist.plan.dataset)
    harmful = [t for t, change in changes.items() if change.low > 0]
    if not harmful:
        advice = "Smooth the teacher or not: no harm was seen at any temperature"
    elif len(harmful) == len(changes):
        advice = "Do not smooth the teacher"
    else:
        from_there_on = harmful == [t for t in changes if t >= harmful[0]]
        at = f"{harmful[0]:g} or more" if from_there_on else listed([f"{t:g}" for t in harmful])
        advice = f"Do not smooth the teacher if the temperature T is {at} (seen on {data})"
    because = "; ".join(f"{captions.signed(*change)} points at T = {t:g}" for t, change in changes.items())
    because = (
        f"Test error of the student on {data}, smoothed teacher − hard, on the seeds recorded at every T: {because}."
    )
    return Advice("The network will teach another", advice, because, "distillation")


def _by_later_work(findings: Sequence[Finding], situation: Situation) -> Advice | None:
    """Advise where every network with all its planned seeds gives one verdict."""
    found = [f for f in _tested(findings, situation.claim, situation.part) if has_all_seeds(f)]
    verdicts = {f.verdict.verdict for f in found}
    if len(verdicts) != 1 or not verdicts <= situation.advice.keys():
        return None
    because = f"{situation.quantity}: {'; '.join(map(_change_on, found))}."
    return Advice(situation.situation, situation.advice[verdicts.pop()], because, situation.page)
