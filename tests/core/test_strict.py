"""Dataclasses that are checked when they are made, and what they say of their fields."""

from dataclasses import FrozenInstanceError, fields, replace
from typing import Annotated

import pytest
from pydantic import Field

from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.registry import Corpus, Dataset, LossEntry, Model
from lsbook.core.strict import documented, strict


@strict
class Setting:
    """A setting of a test: one line.

    size, weight: how large, and
        how heavy: more than 0.

    Attributes:
        name: what it is called
            by everybody.
        plain: whether it is.
    No field: this is not one's line.
    """

    size: Annotated[float, Field(gt=0)]
    weight: Annotated[float, Field(gt=0)] = 1.0
    name: str = ""
    plain: bool = False


def test_values_are_neither_converted_nor_changed():
    setting = Setting(size=2)
    assert (setting.size, setting.weight) == (2.0, 1.0)
    with pytest.raises(FrozenInstanceError):
        setting.size = 3.0
    with pytest.raises(UserError, match="size must be above 0, not -1"):
        replace(setting, size=-1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "size is missing"),
        ({"size": "2"}, "size must be a number, not '2'"),
        ({"size": float("inf")}, "size must be a finite number, not inf"),
        ({"size": 1.0, "plain": 1}, "plain must be a valid boolean, not 1"),
        ({"size": 1.0, "sise": 1}, "unknown field of Setting 'sise': choose from size, weight, name, plain"),
    ],
)
def test_what_is_wrong_is_one_line(values, message):
    with pytest.raises(UserError) as caught:
        Setting(**values)
    assert str(caught.value) == message


def test_entries_of_a_docstring_are_found():
    both = "how large, and how heavy: more than 0."
    assert {name: text for name, text in documented(Setting).items() if name in ("size", "weight")} == {
        "size": both,
        "weight": both,
    }
    assert documented(Setting)["name"] == "what it is called by everybody."
    assert documented(Setting)["plain"] == "whether it is."
    assert set(documented(Setting)) == {"size", "weight", "name", "plain"}


@pytest.mark.parametrize("kind", [Run, Recipe, Dataset, Corpus, Model, LossEntry])
def test_every_field_that_somebody_may_write_is_described(kind):
    found = documented(kind)
    assert [field.name for field in fields(kind) if not found.get(field.name)] == []
