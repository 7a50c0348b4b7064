import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from lsbook.evidence.claims import CLAIMS, LATER, Verdict, combine, decide, decide_paired

SWEEPS = 1000


def simulate(claim, effect, n_seeds=5, part="", n_test=0):
    """Verdicts of many sweeps whose arms differ by `effect`, in standard deviations of a run."""
    rng = np.random.default_rng(0)
    arms = rng.normal(size=(SWEEPS, 2, n_seeds)) + [[0], [effect]]
    return Counter(decide(CLAIMS[claim], *pair, part=part, n_test=n_test).verdict for pair in arms)


def test_signs_and_margins():
    signs = {id: "".join("+" if part.sign > 0 else "-" for part in claim.parts) for id, claim in CLAIMS.items()}
    expected = [*"+-+-+--+-+", "++", "-+", *"+++", "-+", "-", "--", *"++"]
    assert signs == {f"C{number}": sign for number, sign in enumerate(expected, start=1)}
    margins = {id: part.margin for id, claim in CLAIMS.items() for part in claim.parts if part.margin}
    assert margins == {"C1": 0.5, "C7": 0.02}


def test_every_claim_says_what_is_measured():
    for id, claim in CLAIMS.items():
        assert claim.id == id
        assert claim.text
        assert all(part.quantity and part.units and part.sign in (1, -1) for part in claim.parts)
        assert len({part.name for part in claim.parts}) == len(claim.parts)


def test_alpha_is_fixed():
    fixed = {id: claim.alpha_on("cifar10") for id, claim in CLAIMS.items()}
    assert {id for id, alpha in fixed.items() if alpha == 0.05} == {"C6", "C7"}
    assert {alpha for id, alpha in fixed.items() if id not in ("C6", "C7")} == {0.1}
    assert CLAIMS["C6"].alpha_on("tiny-imagenet-32") == 0.05
    assert CLAIMS["C7"].alpha_on("mnist") == 0.1
    assert {LATER[id].alpha_on("cifar10") for id in ("L1", "L2")} == {0.1, 0.05}


def test_a_data_set_that_somebody_adds_has_the_usual_factor_whatever_its_name():
    assert CLAIMS["C6"].alpha_on("cifar10.1") == 0.1


@pytest.mark.parametrize(("claim", "part", "sign"), [("C3", "", 1), ("C2", "", -1), ("C12", "teacher", -1)])
def test_large_effects_are_decided(claim, part, sign):
    assert simulate(claim, 10 * sign, part=part) == {"reproduced": SWEEPS}
    assert simulate(claim, -10 * sign, part=part) == {"contradicted": SWEEPS}


def test_without_effect_one_verdict_in_twenty_is_false():
    found = simulate("C3", 0)
    assert 0.03 < (found["reproduced"] + found["contradicted"]) / SWEEPS < 0.07
    assert found["undecided"] > 0.93 * SWEEPS
    assert min(found["reproduced"], found["contradicted"]) > 0.01 * SWEEPS


def test_pairs_without_effect_give_one_false_verdict_in_twenty():
    differences = np.random.default_rng(0).normal(size=(SWEEPS, 5))
    found = Counter(decide_paired(CLAIMS["C20"], row).verdict for row in differences)
    assert 0.03 < (SWEEPS - found["undecided"]) / SWEEPS < 0.07


def test_pairs_with_an_effect_are_decided():
    noise = np.random.default_rng(0).normal(size=5)
    assert decide_paired(CLAIMS["C20"], noise + 10).verdict == "reproduced"
    assert decide_paired(CLAIMS["C20"], noise - 10).verdict == "contradicted"


def test_a_margin_forgives_a_small_loss():
    noise = np.array([-0.01, 0, 0.01])
    verdicts = [decide(CLAIMS["C1"], 90 + noise, 90 + d + noise).verdict for d in (0.3, -0.3, -0.5, -0.7)]
    assert verdicts == ["reproduced", "reproduced", "undecided", "contradicted"]


def test_the_margin_of_a_falling_quantity_is_above_it():
    noise = np.array([-0.001, 0, 0.001])
    verdicts = [decide(CLAIMS["C7"], 0.02 + noise, 0.02 + d + noise, n_test=10_000).verdict for d in (0.01, 0.02, 0.03)]
    assert verdicts == ["reproduced", "undecided", "contradicted"]


def test_interval_is_welch_in_the_claimed_direction():
    hard, smoothed = [0.21, 0.19, 0.2], [0.05, 0.08, 0.02, 0.04]
    expected = stats.ttest_ind(hard, smoothed, equal_var=False).confidence_interval()
    found = decide(CLAIMS["C6"], hard, smoothed)
    assert found[2:5] == pytest.approx((0.2 - 0.19 / 4, expected.low, expected.high))
    assert found.seeds == 3
    assert found.verdict == "reproduced"


def test_arms_without_variance_are_decided_by_their_difference():
    assert decide(CLAIMS["C3"], [1, 1, 1], [2, 2, 2]).verdict == "reproduced"
    assert decide(CLAIMS["C3"], [2, 2, 2], [2, 2, 2]).verdict == "undecided"
    assert decide(CLAIMS["C3"], [2, 2, 2], [1, 1, 1]).verdict == "contradicted"


def test_fewer_than_three_seeds_are_no_test():
    assert simulate("C3", 10, n_seeds=2) == {"not tested": SWEEPS}
    assert simulate("C3", 10, n_seeds=3)["not tested"] == 0
    found = decide(CLAIMS["C3"], [1, 2, 3], [9, 9])
    assert (found.verdict, found.seeds, math.isnan(found.mean)) == ("not tested", 2, True)
    assert decide(CLAIMS["C3"], [], []).verdict == "not tested"
    assert decide_paired(CLAIMS["C20"], [5, 6]).verdict == "not tested"


def test_calibration_is_compared_on_ten_thousand_examples_only():
    arms = CLAIMS["C7"], [0.02, 0.021, 0.022], [0.02, 0.021, 0.022]
    assert [decide(*arms, n_test=n).verdict for n in (0, 9_999, 10_000)] == ["not tested", "not tested", "reproduced"]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("reproduced", "reproduced"), "reproduced"),
        (("reproduced", "undecided"), "undecided"),
        (("undecided", "not tested"), "not tested"),
        (("reproduced", "not tested"), "not tested"),
        (("contradicted", "reproduced"), "mixed"),
        (("contradicted", "undecided"), "contradicted"),
        (("not tested", "contradicted"), "contradicted"),
    ],
)
def test_parts_are_combined(parts, expected):
    teacher, student = (
        Verdict("C12", verdict, 1, 0, 2, n_seeds, part)
        for part, verdict, n_seeds in zip(("teacher", "student"), parts, (5, 4), strict=True)
    )
    found = combine([student, teacher])
    assert (found.claim, found.verdict, found.seeds, found.part) == ("C12", expected, 4, "")


def test_a_claim_of_one_part_is_its_part():
    assert combine([decide(CLAIMS["C3"], [1, 1, 1], [2, 2, 2])]).verdict == "reproduced"


TEACHER = Verdict("C12", "reproduced", 1, 0, 2, 5, "teacher")


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("first", lambda: decide(CLAIMS["C1"], [math.nan], [1, 2, 3])),
        ("second", lambda: decide(CLAIMS["C1"], [1, 2, 3], [1, 2, math.nan])),
        ("differences", lambda: decide_paired(CLAIMS["C20"], [math.nan])),
        ("part", lambda: decide(CLAIMS["C12"], [1, 2, 3], [1, 2, 3])),
        ("part", lambda: decide(CLAIMS["C12"], [1, 2, 3], [1, 2, 3], part="pupil")),
        ("claim", lambda: decide(CLAIMS["C20"], [1, 2, 3], [1, 2, 3])),
        ("claim", lambda: decide_paired(CLAIMS["C1"], [1, 2, 3])),
        ("verdicts", lambda: combine([])),
        ("verdicts", lambda: combine([TEACHER])),
        ("verdicts", lambda: combine([TEACHER, TEACHER])),
        ("verdicts", lambda: combine([TEACHER, Verdict("C11", "reproduced", 1, 0, 2, 5, "student")])),
    ],
)
def test_bad_input_names_the_argument(argument, call):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()
