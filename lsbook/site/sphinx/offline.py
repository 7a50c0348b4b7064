"""Sphinx extension: pages that ask no host but their own for anything, and that for nothing they do not use.

Jupyter Book always loads sphinx-thebe, which puts the address of a CDN on every page even when nothing can be launched.
Its scripts are taken out again; so are MathJax (2 MB) from pages without formulas, the styles of sphinx-design from
pages without its elements, and Font Awesome's script (1.5 MB), since its fonts draw the same icons.
"""

import re
from pathlib import Path

THEBE_SCRIPT = re.compile(r'<script(?: type="text/x-thebe-config"|>kernelName).*?</script>', re.DOTALL)
ICON_SCRIPT = re.compile(r'\s*<script[^>]* src="[^"]*scripts/fontawesome\.js[^"]*"></script>')


def strip_thebe(app, pagename, templatename, context, doctree) -> None:
    """Take sphinx-thebe's scripts out of a page's head and body."""
    context["script_files"] = [script for script in context["script_files"] if not _is("thebe", script)]
    context["body"] = THEBE_SCRIPT.sub("", context.get("body", ""))


def strip_unused(app, pagename, templatename, context, doctree) -> None:
    """Take out of a page what only other pages use. The single page of a print keeps everything."""
    if app.builder.name != "html":
        return
    if not app.env.domaindata["math"]["has_equations"].get(pagename):  # not those of the pages below it
        context["script_files"] = [script for script in context["script_files"] if not _is("mathjax", script)]
    if "sd-" not in context.get("body", ""):
        context["css_files"] = [sheet for sheet in context["css_files"] if not _is("sphinx-design", sheet)]


def strip_icon_script(app, exception) -> None:
    """Take Font Awesome's script, which the theme's template has, out of every page."""
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        path.write_text(ICON_SCRIPT.sub("", text), encoding="utf-8")


def _is(word: str, asset) -> bool:
    """Whether a script or style sheet has the word in its address or content."""
    text = f"{getattr(asset, 'filename', asset)} {getattr(asset, 'attributes', {}).get('body', '')}"
    return word in text.lower()


def setup(app) -> dict:
    """Connect after the extensions and the theme, which add scripts on the same event."""
    app.connect("html-page-context", strip_thebe, priority=900)
    app.connect("html-page-context", strip_unused, priority=900)
    app.connect("build-finished", strip_icon_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
