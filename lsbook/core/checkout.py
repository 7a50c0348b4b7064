"""What git tells of the checkout that a file is from, whoever owns it and however the reader has set up git."""

import os
import subprocess
from pathlib import Path

# A look that writes nothing and starts nothing. Whoever asks is about to run these sources, so may trust them.
GIT = ("git", "--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false")
WHERE = "PATH", "SYSTEMROOT"


def git(file: Path, *arguments: str) -> str | None:
    """Run git in the folder of a file and return what it prints.

    Args:
        file: a file of the checkout.
        arguments: the command, such as "rev-parse", "HEAD".

    Returns:
        Standard output without surrounding white space; None where git fails or is not there, and where the file is in
        no checkout or in another's that does not have it.
    """
    environment = {name: os.environ[name] for name in WHERE if name in os.environ}

    def output(*command: str) -> str:
        done = subprocess.run(
            [*GIT, "-C", str(file.parent), *command],
            env=environment,
            capture_output=True,
            check=True,
            text=True,
            errors="replace",
        )
        return done.stdout.strip()

    try:
        output("ls-files", "--error-unmatch", file.name)
        return output(*arguments)
    except (OSError, subprocess.CalledProcessError):
        return None


def commit(file: Path) -> str:
    """Return the commit that a file's folder is at: 12 hex digits, and "with changes" where files differ from it.

    Where the folder is in no checkout of its own, it is what LSBOOK_COMMIT says, or "unknown".
    """
    found = git(file, "rev-parse", "--short=12", "HEAD")
    if found is None:
        return os.environ.get("LSBOOK_COMMIT") or "unknown"
    return found + (" with changes" if git(file, "status", "--porcelain", "--untracked-files=normal", ".") else "")
