"""How numbers, intervals and verdicts are put in words."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lsbook.analysis.statistics import mean_interval, welch_interval
from lsbook.evidence import literature
from lsbook.outputs import Markup, Text

LEAST_HALF = 1e-9  # of an interval; a smaller one is rounding
LONGEST_PARAGRAPH = 400  # characters of an answer; a longer one is a list

STANDING = {
    "paper": "by the paper's protocol",
    "laptop": "in the small-scale setting",
    "smoke": "on toy data, which decides nothing about the paper",
}
ECE_HEADER = "data, network", "source", "hard", "hard, scaled (T)", "smoothed (α)", "smoothed, scaled (T)"


def standing(profile: str) -> str:
    """How far what a profile's runs show can be trusted, in a few words."""
    return STANDING[profile].partition(",")[0]


def with_interval(values: np.ndarray) -> str:
    """Mean ± half of the 95 % Student t interval of values (S,), two digits of the half; one value stands alone."""
    if len(values) < 2:
        return f"{values[0]:.3g}"
    interval = mean_interval(values)
    half = interval.high - interval.mean
    decimals = _decimals(half)
    return f"{interval.mean:.{decimals}f} ±\N{NO-BREAK SPACE}{half:.{decimals}f}"


def three_digits(value: float) -> str:
    """Three significant digits, zeros at the end among them."""
    return f"{value:#.3g}".rstrip(".").replace("-", "−")


def signed(mean: float, low: float, high: float) -> str:
    """A difference with its interval, every number with its sign, two digits of half the interval."""
    decimals = _decimals((high - low) / 2)
    return f"{mean:+.{decimals}f} [{low:+.{decimals}f},\N{NO-BREAK SPACE}{high:+.{decimals}f}]".replace("-", "−")


def magnitude(mean: float, low: float, high: float) -> str:
    """The size of a change whose sign is decided, with its interval: what a verb such as "falls by" leaves to be said.

    A change whose interval includes 0 keeps its signs.
    """
    if low < 0 < high:
        return signed(mean, low, high)
    ends = sorted((abs(low), abs(high)))
    return signed(abs(mean), *ends).replace("+", "")


def difference(first: np.ndarray, second: np.ndarray) -> str:
    """Mean of second (S',) − first (S,) with its Welch interval; the mean alone where an arm is a single run."""
    if min(len(first), len(second)) < 2:
        return f"{second.mean() - first.mean():+.3g}".replace("-", "−")
    return signed(*welch_interval(first, second))


def mean_difference(first: np.ndarray, second: np.ndarray) -> str:
    """Mean of second (S',) − first (S,) with the digits that `difference` shows: where its interval is not said."""
    return difference(first, second).partition(" ")[0]


def short_answer(parts: Sequence[str], link: Markup | str = "") -> Text:
    """A chapter's answer before everything else: what came out, and where a reader can try it."""
    begun = Markup("**In short.**")
    if sum(map(len, parts)) <= LONGEST_PARAGRAPH:
        return Text(Markup(" ").join(filter(None, [begun, *parts, link])))
    as_list = Markup("\n").join(map(Markup("- {}").format, parts))
    return Text(Markup("\n\n").join(filter(None, [begun, as_list, link])))


def _decimals(half: float) -> int:
    """Decimals that show two digits of it."""
    return max(0, 1 - math.floor(math.log10(half))) if half > LEAST_HALF else 3


def published_ece(source: str, network: tuple[str, str], row: dict[str, literature.Published]) -> tuple[str, ...]:
    """A row of Table 3 under `ECE_HEADER`. network: data set and model."""
    title = ", ".join(literature.PUBLISHED_TITLES[name] for name in reversed(network))
    smoothed = [
        f"{number.value:.3f} ({arm.removeprefix('smoothed ')})" for arm, number in row.items() if "smoothed" in arm
    ]
    scaled = f"{row['scaled'].value:.3f} ({row['temperature'].value:g})"
    dagger = "" if row["hard"].checked else "†"
    return title, f"{source}{dagger}", f"{row['hard'].value:.3f}", scaled, ", ".join(smoothed), "—"


class MeasuredEce(NamedTuple):
    """An arm's ECE at temperature 1 and at each network's fitted one, and these temperatures: (S,) each."""

    plain: np.ndarray
    scaled: np.ndarray
    temperatures: np.ndarray


def measured_ece(title: str, source: str, hard: MeasuredEce, smoothed: MeasuredEce, alpha: float) -> tuple[str, ...]:
    """Return a row of our own: hard targets, and smoothed ones or another arm in their place, whose factor is α."""

    def scaled(arm: MeasuredEce) -> str:
        return f"{with_interval(arm.scaled)} ({arm.temperatures.mean():.2f})"

    plain = f"{with_interval(smoothed.plain)} ({alpha:g})"
    return title, source, with_interval(hard.plain), scaled(hard), plain, scaled(smoothed)
