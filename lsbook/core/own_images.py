"""What was read of somebody's own images, as the data room says it and a page shows it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from lsbook.core.config import Recipe
from lsbook.core.errors import UserError, shortened
from lsbook.core.strict import strict

Count = Annotated[int, Field(ge=0, le=10**7)]


@strict
class ImagesRead:
    """Somebody's images, read and split.

    Attributes:
        dataset: the data set's name in the registry, `package.module:name` for images of one's own.
        title: what a page calls it.
        classes: names in label order.
        counts: split -> how many images each class has there; the splits are train, heldout and test.
        shape: (C, H, W) of every image after scaling.
        split_by: how the images came to their split, as a part of a sentence.
        notes: sentences on what was left out and what a reader of the results should know.
    """

    dataset: str
    title: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[Count, ...]]
    shape: tuple[int, int, int]
    split_by: str
    notes: tuple[str, ...] = ()

    def total(self, split: str) -> int:
        """Return the number of images in a split."""
        return sum(self.counts[split])


@strict
class Trial:
    """A trial of label smoothing on somebody's images: what was read, and which networks are compared on it.

    Attributes:
        read: the images.
        network: name of the network in the registry.
        recipe: how each is trained; its loss is the smoothed cross-entropy.
        alphas: smoothing factors, 0 for hard targets first.
        seeds: such as "0-2".
    """

    read: ImagesRead
    network: str
    recipe: Recipe
    alphas: tuple[float, ...]
    seeds: str


def write_trial(path: Path, trial: Trial) -> None:
    """Write a trial as JSON, in a folder that is made. UserError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(TypeAdapter(Trial).dump_json(trial, indent=1))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; name a folder of yours with --out") from None


def read_trial(path: Path) -> Trial:
    """Read what `write_trial` has written. UserError, one line, for anything else."""
    named = shortened(str(path), 200)
    try:
        return TypeAdapter(Trial).validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{named} cannot be read: {error.strerror or error}; `lsbook try` writes it") from None
    except (ValidationError, UserError) as error:
        reason = shortened(str(error).replace("\n", " "), 200)
        raise UserError(f"{named} is no trial that `lsbook try` has written: {reason}") from None
