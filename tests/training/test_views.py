"""Batches of images that stay in their files: the same whenever they are asked for, and a training on them."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from lsbook.catalogue import DATASETS
from lsbook.data import images
from lsbook.errors import UserError
from lsbook.run import Recipe, Run
from lsbook.training import splits, train
from lsbook.training.augmentation import InceptionCrop, standardise
from lsbook.training.views import batches, evaluation

WNIDS = ("n01440764", "n02113624")
RECIPE = Recipe(steps=6, batch=4, learning_rate=0.01, augmentation="inception", size=24)


@pytest.fixture(autouse=True)
def folder(data_folder, monkeypatch):
    """Ten images of noise a class and part, one class darker than the other; four training images are held out."""
    small = dataclasses.replace(DATASETS["imagenet"], classes=("tench", "toy poodle"), wnids=WNIDS, heldout=4)
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


def test_a_steps_batch_is_the_same_in_turn_and_alone():
    train_split = images.load("imagenet", "train")
    made = [batches(train_split, InceptionCrop(24), 3, 4, torch.device("cpu")) for _ in range(2)]
    in_turn = [made[0](step) for step in range(6)]
    for step in (5, 2):
        views, batch = made[1](step)
        torch.testing.assert_close(views, in_turn[step][0], rtol=0, atol=0)
        assert torch.equal(batch.index, in_turn[step][1].index)
        assert torch.equal(batch.labels, torch.from_numpy(train_split.labels)[batch.index])
    assert not torch.equal(in_turn[0][0], in_turn[4][0])  # a pass has four steps


def test_evaluation_sees_the_central_view_of_every_image_in_order():
    test = images.load("imagenet", "test")
    [seen] = evaluation(test, InceptionCrop(24), torch.device("cpu"))
    plain = np.stack([test.see(i, InceptionCrop(24)) for i in range(len(test))])
    torch.testing.assert_close(seen, standardise(torch.from_numpy(plain)))


def test_a_training_on_files_is_the_same_twice():
    outcomes = [train(run(), splits(run()), progress=False) for _ in range(2)]
    assert outcomes[0].history == outcomes[1].history
    assert outcomes[0].metrics == outcomes[1].metrics
    assert outcomes[0].arrays["templates"].shape[0] == 2
    assert len(outcomes[0].arrays["test_hit"]) == 20


def test_a_broken_image_ends_a_training_in_one_line(folder):
    for path in (folder / "train").rglob("*.JPEG"):
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"JPEG: the image cannot be decoded .* counts all that are broken") as caught:
        train(run(), splits(run()), progress=False)
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
