"""What tests share: the real data's folder, and stores and data that live only as long as a test."""

import contextlib
import functools
import http.server
import os
import signal
import threading
from pathlib import Path

import hypothesis
import pytest

from lsbook.core.errors import UserError
from lsbook.core.torchvision_operators import declare_missing
from lsbook.site import printing

declare_missing()  # torchmetrics imports torchvision
# What is started in the background ignores Ctrl-C, and so would all processes that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("lsbook", deadline=None)  # no test decides on time
hypothesis.settings.load_profile("lsbook")

REAL_DATA = Path(os.environ.get("LSBOOK_DATA") or "data").resolve()


# Files that take longest, by their time. They are begun first, so that none of them is left to one process at the end.
LONGEST = (
    "site/test_browser.py",
    "training/engine/test_distributed.py",
    "test_faults.py",
    "runner/test_ray_cluster.py",
    "site/test_build.py",
    "chapters/test_notebooks.py",
    "training/engine/test_loop.py",
    "training/images/test_teachers.py",
    "test_newcomer.py",
    "site/test_hostile.py",
    "benchmarks/test_benchmarks.py",
    "chapters/test_newcomers_chapter.py",
    "test_try.py",
    "runner/test_sweep.py",
    "chapters/test_further_arms.py",
)


def pytest_collection_modifyitems(items):
    """The longest files come first. Tests marked `real_data(folder, …)` run only where those folders are, and say so
    elsewhere."""
    items.sort(key=lambda item: [not item.path.as_posix().endswith(name) for name in LONGEST])
    for item in items:
        for mark in item.iter_markers("real_data"):
            missing = [name for name in mark.args if not (REAL_DATA / name).is_dir()]
            if missing:
                reason = f"no {' and '.join(missing)} under {REAL_DATA}: set LSBOOK_DATA to a folder that has them"
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter):
    """Say how many faults the processes in test_faults.py went through, and how fast a large text was prepared."""
    passed = terminalreporter.getreports("passed")
    for section in ("faults", "large text"):
        lines = [value for report in passed for name, value in report.user_properties if name == section]
        if lines:
            terminalreporter.section(section)
            terminalreporter.write_line("\n".join(lines))


@pytest.fixture(autouse=True, scope="session")
def runs(tmp_path_factory):
    """A folder for weights that no test shares with the project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSBOOK_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(scope="session")
def environment() -> dict:
    """What a record says of where it was made."""
    return {
        "python": "3.11.0",
        "torch": "2.0",
        "numpy": "2.0",
        "device": "a device",
        "threads": 1,
        "precision": "float32",
        "commit": "abc",
        "recorded": "2026-01-02T03:04:05+00:00",
        "data": {"variant": "a variant", "train_sha256": "0" * 64, "test_sha256": "1" * 64},
        "training_seconds": 3.0,
        "peak_memory_mb": 100,
        "images_per_second": 1000,
        "tokens_per_second": 1000,
    }


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    """An empty results folder, used by whatever asks for the default store."""
    monkeypatch.setenv("LSBOOK_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def data_folder(tmp_path, monkeypatch) -> Path:
    """An empty data folder in place of the real one."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("LSBOOK_DATA", str(folder))
    return folder


@pytest.fixture(scope="module")
def serve():
    """A function from a folder to the address of a local server for its files."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    @contextlib.contextmanager
    def serving(folder: Path):
        handler = functools.partial(Quiet, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    with contextlib.ExitStack() as servers:
        yield lambda folder: servers.enter_context(serving(folder))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Chromium; what needs it is skipped where there is none."""
    try:
        return printing.browser()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def browser(chromium):
    """Headless Chromium, driven by Playwright. No other event loop runs beside it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
