"""Sphinx extension: under each figure, table and part to work of a notebook, where it comes from.

`provenance.json` beside the configuration holds the HTML: page -> number of execution of the code cell -> text.
"""

import json
from pathlib import Path

from docutils import nodes


def append_details(app, doctree) -> None:
    """Add to every code cell that shows a figure, a table or HTML of its own the text that belongs to it."""
    texts = app.config.lsbook_provenance.get(app.env.docname, {})
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code":
            continue
        shows = next(cell.findall(lambda node: isinstance(node, nodes.figure | nodes.table | nodes.raw)), None)
        text = texts.get(str(cell["exec_count"]))
        if shows is not None and text:
            cell += nodes.raw("", text, format="html")


def _read(app, config) -> None:
    """Read the texts, once a build."""
    path = Path(app.confdir) / "provenance.json"
    config.lsbook_provenance = json.loads(path.read_text()) if path.is_file() else {}


def setup(app) -> dict:
    """Connect when the configuration is complete and whenever a page has been read."""
    app.add_config_value("lsbook_provenance", {}, "env")
    app.connect("config-inited", _read)
    app.connect("doctree-read", append_details)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
