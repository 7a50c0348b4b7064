"""The one error a user can mend, a single line that says what, where and what to do; and the checks that raise it."""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

UNBREAKABLE = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"


class UserError(ValueError):
    """Bad input or surroundings. The command line prints it and exits with code 2."""

    def __str__(self) -> str:
        """Return the message as one printable line, whatever names and texts of files are in it."""
        return one_line(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback (an IPython hook)."""
        return [f"lsbook: {self}"]


def require(condition: object, message: str) -> None:
    """UserError with this message unless the condition holds."""
    if not condition:
        raise UserError(message)


def one_line(text: str) -> str:
    """Return the text as one printable line.

    White space becomes spaces (those that do not break stay), and what does not print, such as the codes that move a
    terminal's cursor or turn the direction of writing, becomes a replacement character.
    """
    return "".join(
        char if char.isprintable() or char in UNBREAKABLE else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


def print_lines(text: object, file: TextIO | None = None) -> None:
    """Print text, each of its lines by `one_line`, so that no name or text from a file reaches a terminal as a command.

    Args:
        text: what to print, as `str` gives it.
        file: where to, standard output when not given.
    """
    print("\n".join(map(one_line, str(text).split("\n"))), file=file)


@contextmanager
def needing(extra: str, purpose: str) -> Iterator[None]:
    """Turn a module that is not installed, while the context lasts, into a message of how to install it.

    Args:
        extra: the optional dependencies of this package that bring the module.
        purpose: what needs it, such as "building the book".

    Raises:
        UserError: in place of ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f'{purpose} needs {error.name}: pip install -e ".[{extra}]"') from None


def brief(value: object) -> str:
    """Return the beginning of a value's representation, at most 60 characters, for a message."""
    try:
        return shortened(repr(value), 60)
    except ValueError:  # a whole number of more digits than Python writes
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"


def shortened(text: str, most: int) -> str:
    """Return at most so many characters of a text, an ellipsis in place of what is left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def one_of(what: str, value: object, allowed: Collection[object]) -> None:
    """Raise UserError, listing what is allowed, unless `value` is among `allowed`; `what` names their kind."""
    if value not in list(allowed):
        raise UserError(f"unknown {what} {brief(value)}: choose from {', '.join(map(str, allowed))}")


def whole_number(name: str, value: object, least: int, most: int) -> None:
    """Raise UserError unless the parameter `name` is a whole number from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UserError(f"{name} must be a whole number of at least {least} and at most {most}, not {brief(value)}")


def real_number(name: str, value: object) -> float:
    """Return the parameter `name`, a finite number, as a float. Raises UserError for anything else, text as well."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            if math.isfinite(found := float(value)):
                return found
    raise UserError(f"{name} must be a number, not {brief(value)}")


def parse_numbers(name: str, text: object) -> tuple[float, ...]:
    """Return the numbers that a parameter lists, such as "0.1,0.3".

    Args:
        name: what the message calls the parameter.
        text: the numbers separated by commas, or a single number.

    Raises:
        UserError: unless they are at most 100 different finite numbers.
    """
    try:
        found = tuple(float(part) + 0.0 for part in str(text).split(","))  # of −0 it makes 0
    except ValueError:
        found = ()
    if not 0 < len(found) <= 100 or len(set(found)) < len(found) or not all(map(math.isfinite, found)):
        raise UserError(f'{name} must be numbers such as "0.1,0.3", each once, at most 100, not {brief(text)}')
    return found


def parse_number(name: str, text: object) -> float:
    """Return the parameter `name`, a finite number or its text, as a float. Raises UserError for anything else."""
    try:
        return real_number(name, float(text) if isinstance(text, str) else text)
    except ValueError:
        raise UserError(f"{name} must be a number, not {brief(text)}") from None


def several_of(what: str, text: str, allowed: Sequence[str], count: int) -> tuple[int, ...]:
    """Return where among `allowed` the names are that a parameter lists, such as "cat,dog".

    Args:
        what: the kind of the names, for the message.
        text: names separated by commas.
        allowed: the names there are.
        count: how many different ones there must be.

    Raises:
        UserError: if a name is unknown, is there twice, or there are more or fewer than `count`.
    """
    names = [name.strip() for name in str(text).split(",")]
    for name in names:
        one_of(what, name, allowed)
    if len(names) != count or len(set(names)) != count:
        raise UserError(f"expected {count} different names, each a {what}, not {brief(text)}")
    return tuple(allowed.index(name) for name in names)
