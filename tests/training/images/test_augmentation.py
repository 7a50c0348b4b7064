"""Views: the window that was drawn, and TensorFlow's standardisation."""

import io
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from lsbook.core import config
from lsbook.core.config import Recipe
from lsbook.core.errors import UserError
from lsbook.training.images import augmentation
from lsbook.training.images.augmentation import AUGMENTATIONS, InceptionCrop, Views, standardise

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
    made = {
        name: augmentation.from_recipe(Recipe(steps=1, augmentation=name, size=50))
        for name in get_args(config.AugmentationName)
    }
    assert all(view.shape((3, 32, 32)) == (3, 50, 50) for view in made.values())
    assert made.keys() - AUGMENTATIONS.keys() == {"inception"}
    assert augmentation.PIXEL_SCALES.keys() == set(get_args(config.Pixels))


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


@pytest.mark.parametrize(("name", "central", "reaches"), [("crop24-flip", 4, (0, 1, 4, 9)), ("none", 0, (0, 2))])
def test_weaker_views_are_those_about_the_central_one(name, central, reaches):
    for reach in reaches:
        drawn = AUGMENTATIONS[name].draw((3, 32, 32), 2_000, torch.Generator().manual_seed(1), reach)
        for offsets in (drawn.top, drawn.left):
            within = min(reach, central)
            assert offsets.unique().tolist() == list(range(central - within, central + within + 1))


def test_every_view_is_drawn_about_equally_often():
    """9 × 9 offsets, mirrored or not: chi-squared of 162 cells, 161 degrees of freedom (mean 161, sd 17.9)."""
    drawn = AUGMENTATIONS["crop24-flip"].draw((3, 32, 32), 162_000, torch.Generator().manual_seed(1))
    counts = torch.bincount((drawn.top * 9 + drawn.left) * 2 + drawn.mirrored.long(), minlength=162)
    assert len(counts) == 162
    assert float(((counts - 1000.0) ** 2 / 1000).sum()) < 161 + 5 * 17.9


def test_a_scaled_view_is_the_window_scaled_and_then_standardised():
    view = augmentation.from_recipe(Recipe(steps=1, augmentation="crop24-flip", size=48))
    taken = view.take(PIXELS, torch.tensor([4]), views([3], [5], [True]))
    window = PIXELS[4, :, 3:27, 5:29].flip(-1)
    scaled = [Image.fromarray(c.numpy()).resize((48, 48), Image.Resampling.BILINEAR) for c in window.float()]
    torch.testing.assert_close(taken, standardise(torch.from_numpy(np.stack(scaled))[None]), rtol=1e-4, atol=1e-4)


def test_inceptions_evaluation_view_is_the_central_part():
    """The middle 7/8 of the shorter side, here all of one colour."""
    image = np.zeros((80, 160, 3), np.uint8)
    image[5:75, 45:115] = 200
    view = InceptionCrop(70)(Image.fromarray(image))
    assert view.shape == (3, 70, 70)
    assert (view == 200).all()


def test_inceptions_crops_have_the_area_and_aspect_that_are_asked_for():
    """A ramp in each direction tells where a view begins and ends; half are mirrored; a seed gives one view."""
    across, down = np.meshgrid(np.linspace(0, 250, 200), np.linspace(0, 250, 100))
    image = Image.fromarray(np.stack([across, down, down], axis=-1).round().astype(np.uint8))
    crop = InceptionCrop(64)
    seen = np.stack([crop(image, seed) for seed in range(300)]).astype(float)
    spans = [seen[:, 0, :, -1] - seen[:, 0, :, 0], seen[:, 1, -1] - seen[:, 1, 0]]
    widths, heights = (np.abs(span).mean(axis=1) / 250 * side for span, side in zip(spans, (200, 100), strict=True))
    area, aspect = widths * heights / 20_000, widths / heights
    assert area.min() > 0.06
    assert 0.4 < area.max() <= 1
    assert 0.68 < aspect.min() < 0.8
    assert 1.25 < aspect.max() < 1.45
    assert 0.4 < (spans[0].mean(axis=1) < 0).mean() < 0.6
    np.testing.assert_array_equal(crop(image, 7), seen[7])


def test_a_drawn_crop_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    InceptionCrop(8)(Image.new("RGB", (20, 20)), 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_large_jpeg_is_decoded_no_finer_than_needed():
    buffer = io.BytesIO()
    ramp = np.broadcast_to(np.linspace(0, 255, 800).astype(np.uint8)[None, :, None], (800, 800, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(buffer, "JPEG", quality=95)
    small, whole = Image.open(buffer), Image.open(buffer)
    view = InceptionCrop(50)(small)
    assert small.size == (100, 100)
    whole.load()
    np.testing.assert_allclose(view, InceptionCrop(50)(whole), atol=3)


def test_unit_pixels_are_the_bytes_between_0_and_1_with_black_moved_in():
    view = augmentation.from_recipe(Recipe(steps=1, augmentation="shift2", pixels="unit"))
    shifted = view.take(PIXELS, torch.tensor([3]), views([4], [2], [False]))
    torch.testing.assert_close(shifted[0, :, :-2], PIXELS[3, :, 2:] / 255)
    assert torch.equal(shifted[0, :, -2:], torch.zeros(3, 2, 32))


def test_standardisation_is_tensorflows():
    """mean 0; divided by max(sd, 1/√n): a constant image becomes zeros, not NaN."""
    image = torch.tensor([[[[0, 10], [20, 30]]]], dtype=torch.uint8)
    expected = (torch.tensor([0.0, 10, 20, 30]) - 15) / np.sqrt((225 + 25 + 25 + 225) / 4)
    torch.testing.assert_close(standardise(image).flatten(), expected.float())
    torch.testing.assert_close(standardise(torch.full((1, 1, 2, 2), 7)), torch.zeros(1, 1, 2, 2))
    faint = torch.tensor([[[[0.0, 0.1], [0.0, 0.1]]]])  # sd 0.05 is below 1/√4
    torch.testing.assert_close(standardise(faint), (faint - 0.05) / 0.5)


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(UserError, match="augmentation must be one of 'none', 'crop24-flip', 'pad4-flip', 'shift2'"):
        Recipe(steps=1, augmentation="mixup")
