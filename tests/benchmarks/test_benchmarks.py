"""Benchmarks compare the same work; no test asks how fast it was."""

import dataclasses
import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import __main__, arrays, files, images, limits, suite, text, timing
from lsbook import cli
from lsbook.analysis import calibration
from lsbook.analysis.information import mutual_information
from lsbook.core.config import Recipe
from lsbook.core.errors import UserError
from lsbook.core.registry import CORPORA
from lsbook.models.alexnet import AlexNet
from lsbook.recipes import profiles
from lsbook.training.images import augmentation

PROJECT = Path(__file__).parents[2]
LIMITS = limits.Limits("cpu", flops=100.0, bandwidth=10.0)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Each benchmark at its least, done once."""
    for name, value in {"MORE": {"cpu": (1, 1)}, "TEACHER_IMAGES": 1, "VIEWS": 2, "WORKERS": 1}.items():
        monkeypatch.setattr(images, name, value)
    monkeypatch.setattr(images, "STEPS", dict.fromkeys(images.STEPS, 1))
    for key in [key for key in profiles.RECIPES if key[0] == "laptop"]:
        examples, recipe = profiles.RECIPES[key]
        batch = 40 if key[1] in CORPORA else 2  # pieces of the longest sentence, or images
        monkeypatch.setitem(profiles.RECIPES, key, (examples, dataclasses.replace(recipe, batch=batch)))
    for name, value in {"VOCABULARY": 50, "PAIRS": 20, "STEPS": 1, "SENTENCES": 2, "WORKERS": 1}.items():
        monkeypatch.setattr(text, name, value)
    monkeypatch.setattr(arrays, "IMAGES", 50)
    monkeypatch.setattr(arrays, "EXAMPLES", 5)
    monkeypatch.setattr(files, "TINY", dataclasses.replace(files.TINY, recipe=Recipe(steps=1, batch=20), examples=20))
    monkeypatch.setattr(files, "RUNS", 1)
    monkeypatch.setattr(files, "PLAIN_RUNS", 1)
    monkeypatch.setattr(timing, "ROUNDS", 1)
    monkeypatch.setattr(limits, "SIDE", {"cpu": 64})
    monkeypatch.setattr(limits, "COPIED", 2**16)


def test_both_ways_train_the_same_network():
    ours, plain = AlexNet((3, 24, 24), 10), images.plain_alexnet()
    for target, source in zip(plain.parameters(), ours.parameters(), strict=True):
        target.data.copy_(source.data)
    x = torch.randn(4, 3, 24, 24)
    torch.testing.assert_close(plain(x), ours(x), rtol=1e-4, atol=1e-4)


def test_both_ways_analyse_alike():
    generator = np.random.default_rng(0)
    labels, logits = generator.integers(10, size=400), generator.normal(size=(400, 10))
    logits[np.arange(400), labels] += 2
    temperature = calibration.fit_temperature(logits, labels)
    ece = calibration.expected_calibration_error(calibration.softmax(logits, temperature), labels)
    assert arrays.plain_calibration(logits, labels) == pytest.approx(ece, abs=1e-4)
    work = arrays.projection()
    np.testing.assert_allclose(work.plain(), work.ours(), atol=1e-5)  # what is kept is float32
    samples = generator.normal(size=(30, 4))
    assert arrays.plain_information(samples) == pytest.approx(mutual_information(samples), abs=1e-12)


@pytest.mark.parametrize("path", sorted((PROJECT / "benchmarks").glob("*.json")), ids=lambda path: path.stem)
def test_no_recorded_row_is_one_in_which_the_plain_way_wins(path):
    results = json.loads(path.read_text())["results"]
    assert {result["name"] for result in results} <= suite.BENCHMARKS.keys()
    assert [result["name"] for result in results if result["ratio"] < 1] == []


def benchmark(ours=lambda: None, plain=lambda: None, **settings) -> timing.Benchmark:
    return timing.Benchmark("title", "unit", 10, ours, plain, "nothing", **settings)


def at(monkeypatch, *seconds):
    """The clock shows how long each piece of work takes, one after the other."""
    clock = iter(np.cumsum([step for length in seconds for step in (0, length)]).tolist())
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))


def test_rounds_alternate_and_ratios_are_of_rates(monkeypatch):
    at(monkeypatch, 1, 4, 2, 4, 1, 5)
    calls = []
    work = benchmark(lambda: calls.append("ours"), lambda: calls.append("plain"), rounds=3)
    result = timing.measure("name", work, LIMITS)
    assert calls == ["ours", "plain"] * 4
    assert (result.ours, result.plain, result.ratio, result.limit) == (10.0, 2.5, 4.0, None)


def test_a_single_round_has_no_warm_up_and_the_plain_way_may_do_less(monkeypatch):
    at(monkeypatch, 2, 4)  # ours 10 in 2 s; plain 2 in 4 s
    result = timing.measure("name", benchmark(plain_units=2, rounds=1), LIMITS)
    assert (result.ours, result.plain, result.ratio) == (5.0, 0.5, 10.0)


def test_busy_is_the_share_of_all_cores_that_ours_computed(monkeypatch):
    """Ours computes 3 s in 2 s on 2 cores; what the plain way computes is not counted."""
    at(monkeypatch, 2, 1)
    monkeypatch.setattr(timing, "cores", lambda: 2)
    computed = iter([1, 4, 4, 9])
    monkeypatch.setattr(timing, "_computed", lambda: next(computed))
    assert timing.measure("name", benchmark(rounds=1), LIMITS).busy == 0.75


def test_what_processes_compute_is_counted_while_they_run_and_after_their_end():
    """A grandchild computes 0.3 s. They count while it runs, after its end, and after that of our own child."""
    count = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); input()"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {count!r}]); print(flush=True); input()"
    before = timing._computed()
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(2):  # the grandchild runs, then it has ended
            process.stdout.readline()
            assert timing._computed() - before > 0.25
            print(file=process.stdin, flush=True)
    assert timing._computed() - before > 0.25


@pytest.mark.parametrize(("flops", "moved", "limit"), [(400.0, 10.0, 2.5), (100.0, 50.0, 2.0)])
def test_the_limit_is_the_slower_of_arithmetic_and_memory(flops, moved, limit):
    """Of 10 units at 100 operations and 10 bytes a second: 4 s against 1, then 1 s against 5."""
    result = timing.measure("name", benchmark(counts=limits.Counts(flops, moved), rounds=1), LIMITS)
    assert result.limit == limit


def test_what_a_step_needs_is_counted():
    """A layer of 4 × 3 weights and a batch of 5 inputs, which need no gradient: two products of 2 · 5 · 4 · 3
    operations; kept are the inputs; weights, gradients and one state are read and written."""
    layer, x = torch.nn.Linear(4, 3, bias=False), torch.randn(5, 4)
    counts = limits.count_step(layer, lambda: layer(x).sum(), states=1)
    assert counts == limits.Counts(2 * 2 * 5 * 4 * 3, 4 * (2 * 5 * 4 + 2 * 3 * 4 * 3))
    assert counts * 2 == limits.Counts(2 * counts.flops, 2 * counts.bytes)


@pytest.mark.long
def test_every_benchmark_runs_and_the_table_comes_from_the_file(monkeypatch, capsys, tmp_path, results):
    names = [name for name in suite.BENCHMARKS if name != "book"]  # which test_build.py builds
    suite.run(names, tmp_path / "bench.json")
    report = json.loads((tmp_path / "bench.json").read_text())
    assert [result["name"] for result in report["results"]] == names
    assert all(result["ratio"] > 0 for result in report["results"])
    assert report["machine"]["peak_memory_mb"] > 0
    shown = capsys.readouterr()
    assert shown.out == suite.table(report) + "\n"
    said = [line.partition(":")[0] for line in shown.err.splitlines() if line.endswith("as fast as the plain way")]
    assert said == names  # each when it is done
    assert list(results.glob("*/*")) == []
    with pytest.raises(UserError, match="cannot write"):
        suite.run(["projection"], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "unknown benchmark 'nothing': choose from mlp, alexnet"),
        (["sweep", "--json", "nowhere/b.json"], "cannot write nowhere/b.json: name a file in a folder that exists"),
        (["--jsn", "b.json"], "No such option '--jsn'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main(__main__.app)
    shown = capsys.readouterr()
    assert (end.value.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert shown.err.startswith(f"lsbook: {message}")


def test_without_torch_the_command_line_says_how_to_install_it(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "benchmarks", "sweep"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=PROJECT)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == 'lsbook: a benchmark needs torch: pip install -e ".[train]"\n'


class Broken(io.StringIO):
    """A terminal that has no ×, or that nobody reads any more."""

    def write(self, text):
        raise UnicodeEncodeError("ascii", text, 0, 1, "ordinal not in range(128)") if "a" in text else BrokenPipeError


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_is_measured_is_written_before_anything_is_printed(stream, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, stream, Broken())
    with pytest.raises((UnicodeEncodeError, BrokenPipeError)):
        suite.run(["projection"], tmp_path / "bench.json")
    monkeypatch.undo()
    report = json.loads((tmp_path / "bench.json").read_text())
    assert [result["name"] for result in report["results"]] == ["projection"]
    assert "Projection" in suite.table(report)


def test_what_cannot_be_written_is_printed(monkeypatch, capsys, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="cannot write .*bench.json: No space left on device"):
        suite.run(["projection"], tmp_path / "bench.json")
    assert "Projection, images/s" in capsys.readouterr().out


def test_their_readme_shows_the_last_recorded_benchmarks():
    report = json.loads((PROJECT / "benchmarks" / "bfloat16.json").read_text())
    assert suite.table(report) in (PROJECT / "benchmarks" / "README.md").read_text()
    assert {result["name"] for result in report["results"]} == set(suite.BENCHMARKS)


@pytest.mark.parametrize(("name", "size"), [("none", 32), ("crop24-flip", 24), ("pad4-flip", 32), ("pad4-flip", 48)])
def test_the_plain_views_are_as_large_as_ours(name, size):
    recipe = Recipe(steps=1, augmentation=name, size=size if size == 48 else None)
    view = augmentation.from_recipe(recipe)
    image = Image.fromarray(np.zeros((32, 32, 3), np.uint8))
    assert images.plain_transform(view, 32)(image).shape == view.shape((3, 32, 32)) == (3, size, size)
