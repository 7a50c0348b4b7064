"""Sphinx extension: pages that ask no host but their own for anything.

Jupyter Book always loads sphinx-thebe, which puts the address of a CDN on every page even
when nothing can be launched. Its scripts are taken out again.
"""

import re

THEBE_SCRIPT = re.compile(r'<script(?: type="text/x-thebe-config"|>kernelName).*?</script>', re.DOTALL)


def strip_thebe(app, pagename, templatename, context, doctree) -> None:
    """Take sphinx-thebe's scripts out of a page's head and body."""
    context["script_files"] = [script for script in context["script_files"] if not _is_thebe(script)]
    context["body"] = THEBE_SCRIPT.sub("", context.get("body", ""))


def _is_thebe(script) -> bool:
    text = f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', {}).get('body', '')}"
    return "thebe" in text.lower()


def setup(app) -> dict:
    """Connect after the extensions and the theme, which add scripts on the same event."""
    app.connect("html-page-context", strip_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
