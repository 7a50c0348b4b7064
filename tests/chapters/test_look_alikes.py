"""Every pair of classes beside the one that looks alike."""

import itertools

import numpy as np
import pytest

from lsbook import figures
from lsbook.analysis import projection
from lsbook.analysis.statistics import welch_interval
from lsbook.chapters import look_alikes, projections
from lsbook.chapters.look_alikes import ClassPairs
from lsbook.core.store import Store
from lsbook.outputs import NARROW, WIDE
from lsbook.recipes import profiles

DIRECTIONS = np.eye(10)
DIRECTIONS[5] = (DIRECTIONS[3] + DIRECTIONS[5]) / np.sqrt(2)  # the dog's, half way to the cat's


def arrays(size: float, spread: float, seed: int) -> dict:
    """Ten classes along ten directions, of which those of cat and dog are near each other."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(10), 20)
    result = {"templates": DIRECTIONS.astype(np.float32)}
    for split in ("train", "test"):
        noise = spread * generator.standard_normal((200, 10))
        result[f"{split}_activations"] = (size * DIRECTIONS[labels] + noise).astype(np.float16)
        result[f"{split}_labels"] = labels.astype(np.uint16)
    return result


@pytest.fixture(scope="module")
def store(tmp_path_factory, put) -> Store:
    """Two seeds of each arm of two networks, of which the second has not fitted its training images."""
    store = Store(tmp_path_factory.mktemp("results"))
    for model, fitted in (("alexnet", 0.9), ("resnet56", 0.5)):
        for seed, (alpha, spread) in itertools.product(range(2), ((0.0, 0.4), (0.1, 0.2))):
            metrics = {"test_accuracy": 0.7, "train_accuracy": fitted}
            run = profiles.run("laptop", "cifar10", model, alpha, seed)
            put(store, run, metrics=metrics, arrays=arrays(4, spread, seed))
    return store


def pairs_of(store: Store, seeds: str) -> ClassPairs:
    [found] = look_alikes.class_pairs(projections.rows("auto", 0.1, seeds, store=store))
    return found


@pytest.fixture(scope="module")
def pairs(store) -> ClassPairs:
    return pairs_of(store, "0-1")


def test_networks_that_have_not_fitted_their_images_are_left_out_unless_they_come_first(store):
    rows = projections.rows("auto", 0.1, "0-1", store=store)
    assert [found.row for found in look_alikes.class_pairs(rows)] == rows[:1]
    assert [found.row for found in look_alikes.class_pairs(rows[::-1])] == rows[::-1]


def test_a_ratio_is_the_mean_over_the_third_classes(pairs):
    record = pairs.row.comparison.main.records[1]
    activations, labels = record.arrays["train_activations"].astype(float), record.arrays["train_labels"]
    found = []
    for third in (0, 2, 3, 4, 5, 6, 8, 9):
        plane = projection.template_plane(DIRECTIONS[[1, 7, third]])
        seen_from = projection.project(activations[labels == third], plane).mean(axis=0)
        both = projection.project(activations[(labels == 1) | (labels == 7)], plane)
        found.append(projection.arc_ratio(both, seen_from))
    assert pairs.names[pairs.labels.index((1, 7))] == "automobile and horse"
    assert pairs.smoothed[1, pairs.labels.index((1, 7))] == pytest.approx(np.mean(found), rel=1e-3)  # float32 templates


def test_similarity_is_the_cosine_seen_from_the_mean_of_the_classes(pairs):
    centred = DIRECTIONS - DIRECTIONS.mean(axis=0)
    cosine = centred[3] @ centred[5] / np.linalg.norm(centred[3]) / np.linalg.norm(centred[5])
    assert pairs.similarity[pairs.own] == pytest.approx(cosine, abs=0.05)
    assert pairs.similarity.argmax() == pairs.own
    assert pairs.unlike.sum() == 44  # all others point away from each other


def test_a_rise_has_its_interval_where_an_arm_has_several_runs(pairs, store):
    changes = pairs.smoothed.mean(axis=0) - pairs.hard.mean(axis=0)
    np.testing.assert_allclose(pairs.rises[:, 0], changes)
    assert (pairs.rises[:, 1] < changes).all()
    assert (pairs.rises[:, 2] > changes).all()
    single = pairs_of(store, "0").rises
    np.testing.assert_array_equal(single, np.repeat(single[:, :1], 3, axis=1))


def test_the_sentence_compares_the_look_alike_pair_with_unlike_ones(store):
    found = pairs_of(store, "0")
    own, others = (found.smoothed - found.hard)[0, [found.own]], (found.smoothed - found.hard)[0, found.unlike]
    numbers = (f"{value:+.3g}".replace("-", "−") for value in (own[0], others.mean(), own[0] - others.mean()))
    first, second, third = numbers
    assert look_alikes.sentences([found]).markdown == (
        f"On AlexNet, CIFAR-10 the ratio rises for {(found.rises[:, 0] > 0).sum()} of 45 pairs of classes. Averaged "
        f"over all third classes, the change for cat and dog is {first}, for unlike pairs {second}; the former less "
        f"the latter is {third}."
    )


def test_in_short_says_whether_look_alikes_are_special(pairs, store):
    rising = (pairs.rises[:, 0] > 0).sum()
    begin = "Similar classes form an arc around a third, says the paper; the measure of an arc rises for "
    begin += f"{rising} of 45 pairs of classes on AlexNet, CIFAR-10, "
    own, unlike = pairs.own_and_unlike
    excess = welch_interval(own[0] - unlike[0], own[1] - unlike[1])
    clearly = {True: "more than", False: "less than"}[excess.mean > 0]
    than = clearly if excess.low * excess.high > 0 else "neither clearly more nor less than"
    assert look_alikes.in_short([pairs]) == f"{begin}for cat and dog {than} for unlike pairs."
    single = look_alikes.in_short([pairs_of(store, "0")])
    assert single.endswith("for cat and dog neither clearly more nor less than for unlike pairs.")


def test_unlike_classes_stand_beside_the_look_alike_ones_with_the_same_third(pairs):
    groups = look_alikes.panels_beside_unlike([pairs])
    assert [title for title, _ in groups] == ["AlexNet: look alike", "AlexNet: unlike"]
    (_, alike), (_, unlike) = groups
    assert [(p.title, p.classes) for p in alike] == [
        ("hard targets, training", ("cat", "dog", "ship")),
        ("α = 0.1, training", ("cat", "dog", "ship")),
    ]
    least = min((k for k, pair in enumerate(pairs.labels) if 8 not in pair), key=lambda k: pairs.similarity[k])
    assert unlike[0].classes == (*pairs.row.names(pairs.labels[least]), "ship")


def test_groups_stand_beside_each_other_where_there_is_room(pairs):
    groups = look_alikes.panels_beside_unlike([pairs])
    for width, places in ((WIDE, 4), (NARROW, 2)):
        figure = figures.groups_figure(groups, width)
        figure.draw_without_rendering()
        assert len({round(axes.get_position().x0, 1) for axes in figure.axes}) == 2
        centres = {round(axes.transAxes.transform((0.5, 0.5))[0] / figure.dpi) for axes in figure.axes}
        assert len(centres) == places
        assert [text.get_text() for part in figure.subfigs for text in [part._suptitle]] == [t for t, _ in groups]


def test_a_group_of_three_networks_leaves_no_empty_panel(pairs):
    [(title, two), _] = look_alikes.panels_beside_unlike([pairs])
    figure = figures.groups_figure([(title, [*two, two[1]._replace(arm="another")])], NARROW)
    assert [axes.get_title() for axes in figure.axes] == [two[0].title, two[1].title, two[1].title]


def test_the_figure_has_a_point_for_each_pair_and_names_the_claims_own(pairs):
    [axes] = figures.pairs_of_classes_figure([pairs]).axes
    points = axes.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(points, np.column_stack([pairs.similarity, pairs.rises[:, 0]]))
    ends = np.array([segment[:, 1] for segment in axes.containers[0].lines[2][0].get_segments()])
    np.testing.assert_allclose(ends, pairs.rises[:, 1:])
    places = (pairs.own, pairs.rises[:, 0].argmin(), pairs.rises[:, 0].argmax())
    assert {text.get_text() for text in axes.texts} == {pairs.names[k] for k in places}
