"""Sphinx extension: on a phone each row of a wide table is a block, every cell with its column's name above it.

The blocks of all rows have the same places, so that what is compared stays in one column. `_static/book.css` shows the
names on narrow pages only.
"""

from html import escape

from docutils import nodes

MOST_COLUMNS = 4  # that fit a phone as they are
PHONE, CHARACTER, PADDING = 350, 7, 10  # pixels: of a page, and about those of a character and of a column's padding


def label_cells(app, doctree) -> None:
    """Put the column's name into each cell of every table that does not fit a phone."""
    for table in doctree.findall(nodes.table):
        [group] = table.findall(nodes.tgroup)
        heads = list(group.findall(nodes.thead))
        if not heads or (group["cols"] <= MOST_COLUMNS and _least_width(group) <= PHONE):
            continue
        table["classes"].append("stacked")
        names = [entry.astext() for entry in heads[0].findall(nodes.entry)]
        for row in next(group.findall(nodes.tbody)).findall(nodes.row):
            for name, entry in list(zip(names, row.findall(nodes.entry), strict=True))[1:]:
                if entry.astext():
                    entry.insert(0, nodes.raw("", f'<span class="column-name">{escape(name)}</span>', format="html"))


def _least_width(group: nodes.tgroup) -> int:
    """About the pixels that a table of text needs, whose lines are broken at spaces; formulas are not counted."""
    rows = [list(row.findall(nodes.entry)) for row in group.findall(nodes.row)]
    columns = [
        [cell.astext() for cell in column if not any(cell.findall(nodes.math))] for column in zip(*rows, strict=True)
    ]
    words = [max((len(word) for text in column for word in text.split(" ")), default=0) for column in columns]
    return CHARACTER * sum(words) + PADDING * len(columns)


def setup(app) -> dict:
    """Connect whenever a page has been read."""
    app.connect("doctree-read", label_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
