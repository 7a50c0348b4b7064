"""The page about somebody's own model: which predictions it is made from."""

import json
import os
from pathlib import Path

from lsbook import assess
from lsbook.assess import Judgement
from lsbook.core.errors import UserError, brief, one_of
from lsbook.core.store import Store
from lsbook.recipes import profiles
from lsbook.runner.obtain import obtain

OURS = "book"  # in place of files: two of the book's own networks
NAMED = "LSBOOK_PREDICTIONS"  # where `lsbook assess` gives the paths of files, of which the page has the names alone
# Of each profile the book's own network that is shown.
NETWORKS = {"smoke": ("digits", "alexnet-16"), "laptop": ("cifar10", "alexnet"), "paper": ("cifar10", "alexnet")}
FACTORS = (0.0, 0.1)


def judgements(predictions: str = OURS, profile: str = "auto", store: Store | None = None) -> list[Judgement]:
    """What can be said of the predictions in files: a path, several as a JSON list, or "book" for the book's own.

    profile: whose networks are the book's own; "auto" for the laptop's. UserError as for `assess.files`, and for a list
    or a profile that is none.
    """
    one_of("profile", profile, ("auto", *NETWORKS))
    if are_ours(predictions):
        return assess.judge([ours(alpha, "laptop" if profile == "auto" else profile, store) for alpha in FACTORS])
    return assess.files(*paths(os.environ.get(NAMED, predictions)))


def are_ours(predictions: str) -> bool:
    """Whether the page is about the book's own networks."""
    return predictions == OURS


def paths(text: str) -> list[Path]:
    """One path, or those of a JSON list."""
    if isinstance(text, str) and not text.lstrip().startswith("["):
        return [Path(text)]
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        found = None
    if not isinstance(found, list) or not all(isinstance(path, str) for path in found):
        raise UserError(f'predictions must be a path, or a JSON list such as ["a.npz", "b.npz"], not {brief(text)}')
    return [Path(path) for path in found]


def ours(alpha: float, profile: str = "laptop", store: Store | None = None) -> assess.Predictions:
    """The recorded test logits of a profile's network."""
    [record] = obtain([profiles.run(profile, *NETWORKS[profile], alpha, 0)], store)
    name = "AlexNet, hard targets" if alpha == 0 else f"AlexNet, α = {alpha:g}"
    found = {"labels": record.arrays["test_targets"], "logits": record.arrays["test_logits"]}
    return assess.from_arrays(name, found)
