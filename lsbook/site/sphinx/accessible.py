"""Sphinx extension: pages that assistive technology can make sense of.

docutils writes a bibliography as a list (role="list") whose entries have a role that is none of a list's. An image
without alternative text is a warning, which fails the build.
"""

from docutils import nodes
from sphinx.util import logging

CONTRADICTING = ' role="list" class="citation-list"', ' role="doc-biblioentry"'
LOGGER = logging.getLogger(__name__)


def strip_roles(app, pagename, templatename, context, doctree) -> None:
    """Take these roles out of a page's body; numbers and links stay."""
    as_list, as_entry = CONTRADICTING
    body = context.get("body", "").replace(as_list, ' class="citation-list"')
    context["body"] = body.replace(as_entry, "")


def require_alt(app, doctree, docname) -> None:
    """Warn of every image of a page that has no alternative text."""
    for image in doctree.findall(nodes.image):
        if not image.get("alt", "").strip():
            LOGGER.warning("an image has no alternative text: %s", image["uri"], location=docname)


def setup(app) -> dict:
    """Connect when a page's tree is done and when its body is written."""
    app.connect("doctree-resolved", require_alt)
    app.connect("html-page-context", strip_roles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
