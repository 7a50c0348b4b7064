"""The one error a user can mend: a single line that says what, where and what to do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UserError(ValueError):
    """Bad input or surroundings. The command line prints it and exits with code 2."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback (an IPython hook)."""
        return [f"lsbook: {self}"]


@contextmanager
def needing(extra: str, purpose: str) -> Iterator[None]:
    """Within it a module that is not installed is a UserError: what the purpose needs, and how to install the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f'{purpose} needs {error.name}: pip install -e ".[{extra}]"') from None


def one_of(what: str, value: object, allowed) -> None:
    """Raise UserError, listing what is allowed, unless `value` is among `allowed`."""
    if value not in allowed:
        raise UserError(f"unknown {what} {value!r}: choose from {', '.join(map(str, allowed))}")


def whole_number(name: str, value: object, least: int) -> None:
    """Raise UserError unless a parameter is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{name} must be a whole number of at least {least}, not {value!r}")


def numbers(name: str, text: object) -> tuple[float, ...]:
    """Different numbers separated by commas, or a single one. UserError for anything else."""
    try:
        found = tuple(float(part) for part in str(text).split(","))
    except ValueError:
        found = ()
    if not found or len(set(found)) < len(found):
        raise UserError(f'{name} must be numbers such as "0.1,0.3", each once, not {text!r}')
    return found


def number(name: str, text: object) -> float:
    """A single number. UserError for anything else."""
    try:
        return float(text)
    except (TypeError, ValueError):
        raise UserError(f"{name} must be a number, not {text!r}") from None


def several_of(what: str, text: str, allowed: Sequence[str], count: int) -> tuple[int, ...]:
    """Places among `allowed` of names separated by commas. UserError unless they are `count` different ones."""
    names = [name.strip() for name in str(text).split(",")]
    for name in names:
        one_of(what, name, allowed)
    if len(names) != count or len(set(names)) != count:
        raise UserError(f"expected {count} different names, each a {what}, not {text!r}")
    return tuple(allowed.index(name) for name in names)
