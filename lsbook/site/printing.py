"""The book on paper: Jupyter Book puts all chapters on one page, and Chromium prints it."""

import os
import shutil
import subprocess
from pathlib import Path

from lsbook.core.errors import UserError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 30_000  # milliseconds of the page's own time in which MathJax has to be done
LIMIT = 300  # seconds


def browser() -> str:
    """Path of Chromium. UserError when there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise UserError("printing the book needs Chromium on the PATH, for example Debian's package chromium")
    return found


def print_page(page: Path, target: Path) -> Path:
    """Print one page with all that it loads from its folder; returns `target`, a PDF that replaces an earlier one.

    UserError when the browser fails.
    """
    made = target.with_name(f".{target.name}")
    command = [browser(), "--headless=new", "--disable-gpu", "--allow-file-access-from-files"]
    command += ["--no-pdf-header-footer", f"--virtual-time-budget={PATIENCE}", f"--print-to-pdf={made}"]
    if os.name == "posix" and os.geteuid() == 0:
        command.append("--no-sandbox")  # which root cannot have
    try:
        done = subprocess.run(
            [*command, page.as_uri()], capture_output=True, text=True, errors="replace", timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} did not print {page} within {LIMIT} s") from None
    if done.returncode or not made.is_file():
        raise UserError(f"{command[0]} did not print {page}: {done.stderr.strip().rpartition(chr(10))[2]}")
    return made.replace(target)
