"""What a sweep shows on standard error: on a terminal a table that renews itself, elsewhere only lines."""

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lsbook.core.errors import one_line


class ProgressTable:
    """A context within which printed lines stay and, on a terminal, a table of what runs is shown below them."""

    def __init__(self):
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, auto_refresh=False, transient=True)

    def __enter__(self) -> "ProgressTable":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_) -> None:
        self.live.stop()

    def print_line(self, line: str) -> None:
        """Print a line that stays."""
        self.console.print(one_line(line), markup=False)

    def update(self, headline: str, rows: Sequence[Sequence[str]]) -> None:
        """Replace the table by a headline and the cells of each row; do nothing where there is no terminal."""
        if self.live.is_started:
            table = Table(title=headline, title_justify="left", box=None, show_header=False)
            for row in rows:
                table.add_row(*(Text(one_line(cell)) for cell in row))
            self.live.update(table, refresh=True)
