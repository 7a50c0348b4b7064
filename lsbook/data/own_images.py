"""Somebody's own images as a data set: read, scaled, split and kept once; then trained on as any other.

They are a folder for each class, or such folders within train, val and test, or the Hub's Parquet files. What `prepare`
keeps has a name with a part of the SHA-256 of every pixel and label, so that other images are another data set:
`lsbook.data.own_images:flowers_0123456789ab` is a `registry.Dataset` in every process that finds it under LSBOOK_DATA.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter
from tqdm import tqdm

from lsbook.core.cpus import cores
from lsbook.core.errors import UserError, brief, one_line, shortened
from lsbook.core.own_images import ImagesRead
from lsbook.core.paths import cache_path, data_path
from lsbook.core.registry import LONGEST, SPLITS, Dataset
from lsbook.core.wording import counted, listed
from lsbook.data import sources

T = TypeVar("T")

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"}
PARTS = {  # what the folder or the Parquet files of a part may be called
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
SHARE = 5  # of a class every fifth image is tested on, and as many are held out
LEAST_IMAGES = 5  # of a class: one to test, one to hold out, three to train
MOST_PIXEL_BYTES = 2**31  # of all pixels together
IMBALANCE = 2  # times as many training images in the largest class as in the smallest, from which a page says so


@dataclass(frozen=True)
class Encoded:
    """An image that is not decoded yet.

    part: of PARTS, or "" where the images come without a split; where: names it in messages; read: returns its bytes.
    """

    part: str
    label: str
    where: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Decoded:
    """An image as networks see it. pixels: (C, H, W) uint8, of one channel where it is grey."""

    part: str
    label: str
    where: str
    pixels: np.ndarray

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels, which images that are the same after scaling share."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()


def prepare(folder: Path, size: int = 32) -> ImagesRead:
    """Read images, scale and split them, and keep them as a data set.

    Args:
        folder: holds a folder for each class; or train, and maybe val and test, with such folders; or Parquet files.
        size: to which the shorter side is scaled, and to which the longer one is then cropped, in pixels.

    Returns:
        what was read; its `dataset` is the name to train on.

    Raises:
        UserError: nothing there can be trained on, or the data set cannot be kept.
    """
    if not folder.is_dir():
        raise UserError(f"{shortened(str(folder), 200)} is no folder; name one with a folder of images for each class")
    folder = folder.resolve()
    try:
        encoded, notes = _found(folder, size)
    except OSError as error:
        raise sources.unreadable_error(Path(error.filename or folder), error) from None
    _check_number(folder, len(encoded), size)
    decoded, broken = _decode(encoded, size)
    notes += broken
    decoded, doubles = _distinct(decoded)
    notes += doubles
    classes = _classes(folder, decoded, notes)
    splits, split_by = _split(decoded)
    arrays, counts = _arrays(splits, classes)
    notes += _lacking(folder, counts, classes)
    name = _name(folder, arrays, classes)
    read = ImagesRead(
        dataset=f"{__name__}:{name}",
        title=shortened(one_line(folder.name) or "images", LONGEST - 1),
        classes=classes,
        counts=counts,
        shape=arrays["train_pixels"].shape[1:],
        split_by=split_by,
        notes=tuple(notes),
    )
    _keep(name, arrays, read)
    return read


def _check_number(folder: Path, images: int, size: int) -> None:
    """UserError when so many images of so many pixels do not fit."""
    if images * 3 * size * size > MOST_PIXEL_BYTES:
        raise UserError(f"{folder}: {images:,} images of {size} × {size} pixels are too many to try at once")


def _found(folder: Path, size: int) -> tuple[list[Encoded], list[str]]:
    """Every image below a folder, sorted by its name, and sentences on files that are none."""
    part_of = {name: part for part, names in PARTS.items() for name in names}
    parquet = [place for place in (folder, folder / "data") if any(place.glob("*.parquet"))]
    if parquet:
        return _from_parquet(parquet[0], size), []
    inside = _folders(folder)
    if not inside:
        raise UserError(f"{folder} has no folders; put the images of each class into a folder named after it")
    parts = {path: part_of[path.name.lower()] for path in inside if path.name.lower() in part_of}
    if not parts and len(inside) == 1 and _folders(inside[0]):
        raise UserError(f"{folder} has one folder, {brief(inside[0].name)}, with others inside; name that one")
    if parts and len(parts) < len(inside):
        other = next(path.name for path in inside if path not in parts)
        raise UserError(
            f"{folder} has {next(iter(parts)).name} beside {brief(other)}: either parts or classes, not both"
        )
    if len(set(parts.values())) < len(parts):
        raise UserError(f"{folder} has the same part twice: {', '.join(path.name for path in parts)}; keep one")
    if parts and "train" not in parts.values():
        raise UserError(f"{folder} has {', '.join(path.name for path in parts)}, but no train")
    found: list[Encoded] = []
    others: Counter[str] = Counter()
    for part, place in [(part, path) for path, part in parts.items()] or [("", folder)]:
        for of_class in _folders(place):
            label = one_line(of_class.name)
            for path in _files(of_class):
                if path.suffix.lower() in ENDINGS:
                    where = one_line(str(path.relative_to(folder)))
                    found.append(Encoded(part, label, where, partial(sources.read_encoded, path)))
                else:
                    others[path.suffix.lower() or path.name] += 1
        others["images in no folder of a class"] += sum(path.suffix.lower() in ENDINGS for path in _loose(place))
    if not found:
        raise UserError(f"{folder} has no images: {', '.join(sorted(ENDINGS))} are read")
    left_out = [f"{number} {brief(kind)}" for kind, number in sorted(others.items()) if number]
    return found, [f"Files left out: {shortened(listed(left_out), 200)}."] if left_out else []


def _folders(place: Path) -> list[Path]:
    """Visible folders, in the order in which people number: 2 before 10."""
    inside = [path for path in place.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))]
    return sorted(inside, key=lambda path: (_natural(path.name), path.name))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _files(place: Path) -> Iterator[Path]:
    """Visible files below a folder; no folder is entered by a link."""
    for here, folders, names in os.walk(place, onerror=_raise):
        folders.sort()
        yield from (Path(here) / name for name in sorted(names) if not name.startswith("."))


def _raise(error: OSError) -> None:
    raise error


def _loose(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.is_file() and not path.name.startswith(".")]


def _from_parquet(place: Path, size: int) -> list[Encoded]:
    """The images of the Hub's files, encoded in memory: of more than can be tried none is read."""
    parts = {
        path: part
        for part, names in PARTS.items()
        for name in names
        for path in sources.parquet_files(place.parent, place.name, name)
    }
    if "train" not in parts.values():
        raise UserError(f"{place} has no train.parquet, nor train-00000-of-00001.parquet and so on")
    _check_number(place, sources.count_rows(list(parts)), size)
    classes = sources.class_names(list(parts))
    try:
        like = Dataset(title="theirs", classes=classes, shape=None, examples=(1, 1), heldout=0)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    found = []
    for path, part in parts.items():
        for row, (content, label) in enumerate(sources.read_images(path, like)):
            sources.check_labels([label], len(classes), path)
            found.append(Encoded(part, classes[label], f"{path.name} row {row}", partial(bytes, content)))
    return found


def _decode(encoded: Sequence[Encoded], size: int) -> tuple[list[Decoded], list[str]]:
    """The images scaled, all of three channels unless all are grey, and a sentence on those that are broken."""
    with ThreadPoolExecutor(cores()) as pool:
        results = list(tqdm(pool.map(partial(_scaled, size=size), encoded), "images", len(encoded), disable=None))
    decoded = [result for result in results if isinstance(result, Decoded)]
    broken = [result for result in results if isinstance(result, UserError)]
    if not decoded:
        raise UserError(f"none of the {len(encoded)} images can be read, the first: {broken[0]}")
    if any(len(image.pixels) == 3 for image in decoded):
        decoded = [replace(image, pixels=np.repeat(image.pixels, 3 // len(image.pixels), axis=0)) for image in decoded]
    if not broken:
        return decoded, []
    return decoded, [f"{_images(len(broken))} left out: unreadable. The first: {shortened(str(broken[0]), 200)}."]


def _images(n: int) -> str:
    return counted(n, "image")


def _scaled(encoded: Encoded, size: int) -> Decoded | UserError:
    """An image, as a viewer shows it, its shorter side scaled and the middle of the longer one kept."""
    from PIL import Image, ImageOps

    try:
        with sources.open_image(encoded.read, encoded.where) as image:
            pixels = np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))
    except UserError as error:
        return error
    if pixels.ndim == 2:
        return Decoded(encoded.part, encoded.label, encoded.where, pixels[None])
    if (pixels == pixels[:, :, :1]).all():  # grey, but kept in colours
        return Decoded(encoded.part, encoded.label, encoded.where, pixels[None, :, :, 0])
    return Decoded(encoded.part, encoded.label, encoded.where, pixels.transpose(2, 0, 1))


def _distinct(images: Sequence[Decoded]) -> tuple[list[Decoded], list[str]]:
    """Each image once, in test rather than validation rather than train, and sentences on the others."""
    rank = {"test": 0, "validation": 1, "train": 2, "": 3}
    same: dict[str, list[Decoded]] = {}
    for image in sorted(images, key=lambda image: rank[image.part]):
        same.setdefault(image.digest, []).append(image)
    disputed = [copies for copies in same.values() if len({image.label for image in copies}) > 1]
    agreed = [copies for copies in same.values() if len({image.label for image in copies}) == 1]
    shared = sum(len({image.part for image in copies}) > 1 for copies in agreed)
    doubles = sum(len(copies) - 1 for copies in agreed)
    notes = []
    if doubles:
        notes.append(f"{_images(doubles)} left out: the same as another one.")
    if shared:
        notes.append(
            f"{_images(shared)} in more than one of train, validation and test stay in the last of them alone."
        )
    if disputed:
        first, second = disputed[0][0], next(i for i in disputed[0] if i.label != disputed[0][0].label)
        number = sum(map(len, disputed))
        where = shortened(f"{first.where} and {second.where}", 200)
        notes.append(f"{_images(number)} left out: the same in different classes, such as {where}.")
    return [copies[0] for copies in agreed], notes


def _classes(folder: Path, images: Sequence[Decoded], notes: Sequence[str]) -> tuple[str, ...]:
    """The names of classes, in the order in which people number.

    UserError for fewer than two, or too many; notes: on what is left out, which may be why.
    """
    classes = tuple(sorted({image.label for image in images}, key=lambda label: (_natural(label), label)))
    if not 2 <= len(classes) <= sources.MOST_OWN_CLASSES:
        most = f"{sources.MOST_OWN_CLASSES:,}"
        raise UserError(" ".join([f"{folder}: from 2 to {most} classes can be tried, not {len(classes):,}.", *notes]))
    return classes


def _split(images: Sequence[Decoded]) -> tuple[dict[str, list[Decoded]], str]:
    """The images of each of SPLITS, and how they were split. Within a split they are in the order of their digests."""
    by_part: dict[str, list[Decoded]] = {}
    for image in sorted(images, key=lambda image: image.digest):
        by_part.setdefault(image.part, []).append(image)
    if not {"validation", "test"} & by_part.keys():
        rest, tested = _fifth_of_each_class([image for part in by_part.values() for image in part])
        train, heldout = _fifth_of_each_class(rest, one_in=SHARE - 1)
        return {"train": train, "heldout": heldout, "test": tested}, (
            "by the SHA-256 of their pixels: of each class a fifth to test on and a fifth held out"
        )
    tested = by_part.get("test") or by_part["validation"]
    if "test" in by_part and "validation" in by_part:
        return {"train": by_part.get("train", []), "heldout": by_part["validation"], "test": tested}, "as they came"
    train, heldout = _fifth_of_each_class(by_part.get("train", []))
    return {"train": train, "heldout": heldout, "test": tested}, (
        "as they came, and of each class a fifth of the training images is held out, by the SHA-256 of their pixels"
    )


def _fifth_of_each_class(images: Sequence[Decoded], one_in: int = SHARE) -> tuple[list[Decoded], list[Decoded]]:
    """The rest, and of each class the first images, one in `one_in` and one at the least."""
    by_class: dict[str, list[Decoded]] = {}
    for image in images:
        by_class.setdefault(image.label, []).append(image)
    taken = {id(image) for found in by_class.values() for image in found[: max(1, len(found) // one_in)]}
    return [i for i in images if id(i) not in taken], [i for i in images if id(i) in taken]


def _arrays(
    splits: dict[str, list[Decoded]], classes: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], dict[str, tuple[int, ...]]]:
    """Pixels and labels of training (the held-out ones last) and of testing, and how many of a class a split has."""
    place = {name: label for label, name in enumerate(classes)}
    labels = {split: np.array([place[image.label] for image in splits[split]], np.int64) for split in SPLITS}
    counts = {split: tuple(np.bincount(labels[split], minlength=len(classes)).tolist()) for split in SPLITS}
    for split in SPLITS:
        if not splits[split]:
            raise UserError(f"no images are left for {split}")
    arrays = {}
    for name, parts in {"train": ("train", "heldout"), "test": ("test",)}.items():
        arrays[f"{name}_pixels"] = np.stack([image.pixels for part in parts for image in splits[part]])
        arrays[f"{name}_labels"] = np.concatenate([labels[part] for part in parts])
    return arrays, counts


def _lacking(folder: Path, counts: dict[str, tuple[int, ...]], classes: tuple[str, ...]) -> list[str]:
    """Sentences on classes of few images. UserError for a class with too few to train on."""
    fewest = min(counts["train"])
    rarest = classes[counts["train"].index(fewest)]
    if fewest < LEAST_IMAGES - 2:
        found = sum(of_split[classes.index(rarest)] for of_split in counts.values())
        raise UserError(
            f"{folder}: the class {brief(rarest)} has {_images(found)}, {fewest} of them for training; it needs "
            f"{LEAST_IMAGES} in all"
        )
    notes = []
    untested = [name for name, n in zip(classes, counts["test"], strict=True) if n == 0]
    if untested:
        notes.append(f"No test image is of {shortened(listed(untested), 200)}.")
    most = max(counts["train"])
    if most >= IMBALANCE * fewest:
        commonest = classes[counts["train"].index(most)]
        right = counts["test"][classes.index(commonest)] / sum(counts["test"])
        many, few = (shortened(name, 50) for name in (commonest, rarest))
        notes.append(
            f"The classes are unequal: {most} training images of {many}, {fewest} of {few}. Who always answers {many} "
            f"is right on {100 * right:.0f} % of the test images."
        )
    return notes


def _name(folder: Path, arrays: dict[str, np.ndarray], classes: tuple[str, ...]) -> str:
    """Return the folder's name, as far as it can be a name in Python, and 12 digits of the SHA-256 of the content."""
    digest = hashlib.sha256(repr([classes, arrays["train_pixels"].shape]).encode())
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).data)
    letters = re.sub(r"\W+", "_", folder.name, flags=re.ASCII).strip("_")[:30]
    return f"{letters if re.match('[A-Za-z]', letters) else f'images_{letters}'}_{digest.hexdigest()[:12]}"


def _places(name: str) -> list[Path]:
    """Where a data set may be kept: with the others, or, where nothing can be written there, in the user's cache."""
    return [folder / "own" / f"{name}.npz" for folder in (data_path(), cache_path())]


def _keep(name: str, arrays: dict[str, np.ndarray], read: ImagesRead) -> None:
    text = TypeAdapter(ImagesRead).dump_json(read).decode()
    for path in _places(name):
        try:
            sources.write_atomically(
                path, lambda file: np.savez(file, allow_pickle=False, read=np.array(text), **arrays)
            )
            return
        except OSError as error:
            reason = error
    raise UserError(f"{path} cannot be written: {reason.strerror or reason}; set LSBOOK_DATA to a folder of yours")


def _kept(name: str, read: Callable[[Mapping[str, np.ndarray]], T]) -> T:
    """What `read` makes of the arrays that were kept of a data set. UserError where it is not here, or damaged."""
    path = next((path for path in _places(name) if path.is_file()), None)
    if path is None:
        raise UserError(f"{name} is not under {data_path()}; run `lsbook try` on its folder again")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return read(kept)
    except Exception as error:  # whatever a damaged file raises
        raise sources.damaged_error(path, error) from None


def _load(name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    return _kept(name, lambda kept: (kept[f"{part}_pixels"], kept[f"{part}_labels"]))


def __getattr__(name: str) -> Dataset | Callable[[str], tuple[np.ndarray, np.ndarray]]:
    """A data set by the name that `prepare` gave it, or by `load_` and this name the function that reads it."""
    if not re.fullmatch(r"\w+_[0-9a-f]{12}", name):
        raise AttributeError(f"module {__name__} has no attribute {name}")
    if name.startswith("load_"):
        return partial(_load, name.removeprefix("load_"))
    read = _kept(name, lambda kept: TypeAdapter(ImagesRead).validate_json(str(kept["read"])))
    return Dataset(
        title=read.title,
        classes=read.classes,
        shape=read.shape,
        examples=(read.total("train") + read.total("heldout"), read.total("test")),
        heldout=read.total("heldout"),
        load=f"{__name__}:load_{name}",
        variant=f"own images, {read.shape[1]} × {read.shape[2]}",
    )
