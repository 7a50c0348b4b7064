"""A run: everything that decides the outcome of a training, and nothing else."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from lsbook.core import registry
from lsbook.core.errors import UserError, brief, one_line, require
from lsbook.core.literals import read_literal
from lsbook.core.registry import Corpus, Dataset, Model
from lsbook.core.strict import in_one_line, strict

Optimiser = Literal["sgd", "adam"]
Schedule = Literal["constant", "one-cycle", "steps", "linear", "inverse-root"]
AugmentationName = Literal["none", "crop24-flip", "pad4-flip", "shift2", "inception"]
Decayed = Literal["weights", "hidden-linear"]
Pixels = Literal["standardised", "unit"]
Precision = Literal["mixed", "float32"]
Probe = Literal["none", "logit-differences"]
Initial = Literal["scaled", "small"]

LARGEST = 1e30  # of a recipe's numbers, within float32
Size = Annotated[float, Field(ge=0, le=LARGEST)]
PositiveSize = Annotated[float, Field(gt=0, le=LARGEST)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=10**8)]
PIXELS_OF_A_BATCH = 2**28  # three times those of the largest recipe
CROP = 24  # side in pixels of the views of "crop24-flip" (the paper's training settings for CIFAR-10)

SettingText = str | Mapping[str, str]  # of a field, on the command line
Argument = bool | int | float | str  # of a loss's config
ARGUMENTS = 20  # at most
WHOLE = 2**53  # up to which every whole number is a float, too


@strict
class Recipe:
    """How a network is trained.

    Attributes:
        steps: optimiser steps.
        batch: images a step, or of texts about how many tokens, both sides and padding together.
        learning_rate: the largest that the schedule reaches.
        optimiser: "sgd", or "adam" (Kingma and Ba 2015), whose weight decay is no part of the gradient (AdamW).
        momentum: Nesterov's, or Adam's β₁.
        second_momentum: Adam's β₂.
        first_layer: learning rate of the first layer's weights and biases, as a multiple of the others'.
        schedule: of the learning rate over the run: constant; one-cycle (linear rise over the first fifth, cosine fall
            to 0); steps (divided by 10 at each fraction of the run in `milestones`); linear (falls to 0); inverse-root
            (linear rise over `warm_up` steps, then falling as the inverse square root of the step).
        milestones: of the schedule "steps", rising fractions of the run in (0, 1).
        warm_up: of the schedule "inverse-root", its first steps.
        weight_decay: λ of the penalty λ/2 ‖w‖² on `decayed`. Biases and normalisations never decay.
        decayed: "weights", every weight matrix and kernel, or "hidden-linear", only the hidden linear layers'.
        clip_norm: gradients of a larger norm over all weights are scaled down to it; None leaves them.
        loss: of images: "cross-entropy" with the labels smoothed by the run's alpha, or "maxsup" (Zhou et al. 2025,
            arXiv 2502.15798), cross-entropy with hard labels + alpha · (largest − mean logit), or a class of one's own,
            as `package.module:Name`. Of texts: the first.
        loss_arguments: the loss's config besides alpha: numbers, truth values and short texts by name.
        loss_scale: factor of the loss (3 in the paper's CIFAR protocol).
        augmentation: "crop24-flip" (random 24 × 24 crop and flip; the central crop in evaluation), "pad4-flip" (shift
            by up to 4 pixels, zeros moved in, and flip), "shift2" (shift by up to 2 pixels), "inception" (a crop of 8
            to 100 % of the area and of aspect 3:4 to 4:3, and flip), "none".
        pixels: after it, every image is "standardised" on its own, or its bytes are brought to the "unit" interval [0,
            1].
        size: side in pixels to which the views are scaled; None: as they are. The crops of "inception" need it.
        averaged: of texts, the number of moments, a hundredth of the run apart and the last its end, of whose weights
            the mean is the result (Vaswani et al. 2017, section 6.1, average 5); 1: the end alone.
        precision: "mixed" is bfloat16 autocast where the hardware computes in it, float32 elsewhere.
        probe: of records made while it was part of a run's name, what was measured along the training; see `Run.probe`.
        initial: weights before the first step, of images: "scaled" to a layer's inputs (He et al. 2015), or "small" as
            those of `models.base.initialise_small`.
        revision: raised when the training code changes what the other fields mean.
    """

    steps: Count
    batch: Annotated[int, Field(ge=1, le=10**6)] = 128
    optimiser: Optimiser = "sgd"
    learning_rate: PositiveSize = 0.1
    momentum: Fraction = 0.0
    second_momentum: Fraction = 0.98
    first_layer: PositiveSize = 1.0
    schedule: Schedule = "constant"
    milestones: tuple[float, ...] = ()
    warm_up: Annotated[int, Field(ge=0, le=10**8)] = 0
    weight_decay: Size = 0.0
    decayed: Decayed = "weights"
    clip_norm: PositiveSize | None = None
    loss: str = "cross-entropy"
    loss_arguments: tuple[tuple[str, Argument], ...] = ()
    loss_scale: PositiveSize = 1.0
    augmentation: AugmentationName = "none"
    pixels: Pixels = "standardised"
    size: Annotated[int, Field(ge=1, le=1_024)] | None = None
    averaged: Annotated[int, Field(ge=1, le=100)] = 1
    precision: Precision = "mixed"
    probe: Probe = "none"
    initial: Initial = "scaled"
    revision: Annotated[int, Field(ge=1, le=1_000)] = 1

    @field_validator("milestones", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        """One number stands for itself, and JSON has lists."""
        if isinstance(value, int | float):
            return (value,)
        return tuple(value) if isinstance(value, list) else value

    @field_validator("loss")
    @classmethod
    def _known_loss(cls, value: str) -> str:
        registry.check_name("loss", value, registry.LOSSES)
        return value

    @field_validator("loss_arguments", mode="before")
    @classmethod
    def _sorted_arguments(cls, value: object) -> object:
        """They may come as a dictionary; equal arguments have one key, in whatever order and type of number."""
        pairs = list(value.items()) if isinstance(value, dict) else value
        if not isinstance(pairs, list | tuple) or len(pairs) > ARGUMENTS or not all(map(_is_argument, pairs)):
            raise UserError(
                f"loss_arguments must be at most {ARGUMENTS} numbers, truth values or short texts by name, "
                f"not {brief(value)}"
            )
        if len({name for name, _ in pairs}) < len(pairs):
            raise UserError("loss_arguments: a name is there twice")
        return tuple(sorted((name, _canonical(argument)) for name, argument in pairs))

    @model_validator(mode="after")
    def _check_consistency(self) -> "Recipe":
        if known := registry.LOSSES.get(self.loss):
            for name, _ in self.loss_arguments:
                allowed = ", ".join(known.arguments) or "it has none besides alpha"
                require(name in known.arguments, f"loss_arguments: {self.loss} takes no {brief(name)}: {allowed}")
        rising = list(self.milestones) == sorted(set(self.milestones)) and all(0 < m < 1 for m in self.milestones)
        require(
            rising and (self.schedule == "steps") == bool(self.milestones),
            'milestones: rising fractions of the run in (0, 1), with schedule "steps" and only with it',
        )
        require(
            (self.schedule == "inverse-root") == (self.warm_up > 0),
            'warm_up: steps, at least 1, with schedule "inverse-root" and only with it',
        )
        require(self.augmentation != "inception" or self.size, "the crops of inception need a size")
        require(
            self.batch * (self.size or 1) ** 2 <= PIXELS_OF_A_BATCH,
            f"size: a batch of {self.batch} views of {self.size} × {self.size} has more than {PIXELS_OF_A_BATCH:,} "
            "pixels",
        )
        return self

    @property
    def states(self) -> int:
        """Numbers that the optimiser keeps of each weight."""
        return 2 if self.optimiser == "adam" else 1 if self.momentum else 0


@strict
class Run:
    """One training. `key` names it: two runs with the same fields are the same run, wherever they were done.

    Making a run imports nothing that it names, since records name runs, too: `check_imported` does, before a training.

    Attributes:
        dataset: a short name of `registry`, or `package.module:Name` of one's own `Dataset` or `Corpus`.
        model: the network, a short name or `package.module:Name` of one's own `Model`.
        alpha: label smoothing factor in [0, 1) (section 1 of the paper), or the strength of another loss.
        seed: of initial weights, order and views.
        recipe: how the network is trained.
        label_noise: rate ρ in [0, 1) of symmetric noise: so many training and held-out labels, drawn by the seed, are
            replaced with one of the other classes; test labels never are.
        examples: number of training images or sentence pairs, the first ones of the training split.
        vocabulary: of a text, and only of one, the number of tokens of both languages together.
        teacher, temperature, as_soft_as, beta, squared_temperature: of a student only. T is given, or found as the one
            at which the teacher's targets are as soft as those of another teacher at T = 1, by the smoothness index γ;
            the distilled loss weighs them by beta, and with squared_temperature by T² as well. With as_soft_as and no
            teacher, labels are smoothed by α = γ of that network's answers, and alpha is 0.
        probe: what is measured along the training besides accuracy and ECE and becomes part of the record, of images:
            "logit-differences" of augmented views, and what they tell about the image. It changes no outcome, so it is
            no part of the key: a record with more serves whoever asks for less.
    """

    dataset: str
    model: str
    alpha: Fraction
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    recipe: Recipe
    examples: Annotated[int, Field(ge=1, le=10**9)]
    vocabulary: Annotated[int, Field(ge=1, le=10**6)] | None = None
    teacher: "Run | None" = None
    temperature: PositiveSize | None = None
    as_soft_as: "Run | None" = None
    beta: Annotated[float, Field(ge=0, le=1)] | None = None
    squared_temperature: bool = False
    label_noise: Fraction = 0.0
    probe: Probe = "none"

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        registry.check_name("data set", value, [*registry.DATASETS, *registry.CORPORA])
        return value

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: str) -> str:
        registry.check_name("model", value, registry.MODELS)
        return value

    @field_validator("teacher", "as_soft_as")
    @classmethod
    def _unmeasured(cls, value: "Run | None") -> "Run | None":
        """Whatever was measured along its training, a network teaches the same."""
        return value and replace(value, probe="none")

    @model_validator(mode="after")
    def _check_consistency(self) -> "Run":
        self._check((registry.DATASETS | registry.CORPORA).get, registry.MODELS.get)
        return self

    def check_imported(self) -> None:
        """UserError unless all that the run names can be imported and fits together."""
        for run in (self, *self.teachers):
            run._check(registry.corpus if run.is_text else registry.dataset, registry.network)
            registry.loss(run.recipe.loss)

    def _check(
        self, source_of: Callable[[str], Dataset | Corpus | None], network_of: Callable[[str], Model | None]
    ) -> None:
        """UserError unless the fields fit each other, as far as is known what they name: None where it is not."""
        loss = registry.LOSSES.get(self.recipe.loss)
        require(
            self.alpha > 0 or not (loss and loss.positive),
            f"alpha must be above 0 with the loss {self.recipe.loss}, which without it is cross-entropy",
        )
        source, network = source_of(self.dataset), network_of(self.model)
        self._check_kind(source, network)
        self._check_teachers(source, source_of)

    def _check_teachers(
        self, source: Dataset | Corpus | None, source_of: Callable[[str], Dataset | Corpus | None]
    ) -> None:
        """UserError unless targets that come from other networks are completely described."""
        if self.teachers:
            require(self.label_noise == 0, "label_noise is not for students: they learn from clean labels")
            own = self.recipe.loss == Recipe.loss
            require(own, f"the loss {self.recipe.loss} is not for students")
        for teacher in self.teachers:
            theirs = source_of(teacher.dataset)
            same = teacher.dataset == self.dataset
            if isinstance(source, Dataset) and isinstance(theirs, Dataset):
                same = theirs.classes == source.classes
            require(
                not teacher.is_text and (same or source is None or theirs is None),
                f"the teacher knows the classes of {teacher.dataset}, not of {self.dataset}",
            )
        if self.teacher is None:
            alone = self.temperature is None and self.beta is None and not self.squared_temperature
            require(alone, "temperature, beta and squared_temperature are for students only: name a teacher")
            require(self.as_soft_as is None or self.alpha == 0, "alpha must be 0 where as_soft_as decides it")
            return
        complete = (self.temperature is None) != (self.as_soft_as is None) and self.beta is not None
        require(complete, "a student needs a teacher, beta, and one of temperature and as_soft_as")

    def _check_kind(self, source: Dataset | Corpus | None, network: Model | None) -> None:
        """UserError unless network and recipe are for what the data are: images or text."""
        is_text = isinstance(source, Corpus)
        if source is None:
            is_text = self.is_text or (network is not None and network.reads == "text")
        kind = "text" if is_text else "images"
        if network is not None and network.reads != kind:
            fitting = [name for name, model in registry.MODELS.items() if model.reads == kind]
            raise UserError(
                f"{self.model} reads {network.reads}, but {self.dataset} is {kind}: choose from {', '.join(fitting)}"
            )
        if not is_text:
            require(self.vocabulary is None, "vocabulary is for texts only")
            require(self.recipe.averaged == 1, "averaged is for texts only")
            require(
                self.recipe.batch <= self.examples,
                f"batch: at most the {self.examples} training images, not {self.recipe.batch}",
            )
            if isinstance(source, Dataset):
                self._check_views(source.shape)
            return
        require(self.vocabulary is not None, "vocabulary is missing: how many tokens both languages have together")
        for name in ("augmentation", "initial", "loss", "probe", "size"):
            value = getattr(self.recipe, name)
            require(value == getattr(Recipe, name), f"{name} {value} is for images only")
        require(self.probe == "none", f"probe {self.probe} is for images only")
        require(self.label_noise == 0, "label_noise is for images only")
        require(not self.teachers, "a student learns from images only")

    def _check_views(self, shape: tuple[int, int, int] | None) -> None:
        """UserError unless the recipe has views of images (C, H, W), of those in files (None) Inception's crops."""
        in_files = shape is None
        require(
            in_files == (self.recipe.augmentation == "inception"),
            f"{self.dataset} needs {'the augmentation inception' if in_files else 'another augmentation'}, "
            f"not {self.recipe.augmentation}",
        )
        require(
            shape is None or self.recipe.augmentation != "crop24-flip" or min(shape[1:]) >= CROP,
            f"the augmentation crop24-flip needs images of {CROP} × {CROP} pixels or more; {self.dataset} has {shape}",
        )
        if in_files:
            require(self.measured == "none", f"the probe is not for {self.dataset}: its images stay in files")
            require(not self.teachers, f"a student cannot learn from {self.dataset}: its images stay in files")

    @property
    def is_text(self) -> bool:
        """Whether the data are a text, which has a vocabulary, and not images."""
        return self.vocabulary is not None

    @property
    def measured(self) -> str:
        """What is measured along the training, whether it is part of the run's name or not."""
        return self.recipe.probe if self.probe == "none" else self.probe

    def namesakes(self) -> "Iterator[Run]":
        """Yield the run, and the same training under the names that it had while a probe was part of them."""
        yield self
        in_files = self.dataset in registry.DATASETS and registry.DATASETS[self.dataset].shape is None
        if not (self.is_text or in_files or self.recipe.probe != "none"):
            yield from (replace(self, recipe=replace(self.recipe, probe=probe)) for probe in get_args(Probe)[1:])

    @property
    def teachers(self) -> "tuple[Run, ...]":
        """The networks whose answers this one's targets are made from."""
        return tuple(run for run in (self.teacher, self.as_soft_as) if run is not None)

    @cached_property
    def key(self) -> str:
        """12 hex digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(canonical_json(self).encode()).hexdigest()[:12]

    @property
    def folder(self) -> str:
        """The folder in which the run's record lies below a store: `<dataset>-<model>/<key>`, on every system."""
        return f"{registry.folder(self.dataset)}-{registry.folder(self.model)}/{self.key}"

    def __str__(self) -> str:
        named = f"{self.dataset} {self.model} alpha={self.alpha:g} seed={self.seed}"
        if self.recipe.loss != "cross-entropy":
            named += f" loss={self.recipe.loss}"
        for name, value in self.recipe.loss_arguments:
            named += f" {name}={value}"
        if self.label_noise:
            named += f" label_noise={self.label_noise:g}"
        if self.teacher:
            named += f" beta={self.beta:g} taught by {self.teacher.model} alpha={self.teacher.alpha:g}"
        if self.temperature is not None:
            named += f" at T={self.temperature:g}"
        if self.as_soft_as:
            named += f" as soft as {self.as_soft_as.model} alpha={self.as_soft_as.alpha:g}"
        return f"{named} ({self.key})"


def as_dict(value: Run | Recipe) -> dict[str, Any]:
    """Return the fields as JSON values.

    Fields at their default are left out, so that a later field renames no earlier run.
    """
    result = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if item != field.default:
            if isinstance(item, Run | Recipe):
                item = as_dict(item)
            elif isinstance(item, tuple):
                item = dict(item) if field.name == "loss_arguments" else list(item)
            result[field.name] = item
    return result


def canonical_json(run: Run) -> str:
    """Return the one JSON text of what decides a run's outcome: sorted names, no spaces. The key is its hash."""
    deciding = {name: value for name, value in as_dict(run).items() if name != "probe"}
    return json.dumps(deciding, sort_keys=True, separators=(",", ":"), allow_nan=False)


_RUN = TypeAdapter(Run)


def from_dict(values: dict[str, Any]) -> Run:
    """Make the run that `as_dict` has written. UserError, naming the field, for what is unknown or not allowed."""
    try:
        return _RUN.validate_json(json.dumps(values))
    except ValidationError as error:
        raise in_one_line(error, Run) from None


def with_settings(recipe: Recipe, settings: Mapping[str, SettingText]) -> Recipe:
    """Return the recipe with other settings.

    Args:
        recipe: what holds for all that `settings` does not name.
        settings: name of a field -> text of its value: a number, a name, None.

    Raises:
        UserError: for an unknown name or a value that is not allowed.
    """
    return replace(recipe, **from_text(settings))


def from_text(settings: Mapping[str, SettingText]) -> dict[str, Any]:
    """Return the values of fields that are given as text, by name, unchecked."""
    return {
        name: from_text(text) if isinstance(text, Mapping) else read_literal(text) for name, text in settings.items()
    }


def _is_argument(pair: object) -> bool:
    """Whether it is the name of a loss's argument and a value of one."""
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return False
    name, value = pair
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w{0,39}", name, re.ASCII) or name == "alpha":
        return False
    if isinstance(value, str):
        return len(value) <= registry.LONGEST and value == one_line(value)
    return isinstance(value, bool | int | float) and abs(value) <= LARGEST  # nor is NaN


def _canonical(value: Argument) -> Argument:
    """Write equal numbers alike: whole ones without a point, as far as floats have all of them."""
    if isinstance(value, bool | str) or not float(value).is_integer():
        return value
    return int(value) if abs(value) < WHOLE else float(value)
