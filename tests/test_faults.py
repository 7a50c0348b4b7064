"""Whatever happens to real processes: nothing recorded is lost or doubled, and no partial record is ever visible.

How many faults there were is said at the end of pytest's output.
"""

import dataclasses
import itertools
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout
from safetensors.numpy import load_file

from lsbook.core.config import Recipe
from lsbook.core.schema import ARRAYS
from lsbook.core.store import Record, Store
from lsbook.runner import pool

RECIPE = Recipe(steps=40, batch=8, learning_rate=0.01, momentum=0.9, schedule="one-cycle")
KILLS = [6, pytest.param(60, marks=pytest.mark.long)]

# The command line under a tiny recipe, with a checkpoint after every step. `before`: what a test changes.
COMMAND = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
os.environ.update(environment)
sys.stdout = sys.stderr = open(log, "w", buffering=1)
from lsbook.recipes import profiles
from lsbook.training.engine import checkpoints
checkpoints.INTERVAL, checkpoints.STEP_TIMEOUT = 0, 600
profiles.RECIPES["smoke", "digits", "alexnet-16"] = 60, recipe
exec(before)
sys.argv = ["lsbook", *arguments]
from lsbook.cli import main
main()
"""

# Records of no training, one after the other.
WRITER = """
import numpy as np
from lsbook.core.config import Recipe, Run
from lsbook.core.store import Store
arrays = {"a": np.random.default_rng(0).random((200, 1000))}
for seed in range(first, last):
    run = Run(dataset="digits", model="mlp", alpha=0.1, seed=seed, recipe=Recipe(steps=1, batch=1), examples=1)
    Store(path).put(run, metrics={"seed": seed}, history={}, environment=environment, arrays=arrays)
    written.send(seed)
"""

# The process gets a signal in the middle of a step.
INTERRUPTED = """
import signal
from lsbook.training.engine import loop
train_step = loop._TrainingState.train_step
def interrupted(state):
    if state.step in (17, 100, 199):
        signal.raise_signal(signal.SIGTERM)
    train_step(state)
loop._TrainingState.train_step = interrupted
"""

BACKWARDS = """
import itertools, time
hours = itertools.count(2_000_000_000, -3600)
time.time = lambda: float(next(hours))
"""


class Place:
    """A folder with a store, and the processes that work there."""

    def __init__(self, folder: Path, made_in: dict):
        self.folder, self.store, self.processes = folder, Store(folder / "results"), []
        self.made_in = made_in  # what the records of writers say of it
        self.environment = dict(os.environ) | {
            "LSBOOK_RESULTS": str(self.store.path),
            "LSBOOK_RUNS": str(folder / "runs"),
        }

    def start(self, *arguments: str, before: str = "", recipe: Recipe = RECIPE):
        """The command line in a process of its own."""
        log = self.folder.with_name(f"{self.folder.name}-{len(self.processes)}.log")
        names = {"arguments": arguments, "before": before, "recipe": recipe, "log": log}
        process = self._process(COMMAND, names | {"environment": self.environment})
        process.log = log
        return process

    def train(self, seed: int = 0, **changes):
        """`lsbook train`, to its end: its exit code and what it said."""
        process = self.start(*training(seed), **changes)
        process.join()
        return process.exitcode, process.log.read_text()

    def write(self, first: int, last: int):
        """A writer; its `written` tells of each record."""
        written, sender = pool.forkserver_context().Pipe(duplex=False)
        names = {"path": str(self.store.path), "first": first, "last": last, "environment": self.made_in}
        process = self._process(WRITER, names | {"written": sender})
        sender.close()
        process.written = written
        return process

    def _process(self, code: str, names: dict):
        process = pool.forkserver_context().Process(target=exec, args=(code, names))
        process.start()
        self.processes.append(process)
        return process

    def checkpoints(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("runs/*/*/checkpoints/*.safetensors"))

    def locks(self) -> list[Path]:
        """Which trainings hold."""
        return list(self.folder.glob("runs/*/*/checkpoints/.lock"))

    def step(self) -> int:
        """Of the newest checkpoint."""
        return max((int(path.stem) for path in self.checkpoints()), default=0)


def training(seed: int) -> tuple[str, ...]:
    options = {"dataset": "digits", "model": "alexnet-16", "alpha": "0.1", "profile": "smoke", "seed": str(seed)}
    return "train", *itertools.chain(*((f"--{name}", value) for name, value in options.items()))


@pytest.fixture
def places(tmp_path, environment):
    """Makes places by name; what still runs there at the end of a test is killed."""
    made = []

    def place(name: str) -> Place:
        (tmp_path / name).mkdir(exist_ok=True)
        made.append(Place(tmp_path / name, environment))
        return made[-1]

    yield place
    for process in itertools.chain(*(place.processes for place in made)):
        process.kill()
        process.join()


@pytest.fixture
def mount(request):
    """Mounts a small tmpfs and gives a function that mounts it anew with other options."""
    if os.geteuid():
        pytest.skip("only root may mount")

    def at(folder: Path, options: str) -> None:
        folder.mkdir(exist_ok=True)
        already = ["remount"] if folder.is_mount() else []
        command = ["mount", "-t", "tmpfs", "-o", ",".join([*already, options]), "tmpfs", folder]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting is not allowed here")
        if not already:
            request.addfinalizer(lambda: subprocess.run(["umount", "--lazy", folder], check=True))

    return at


def same(first: Record, second: Record) -> None:
    """Byte for byte, but for the environment."""
    assert (first.run, first.metrics, first.history) == (second.run, second.metrics, second.history)
    assert (first.folder / ARRAYS).read_bytes() == (second.folder / ARRAYS).read_bytes()


@pytest.mark.parametrize("kills", KILLS)
def test_sigkill_while_training(places, record_property, kills):
    """Each run is killed at random moments, and begun again until it is recorded; then the next one is."""
    random, place, alone = np.random.default_rng(0), places("killed"), places("alone")
    killed = seed = 0
    while killed < kills:
        process = place.start(*training(seed))
        step = place.step() + random.integers(RECIPE.steps // 2)
        while process.is_alive() and place.step() < step:
            time.sleep(0.002)
        process.join(random.uniform(0, 0.2))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        assert place.store.verify() == []
        assert len(place.store) in (seed, seed + 1)
        seed = len(place.store)
    assert place.train(seed)[0] == 0
    records = {record.run.seed: record for record in place.store}
    assert sorted(records) == list(range(seed + 1))
    for number, record in records.items():
        assert alone.train(number)[0] == 0
        same(record, alone.store.get(record.run))
    record_property(
        "faults", f"{killed} SIGKILLs while training: {seed + 1} runs recorded, each once and as without them"
    )


@pytest.mark.parametrize("kills", KILLS)
def test_sigkill_while_writing(places, record_property, kills):
    random, place = np.random.default_rng(0), places("killed")
    written = 0
    for kill in range(kills):
        process = place.write(1_000 * kill, 1_000 * (kill + 1))
        process.written.recv()  # it is at work
        time.sleep(random.uniform(0, 0.1))
        process.kill()
        process.join()
        written += 1 + len(drained(process.written))
        assert place.store.verify() == []
    assert written <= len(place.store) <= written + kills  # killed between the rename and its report
    place.write(10**6, 10**6 + 1).join()
    assert list(place.store.path.glob(".writing*")) == []
    record_property("faults", f"{kills} SIGKILLs while writing: {written} records written, all whole")


def drained(connection) -> list:
    found = []
    try:
        while True:
            found.append(connection.recv())
    except EOFError:
        return found


def held(lock: Path) -> bool:
    """Whether a training holds it."""
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def test_a_sweep_that_is_killed_takes_its_trainings_with_it(places, record_property):
    """They keep their checkpoints, from which the next sweep goes on: the second, killed as well, and the third."""
    place, kept = places("swept"), {}
    sweep = "sweep", "projections", "--profile", "smoke", "--seeds", "0", "--jobs", "2"
    recipe = dataclasses.replace(RECIPE, steps=600)
    for number, exitcode in (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL):
        process = place.start(*sweep, recipe=recipe)
        while sum(map(held, place.locks())) < 2:
            assert process.is_alive(), process.log.read_text()
            time.sleep(0.05)
        time.sleep(0.3)  # now and then they have begun their steps
        os.kill(process.pid, number)
        process.join()
        assert process.exitcode == exitcode
        while any(map(held, place.locks())):
            time.sleep(0.05)
        assert len(place.store) == 0  # they ended before their time
        before, kept = kept, {path.parent: int(path.stem) for path in place.checkpoints()}  # the newest of each
        assert all(step <= kept[folder] for folder, step in before.items())
    again = place.start(*sweep, recipe=recipe)
    again.join()
    assert again.exitcode == 0
    said = [line.rpartition(" ")[2] for line in again.log.read_text().splitlines() if "goes on after step" in line]
    assert sorted(map(int, said)) == sorted(kept.values())
    assert len(place.store) == 2
    found = f"a sweep ended by SIGTERM, then by SIGKILL: 2 trainings ended with it, {len(kept)} went on from a step"
    record_property("faults", found)


def test_who_trains_the_same_at_once_trains_it_once(places, record_property):
    place = places("same")
    note = f"""
from lsbook.training.engine import loop
begin = loop._TrainingState.__init__
def noted(state, *arguments):
    open({str(place.folder / "begun")!r}, "a").write("begun ")
    begin(state, *arguments)
loop._TrainingState.__init__ = noted
"""
    processes = [place.start(*training(0), before=note) for _ in range(4)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (place.folder / "begun").read_text() == "begun "
    assert len(place.store) == 1
    record_property("faults", "4 processes told to train the same run at once: trained once")


def test_two_sweeps_and_four_writers_at_once(places, record_property):
    place, seen = places("shared"), 0
    sweeps = [
        place.start("sweep", "projections", "--profile", "smoke", "--seeds", "0-1", "--jobs", "2") for _ in range(2)
    ]
    writers = [place.write(first, first + 8) for first in (0, 4, 8, 0)]
    while any(process.is_alive() for process in (*sweeps, *writers)):
        assert place.store.verify() == []  # at any moment
        seen += 1
        time.sleep(0.05 if any(writer.is_alive() for writer in writers) else 0.5)  # a sweep records once in a second
    assert [process.exitcode for process in (*sweeps, *writers)] == [0] * 6, sweeps[0].log.read_text()
    trained = [record.run for record in place.store if record.run.model == "alexnet-16"]
    assert len(trained) == 4
    assert len(place.store) == 4 + 16
    assert place.checkpoints() == []
    record_property("faults", f"2 sweeps and 4 writers at once: 20 records, each once, all whole at {seen} moments")


@pytest.mark.parametrize("kind", ["tmpfs", "file size"])
def test_the_disk_is_full(places, record_property, request, kind):
    """What was recorded stays, the run is not half recorded, and with space again it is recorded as it should be."""
    place, alone = places("full"), places("alone")
    if kind == "tmpfs":
        mount = request.getfixturevalue("mount")
        mount(place.folder, "size=2m")
    place.write(0, 1).join()
    if kind == "tmpfs":
        filler = place.folder / "filler"
        with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        code, said = place.train()
        filler.unlink()
    else:
        limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))"
        code, said = place.train(before=limit)
    assert code == 2
    assert "No space left on device" in said or "File too large" in said
    assert said.splitlines()[-1].startswith("lsbook: ")
    assert "Traceback" not in said
    assert place.store.verify() == []
    assert len(place.store) == 1
    assert place.train()[0] == alone.train()[0] == 0
    [expected] = alone.store
    same(place.store.get(expected.run), expected)
    record_property("faults", f"disk full ({kind}): 1 record kept, 0 partial, 1 run recorded once there was space")


def test_a_store_that_cannot_be_written(places, record_property, request):
    place = places("readonly")
    if os.geteuid():
        place.store.path.mkdir()
        place.store.path.chmod(0o555)
    else:
        request.getfixturevalue("mount")(place.store.path, "ro")
    code, said = place.train()
    assert code == 2
    assert said.startswith(f"lsbook: recorded runs cannot be written to {place.store.path}: ")
    assert said.count("\n") == 1
    assert place.checkpoints() == []  # it was not trained in vain
    record_property("faults", "a store that cannot be written: refused before the first step")


def test_a_loss_that_is_not_a_number(places, record_property):
    place = places("nan")
    diverging = Recipe(steps=40, batch=8, learning_rate=1e9)
    code, said = place.train(recipe=diverging)
    line = said.splitlines()[-1]
    assert code == 2
    assert "is not finite any more at step " in line
    newest = place.checkpoints()[-1]
    assert line.endswith(f"its last good checkpoint is {newest}")
    assert all(np.isfinite(values).all() for values in load_file(newest).values())
    assert (len(place.store), place.store.verify()) == (0, [])
    record_property("faults", "a loss that is not a number: nothing recorded, step and last good checkpoint named")


LITTLE_MEMORY = """
import resource
from pathlib import Path
mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + 100 * 2**20, resource.RLIM_INFINITY))
profiles.RECIPES["smoke", "digits", "alexnet-16"] = 1_000, recipe
"""


def test_memory_does_not_suffice_for_a_batch(places, record_property):
    place = places("memory")
    code, said = place.train(before=LITTLE_MEMORY, recipe=dataclasses.replace(RECIPE, batch=1_000))
    line = said.splitlines()[-1]
    assert code == 2
    assert line.startswith("lsbook: digits alexnet-16 alpha=0.1 seed=0 ")
    assert ": out of memory (" in line
    assert line.endswith("another run with a smaller batch (lsbook train --batch)")
    assert "Traceback" not in said
    assert (len(place.store), place.store.verify()) == (0, [])
    assert place.train(recipe=dataclasses.replace(RECIPE, batch=60))[0] == 0
    record_property("faults", "memory that does not suffice for a batch: one line, and a smaller batch is trained")


@pytest.fixture
def interrupted(places):
    """A place where a training was ended by SIGTERM, and one where it was not."""
    place, alone = places("interrupted"), places("alone")
    assert alone.train()[0] == 0
    assert place.train(before=INTERRUPTED)[0] == 128 + signal.SIGTERM
    assert len(place.checkpoints()) == 2
    assert len(place.store) == 0
    return place, alone


def test_a_record_after_three_interruptions_is_the_same_to_the_byte(places, record_property):
    place, alone = places("interrupted"), places("alone")
    recipe = dataclasses.replace(RECIPE, steps=200)
    for _ in range(3):
        assert place.train(before=INTERRUPTED, recipe=recipe)[0] == 128 + signal.SIGTERM
    assert place.train(recipe=recipe)[0] == alone.train(recipe=recipe)[0] == 0
    [record], [expected] = place.store, alone.store
    same(record, expected)
    record_property("faults", "200 steps interrupted 3 times: the record's files as without")


def test_a_damaged_checkpoint(interrupted, record_property):
    place, alone = interrupted
    newest = place.checkpoints()[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    code, said = place.train()
    assert code == 0
    assert f"checkpoint {newest} is damaged and passed over" in said
    assert "goes on after step 17" in said
    [record], [expected] = place.store, alone.store
    same(record, expected)
    record_property("faults", "a damaged checkpoint: the one before it used, and said; the record as without it")


def test_a_clock_that_is_set_back(interrupted, record_property):
    """Files are as old as they pretend, and the clock runs backwards."""
    place, alone = interrupted
    for days, path in enumerate(place.checkpoints()):
        for file in (path, path.with_suffix(".json")):
            os.utime(file, (-86_400 * days + 10**9,) * 2)
    code, said = place.train(before=BACKWARDS)
    assert code == 0
    assert "goes on after step 18" in said
    [record], [expected] = place.store, alone.store
    same(record, expected)
    assert place.store.verify() == []
    record_property("faults", "the clock set back: the newest checkpoint used, the record as without it")
