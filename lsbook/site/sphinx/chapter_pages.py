"""Sphinx extension: what every chapter's page has in common.

A notebook has to begin with its parameters and its set-up. On the page they stand folded at the end, where a reader is
told how to change them. A page with a widget loads the scripts that draw it.
"""

from docutils import nodes

AT_THE_END = ("tag_parameters", "tag_injected-parameters", "tag_set-up")
WIDGET = 'class="explorer"'
WIDGET_FILES = (
    '<link rel="stylesheet" href="../explorer/explorer.css">',
    *(f'<script defer src="../explorer/{name}.js"></script>' for name in ("arithmetic", "drawing", "explorer")),
)


def move_to_the_end(app, doctree) -> None:
    """Move a chapter's parameters and set-up to the end of its last section."""
    cells = [cell for cell in doctree.findall(nodes.container) if set(AT_THE_END) & set(cell.get("classes", ()))]
    if not cells:
        return
    *_, last = doctree.findall(nodes.section)
    below = [child for child in last if "toctree-wrapper" in child.get("classes", ())]  # pages that belong to this one
    for node in [*cells, *below]:
        node.parent.remove(node)
        last += node


def load_widgets(app, pagename, templatename, context, doctree) -> None:
    """Add the scripts of widgets to a page that has one."""
    if WIDGET in context.get("body", ""):
        context["body"] += "\n".join(WIDGET_FILES)


def setup(app) -> dict:
    """Connect whenever a page has been read, and when its body is written."""
    app.connect("doctree-read", move_to_the_end, priority=600)
    app.connect("html-page-context", load_widgets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
