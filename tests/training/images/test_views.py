"""Batches of images that stay in their files: the same whenever they are asked for, and a training on them."""

import dataclasses
import multiprocessing
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.registry import DATASETS
from lsbook.data import images
from lsbook.training import load_splits, train
from lsbook.training.engine import checkpoints, loop
from lsbook.training.images.augmentation import AUGMENTATIONS, InceptionCrop, standardise
from lsbook.training.images.views import InMemoryBatches, evaluation_batches, training_batches

CROPS = AUGMENTATIONS["crop24-flip"]
WNIDS = ("n01440764", "n02113624")
RECIPE = Recipe(steps=6, batch=4, learning_rate=0.01, augmentation="inception", size=24)


@pytest.fixture(autouse=True)
def folder(data_folder, monkeypatch):
    """Ten images of noise a class and part, one class darker than the other; four training images are held out."""
    of_two = {"classes": ("tench", "toy poodle"), "shown": (), "wnids": WNIDS}
    small = dataclasses.replace(DATASETS["imagenet"], **of_two, examples=(20, 20), heldout=4)
    monkeypatch.setitem(DATASETS, "imagenet", small)
    generator = np.random.default_rng(0)
    for part in ("train", "val"):
        for k, wnid in enumerate(WNIDS):
            (data_folder / "imagenet" / part / wnid).mkdir(parents=True)
            for n in range(10):
                pixels = generator.integers(0, 100 + 100 * k, (40 + n, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(data_folder / "imagenet" / part / wnid / f"{n}.JPEG")
    return data_folder / "imagenet"


def run(**fields) -> Run:
    return Run(dataset="imagenet", model="alexnet-16", alpha=0.1, seed=0, **{"recipe": RECIPE, "examples": 16} | fields)


def from_files():
    return training_batches(images.load("imagenet", "train"), InceptionCrop(24), 3, 4, torch.device("cpu"))


def from_memory(block=4):
    """A block of four steps has the end of one pass through 20 images and the beginning of another."""
    return InMemoryBatches(images.load("digits", "train").first(20), CROPS, 3, 4, torch.device("cpu"), block)


def at(made, step):
    made.load(step)
    views, batch = made()
    return views.clone(), dataclasses.replace(batch, index=batch.index.clone())


@pytest.mark.parametrize("made", [from_files, from_memory])
def test_a_steps_batch_is_the_same_in_turn_and_alone(made):
    batches = made()
    in_turn = [at(batches, step) for step in range(6)]
    batches = made()
    for step in (5, 2):
        views, batch = at(batches, step)
        torch.testing.assert_close(views, in_turn[step][0], rtol=0, atol=0)
        assert torch.equal(batch.index, in_turn[step][1].index)
    assert len({tuple(batch.index.tolist()) for _, batch in in_turn}) == 6


def test_labels_are_those_of_the_images():
    train_split = images.load("imagenet", "train")
    _, batch = at(from_files(), 1)
    assert torch.equal(batch.labels, torch.from_numpy(train_split.labels)[batch.index])


def test_a_block_of_steps_sees_the_images_that_its_steps_see_and_views_of_their_own():
    blocks, steps = from_memory(), from_memory(block=1)
    found = [[at(batches, step)[1] for step in range(8)] for batches in (blocks, steps)]
    assert [batch.index.tolist() for batch in found[0]] == [batch.index.tolist() for batch in found[1]]
    assert len({tuple(batch.views.top.tolist() + batch.views.left.tolist()) for batch in found[0]}) == 8


@pytest.mark.parametrize("made", [from_files, from_memory])
def test_a_step_is_loaded_into_the_places_of_the_one_before(made):
    """A GPU's recorded work reads there."""
    batches = made()
    batches.load(0)
    places = [t.data_ptr() for t in tensors(batches)]
    first = at(batches, 0)[1].index
    batches.load(4)
    assert [t.data_ptr() for t in tensors(batches)] == places
    assert not torch.equal(batches()[1].index, first)


def tensors(batches) -> list[torch.Tensor]:
    return [*batches._tables, batches._place] if isinstance(batches, InMemoryBatches) else batches._loaded


def test_evaluation_sees_the_central_view_of_every_image_in_order():
    test = images.load("imagenet", "test")
    [seen] = evaluation_batches(test, InceptionCrop(24), torch.device("cpu"))
    plain = np.stack([test.apply(i, InceptionCrop(24)) for i in range(len(test))])
    torch.testing.assert_close(seen, standardise(torch.from_numpy(plain)))


def test_a_training_on_files_is_the_same_twice():
    outcomes = [train(run(), load_splits(run()), progress=False) for _ in range(2)]
    assert outcomes[0].history == outcomes[1].history
    assert outcomes[0].metrics == outcomes[1].metrics
    assert outcomes[0].arrays["templates"].shape[0] == 2
    assert len(outcomes[0].arrays["test_hit"]) == 20


def test_closed_batches_leave_no_worker_and_are_loaded_again():
    batches = from_files()
    first = at(batches, 1)[0]
    assert multiprocessing.active_children()
    batches.close()
    assert not multiprocessing.active_children()
    torch.testing.assert_close(at(batches, 1)[0], first, rtol=0, atol=0)
    batches.close()


def test_workers_have_ended_when_an_interrupted_training_keeps_its_checkpoint(monkeypatch, tmp_path):
    """The signal may be theirs as well; without them, none of their ends disturbs the writing."""
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    advance, write, left = loop._TrainingState.train_step, checkpoints.save_checkpoint, []

    def interrupted(course):
        signal.raise_signal(signal.SIGTERM)
        advance(course)
        assert multiprocessing.active_children()

    def noted(*arguments):
        left.extend(multiprocessing.active_children())
        return write(*arguments)

    monkeypatch.setattr(loop._TrainingState, "train_step", interrupted)
    monkeypatch.setattr(checkpoints, "save_checkpoint", noted)
    monkeypatch.setattr(checkpoints, "STEP_TIMEOUT", 600)  # the machine of the tests may be busy
    with pytest.raises(SystemExit):
        train(run(), load_splits(run()), progress=False)
    assert left == []
    assert checkpoints.steps_done(run()) == 1


def test_a_broken_image_ends_a_training_in_one_line(folder):
    for path in (folder / "train").rglob("*.JPEG"):
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"JPEG: the image cannot be decoded .* counts all that are broken") as caught:
        train(run(), load_splits(run()), progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"recipe": dataclasses.replace(RECIPE, augmentation="pad4-flip")}, "needs the augmentation inception"),
        ({"dataset": "cifar10"}, "needs another augmentation, not inception"),
        ({"recipe": dataclasses.replace(RECIPE, probe="logit-differences")}, "the probe is not for imagenet"),
        ({"teacher": run(), "beta": 1.0, "temperature": 1.0}, "a student cannot learn from imagenet"),
    ],
)
def test_what_cannot_be_had_of_files_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(run(), **fields)


def test_the_crops_of_inception_need_a_size():
    with pytest.raises(UserError, match="need a size"):
        dataclasses.replace(RECIPE, size=None)
