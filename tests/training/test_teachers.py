"""Teachers' banks: every view once, looked up by all students; weights that come back."""

import dataclasses

import pytest
import torch

from lsbook import training
from lsbook.analysis.calibration import softmax
from lsbook.analysis.distillation import smoothness_index
from lsbook.data.images import load
from lsbook.errors import UserError
from lsbook.experiments import obtain as obtain_module
from lsbook.experiments.obtain import obtain
from lsbook.models.resnet import ResNet
from lsbook.run import PIXELS, Recipe, Run
from lsbook.store import Store
from lsbook.training import Splits, lesson, teachers, train
from lsbook.training.augmentation import AUGMENTATIONS, Views
from lsbook.training.losses import Batch

RECIPE = Recipe(steps=3, batch=16, learning_rate=0.02, augmentation="crop24-flip")
IMAGES = 20


def run(**fields) -> Run:
    values = {"model": "resnet8", "alpha": 0.0, "seed": 0, "recipe": RECIPE}
    return Run(dataset="digits", examples=IMAGES, **(values | fields))


def student(**fields) -> Run:
    values = {"model": "alexnet-16", "teacher": run(), "temperature": 2.0, "beta": 1.0}
    return run(**(values | fields))


@pytest.fixture(scope="module")
def data() -> Splits:
    return Splits(load("digits", "train").first(IMAGES), load("digits", "heldout").first(30), load("digits", "test"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


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
    every = AUGMENTATIONS[name].every(shape, "cpu")
    assert AUGMENTATIONS[name].number(shape, every).tolist() == list(range(n))
    drawn = AUGMENTATIONS[name].draw(shape, 500, torch.Generator().manual_seed(0))
    place = AUGMENTATIONS[name].number(shape, drawn)
    for all_of_them, one in zip(every, drawn, strict=True):
        assert torch.equal(all_of_them[place], one)
    central = AUGMENTATIONS[name].central(shape, 1, "cpu")
    assert 0 <= int(AUGMENTATIONS[name].number(shape, central)) < n


@pytest.mark.parametrize("pixels", PIXELS)
def test_the_bank_holds_the_teachers_answer_to_each_view(data, here, pixels):
    """Whatever the student makes of the pixels."""
    train(run(), data, progress=False)
    bank = teachers.bank(run(), data.train, student(recipe=dataclasses.replace(RECIPE, pixels=pixels)))
    assert bank.logits.shape == (IMAGES, 162, 10)
    assert bank.logits.dtype == torch.float16
    model = teachers.load_weights(run(), (1, 32, 32), 10)
    index = torch.tensor([7, 19, 0])
    views = Views(torch.tensor([0, 8, 3]), torch.tensor([5, 1, 8]), torch.tensor([True, False, True]))
    pixels = torch.from_numpy(data.train.pixels)
    with torch.no_grad():
        expected = model(AUGMENTATIONS["crop24-flip"].take(pixels, index, views))
    torch.testing.assert_close(bank(Batch(index, None, views)), expected, atol=0.02, rtol=0.002)


def test_all_students_share_one_pass_through_the_views(data, here, results, monkeypatch):
    seen = []
    whole = ResNet.forward
    monkeypatch.setattr("lsbook.training.loop.splits", lambda _: data)
    monkeypatch.setattr("lsbook.training.splits", lambda _: data)
    obtain([run()], Store())
    monkeypatch.setattr(ResNet, "forward", lambda self, x: seen.append(len(x)) or whole(self, x))
    grid = [student(temperature=t, seed=s, beta=b) for t in (1.0, 2.0) for s in (0, 1) for b in (0.5, 1.0)]
    obtain(grid, Store())
    assert sum(seen) == IMAGES * 162
    obtain([student(temperature=7.0)], Store())
    assert sum(seen) == IMAGES * 162  # another time, from the disk
    assert len(Store()) == 10


def test_a_missing_or_damaged_teacher_is_trained_again(data, here, results, monkeypatch):
    monkeypatch.setattr("lsbook.training.splits", lambda _: data)
    assert lesson(student(), data.train) is None
    [first] = obtain([student()], Store())
    assert run() in Store()
    teachers.weights_path(run()).write_bytes(b"damaged")
    assert teachers.load_weights(run(), (1, 32, 32), 10) is None
    for bank in here.rglob("*.npy"):
        bank.unlink()
    first.folder.rename(results / "aside")
    [again] = obtain([student()], Store())
    assert again.metrics == first.metrics


def test_a_student_gives_way_while_its_teacher_is_trained(data, here, results):
    """Steps are counted of the student alone."""
    steps = []
    work = obtain_module.recorded(student(seed=5, teacher=run(seed=5)), Store(), lambda _: data, progress=steps.append)
    turns = 0
    with pytest.raises(StopIteration):
        while True:
            next(work)
            turns += run(seed=5) not in Store()
    assert turns >= RECIPE.steps
    assert max(steps) <= RECIPE.steps
    assert student(seed=5, teacher=run(seed=5)) in Store()


def test_a_teacher_that_another_process_has_trained_meanwhile_is_not_trained_again(data, here, results, monkeypatch):
    monkeypatch.setattr("lsbook.training.splits", lambda _: data)
    obtain([run()], progress=False)
    claim, trained = training.claim, []
    monkeypatch.setattr(training, "steps", lambda run, *_, **__: trained.append(run))

    def waited(of):  # the other one ends while this one waits for its turn
        aside.rename(weights)
        return claim(of)

    weights = teachers.weights_path(run())
    aside = weights.rename(weights.with_suffix(".aside"))
    monkeypatch.setattr(training, "claim", waited)
    with pytest.raises(StopIteration):
        next(obtain_module.recorded(run(), Store(), lambda _: data, progress=False, weights=True))
    assert trained == []


def test_a_weight_of_0_is_ordinary_training_bit_for_bit(data, here):
    train(run(), data, progress=False)
    distilled = student(beta=0.0)
    loss = lesson(distilled, data.train).loss
    alone = dataclasses.replace(distilled, teacher=None, temperature=None, beta=None)
    first, second = train(distilled, data, loss=loss, progress=False), train(alone, data, progress=False)
    assert first.metrics == second.metrics
    assert first.history == second.history
    assert "test_logits" in second.arrays
    assert "test_logits" not in first.arrays  # nobody asks for the logits of a student


@pytest.mark.parametrize("smoothness", [0.3, 0.9])
def test_the_temperature_is_found_from_the_smoothness(data, here, smoothness):
    """γ over all views, from the bank itself, of a teacher that knows its twenty images."""
    knows = run(model="mlp-800", recipe=dataclasses.replace(RECIPE, steps=60))
    train(knows, data, progress=False)
    found = lesson(student(teacher=knows, temperature=None, smoothness=smoothness), data.train)
    bank = teachers.bank(knows, data.train, student())
    probabilities = softmax(bank.logits.flatten(0, 1).numpy(), found.metrics["teacher_temperature"])
    assert smoothness_index(probabilities, data.train.labels.repeat(162)) == pytest.approx(smoothness, abs=1e-5)
    assert found.metrics["teacher_smoothness"] == pytest.approx(smoothness, abs=1e-5)


def test_a_smoothness_out_of_reach_is_refused(data, here):
    train(run(), data, progress=False)
    with pytest.raises(UserError, match="smoothness index: this teacher's is between .* not 0.001"):
        lesson(student(temperature=None, smoothness=0.001), data.train)


def test_other_views_than_the_teachers_are_refused(data, here):
    train(run(), data, progress=False)
    other = student(recipe=dataclasses.replace(RECIPE, augmentation="shift2"))
    with pytest.raises(
        UserError, match=r"sees views of shape \(1, 32, 32\), but its teacher was trained on \(1, 24, 24\)"
    ):
        lesson(other, data.train)


def test_a_teacher_of_other_classes_is_refused():
    with pytest.raises(UserError, match="the teacher knows the classes of cifar10, not of digits"):
        student(teacher=dataclasses.replace(run(), dataset="cifar10"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beta": 1.5}, "beta must be in"),
        ({"beta": -0.1}, "beta must be in"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"temperature": None}, "a student needs a teacher, beta, and one of temperature and smoothness"),
        ({"smoothness": 0.5}, "one of temperature and smoothness"),
        ({"temperature": None, "smoothness": 1.0}, "smoothness must be in"),
        ({"teacher": None}, "a student needs a teacher"),
        ({"teacher": None, "temperature": None, "beta": None, "squared_temperature": True}, "is for students only"),
        ({"squared_temperature": 1}, "must be true or false"),
    ],
)
def test_a_student_is_checked(fields, message):
    with pytest.raises(UserError, match=message):
        student(**fields)
