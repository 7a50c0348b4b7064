"""Sphinx extension: pages that assistive technology can make sense of.

docutils writes a bibliography as a list (role="list") whose entries have a role that is none of a list's.
"""

CONTRADICTING = ' role="list" class="citation-list"', ' role="doc-biblioentry"'


def strip_roles(app, pagename, templatename, context, doctree) -> None:
    """Take these roles out of a page's body; numbers and links stay."""
    as_list, as_entry = CONTRADICTING
    body = context.get("body", "").replace(as_list, ' class="citation-list"')
    context["body"] = body.replace(as_entry, "")


def setup(app) -> dict:
    """Connect when a page's body is written."""
    app.connect("html-page-context", strip_roles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
