"""What trainings cost: a model of their time, made of counted facts and one fitted number, and tables of it.

A step on n examples does n·flops operations in matrix products. At the least it moves twice the activations that it
keeps for the backward pass, and its weights, gradients and the optimiser's states, read and written. A machine of F
operations and B bytes a second that reaches a share s of what this allows needs for it

    (n·flops / F + bytes / B) / s + pause  seconds,

where `pause` is what it takes to start a step's kernels. For CPU cores F and B are those of `lsbook bench`, there is
no pause, and s is fitted to recorded runs; in bfloat16 an activation takes half the bytes. Of the GPU s and the pause
are assumed.

One training on g GPUs has n/g examples on each, and at every step sends 2·(g − 1)/g times its gradients over each one's
link (a ring's all-reduce), in the model after all computing is done. Links are slower between nodes than within one.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean
from typing import NamedTuple

from lsbook.chapters.plans import CHAPTERS, plan
from lsbook.core.config import Run
from lsbook.core.errors import whole_number
from lsbook.core.paths import project_root
from lsbook.core.registry import CORPORA, MODELS, TITLES
from lsbook.core.store import Store
from lsbook.core.wording import counted
from lsbook.outputs import Table
from lsbook.recipes.profiles import RECIPES, run

FLOAT, BFLOAT16 = 4, 2  # bytes
NODE = 8  # GPUs


class Network(NamedTuple):
    """flops: operations of a training step for each image, or token of both sides; activations: numbers kept for it;
    weights: numbers in all."""

    flops: int
    activations: int
    weights: int


# Counted by PyTorch's FlopCounterMode and its hooks for saved tensors, at two images or at two pairs of 30 tokens each.
NETWORKS = {
    ("mnist", "mlp"): Network(12_475_200, 3_195, 2_395_210),
    ("cifar10", "alexnet"): Network(110_013_696, 140_299, 1_068_298),
    ("cifar10", "resnet56"): Network(423_902_976, 604_907, 855_578),
    ("cifar100", "resnet56-first7"): Network(761_501_184, 1_072_261, 863_348),
    ("tiny-imagenet-32", "resnet56"): Network(753_675_264, 1_072_361, 867_928),
    ("tiny-imagenet-32", "inception_v4"): Network(2_572_628_352, 1_801_748, 41_450_216),
    ("tiny-imagenet-5", "inception_v4"): Network(2_570_831_232, 1_801_553, 41_150_501),
    ("imagenet", "inception_v4"): Network(73_485_484_416, 43_102_324, 42_679_816),
    ("multi30k", "transformer-256"): Network(17_940_480, 16_712, 6_001_472),
    ("multi30k", "transformer-base"): Network(144_408_576, 59_408, 48_207_680),
    ("wmt14-en-de", "transformer-base"): Network(181_272_576, 71_408, 60_519_680),
}


@dataclass(frozen=True)
class Machine:
    """flops, bandwidth: operations and bytes a second; share: of them reached, in (0, 1]; pause: seconds a step;
    kept: bytes of an activation; links: bytes a second to another one in the same node, and in another node."""

    title: str
    flops: float
    bandwidth: float
    share: float = 1.0
    pause: float = 0.0
    kept: int = FLOAT
    links: tuple[float, float] = (math.inf, math.inf)

    def seconds(self, run: Run, together: int = 1) -> float:
        """That the steps of a run take on so many of them together. KeyError when its network has not been counted."""
        network, recipe = NETWORKS[run.dataset, run.model], run.recipe
        batch = recipe.batch / together
        moved = 2 * (batch * network.activations * self.kept + (2 + recipe.states) * network.weights * FLOAT)
        least = batch * network.flops / self.flops + moved / self.bandwidth
        sent = 2 * (together - 1) / together * network.weights * FLOAT
        return recipe.steps * (least / self.share + self.pause + sent / self.links[together > NODE])


# 790 TFLOP/s of bfloat16 products were measured, 4.8 TB/s are the maker's. The rest is assumed: a quarter of both, as
# large convolutional networks reach on GPUs, and half a millisecond a step, which bounds the small ones. Links: the
# maker's 900 GB/s of both directions together, and a network of 400 Gbit/s a GPU.
H200 = Machine("one H200", flops=790e12, bandwidth=4.8e12, share=0.25, pause=5e-4, kept=BFLOAT16, links=(450e9, 50e9))
LARGE = (("imagenet", "inception_v4"), ("wmt14-en-de", "transformer-base"))  # data and network of the large studies


def benchmarked(number_format: str = "float32") -> dict:
    """The recorded report of `lsbook bench` on cores that train in this number format."""
    return json.loads((project_root() / "benchmarks" / f"{number_format}.json").read_text())


def cores(threads: int, number_format: str = "float32") -> Machine:
    """What so many of the benchmarked cores allow at the most; they share the memory."""
    report = benchmarked(number_format)
    flops = report["limits"]["flops"] / report["machine"]["threads"]
    kept = BFLOAT16 if number_format == "bfloat16" else FLOAT
    return Machine(f"{threads} cores", threads * flops, report["limits"]["bandwidth"], kept=kept)


class Measured(NamedTuple):
    """The fastest recorded run of a network on a CPU: images or tokens a second, its threads and number format."""

    run: Run
    rate: float
    threads: int
    number_format: str

    @property
    def share(self) -> float:
        """Of what its cores allow."""
        return self.rate / _rate(cores(self.threads, self.number_format), self.run)


def _rate(machine: Machine, run: Run) -> float:
    return run.recipe.steps * run.recipe.batch / machine.seconds(run)


def measured(store: Store | None = None) -> list[Measured]:
    """One of each counted network that is recorded on a CPU, hard or smoothed."""
    fastest: dict[tuple[str, str], Measured] = {}
    for record in Store() if store is None else store:
        network, facts = (record.run.dataset, record.run.model), record.environment
        known = network in NETWORKS and not record.run.teachers
        if known and "gpu_memory_mb" not in facts:
            rate = facts["tokens_per_second" if record.run.vocabulary else "images_per_second"]
            found = Measured(record.run, rate, facts["threads"], facts["precision"])
            fastest[network] = max(fastest.get(network, found), found, key=lambda one: one.rate)
    return [fastest[network] for network in NETWORKS if network in fastest]


def fitted_share(runs: Iterable[Measured]) -> float:
    """The share of the limits that these reach, as their geometric mean; NaN of none."""
    shares = [one.share for one in runs]
    return geometric_mean(shares) if shares else math.nan


def check(store: Store | None = None) -> Table:
    """Each recorded network's rate, predicted by a share that is fitted to the other networks alone."""
    every = measured(store)
    rows = []
    for one in every:
        share = fitted_share(other for other in every if other is not one)
        machine = replace(cores(one.threads, one.number_format), share=share)
        predicted = _rate(machine, one.run)
        cells = f"{one.threads}", one.number_format, f"{one.share:.0%}", _known(predicted, ",.0f"), f"{one.rate:,.0f}"
        rows.append((_title(one.run), *cells, _known(predicted / one.rate, ".2f")))
    return Table(
        "table-cost-check",
        "The cost model against recorded runs. Each network's rate, in images or tokens a second, is predicted from "
        "the others' share of the limits. The measured rate is that of the fastest recorded run.",
        ("data, network", "threads", "in", "share reached", "predicted, 1/s", "measured, 1/s", "predicted / measured"),
        tuple(rows),
    )


def paper(gpus: int = 8, store: Store | None = None) -> Table:
    """What the paper profile costs: each network's runs in the chapters' plans, alone and on several GPUs.

    gpus: each has one run at a time, so that runs take turns of ceil(runs / gpus). UserError for fewer than one.
    """
    whole_number("gpus", gpus, 1, 10**6)
    two = replace(cores(2), share=fitted_share(measured(store)))
    asked = dict.fromkeys(run for chapter in CHAPTERS for run in plan(chapter, "paper"))
    rows = []
    for profile, dataset, model in RECIPES:
        if profile == "paper":
            one = run("paper", dataset, model, alpha=0.1, seed=0)
            count = sum((other.dataset, other.model) == (dataset, model) for other in asked)
            rows.append((_title(one), *_costs(one, count, gpus, two)))
    return Table(
        "table-costs",
        "Predicted cost of the paper profile's runs on two cores in float32 and on one H200, whose share and pause are "
        "assumed and not measured yet. All: the runs that the chapters plan, one after another, in hours, and on "
        f"{counted(gpus, 'GPU')} with one run each at a time.",
        ("data, network", "steps", "operations", "hours, 2 cores", "hours, H200", "runs", "all, H200")
        + (counted(gpus, "GPU"),),
        tuple(rows),
    )


def _costs(one: Run, count: int, gpus: int, two: Machine) -> tuple[str, ...]:
    """Cells of a network whose runs are all like one."""
    hours = H200.seconds(one) / 3600
    operations = one.recipe.steps * one.recipe.batch * NETWORKS[one.dataset, one.model].flops
    return (
        f"{one.recipe.steps:,}",
        f"{operations:.1e}",
        _known(two.seconds(one) / 3600, ",.1f"),
        f"{hours:,.2f}",
        f"{count}",
        f"{count * hours:,.2f}",
        f"{-(-count // gpus) * hours:,.2f}",
    )


def studies(seeds: int = 5, factors: int = 4, counts: Sequence[int] = (1, 8, 64)) -> Table:
    """GPU-hours of the two large studies, seeds × factors runs each, and hours on so many GPUs.

    UserError for fewer seeds or factors than one.
    """
    whole_number("study_seeds", seeds, 1, 1_000)
    whole_number("study_factors", factors, 1, 1_000)
    rows = []
    for dataset, model in LARGE:
        one = run("paper", dataset, model, alpha=0.1, seed=0)
        hours, runs = H200.seconds(one) / 3600, seeds * factors
        turns = (f"{-(-runs // n) * hours:,.0f}" for n in counts)
        rows.append((_title(one), f"{runs}", f"{hours:,.1f}", f"{runs * hours:,.0f}", *turns))
    return Table(
        "table-studies",
        f"Predicted GPU-hours of {seeds} seeds × {factors} factors on H200s, and hours until the last run has ended, "
        "by the number of GPUs. Share and pause are assumed and not measured yet. Runs are independent: with more GPUs "
        "than runs nothing is gained.",
        ("data, network", "runs", "hours a run", "GPU-hours", *(counted(n, "GPU") for n in counts)),
        tuple(rows),
    )


def trainings(counts: Sequence[int] = (1, 8, 64)) -> Table:
    """Hours of one training of each large study on so many GPUs together, and the share of them that computes."""
    rows = []
    for dataset, model in LARGE:
        one = run("paper", dataset, model, alpha=0.1, seed=0)
        hours = [H200.seconds(one, n) / 3600 for n in counts]
        cells = (f"{h:,.2f} ({hours[0] * counts[0] / (h * n):.0%})" for h, n in zip(hours, counts, strict=True))
        rows.append((_title(one), f"{one.recipe.batch:,}", *cells))
    return Table(
        "table-trainings",
        "Predicted hours of one training whose batches several H200s share, in brackets the share of an n-fold speed. "
        f"The batch stays as large, so each GPU has less of it. Assumed: {H200.links[0] / 1e9:.0f} GB/s between the "
        f"{NODE} GPUs of a node and {H200.links[1] / 1e9:.0f} GB/s a GPU between nodes, nothing computed meanwhile.",
        ("data, network", "batch", *(counted(n, "GPU") for n in counts)),
        tuple(rows),
    )


def numbers() -> dict[str, float | str]:
    """What the text quotes: images of ImageNet that a core decodes in a second, and cores that keep one H200 busy."""
    [decoded] = [found["ours"] for found in benchmarked("bfloat16")["results"] if found["name"] == "decoding"]
    wanted = _rate(H200, run("paper", "imagenet", "inception_v4", alpha=0.1, seed=0))
    return {"decoded": float(decoded), "wanted": f"{wanted:,.0f}", "feeding_cores": f"{math.ceil(wanted / decoded)}"}


def _known(number: float, form: str) -> str:
    """A cell; a dash for NaN: what is predicted by a share that there were no records to fit."""
    return "—" if math.isnan(number) else format(number, form)


def _title(run: Run) -> str:
    return f"{TITLES[run.dataset]}, {MODELS[run.model].title}" + (" (tokens)" if run.dataset in CORPORA else "")
