"""What is read on the repository's own pages leads somewhere."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

PROJECT = Path(__file__).parents[1]
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("benchmarks/*.md")])


def parts(path: Path, kind: str):
    """Tokens of a kind in a page, whether they are blocks or stand in a line."""
    blocks = MarkdownIt().parse(path.read_text())
    return [token for block in blocks for token in (block, *(block.children or ())) if token.type == kind]


def anchors(path: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    blocks = MarkdownIt().parse(path.read_text())
    titles = [text.content for start, text in zip(blocks, blocks[1:], strict=False) if start.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_to_a_file_or_heading_here_is_right(page):
    targets = [token.attrs["href"] for token in parts(page, "link_open")]
    targets += [token.attrs["src"] for token in parts(page, "image")]
    for target in targets:
        if not re.match(r"https?:|mailto:", target):
            path, _, heading = target.partition("#")
            found = page.parent / path if path else page
            assert found.exists(), target
            assert not heading or heading in anchors(found), target
