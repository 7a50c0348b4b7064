"""The command line: build, assess, try, train, sweep, runs, verify, data. A mistake is one line and exit code 2."""

import io
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

import click
from typing_extensions import override

from lsbook.core import registry
from lsbook.core.config import Recipe, Run, SettingText
from lsbook.core.errors import UserError, needing, one_line, one_of, parse_numbers, print_lines
from lsbook.core.registry import SPLITS
from lsbook.core.store import Store
from lsbook.core.strict import documented
from lsbook.core.wording import counted


class _Seconds(click.FloatRange):
    """A finite number of seconds."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return found


PATH = click.Path(path_type=Path)
DURATION = _Seconds(min=0)
PAIRS = ("--loss-arguments",)  # options that may be there several times, each time with a name and a value
STUDENTS = ("teacher", "temperature", "as_soft_as", "beta", "squared_temperature")  # fields that no text describes


@click.group(no_args_is_help=False)
def app() -> None:
    """When does label smoothing help? Build the book, train its runs, check its records."""


def main(commands: click.Command = app) -> NoReturn:
    """Read the arguments and run the command; the process ends with its exit code."""
    # Who started us may have closed them.
    sys.stdout, sys.stderr = sys.stdout or io.StringIO(), sys.stderr or io.StringIO()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error's: not every terminal knows every letter
    try:
        options = (argument.partition("=")[0] for argument in sys.argv[1:] if argument.startswith("--"))
        _each_once(option for option in options if option not in PAIRS)
        # Not by click's own main, which answers Ctrl-C with an empty line.
        with commands.make_context("lsbook", sys.argv[1:]) as context:
            commands.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except UserError as error:
        _fail(str(error))
    except click.ClickException as error:
        _fail(f"{error.format_message().rstrip('.')}; see --help")
    except BrokenPipeError:  # who read standard output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # of a folder that may not be searched, or a disk that is full
        if isinstance(sys.stdout, io.TextIOWrapper) and error.filename is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"{error.filename or 'standard output'}: {error.strerror or error}")
    sys.exit()


def _by_name(option: str, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Values by name."""
    pairs = list(pairs)
    _each_once(f"{option} {name}" for name, _ in pairs)
    return dict(pairs)


def _each_once(names: Iterable[str]) -> None:
    """UserError for a setting that is given twice: of two values one would be ignored."""
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"{name} is given twice")


def _fail(*messages: str) -> NoReturn:
    for message in messages:
        print_lines(f"lsbook: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


@app.command()
@click.argument("chapters", nargs=-1)
@click.option("--profile", help="smoke, laptop, paper or auto: the best recorded.")
@click.option("-p", "pairs", nargs=2, multiple=True, metavar="NAME VALUE", help="A chapter's parameter.")
@click.option("--out", type=PATH, help="Folder for the result (default _build).")
@click.option("--jobs", type=click.IntRange(min=1), help="Chapters executed at a time (default: cores and one more).")
@click.option("--notebook", is_flag=True, help="Stop at the executed notebooks.")
@click.option("--pdf", is_flag=True, help="Print the book, too: book.pdf, by Chromium.")
@click.option("--check-figures", is_flag=True, help="Compare figures with the reference.")
@click.option("--renew-reference", "renew", is_flag=True, help="Make this build's figures the reference.")
def build(
    chapters: tuple[str, ...],
    profile: str | None,
    pairs: tuple[tuple[str, str], ...],
    out: Path | None,
    jobs: int | None,
    notebook: bool,
    pdf: bool,
    check_figures: bool,
    renew: bool,
) -> None:
    """Execute CHAPTERS, all when none is named, and render them; prints the path of the first page."""
    from lsbook.site import build

    print_lines(
        build.build(
            chapters,
            profile=profile,
            parameters=_by_name("-p", pairs),
            out=out,
            jobs=jobs,
            notebook=notebook,
            pdf=pdf,
            check_figures=check_figures,
            renew=renew,
        )
    )


@app.command()
@click.argument("predictions", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, help="Folder for the page (default _build/assessment).")
def assess(predictions: tuple[Path, ...], out: Path | None) -> None:
    """Say of your own model's PREDICTIONS whether to scale, trust or teach with them; prints the path of the page.

    They are files of labels and logits: .npz, .csv or .parquet.
    """
    from lsbook import assess as assessing
    from lsbook.chapters.your_model import NAMED
    from lsbook.core.paths import project_root
    from lsbook.site import build

    assessing.files(*predictions)  # a mistake is said before anything runs
    os.environ[NAMED] = json.dumps([str(path.absolute()) for path in predictions])
    names = [one_line(path.name) for path in predictions]  # their folders are on no page
    out = out or project_root() / "_build" / "assessment"
    parameters = {"predictions": json.dumps(names, ensure_ascii=False)}
    print_lines(build.build(["your_model"], parameters=parameters, out=out, without_index=True))


@app.command(name="try")
@click.argument("folder", type=PATH)
@click.option("--network", default="resnet56", show_default=True, help="resnet56 or alexnet.")
@click.option("--alphas", default="0,0.05,0.1", show_default=True, help="Smoothing factors; 0, hard targets, first.")
@click.option("--seeds", default="0-2", show_default=True, help="Such as 0-4 or 0,2; an interval needs three.")
@click.option(  # from the crop's side to the usual one of large images
    "--size", type=click.IntRange(24, 224), default=32, show_default=True, help="Pixels, to which images are scaled."
)
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps (default: of 25 epochs, at least 120).")
@click.option("--budget", type=DURATION, help="Seconds; after the first no network is begun that needs more.")
@click.option("--jobs", type=click.IntRange(min=1, max=48), help="Networks trained at a time (default: one a core).")
@click.option("--out", type=PATH, help="Folder for the page (default _build/trial).")
def try_images(
    folder: Path,
    network: str,
    alphas: str,
    seeds: str,
    size: int,
    steps: int | None,
    budget: float | None,
    jobs: int | None,
    out: Path | None,
) -> None:
    """Train on the images in FOLDER with and without label smoothing; prints the path of a page that compares them.

    It holds a folder of images for each class, maybe within train, val and test, or the Hub's Parquet files. What is
    trained is recorded: the same command goes on where it was interrupted.
    """
    from lsbook.chapters import your_data
    from lsbook.chapters.shared.selection import parse_seeds
    from lsbook.core.own_images import Trial, write_trial
    from lsbook.core.paths import project_root
    from lsbook.data import own_images
    from lsbook.recipes import profiles
    from lsbook.runner import sweep as sweeping
    from lsbook.site import build

    out = out or project_root() / "_build" / "trial"
    factors = parse_numbers("alphas", alphas)
    your_data.arms(factors)  # these mistakes are said before anything is read
    parse_seeds(seeds)
    profiles.recipe_for_own_images(network, examples=1, size=size)
    with needing("train", "reading images"):
        read = own_images.prepare(folder, size)
    recipe = profiles.recipe_for_own_images(network, read.total("train"), size)
    recipe = replace(recipe, steps=steps or recipe.steps)
    trial = Trial(read=read, network=network, recipe=recipe, alphas=factors, seeds=seeds)
    runs = your_data.runs(trial)
    left = sweeping.sweep(runs, budget=budget, jobs=jobs)
    if left:
        print_lines(f"{counted(len(left), 'network')} left to train; the same command goes on", file=sys.stderr)
    path = (out / "trial.json").absolute()
    write_trial(path, trial)
    os.environ[your_data.NAMED] = str(path)
    your_data.study(path.name)  # whether enough is recorded for a page
    print_lines(build.build(["your_data"], parameters={"trial": path.name}, out=out, without_index=True))


def _options(kind: type, required: tuple[str, ...] = (), left_out: tuple[str, ...] = ()) -> list[click.Parameter]:
    """An option for each field of `Run` or `Recipe`, with what the class says of it; values are text, or None."""
    help_of = documented(kind)  # nothing where Python has stripped docstrings
    options: list[click.Parameter] = []
    for field in fields(kind):
        if field.name in left_out:
            continue
        option = f"--{field.name.replace('_', '-')}"
        pair = {"nargs": 2, "multiple": True, "metavar": "NAME VALUE"} if option in PAIRS else {"metavar": "VALUE"}
        needed = field.name in required
        options.append(click.Option([option, field.name], required=needed, help=help_of.get(field.name), **pair))
    return options


FIELDS_OF_RUN = _options(Run, required=("dataset", "model", "alpha"), left_out=("recipe", *STUDENTS))
FIELDS_OF_RECIPE = _options(Recipe, left_out=("probe", "revision"))  # of the run, and of the code


@app.command(params=[*FIELDS_OF_RUN, *FIELDS_OF_RECIPE])
@click.option("--profile", default="laptop", show_default=True, help="Whose recipe: smoke, laptop or paper.")
@click.option(
    "--tensorboard", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write scalars there."
)
def train(
    profile: str, tensorboard: Path | None, loss_arguments: tuple[tuple[str, str], ...], **values: str | None
) -> None:
    """Train one run and record it; one that is recorded is only shown. As `torchrun -m lsbook train`: by many GPUs.

    What is not said is the profile's recipe, where it has one for this data set and network.
    """
    from lsbook.recipes.profiles import run_from_text
    from lsbook.runner.obtain import check_data, obtain, torchrun_session

    with torchrun_session() as first:
        if first:
            settings: dict[str, SettingText] = {name: value for name, value in values.items() if value is not None}
            if loss_arguments:
                settings["loss_arguments"] = _by_name("--loss-arguments", loss_arguments)
            asked = run_from_text(profile, settings)
            if asked in Store():
                check_data(asked, Store())
            [record] = obtain([asked], tensorboard=tensorboard)
            print_lines(record.folder)
            for name, value in record.metrics.items():
                print_lines(f"{name:22}{value:.4f}")


@app.command()
@click.argument("chapter")
@click.option("--profile", required=True, help="smoke, laptop or paper.")
@click.option("--seeds", default="auto", help="Such as 0-4 or 0,2; auto: the chapter's own.")
@click.option("--network", default="all", help="Only this data set and model, such as cifar10-alexnet.")
@click.option("--budget", type=DURATION, help="Seconds; after the first no run is begun that needs more.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1, max=48),  # which CUDA's multi-process service serves
    help="Runs at a time that share the cores (default: one a core) or each GPU (four; on Ray one).",
)
@click.option("--on", default="local", help="local, or ray: the Ray cluster at RAY_ADDRESS or of this machine.")
@click.option("--dry-run", is_flag=True, help="Only list the runs, with seconds and memory.")
def sweep(
    chapter: str,
    profile: str,
    seeds: str,
    network: str,
    budget: float | None,
    jobs: int | None,
    on: str,
    dry_run: bool,
) -> None:
    """Train and record what the profile of a CHAPTER still misses, first seeds first."""
    from lsbook.chapters.plans import plan
    from lsbook.runner import sweep as sweeping

    one_of("place", on, sweeping.BACKENDS)
    runs = plan(chapter, profile, seeds, network)
    if not dry_run:
        sweeping.sweep(runs, budget=budget, jobs=jobs, on=on)
    print_lines(sweeping.run_table(runs))


@app.command()
@click.option("--csv", type=PATH, metavar="FILE", help="Write every column there instead.")
def runs(csv: Path | None) -> None:
    """List the recorded runs, a line each; or write all that is recorded of them, arrays aside, as CSV."""
    from lsbook.core.frame import overview
    from lsbook.data.sources import write_atomically

    frame = _recorded(Store()).frame()
    if csv is None:
        print_lines(overview(frame))
        return
    if csv.is_symlink() or (csv.exists() and not csv.is_file()):
        raise UserError(f"cannot write {csv}: it is not a regular file; name another one")
    text = frame.to_csv(lineterminator="\n")
    try:
        write_atomically(csv, lambda file: file.write(text.encode()))
    except OSError as error:
        raise UserError(f"cannot write {csv}: {error.strerror or error}; name a file in a folder of yours") from None
    print_lines(f"{counted(len(frame), 'recorded run')}, {len(frame.columns)} columns: {csv}")


@app.command()
@click.argument("path", type=PATH, required=False)
def verify(path: Path | None) -> None:
    """Check of every run recorded in PATH (default results/) that its files match checksums and schema."""
    store = _recorded(Store(path))
    problems = store.verify()
    if problems:
        _fail(*problems)
    print_lines(f"{len(store)} recorded runs: their files match their checksums and the schema of records")


def _recorded(store: Store) -> Store:
    """The store. UserError unless it has recorded runs."""
    if not store.path.is_dir():
        raise UserError(f"{store.path} is not a folder of recorded runs")
    if not len(store):
        raise UserError(f"{store.path} has no recorded runs; name the folder that results/ is, or a copy of it")
    return store


@app.command()
@click.argument("names", nargs=-1)
def data(names: tuple[str, ...]) -> None:
    """Find, download and check the data sets of these NAMES, or all."""
    from lsbook.data import images, texts

    def show(name: str) -> None:
        parts: Sequence[images.Images | images.ImageFiles | texts.Pairs]
        if registry.is_own(name):
            is_text = isinstance(registry.source(name), registry.Corpus)
        else:
            is_text = name not in registry.DATASETS
        if is_text:
            parts, what = [texts.load(name, split) for split in SPLITS], "pairs"
        else:
            parts, what = images.all_splits(name, decode=True), "images"
        for split, part in zip(SPLITS, parts, strict=True):
            print_lines(f"{name:16} {split:8} {len(part):6} {what}  {part.variant}  sha256 {part.fingerprint[:12]}")

    missing = []
    for name in names or (*registry.DATASETS, *registry.CORPORA):
        try:
            with needing("train", "reading data"):
                show(name)
        except UserError as error:
            missing.append(str(error))
    if missing:
        _fail(*missing)
