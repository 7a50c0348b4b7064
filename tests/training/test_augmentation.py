"""Views: the window that was drawn, and TensorFlow's standardisation."""

import numpy as np
import pytest
import torch

from lsbook import run
from lsbook.errors import UserError
from lsbook.training import augmentation
from lsbook.training.augmentation import AUGMENTATIONS, Views, standardise

PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8))


def views(top, left, mirrored) -> Views:
    return Views(torch.tensor(top), torch.tensor(left), torch.tensor(mirrored))


def test_a_crop_is_the_window_that_was_drawn():
    index = torch.tensor([4, 0, 5])
    crops = AUGMENTATIONS["crop24-flip"].take(PIXELS, index, views([0, 3, 8], [8, 5, 0], [False, True, False]))
    windows = [PIXELS[4, :, 0:24, 8:32], PIXELS[0, :, 3:27, 5:29].flip(-1), PIXELS[5, :, 8:32, 0:24]]
    torch.testing.assert_close(crops, standardise(torch.stack(windows)))


def test_a_shift_moves_zeros_in():
    index = torch.tensor([2, 1])
    shifted = AUGMENTATIONS["shift2"].take(PIXELS, index, views([0, 4], [3, 2], [False, False]))
    down = torch.zeros(3, 32, 32, dtype=torch.uint8)
    down[:, 2:, :31] = PIXELS[2, :, :30, 1:]  # offset 0 of the image padded by 2: two down; 3: one to the left
    up = torch.zeros(3, 32, 32, dtype=torch.uint8)
    up[:, :30] = PIXELS[1, :, 2:]
    torch.testing.assert_close(shifted, standardise(torch.stack([down, up])))


def test_a_padded_crop_is_the_window_that_was_drawn():
    index = torch.tensor([3])
    crop = AUGMENTATIONS["pad4-flip"].take(PIXELS, index, views([8], [1], [True]))
    padded = torch.nn.functional.pad(PIXELS[3], [4] * 4)
    torch.testing.assert_close(crop, standardise(padded[None, :, 8:40, 1:33].flip(-1)))


def test_every_augmentation_that_a_recipe_may_name_is_there():
    assert set(AUGMENTATIONS) == set(run.AUGMENTATIONS)


def test_no_augmentation_is_the_image():
    index = torch.arange(6)
    plain = AUGMENTATIONS["none"]
    generator = torch.Generator().manual_seed(0)
    drawn = plain.draw((3, 32, 32), 6, generator)
    torch.testing.assert_close(plain.take(PIXELS, index, drawn), standardise(PIXELS))


def test_evaluation_takes_the_central_window():
    crop = AUGMENTATIONS["crop24-flip"]
    taken = crop.take(PIXELS, torch.arange(6), crop.central((3, 32, 32), 6, "cpu"))
    torch.testing.assert_close(taken, standardise(PIXELS[:, :, 4:28, 4:28]))


def test_every_view_is_drawn_about_equally_often():
    """9 × 9 offsets, mirrored or not: chi-squared of 162 cells, 161 degrees of freedom (mean 161, sd 17.9)."""
    drawn = AUGMENTATIONS["crop24-flip"].draw((3, 32, 32), 162_000, torch.Generator().manual_seed(1))
    counts = torch.bincount((drawn.top * 9 + drawn.left) * 2 + drawn.mirrored.long(), minlength=162)
    assert len(counts) == 162
    assert float(((counts - 1000.0) ** 2 / 1000).sum()) < 161 + 5 * 17.9


def test_standardisation_is_tensorflows():
    """mean 0; divided by max(sd, 1/√n): a constant image becomes zeros, not NaN."""
    image = torch.tensor([[[[0, 10], [20, 30]]]], dtype=torch.uint8)
    expected = (torch.tensor([0.0, 10, 20, 30]) - 15) / np.sqrt((225 + 25 + 25 + 225) / 4)
    torch.testing.assert_close(standardise(image).flatten(), expected.float())
    torch.testing.assert_close(standardise(torch.full((1, 1, 2, 2), 7)), torch.zeros(1, 1, 2, 2))
    faint = torch.tensor([[[[0.0, 0.1], [0.0, 0.1]]]])  # sd 0.05 is below 1/√4
    torch.testing.assert_close(standardise(faint), (faint - 0.05) / 0.5)


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(
        UserError, match="unknown augmentation 'mixup': choose from none, crop24-flip, pad4-flip, shift2"
    ):
        augmentation.named("mixup")
