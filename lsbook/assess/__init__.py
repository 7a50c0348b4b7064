"""Somebody's own model: its predictions, judged by the book's measures and rules, without torch.

from lsbook import assess
judgements = assess.files("hard.npz", "smoothed.npz")
assess.table(judgements)
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lsbook.assess.judgement import Judgement
from lsbook.assess.predictions import Predictions, from_arrays, read
from lsbook.assess.report import (
    MOST_FILES,
    RULES,
    advice,
    brier_table,
    comparison_table,
    opening,
    projection_figures,
    read_text,
    reliability_figure,
    risk_figure,
    same_examples,
    table,
)
from lsbook.core.errors import UserError

__all__ = [
    "RULES",
    "Judgement",
    "Predictions",
    "advice",
    "brier_table",
    "comparison_table",
    "files",
    "from_arrays",
    "judge",
    "opening",
    "projection_figures",
    "read",
    "read_text",
    "reliability_figure",
    "risk_figure",
    "table",
]


def files(*paths: Path | str) -> list[Judgement]:
    """Read the predictions in each file, which are of the same examples, and judge them.

    Args:
        paths: 1 to 12 of .npz, .csv, .tsv or .parquet; see `read`.

    Raises:
        UserError: if a file holds no predictions, files are of different examples, or they are too many for a page.
    """
    if not 1 <= len(paths) <= MOST_FILES:
        raise UserError(f"name 1 to {MOST_FILES} files of predictions, not {len(paths)}")
    return judge([read(path) for path in paths])


def judge(predictions: Sequence[Predictions]) -> list[Judgement]:
    """Judge each model's predictions on the same examples; the measures are computed when they are first asked for.

    Args:
        predictions: one a model, as `read` or `from_arrays` gives them.

    Raises:
        UserError: unless all have the same labels in the same order.
    """
    judgements = [Judgement(one) for one in _numbered(predictions)]
    same_examples(judgements)
    return judgements


def _numbered(predictions: Sequence[Predictions]) -> list[Predictions]:
    """The predictions, those of one name with a number behind it, such as of files in several folders."""
    alike = Counter(one.name for one in predictions)
    numbers = {name: itertools.count(1) for name, n in alike.items() if n > 1}
    return [
        replace(one, name=f"{one.name} ({next(numbers[one.name])})") if one.name in numbers else one
        for one in predictions
    ]
