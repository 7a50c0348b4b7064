"""What git tells of the checkout that a file is from, whoever owns it and however the reader has set up git."""

import os
import subprocess
from pathlib import Path

# A look that writes nothing and starts nothing. Whoever asks is about to run these sources, so may trust them.
GIT = ("git", "--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false")
WHERE = "PATH", "SYSTEMROOT"


def git(file: Path, *arguments: str) -> str | None:
    """What git says in the folder of `file`; None where it is in no checkout, or in another's that does not have it."""
    environment = {name: os.environ[name] for name in WHERE if name in os.environ}

    def said(*command: str) -> str:
        command = *GIT, "-C", file.parent, *command
        done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True, errors="replace")
        return done.stdout.strip()

    try:
        said("ls-files", "--error-unmatch", file.name)
        return said(*arguments)
    except (OSError, subprocess.CalledProcessError):
        return None


def commit(file: Path) -> str:
    """The commit of the folder that `file` is in, marked when files differ from it; where it is in no checkout of its
    own what LSBOOK_COMMIT says, or "unknown"."""
    found = git(file, "rev-parse", "--short=12", "HEAD")
    if found is None:
        return os.environ.get("LSBOOK_COMMIT") or "unknown"
    return found + (" with changes" if git(file, "status", "--porcelain", "--untracked-files=normal", ".") else "")
