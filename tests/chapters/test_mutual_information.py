"""The chapter's figure and claim, on records whose information is known."""

import math
from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure

from lsbook import figures
from lsbook.analysis.information import bracket, information_by_own_variances
from lsbook.chapters import mutual_information
from lsbook.chapters.shared import captions
from lsbook.chapters.shared.comparison import Comparison, smoothing_arm
from lsbook.core.errors import UserError
from lsbook.core.paths import project_root
from lsbook.core.store import Store
from lsbook.evidence import claims
from lsbook.figures import curves

N, VIEWS = 40, 10
CLASSES = 10
PAIRS = list(combinations(range(CLASSES), 2))
CAT_DOG = PAIRS.index((3, 5))
BIAS = 0.5 * math.log(VIEWS / (VIEWS - 1))


def differences(collapsed: bool, seed: int) -> np.ndarray:
    """(3, N, VIEWS): noise at first, then every example apart, at last apart or in two clusters."""
    noise = np.random.default_rng(seed).standard_normal((3, N, VIEWS))
    apart = 50.0 * np.arange(N)[:, None]
    end = np.repeat([-50.0, 50.0], N // 2)[:, None] if collapsed else apart
    return noise + np.stack([np.zeros((N, 1)), apart, end])


def estimates(samples: np.ndarray) -> np.ndarray:
    """(3, 2, 2): at each point, from 2 and from all views, both estimates."""
    return np.array([[bracket(one[:, :views]) for views in (2, VIEWS)] for one in samples])


@pytest.fixture(scope="module")
def store(tmp_path_factory, put) -> Store:
    """In the store every pair has the information of the first one, but cats and dogs a nat less on training images."""
    store = Store(tmp_path_factory.mktemp("results"))
    for seed in range(3):
        for alpha in (0.0, 0.1):
            samples = differences(alpha > 0, seed)
            information = np.repeat(estimates(samples)[:, None], len(PAIRS), axis=1).astype(np.float32)
            arrays = {
                "probe_steps": np.array([1, 10, 100]),
                "probe_pairs": np.array(PAIRS),
                "probe_views": np.array([2, VIEWS]),
                "probe_reaches": np.array([0, 1]),
            }
            for split in ("train", "heldout"):
                arrays[f"{split}_examples"] = np.full(CLASSES, N // 2)
                arrays[f"{split}_differences"] = samples
                arrays[f"{split}_information"] = information.copy()
                arrays[f"{split}_weaker_information"] = information[-1] + np.array([0.5, 0.25])[:, None, None, None]
            arrays["train_information"][:, CAT_DOG] -= 1
            run = mutual_information.run("laptop", smoothing_arm(alpha), seed)
            put(store, run, arrays=arrays, metrics={"train_accuracy": 0.87})
    return store


@pytest.fixture
def rows(store, monkeypatch) -> list[mutual_information.Shown]:
    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    return mutual_information.shown()


@pytest.fixture
def comparison(rows) -> Comparison:
    [row] = rows  # of the profile's two networks one is recorded
    return row.comparison


def test_every_profile_records_the_probe():
    for profile, networks in mutual_information.NETWORKS.items():
        runs = [run for group in mutual_information.groups(profile) for run in group.runs(0).values()]
        assert [(run.dataset, run.model) for run in runs[::2]] == [network[:2] for network in networks]
        assert {run.measured for run in runs} == {"logit-differences"}


def test_the_trajectories_are_those_of_the_data(rows):
    [(_, pair, (train, heldout))] = rows
    assert pair == (0, 1)
    assert (train.examples, train.views) == (N, VIEWS)
    assert heldout.title == f"ResNet-56, CIFAR-10\nheld-out images, N = {N}"
    hard, smoothed = train.trajectories
    assert hard.steps.tolist() == [1, 10, 100]
    for arm, end in ((hard, math.log(N)), (smoothed, math.log(2))):
        np.testing.assert_allclose(arm.midpoint[:, 0], 0, atol=0.03)
        np.testing.assert_allclose(arm.midpoint[:, 1], math.log(N), atol=1e-6)
        np.testing.assert_allclose(arm.midpoint[:, 2], end, atol=0.03)
    np.testing.assert_allclose(smoothed.plug_in[:, 2] - smoothed.leave_one_out[:, 2], 2 * BIAS, atol=0.03)


def test_the_claim_is_decided_from_the_middle(rows):
    [setting] = mutual_information.measured(rows)
    measures = setting.measures
    assert [m.verdict.verdict for m in measures] == [claims.REPRODUCED] * 2
    np.testing.assert_allclose(measures[1].second, math.log(N / 2), atol=0.03)
    np.testing.assert_allclose(measures[1].first, 0, atol=1e-6)


def test_what_it_depends_on_is_measured_from_the_views_counted(rows):
    table = mutual_information.dependence_table(rows)
    named = [("2", "any"), ("10", "any"), ("10", "1"), ("10", "0")]
    assert [row[:3] for row in table.rows[1:5]] == [("training", *name) for name in named]
    assert len(table.rows) == 1 + 2 * len(named)
    hard, smoothed = (
        [record.arrays["train_differences"][..., :2] for record in arm.records] for arm in rows[0].comparison.arms
    )
    ends = [np.mean([bracket(one[-1]).plug_in for one in arm]) for arm in (hard, smoothed)]
    assert table.rows[1][3] == f"{ends[0]:.2f}\xa0→\xa0{ends[1]:.2f}"
    middles = np.array([[bracket(x).midpoint for x in one] for one in smoothed])
    assert table.rows[1][6].endswith(f"→\xa0{np.mean(middles.max(axis=1) - middles[:, -1]):.2f}")
    end = rows[0].panels[0].trajectories[1].midpoint[:, -1].mean()
    assert table.rows[2][5] == f"{math.log(N):.2f}\xa0→\xa0{end:.2f}"
    assert table.rows[3][5:] == (f"{math.log(N) + 0.25:.2f}\xa0→\xa0{end + 0.25:.2f}", "—")


def test_the_text_quotes_what_was_measured(rows):
    numbers = mutual_information.numbers(rows)
    assert numbers["fitted"] == "87 % (ResNet-56)"
    assert numbers["hard_unmoved"] == pytest.approx(math.log(N) + 0.5)
    least, most = map(float, numbers["hard_noise"].split(" and "))
    assert 0.5 < least < 1 < most < 1.5
    hard, smoothed = (
        [information_by_own_variances(r.arrays["train_differences"][-1]) for r in arm.records]
        for arm in rows[0].comparison.arms
    )
    assert numbers["own_variances"] == f"{captions.difference(np.array(hard), np.array(smoothed))} nats on ResNet-56"
    assert numbers["followed"] == "airplane and automobile"
    assert numbers["dependence"] == "In every row smoothed networks end lower."
    assert [numbers[name] for name in ("pairs", "pairs_end", "pairs_fall")] == ["45"] * 3
    assert numbers["least_forgotten"] == "airplane and automobile"


def test_other_classes_are_followed_along_the_training(store, monkeypatch):
    """Named in any order; the figure, the table and the claims are theirs."""
    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    [paper] = mutual_information.shown()
    [other] = mutual_information.shown(classes="dog, cat")
    assert other.pair == (3, 5)
    for mine, theirs, less in zip(other.panels, paper.panels, (1, 0), strict=True):
        for one, reference in zip(mine.trajectories, theirs.trajectories, strict=True):
            np.testing.assert_allclose(one.midpoint, reference.midpoint - less, atol=1e-5)
    assert mutual_information.numbers([other])["followed"] == "cat and dog"
    assert mutual_information.dependence_table([other]).rows != mutual_information.dependence_table([paper]).rows


def test_every_pair_at_the_end(comparison):
    """Means over the seeds."""
    found = mutual_information.all_pairs(comparison)
    assert found.lower.sum() == found.falls.sum() == CLASSES * (CLASSES - 1)
    for values, arm in zip(found[:2], comparison.arms, strict=True):
        assert np.isnan(np.diag(values)).all()
        np.testing.assert_array_equal(values, values.T)
        end = np.mean([bracket(record.arrays["train_differences"][-1]).midpoint for record in arm.records])
        assert values[0, 1] == pytest.approx(end, abs=1e-5)
        assert values[3, 5] == pytest.approx(end - 1, abs=1e-5)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("cat,cat", "expected 2 different names, each a class of CIFAR-10, not 'cat,cat'"),
        ("cat", "expected 2 different names"),
        ("cat,dog,ship", "expected 2 different names"),
        ("cat,cow", "unknown class of CIFAR-10 'cow'"),
    ],
)
@pytest.mark.parametrize("profile", ["auto", "laptop"])
def test_a_pair_is_two_different_classes(profile, classes, message, monkeypatch, tmp_path):
    """Refused before anything is trained: nothing is recorded here."""
    monkeypatch.setenv("LSBOOK_RESULTS", str(tmp_path))
    with pytest.raises(UserError, match=message):
        mutual_information.shown(profile, classes=classes)


def test_the_bias_study_brackets_the_truth():
    found = mutual_information.bias()
    for views, known in ((2, 0.5 * math.log(2)), (10, BIAS)):
        assert found.plug_in[views][0] - found.truth[0] == pytest.approx(known, abs=0.04)
    assert (np.diff(found.truth) > 0).all()
    assert found.truth[-1] < math.log(mutual_information.EXAMPLES)
    for views in (10, 30):
        assert (found.leave_one_out[views] < found.truth).all()
        assert (found.truth < found.plug_in[views]).all()
        middle = (found.plug_in[views] + found.leave_one_out[views]) / 2
        np.testing.assert_allclose(middle, found.truth, atol=0.02)


def test_figures_draw_what_was_measured(rows, comparison):
    train = rows[0].panels[0]
    panel, _ = figures.information_figure([rows[0].panels]).axes
    np.testing.assert_allclose(panel.lines[0].get_ydata(), train.trajectories[0].midpoint.mean(axis=0))
    hard, smoothed = train.trajectories
    band = panel.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((hard.midpoint.min(), hard.midpoint.max()))
    [[_, low], [_, high]] = panel.containers[1].lines[2][0].get_segments()[0]
    assert (low, high) == pytest.approx((smoothed.leave_one_out[:, -1].mean(), smoothed.plug_in[:, -1].mean()))
    assert [text.get_text().strip() for text in panel.texts] == ["log N", "log 2"]
    many = curves.draw_information(Figure().subplots(), train._replace(examples=10_000))
    assert many.texts[0].get_text() == " log N = 9.21 ↑"
    assert many.texts[0].get_position()[1] < many.get_ylim()[1] < 9
    bias = mutual_information.bias()
    first = figures.bias_figure(bias).axes[0]
    np.testing.assert_allclose(first.lines[0].get_ydata(), bias.plug_in[2] - bias.truth)
    found = mutual_information.all_pairs(comparison)
    lower = np.triu(found.lower)
    axes, _ = figures.pairs_figure(found.smoothed - found.hard, lower, tuple("abcdefghij")).axes
    np.testing.assert_array_equal(axes.images[0].get_array().filled(np.nan), found.smoothed - found.hard)
    assert {tuple(dot) for dot in axes.lines[0].get_xydata()} == set(zip(*np.nonzero(lower)[::-1], strict=True))


SEEDS = np.array([0.0, 0.01, 0.02])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            -0.2,
            "As in the paper, smoothed networks end with less information about which image they see. On X a logit "
            "difference tells 0.81 nats about which training image it is from with smoothed targets and 1.01 with hard "
            "ones, where the class alone is 0.69; on Y 0.81 and 1.01.",
        ),
        (0.2, "Contrary to the paper, smoothed networks do not always end with less information. On X a logit"),
        (0.0, "Whether smoothed networks end with less information is open. On X a logit difference tells 1.01 nats"),
    ],
)
def test_the_sentence_on_the_end(change, sentence):
    ends = [(name, 1 + SEEDS, 1 + change + SEEDS) for name in "XY"]
    assert mutual_information.end_sentence(ends).replace("\N{NO-BREAK SPACE}", " ").startswith(sentence)


def test_sentences_on_falls_and_held_out_images_and_rows():
    assert mutual_information.fall_sentence([("X", 0.04, 0.19), ("Y", 0.0, 0.08)]) == (
        "From a run’s highest point to its end the information falls by 0.19 (X) and 0.08 (Y) nats with smoothed "
        "targets, and by 0.04 (X) and 0.00 (Y) with hard ones; the paper reports a late fall of both."
    )
    train, heldout = (1 + SEEDS, 0.6 + SEEDS), (1 + SEEDS, 0.8 + SEEDS)
    lost = mutual_information.heldout_sentence([("X", train, heldout), ("Y", heldout, heldout)])
    assert lost == (
        "On held-out images, of which a network has no memory, smoothed ones end lower as well: the difference is "
        "50 % (X) and 100 % (Y) of that on training images."
    )
    single = (1 + SEEDS[:1], 0.8 + SEEDS[:1])
    assert mutual_information.heldout_sentence([("X", train, heldout), ("Y", single, single)]) == (
        f"About held-out images the difference is {captions.difference(*heldout)} on X and −0.2 on Y."
    )
    assert mutual_information.dependence_sentence([(1.0, 0.5), (1.0, 1.5)]) == (
        "In 1 of 2 rows smoothed networks end lower."
    )


def test_the_answer_is_of_what_was_measured(rows):
    text = mutual_information.in_short(rows).markdown
    assert text.startswith(
        "**In short.**\n\n- As in the paper, smoothed networks end with less information about which image"
    )
    assert "and by 0.00 (ResNet-56) with hard ones" in text
    assert "On held-out images, of which a network has no memory, smoothed ones end lower" in text


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_what_is_recorded_has_every_point_and_follows_from_the_kept_differences(alpha, place):
    """Of the book's records: 20 points or more on both splits, N and L of the paper, and at the end the estimates of
    the pair whose differences are kept, which are a little rounded."""
    store = Store(project_root() / "results")
    records = [store.get(mutual_information.run("laptop", smoothing_arm(alpha), seed, place)) for seed in range(3)]
    for record in records:
        arrays = record.arrays
        assert len(arrays["probe_steps"]) == len(arrays["heldout_information"]) >= 20
        information, differences = arrays["train_information"], arrays["train_differences"]
        assert len(information) == len(arrays["probe_steps"])
        assert differences.shape == (1, 600, 10)
        assert arrays["probe_pairs"].tolist()[0] == [0, 1]
        np.testing.assert_allclose(information[-1, 0, -1], bracket(differences[0].astype(float)), atol=0.01)


def test_the_scorecard_gets_the_claim(store, monkeypatch):
    monkeypatch.setenv("LSBOOK_RESULTS", str(store.path))
    [setting] = mutual_information.settings("laptop", "recorded")
    assert setting[:3] == ("mutual_information", "laptop", "ResNet-56, CIFAR-10")
    assert [m.verdict.part for m in setting.measures] == ["end", "fall"]
    assert {m.verdict.verdict for m in setting.measures} == {claims.REPRODUCED}
