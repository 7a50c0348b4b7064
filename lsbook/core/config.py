"""A run: everything that decides the outcome of a training, and nothing else."""

import ast
import functools
import hashlib
import json
from dataclasses import fields, replace
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic.dataclasses import dataclass

from lsbook.core.errors import UserError, brief, one_of
from lsbook.core.registry import CORPORA, DATASETS, MODELS

Optimiser = Literal["sgd", "adam"]
Schedule = Literal["constant", "one-cycle", "steps", "linear", "inverse-root"]
AugmentationName = Literal["none", "crop24-flip", "pad4-flip", "shift2", "inception"]
Decayed = Literal["weights", "hidden-linear"]
Pixels = Literal["standardised", "unit"]
Precision = Literal["mixed", "float32"]
Probe = Literal["none", "logit-differences"]
LossName = Literal["cross-entropy", "maxsup"]
Initial = Literal["scaled", "small"]

LARGEST = 1e30  # of a recipe's numbers, within float32
Size = Annotated[float, Field(ge=0, le=LARGEST)]
PositiveSize = Annotated[float, Field(gt=0, le=LARGEST)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=10**8)]
PIXELS_OF_A_BATCH = 2**28  # three times those of the largest recipe

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

# How a message says what is allowed, by pydantic's types of errors.
ALLOWED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "one of {expected}",
}

T = TypeVar("T")


def _one_line_errors(kind: type[T]) -> type[T]:
    """Let a class that pydantic checks raise UserError, a line that names the field, in place of ValidationError."""
    construct = kind.__init__

    @functools.wraps(construct)
    def __init__(self: T, *arguments: Any, **values: Any) -> None:
        try:
            construct(self, *arguments, **values)
        except ValidationError as error:
            raise _in_one_line(error) from None

    kind.__init__ = __init__  # type: ignore[assignment, method-assign]  # what the decorator is for
    return kind


def _in_one_line(error: ValidationError) -> UserError:
    """The first thing that is wrong: the field, what is allowed, and what was given."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("Run", "Recipe"))
    if first["type"] == "value_error":
        return UserError(str(first["ctx"]["error"]))
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        kind = Recipe if "recipe" in first["loc"][:-1] or error.title == "Recipe" else Run
        names = ", ".join(field.name for field in fields(kind))
        return UserError(f"unknown field of {kind.__name__} {brief(first['loc'][-1])}: choose from {names}")
    if first["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return UserError(f"{place} is missing")
    allowed = ALLOWED.get(first["type"], first["msg"].replace("Input should be ", "")).format(**first.get("ctx", {}))
    return UserError(f"{place} must be {allowed}, not {brief(first['input'])}")


@_one_line_errors
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """How a network is trained.

    steps: optimiser steps; batch: images a step, or of texts about how many tokens, both sides and padding together.
    optimiser: "sgd", or "adam" (Kingma and Ba 2015), whose weight decay is no part of the gradient (AdamW).
    momentum: Nesterov's, or Adam's β₁; second_momentum: Adam's β₂.
    first_layer: learning rate of the first layer's weights and biases, as a multiple of the others'.
    schedule: of the learning rate over the run: constant; one-cycle (linear rise over the first fifth, cosine fall
        to 0); steps (divided by 10 at each fraction of the run in `milestones`); linear (falls to 0); inverse-root
        (linear rise over `warm_up` steps, then falling as the inverse square root of the step).
    weight_decay: λ of the penalty λ/2 ‖w‖² on `decayed`: every weight matrix and kernel, or only the hidden linear
        layers'. Biases and normalisations never decay.
    clip_norm: gradients of a larger norm over all weights are scaled down to it; None leaves them.
    loss: of images: "cross-entropy" with the labels smoothed by the run's alpha, or "maxsup" (Zhou et al. 2025, arXiv
        2502.15798), cross-entropy with hard labels + alpha · (largest − mean logit). Of texts: the former.
    loss_scale: factor of the loss (3 in the paper's CIFAR protocol).
    augmentation: "crop24-flip" (random 24 × 24 crop and flip; the central crop in evaluation), "pad4-flip" (shift by up
        to 4 pixels, zeros moved in, and flip), "shift2" (shift by up to 2 pixels), "inception" (a crop of 8 to 100 % of
        the area and of aspect 3:4 to 4:3, and flip), "none".
    pixels: after it, every image is "standardised" on its own, or its bytes are brought to the "unit" interval [0, 1].
    size: side in pixels to which the views are scaled; None: as they are. The crops of "inception" need it.
    averaged: of texts, the number of moments, a hundredth of the run apart and the last its end, of whose weights the
        mean is the result (Vaswani et al. 2017, section 6.1, average 5); 1: the end alone.
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
    loss: LossName = "cross-entropy"
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

    @model_validator(mode="after")
    def _fit_together(self) -> "Recipe":
        rising = list(self.milestones) == sorted(set(self.milestones)) and all(0 < m < 1 for m in self.milestones)
        _require(
            rising and (self.schedule == "steps") == bool(self.milestones),
            'milestones: rising fractions of the run in (0, 1), with schedule "steps" and only with it',
        )
        _require(
            (self.schedule == "inverse-root") == (self.warm_up > 0),
            'warm_up: steps, at least 1, with schedule "inverse-root" and only with it',
        )
        _require(self.augmentation != "inception" or self.size, "the crops of inception need a size")
        _require(
            self.batch * (self.size or 1) ** 2 <= PIXELS_OF_A_BATCH,
            f"size: a batch of {self.batch} views of {self.size} × {self.size} has more than {PIXELS_OF_A_BATCH:,} "
            "pixels",
        )
        return self

    @property
    def states(self) -> int:
        """Numbers that the optimiser keeps of each weight."""
        return 2 if self.optimiser == "adam" else 1 if self.momentum else 0


@_one_line_errors
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Run:
    """One training. `key` names it: two runs with the same fields are the same run, wherever they were done.

    alpha: label smoothing factor in [0, 1) (section 1 of the paper), or the strength of another loss.
    label_noise: rate ρ in [0, 1) of symmetric noise: so many training and held-out labels, drawn by the seed, are
        replaced with one of the other classes; test labels never are.
    examples: number of training images or sentence pairs, the first ones of the training split.
    vocabulary: of a text, and only of one, the number of tokens of both languages together.
    teacher, temperature or as_soft_as, beta: of a student only. T is given, or found as the one at which the teacher's
        targets are as soft as those of another teacher at T = 1, by the smoothness index γ; the distilled loss weighs
        them by beta, and with squared_temperature by T² as well.
    as_soft_as without teacher: labels are smoothed by α = γ of this network's answers, and alpha is 0.
    probe: what is measured along the training besides accuracy and ECE and becomes part of the record, of images:
        "logit-differences" of augmented views, and what they tell about the image. It changes no outcome, so it is no
        part of the key: a record with more serves whoever asks for less.
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
        one_of("data set", value, [*DATASETS, *CORPORA])
        return value

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: str) -> str:
        one_of("model", value, MODELS)
        return value

    @field_validator("teacher", "as_soft_as")
    @classmethod
    def _unmeasured(cls, value: "Run | None") -> "Run | None":
        """Whatever was measured along its training, a network teaches the same."""
        return value and replace(value, probe="none")

    @model_validator(mode="after")
    def _fit_together(self) -> "Run":
        if self.recipe.loss == "maxsup":
            _require(self.alpha > 0, "alpha must be above 0 with the loss maxsup, which without it is cross-entropy")
        self._check_kind()
        self._check_teachers()
        return self

    def _check_teachers(self) -> None:
        """UserError unless targets that come from other networks are completely described."""
        if self.teachers:
            _require(self.label_noise == 0, "label_noise is not for students: they learn from clean labels")
            _require(self.recipe.loss == "cross-entropy", f"the loss {self.recipe.loss} is not for students")
        for teacher in self.teachers:
            theirs = DATASETS.get(teacher.dataset)
            _require(
                theirs is not None and theirs.classes == DATASETS[self.dataset].classes,
                f"the teacher knows the classes of {teacher.dataset}, not of {self.dataset}",
            )
        if self.teacher is None:
            alone = self.temperature is None and self.beta is None and not self.squared_temperature
            _require(alone, "temperature, beta and squared_temperature are for students only: name a teacher")
            _require(self.as_soft_as is None or self.alpha == 0, "alpha must be 0 where as_soft_as decides it")
            return
        complete = (self.temperature is None) != (self.as_soft_as is None) and self.beta is not None
        _require(complete, "a student needs a teacher, beta, and one of temperature and as_soft_as")

    def _check_kind(self) -> None:
        """UserError unless network and recipe are for what the data are: images or text."""
        kind = "text" if self.dataset in CORPORA else "images"
        fitting = [name for name, model in MODELS.items() if model.reads == kind]
        _require(
            self.model in fitting,
            f"{self.model} reads {MODELS[self.model].reads}, but {self.dataset} is {kind}: "
            f"choose from {', '.join(fitting)}",
        )
        if kind == "images":
            _require(self.vocabulary is None, "vocabulary is for texts only")
            _require(self.recipe.averaged == 1, "averaged is for texts only")
            _require(
                self.recipe.batch <= self.examples,
                f"batch: at most the {self.examples} training images, not {self.recipe.batch}",
            )
            self._check_views()
            return
        _require(self.vocabulary is not None, "vocabulary is missing: how many tokens both languages have together")
        for name in ("augmentation", "initial", "loss", "probe", "size"):
            value = getattr(self.recipe, name)
            _require(value == getattr(Recipe, name), f"{name} {value} is for images only")
        _require(self.probe == "none", f"probe {self.probe} is for images only")
        _require(self.label_noise == 0, "label_noise is for images only")
        _require(not self.teachers, "a student learns from images only")

    def _check_views(self) -> None:
        """UserError unless the recipe's views can be had of the data set: of images in files only Inception's crops."""
        in_files = DATASETS[self.dataset].shape is None
        _require(
            in_files == (self.recipe.augmentation == "inception"),
            f"{self.dataset} needs {'the augmentation inception' if in_files else 'another augmentation'}, "
            f"not {self.recipe.augmentation}",
        )
        if in_files:
            _require(self.measured == "none", f"the probe is not for {self.dataset}: its images stay in files")
            _require(not self.teachers, f"a student cannot learn from {self.dataset}: its images stay in files")

    @property
    def measured(self) -> str:
        """What is measured along the training, whether it is part of the run's name or not."""
        return self.recipe.probe if self.probe == "none" else self.probe

    @property
    def namesakes(self) -> "tuple[Run, ...]":
        """The run, and the same training under the names that it had while a probe was part of them."""
        measurable = self.dataset in DATASETS and DATASETS[self.dataset].shape is not None
        if not measurable or self.recipe.probe != "none":
            return (self,)
        return self, *(replace(self, recipe=replace(self.recipe, probe=probe)) for probe in get_args(Probe)[1:])

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
        """Where the run's record lies below a store: `<dataset>-<model>/<key>`."""
        return f"{self.dataset}-{self.model}/{self.key}"

    def __str__(self) -> str:
        named = f"{self.dataset} {self.model} alpha={self.alpha:g} seed={self.seed}"
        if self.recipe.loss != "cross-entropy":
            named += f" loss={self.recipe.loss}"
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
    """The fields as JSON values. Fields at their default are left out, so a later field renames no earlier run."""
    result = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if item != field.default:
            nested = isinstance(item, Run | Recipe)
            result[field.name] = as_dict(item) if nested else list(item) if isinstance(item, tuple) else item
    return result


def canonical_json(run: Run) -> str:
    """The one JSON text of what decides a run's outcome: sorted names, no spaces."""
    deciding = {name: value for name, value in as_dict(run).items() if name != "probe"}
    return json.dumps(deciding, sort_keys=True, separators=(",", ":"), allow_nan=False)


_RUN = TypeAdapter(Run)


def from_dict(values: dict[str, Any]) -> Run:
    """The inverse of `as_dict`. UserError, naming the field, for a value that is unknown, missing or not allowed."""
    try:
        return _RUN.validate_json(json.dumps(values))
    except ValidationError as error:
        raise _in_one_line(error) from None


def with_settings(recipe: Recipe, settings: dict[str, str]) -> Recipe:
    """The recipe with other settings, as text: numbers, names, None. UserError as for a recipe and an unknown name."""
    values = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    return Recipe(**values | {name: _literal(text) for name, text in settings.items()})


def _literal(text: str) -> Any:
    """The number, None or tuple that Python reads in it, else the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two: of brackets within brackets
        return text


def _require(condition: object, message: str) -> None:
    if not condition:
        raise UserError(message)
