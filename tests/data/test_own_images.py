"""Somebody's own images: every layout that people have, and what is no image, broken, doubled or too few."""

import io
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lsbook.core import registry
from lsbook.core.errors import UserError
from lsbook.data import images, own_images
from lsbook.data.own_images import prepare

COLOURS = {"ant": (200, 30, 30), "bee": (30, 200, 30)}


@pytest.fixture(autouse=True)
def kept(data_folder):
    """The data sets are kept in a folder of the test's."""


def picture(label: str, number: int, size=(40, 32)) -> Image.Image:
    """Unlike any other of its class or another one."""
    rng = np.random.default_rng([len(label), number, ord(label[0])])
    noise = rng.integers(0, 50, (size[1], size[0], 3))
    return Image.fromarray((np.array(COLOURS.get(label, (90, 90, 90))) + noise).astype(np.uint8))


def fill(folder, number=10, labels=COLOURS, start=0):
    for label in labels:
        (folder / label).mkdir(parents=True)
        for i in range(start, start + number):
            picture(label, i).save(folder / label / f"{i}.png")
    return folder


def digest(image: np.ndarray) -> bytes:
    return image.tobytes()


def test_a_folder_for_each_class_is_split_by_content(tmp_path):
    read = prepare(fill(tmp_path / "my insects"))
    assert read.title == "my insects"
    assert read.classes == ("ant", "bee")
    assert read.counts == {"train": (6, 6), "heldout": (2, 2), "test": (2, 2)}
    assert read.shape == (3, 32, 32)
    assert read.dataset.startswith("lsbook.data.own_images:my_insects_")
    assert read.notes == ()
    assert read.split_by.startswith("by the SHA-256")
    train, heldout, test = images.all_splits(read.dataset)
    assert [len(part) for part in (train, heldout, test)] == [12, 4, 4]
    assert registry.dataset(read.dataset).title == "my insects"
    for part in (train, heldout, test):  # by their colour the labels are right
        greener = part.pixels[:, 1].mean(axis=(1, 2)) > part.pixels[:, 0].mean(axis=(1, 2))
        np.testing.assert_array_equal(part.labels, greener)


def test_the_names_of_files_change_nothing_and_one_pixel_makes_another_data_set(tmp_path):
    first = prepare(fill(tmp_path / "a" / "insects"))
    again = fill(tmp_path / "b" / "insects")
    (again / "ant" / "0.png").rename(again / "ant" / "zzz.PNG")
    assert prepare(again).dataset == first.dataset
    image = picture("ant", 3)
    image.putpixel((20, 16), (0, 0, 0))
    image.save(again / "ant" / "3.png")
    assert prepare(again).dataset != first.dataset


def test_parts_stay_as_they_came(tmp_path):
    folder = tmp_path / "parted"
    for part, start, number in (("train", 0, 8), ("val", 100, 3), ("test", 200, 4)):
        fill(folder / part, number, start=start)
    read = prepare(folder)
    assert read.counts == {"train": (8, 8), "heldout": (3, 3), "test": (4, 4)}
    assert read.split_by == "as they came"
    expected = [np.asarray(picture("ant", i).crop((4, 0, 36, 32))) for i in range(200, 204)]
    found = images.load(read.dataset, "test")
    assert {digest(image.transpose(1, 2, 0)) for image in found.pixels[found.labels == 0]} == set(map(digest, expected))


@pytest.mark.parametrize("other", ["val", "test"])
def test_without_two_of_the_parts_a_fifth_of_training_is_held_out(tmp_path, other):
    fill(tmp_path / "parted" / "training", 10)
    fill(tmp_path / "parted" / other, 4, start=100)
    read = prepare(tmp_path / "parted")
    assert read.counts == {"train": (8, 8), "heldout": (2, 2), "test": (4, 4)}
    assert "held out" in read.split_by


def parquet(path, labels=COLOURS, number=10, names=True, start=0):
    rows, numbers = [], []
    for i in range(start, start + number):
        for label, name in enumerate(labels):
            file = io.BytesIO()
            picture(name, i).save(file, format="JPEG")
            rows.append({"bytes": file.getvalue(), "path": None})
            numbers.append(label)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(rows, kind), "label": numbers})
    if names:
        features = {"info": {"features": {"label": {"names": list(labels)}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


@pytest.mark.parametrize("inside", ["", "data"])
def test_the_hubs_parquet_files(tmp_path, inside):
    place = tmp_path / "hub" / inside
    parquet(place / "train-00000-of-00001.parquet")
    parquet(place / "test-00000-of-00001.parquet", number=3, start=50)
    read = prepare(tmp_path / "hub")
    assert read.classes == ("ant", "bee")
    assert read.counts == {"train": (8, 8), "heldout": (2, 2), "test": (3, 3)}


def test_parquet_files_without_names_or_test(tmp_path):
    parquet(tmp_path / "hub" / "train.parquet", names=False)
    read = prepare(tmp_path / "hub")
    assert read.classes == ("0", "1")
    assert read.counts == {"train": (6, 6), "heldout": (2, 2), "test": (2, 2)}


def test_parquet_files_without_names_are_counted_together(tmp_path):
    """Where files are sorted by class each has one."""
    for i in range(3):
        path = tmp_path / "hub" / f"train-{i:05}-of-00003.parquet"
        parquet(path, labels=[str(i)], names=False, start=20 * i)
        table = pq.read_table(path)
        pq.write_table(table.set_column(1, "label", pa.array([i] * len(table))), path)
    parquet(tmp_path / "hub" / "test.parquet", names=False, number=3, start=100)
    read = prepare(tmp_path / "hub")
    assert read.classes == ("0", "1", "2")
    assert read.counts == {"train": (8, 8, 8), "heldout": (2, 2, 2), "test": (3, 3, 0)}


def test_classes_are_in_the_order_of_their_numbers(tmp_path):
    assert prepare(fill(tmp_path / "n", labels=("10", "9", "2"))).classes == ("2", "9", "10")
    assert prepare(fill(tmp_path / "o", labels=("1", "01", "001"))).classes == ("001", "01", "1")


def test_grey_pictures_of_any_mode_have_one_channel_and_transparent_ones_a_white_ground(tmp_path):
    folder = fill(tmp_path / "modes")
    for path in folder.rglob("*.png"):
        Image.open(path).convert("L").convert("RGB" if "ant" in str(path) else "L").save(path)
    assert prepare(folder).shape == (1, 32, 32)
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    clear.save(folder / "ant" / "0.png")
    read = prepare(folder)
    assert read.shape == (1, 32, 32)  # white is grey
    pixels = np.concatenate([images.load(read.dataset, split).pixels for split in registry.SPLITS])
    assert any((image == 255).all() for image in pixels)
    Image.new("RGB", (32, 32), (255, 0, 0)).save(folder / "ant" / "1.png")
    assert prepare(folder).shape == (3, 32, 32)


def test_sizes_may_differ(tmp_path):
    folder = fill(tmp_path / "sizes")
    picture("ant", 90, (3, 200)).save(folder / "ant" / "tall.png")
    picture("ant", 91, (300, 240)).save(folder / "ant" / "wide.webp", lossless=True)
    read = prepare(folder, size=48)
    assert read.shape == (3, 48, 48)
    assert sum(read.total(split) for split in registry.SPLITS) == 22


def test_broken_images_and_other_files_are_left_out_and_named(tmp_path):
    folder = fill(tmp_path / "broken")
    (folder / "ant" / "0.png").write_bytes(b"no image")
    (folder / "ant" / "1.png").write_bytes((folder / "ant" / "1.png").read_bytes()[:200])
    (folder / "ant" / "Thumbs.db").write_bytes(b"")
    (folder / "ant" / ".hidden.png").write_bytes(b"")
    (folder / "loose.png").write_bytes((folder / "bee" / "1.png").read_bytes())
    read = prepare(folder)
    assert sum(read.total(split) for split in registry.SPLITS) == 18
    [files, broken] = read.notes
    assert files == "Files left out: 1 '.db' and 1 'images in no folder of a class'."
    assert broken.startswith("2 images left out: unreadable. The first: ant/0.png: the image cannot be decoded")


def test_doubles_count_once_across_parts_and_disputed_ones_never(tmp_path):
    folder = tmp_path / "parted"
    fill(folder / "train", 8)
    fill(folder / "test", 4, start=100)
    picture("ant", 0).save(folder / "train" / "ant" / "again.png")  # twice in train
    picture("ant", 1).save(folder / "test" / "ant" / "again.png")  # in both parts
    picture("bee", 2).save(folder / "train" / "ant" / "bee.png")  # in two classes
    read = prepare(folder)
    assert read.counts == {"train": (6, 6), "heldout": (1, 1), "test": (5, 4)}
    assert read.notes[:2] == (
        "2 images left out: the same as another one.",
        "1 image in more than one of train, validation and test stay in the last of them alone.",
    )
    assert read.notes[2].startswith("2 images left out: the same in different classes, such as train/ant/bee.png and")


def test_unequal_classes_are_named(tmp_path):
    folder = fill(tmp_path / "unequal", 10)
    fill(tmp_path / "more", 40, ("wasp",))
    (tmp_path / "more" / "wasp").rename(folder / "wasp")
    [note] = prepare(folder).notes
    assert note == (
        "The classes are unequal: 24 training images of wasp, 6 of ant. Who always answers wasp is right on 67 % of "
        "the test images."
    )


def empty(folder):
    folder.mkdir()


def one_class(folder):
    fill(folder, labels=("ant",))


def one_too_high(folder):
    fill(folder / "insects")


def few(folder):
    fill(folder, 3)


def mixed(folder):
    fill(folder)
    fill(folder / "train")


def no_train(folder):
    fill(folder / "test")


def without_images(folder):
    (folder / "ant").mkdir(parents=True)
    (folder / "ant" / "notes.txt").write_text("")


def all_broken(folder):
    (folder / "ant").mkdir(parents=True)
    (folder / "ant" / "1.png").write_text("")


def without_end(folder):
    """A pipe, of which a reader would wait for the end."""
    (folder / "ant").mkdir(parents=True)
    os.mkfifo(folder / "ant" / "1.png")


def only_tested(folder):
    fill(folder / "train", 8)
    fill(folder / "test", 4, labels=("wasp",))


def twice(folder):
    fill(folder / "val")
    fill(folder / "train")
    fill(folder / "validation", start=100)


def one_named(folder):
    parquet(folder / "train.parquet", labels=("ant",))


def many_labels(folder):
    parquet(folder / "train.parquet", labels=COLOURS, names=False)
    table = pq.read_table(folder / "train.parquet")
    pq.write_table(table.set_column(1, "label", pa.array([10**9] * len(table))), folder / "train.parquet")


def text_labels(folder):
    many_labels(folder)
    table = pq.read_table(folder / "train.parquet")
    pq.write_table(table.set_column(1, "label", pa.array(["ant"] * len(table))), folder / "train.parquet")


def other_names(folder):
    parquet(folder / "train.parquet")
    parquet(folder / "test.parquet", labels=("bee", "ant"), start=50)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "is no folder"),
        (empty, "has no folders; put the images of each class into a folder named after it"),
        (one_class, "from 2 to 1,000 classes can be tried, not 1"),
        (one_too_high, "has one folder, 'insects', with others inside; name that one"),
        (few, "the class 'ant' has 3 images, 1 of them for training; it needs 5 in all"),
        (mixed, "either parts or classes, not both"),
        (no_train, "has test, but no train"),
        (without_images, "has no images"),
        (without_end, "none of the 1 images can be read, the first: "),
        (all_broken, "none of the 1 images can be read, the first: ant/1.png"),
        (only_tested, "the class 'wasp' has 4 images, 0 of them for training"),
        (twice, "has the same part twice"),
        (one_named, "theirs: classes: at least two"),
        (text_labels, "labels must be whole numbers, not string"),
        (other_names, "train.parquet and test.parquet name different classes; keep files of one data set"),
        (many_labels, "has a label 1,000,000,000; at most 1,000 classes are read"),
    ],
)
def test_what_cannot_be_tried_is_one_line(tmp_path, make, message):
    make(tmp_path / "theirs")
    with pytest.raises(UserError, match=r"\A[^\n]*\Z") as error:
        prepare(tmp_path / "theirs")
    assert message in str(error.value)


def test_more_images_than_fit_are_refused_before_they_are_read(tmp_path, monkeypatch):
    """Ten of 32 × 32 pixels and three channels, and one fewer fits."""
    fill(tmp_path / "folders", 5)
    (tmp_path / "files").mkdir()
    parquet(tmp_path / "files" / "train.parquet", number=5)
    monkeypatch.setattr(own_images, "MOST_PIXEL_BYTES", 9 * 3 * 32 * 32)
    for of_reading in ("read_images", "open_image"):
        monkeypatch.setattr(own_images.sources, of_reading, None)
    for name in ("folders", "files"):
        with pytest.raises(UserError, match=": 10 images of 32 × 32 pixels are too many to try at once"):
            prepare(tmp_path / name)


def test_names_of_folders_are_text(tmp_path):
    folder = fill(tmp_path / "<b>1\x1b[31m", labels=("<script>alert(1)</script>", "b\x07"))
    read = prepare(folder)
    assert read.dataset.partition(":")[2].startswith("b_1_31m_")
    assert all(name.isprintable() for name in (read.title, *read.classes))


def test_a_name_that_is_no_utf8_is_shown_as_far_as_it_can_be(tmp_path):
    folder = fill(tmp_path / "insects")
    name = os.fsdecode(b"\xff\xe9.png")
    for label in ("ant", "bee"):
        picture("ant", 99).save(folder / label / name)
    (folder / "ant" / os.fsdecode(b"\xff.txt")).write_text("")
    read = prepare(folder)
    assert read.notes[1].endswith("in different classes, such as ant/\ufffd\ufffd.png and bee/\ufffd\ufffd.png.")
    assert images.load(read.dataset, "test").classes == ("ant", "bee")


def test_what_is_not_kept_any_more_or_damaged_is_one_line(tmp_path, data_folder):
    read = prepare(fill(tmp_path / "insects"))
    [path] = (data_folder / "own").iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="is damaged"):
        images.all_splits(read.dataset)
    path.unlink()
    with pytest.raises(UserError, match="run `lsbook try` on its folder again"):
        images.all_splits(read.dataset)


def test_only_what_is_asked_for_is_read_of_what_is_kept(tmp_path, data_folder):
    read = prepare(fill(tmp_path / "insects"))
    [path] = (data_folder / "own").iterdir()
    content = bytearray(path.read_bytes())
    content[content.index(b"train_pixels") + 1_000] ^= 1
    path.write_bytes(content)
    assert registry.dataset(read.dataset).classes == ("ant", "bee")
    assert len(images.load(read.dataset, "test")) == 4
    with pytest.raises(UserError, match="is damaged"):
        images.load(read.dataset, "train")


def test_where_data_is_a_file_the_cache_keeps_them(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LSBOOK_DATA", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    read = prepare(fill(tmp_path / "insects"))
    assert [path.suffix for path in (tmp_path / "cache" / "lsbook" / "own").iterdir()] == [".npz"]
    assert len(images.all_splits(read.dataset)[0]) == 12
