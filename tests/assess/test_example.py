"""The example notebook: scikit-learn's classifiers, assessed as a researcher would, where torch cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill  # noqa: F401  (called as a program)

EXAMPLE = Path(__file__).parents[2] / "examples" / "your_own_model.ipynb"


def test_the_example_runs_without_torch(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "papermill", EXAMPLE, tmp_path / "out.ipynb", "--no-progress-bar"]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    outputs = [output for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells for output in cell.get("outputs", [])]
    assert not [output.text for output in outputs if output.output_type == "stream"]  # no warnings either
    hard, smoothed = outputs[0]["data"]["text/markdown"].splitlines()
    assert "hard targets" in hard
    assert "no sign of smoothed labels" in hard
    assert "probably trained with smoothed labels" in smoothed
    kinds = ["text/markdown", "text/markdown", "image/png", "text/html", "text/html", "image/png"]
    assert [kind in output["data"] for kind, output in zip(kinds, outputs, strict=True)] == [True] * 6


def test_the_example_carries_no_outputs():
    cells = [cell for cell in nbformat.read(EXAMPLE, 4).cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)
