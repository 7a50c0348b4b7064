"""Our Sphinx extensions, in books of one page."""

import re
from html import unescape
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

HARMFUL = """\
<script>ran = 1</script>
<SCRIPT >ran = 2</SCRIPT >
<img src="missing.svg" onerror="ran = 3">
<a id="link" href="javascript:ran = 4">x</a>
<iframe srcdoc="<script>parent.ran = 5</script>"></iframe>
<img src="http://127.0.0.1:9/x.png">
<script src="http://127.0.0.1:9/x.js"></script>
<script>ran = 6;//"""


def made(folder: Path, text: str, *extensions: str) -> Path:
    """A page of this Markdown; returns its folder."""
    source = folder / "source"
    source.mkdir()
    (source / "index.md").write_text(text)
    (folder / "outside.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'></svg>")
    (folder / "outside.txt").write_text("x")
    (source / "link.svg").symlink_to(folder / "outside.svg")
    (source / "inside.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'></svg>")
    places = source, None, folder / "html", folder / "doctrees", "html"
    settings = {"extensions": ["myst_parser", *extensions], "html_sidebars": {"**": []}}
    Sphinx(*places, confoverrides=settings, status=None, warning=None).build()
    return folder / "html"


@pytest.mark.parametrize(
    "text",
    [
        "{download}`x <../outside.txt>`",
        "![x](../outside.svg)",
        "![x](link.svg)",
        "![x](https://example.com/x.svg)",
        "```{image} file:///etc/x.svg\n```",
        "![x](data:image/gif;base64,R0lGODlhAQABAAAAACw=)",
        "```{include} ../outside.txt\n```",
        "```{literalinclude} ../outside.txt\n```",
        "```{figure} ../outside.svg\n```",
        "```{csv-table}\n:file: ../outside.txt\n```",
        "```{raw} html\n:file: ../outside.txt\n```",
    ],
)
def test_a_page_that_takes_a_file_from_outside_ends_the_build(tmp_path, text):
    with pytest.raises(ExtensionError, match="from outside of the book's folder"):
        made(tmp_path, f"# x\n\n{text}\n", "lsbook.site.sphinx.inside")


def test_files_of_the_book_may_be_shown_and_offered(tmp_path):
    folder = made(tmp_path, "# x\n\n![x](inside.svg) {download}`x <inside.svg>`\n", "lsbook.site.sphinx.inside")
    assert (folder / "_images" / "inside.svg").is_file()
    assert len(list(folder.glob("_downloads/*/inside.svg"))) == 1


@pytest.mark.parametrize("served", [True, False], ids=["served", "opened as a file"])
def test_scripts_in_the_body_of_a_page_do_not_run(browser, serve, tmp_path, served):
    folder = made(tmp_path, f"# x\n\n```{{raw}} html\n{HARMFUL}\n```\n", "lsbook.site.sphinx.policy")
    page = browser.new_page()
    page.goto(f"{serve(folder) if served else folder.as_uri()}/index.html")
    page.locator("#link").click()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("typeof ran") == "undefined"
    page.close()


@pytest.mark.parametrize(("columns", "labels"), [(4, []), (5, ["<1>", "2", "3", "4"])])
def test_cells_of_wide_tables_know_their_columns(tmp_path, columns, labels):
    """The first cell of a row names it, and an empty one has nothing to say."""
    header = "|".join(["name", "<1>", "2", "3", "4", "5"][:columns])
    text = f"# x\n\n|{header}|\n|{'-|' * columns}\n|{'x|' * columns}\n|y|{' |' * (columns - 1)}\n"
    page = (made(tmp_path, text, "lsbook.site.sphinx.stacked_tables") / "index.html").read_text()
    found = re.findall('<span class="column-name">(.*?)</span>', page)
    assert list(map(unescape, found)) == labels
    assert ("stacked" in page) == bool(labels)


@pytest.mark.parametrize(("words", "stacked"), [("a 12345678901234567890", False), ("a" * 24, True)])
def test_columns_that_cannot_be_narrow_are_stacked(tmp_path, words, stacked):
    """Words of 1, 20 and 20 characters fit: 41 × 7 + 3 × 10 pixels of 350. Words of 1, 24 and 24 do not."""
    text = f"# x\n\n|n|a|b|\n|-|-|-|\n|x|{words}|{words}|\n"
    page = (made(tmp_path, text, "lsbook.site.sphinx.stacked_tables") / "index.html").read_text()
    assert ("column-name" in page) == stacked
