"""Teachers' logits: every view once, looked up by all students; weights that come back."""

import dataclasses
import errno
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from lsbook import training
from lsbook.analysis.calibration import softmax
from lsbook.analysis.distillation import smoothness_index
from lsbook.chapters.distillation import equal_smoothness
from lsbook.core.config import Pixels, Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.data.images import load
from lsbook.models.mlp import MLP
from lsbook.runner import obtain as obtain_module
from lsbook.runner.obtain import obtain
from lsbook.training import Splits, train
from lsbook.training.images import teachers, views
from lsbook.training.images.augmentation import AUGMENTATIONS, Views
from lsbook.training.losses import Batch

RECIPE = Recipe(steps=3, batch=16, learning_rate=0.02, augmentation="crop24-flip")
IMAGES = 20


def run(**fields) -> Run:
    values = {"model": "mlp-800", "alpha": 0.0, "seed": 0, "recipe": RECIPE}
    return Run(dataset="digits", examples=IMAGES, **(values | fields))


def student(**fields) -> Run:
    values = {"model": "alexnet-16", "teacher": run(), "temperature": 2.0, "beta": 1.0}
    return run(**(values | fields))


@pytest.fixture(scope="module")
def data() -> Splits:
    train, heldout, test = (load("digits", split) for split in ("train", "heldout", "test"))
    return Splits(train.first(IMAGES), heldout.first(30), test.first(30))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def taught(run: Run, images) -> teachers.DistillationTarget:
    return training.distillation_target(
        run, {teacher: teachers.teacher_logits(teacher, images, run) for teacher in run.teachers}
    )


@pytest.mark.parametrize(
    ("name", "shape", "n"),
    [
        ("none", (1, 28, 28), 1),
        ("shift2", (1, 28, 28), 25),
        ("crop24-flip", (3, 32, 32), 162),
        ("pad4-flip", (3, 32, 32), 162),
    ],
)
def test_every_view_has_its_number(name, shape, n):
    every = AUGMENTATIONS[name].all_views(shape, "cpu")
    assert AUGMENTATIONS[name].view_index(shape, every).tolist() == list(range(n))
    drawn = AUGMENTATIONS[name].draw(shape, 500, torch.Generator().manual_seed(0))
    place = AUGMENTATIONS[name].view_index(shape, drawn)
    for all_of_them, one in zip(every, drawn, strict=True):
        assert torch.equal(all_of_them[place], one)
    central = AUGMENTATIONS[name].central(shape, 1, "cpu")
    assert 0 <= int(AUGMENTATIONS[name].view_index(shape, central)) < n


@pytest.mark.parametrize("pixels", get_args(Pixels))
def test_a_teachers_logits_are_of_each_view(data, here, pixels):
    """Whatever the student makes of the pixels; the teacher normalises by what it has seen, not by the batch."""
    teacher = run(model="resnet8")
    train(teacher, data, progress=False)
    stored = teachers.teacher_logits(teacher, data.train, student(recipe=dataclasses.replace(RECIPE, pixels=pixels)))
    assert stored.logits.shape == (IMAGES, 162, 10)
    assert stored.logits.dtype == torch.float16
    model = teachers.load_weights(teacher, (1, 32, 32), 10)
    index = torch.tensor([7, 19, 0])
    views = Views(torch.tensor([0, 8, 3]), torch.tensor([5, 1, 8]), torch.tensor([True, False, True]))
    pixels = torch.from_numpy(data.train.pixels)
    with torch.no_grad():
        expected = model(AUGMENTATIONS["crop24-flip"].take(pixels, index, views))
    torch.testing.assert_close(stored(Batch(index, None, views)), expected, atol=0.02, rtol=0.002)


def test_a_student_is_given_its_teachers_logits_of_the_very_view_that_it_sees(data, here):
    train(run(), data, progress=False)
    stored, model = teachers.teacher_logits(run(), data.train, student()), teachers.load_weights(run(), (1, 32, 32), 10)
    batches = views.training_batches(data.train, AUGMENTATIONS["crop24-flip"], 5, 8, torch.device("cpu"))
    for step in range(6):
        batches.load(step)
        seen, batch = batches()
        with torch.no_grad():
            torch.testing.assert_close(stored(batch), model(seen), atol=0.02, rtol=0.002)
        assert batch.labels.tolist() == data.train.labels[batch.index].tolist()


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize(("temperature", "beta"), [(1.0, 1.0), (4.0, 0.3)])
def test_a_distillation_target_has_the_runs_temperature_weight_and_factor(data, here, temperature, beta, squared):
    train(run(), data, progress=False)
    learner = student(temperature=temperature, beta=beta, squared_temperature=squared, alpha=0.2)
    index, labels = torch.tensor([3, 8]), torch.tensor([1, 0])
    batch = Batch(index, labels, Views(torch.tensor([1, 7]), torch.tensor([4, 2]), torch.tensor([False, True])))
    logits = torch.randn(2, 10, generator=torch.Generator().manual_seed(0)).double()
    outputs = teachers.teacher_logits(run(), data.train, learner)(batch).double().numpy()
    own = 0.8 * np.eye(10)[labels] + 0.02
    expected = (1 - beta) * -(own * np.log(softmax(logits.numpy(), 1.0))).sum(axis=1).mean()
    targets = softmax(outputs, temperature) * (temperature**2 if squared else 1)
    expected += beta * -(targets * np.log(softmax(logits.numpy(), temperature))).sum(axis=1).mean()
    target = taught(learner, data.train)
    assert float(target.loss(logits, batch)) == pytest.approx(expected, rel=1e-5)
    assert target.metrics["teacher_temperature"] == temperature


def test_all_students_share_one_pass_through_the_views(data, here, results, monkeypatch):
    seen = []
    whole = MLP.forward
    monkeypatch.setattr("lsbook.training.engine.loop.load_splits", lambda _: data)
    monkeypatch.setattr("lsbook.training.load_splits", lambda _: data)
    obtain([run()], Store())
    monkeypatch.setattr(MLP, "forward", lambda self, x: seen.append(len(x)) or whole(self, x))
    grid = [student(temperature=t, seed=s, beta=b) for t in (1.0, 2.0) for s in (0, 1) for b in (0.5, 1.0)]
    obtain(grid, Store())
    assert sum(seen) == IMAGES * 162
    obtain([student(temperature=7.0)], Store())
    assert sum(seen) == IMAGES * 162  # another time, from the disk
    assert len(Store()) == 10


def test_a_missing_or_damaged_teacher_is_trained_again(data, here, results, monkeypatch):
    monkeypatch.setattr("lsbook.training.load_splits", lambda _: data)
    assert teachers.teacher_logits(run(), data.train, student()) is None
    [first] = obtain([student()], Store())
    assert run() in Store()
    teachers.weights_path(run()).write_bytes(b"damaged")
    assert teachers.load_weights(run(), (1, 32, 32), 10) is None
    first.folder.rename(results / "aside")
    [again] = obtain([student()], Store())
    assert again.metrics == first.metrics


def test_steps_are_counted_of_the_student_alone(data, here, results):
    """Its teacher is trained first."""
    counted = []
    taught = student(seed=5, teacher=run(seed=5))
    obtain_module.train_and_record(taught, Store(), lambda _: data, progress=counted.append)
    assert run(seed=5) in Store()
    assert counted == sorted(counted)
    assert counted[-1] == RECIPE.steps
    assert student(seed=5, teacher=run(seed=5)) in Store()


def test_a_teacher_that_another_process_has_trained_meanwhile_is_not_trained_again(data, here, results, monkeypatch):
    monkeypatch.setattr("lsbook.training.load_splits", lambda _: data)
    obtain([run()], progress=False)
    claim, trained = training.lock_run, []
    monkeypatch.setattr(training, "train", lambda run, *_, **__: trained.append(run))

    def waited(of):  # the other one ends while this one waits for its turn
        aside.rename(weights)
        return claim(of)

    weights = teachers.weights_path(run())
    aside = weights.rename(weights.with_suffix(".aside"))
    monkeypatch.setattr(training, "lock_run", waited)
    obtain_module.train_and_record(run(), Store(), lambda _: data, progress=False, need_weights=True)
    assert trained == []


def test_a_weight_of_0_is_ordinary_training_bit_for_bit(data, here):
    train(run(), data, progress=False)
    distilled = student(beta=0.0)
    loss = taught(distilled, data.train).loss
    alone = dataclasses.replace(distilled, teacher=None, temperature=None, beta=None)
    first, second = train(distilled, data, loss=loss, progress=False), train(alone, data, progress=False)
    assert first.metrics == second.metrics
    assert first.history == second.history
    assert "test_logits" in second.arrays
    assert first.arrays == {}  # nobody asks for more than the errors of a student


def test_targets_become_as_soft_as_another_teachers(data, here):
    """γ over all views, from the logits themselves, of teachers that know their twenty images."""
    knows = run(model="mlp-800", recipe=dataclasses.replace(RECIPE, steps=60))
    soft = dataclasses.replace(knows, alpha=0.3)
    for teacher in (knows, soft):
        train(teacher, data, progress=False)

    def smoothness(teacher: Run, temperature: float) -> float:
        stored = teachers.teacher_logits(teacher, data.train, student())
        probabilities = softmax(stored.logits.flatten(0, 1).numpy(), temperature)
        return smoothness_index(probabilities, data.train.labels.repeat(162))

    expected = smoothness(soft, 1.0)
    assert 0.2 < expected < 0.8
    found = taught(student(teacher=knows, temperature=None, as_soft_as=soft), data.train)
    assert found.metrics["teacher_smoothness"] == pytest.approx(expected, abs=1e-5)
    assert smoothness(knows, found.metrics["teacher_temperature"]) == pytest.approx(expected, abs=1e-5)
    alone = taught(run(as_soft_as=soft), data.train)
    assert alone.metrics == {"teacher_smoothness": pytest.approx(expected, abs=1e-5)}
    logits, labels = torch.randn(6, 10), torch.arange(6)
    target = torch.nn.functional.one_hot(labels, 10) * (1 - expected) + expected / 10
    loss = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(alone.loss(logits, Batch(None, labels, None)), loss, atol=1e-4, rtol=1e-4)


def test_a_recorded_smoothness_needs_no_teacher(data, here, results, monkeypatch):
    """The targets' γ is that of the recorded student at T = 1, and only the hard teacher is trained again."""
    monkeypatch.setattr("lsbook.training.load_splits", lambda _: data)
    recipe = dataclasses.replace(RECIPE, steps=60)
    soft, knows = run(model="mlp-800", recipe=recipe, alpha=0.3), run(model="mlp-800", recipe=recipe)
    smoothed = student(teacher=soft, temperature=1.0, beta=1.0)
    [recorded] = obtain([smoothed], progress=False)
    monkeypatch.setenv("LSBOOK_RUNS", str(here / "of another machine"))
    trained, train = [], training.train
    monkeypatch.setattr(training, "train", lambda run, *args, **more: trained.append(run) or train(run, *args, **more))
    hard = dataclasses.replace(smoothed, teacher=knows, temperature=None, as_soft_as=soft)
    equally_soft = dataclasses.replace(hard, teacher=None, beta=None)
    records = obtain([equally_soft, hard], progress=False)
    assert trained == [equally_soft, knows, hard]
    for record in records:
        assert record.metrics["teacher_smoothness"] == pytest.approx(recorded.metrics["teacher_smoothness"], abs=1e-6)


def test_a_smoothness_out_of_reach_is_refused(data, here):
    """Of a teacher that knows nothing as yet, beside one that is sure of what it knows."""
    sure = run(model="mlp-800", recipe=dataclasses.replace(RECIPE, steps=60))
    for teacher in (run(), sure):
        train(teacher, data, progress=False)
    with pytest.raises(UserError, match="smoothness index: this teacher's is between .* not 0"):
        taught(student(temperature=None, as_soft_as=sure), data.train)


def test_figure_5_costs_one_pass_through_the_views_of_each_teacher(here, results, monkeypatch):
    """All students of a seed together: the views of the training images, once for each of the teachers."""
    plan, brief = equal_smoothness.PLANS["smoke"], (200, dataclasses.replace(RECIPE, steps=8, augmentation="shift2"))
    plan = plan._replace(teacher=("mlp-800", brief), student=("alexnet-16", brief))
    monkeypatch.setitem(equal_smoothness.PLANS, "smoke", plan)
    runs = equal_smoothness.runs("smoke", 0)
    trained = {run for run in runs.values() if run.model == "mlp-800"}
    obtain(list(trained), Store(), progress=False)
    seen, whole = [], MLP.forward
    monkeypatch.setattr(MLP, "forward", lambda self, x: seen.append(len(x)) or whole(self, x))
    obtain(list(runs.values()), Store(), progress=False)
    assert len(trained) == 3
    assert sum(seen) == 3 * 25 * 200


@pytest.mark.parametrize("content", [b"", b"damaged", None])
def test_damaged_logits_are_computed_again(data, here, content):
    train(run(), data, progress=False)
    first = teachers.teacher_logits(run(), data.train, student()).logits.clone()
    [path] = here.rglob("*.npy")
    path.write_bytes(path.read_bytes()[:-1_000] if content is None else content)
    assert torch.equal(teachers.teacher_logits(run(), data.train, student()).logits, first)


def test_an_interrupted_computation_of_logits_goes_on(data, here, monkeypatch):
    """From whole batches, so that it is the same to the bit; half of a row was on the disk, too."""
    monkeypatch.setattr(teachers, "VIEWS_AT_ONCE", 500)
    train(run(), data, progress=False)
    whole = teachers.teacher_logits(run(), data.train, student()).logits.clone()
    [path] = here.rglob("bank-*")
    path.unlink()
    seen, forward = [], MLP.forward

    def interrupted(self, x):
        seen.append(len(x))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return forward(self, x)

    monkeypatch.setattr(MLP, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        teachers.teacher_logits(run(), data.train, student())
    [part] = here.rglob("bank-*")
    half = np.load(part, mmap_mode="r+").reshape(-1, 10)
    half[1_500, :5] = 1.0
    half.flush()
    again = teachers.teacher_logits(run(), data.train, student()).logits
    assert sum(seen[:3]) + sum(seen[4:]) == IMAGES * 162
    assert torch.equal(again, whole)
    assert [path.name for path in here.rglob("bank-*")] == [path.name]


def test_logits_whose_file_cannot_be_renamed_are_used_all_the_same(data, here, monkeypatch):
    train(run(), data, progress=False)
    monkeypatch.setattr(Path, "replace", lambda path, to: no_space() if path.suffix == ".part" else path.rename(to))
    assert teachers.teacher_logits(run(), data.train, student()).logits.isfinite().all()


def test_a_partial_file_that_was_cut_is_begun_anew(data, here, monkeypatch):
    train(run(), data, progress=False)
    whole = teachers.teacher_logits(run(), data.train, student()).logits.clone()
    [path] = here.rglob("bank-*")
    part = path.rename(path.with_suffix(".part"))
    part.write_bytes(part.read_bytes()[:5_000])
    assert torch.equal(teachers.teacher_logits(run(), data.train, student()).logits, whole)
    part.write_bytes(b"damaged")
    path.unlink()
    monkeypatch.setattr(teachers, "write_atomically", no_space)
    assert torch.equal(teachers.teacher_logits(run(), data.train, student()).logits, whole)
    assert not path.exists()  # the damaged one is not taken for it


def test_other_weights_have_other_logits(data, here):
    train(run(), data, progress=False)
    first = teachers.teacher_logits(run(), data.train, student()).logits.clone()
    model = teachers.load_weights(run(), (1, 32, 32), 10)
    torch.nn.init.zeros_(model.output.weight)
    teachers.save_weights(run(), model)
    assert not torch.equal(teachers.teacher_logits(run(), data.train, student()).logits, first)


def test_logits_that_cannot_be_kept_are_used_all_the_same(data, here, monkeypatch):
    train(run(), data, progress=False)
    monkeypatch.setattr(teachers, "write_atomically", no_space)
    assert len(teachers.teacher_logits(run(), data.train, student()).logits) == IMAGES
    assert not [*here.rglob("*.npy")]


def test_a_teacher_whose_weights_cannot_be_kept_is_said(data, here, results, monkeypatch):
    monkeypatch.setattr("lsbook.training.load_splits", lambda _: data)
    monkeypatch.setattr(teachers, "write_atomically", no_space)
    with pytest.raises(UserError, match=r"no space for .*weights.safetensors: free some, or set LSBOOK_RUNS"):
        obtain([student()], Store(), progress=False)


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_other_views_than_the_teachers_are_refused(data, here):
    train(run(), data, progress=False)
    other = student(recipe=dataclasses.replace(RECIPE, augmentation="shift2"))
    with pytest.raises(
        UserError, match=r"sees views of shape \(1, 32, 32\), but its teacher was trained on \(1, 24, 24\)"
    ):
        taught(other, data.train)


def test_a_teacher_of_other_classes_is_refused():
    with pytest.raises(UserError, match="the teacher knows the classes of cifar10, not of digits"):
        student(teacher=dataclasses.replace(run(), dataset="cifar10"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beta": 1.5}, "beta must be at most 1"),
        ({"beta": -0.1}, "beta must be at least 0"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"temperature": None}, "a student needs a teacher, beta, and one of temperature and as_soft_as"),
        ({"as_soft_as": run()}, "one of temperature and as_soft_as"),
        ({"as_soft_as": 0.5}, "as_soft_as must be an instance of Run, not 0.5"),
        ({"teacher": None}, "are for students only: name a teacher"),
        ({"teacher": None, "temperature": None, "beta": None, "squared_temperature": True}, "are for students only"),
        ({"teacher": None, "temperature": None, "beta": None, "as_soft_as": run(), "alpha": 0.1}, "alpha must be 0"),
        ({"squared_temperature": 1}, "squared_temperature must be a valid boolean, not 1"),
    ],
)
def test_a_student_is_checked(fields, message):
    with pytest.raises(UserError, match=message):
        student(**fields)
