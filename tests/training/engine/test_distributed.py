"""Several processes train as one: real ones, which torchrun starts, on a CPU; and parts of batches without any."""

import dataclasses
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lsbook.core.config import from_dict
from lsbook.core.registry import CORPORA, MODELS
from lsbook.core.store import Store
from lsbook.data import texts
from lsbook.runner.obtain import obtain
from lsbook.training.engine import distributed

# Argument: a JSON list of runs. All processes obtain them; the loss of every step is kept, evaluation is short.
SCRIPT = """
import dataclasses, json, os, pathlib, sys
from lsbook.core.registry import CORPORA, MODELS
from lsbook.core.errors import UserError
from lsbook.runner.obtain import obtain, torchrun_session
from lsbook.core.config import from_dict
from lsbook.training.engine import checkpoints, loop
from lsbook.training.images import task as images
from lsbook.training.text import summary as text_summary, task as text
loop.HISTORY_POINTS, loop.VALIDATION_RATIO = 100, 1000
checkpoints.INTERVAL = float(os.environ.get("INTERVAL", 60))
MODELS["transformer-64"].arguments["dropout"] = 0.0  # draws other numbers in each process
text_summary.BLEU_TEMPERATURES, text_summary.BEAMS = (1.0,), (4,)
CORPORA["grammar"] = dataclasses.replace(CORPORA["grammar"], translated=5)
text.VALIDATION_PAIRS, images.VALIDATION_IMAGES = 21, 21
os.environ["LSBOOK_DATA"] = os.environ.get("LSBOOK_DATA", "").replace("RANK", os.environ.get("RANK", "0"))
if __name__ == "__main__":
    with torchrun_session() as first:
        for values in json.loads(sys.argv[1]) if first else ():
            try:
                obtain([from_dict(values)])
            except UserError as error:
                print("refused:", error, file=sys.stderr)
    threads = [task.read_text().strip() for task in pathlib.Path("/proc/self/task").glob("*/comm")]
    assert not any("gloo" in name for name in threads), threads  # at the interpreter's end they may abort it
"""
# All processes train a step and leave. The first one's last sum is still to be done, by a thread that drops its tensor.
LEAVING = """
import faulthandler, pathlib, time
import torch
from torch import nn
from lsbook.training.engine import distributed

def step():
    model, images = nn.Linear(3, 2), torch.ones(4, 3)
    loss = distributed.data_parallel(model, lambda: model(images).sum())
    loss().backward()
    loss.itself = loss

def last_sum():
    work = torch.distributed.all_reduce(torch.ones(2), async_op=True)
    if distributed.rank():
        work.wait()

faulthandler.dump_traceback_later(120, exit=True)
with distributed.session():
    step()
    if distributed.rank():
        time.sleep(2)
    last_sum()
assert not [task for task in pathlib.Path("/proc/self/task").glob("*/comm") if "gloo" in task.read_text()]
"""
SGD = {"steps": 100, "batch": 15, "learning_rate": 0.01, "momentum": 0.9, "precision": "float32"}
ADAM = {"steps": 12, "batch": 300, "optimiser": "adam", "learning_rate": 0.005, "momentum": 0.9, "precision": "float32"}
IMAGES = {"dataset": "digits", "model": "mlp-800", "alpha": 0.1, "seed": 0, "recipe": SGD, "examples": 50}
TEXT = {"dataset": "grammar", "model": "transformer-64", "alpha": 0.1, "seed": 0, "recipe": ADAM, "examples": 60}
TEXT |= {"vocabulary": 330}
RUNS = {
    "images": IMAGES | {"recipe": SGD | {"augmentation": "crop24-flip", "clip_norm": 1.0}},
    "names of one's own": {
        **IMAGES,
        "dataset": "mine.data:stripes",
        "model": "mine.nets:tiny",
        "recipe": SGD | {"loss": "mine.losses:Focal", "loss_arguments": {"gamma": 1}},
    },
    "text": TEXT | {"recipe": ADAM | {"averaged": 3}},
}


NEWCOMER = Path(__file__).parents[2] / "newcomer"  # whose modules the processes import by name


def start(
    folder: Path, runs: list[dict], restarts: int = 0, code: str = SCRIPT, **environment: str
) -> subprocess.Popen:
    """torchrun with two processes."""
    script = folder / "script.py"
    script.write_text(code)
    places = {"LSBOOK_RESULTS": str(folder / "results"), "LSBOOK_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1"}
    places["PYTHONPATH"] = str(NEWCOMER)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", f"--max-restarts={restarts}"]
    command = [sys.executable, *launcher, script, json.dumps(runs)]
    return subprocess.Popen(command, env=os.environ | places | environment, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen) -> str:
    """Wait for it; what it said."""
    said = process.communicate()[1]
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Store:
    """What this process records alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSBOOK_RUNS", str(tmp_path_factory.mktemp("runs")))
        patch.syspath_prepend(NEWCOMER)
        patch.setattr("lsbook.training.engine.loop.HISTORY_POINTS", 100)
        patch.setattr("lsbook.training.engine.loop.VALIDATION_RATIO", 1000)
        patch.setattr("lsbook.training.images.task.VALIDATION_IMAGES", 21)
        patch.setattr("lsbook.training.text.task.VALIDATION_PAIRS", 21)
        patch.setattr("lsbook.training.text.summary.BLEU_TEMPERATURES", (1.0,))
        patch.setattr("lsbook.training.text.summary.BEAMS", (4,))
        patch.setitem(CORPORA, "grammar", dataclasses.replace(CORPORA["grammar"], translated=5))
        patch.setitem(MODELS["transformer-64"].arguments, "dropout", 0.0)
        store = Store(tmp_path_factory.mktemp("one"))
        obtain([from_dict(values) for values in RUNS.values()], store)
    return store


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Store, str]:
    """What two processes record, and say of runs that they refuse before and after.

    The second one has another validation text of Multi30k, and no WMT14.
    """
    folder = tmp_path_factory.mktemp("two")
    pairs = texts.load("grammar", "train").first(300)
    for rank, names in enumerate((("multi30k", "wmt14-en-de"), ("multi30k",))):
        for name in names:
            place = folder / f"data{rank}" / name
            place.mkdir(parents=True)
            for part, size in zip(CORPORA[name].parts, CORPORA[name].pairs, strict=True):
                for language, sentences in zip(("en", "de"), (pairs.source, pairs.target), strict=True):
                    lines = list(itertools.islice(itertools.cycle(sentences), size or len(sentences)))
                    lines[0] = "Another one." if rank and part == "val" else lines[0]
                    (place / f"{part}.{language}").write_text("\n".join(lines))
    refused = [
        TEXT | {"dataset": "multi30k"},
        TEXT | {"dataset": "wmt14-en-de"},
        IMAGES | {"recipe": SGD | {"batch": 1}},
        IMAGES | {"model": "resnet8"},
    ]
    said = end(start(folder, [*refused, *RUNS.values()], LSBOOK_DATA=str(folder / "dataRANK")))
    return Store(folder / "results"), said


def test_the_command_of_the_book_trains_with_two_processes(tmp_path):
    """The first process alone prints what it has recorded."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "lsbook", "train", "--dataset", "digits", "--model", "alexnet-16", "--alpha", "0.1"]
    command += ["--profile", "smoke", "--steps", "5"]
    places = {
        "LSBOOK_RESULTS": str(tmp_path / "results"),
        "LSBOOK_RUNS": str(tmp_path / "runs"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *launcher, *command], env=os.environ | places, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [record] = Store(tmp_path / "results")
    assert record.environment["processes"] == 2
    assert done.stdout.splitlines()[0] == str(record.folder)
    assert done.stdout.count("test_accuracy") == 1


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_follow_ones_loss_curve(one, two, name):
    """Batches of 15 have no halves, so shares are weighted. History and metrics come of shares of the evaluation."""
    run = from_dict(RUNS[name])
    one, two = one.get(run), two[0].get(run)
    assert (one.environment["processes"], two.environment["processes"]) == (1, 2)
    assert len(two.history["loss"]) == run.recipe.steps
    # A hundred steps of float32 gradients, summed in other orders; a share of wrong weight would be seen in the first.
    np.testing.assert_allclose(two.history["loss"], one.history["loss"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(two.history["accuracy"], one.history["accuracy"], atol=1e-12)
    for metric, value in one.metrics.items():
        assert two.metrics[metric] == pytest.approx(value, abs=1e-3), metric
    assert two.arrays.keys() == one.arrays.keys()
    for array in ("train_labels", "test_hit"):
        np.testing.assert_array_equal(two.arrays[array], one.arrays[array])


def test_what_processes_cannot_do_together_is_refused_in_a_line_each(two):
    """Other sentences on one machine; none there; a batch smaller than the processes; batch normalisation on CPUs.

    Each run after them is well.
    """
    store, said = two
    assert len(store) == len(RUNS)
    refused = [line.removeprefix("refused: ") for line in said.splitlines() if line.startswith("refused")]
    assert len(refused) == 4
    assert refused[0].startswith("process 1 has other data than process 0 (heldout: SHA-256 ")
    assert refused[1].startswith("process 1: wmt14-en-de not found under ")
    assert refused[2] == "a batch of 1 images is too small for 2 processes"
    assert refused[3] == (
        "ResNet has batch normalisation, which PyTorch synchronises between processes on GPUs only; start it without "
        "torchrun"
    )
    assert "Traceback" not in said


@pytest.mark.parametrize(("name", "layers"), [("resnet8", 7), ("mlp", 0)])
def test_batch_normalisation_is_synchronised_but_on_cpus(monkeypatch, name, layers):
    """ResNet-8 has two such layers in each of its three blocks, and one at the end."""
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    model = MODELS[name].build((1, 32, 32), 10)
    if layers:
        with pytest.raises(distributed.CollectiveError, match="ResNet has batch normalisation"):
            distributed.convert_sync_batchnorm(model)
    with torch.device("meta"):
        elsewhere = MODELS[name].build((1, 32, 32), 10)
    found = distributed.convert_sync_batchnorm(elsewhere)
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in found.modules()) == layers
    assert not any(isinstance(module, nn.BatchNorm2d) for module in found.modules())


@pytest.mark.long
def test_whoever_leaves_last_waits_for_nobody(tmp_path):
    """In threads of the first process is work that the second has to do its part of."""
    end(start(tmp_path, [], code=LEAVING))


def test_a_killed_or_stopped_training_goes_on_and_ends_where_it_would_have(two, tmp_path):
    """The second process is killed, and torchrun starts both anew; it is asked to stop, and is started again."""
    process = start(tmp_path, [RUNS["images"]], restarts=1, INTERVAL="0.1")
    wait_for_step(process, tmp_path, 10)
    before = process_of_rank(process, 1)
    os.kill(before, signal.SIGKILL)
    wait_for_step(process, tmp_path, newest(tmp_path) + 10)
    assert process_of_rank(process, 1) != before
    process.send_signal(signal.SIGTERM)
    assert re.search(r"goes on after step \d\d", process.communicate()[1])
    assert process.returncode != 0
    assert len(Store(tmp_path / "results")) == 0
    stopped = newest(tmp_path)
    assert 20 <= stopped < 100
    assert f"goes on after step {stopped}\n" in end(start(tmp_path, [RUNS["images"]]))
    [record], uninterrupted = Store(tmp_path / "results"), two[0].get(from_dict(RUNS["images"]))
    assert record.history == uninterrupted.history
    assert record.metrics == uninterrupted.metrics


def wait_for_step(process: subprocess.Popen, folder: Path, step: int) -> None:
    while newest(folder) < step:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def newest(folder: Path) -> int:
    """The last step of which there is a checkpoint."""
    return max((int(path.stem) for path in (folder / "runs").rglob("0*.json")), default=0)


def process_of_rank(launcher: subprocess.Popen, rank: int) -> int:
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    [found] = [pid for pid in children if f"\0RANK={rank}\0" in f"\0{Path(f'/proc/{pid}/environ').read_text()}"]
    return int(found)
