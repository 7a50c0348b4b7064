"""Comparisons: networks that differ in how they were trained, as arms, each recorded from several seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from lsbook.chapters.shared.selection import Group
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError, brief, real_number
from lsbook.core.registry import loss_title, network_title
from lsbook.core.store import Record
from lsbook.recipes import profiles

MOST_BINS = 1_000  # of confidence: far more than examples fill, and still drawn within half a minute
FURTHER_COLOURS = "third", "fourth", "fifth"

T = TypeVar("T")


class ArmValues(NamedTuple, Generic[T]):
    """What an arm has of a quantity, as figures take it. values: of each seed a number, a curve or a diagram."""

    name: str
    colour: str
    values: T


@dataclass(frozen=True)
class Arm:
    """Networks that were trained alike, one from each seed.

    name: in a word, for columns and axes; label: for titles and legends.
    short_label: for the titles of small panels; the label if not given.
    colour: one of `figures.style.COLOURS`.
    alpha, settings: what its runs differ in from those of other arms: the factor of the loss, and fields of the recipe,
        as text.
    records: in the order of the seeds; none while the arm is only planned.
    scaled: whether confidences are read at the temperature fitted to each network, and not at 1.
    """

    name: str
    label: str
    colour: str
    alpha: float = 0.0
    settings: tuple[tuple[str, str], ...] = ()
    records: Sequence[Record] = ()
    short_label: str = ""
    scaled: bool = False

    def run(self, profile: str, dataset: str, model: str, seed: int, length: tuple[int, int] | None = None) -> Run:
        """The arm's run of a profile's network. length: as for `profiles.run`."""
        return profiles.run(profile, dataset, model, self.alpha, seed, length, dict(self.settings))

    @property
    def panel_label(self) -> str:
        """The label in a small panel's title."""
        return self.short_label or self.label

    def values(self, quantity: Callable[[Record], float | np.ndarray]) -> np.ndarray:
        """A quantity of each record, in the order of the seeds: (S,), or (S, …) of arrays."""
        return np.array([quantity(record) for record in self.records])

    def metric(self, name: str) -> np.ndarray:
        """A recorded metric (S,) by its name, such as "test_accuracy"."""
        return self.values(lambda record: record.metrics[name])

    def with_values(self, values: np.ndarray) -> ArmValues[np.ndarray]:
        """Values of this arm, as figures take them."""
        return ArmValues(self.name, self.colour, values)


@dataclass(frozen=True)
class Comparison:
    """Arms that are compared: the first is the reference of all others.

    profile: that their runs are from.
    """

    profile: str
    arms: tuple[Arm, ...]

    @property
    def reference(self) -> Arm:
        """The first arm, with which the others are compared."""
        return self.arms[0]

    @property
    def others(self) -> tuple[Arm, ...]:
        """What is compared with the reference; the first of them is what the claims and the text are about."""
        return self.arms[1:]

    @property
    def main(self) -> Arm:
        """The arm that the claims and the text are about."""
        return self.arms[1]

    @property
    def records(self) -> list[Record]:
        """The records of all arms."""
        return [record for arm in self.arms for record in arm.records]

    @property
    def first_seed(self) -> "Comparison":
        """The comparison of the same arms with only the runs of the first seed."""
        return replace(self, arms=tuple(replace(arm, records=arm.records[:1]) for arm in self.arms))

    @property
    def network(self) -> tuple[str, str]:
        """Data set and model."""
        run = self.reference.records[0].run
        return run.dataset, run.model

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in label order, of images."""
        return self.reference.records[0].classes

    @property
    def title(self) -> str:
        """The network as the reader knows it."""
        return network_title(*self.network)

    def title_of(self, arm: Arm) -> str:
        """The network, and if it is not the main one the arm: names a row or a setting."""
        return self.title if arm.name == self.main.name else f"{self.title}, {arm.label}"


HARD = Arm("hard", "hard targets", "hard")


def smoothing_arms(alpha: float, other_losses: str = "none") -> list[Arm]:
    """Hard targets as the reference, smoothing with a factor, and the same factor in other losses.

    Args:
        alpha: the factor, above 0.
        other_losses: names of `Recipe.loss` separated by commas, such as "maxsup"; "none" for no further arm.

    Raises:
        UserError: for α = 0, losses of one name, and more further losses than there are colours.
    """
    alpha = real_number("alpha", alpha)
    if alpha == 0:
        raise UserError("alpha must be above 0 here: smoothed networks are compared with hard ones")
    losses = [] if other_losses == "none" else [loss.strip() for loss in str(other_losses).split(",")]
    further = [loss_arm(loss, alpha, colour) for loss, colour in zip(losses, FURTHER_COLOURS, strict=False)]
    arms = [HARD, smoothing_arm(alpha), *further]
    if len({arm.name for arm in arms}) < len(losses) + 2:
        raise UserError(
            f'other_losses must be "none" or at most {len(FURTHER_COLOURS)} others than {Recipe.loss}, each with a '
            f"name of its own, not {brief(other_losses)}"
        )
    return arms


def smoothing_arm(alpha: float) -> Arm:
    """The arm of networks trained with a smoothing factor; hard targets for 0."""
    return HARD if alpha == 0 else loss_arm(Recipe.loss, alpha, "smoothed", short_label=f"α = {alpha:g}")


def loss_arm(loss: str, alpha: float, colour: str, short_label: str = "") -> Arm:
    """The arm of networks trained with a loss and its factor."""
    name = loss_title(loss)
    settings = () if loss == Recipe.loss else (("loss", loss),)
    return Arm(name, f"{name}, α = {alpha:g}", colour, float(alpha), settings, short_label=short_label)


def group_of(arms: Sequence[Arm], run: Callable[[Arm, int], Run], seeds: str) -> Group:
    """The runs of a comparison: of each seed one for each arm, under its name. run: of an arm and a seed."""
    return Group(seeds, lambda seed: {arm.name: run(arm, seed) for arm in arms})


def compare(profile: str, arms: Sequence[Arm], records: Mapping[str, Sequence[Record]]) -> Comparison:
    """The arms with their records. records: those of each arm by its name, in the order of the seeds."""
    return Comparison(profile, tuple(replace(arm, records=records[arm.name]) for arm in arms))
