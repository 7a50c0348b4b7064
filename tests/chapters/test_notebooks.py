"""The chapters themselves: run by papermill as a reader would, and fit to be kept."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from lsbook.chapters.plans import plan, registered
from lsbook.core.registry import DATASETS
from lsbook.core.store import Store
from lsbook.site import build

PROJECT = Path(__file__).parents[2]
REAL_DATA = Path(os.environ.get("LSBOOK_DATA") or "data").resolve()
SOURCES = sorted((PROJECT / "book").rglob("*.ipynb"))
PARAMETERS = ["-p", "profile", "smoke", "-p", "alpha", "0.2", "-p", "classes", "1,4,7", "-p", "seeds", "0"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Results folder of the runs that the tests below ask for, trained by the first of them."""
    return tmp_path_factory.mktemp("results") / "results"


def run_papermill(source: str, target: Path, folder: Path, results: Path, *parameters: str, data: Path | None = None):
    """papermill as called by hand, with no data at hand unless a folder of them is named."""
    command = [sys.executable, "-m", "papermill", source, target, "--no-progress-bar", *parameters]
    environment = os.environ | {"LSBOOK_RESULTS": str(results), "LSBOOK_DATA": str(data or target.parent / "data")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def runs_of_shown(outputs) -> list[set[str]]:
    """Keys of the runs that each figure and table carries."""
    shown = [o for o in outputs if {"image/svg+xml", "text/html"} & o.get("data", {}).keys()]
    return [set(o.metadata.get("lsbook", {}).get("runs", ())) for o in shown]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_answer_stands_first(source):
    """Below the title nothing but folded cells comes before "In short"."""
    cells = json.loads(source.read_text())["cells"]
    places = [place for place, cell in enumerate(cells) if "in-short" in cell["metadata"].get("tags", ())]
    before = cells[: places[0]] if places else cells[:1]
    seen = ["".join(cell["source"]) for cell in before if cell["cell_type"] == "markdown"]
    assert [text.count("# ") for text in seen] == [1]
    assert not places or "\n" not in seen[0]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_what_is_folded_says_what_it_is(source):
    folded = [
        cell for cell in json.loads(source.read_text())["cells"] if "hide-input" in cell["metadata"].get("tags", ())
    ]
    shown = [cell["metadata"].get("mystnb", {}).get("code_prompt_show") for cell in folded]
    assert set(shown) <= {"Parameters of this page", "Set-up of this page"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_what_computes_something_is_a_code_cell(source):
    prose = [cell for cell in json.loads(source.read_text())["cells"] if cell["cell_type"] == "markdown"]
    assert [cell["id"] for cell in prose if re.match(r"\w+(\.\w+)+\(", "".join(cell["source"]))] == []


def test_a_chapter_reruns_with_other_parameters_in_its_own_folder(trained, tmp_path):
    """The tests below run one where the project begins."""
    answer = run_papermill("projections.ipynb", tmp_path / "out.ipynb", PROJECT / "book", trained, *PARAMETERS)
    assert answer.returncode == 0, answer.stderr
    text = (tmp_path / "out.ipynb").read_text()
    assert "'1, 4 and 7'" in text  # the class names glued into the caption
    outputs = [o for cell in nbformat.reads(text, as_version=4).cells for o in cell.get("outputs", [])]
    assert any("α = 0.2; 1 seed" in o.get("data", {}).get("text/plain", "") for o in outputs)
    assert sum("image/svg+xml" in o.get("data", {}) for o in outputs) == 3
    every = {record.run.key for record in Store(trained)}
    assert [runs for runs in runs_of_shown(outputs) if runs] == [every] * 6  # a reader's own frames carry none
    assert sorted((r.run.alpha, r.run.seed) for r in Store(trained)) == [(0.0, 0), (0.2, 0)]


@pytest.mark.long
@pytest.mark.real_data("mnist")
def test_calibration_reruns_on_another_data_set_with_a_factor_never_recorded(tmp_path, monkeypatch):
    parameters = {"profile": "smoke", "dataset": "mnist", "alpha": "0.07", "seeds": "0", "n_bins": "20"}
    answer = run_papermill(
        "book/calibration.ipynb",
        tmp_path / "out.ipynb",
        PROJECT,
        tmp_path / "results",
        *(word for pair in parameters.items() for word in ("-p", *pair)),
        data=REAL_DATA,
    )
    assert answer.returncode == 0, answer.stderr
    text = (tmp_path / "out.ipynb").read_text()
    outputs = [o for cell in nbformat.reads(text, as_version=4).cells for o in cell.get("outputs", [])]
    every = {record.run.key for record in Store(tmp_path / "results")}
    assert [runs for runs in runs_of_shown(outputs) if runs] == [every] * 4  # a reader's own frames carry none
    claims = [o.data["text/plain"] for o in outputs if "must be" in o.get("data", {}).get("text/plain", "")]
    assert any("α = 0.07; 1 seed" in shown.replace("\N{NO-BREAK SPACE}", " ") for shown in claims)
    assert "n_bins = 20" in text
    assert "MLP 2 × 1200, MNIST" in text
    assert sorted((r.run.alpha, r.run.dataset) for r in Store(tmp_path / "results")) == [
        (0.0, "mnist"),
        (0.07, "mnist"),
    ]


def test_an_unknown_class_is_one_readable_line_in_the_notebook(trained, tmp_path):
    wrong = [value.replace("1,4,7", "1,4,x") for value in PARAMETERS]
    answer = run_papermill("book/projections.ipynb", tmp_path / "out.ipynb", PROJECT, trained, *wrong)
    assert answer.returncode == 1
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    [error] = [o for cell in cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert error.evalue.startswith("unknown class of digits (scikit-learn) 'x': choose from 0, 1")
    assert error.traceback == [f"lsbook: {error.evalue}"]


@pytest.mark.long
def test_the_whole_smoke_book_from_nothing(results, data_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    page = build.build(profile="smoke", out=tmp_path / "out")
    assert page.name == "index.html"
    assert "on toy data" in (page.parent / "book" / "projections.html").read_text()
    drawn = [path.stem for path in (PROJECT / "book").glob("*.ipynb") if path.stem in registered()]
    assert {record.run for record in Store(results)} == {run for chapter in drawn for run in plan(chapter, "smoke")}
    [hard] = [record for record in Store(results) if record.run.dataset == "grammar" and not record.run.alpha]
    assert 0.8 < hard.metrics["test_accuracy"] < 0.97  # the grammar leaves a choice


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_parameter_of_a_chapter_is_known_and_takes_its_default_as_text(path, monkeypatch):
    """The cell is run: what it leaves behind are the parameters."""
    monkeypatch.chdir(PROJECT)
    cells = nbformat.read(path, as_version=4).cells
    [cell] = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    left = {}
    exec(cell.source, left)
    defaults = {name: value for name, value in left.items() if not name.startswith("__")}
    assert {name: default for name, (_, default) in build.declared(path.stem).items()} == defaults
    assert build.check_parameters(path.stem, {name: str(value) for name, value in defaults.items()}) == defaults


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_sources_carry_no_outputs_and_short_cells(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            assert "set-up" in cell.metadata.get("tags", ()) or len(cell.source.splitlines()) <= 10
            assert "def " not in cell.source


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_parameters_are_typed_and_explained(path):
    found = papermill.inspect_notebook(path)
    assert found
    for parameter in found.values():
        assert parameter["inferred_type_name"] in ("str", "int", "float", "bool")
        assert parameter["help"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_figure_has_name_caption_and_alt_text(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and "_figure(" in cell.source:
            described = cell.metadata["mystnb"]
            assert described["figure"]["name"].startswith("figure-")
            assert len(described["figure"]["caption"]) > 40
            assert len(described["image"]["alt"]) > 40


def test_every_page_is_in_the_table_of_contents(monkeypatch):
    monkeypatch.chdir(PROJECT)
    pages = [*SOURCES, *(PROJECT / "book").glob("*.md")]
    assert sorted(path.stem for path in pages) == sorted(build.chapter_names())


def test_records_in_the_repository_are_whole():
    assert Store(PROJECT / "results").verify() == []
    for record in Store(PROJECT / "results"):
        json.dumps(record.metrics, allow_nan=False)
        if record.run.teachers:
            assert record.arrays == {}
            continue
        classes = record.arrays["words"] if record.run.vocabulary else DATASETS[record.run.dataset].classes
        assert record.arrays["templates"].shape[0] == len(classes)
        if not record.run.vocabulary:
            assert ("test_scaled_hit" in record.arrays) == ("temperature" in record.metrics)
