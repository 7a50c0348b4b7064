"""Somebody's predictions, read from a file: labels and logits or probabilities, and what else is there.

A file is .npz (arrays by name), .csv or .parquet (a row an example). Whatever is in it is data: names are text, nothing
is unpickled, and sizes are looked at before contents.
"""

import csv
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from lsbook.core.errors import UserError, brief, one_line, shortened

GZIP = b"\x1f\x8b"  # the first bytes of what gzip has made
MOST_VALUES = 2**28  # in a file: 50 000 examples of 5 000 classes
PRINTED_SUM_TOLERANCE = 5e-3  # of a row of probabilities: those of float16, and those printed with three digits
LABELS = ("labels", "label", "target", "targets", "y", "y_true", "class")
ROW_NAMES = ("id", "index", "row", "example")  # of columns that number or name the examples
SPLIT = ("split", "subset", "partition")
VALIDATION = ("validation", "valid", "val", "heldout", "dev")
TEST, TRAINING = ("test", "testing", "evaluation", "eval"), ("train", "training")
COLUMN_PREFIXES = dict.fromkeys(("logit", "logits"), "logits")
COLUMN_PREFIXES |= dict.fromkeys(("probability", "probabilities", "prob", "probs", "p"), "probabilities")
MISSING = ["", "NA", "NaN", "nan", "None", "null", "#N/A"]  # how tables write a number that is not there


@dataclass(frozen=True)
class Predictions:
    """What one model says of N examples of K classes.

    name: of the file or model. labels: (N,) class indices. classes: the K names.
    logits: (N, K), float32 or float64; where probabilities were given, their logarithms. given: "logits" or
    "probabilities". validation: labels and logits of examples that parameters may be fitted on. features: (N, d) of the
    penultimate layer; templates: (K, d), or (K, d + 1) with the biases last. notes: what was done to what was read.
    """

    name: str
    labels: np.ndarray
    logits: np.ndarray
    given: str
    classes: tuple[str, ...]
    validation: tuple[np.ndarray, np.ndarray] | None = None
    features: np.ndarray | None = None
    templates: np.ndarray | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def correct(self) -> np.ndarray:
        """(N,) whether the largest logit, the first of equals, is the label's."""
        return self.logits.argmax(axis=1) == self.labels


def read(path: Path | str) -> Predictions:
    """Read the predictions in a file.

    Args:
        path: an .npz with the arrays that `from_arrays` takes; or a .csv, .tsv or .parquet with a row an example, a
            column `label` and a column a class, such as `logit_cat`, and maybe one `split`.

    Raises:
        UserError: one line that names the file and its fault, for anything that holds no predictions.
    """
    path = Path(path)
    named = shortened(str(path), 200)
    readers = {".npz": _from_npz, ".csv": _from_csv, ".tsv": _from_csv, ".parquet": _from_parquet}
    try:
        if not path.is_file():
            raise UserError(f"{named} is no file")
        if _begins_with(path, GZIP):
            raise UserError(f"{named} is compressed by gzip; unpack it first")
        if path.suffix.lower() not in readers:
            raise UserError(f"{named}: predictions are read from {', '.join(readers)}, not from {brief(path.suffix)}")
        return readers[path.suffix.lower()](path)
    except UserError:
        raise
    except Exception as error:
        # Whatever the libraries make of a damaged file, as NotImplementedError of a zip's version.
        raise UserError(f"{named}: {brief(str(error) or type(error).__name__)}") from None


def _begins_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def from_arrays(name: str, arrays: dict[str, np.ndarray]) -> Predictions:
    """Return the predictions in arrays that have the names of an .npz file's.

    Args:
        name: of the model, as tables and figures show it.
        arrays: `labels` (N,), indices or names of classes; `logits` in nats or `probabilities`, (N, K); and maybe
            `class_names` (K,), `features` (N, d), `templates` (K, d) or, with biases, (K, d + 1), and of other examples
            `val_labels` and `val_logits` or `val_probabilities`. Others are named in `notes`.

    Raises:
        UserError: if one is missing, does not fit the others, or holds what is no finite number or no distribution.
    """
    found = Counter(map(str.lower, arrays))
    if twice := [known for known in arrays if found[known.lower()] > 1]:
        raise UserError(f"{name}: the arrays {brief(', '.join(twice))} have one name; keep one")
    arrays = {known.lower(): _text_of_bytes(np.asarray(array)) for known, array in arrays.items()}
    labels = next((arrays.pop(known) for known in LABELS if known in arrays), None)
    if labels is None:
        raise UserError(f"{name}: no labels; name an array {LABELS[0]}")
    logits, given, notes = _scores(name, arrays, "")
    if len(logits) < 2:
        raise UserError(f"{name}: there is one example; two or more are assessed")
    names = arrays.pop("class_names", np.arange(logits.shape[1]))
    if names.shape != logits.shape[1:]:
        raise UserError(f"{name}: class names have the shape {names.shape}; there are {logits.shape[1]} classes")
    classes = tuple(map(str, names.tolist()))
    labels = _labels(name, labels, classes, len(logits))
    validation = None
    held_out = next((arrays.pop(f"val_{known}") for known in LABELS if f"val_{known}" in arrays), None)
    if held_out is not None:
        own, _, _ = _scores(name, arrays, "val_")
        if own.shape[1] != logits.shape[1]:
            raise UserError(f"{name}: validation data have {own.shape[1]} classes, the others {logits.shape[1]}")
        validation = _labels(f"{name}, validation data", held_out, classes, len(own)), own
    features = _optional(name, arrays, "features", len(labels))
    templates = _optional(name, arrays, "templates", logits.shape[1])
    if arrays:
        notes.append(f"not used: {', '.join(sorted(arrays))}")
    name, classes = one_line(name), tuple(map(one_line, classes))  # a file's name need not be text
    return Predictions(name, labels, logits, given, classes, validation, features, templates, tuple(notes))


def _text_of_bytes(array: np.ndarray) -> np.ndarray:
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def _scores(name: str, arrays: dict[str, np.ndarray], prefix: str) -> tuple[np.ndarray, str, list[str]]:
    """Logits (N, K), what was given, and notes; what is used is taken from the arrays."""
    for known, kind in COLUMN_PREFIXES.items():
        if len(known) > 1 and f"{prefix}{known}" in arrays:
            return *_as_logits(f"{name}: {prefix}{kind}", arrays.pop(f"{prefix}{known}"), kind), []
    raise UserError(f"{name}: no {prefix}logits and no {prefix}probabilities, an array (N, K)")


def _as_logits(what: str, values: np.ndarray, kind: str) -> tuple[np.ndarray, str]:
    """Logits of logits or probabilities (N, K). what: these are, for messages."""
    if values.ndim != 2 or values.shape[1] < 2 or not len(values):
        raise UserError(f"{what} have the shape {values.shape}; expected (N, K) with two classes or more")
    if not np.issubdtype(values.dtype, np.number) or np.issubdtype(values.dtype, np.complexfloating):
        raise UserError(f"{what} are {values.dtype}, not numbers")
    values = values.astype(np.float64 if values.dtype == np.float64 else np.float32, copy=False)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise UserError(f"{what} of example {row} are not finite numbers")
    if kind == "logits":
        return values, kind
    sums = values.sum(axis=1, dtype=np.float64)
    wrong = np.flatnonzero((values.min(axis=1) < 0) | (np.abs(sums - 1) > PRINTED_SUM_TOLERANCE))
    if wrong.size:
        row = wrong[0]
        raise UserError(
            f"{what} of example {row} sum to {sums[row]:.4g}, the smallest is {values[row].min():.4g}; "
            "if these are logits, name them so"
        )
    return np.log(np.maximum(values, np.finfo(np.float32).tiny)), kind


def _labels(name: str, labels: np.ndarray, classes: tuple[str, ...], n: int) -> np.ndarray:
    """Class indices (n,) of indices or of names of classes."""
    if labels.shape != (n,):
        raise UserError(f"{name}: labels have the shape {labels.shape}, but there are {n} examples")
    if labels.dtype.kind in "UO":
        places = {known: place for place, known in enumerate(classes)}
        texts = [str(label).strip() for label in labels.tolist()]
        for text in dict.fromkeys(texts):
            if text not in places:
                raise UserError(f"{name}: the label {brief(text)} is no class; classes are {brief(', '.join(classes))}")
            if classes.count(text) > 1:
                raise UserError(f"{name}: several classes are named {brief(text)}; give labels as numbers from 0")
        return np.array([places[text] for text in texts])
    if labels.dtype.kind not in "biuf" or not np.all(np.isfinite(labels)) or np.any(labels != np.floor(labels)):
        raise UserError(f"{name}: labels must be whole numbers from 0 or names of classes")
    labels = labels.astype(np.int64)
    if labels.min() < 0 or labels.max() >= len(classes):
        raise UserError(
            f"{name}: labels are from {labels.min()} to {labels.max()}, classes from 0 to {len(classes) - 1}"
        )
    return labels


def _optional(name: str, arrays: dict[str, np.ndarray], what: str, n: int) -> np.ndarray | None:
    """An array (n, d) of finite numbers that need not be there."""
    array = arrays.pop(what, None)
    if array is None:
        return None
    if array.ndim != 2 or len(array) != n or not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"{name}: {what} have the shape {array.shape}; expected ({n}, d), of floats")
    if not np.isfinite(array).all():
        raise UserError(f"{name}: {what} are not finite everywhere")
    return array.astype(np.float64)


def _from_npz(path: Path) -> Predictions:
    """Shapes and types are read, and bounded, before any array is."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        total = 0
        for info in members:
            with archive.open(info) as file:
                version = npy.read_magic(file)
                header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, _, dtype = header(file)
            if dtype.hasobject:
                raise UserError(f"{path}: {brief(info.filename)} holds Python objects, which are not read")
            total += int(np.prod(shape, dtype=np.float64))
            if total > MOST_VALUES:
                raise UserError(f"{path}: more than {MOST_VALUES:,} numbers; keep fewer examples")
        for info in members:
            with archive.open(info) as file:
                arrays[info.filename.removesuffix(".npy")] = npy.read_array(file, allow_pickle=False)
    return from_arrays(path.name, arrays)


def _from_csv(path: Path) -> Predictions:
    """Read a CSV with any separator and encoding that spreadsheets write, Excel's semicolons and decimal commas too."""
    if path.stat().st_size > 8 * MOST_VALUES:
        raise UserError(f"{path}: larger than {8 * MOST_VALUES:,} bytes; write .npz or .parquet instead")
    encoding = _encoding(path)
    with path.open(encoding=encoding) as file:
        first = file.readline()
        for_excel = first.startswith("sep=")
        header = file.readline() if for_excel else first
        beginning = file.read(2_000)
    separator = max(",;\t|", key=header.count)
    columns = next(csv.reader([header.strip()], delimiter=separator, skipinitialspace=True), [])
    _refuse_doubles(path.name, columns)
    decimal = "," if separator == ";" and "," in beginning else "."
    labels = [column for column in columns if column.strip().lower() in LABELS]
    frame = pd.read_csv(
        path,
        encoding=encoding,
        sep=separator,
        decimal=decimal,
        skipinitialspace=True,
        skiprows=1 if for_excel else 0,
        compression=None,
        dtype=dict.fromkeys(labels, str),  # 02 is a name
        keep_default_na=False,  # so is NA
        na_values={column: [""] if column in labels else MISSING for column in columns},
    )
    return _from_frame(path.name, frame)


def _encoding(path: Path) -> str:
    """A text file's encoding: UTF-8 with or without a mark, UTF-16 with one, or else Latin-1."""
    if _begins_with(path, b"\xff\xfe") or _begins_with(path, b"\xfe\xff"):
        return "utf-16"
    try:
        with path.open(encoding="utf-8-sig") as file:
            while file.read(2**20):
                pass
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def _from_parquet(path: Path) -> Predictions:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:  # not by an extra: the one that has it brings torch, too
        raise UserError(f"{path}: reading Parquet needs pyarrow: pip install {error.name}") from None
    try:
        file = parquet.ParquetFile(path)
        if file.metadata.num_rows * file.metadata.num_columns > MOST_VALUES:
            raise UserError(f"{path}: more than {MOST_VALUES:,} numbers; keep fewer examples")
        return _from_frame(path.name, file.read().to_pandas())
    except pyarrow.ArrowException as error:
        raise UserError(f"{path}: {brief(error)}") from None


def _from_frame(name: str, frame: pd.DataFrame) -> Predictions:
    """A row an example: a column of labels, maybe one of splits, and a column a class, or one of lists."""
    frame = frame.rename(columns={column: str(column).strip() for column in frame.columns})
    _refuse_doubles(name, frame.columns)
    lower = {column.lower(): column for column in frame.columns}
    label = next((lower[known] for known in LABELS if known in lower), None)
    if label is None:
        raise UserError(
            f"{name}: no column of labels; name one {LABELS[1]} (there are {brief(', '.join(frame.columns))})"
        )
    if frame[label].isna().any():
        raise UserError(f"{name}: row {int(np.flatnonzero(frame[label].isna())[0])} has no label")
    split = next((lower[known] for known in SPLIT if known in lower), None)
    others = frame.drop(columns=[c for c in (label, split) if c])
    scores, classes, kind, unused = _class_columns(name, others)
    if not len(frame):
        raise UserError(f"{name}: there is no row; a row is an example")
    labels = _names_or_numbers(frame[label], classes)
    tested, held_out = np.ones(len(frame), dtype=bool), np.zeros(len(frame), dtype=bool)
    if split:
        tested, held_out, unused_rows = _splits(name, frame[split])
        unused = [*unused, *unused_rows]
    arrays = {"labels": labels[tested], kind: scores[tested], "class_names": np.array(classes, dtype=object)}
    if held_out.any():
        arrays |= {"val_labels": labels[held_out], f"val_{kind}": scores[held_out]}
    found = from_arrays(name, arrays)
    return replace(found, notes=(*found.notes, f"not used: {', '.join(unused)}")) if unused else found


def _names_or_numbers(column: pd.Series, classes: Sequence[str]) -> np.ndarray:
    """Labels (N,): names where all are names of classes, numbers too; else numbers where all are numbers."""
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and column.dtype != bool
    names = [f"{value:.15g}" for value in column] if numeric else [str(value).strip() for value in column]
    if set(names) <= set(classes):
        return np.array(names, dtype=object)
    numbers = pd.to_numeric(column, errors="coerce")
    return np.array(names, dtype=object) if numbers.isna().any() else numbers.to_numpy()


def _splits(name: str, column: pd.Series) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Which rows (N,) are test and which validation data, and what is said of training data, which are left out."""
    words = column.astype(str).str.strip().str.lower()
    tested, held_out, learnt = (words.isin(known).to_numpy() for known in (TEST, VALIDATION, TRAINING))
    if not (tested | held_out | learnt).all():
        other = column[~(tested | held_out | learnt)].iloc[0]
        raise UserError(f"{name}: {column.name} says {brief(other)}; it has to be test, validation or train")
    if not tested.any():
        raise UserError(f"{name}: no row is test data; there is nothing to assess")
    return tested, held_out, [f"{learnt.sum():,} rows of training data"] if learnt.any() else []


def _refuse_doubles(name: str, columns: Iterable[str]) -> None:
    """UserError where two columns have one name; names of labels and splits are the same in capitals."""
    seen = set()
    for column in map(str.strip, columns):
        key = column.lower() if column.lower() in (*LABELS, *SPLIT) else column
        if key and key in seen:
            raise UserError(f"{name}: there are two columns {brief(key)}; keep one")
        seen.add(key)


def _class_columns(name: str, frame: pd.DataFrame) -> tuple[np.ndarray, Sequence[str], str, list[str]]:
    """Scores (N, K), names of classes, whether they are logits or probabilities, and the columns that are neither.

    A column of lists is named logits or probabilities; columns of numbers begin with logit_ or probability_, or are all
    that are numbers and do not count the rows: probabilities if every row is a distribution.
    """
    for column in frame.columns:
        if column.lower() in COLUMN_PREFIXES and frame[column].dtype == object and len(frame):
            lists = frame[column].tolist()
            if len({len(row) if hasattr(row, "__len__") else None for row in lists}) != 1:
                raise UserError(f"{name}: the lists in {column} are not equally long")
            unused = [other for other in frame.columns if other != column]
            return np.array(lists), [str(k) for k in range(len(lists[0]))], COLUMN_PREFIXES[column.lower()], unused
    parted = {column: column.partition("_") for column in frame.columns}
    for kind in ("logits", "probabilities"):
        named = {c: rest for c, (head, _, rest) in parted.items() if rest and COLUMN_PREFIXES.get(head.lower()) == kind}
        if len(named) > 1:
            unused = [column for column in frame.columns if column not in named]
            return _numbers(name, frame[list(named)]).to_numpy(), list(named.values()), kind, unused
    counted = [column for column in frame.columns if column.lower() in ROW_NAMES or column.startswith("Unnamed:")]
    numbers = _numbers(name, frame.drop(columns=counted)).select_dtypes("number")
    unused = [column for column in frame.columns if column not in numbers.columns]
    if numbers.shape[1] < 2:
        hint = f"; {brief(', '.join(unused))} are no numbers" if unused else ""
        raise UserError(f"{name}: no column for each class, such as logit_cat and logit_dog{hint}")
    values = numbers.to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore"):  # what is no number is said of the row
        distributions = values.min() >= 0 and np.all(np.abs(values.sum(axis=1) - 1) <= PRINTED_SUM_TOLERANCE)
    return values, list(numbers.columns), "probabilities" if distributions else "logits", unused


def _numbers(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns as they are; UserError for one in which some values are numbers and others text, such as 1,234.5."""
    for column in frame.columns.difference(frame.select_dtypes("number").columns):
        no_number = pd.to_numeric(frame[column].astype(str), errors="coerce").isna()
        if not no_number.all():
            text = frame[column][no_number if no_number.any() else ~no_number].iloc[0]
            raise UserError(f"{name}: the column {brief(column)} should be numbers, but {brief(str(text))} is text")
    return frame
