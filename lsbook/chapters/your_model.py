"""The page about somebody's own model: which predictions it is made from."""

import json
import os
from pathlib import Path

from lsbook import assess
from lsbook.assess import Judgement
from lsbook.core.errors import UserError, brief
from lsbook.core.store import Store
from lsbook.recipes import profiles
from lsbook.runner.obtain import obtain

OURS = "book"  # in place of files: two of the book's own networks
NAMED = "LSBOOK_PREDICTIONS"  # where `lsbook assess` names files, so that their paths are on no page
NETWORK = ("cifar10", "alexnet")
FACTORS = (0.0, 0.1)


def judgements(predictions: str = OURS, store: Store | None = None) -> list[Judgement]:
    """What can be said of the predictions in files: a path, several as a JSON list, or "book" for the book's own.

    UserError as for `assess.files`, or for a list that is none.
    """
    if are_ours(predictions):
        return assess.judge([ours(alpha, store) for alpha in FACTORS])
    return assess.files(*paths(os.environ.get(NAMED, predictions)))


def are_ours(predictions: str) -> bool:
    """Whether the page is about the book's own networks."""
    return predictions == OURS and NAMED not in os.environ


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


def ours(alpha: float, store: Store | None = None) -> assess.Predictions:
    """The recorded test logits of the book's first network."""
    [record] = obtain([profiles.run("laptop", *NETWORK, alpha, 0)], store)
    name = "AlexNet, hard targets" if alpha == 0 else f"AlexNet, α = {alpha:g}"
    found = {"labels": record.arrays["test_targets"], "logits": record.arrays["test_logits"]}
    return assess.from_arrays(name, found)
