"""The chapters' run times, and the list of every recorded run."""

import json

from lsbook.chapters import status
from lsbook.chapters.distillation import mnist
from lsbook.core.store import Store


def test_chapters_that_the_book_no_longer_has_are_left_out(monkeypatch, tmp_path):
    reference = tmp_path / "_reference"
    reference.mkdir()
    times = {"seconds": 1.26, "executed": "2026-11-30"}
    (reference / "timings.json").write_text(json.dumps({"calibration": times, "removed": times}))
    (tmp_path / "calibration.ipynb").touch()
    monkeypatch.setattr(status, "reference_path", lambda: reference)
    assert status.chapters().rows == (("calibration", "1.3", "2026-11-30"),)


def test_runs_stand_below_their_setting_and_lead_to_their_records(put, tmp_path):
    store = Store(tmp_path)
    runs = [run for seed in (1, 0) for run in mnist.runs("paper", seed).values()]
    for run in runs:
        put(store, run, recorded="2026-11-23T12:00:00+00:00")
    rows = status.runs(store=store).rows
    headings = [row for row in rows if not row[1]]
    assert len(headings) == 5
    assert {row[0][:2] + row[0][-2:] for row in headings} == {"****"}
    [students] = [row[0] for row in headings if "student of MLP 2 × 1200, α = 0.1" in row[0]]
    assert "T = 8, β = 0.6, 60,000 examples, 11,700 steps" in students
    assert [row[2] for row in rows if row[1]] == ["0", "1"] * 5
    for run in runs:
        link = f'<a id="run-{run.key}" href="../records/{run.key}.json">{run.key}</a>'
        assert [row[1] for row in rows if row[0] == link] == [f"{run.alpha:g}"]
