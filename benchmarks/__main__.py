"""`python -m benchmarks`: a command line that fails and ends as `lsbook` does."""

from pathlib import Path

import click

from lsbook.__main__ import main


@click.command()
@click.argument("names", nargs=-1)
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write results there too.")
def app(names: tuple[str, ...], json_file: Path | None) -> None:
    """Time our way against the plain way in the benchmarks of these NAMES, or all, in turn, in one process.

    Prints medians, ratios and the machine's limits.
    """
    from benchmarks import suite

    suite.run(names, json_file=json_file)


if __name__ == "__main__":
    main(app)
