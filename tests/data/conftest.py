"""What the data tests share."""

import dataclasses

import pytest

from lsbook.core.registry import CORPORA, DATASETS


@pytest.fixture
def register(monkeypatch):
    """A function that makes the catalogue's entry of a name another one: that of a smaller data set or text."""

    def registering(name: str, **fields) -> None:
        table = DATASETS if name in DATASETS else CORPORA
        monkeypatch.setitem(table, name, dataclasses.replace(table[name], **fields))

    return registering


@pytest.fixture
def served(serve, tmp_path):
    """Address of a local server for the files of a folder."""
    return serve(tmp_path)
