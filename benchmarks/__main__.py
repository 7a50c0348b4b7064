"""`python -m benchmarks`: a command line that fails and ends as `lsbook` does."""

from pathlib import Path
from typing import Annotated

import typer

from lsbook.__main__ import main

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks; all when none is named.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the results there too.")] = None,
) -> None:
    """Time our way against the plain way, in turn, in one process; prints medians, ratios and the machine's limits."""
    from benchmarks import suite

    suite.run(names or (), json_file=json)


if __name__ == "__main__":
    main(app)
