"""Runs and their records as pandas DataFrames: one row a run, the run's key as index. See `Store.frame`."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pandas as pd

from lsbook.core.config import Recipe, Run
from lsbook.core.schema import Environment

if TYPE_CHECKING:
    from lsbook.core.store import Record

RUN_FIELDS = [field.name for field in fields(Run)]
# Columns that every frame has, in their order, even where no run is recorded.
RUN_COLUMNS = [
    *(name for name in RUN_FIELDS if name != "recipe"),
    *(f"recipe.{field.name}" for field in fields(Recipe)),
]
ENVIRONMENT_COLUMNS = [
    f"environment.{name}" for name in Environment.__annotations__ if name not in ("data", "signatures")
]


# Settings that have columns of their own in the overview of a terminal; what differs in another is said in words.
_LISTED = ["dataset", "model", "recipe.loss", "alpha", "recipe.steps", "teacher", "temperature", "beta", "as_soft_as"]


def runs_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """Return a frame of what decides these runs: the columns of `Store.frame` besides metrics and environment."""
    runs = list(runs)
    return _frame([run.key for run in runs], [_fields(run) for run in runs], RUN_COLUMNS)


def records_frame(records: "Iterable[Record]") -> pd.DataFrame:
    """Return a frame of records, with the columns of `Store.frame`."""
    records = list(records)
    deciding = runs_frame(record.run for record in records)
    keys = [record.run.key for record in records]
    metrics = _frame(keys, [_metrics(record.metrics) for record in records])
    environments = [_flat(record.environment, "environment.") for record in records]
    in_order = metrics[sorted(map(str, metrics))]
    return pd.concat([deciding, in_order, _frame(keys, environments, ENVIRONMENT_COLUMNS)], axis="columns")


def overview(frame: pd.DataFrame) -> str:
    """Return a line a run, for a terminal: what tells them apart, test accuracy and ECE in percent, and seconds."""

    def column(name: str, form: str, factor: float = 1) -> list[str]:
        values = frame[name] if name in frame else [float("nan")] * len(frame)
        return ["" if pd.isna(value) else form.format(factor * value) for value in values]

    frame = frame.assign(**{role: _network(frame, role) for role in ("teacher", "as_soft_as")})
    shown = pd.DataFrame(
        {
            "dataset": frame["dataset"],
            "model": frame["model"],
            "loss": frame["recipe.loss"],
            "alpha": column("alpha", "{:g}"),
            "seed": frame["seed"],
            "steps": frame["recipe.steps"],
            "teacher": frame["teacher"],
            "T": column("temperature", "{:g}"),
            "beta": column("beta", "{:g}"),
            "as soft as": frame["as_soft_as"],
            "else": differences(frame, _LISTED),
            "accuracy, %": column("test_accuracy", "{:.2f}", 100),
            "ECE, %": column("test_ece", "{:.2f}", 100),
            "seconds": column("environment.training_seconds", "{:,.0f}"),
        }
    )
    by = ["dataset", "model", "recipe.steps", "teacher", "as_soft_as", "temperature", "beta", "alpha", "seed"]
    return str(shown.loc[frame.sort_values(by).index].to_string())


def _network(frame: pd.DataFrame, role: str) -> pd.Series:
    """The network that a run learns from in this role, such as "mlp alpha=0.1"; "" where there is none."""
    if f"{role}.model" not in frame:
        return pd.Series("", index=frame.index)
    alpha = frame[f"{role}.alpha"].map(" alpha={:g}".format).where(frame[f"{role}.alpha"] > 0, "")
    return (frame[f"{role}.model"] + alpha).fillna("")


def setting_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that decide a run, apart from seeds: runs that agree in them are repetitions of one setting.

    The keys of teachers are left out, which differ by their seeds, and so is what is only measured along a training.
    """
    left_out = ("seed", "probe", "teacher", "as_soft_as")
    names = map(str, frame)
    return [name for name in names if name.partition(".")[0] in RUN_FIELDS and name.rpartition(".")[2] not in left_out]


def differences(frame: pd.DataFrame, shown: list[str], apart_from: Iterable[str] = ()) -> pd.Series:
    """Return what tells each run from those that agree with it in the columns `shown`: settings in words, or "".

    Settings at their default are not said: beside runs with cross-entropy others are told by "loss maxsup".

    Args:
        frame: as `Store.frame` gives it.
        shown: the columns.
        apart_from: settings that are left out.
    """
    found = pd.Series("", index=frame.index, dtype=object)
    settings = [column for column in setting_columns(frame) if column not in (*shown, *apart_from)]
    for _, alike in frame.groupby(shown, dropna=False):
        for column in settings:
            if alike[column].nunique(dropna=False) > 1:
                said = alike[column].map(functools.partial(_setting, column))
                found[alike.index] += said
    return found.str.removeprefix(", ")


def _setting(column: str, value: Any) -> str:
    """How a field that is not at its default is said, such as ", loss maxsup" or ", teacher loss maxsup"; else ""."""
    name = column.rpartition(".")[2]
    default = getattr(Recipe if "recipe." in column else Run, name, None)
    if value == default or pd.isna(value):
        return ""
    return f", {column.replace('recipe.', '').replace('.', ' ').replace('_', ' ')} {value}"


def _frame(keys: list[str], rows: list[dict[str, Any]], columns: list[str] | None = None) -> pd.DataFrame:
    """One row a key. columns: those that come first, whether a row has them or not."""
    names = list(dict.fromkeys([*(columns or ()), *(name for row in rows for name in row)]))
    return pd.DataFrame(rows, index=pd.Index(keys, name="key", dtype=str), columns=names)


def _fields(value: Run | Recipe, prefix: str = "") -> dict[str, Any]:
    """The fields by name, those of a recipe or of another run below its own name; None where a field is not set."""
    row: dict[str, Any] = {}
    for field in fields(value):
        name, item = prefix + field.name, getattr(value, field.name)
        if isinstance(item, Run):
            row[name] = item.key
        if isinstance(item, Run | Recipe):
            row |= _fields(item, f"{name}.")
        else:
            row[name] = _words(item)
    return row


def _words(value: object) -> object:
    """Milestones, and a loss's arguments by name, as text, and None where there are none; other values as they are."""
    if not isinstance(value, tuple):
        return value
    return ", ".join(f"{item[0]} {item[1]}" if isinstance(item, tuple) else str(item) for item in value) or None


def _metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics under their names; one that is also a field of a run is called `metrics.<name>`."""
    return {f"metrics.{name}" if name in RUN_FIELDS else name: value for name, value in metrics.items()}


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The values of a dictionary and of those within it, by names with dots."""
    row: dict[str, Any] = {}
    for name, value in values.items():
        row |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return row
