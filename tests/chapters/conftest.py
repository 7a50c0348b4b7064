"""What the chapters' tests share."""

from collections.abc import Callable

import pytest

from lsbook.core.config import Run
from lsbook.core.store import Record, Store


@pytest.fixture(scope="session")
def put(environment) -> Callable[..., Record]:
    """Record a run: put(store, run, metrics=…, history=…, arrays=…), each empty if not given; further facts are of the
    environment."""

    def put(store: Store, run: Run, *, metrics=None, history=None, arrays=None, **facts) -> Record:
        return store.put(
            run, metrics=metrics or {}, history=history or {}, environment=environment | facts, arrays=arrays or {}
        )

    return put
