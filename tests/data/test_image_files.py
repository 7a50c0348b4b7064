"""Images that stay in their files: both layouts, on small ones of our own, and what is wrong with them."""

import dataclasses
import io
import json
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lsbook.core.errors import UserError
from lsbook.core.registry import DATASETS
from lsbook.data import images
from lsbook.data.decoding import decode_batches

IMAGENET = DATASETS["imagenet"]
WNIDS, CLASSES = ("n01440764", "n02113624", "n03041632"), ("tench", "toy poodle", "cleaver")
COUNT, HELDOUT = 4, 5  # images of each class, and held-out ones of all


def jpeg(number: int) -> bytes:
    """An image of one colour and of a size of its own."""
    buffer = io.BytesIO()
    Image.new("RGB", (20 + number, 30), (10 * number, 100, 200)).save(buffer, "JPEG")
    return buffer.getvalue()


def number_of(image: Image.Image) -> int:
    return image.width - 20


@pytest.fixture(autouse=True)
def imagenet(data_folder, monkeypatch):
    dataset = dataclasses.replace(IMAGENET, classes=CLASSES, wnids=WNIDS, shown=(), examples=(12, 12), heldout=HELDOUT)
    monkeypatch.setitem(DATASETS, "imagenet", dataset)
    return data_folder / "imagenet"


@pytest.fixture
def folders(imagenet):
    """torchvision's layout. Image n of the twelve is of class n // 4."""
    for part, first in {"train": 0, "val": 12}.items():
        for k, wnid in enumerate(WNIDS):
            (imagenet / part / wnid).mkdir(parents=True)
            for n in range(COUNT):
                (imagenet / part / wnid / f"{wnid}_{n}.JPEG").write_bytes(jpeg(first + COUNT * k + n))
    return imagenet


@pytest.fixture
def parquet(imagenet):
    """The Hub's layout, the training part in two files, with its own longer names of classes."""
    names = {"info": {"features": {"label": {"names": [f"{name}, also known as" for name in CLASSES]}}}}
    parts = {"train-00000-of-00002": range(7), "train-00001-of-00002": range(7, 12)}
    for name, numbers in (parts | {"validation-00000-of-00001": range(12, 24)}).items():
        column = pa.array([{"bytes": jpeg(n), "path": f"{n}.JPEG"} for n in numbers])
        table = pa.table({"image": column, "label": [n % 12 // COUNT for n in numbers]})
        path = imagenet / "data" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(names)}), path)
    return imagenet


@pytest.fixture(params=["folders", "parquet"])
def layout(request):
    return request.getfixturevalue(request.param)


def numbers(split: images.ImageFiles) -> list[int]:
    return [split.apply(i, number_of) for i in range(len(split))]


def test_both_layouts_give_every_image_once_with_its_label(layout):
    train, heldout, test = (images.load("imagenet", split) for split in images.SPLITS)
    assert (len(train), len(heldout), len(test)) == (12 - HELDOUT, HELDOUT, 12)
    assert sorted(numbers(train) + numbers(heldout)) == list(range(12))
    assert sorted(numbers(test)) == list(range(12, 24))
    for split in (train, heldout, test):
        assert split.labels.tolist() == [number % 12 // COUNT for number in numbers(split)]
        assert split.classes == CLASSES
    assert len(set(train.labels.tolist())) == 3  # although the files lie class by class
    assert train.fingerprint == heldout.fingerprint != test.fingerprint
    assert numbers(train + heldout) == numbers(train) + numbers(heldout)
    assert numbers(train.first(2)) == numbers(train)[:2]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core
def test_worker_processes_decode_in_order(layout):
    test = images.load("imagenet", "test")
    rows = [[(3,), (0,)], [(11,)], [(5,), (3,), (1,)]]
    found = list(decode_batches(test, rows, colour, workers=2))
    expected = np.array(numbers(test))
    assert [batch.shape for batch in found] == [(2, 3), (1, 3), (3, 3)]
    for batch, items in zip(found, rows, strict=True):
        np.testing.assert_allclose(batch[:, 0] / 10, expected[[i for (i,) in items]], atol=0.3)


def colour(image: Image.Image) -> np.ndarray:
    return np.asarray(image).mean(axis=(0, 1))


def test_a_signal_to_the_whole_group_leaves_the_workers_at_work(folders, monkeypatch):
    """They have what they were asked for when the training wants to end its step; it is who ends them."""
    received = []
    before = {n: signal.signal(n, lambda number, _: received.append(number)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        [found] = decode_batches(images.load("imagenet", "test"), [[(3,)]], shouting, workers=1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert received == []
    assert found.tolist() == [[False, True]]  # whether they are about to end


def shouting(_: Image.Image) -> np.ndarray:
    left = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(number)
        left.append(signal.getitimer(signal.ITIMER_REAL)[0] > 0)
    return np.array(left)


def test_parquet_is_copied_once(parquet, monkeypatch):
    before = numbers(images.load("imagenet", "train"))
    [kept] = (parquet / "data" / ".packed").glob("imagenet-train-*")
    assert (kept / "images").stat().st_size == sum(len(jpeg(n)) for n in range(12))
    monkeypatch.setattr("lsbook.data.image_files._pack", lambda *_: pytest.fail("copied again"))
    assert numbers(images.load("imagenet", "train")) == before


def test_another_image_is_another_fingerprint(folders, register):
    before = images.load("imagenet", "train").fingerprint
    (folders / "train" / WNIDS[0] / "more.JPEG").write_bytes(jpeg(0))
    register("imagenet", examples=(13, 12))
    assert images.load("imagenet", "train").fingerprint != before


def test_what_operating_systems_leave_beside_images_is_none(folders):
    before = images.load("imagenet", "train").fingerprint
    for name in (".DS_Store", f"._{WNIDS[0]}_0.JPEG", ".hidden.png", "Thumbs.db", "desktop.ini"):
        (folders / "train" / WNIDS[0] / name).write_bytes(b"no image")
    assert images.load("imagenet", "train").fingerprint == before


def test_an_image_that_leads_nowhere_is_named(folders):
    (folders / "train" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG").unlink()
    (folders / "train" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG").symlink_to("nowhere")
    with pytest.raises(UserError, match=f"{WNIDS[0]}_0.JPEG cannot be read: No such file or directory; mend that"):
        images.load("imagenet", "train")


def test_another_number_of_images_is_refused(layout, register):
    register("imagenet", examples=(1_281_167, 12))
    with pytest.raises(UserError, match="has 12 images.*, but there are 1,281,167; get its files anew"):
        images.load("imagenet", "train")


def test_images_in_files_are_compared_where_all_are_decoded(layout):
    if (layout / "val").is_dir():
        shared = (layout / "train" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG").read_bytes()
        (layout / "val" / WNIDS[2] / f"{WNIDS[2]}_1.JPEG").write_bytes(shared)
    else:
        path = layout / "data" / "validation-00000-of-00001.parquet"
        column = pq.read_table(path)["image"].to_pylist()
        column[3] = pq.read_table(layout / "data" / "train-00000-of-00002.parquet")["image"].to_pylist()[0]
        pq.write_table(pq.read_table(path).set_column(0, "image", pa.array(column)), path)
    assert len(images.all_splits("imagenet")[2]) == 12
    with pytest.raises(UserError, match="imagenet: 1 images are in both (train|heldout) and test; get its files anew"):
        images.all_splits("imagenet", decode=True)


def test_a_damaged_copy_of_parquet_is_made_anew(parquet):
    before = numbers(images.load("imagenet", "train"))
    [kept] = (parquet / "data" / ".packed").iterdir()
    for name in ("labels.npy", "offsets.npy", "summary"):
        content = bytearray((kept / name).read_bytes())
        content[-1] ^= 1
        (kept / name).write_bytes(content)
        assert numbers(images.load("imagenet", "train")) == before
    with (kept / "images").open("ab") as file:
        file.write(b"more")
    assert numbers(images.load("imagenet", "train")) == before
    assert [path.name for path in (parquet / "data" / ".packed").iterdir()] == [kept.name]


def test_a_class_folder_that_is_missing_or_empty_is_named(folders):
    folder = folders / "train" / WNIDS[1]
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(UserError, match=f"{folder}, the folder of the class toy poodle, has no images"):
        images.load("imagenet", "train")
    folder.rmdir()
    with pytest.raises(UserError, match=f"{folder}, the folder of the class toy poodle, is missing"):
        images.load("imagenet", "train")


def test_a_file_in_the_place_of_a_class_folder_is_named(folders):
    (folders / "train" / WNIDS[1]).rename(folders / "aside")
    (folders / "train" / WNIDS[1]).touch()
    with pytest.raises(UserError, match=f"{folders}/train/{WNIDS[1]} cannot be read: Not a directory; mend that"):
        images.load("imagenet", "train")


def test_classes_in_another_order_are_refused(parquet):
    path = parquet / "data" / "train-00001-of-00002.parquet"
    names = {"info": {"features": {"label": {"names": CLASSES[::-1]}}}}
    pq.write_table(pq.read_table(path).replace_schema_metadata({"huggingface": json.dumps(names)}), path)
    with pytest.raises(UserError, match="its 3 classes are not the 3 of ImageNet in their order, which begin with"):
        images.load("imagenet", "train")
    assert not (parquet / "data" / ".packed").exists()


def test_a_class_without_rows_is_named(parquet, register):
    register("imagenet", examples=(8, 12))
    path = parquet / "data" / "train-00001-of-00002.parquet"
    pq.write_table(pq.read_table(path).slice(0, 1), path)
    with pytest.raises(UserError, match="no image is of the class cleaver"):
        images.load("imagenet", "train")


def test_no_data_is_one_line(imagenet):
    with pytest.raises(UserError, match="imagenet not found under .*put the folders train and val") as caught:
        images.load("imagenet", "train")
    assert "\n" not in str(caught.value)


def test_unreadable_images_are_named_and_counted(folders):
    """One cut off, one that is no image."""
    first, second = (folders / "val" / wnid / f"{wnid}_2.JPEG" for wnid in WNIDS[:2])
    first.write_bytes(first.read_bytes()[:-100])
    second.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"2 of 12 images are broken, .*_2.JPEG: the image cannot be decoded") as caught:
        images.load("imagenet", "test").content_hashes()
    assert "\n" not in str(caught.value)
    images.load("imagenet", "train").content_hashes()


def test_the_thousand_classes_are_imagenets():
    from timm.data import ImageNetInfo
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    assert list(IMAGENET.wnids) == ImageNetInfo("imagenet-1k").label_names()
    assert list(IMAGENET.classes) == list(_IMAGENET_CATEGORIES)
