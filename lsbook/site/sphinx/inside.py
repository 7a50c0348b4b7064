"""Sphinx extension: a book that is made of its own files.

A page that takes an image, a download or a text from outside of the source folder would publish what somebody has on
their disk; an image from elsewhere would have each reader's browser ask for it.
"""

from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError


def check_files(app, env) -> None:
    """End the build by an ExtensionError when a page shows, offers or includes a file from outside."""
    inside = Path(app.srcdir).resolve()
    depended = [path for paths in env.dependencies.values() for path in paths]
    for path in [*env.images, *env.dlfiles, *depended]:
        if not (inside / path).resolve().is_relative_to(inside):
            raise ExtensionError(f"a page takes {path} from outside of the book's folder")


def check_image_uris(app, doctree, docname) -> None:
    """End the build by an ExtensionError when an image is no file of the book."""
    for image in doctree.findall(nodes.image):
        if ":" in image["uri"]:
            raise ExtensionError(f"{docname} takes the image {image['uri']} from outside of the book's folder")


def setup(app) -> dict:
    """Connect when all pages have been read and whenever one is about to be written."""
    app.connect("env-check-consistency", check_files)
    app.connect("doctree-resolved", check_image_uris)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
