"""The one error a user can mend: a single line that says what, where and what to do."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

UNBREAKABLE = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"


class UserError(ValueError):
    """Bad input or surroundings. The command line prints it and exits with code 2."""

    def __str__(self) -> str:
        """The message as one printable line, whatever names and texts of files are in it."""
        return one_line(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback (an IPython hook)."""
        return [f"lsbook: {self}"]


def one_line(text: str) -> str:
    """The text as one printable line: white space becomes spaces (those that do not break stay), and what does not
    print, such as the codes that move a terminal's cursor or turn the direction of writing, a replacement character."""
    return "".join(
        char if char.isprintable() or char in UNBREAKABLE else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


def print_lines(text: object, file: TextIO | None = None) -> None:
    """Print text, each of its lines by `one_line`, so that no name or text from a file reaches a terminal as a command.

    file: standard output when not given.
    """
    print("\n".join(map(one_line, str(text).split("\n"))), file=file)


@contextmanager
def needing(extra: str, purpose: str) -> Iterator[None]:
    """Within it a module that is not installed is a UserError: what the purpose needs, and how to install the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f'{purpose} needs {error.name}: pip install -e ".[{extra}]"') from None


def said(value: object) -> str:
    """A value as a message shows it: no more than its beginning."""
    try:
        return cut(repr(value), 60)
    except ValueError:  # a whole number of more digits than Python writes
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"


def cut(text: str, most: int) -> str:
    """At most so many characters of a text."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def one_of(what: str, value: object, allowed) -> None:
    """Raise UserError, listing what is allowed, unless `value` is among `allowed`."""
    if value not in list(allowed):
        raise UserError(f"unknown {what} {said(value)}: choose from {', '.join(map(str, allowed))}")


def whole_number(name: str, value: object, least: int, most: int) -> None:
    """Raise UserError unless a parameter is a whole number from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UserError(f"{name} must be a whole number of at least {least} and at most {most}, not {said(value)}")


def real_number(name: str, value: object) -> float:
    """A parameter that is a finite number, as one of Python's floats. UserError for anything else, text as well."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            if math.isfinite(found := float(value)):
                return found
    raise UserError(f"{name} must be a number, not {said(value)}")


def numbers(name: str, text: object) -> tuple[float, ...]:
    """Different finite numbers separated by commas, or a single one, at most 100. UserError for anything else."""
    try:
        found = tuple(float(part) for part in str(text).split(","))
    except ValueError:
        found = ()
    if not 0 < len(found) <= 100 or len(set(found)) < len(found) or not all(map(math.isfinite, found)):
        raise UserError(f'{name} must be numbers such as "0.1,0.3", each once, at most 100, not {said(text)}')
    return found


def number(name: str, text: object) -> float:
    """A single finite number, or the text of one. UserError for anything else."""
    try:
        return real_number(name, float(text) if isinstance(text, str) else text)
    except ValueError:
        raise UserError(f"{name} must be a number, not {said(text)}") from None


def several_of(what: str, text: str, allowed: Sequence[str], count: int) -> tuple[int, ...]:
    """Places among `allowed` of names separated by commas. UserError unless they are `count` different ones."""
    names = [name.strip() for name in str(text).split(",")]
    for name in names:
        one_of(what, name, allowed)
    if len(names) != count or len(set(names)) != count:
        raise UserError(f"expected {count} different names, each a {what}, not {said(text)}")
    return tuple(allowed.index(name) for name in names)
