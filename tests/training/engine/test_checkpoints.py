"""Interrupted trainings end up where uninterrupted ones do; damage and lack of space cost no run.

Real processes are killed in test_faults.py.
"""

import dataclasses
import signal
import threading
import time

import pytest
import torch

from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.runner.obtain import obtain
from lsbook.training import Splits, distillation_target, load_splits, teacher_logits, train
from lsbook.training.engine import checkpoints, loop
from lsbook.training.images import probes, summary
from lsbook.training.losses import SmoothedCrossEntropy

STEPS = 200
SGD = Recipe(steps=STEPS, batch=4, learning_rate=0.02, momentum=0.9, schedule="one-cycle", augmentation="crop24-flip")
SHORT = dataclasses.replace(SGD, steps=20)


def run(model="alexnet-16", recipe=SHORT, **fields) -> Run:
    return Run(dataset="digits", model=model, alpha=0.1, seed=0, recipe=recipe, examples=60, **fields)


@pytest.fixture(scope="module")
def data() -> Splits:
    parts = load_splits(run())
    return Splits(parts.train, parts.heldout.first(30), parts.test.first(30))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(checkpoints, "STEP_TIMEOUT", 600)  # the machine of the tests may be busy


def interrupt(monkeypatch, steps, number=signal.SIGTERM):
    """Let the process get a signal in the middle of each of these steps, once."""
    left, whole = set(steps), loop._TrainingState.train_step

    def advance(state):
        if state.step in left:
            left.discard(state.step)
            signal.raise_signal(number)
        whole(state)

    monkeypatch.setattr(loop._TrainingState, "train_step", advance)


def same(first, second) -> None:
    """Bit for bit, but for the environment."""
    assert first.metrics == second.metrics
    assert first.history == second.history
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        assert array.tobytes() == second.arrays[name].tobytes(), name


@pytest.mark.parametrize(
    ("model", "recipe", "probe"),
    [
        ("alexnet-16", SGD, "none"),
        ("mlp-dropout", SHORT, "none"),
        ("resnet8", SHORT, "logit-differences"),
    ],
    ids=["200 steps", "dropout", "batch statistics and a probe"],
)
def test_interrupted_three_times_it_ends_where_it_would_have(data, monkeypatch, tmp_path, model, recipe, probe):
    monkeypatch.setattr(probes, "MAX_CLASSES", 2)
    asked = dataclasses.replace(run(model, recipe), probe=probe)
    whole = train(asked, data, progress=False)
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "again"))
    interrupt(monkeypatch, (3, recipe.steps // 2, recipe.steps - 1))
    for _ in range(3):
        with pytest.raises(SystemExit) as ended:
            train(asked, data, progress=False)
        assert ended.value.code == 128 + signal.SIGTERM
    same(whole, train(asked, data, progress=False))


def test_what_was_not_measured_along_the_way_is_measured_from_the_start(data, monkeypatch, tmp_path):
    monkeypatch.setattr(probes, "MAX_CLASSES", 2)
    plain = run("resnet8", SHORT)
    probed = dataclasses.replace(plain, probe="logit-differences")
    whole = train(probed, data, progress=False)
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "again"))
    interrupt(monkeypatch, (3,))
    with pytest.raises(SystemExit):
        train(plain, data, progress=False)
    same(whole, train(probed, data, progress=False))


def test_what_is_measured_when_a_signal_comes_is_broken_off_and_done_again(data, monkeypatch, tmp_path):
    """Of a probe after the first of its two splits, of another before it, and of the last point of the history."""
    monkeypatch.setattr(probes, "MAX_CLASSES", 2)
    recipe = dataclasses.replace(SHORT, probe="logit-differences")
    whole = train(run("resnet8", recipe), data, progress=False)
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "again"))
    calls, gone_on = [], []

    def interrupted(work):
        def broken_off(*arguments):
            calls.append(work.__name__)
            if [calls.count(name) for name in names] in ([2, 0], [5, 0], [13, 1]):
                signal.raise_signal(signal.SIGTERM)
                gone_on.append(work.__name__)
            return work(*arguments)

        return broken_off

    names = "_view_logits", "evaluate"
    monkeypatch.setattr(probes.LogitDifferences, names[0], interrupted(probes.LogitDifferences._view_logits))
    monkeypatch.setattr(summary, names[1], interrupted(summary.evaluate))
    for _ in range(3):
        with pytest.raises(SystemExit) as ended:
            train(run("resnet8", recipe), data, progress=False)
        assert ended.value.code == 128 + signal.SIGTERM
    same(whole, train(run("resnet8", recipe), data, progress=False))
    assert gone_on == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_step_that_takes_too_long_is_given_up_and_the_last_checkpoint_stays(data, monkeypatch, number):
    advance = loop._TrainingState.train_step

    def long_step(state):
        if state.step == 5:
            signal.raise_signal(number)
            while True:
                time.sleep(0.01)
        advance(state)
        state.save()

    with monkeypatch.context() as patch, pytest.raises((SystemExit, KeyboardInterrupt)) as ended:
        patch.setattr(loop._TrainingState, "train_step", long_step)
        patch.setattr(checkpoints, "STEP_TIMEOUT", 0.1)
        train(run(), data, progress=False)
    assert getattr(ended.value, "code", None) == (128 + number if number == signal.SIGTERM else None)
    assert checkpoints.load_latest(run()).step == 5
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert len(train(run(), data, progress=False).history["step"]) > 0


def test_a_checkpoint_is_waited_for(data, monkeypatch):
    """However long it takes to write: nothing is given up any more."""
    left, write_atomically = [], checkpoints.write_atomically

    def noted(*arguments):
        left.append(signal.getitimer(signal.ITIMER_REAL)[0])
        write_atomically(*arguments)

    monkeypatch.setattr(checkpoints, "write_atomically", noted)
    interrupt(monkeypatch, (3,))
    with pytest.raises(SystemExit):
        train(run(), data, progress=False)
    assert left == [0, 0]


def test_an_ignored_signal_stays_ignored(data, monkeypatch):
    """As of a process of a sweep, whose parent decides, and of one in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupt(monkeypatch, (3,), signal.SIGINT)
    try:
        train(run(), data, progress=False)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_student_is_taken_up_again_too(data, monkeypatch, tmp_path):
    teacher = run("mlp")
    train(teacher, data, progress=False)
    student = dataclasses.replace(run("mlp-800"), alpha=0.0, teacher=teacher, temperature=2.0, beta=0.7)
    loss = distillation_target(student, {teacher: teacher_logits(teacher, data.train, student)}).loss
    whole = train(student, data, loss=loss, progress=False)
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "again"))
    interrupt(monkeypatch, (3, 15))
    for _ in range(2):
        with pytest.raises(SystemExit):
            train(student, data, loss=loss, progress=False)
    same(whole, train(student, data, loss=loss, progress=False))


def test_a_text_is_taken_up_again_too(monkeypatch, tmp_path):
    recipe = Recipe(steps=8, batch=256, optimiser="adam", learning_rate=1e-3, momentum=0.9)
    text = Run(
        dataset="grammar", model="transformer-64", alpha=0.1, seed=0, recipe=recipe, examples=200, vocabulary=800
    )
    parts = load_splits(text)
    parts = parts._replace(heldout=parts.heldout.first(12), test=parts.test.first(12))
    whole = train(text, parts, progress=False)
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "again"))
    interrupt(monkeypatch, (5,), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(text, parts, progress=False)
    same(whole, train(text, parts, progress=False))


def test_without_signals_checkpoints_come_at_intervals(data, monkeypatch):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0)
    train(run(), data, progress=False)
    assert checkpoints._steps(run()) == [19, 20]  # the last two


def test_the_interval_is_measured_by_a_clock_that_no_one_sets(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: pytest.fail("the wall clock was asked"))
    moments = iter([0.0, 59.0, 61.0, 61.0, 100.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    clock = checkpoints.CheckpointTimer()
    assert [clock.due(), clock.due(), clock.due()] == [False, True, False]


def kept(step: int) -> None:
    checkpoints.save_checkpoint(
        run(), checkpoints.Checkpoint(step, {"weight": torch.full((3,), float(step))}, {"seconds": step})
    )


@pytest.mark.parametrize("damage", ["content", "notes"])
def test_damaged_ones_do_not_outlive_what_comes_after_them(damage):
    for step in (160, 220):
        kept(step)
        path = checkpoints.latest_path(run())
        path = path if damage == "content" else path.with_suffix(".json")
        path.write_text(path.read_text(errors="replace").replace("0", "1"))
    assert checkpoints.load_latest(run()) is None
    for step in (60, 120, 180):
        kept(step)
        assert checkpoints.load_latest(run()).step == step
    assert checkpoints._steps(run()) == [120, 180]


def test_what_killed_processes_left_is_no_checkpoint_and_goes(monkeypatch):
    """One killed between two files, twice, and one in the middle of a file."""
    kept(100)
    folder = checkpoints.latest_path(run()).parent
    for step in (160, 158):
        kept(step)
        (folder / f"{step:09}.json").unlink()
    (folder / "tmpabc.tmp").touch()
    (folder.parent / "tmpdef.tmp").touch()
    assert checkpoints.load_latest(run()).step == 100
    kept(157)
    assert checkpoints._steps(run()) == [100, 157]
    assert sorted(path.suffix for path in folder.iterdir() if path.stem != ".lock") == sorted(
        [".json", ".safetensors"] * 2
    )
    with checkpoints.lock_run(run()):
        assert not (folder.parent / "tmpdef.tmp").exists()


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"sha256": 1, "notes": null}'])
def test_notes_that_are_none_are_damage(text, capsys):
    kept(5)
    kept(7)
    checkpoints.latest_path(run()).with_suffix(".json").write_text(text)
    (checkpoints.latest_path(run()).parent / "000000009 (copy).json").write_text(text)
    assert checkpoints.load_latest(run()).step == 5
    assert "000000007.safetensors is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["byte", "cut", "no tensors", "not JSON"])
def test_a_damaged_checkpoint_is_passed_over(data, monkeypatch, capsys, damage):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0)
    whole = train(run(), data, progress=False)
    path = checkpoints.latest_path(run())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    if damage == "byte":
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:1000])
    elif damage == "no tensors":
        path.unlink()
    else:
        path.with_suffix(".json").write_text("{")
    capsys.readouterr()
    same(whole, train(run(), data, progress=False))
    said = capsys.readouterr().err
    assert f"checkpoint {path} is damaged and passed over" in said
    assert "goes on after step 19" in said


def test_all_damaged_it_begins_anew(data, monkeypatch):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0)
    whole = train(run(), data, progress=False)
    for path in checkpoints.latest_path(run()).parent.glob("*.safetensors"):
        path.write_bytes(b"")
    same(whole, train(run(), data, progress=False))


def test_a_loss_that_is_not_finite_names_the_last_good_checkpoint(data, monkeypatch):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0)
    calls = []

    def loss(logits, batch):
        calls.append(1)
        return SmoothedCrossEntropy(alpha=0.1)(logits, batch) * (float("nan") if len(calls) > 12 else 1)

    with pytest.raises(UserError, match=r"not finite any more at step 13; .*last good checkpoint is .*000000012\.saf"):
        train(run(), data, loss=loss, progress=False)
    assert all(
        torch.isfinite(t).all() for t in checkpoints.load_latest(run()).tensors.values() if t.is_floating_point()
    )


def test_weights_that_are_not_finite_are_no_checkpoint(data, monkeypatch):
    """The loss is of the step before, and still finite."""
    monkeypatch.setattr(checkpoints, "INTERVAL", 0)
    advance = loop._TrainingState.train_step

    def diverged(state):
        advance(state)
        if state.step == 9:
            next(state.task.trainer.model.parameters()).data.fill_(float("inf"))

    monkeypatch.setattr(loop._TrainingState, "train_step", diverged)
    with pytest.raises(UserError, match=r"not finite any more at step 9; .*checkpoint is .*000000008\.saf"):
        train(run(), data, progress=False)


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(data, monkeypatch, capsys):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0)
    whole = train(run(), data, progress=False)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_atomically", full)
    checkpoints.delete_checkpoints(run())
    same(whole, train(run(), data, progress=False))
    assert "no checkpoint is kept at step 20: No space left on device" in capsys.readouterr().err


def test_a_recorded_run_leaves_no_checkpoint(data, monkeypatch, results):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0)
    monkeypatch.setattr("lsbook.training.load_splits", lambda _: data)
    obtain([run()])
    assert checkpoints._steps(run()) == []


def test_a_lock_is_held_by_one_at_a_time():
    order = []

    def second():
        with checkpoints.lock_run(run()):
            order.append("second")

    with checkpoints.lock_run(run()):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(timeout=0.3)
        assert checkpoints.is_locked(run())
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]
    assert not checkpoints.is_locked(run())


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    folder = tmp_path / "runs" / run().folder / "checkpoints"
    folder.mkdir(parents=True)
    (tmp_path / "letter").write_text("dear reader")
    (folder / ".lock").symlink_to(tmp_path / "letter")
    with pytest.raises(UserError, match="checkpoints cannot be written to"):
        checkpoints.is_locked(run())
    with pytest.raises(UserError, match="checkpoints cannot be written to"), checkpoints.lock_run(run()):
        pass
    assert (tmp_path / "letter").read_text() == "dear reader"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "file"))
    with pytest.raises(UserError, match="checkpoints cannot be written to .*: Not a directory") as caught:
        obtain([run()], Store(tmp_path / "results"), progress=False)
    assert "\n" not in str(caught.value)
