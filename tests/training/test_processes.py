"""Several processes train as one: real ones, which torchrun starts, on a CPU; and parts of batches without any."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lsbook.data import text
from lsbook.run import Recipe, from_dict
from lsbook.store import Store

# Argument: a JSON list of runs. All processes obtain them; the loss of every step is kept, evaluation is short.
SCRIPT = """
import json, os, sys
from lsbook.catalogue import MODELS
from lsbook.errors import UserError
from lsbook.experiments.obtain import obtain, processes
from lsbook.run import from_dict
from lsbook.training import checkpoints, images, loop, text, text_summary
loop.POINTS, loop.SHARE = 100, 1000
checkpoints.INTERVAL = float(os.environ.get("INTERVAL", 60))
MODELS["transformer-64"].arguments["dropout"] = 0.0  # draws other numbers in each process
text_summary.BLEU_TEMPERATURES, text_summary.BEAMS = (1.0,), (4,)
text.TRANSLATED["grammar"], text.MEASURED, images.MEASURED = 5, 21, 21
os.environ["LSBOOK_DATA"] = os.environ.get("LSBOOK_DATA", "").replace("RANK", os.environ.get("RANK", "0"))
if __name__ == "__main__":
    with processes() as first:
        for values in json.loads(sys.argv[1]) if first else ():
            try:
                obtain([from_dict(values)])
            except UserError as error:
                print("refused:", error, file=sys.stderr)
"""
SGD = {"steps": 100, "batch": 15, "learning_rate": 0.01, "momentum": 0.9, "precision": "float32"}
ADAM = {"steps": 12, "batch": 300, "optimiser": "adam", "learning_rate": 0.005, "momentum": 0.9, "precision": "float32"}
IMAGES = {"dataset": "digits", "model": "mlp-800", "alpha": 0.1, "seed": 0, "recipe": SGD, "examples": 50}
TEXT = {"dataset": "grammar", "model": "transformer-64", "alpha": 0.1, "seed": 0, "recipe": ADAM, "examples": 60}
TEXT |= {"vocabulary": 330}
RUNS = {
    "images": IMAGES | {"recipe": SGD | {"augmentation": "crop24-flip", "clip_norm": 1.0}},
    # Close to convolutions' kinks rounding is soon magnified, so that these steps are few and small.
    "batch statistics": IMAGES | {"model": "resnet8", "recipe": SGD | {"steps": 6, "learning_rate": 1e-4}},
    "text": TEXT | {"recipe": ADAM | {"averaged": 3}},
}


def start(folder: Path, runs: list[dict], count: int = 2, **environment: str) -> subprocess.Popen:
    """torchrun with so many processes, or a single one without it."""
    folder.mkdir(exist_ok=True)
    script = folder / "script.py"
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
    places = {"LSBOOK_RESULTS": str(folder / "results"), "LSBOOK_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, script, json.dumps(runs)]
    return subprocess.Popen(command, env=os.environ | places | environment, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen) -> str:
    """Wait for it; what it said."""
    said = process.communicate()[1]
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The stores of one process and of two."""
    folders = {count: tmp_path_factory.mktemp(f"of {count}") for count in (1, 2)}
    for count, folder in folders.items():
        end(start(folder, list(RUNS.values()), count))
    return [Store(folder / "results") for folder in folders.values()]


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_follow_ones_loss_curve(recorded, name):
    """Batches of 15 have no halves, so shares are weighted. History and metrics come of shares of the evaluation."""
    run = from_dict(RUNS[name])
    one, two = (store.get(run) for store in recorded)
    assert (one.environment["processes"], two.environment["processes"]) == (1, 2)
    assert len(two.history["loss"]) == run.recipe.steps
    np.testing.assert_allclose(two.history["loss"], one.history["loss"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(two.history["accuracy"], one.history["accuracy"], atol=1e-12)
    for metric, value in one.metrics.items():
        assert two.metrics[metric] == pytest.approx(value, abs=1e-3), metric
    assert two.arrays.keys() == one.arrays.keys()
    for array in ("train_labels", "test_hit"):
        np.testing.assert_array_equal(two.arrays[array], one.arrays[array])


def test_a_killed_or_stopped_training_goes_on_and_ends_where_it_would_have(recorded, tmp_path):
    """The second process is killed; torchrun, started anew, is asked to stop, and started a third time."""
    run = from_dict(RUNS["images"])
    process = start(tmp_path, [RUNS["images"]], INTERVAL="0.01")
    wait_for_step(process, tmp_path, 10)
    os.kill(process_of_rank(process, 1), signal.SIGKILL)
    process.communicate()
    assert process.returncode != 0
    assert len(Store(tmp_path / "results")) == 0
    killed = newest(tmp_path)
    assert 10 <= killed < 100
    process = start(tmp_path, [RUNS["images"]], INTERVAL="0.2")
    wait_for_step(process, tmp_path, killed + 1)
    process.send_signal(signal.SIGTERM)
    assert f"goes on after step {killed}" in process.communicate()[1]
    stopped = newest(tmp_path)
    assert killed < stopped < 100
    assert end(start(tmp_path, [RUNS["images"]])).count(f"goes on after step {stopped}") == 1
    [record] = Store(tmp_path / "results")
    assert record.history == recorded[1].get(run).history
    assert record.metrics == recorded[1].get(run).metrics


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


def test_what_processes_cannot_do_together_is_refused_in_a_line_each_and_they_go_on(tmp_path):
    """Other sentences on one machine; none there; a batch smaller than the processes; then a run that is well."""
    pairs = text.load("grammar", "train").first(300)
    for rank, names in enumerate((("multi30k", "wmt14-en-de"), ("multi30k",))):
        for name in names:
            folder = tmp_path / f"data{rank}" / name
            folder.mkdir(parents=True)
            for part in ("train", "val", "test_2016_flickr", "validation", "test"):
                for language, sentences in zip(("en", "de"), (pairs.source, pairs.target), strict=True):
                    other = "Another one." if rank and part == "val" else sentences[0]
                    (folder / f"{part}.{language}").write_text("\n".join([other, *sentences[1:]]))
    runs = [
        TEXT | {"dataset": "multi30k"},
        TEXT | {"dataset": "wmt14-en-de"},
        IMAGES | {"recipe": SGD | {"batch": 1}},
        IMAGES | {"recipe": SGD | {"steps": 2}},
    ]
    said = end(start(tmp_path, runs, LSBOOK_DATA=str(tmp_path / "dataRANK")))
    refused = [line.removeprefix("refused: ") for line in said.splitlines() if line.startswith("refused")]
    assert len(refused) == 3
    assert refused[0].startswith("process 1 has other data than process 0 (heldout: SHA-256 ")
    assert refused[1].startswith(f"process 1: wmt14-en-de not found under {tmp_path / 'data1'}")
    assert refused[2] == "a batch of 1 images is too small for 2 processes"
    assert [record.run.recipe for record in Store(tmp_path / "results")] == [Recipe(**SGD | {"steps": 2})]
    assert "Traceback" not in said
