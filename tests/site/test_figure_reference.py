"""Figures compared with their small pictures."""

import json

import nbformat
import pytest

from lsbook.core.paths import SETTINGS, TABLE_OF_CONTENTS
from lsbook.site import figure_reference


def svg(x: float = 20, colour: str = "#0072b2", height: int = 64) -> str:
    """128 points across, a square of 32 points in it: one pixel a point, so 1/8 of the area."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="128pt" height="{height}pt" viewBox="0 0 128 {height}">'
        f'<rect x="{x}" y="8" width="32" height="32" fill="{colour}"/></svg>'
    )


def notebook(**figures: str):
    cells = []
    for name, text in figures.items():
        output = nbformat.v4.new_output("display_data", {"image/svg+xml": text})
        cells.append(nbformat.v4.new_code_cell("x", metadata={"mystnb": {"figure": {"name": name}}}, outputs=[output]))
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, the working directory meanwhile."""
    (tmp_path / "book").mkdir()
    (tmp_path / TABLE_OF_CONTENTS).touch()
    (tmp_path / SETTINGS).write_text("lsbook.site")  # by which a book is ours
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("now", "share"),
    [
        (svg(), 0),
        (svg(x=20.02), 0),
        (svg(x=28), 2 * 8 * 32 / (128 * 64)),
        (svg(colour="#d55e00"), 32 * 32 / (128 * 64)),
        (svg(height=72), 1),
    ],
    ids=["same", "rounding", "moved", "recoloured", "higher"],
)
def test_the_share_of_the_area_that_looks_different(now, share):
    assert figure_reference.changed_area(figure_reference.thumbnail(svg()), figure_reference.thumbnail(now)) == share


def test_a_dot_of_a_seed_that_moves_is_seen():
    """A figure of 8 inches, whose dots are 4 points across."""
    dot = '<svg xmlns="http://www.w3.org/2000/svg" width="576pt" height="288pt" viewBox="0 0 576 288">{}</svg>'
    first, second = (
        figure_reference.thumbnail(dot.format(f'<circle cx="100" cy="{y}" r="2" fill="#0072b2"/>')) for y in (100, 108)
    )
    assert figure_reference.changed_area(first, second) > 0


def test_changed_new_and_lost_figures_are_named_until_the_reference_is_renewed(project):
    timings = {"a": {"seconds": 2.5, "executed": "2026-01-01"}}
    figure_reference.renew({"a": notebook(one=svg(), two=svg())}, timings, ["a"])
    now = {"a": notebook(one=svg(colour="#d55e00"), three=svg())}
    assert figure_reference.find_changes(now) == [
        "one of chapter a looks different in 12.5% of its area",
        "three of chapter a is new",
        "two of chapter a is gone",
    ]
    figure_reference.renew(now, timings, ["a"])
    assert figure_reference.find_changes(now) == []


def test_renewing_one_chapter_leaves_the_others(project):
    for chapter in "ab":
        timings = {chapter: {"seconds": 1.0, "executed": "2026-01-01"}}
        figure_reference.renew({chapter: notebook(one=svg())}, timings, ["a", "b"])
    folder = project / "book" / "_reference"
    assert sorted(json.loads((folder / "figures.json").read_text())) == ["a", "b"]
    assert json.loads((folder / "timings.json").read_text())["a"] == {"seconds": 1.0, "executed": "2026-01-01"}
    assert max(len(path.read_bytes()) for path in folder.iterdir()) < 2_000


def test_renewing_drops_chapters_that_the_book_no_longer_has(project):
    timings = {chapter: {"seconds": 1.0, "executed": "2026-01-01"} for chapter in "ab"}
    figure_reference.renew({chapter: notebook(one=svg()) for chapter in "ab"}, timings, ["a", "b"])
    figure_reference.renew({"a": notebook(one=svg())}, timings, ["a"])
    folder = project / "book" / "_reference"
    assert [list(json.loads((folder / f"{name}.json").read_text())) for name in ("figures", "timings")] == [["a"]] * 2
