"""Pages printed by Chromium, where there is one, and by stand-ins that fail."""

import http.server
import re
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from lsbook.core.errors import UserError
from lsbook.site import printing


@pytest.fixture
def page(tmp_path) -> Path:
    path = tmp_path / "page.html"
    path.write_text("<h1>One</h1><h1 style='break-before: page'>Two</h1><h1 style='break-before: page'>Three</h1>")
    return path


def stand_in(folder: Path, monkeypatch, script: str) -> None:
    """The only program on the PATH is a browser that does this."""
    path = folder / "bin" / "chromium"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent))


def test_a_page_is_printed_whole(chromium, page, tmp_path):
    target = printing.print_page(page, tmp_path / "page.pdf")
    content = target.read_bytes()
    assert content.startswith(b"%PDF")
    assert re.search(rb"/Count (\d+)", content)[1] == b"3"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "page.pdf"]


class Listener(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_):
        pass


def test_a_page_that_is_printed_reads_no_file_and_asks_no_host(chromium, tmp_path):
    """Its own images and scripts it has."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "own.js").write_text("document.write('<h1>One</h1><h1 style=\\'break-before: page\\'>Two</h1>')")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}"
        page = tmp_path / "page.html"
        page.write_text(
            f"<script src='own.js'></script><img src='{host}/image'><iframe src='{host}/frame'></iframe><script>"
            f"new Image().src = '{host}/script'; const file = new XMLHttpRequest(); file.open('GET', 'secret.txt');"
            f"file.onload = () => new Image().src = '{host}/' + file.responseText; file.send()</script>"
        )
        printed = printing.print_page(page, tmp_path / "page.pdf").read_bytes()
        server.shutdown()
    assert Listener.asked == []
    assert re.search(rb"/Count (\d+)", printed)[1] == b"2"


@pytest.mark.parametrize("script", ["echo first >&2; echo 'no display' >&2; exit 1", "echo 'no display' >&2"])
def test_a_browser_that_fails_leaves_the_earlier_pdf(page, tmp_path, monkeypatch, script):
    stand_in(tmp_path, monkeypatch, script)
    target = tmp_path / "page.pdf"
    target.write_bytes(b"earlier")
    with pytest.raises(UserError, match=r"chromium did not print .*page\.html: no display$"):
        printing.print_page(page, target)
    assert target.read_bytes() == b"earlier"


def test_a_browser_that_hangs_is_stopped(page, tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "exec /bin/sleep 60")
    monkeypatch.setattr(printing, "PRINTING_TIMEOUT", 0.1)
    with pytest.raises(UserError, match=r"did not print .*page\.html within 0.1 s"):
        printing.print_page(page, tmp_path / "page.pdf")


def test_without_a_browser_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="printing the book needs Chromium"):
        printing.browser()
