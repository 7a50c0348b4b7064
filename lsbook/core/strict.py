"""Dataclasses that pydantic checks when they are made: strictly, and with errors of one line that name the field."""

import functools
import inspect
import re
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from lsbook.core.errors import UserError, brief

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

# How a message says what is allowed, by pydantic's types of errors.
ALLOWED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "one of {expected}",
}

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def strict(kind: type[T]) -> type[T]:
    """Make a class a frozen dataclass with keyword arguments, whose types and bounds are checked.

    Unknown fields and numbers that are not finite are refused, and nothing is converted, except whole numbers where
    any number may stand. What is wrong is a UserError of one line.
    """
    checked: type[T] = dataclass(frozen=True, kw_only=True, config=STRICT)(kind)  # type: ignore[assignment]
    return one_line_errors(checked)


def one_line_errors(kind: type[T]) -> type[T]:
    """Let a class that pydantic checks raise UserError, a line that names the field, in place of ValidationError."""
    construct = kind.__init__

    @functools.wraps(construct)
    def __init__(self: T, *arguments: Any, **values: Any) -> None:
        try:
            construct(self, *arguments, **values)
        except ValidationError as error:
            raise in_one_line(error, kind) from None

    kind.__init__ = __init__  # type: ignore[assignment, method-assign]  # what the decorator is for
    return kind


def in_one_line(error: ValidationError, kind: type) -> UserError:
    """Return the error for the first thing that is wrong: the field, what is allowed, and what was given."""
    first = error.errors()[0]
    place = [part for part in first["loc"] if part != kind.__name__]
    if first["type"] == "value_error":
        return UserError(str(first["ctx"]["error"]))
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        owner = _owner(kind, place[:-1])
        names = ", ".join(field.name for field in fields(owner))
        return UserError(f"unknown field of {owner.__name__} {brief(place[-1])}: choose from {names}")
    if first["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return UserError(f"{'.'.join(map(str, place))} is missing")
    allowed = ALLOWED.get(first["type"], first["msg"].replace("Input should be ", "")).format(**first.get("ctx", {}))
    return UserError(f"{'.'.join(map(str, place))} must be {allowed}, not {brief(first['input'])}")


def documented(kind: type) -> dict[str, str]:
    """What a class's docstring says of its fields, by name.

    Its entries are `name: text` or `name, other: text`, whose further lines are indented.
    """
    found: dict[str, str] = {}
    names: list[str] = []
    start = 0
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        text = line.lstrip()
        indent = len(line) - len(text)
        if not names or indent <= start:
            entry = re.match(r"(\w+(?:, \w+)*): (.*)", text)
            names, start, text = (entry[1].split(", "), indent, entry[2]) if entry else ([], 0, "")
        for name in names:
            found[name] = f"{found.get(name, '')} {text}".strip()
    return found


def _owner(kind: type, path: list[Any]) -> type:
    """The class of the field that a path of names leads to, from a class down."""
    for name in path:
        found = next((field.type for field in fields(kind) if field.name == name), None)
        kind = found if isinstance(found, type) and is_dataclass(found) else kind
    return kind
