"""Do classes that look alike become an arc more than others? The ratio of claim C5 for every pair of classes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lsbook.analysis.statistics import difference_interval, welch_interval
from lsbook.chapters.projections import FigureRow, Panel, pair_arc_ratio, panels
from lsbook.chapters.shared import captions
from lsbook.core.store import Record
from lsbook.core.wording import listed
from lsbook.outputs import Text


@dataclass(frozen=True)
class ClassPairs:
    """C5's ratio for every pair of classes of a network, averaged over every third class.

    Attributes:
        row: the network.
        labels: of each pair.
        similarity: (P,) cosine of the angle between the two classes' centroids, seen from the mean of all centroids:
            training examples of the reference, mean over its seeds.
        hard, smoothed: (S, P) ratios, of the reference and of the arm that the claims are about.
    """

    row: FigureRow
    labels: list[tuple[int, int]]
    similarity: np.ndarray
    hard: np.ndarray
    smoothed: np.ndarray

    @property
    def names(self) -> list[str]:
        """The names of both classes of each pair, in words."""
        return [listed(self.row.names(pair)) for pair in self.labels]

    @property
    def own(self) -> int:
        """The pair that C5 is asked of."""
        first, second = sorted(self.row.similar[:2])
        return self.labels.index((first, second))

    @property
    def unlike(self) -> np.ndarray:
        """(P,): whether a pair's centroids point away from each other."""
        return self.similarity < 0

    @property
    def rises(self) -> np.ndarray:
        """(P, 3): of each pair smoothed − hard with its 95 % Welch interval, of no width where an arm is one run."""
        return np.array([difference_interval(*ratios) for ratios in zip(self.hard.T, self.smoothed.T, strict=True)])

    @property
    def own_and_unlike(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Hard (S,) and smoothed (S,) ratios: of the pair that C5 is asked of, and the means of unlike pairs."""
        arms = self.hard, self.smoothed
        return [ratios[:, self.own] for ratios in arms], [ratios[:, self.unlike].mean(axis=1) for ratios in arms]

    @property
    def excess(self) -> list[np.ndarray]:
        """Hard (S,) and smoothed (S,): by how much the ratio of C5's pair exceeds that of unlike pairs."""
        return [mine - others for mine, others in zip(*self.own_and_unlike, strict=True)]


def class_pairs(rows: Sequence[FigureRow]) -> list[ClassPairs]:
    """Every pair of classes of the first network, and of others that have fitted their training images."""
    return [_class_pairs(row) for row in rows if row is rows[0] or row.fitted]


def _class_pairs(row: FigureRow) -> ClassPairs:
    reference = row.comparison.reference
    labels = np.unique(reference.records[0].arrays["train_labels"]).tolist()
    pairs = list(itertools.combinations(labels, 2))

    def ratios(record: Record) -> np.ndarray:
        found = [[pair_arc_ratio(record, (*pair, third)) for third in labels if third not in pair] for pair in pairs]
        return np.mean(found, axis=1)

    def similarity(record: Record) -> np.ndarray:
        activations = record.arrays["train_activations"].astype(np.float64)
        centroids = np.array([activations[record.arrays["train_labels"] == k].mean(axis=0) for k in labels])
        centred = centroids - centroids.mean(axis=0)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        return np.asarray((unit @ unit.T)[np.triu_indices(len(labels), 1)])

    similarities = reference.values(similarity).mean(axis=0)
    return ClassPairs(row, pairs, similarities, reference.values(ratios), row.comparison.main.values(ratios))


def panels_beside_unlike(found: Sequence[ClassPairs]) -> list[tuple[str, list[Panel]]]:
    """Title and panels: of each network two classes that look alike, and the two least alike with the same third."""
    groups = []
    for network in found:
        third = network.row.similar[2]
        others = [k for k, pair in enumerate(network.labels) if third not in pair]
        least = min(others, key=lambda k: network.similarity[k])
        model = network.row.title.partition(",")[0]
        for words, pair in (("look alike", network.row.similar[:2]), ("unlike", network.labels[least])):
            groups.append((f"{model}: {words}", panels(network.row.comparison, (*pair, third), ("train",))))
    return groups


def in_short(found: Sequence[ClassPairs]) -> str:
    """A sentence on whether look-alike classes become an arc more than others do, on the first network."""
    network = found[0]
    hard, smoothed = network.excess
    than = "neither clearly more nor less than"
    if min(len(hard), len(smoothed)) > 1:
        excess = welch_interval(hard, smoothed)
        than = "more than" if excess.low > 0 else "less than" if excess.high < 0 else than
    return (
        "Similar classes form an arc around a third, says the paper; the measure of an arc rises for "
        f"{(network.rises[:, 0] > 0).sum()} of {len(network.labels)} pairs of classes on {network.row.title}, for "
        f"{network.names[network.own]} {than} for unlike pairs."
    )


def sentences(found: Sequence[ClassPairs]) -> Text:
    """How the rise of C5's ratio for the look-alike pair compares with that for unlike pairs, on each network."""
    said = []
    for network in found:
        own, unlike = network.own_and_unlike
        said.append(
            f"On {network.row.title} the ratio rises for {(network.rises[:, 0] > 0).sum()} of {len(network.labels)} "
            f"pairs of classes. Averaged over all third classes, the change for {network.names[network.own]} is "
            f"{captions.difference(*own)}, for unlike pairs {captions.difference(*unlike)}; the former less the latter "
            f"is {captions.difference(*network.excess)}."
        )
    return Text(" ".join(said))
