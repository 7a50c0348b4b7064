"""Every parameter of every chapter, with values that none can have: one line each, before anything is trained."""

import io
import math
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import nbformat
import pytest

from lsbook.core.errors import UserError
from lsbook.runner import obtain

CHAPTERS = sorted((Path(__file__).parents[2] / "book").glob("*.ipynb"))
LONG = "x" * 100_000
NO_VALUES = (
    *(None, True, -1, 10**31, 10**400, -(10**400), -0.5, 1e300, math.nan, -math.inf, "", "abc", "nan", "1e999"),
    *("a\nb\x1b[2J", "<script>", "0-99999999999999999999999", "1,1", "0.1,nan", "9" * 5_000, LONG, ",".join(LONG)),
    *([0, 1], [[]], {"a": 1}, b"x", (0.5, 2)),
)


class Trained(Exception):
    """What was asked for would be trained."""


def cells(path: Path) -> tuple[str, list[str]]:
    """The code of the parameters and of the other cells."""
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    [parameters] = [cell.source for cell in code if "parameters" in cell.metadata.get("tags", [])]
    return parameters, [cell.source for cell in code if cell.source != parameters]


def parameters_of(path: Path) -> list[str]:
    names = {}
    exec(cells(path)[0], names)
    return [name for name in names if not name.startswith("__")]


@pytest.mark.parametrize(
    ("path", "name"),
    [(path, name) for path in CHAPTERS for name in parameters_of(path)],
    ids=lambda value: value if isinstance(value, str) else value.stem,
)
def test_what_is_no_value_is_refused_in_one_line(path, name, results, data_folder, monkeypatch):
    def train(*_):
        raise Trained

    monkeypatch.setattr(obtain, "_train", train)
    declared, others = cells(path)
    code = [compile(source, path.stem, "exec") for source in others]
    for value in NO_VALUES:
        names = {}
        exec(declared, names)
        names[name] = value
        known_from_records_alone = pytest.raises(Trained) if name == "words" else pytest.raises(UserError)
        with known_from_records_alone as caught, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            for cell in code:
                exec(cell, names)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400
