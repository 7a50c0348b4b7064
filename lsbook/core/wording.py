"""How numbers of things and lists are said."""

from collections.abc import Sequence


def counted(n: int, name: str) -> str:
    """Return a number with its noun, such as "1 seed" or "2 seeds"."""
    return f"{n} {name}" if n == 1 else f"{n} {name}s"


def listed(values: Sequence[str]) -> str:
    """Return the values as a list in a sentence, such as "a, b and c"."""
    return " and ".join([", ".join(values[:-1]), values[-1]] if len(values) > 1 else values)


def sentence_case(text: str) -> str:
    """Return the text with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]


def unbroken(text: str) -> str:
    """Return the text with each equation, such as "T = 8", and each percentage on one line."""
    return text.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}").replace(" %", "\N{NO-BREAK SPACE}%")
