"""Somebody's own model: its predictions, judged by the book's measures and rules, without torch.

from lsbook import assess
judgements = assess.files("hard.npz", "smoothed.npz")
assess.table(judgements)
"""

from collections.abc import Sequence
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
    """What can be said of the predictions in each file, which are of the same examples.

    UserError for a file that holds no predictions, files of different examples, or more than a page can compare.
    """
    if not 1 <= len(paths) <= MOST_FILES:
        raise UserError(f"name 1 to {MOST_FILES} files of predictions, not {len(paths)}")
    return judge([read(path) for path in paths])


def judge(predictions: Sequence[Predictions]) -> list[Judgement]:
    """What can be said of each model's predictions on the same examples. UserError unless they are of the same."""
    judgements = [Judgement(one) for one in predictions]
    same_examples(judgements)
    return judgements
