"""What a sweep shows on standard error: on a terminal a table that renews itself, elsewhere only lines."""

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lsbook.core.errors import one_line


class Board:
    """Use as a context: lines stay, and below them, on a terminal, is what runs."""

    def __init__(self):
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, auto_refresh=False, transient=True)

    def __enter__(self) -> "Board":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_) -> None:
        self.live.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(one_line(line), markup=False)

    def show(self, headline: str, rows: Sequence[Sequence[str]]) -> None:
        """Renew the table: a headline, and the cells of each row."""
        if self.live.is_started:
            table = Table(title=headline, title_justify="left", box=None, show_header=False)
            for row in rows:
                table.add_row(*(Text(one_line(cell)) for cell in row))
            self.live.update(table, refresh=True)
