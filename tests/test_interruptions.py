"""Ctrl-C and SIGTERM, to real processes: one line, the exit code that shells expect, and nobody is left behind."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lsbook.__main__ import main
from lsbook.core.config import Recipe, Run
from lsbook.core.store import Store
from lsbook.training.engine import checkpoints, loop

PROJECT = Path(__file__).parents[1]

# `lsbook sweep`, with other runs in the place of a chapter's.
SWEEP = """
import sys
from lsbook.__main__ import main
from lsbook.chapters import plans
from lsbook.core.config import Recipe, Run
plans.plan = lambda *_: {runs}
if __name__ == "__main__":
    sys.argv = ["lsbook", "sweep", "projections", "--profile", "smoke", "--jobs", "2"]
    main()
"""


def run(seed: int, steps: int) -> Run:
    recipe = Recipe(steps=steps, batch=8, learning_rate=0.01)
    return Run(dataset="digits", model="alexnet-16", alpha=0.1, seed=seed, recipe=recipe, examples=20)


class Command:
    """Python with these arguments in a session of its own, as a terminal has it. runs: LSBOOK_RUNS, by which the
    processes are known that it starts, in sessions of their own or not."""

    def __init__(self, arguments: list[str], runs: Path, **settings: str):
        environment = os.environ | {"LSBOOK_RUNS": str(runs)} | settings
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, *arguments]
        self.runs = runs
        self.process = subprocess.Popen(command, cwd=PROJECT, env=environment, start_new_session=True, **pipes)

    def processes(self) -> list[psutil.Process]:
        """Those that have not ended."""
        found = psutil.process_iter(["cmdline", "environ", "status"])
        return [
            process
            for process in found
            if (process.info["environ"] or {}).get("LSBOOK_RUNS") == str(self.runs)
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]

    def wait_for(self, word: str) -> None:
        """Until there is a process with this word in its command line."""
        while not any(word in " ".join(process.info["cmdline"]) for process in self.processes()):
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)

    def end(self, number: int) -> list[str]:
        """Ctrl-C goes to the group, another signal to the first process. What was said since, when all have ended."""
        (os.killpg if number == signal.SIGINT else os.kill)(self.process.pid, number)
        out, said = self.process.communicate()
        assert (self.process.returncode, out) == (128 + number, "")
        while self.processes():
            time.sleep(0.01)
        return said.splitlines()


@pytest.fixture
def start(tmp_path, results):
    """Starts commands, and kills what is left of them."""
    started = []

    def begin(*arguments: str, **settings: str) -> Command:
        started.append(Command(arguments, tmp_path / "runs", **settings))
        return started[-1]

    yield begin
    for command in started:
        for process in command.processes():
            process.kill()
        command.process.communicate()


def test_before_the_command_line_is_imported(start, tmp_path):
    """The process sends itself what a terminal would."""
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = start("-m", "lsbook", "verify", PYTHONPATH=f"{tmp_path}{os.pathsep}{PROJECT}")
    assert command.process.communicate() == ("", "lsbook: stopped\n")
    assert command.process.returncode == 128 + signal.SIGINT


def test_a_sweep_whose_processes_still_import_torch(start):
    command = start("-c", SWEEP.format(runs=[run(0, steps=10)]))
    command.wait_for("forkserver")
    assert command.end(signal.SIGINT) == ["lsbook: stopped"]


def test_a_sweep_that_trains_keeps_checkpoints(start, tmp_path, results):
    """Of two runs that begin at the same time the short one is recorded, so the other is on its way."""
    short, long = run(0, steps=50), run(1, steps=10**6)
    command = start("-c", SWEEP.format(runs=[short, long]))
    assert command.process.stderr.readline().startswith(f"1 of 2 done: {short}")
    assert command.end(signal.SIGINT) == ["lsbook: stopped"]
    assert [record.run for record in Store(results)] == [short]
    assert list((tmp_path / "runs" / long.folder / "checkpoints").glob("*.safetensors"))


def test_a_build_takes_its_kernels_with_it(start, tmp_path):
    command = start("-m", "lsbook", "build", "label_smoothing", "--out", str(tmp_path / "out"))
    command.wait_for("kernelapp")
    assert command.end(signal.SIGTERM)[-1] == "lsbook: stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_keeps_a_checkpoint(results, tmp_path, monkeypatch, capsys, number):
    """In this process, in the middle of a step."""
    advance = loop._TrainingState.train_step

    def interrupted(course):
        if course.step == 3:
            signal.raise_signal(number)
        advance(course)

    monkeypatch.setattr(loop._TrainingState, "train_step", interrupted)
    monkeypatch.setattr(checkpoints, "STEP_TIMEOUT", 600)  # the machine of the tests may be busy
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    options = ["--dataset", "digits", "--model", "alexnet-16", "--alpha", "0.1", "--profile", "smoke"]
    monkeypatch.setattr(sys, "argv", ["lsbook", "train", *options])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        main()
    signal.signal(signal.SIGTERM, before)
    gc.unfreeze()
    assert ended.value.code == 128 + number
    *_, said = capsys.readouterr().err.splitlines()
    assert said == "lsbook: stopped"
    assert [path.stem for path in tmp_path.glob("runs/*/*/checkpoints/*.safetensors")] == ["000000004"]
    assert not list(results.glob("*/*"))
