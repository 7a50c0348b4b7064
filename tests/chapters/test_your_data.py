"""The page about somebody's own images: each sentence follows from the numbers, whatever they are."""

import numpy as np
import pytest

from lsbook.chapters import your_data
from lsbook.core.config import Recipe
from lsbook.core.errors import UserError
from lsbook.core.own_images import ImagesRead, Trial, read_trial, write_trial
from lsbook.core.store import Store

READ = ImagesRead(
    dataset="lsbook.data.own_images:insects_0123456789ab",
    title="<b>insects</b>",
    classes=("ant", "bee"),
    counts={"train": (30, 50), "heldout": (10, 10), "test": (20, 20)},
    shape=(1, 32, 32),
    split_by="as they came",
    notes=("1 image left out: unreadable.",),
)
RECIPE = Recipe(steps=10, batch=10)


def trial(alphas=(0.0, 0.05, 0.1), seeds="0-2") -> Trial:
    return Trial(read=READ, network="alexnet", recipe=RECIPE, alphas=alphas, seeds=seeds)


@pytest.fixture
def recorded(put, tmp_path, environment):
    """A function that records a trial, whose metrics change by so much for each 0.1 of α, and gives its study."""
    data = environment["data"] | {"classes": ["ant", "bee"]}

    def record(seeds="0-2", noise=0.001, without=(), **changes: float) -> your_data.Study:
        store, tried = Store(tmp_path / "results"), trial(seeds=seeds)
        for run in your_data.runs(tried):
            steady = {name: 0.2 for name in your_data.MEASURES if name not in without}
            metrics = {
                name: value + 10 * run.alpha * changes.get(name, 0.0) + noise * run.seed
                for name, value in steady.items()
            }
            arrays = {
                "test_msp_risk": np.linspace(0, 0.5, 100, dtype=np.float32),
                **{f"test{scaled}_confidence": np.full(40, 0.75, np.float16) for scaled in ("", "_scaled")},
                **{f"test{scaled}_hit": np.arange(40) % 4 > 0 for scaled in ("", "_scaled")},
            }
            put(store, run, metrics=metrics, arrays=arrays, data=data)
        write_trial(tmp_path / "trial.json", tried)
        return your_data.study(str(tmp_path / "trial.json"), store=store)

    return record


def said(output) -> str:
    return output._repr_mimebundle_()["text/plain"]


def test_accuracy_calibration_and_ranking_are_told_with_intervals(recorded):
    shown = recorded(test_accuracy=0.1, test_ece=-0.1, test_msp_augrc=0.01)
    text = said(your_data.in_short(shown))
    assert "With hard targets 20.1 % of the 40 test images are classified correctly" in text
    assert "the share is higher with α = 0.05 (+5.00 [" in text
    assert "and α = 0.1 (+10.00 [" in text
    assert "lower with α = 0.05 (−0.0500 [" in text
    assert "worse with α = 0.05 (+0.0050 [" in text
    advice = said(your_data.advice(shown))
    assert "smooth by α = 0.1, which gains 10.0 points." in advice
    assert "α = 0.1 lowers the error from 0.201 to 0.101, further than a temperature (0.201)." in advice
    assert "do not smooth by α = 0.05 and α = 0.1" in advice


def test_who_ranks_worse_at_equal_augrc_is_not_advised_for_rejecting(recorded):
    advice = said(your_data.advice(recorded(test_msp_auroc=-0.1)))
    assert "do not smooth by α = 0.05 and α = 0.1: the largest probability tells right from wrong worse" in advice


def test_networks_that_are_always_right_have_no_auroc_and_the_page_goes_without(recorded):
    shown = recorded(without=("test_msp_auroc",), test_msp_augrc=0.01)
    assert "AUROC" not in said(your_data.in_short(shown))
    assert "do not smooth by α = 0.05 and α = 0.1" in said(your_data.advice(shown))
    for table in (your_data.differences_table(shown), your_data.measures_table(shown)):
        assert "AUROC of right against wrong" not in [row[0] for row in table.rows]


def test_what_does_not_differ_clearly_is_open(recorded):
    shown = recorded(noise=0.05, test_accuracy=0.001)
    assert said(your_data.in_short(shown)).count("not clearly different with α = 0.05") == 4
    advice = said(your_data.advice(shown))
    assert "no factor gains clearly" in advice
    assert "nothing shows that smoothing ranks errors worse here" in advice
    assert "take it as it is" in advice
    assert "nothing shows that smoothing ranks errors worse here" in advice


def test_where_every_factor_costs_accuracy_none_is_advised(recorded):
    shown = recorded(test_accuracy=-0.1)
    assert "do not smooth: every factor costs accuracy." in said(your_data.advice(shown))


def test_a_temperature_is_advised_where_it_does_as_much(recorded, put, tmp_path):
    shown = recorded(test_scaled_ece=0.0, test_ece=-0.05)
    for record in shown.comparison.reference.records:
        record.metrics["test_scaled_ece"] = 0.1
    assert "divide the logits by a temperature" in said(your_data.advice(shown))


def test_smoothing_is_not_advised_for_confidence_where_its_gain_may_be_chance(recorded):
    shown = recorded(noise=0.2, test_ece=-0.1)
    assert "not clearly different" in said(your_data.in_short(shown))
    assert "take it as it is" in said(your_data.advice(shown))


def test_two_seeds_are_too_few(recorded):
    shown = recorded(seeds="0-1")
    assert "Too few seeds: 2 of each factor, and an interval needs 3." in said(your_data.in_short(shown))
    assert "20.1 % with α = 0.05 and 20.1 % with α = 0.1" in said(your_data.in_short(shown))
    assert "there will be advice" in said(your_data.advice(shown))
    assert "Too few seeds" in said(your_data.differences_table(shown))
    assert "accuracy (%)" in your_data.measures_table(shown).plain()


def test_only_seeds_that_every_factor_has_are_shown_and_none_is_trained(recorded, tmp_path):
    recorded()
    write_trial(tmp_path / "more.json", trial(seeds="0-5"))
    assert your_data.study(str(tmp_path / "more.json"), store=Store(tmp_path / "results")).seeds == 3
    with pytest.raises(UserError, match="nothing of what is asked is recorded"):
        your_data.study(str(tmp_path / "more.json"), store=Store(tmp_path / "empty"))


def test_what_was_read_is_text(recorded):
    shown = recorded()
    text = said(your_data.images_text(shown))
    assert "80 images to train on (30 to 50 of a class), 20 to fit temperatures on, 40 to test on" in text
    assert "32 × 32 pixels, grey" in text
    assert "1 image left out: unreadable." in text
    assert f"standard error of {100 * np.sqrt(0.201 * 0.799 / 40):.1f} points" in text
    markdown = your_data.introduction(shown)._repr_mimebundle_()["text/markdown"]
    assert "<b>" not in markdown
    assert "&#60;b&#62;" in markdown


def test_figures_have_a_panel_for_each_factor(recorded):
    shown = recorded()
    assert len(your_data.reliability_figure(shown).draw(7.6).axes) == 2 * 4  # scaled beside; histograms below
    assert [len(axes.lines) for axes in your_data.risk_figure(shown).draw(7.6).axes] == [3]
    assert len(your_data.accuracy_figure(shown).draw(7.6).axes) == 2


def test_the_books_own_networks_are_shown_where_no_trial_is_named():
    shown = your_data.study()
    assert not shown.own
    assert shown.read.title == "CIFAR-10"
    assert shown.read.total("train") == 10_000
    assert shown.comparison.reference.records[0].run.seed == 5


@pytest.mark.parametrize("alphas", [(), (0.0,), (0.1, 0.2), (0.0, 0.1, 0.1), (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)])
def test_factors_begin_with_hard_targets_and_are_few(alphas):
    with pytest.raises(UserError, match="alphas must be 0 for hard targets and then one to 4 others below 1"):
        your_data.arms(alphas)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"read": 1}', "\udcff"])
def test_what_is_no_trial_is_one_line(tmp_path, content):
    path = tmp_path / "trial.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"\A[^\n]*is no trial that `lsbook try` has written[^\n]*\Z"):
        read_trial(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_trial(tmp_path / "missing.json")


def test_a_trial_is_read_as_it_was_written(tmp_path):
    write_trial(tmp_path / "new" / "trial.json", trial())
    assert read_trial(tmp_path / "new" / "trial.json") == trial()
