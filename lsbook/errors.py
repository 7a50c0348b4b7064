"""The one error a user can mend: a single line that says what, where and what to do."""


class UserError(ValueError):
    """Bad input or surroundings. The command line prints it and exits with code 2."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback (an IPython hook)."""
        return [f"lsbook: {self}"]


def one_of(what: str, value: object, allowed) -> None:
    """Raise UserError, listing what is allowed, unless `value` is among `allowed`."""
    if value not in allowed:
        raise UserError(f"unknown {what} {value!r}: choose from {', '.join(map(str, allowed))}")
