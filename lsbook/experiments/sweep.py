"""All runs of a chapter, one after the other: the most valuable first, none twice, none begun that cannot be ended."""

import sys
import time
from collections.abc import Sequence

from lsbook.errors import one_of
from lsbook.experiments.chapters import CHAPTERS
from lsbook.experiments.obtain import expected_seconds, obtain, parse_seeds
from lsbook.experiments.profiles import PROFILES
from lsbook.run import Run
from lsbook.store import Store


def plan(chapter: str, profile: str, seeds: str = "auto") -> list[Run]:
    """The runs that a chapter asks for in a profile: the first seed of every setting, then the second, and so on.

    seeds: such as "0-4", or "auto": each group's own. A teacher comes before its students.
    """
    one_of("chapter", chapter, CHAPTERS)
    one_of("profile", profile, PROFILES)
    groups = CHAPTERS[chapter].groups(profile)
    columns = [
        [group.runs(seed) for seed in parse_seeds(group.seeds if seeds == "auto" else seeds)] for group in groups
    ]
    longest = max(map(len, columns), default=0)
    ordered = [run for i in range(longest) for column in columns if i < len(column) for run in column[i]]
    return list(dict.fromkeys(ordered))


def sweep(runs: Sequence[Run], store: Store | None = None, budget: float | None = None) -> list[Run]:
    """Train what is not recorded, in order; returns what is left.

    budget: seconds. A run is not begun when its expected time is more than what is left of them.
    """
    store = Store() if store is None else store
    began, missing = time.monotonic(), [run for run in runs if run not in store]
    for place, run in enumerate(missing):
        expected = expected_seconds([run], store)[run] or 0
        remaining = float("inf") if budget is None else budget - (time.monotonic() - began)
        if expected > remaining or remaining <= 0:
            left = missing[place:]
            _say(f"{remaining:.0f} s are left and {run} needs {expected:.0f}: stopped, {_outlook(left, store)}")
            return left
        obtain([run], store)
        _say(f"{place + 1} of {len(missing)} done: {run}; {_outlook(missing[place + 1 :], store)}")
    return []


def table(runs: Sequence[Run], store: Store | None = None) -> str:
    """One line a run: recorded or missing, expected seconds."""
    store = Store() if store is None else store
    expected = expected_seconds(runs, store)
    lines = []
    for run in runs:
        seconds = expected[run]
        state = "recorded" if run in store else "missing"
        lines.append(f"{state:9} {'?' if seconds is None else f'{seconds:.0f} s':>8}  {run}")
    return "\n".join([*lines, _outlook([run for run in runs if run not in store], store)])


def _outlook(runs: Sequence[Run], store: Store) -> str:
    seconds = expected_seconds(runs, store).values()
    known = sum(s for s in seconds if s is not None)
    unknown = sum(s is None for s in seconds)
    return f"{len(runs)} missing, {known / 60:.0f} minutes" + (
        f" and {unknown} runs of unknown length" if unknown else ""
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
