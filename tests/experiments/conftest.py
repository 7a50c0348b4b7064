"""What the chapters' tests share."""

import pytest


@pytest.fixture(scope="session")
def environment() -> dict:
    """Of a record: what captions quote."""
    return {
        "device": "a device",
        "precision": "float32",
        "torch": "2.0",
        "commit": "abc",
        "images_per_second": 1000,
        "training_seconds": 3.0,
        "data": {"variant": "a variant"},
    }
