"""What the data tests share."""

import pytest


@pytest.fixture
def served(serve, tmp_path):
    """Address of a local server for the files of a folder."""
    return serve(tmp_path)
