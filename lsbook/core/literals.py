"""Values that are given as text, in an option or in a notebook's cell of parameters."""

import ast
from typing import Any

# What `ast.literal_eval` says that it may raise: TypeError of `{[]: 1}`, the last two of brackets within brackets.
LITERAL_ERRORS = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)


def read_literal(text: str) -> Any:
    """Return the number, name in quotes, None, tuple or whatever else Python reads in the text; else the text.

    −0 is 0, as which a run is not another one.
    """
    try:
        found = ast.literal_eval(text)
    except LITERAL_ERRORS:
        return text
    return found + 0.0 if isinstance(found, float) else found
