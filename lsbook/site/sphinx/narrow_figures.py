"""Sphinx extension: on a phone a figure is the one drawn for a phone.

The build writes that drawing to `narrow/<chapter>-<number of execution>.svg` of `html_extra_path`. A browser takes it
where the page is as narrow as `NARROW_PAGE` says, and loads one drawing only.
"""

from pathlib import Path

from docutils import nodes

NARROW_PAGE = "(max-width: 600px)"


def offer_narrow(app, doctree) -> None:
    """Put around each image of a code cell that is also drawn for phones the element that offers both."""
    chapter = Path(app.env.docname).name
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code":
            continue
        name = f"narrow/{chapter}-{cell['exec_count']}.svg"
        if (Path(app.srcdir) / "book" / "_extra" / name).is_file():
            for image in list(cell.findall(nodes.image)):
                source = f'<picture><source media="{NARROW_PAGE}" srcset="../{name}">'
                around = [nodes.raw("", source, format="html"), image.deepcopy()]
                image.replace_self([*around, nodes.raw("", "</picture>", format="html")])


def setup(app) -> dict:
    """Connect whenever a page has been read."""
    app.connect("doctree-read", offer_narrow)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
