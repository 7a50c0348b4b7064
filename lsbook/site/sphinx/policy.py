"""Sphinx extension: pages with a content security policy.

A page loads what lies in the book's folder and nothing else, and runs of its inline scripts only those of the theme, by
their digests: none that stands in the page's body, which is made from what was recorded. Styles may be inline, as the
theme's and MathJax's are. `'self'` is the host of a page that is served; `file:` is for one that is opened as a file.
"""

import base64
import hashlib
import re
import secrets
from html import unescape
from pathlib import Path

SAME_ORIGIN = "'self' file:"
BORDER = f"<!-- {secrets.token_hex()} -->"  # around bodies while pages are made; none can contain it
CHARSET = re.compile(r'<meta charset="[^"]*" ?/?>')
SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script>", re.DOTALL)
HANDLER = re.compile(r'\son\w+="([^"]*)"')


def policy(theirs: str) -> str:
    """Return the content security policy of a page that has this HTML around its body."""
    handlers = [unescape(code) for code in HANDLER.findall(theirs)]
    digests = sorted({_digest(code) for code in [*SCRIPT.findall(theirs), *handlers] if code})
    rules = {
        "default-src": SAME_ORIGIN,
        "script-src": " ".join([SAME_ORIGIN, *(["'unsafe-hashes'"] if handlers else []), *digests]),
        "style-src": f"{SAME_ORIGIN} 'unsafe-inline'",
        "img-src": f"{SAME_ORIGIN} data:",
        "font-src": f"{SAME_ORIGIN} data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": SAME_ORIGIN,
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def _digest(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def mark_body(app, pagename, templatename, context, doctree) -> None:
    """Mark where the page's own content begins and ends within what the theme puts around it."""
    if "body" in context:
        context["body"] = f"{BORDER}{context['body']}{BORDER}"


def protect(app, exception) -> None:
    """Write its policy into every page."""
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        before, *body, after = text.split(BORDER) if BORDER in text else ["", text]
        if found := CHARSET.search(before + after):
            rule = f'{found[0]}<meta http-equiv="Content-Security-Policy" content="{policy(before + after)}" />'
            path.write_text("".join([before, *body, after]).replace(found[0], rule, 1), encoding="utf-8")


def setup(app) -> dict:
    """Connect after all that change a page, and when all are written."""
    app.connect("html-page-context", mark_body, priority=999)
    app.connect("build-finished", protect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
