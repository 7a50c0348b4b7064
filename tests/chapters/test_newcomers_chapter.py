"""A chapter that a newcomer adds: a notebook, a module with one `CHAPTER`, and a line in the table of contents."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from lsbook.chapters.plans import plan, registered
from lsbook.core.store import Store
from lsbook.evidence.claims import ALL_CLAIMS

PROJECT = Path(__file__).parents[2]
MODULE = '''
"""How accurate is a network that has hardly been trained?"""

from dataclasses import replace

from lsbook.chapters.shared.chapter import Chapter
from lsbook.chapters.shared.comparison import compare, group_of, smoothing_arms
from lsbook.chapters.shared.selection import select_runs
from lsbook.outputs import Table, cell_frame

ARMS = smoothing_arms(0.1)


def run(arm, seed):
    found = arm.run("smoke", "digits", "alexnet-16", seed)
    return replace(found, examples=64, recipe=replace(found.recipe, steps=3, batch=16))


def groups(profile):
    return [group_of(ARMS, run, "0")] if profile == "smoke" else []


def table(profile):
    selection = select_runs(profile, "auto", groups)
    comparison = compare(selection.profile, ARMS, selection.groups[0])
    rows = [(arm.label, f"{100 * arm.metric('test_accuracy').mean():.0f}") for arm in comparison.arms]
    shown = cell_frame(("targets", "accuracy"), rows)
    return Table("table-hardly", "Test accuracy in percent.", shown, comparison.records)


CHAPTER = Chapter("hardly_trained", groups)
'''
CELLS = {
    "parameters": 'profile: str = "smoke"  # smoke only',
    "code": "from lsbook import chapters\n\nchapters.hardly_trained.table(profile)",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A checkout with the new chapter and no other."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "lsbook", root / "lsbook", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("_static", "book/_extra"):
        shutil.copytree(PROJECT / folder, root / folder)
    for file in ("_config.yml", "book/references.bib"):
        shutil.copy(PROJECT / file, root / file)
    (root / "book" / "index.md").write_text("# Index\n\n```{bibliography}\n:all:\n```\n")
    (root / "lsbook" / "chapters" / "hardly_trained.py").write_text(MODULE)
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n  - file: book/hardly_trained\n")
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# Hardly trained", id="title"),
        nbformat.v4.new_code_cell(CELLS["parameters"], id="parameters", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(CELLS["code"], id="code"),
    ]
    nbformat.write(notebook, root / "book" / "hardly_trained.ipynb")
    return root


def lsbook(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The command, run in the checkout."""
    environment = os.environ | {
        "PYTHONPATH": str(project),
        "LSBOOK_RESULTS": str(project / "results"),
        "LSBOOK_RUNS": str(project / "runs"),
    }
    command = [sys.executable, "-m", "lsbook", *arguments]
    answer = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer


def test_it_is_planned_swept_counted_and_built(project):
    planned = lsbook(project, "sweep", "hardly_trained", "--profile", "smoke", "--dry-run").stdout
    assert planned.count("digits alexnet-16") == 2
    assert not (project / "results").exists()
    lsbook(project, "sweep", "hardly_trained", "--profile", "smoke")
    records = list(Store(project / "results"))
    assert sorted(record.run.alpha for record in records) == [0.0, 0.1]
    script = (
        "from lsbook.chapters import costs, findings; print(costs.table('smoke').plain(), findings.collect('smoke'))"
    )
    counted = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project), "LSBOOK_RESULTS": str(project / "results")},
        capture_output=True,
        text=True,
    )
    [row] = [line for line in counted.stdout.splitlines() if "narrow AlexNet  smoke  3 " in line]
    assert "2 of 2" in row
    assert counted.stdout.endswith("[]\n")  # it decides no claims
    lsbook(project, "build", "hardly_trained")
    page = (project / "_build" / "html" / "book" / "hardly_trained.html").read_text(encoding="utf-8")
    assert "smoothed, α\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.1" in page
    assert all(record.run.key in page for record in records)
    assert len(Store(project / "results")) == 2


def test_every_claim_is_decided_and_chapters_are_in_the_order_of_their_claims():
    decided = {claim for chapter in registered().values() if chapter.claims for claim in chapter.claims.ids}
    assert decided == ALL_CLAIMS.keys()
    places = [list(ALL_CLAIMS).index(chapter.claims.ids[0]) for chapter in registered().values() if chapter.claims]
    assert places == sorted(places)


@pytest.mark.parametrize("chapter", registered())
def test_a_chapter_has_the_name_of_its_notebook_and_plans_runs(chapter):
    assert (PROJECT / "book" / f"{chapter}.ipynb").is_file()
    assert plan(chapter, "smoke")
