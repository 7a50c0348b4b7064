"""What a chapter tells about itself: which runs it asks for, and which claims it decides with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lsbook.chapters.shared.claim_tables import Setting
from lsbook.chapters.shared.selection import Group


@dataclass(frozen=True)
class DecidedClaims:
    """The claims that a chapter decides.

    ids: of `evidence.claims.ALL_CLAIMS`, every one that `measure` may measure; by the first chapters are ordered.
    measure: (profile, seeds) -> the claims, measured on each network; seeds as `select_runs` takes them.
    """

    ids: tuple[str, ...]
    measure: Callable[[str, str], list[Setting]]


@dataclass(frozen=True)
class Chapter:
    """A chapter that asks for runs: the value of `CHAPTER` in its module, which has the name of its notebook.

    groups: profile -> what is planned for it, swept, and counted among the costs.
    claims: for the scorecard; None where it decides none.
    """

    name: str
    groups: Callable[[str], Sequence[Group]]
    claims: DecidedClaims | None = None
