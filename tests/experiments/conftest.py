"""What the chapters' tests share."""

from collections.abc import Callable

import pytest

from lsbook.run import Run
from lsbook.store import Record, Store

ENVIRONMENT = {  # what captions quote
    "device": "a device",
    "precision": "float32",
    "torch": "2.0",
    "commit": "abc",
    "images_per_second": 1000,
    "training_seconds": 3.0,
    "data": {"variant": "a variant"},
}


@pytest.fixture(scope="session")
def put() -> Callable[..., Record]:
    """Record a run: put(store, run, metrics=…, history=…, arrays=…), each empty if not given; further facts are of the
    environment."""

    def put(store: Store, run: Run, *, metrics=None, history=None, arrays=None, **facts) -> Record:
        return store.put(
            run, metrics=metrics or {}, history=history or {}, environment=ENVIRONMENT | facts, arrays=arrays or {}
        )

    return put
