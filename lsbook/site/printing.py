"""The book on paper: Jupyter Book puts all chapters on one page, and Chromium prints it."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lsbook.core.errors import UserError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VIRTUAL_TIME = 30_000  # milliseconds of the page's own time in which MathJax has to be done
PRINTING_TIMEOUT = 300  # seconds
NO_NETWORK = ("--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking", "--no-first-run")


def browser() -> str:
    """Return the path of Chromium. UserError when there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise UserError("printing the book needs Chromium on the PATH, for example Debian's package chromium")
    return found


def print_page(page: Path, target: Path) -> Path:
    """Print one page to `target`, a PDF that replaces an earlier one; return `target`.

    The page shows images and runs scripts of its folder, but reads no other file, and there is no network.

    UserError when the browser fails.
    """
    with tempfile.TemporaryDirectory(prefix=".printing-", dir=target.parent, ignore_cleanup_errors=True) as folder:
        made = Path(folder) / target.name
        command = [browser(), "--headless=new", "--disable-gpu", *NO_NETWORK, f"--user-data-dir={folder}"]
        command += ["--no-pdf-header-footer", f"--virtual-time-budget={VIRTUAL_TIME}", f"--print-to-pdf={made}"]
        if os.name == "posix" and os.geteuid() == 0:
            command.append("--no-sandbox")  # which root cannot have
        try:
            done = subprocess.run(
                [*command, page.as_uri()], capture_output=True, text=True, errors="replace", timeout=PRINTING_TIMEOUT
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"{command[0]} did not print {page} within {PRINTING_TIMEOUT} s") from None
        if done.returncode or not made.is_file():
            raise UserError(f"{command[0]} did not print {page}: {done.stderr.strip().rpartition(chr(10))[2]}")
        return made.replace(target)
