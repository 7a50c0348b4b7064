"""`lsbook` and `python -m lsbook`: the command line. What interrupts it, even while it starts, leaves one line."""

import gc
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

INTERRUPTED = 128 + signal.SIGINT  # the exit code that shells give to what Ctrl-C ends


def main(commands: "click.Command | None" = None) -> None:
    """Run the command line, of lsbook's commands or of others; SIGTERM unwinds it as Ctrl-C does."""
    code: int | str | None = INTERRUPTED
    try:
        signal.signal(signal.SIGTERM, _terminate)
        from lsbook import cli

        cli.main(commands or cli.app)
    except KeyboardInterrupt:
        pass
    except SystemExit as end:
        code = end.code
    if code in (INTERRUPTED, 128 + signal.SIGTERM):
        print("lsbook: stopped", file=sys.stderr)
        gc.freeze()  # else the interpreter looks for garbage among all of torch, seconds long, before it ends
    sys.exit(code)


def _terminate(number: int, _: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
