"""What is read on the repository's own pages leads somewhere."""

import json
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


def test_commands_for_many_machines_are_closed_to_others_and_say_on_which_network():
    """Of Ray by its token, of which every machine has to know before it starts; torchrun has none."""
    cells = json.loads((PROJECT / "book" / "reproduce.ipynb").read_text())["cells"]
    [text] = [text for cell in cells if "ray start" in (text := "".join(cell["source"]))]
    token, head, worker = (text.index(part) for part in ("RAY_AUTH_MODE=token", "ray start --head", "ray start --add"))
    assert token < text.index("ray get-auth-token --generate") < head < worker
    for command in ("torchrun --nnodes", "ray start --head"):
        after = " ".join(text[text.index(command) :].partition("**")[0].split())
        assert "only for a network of which you trust every machine" in after.lower()
    for page in PAGES:
        assert "ray start" not in page.read_text()
    assert "only for a network of\nwhich you trust every machine" in (PROJECT / "README.md").read_text()


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
