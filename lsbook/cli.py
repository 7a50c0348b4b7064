"""The command line: build, assess, train, sweep, runs, verify, data. A user's mistake is one line and exit code 2."""

import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from lsbook.core.errors import UserError, needing, one_of, print_lines
from lsbook.core.registry import CORPORA, DATASETS, SPLITS
from lsbook.core.store import Store
from lsbook.core.wording import counted

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="When does label smoothing help? Build the book, train its runs, check its records.",
)


PAIRS = {"-p": "alpha 0.2", "-r": "precision float32"}  # options that take a name and a value, with an example of each


def main(commands: typer.Typer = app) -> NoReturn:
    """Read the arguments and run the command; the process ends with its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # it may be closed
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error's: not every terminal knows every letter
    try:
        sys.exit(commands(_join_pairs(sys.argv[1:]), standalone_mode=False))
    except UserError as error:
        _fail(str(error))
    except typer.TyperException as error:
        _fail(f"{error.format_message().rstrip('.')}; see --help")


def _join_pairs(arguments: list[str]) -> list[str]:
    """`-p NAME VALUE`, as papermill has it, to the `-p NAME=VALUE` that an option of one value can take."""
    _each_once(argument.partition("=")[0] for argument in arguments if argument.startswith("--"))
    joined = []
    rest = iter(arguments)
    for argument in rest:
        joined.append(argument)
        if argument in PAIRS:
            pair = [part for part in (next(rest, None), next(rest, None)) if part is not None]
            if len(pair) < 2 or "=" in pair[0]:
                raise _no_pair(argument)
            joined.append("=".join(pair))
    return joined


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """Values by name, of texts NAME=VALUE."""
    pairs = [text.partition("=") for text in texts or ()]
    if not all(equals for _, equals, _ in pairs):
        raise _no_pair(option)
    _each_once(f"{option} {name}" for name, _, _ in pairs)
    return {name: value for name, _, value in pairs}


def _each_once(names: Iterable[str]) -> None:
    """UserError for a setting that is given twice: of two values one would be ignored."""
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"{name} is given twice")


def _no_pair(option: str) -> UserError:
    return UserError(f"{option} takes a name and a value, as in: {option} {PAIRS[option]}")


def _fail(*messages: str) -> NoReturn:
    for message in messages:
        print_lines(f"lsbook: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


@app.command()
def build(
    chapters: Annotated[list[str] | None, typer.Argument(help="Chapters to build; all when none is named.")] = None,
    profile: Annotated[str | None, typer.Option(help="smoke, laptop, paper or auto: the best recorded.")] = None,
    p: Annotated[list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="A chapter's parameter.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the result (default _build).", readable=False)] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Chapters executed at a time.")] = 2,
    notebook: Annotated[bool, typer.Option("--notebook", help="Stop at the executed notebooks.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Print the book, too: book.pdf, by Chromium.")] = False,
    check_figures: Annotated[bool, typer.Option("--check-figures", help="Compare figures with the reference.")] = False,
    renew: Annotated[bool, typer.Option("--renew-reference", help="Make this build's figures the reference.")] = False,
) -> None:
    """Execute chapters and render them; prints the path of the first page."""
    from lsbook.site import build

    print_lines(
        build.build(
            chapters or (),
            profile=profile,
            parameters=_pairs("-p", p),
            out=out,
            jobs=jobs,
            notebook=notebook,
            pdf=pdf,
            check_figures=check_figures,
            renew=renew,
        )
    )


@app.command()
def assess(
    predictions: Annotated[list[Path], typer.Argument(help="Files of labels and logits: .npz, .csv or .parquet.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the page (default _build/assessment).")] = None,
) -> None:
    """Say of your own model's predictions whether to scale, trust or teach with them; prints the path of the page."""
    from lsbook import assess as assessing
    from lsbook.chapters.your_model import NAMED
    from lsbook.core.paths import project_root
    from lsbook.site import build

    assessing.files(*predictions)  # a mistake is said before anything runs
    os.environ[NAMED] = json.dumps([str(path.absolute()) for path in predictions])
    print_lines(build.build(["your_model"], out=out or project_root() / "_build" / "assessment", alone=True))


@app.command()
def train(
    dataset: Annotated[str, typer.Option(help="Data set.")],
    model: Annotated[str, typer.Option(help="Network.")],
    alpha: Annotated[float, typer.Option(help="Label smoothing factor in [0, 1).")],
    seed: Annotated[int, typer.Option(help="Seed of initial weights, order and views.")] = 0,
    profile: Annotated[str, typer.Option(help="Whose recipe: smoke, laptop or paper.")] = "laptop",
    loss: Annotated[str | None, typer.Option(help="cross-entropy or maxsup, of strength alpha (the recipe's).")] = None,
    label_noise: Annotated[float, typer.Option(help="Share of wrong labels in [0, 1), test labels apart.")] = 0.0,
    examples: Annotated[int | None, typer.Option(min=1, help="Training images or pairs (the recipe's).")] = None,
    r: Annotated[list[str] | None, typer.Option("-r", metavar="NAME VALUE", help="Another setting of it.")] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", file_okay=False, help="Write scalars there.")
    ] = None,
) -> None:
    """Train one run and record it; one that is recorded is only shown. As `torchrun -m lsbook train`: by many GPUs."""
    from lsbook.recipes.profiles import run
    from lsbook.runner.obtain import obtain, processes

    with processes() as first:
        if first:
            settings = _pairs("-r", r)
            if loss is not None:
                if "loss" in settings:
                    raise UserError("loss is given twice: by --loss and by -r")
                settings["loss"] = loss
            asked = run(
                profile, dataset, model, alpha, seed, settings=settings, examples=examples, label_noise=label_noise
            )
            [record] = obtain([asked], tensorboard=tensorboard)
            print_lines(record.folder)
            for name, value in record.metrics.items():
                print_lines(f"{name:22}{value:.4f}")


@app.command()
def sweep(
    chapter: Annotated[str, typer.Argument(help="Whose runs.")],
    profile: Annotated[str, typer.Option(help="smoke, laptop or paper.")],
    seeds: Annotated[str, typer.Option(help="Such as 0-4 or 0,2; auto: the chapter's own.")] = "auto",
    network: Annotated[str, typer.Option(help="Only this data set and model, such as cifar10-alexnet.")] = "all",
    budget: Annotated[
        float | None, typer.Option(min=0, help="Seconds; after the first no run is begun that needs more.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Runs at a time that share the cores (default: one a core) or each GPU (four; on Ray one).",
        ),
    ] = None,
    on: Annotated[
        str, typer.Option(help="local, or ray: the Ray cluster at RAY_ADDRESS or of this machine.")
    ] = "local",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the runs, with seconds and memory.")] = False,
) -> None:
    """Train and record what a chapter's profile still misses, first seeds first."""
    from lsbook.chapters.plans import plan
    from lsbook.runner import sweep as sweeping

    one_of("place", on, sweeping.PLACES)
    runs = plan(chapter, profile, seeds, network)
    if not dry_run:
        sweeping.sweep(runs, budget=budget, jobs=jobs, on=on)
    print_lines(sweeping.table(runs))


@app.command()
def runs(
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write every column there instead.")] = None,
) -> None:
    """List the recorded runs, a line each; or write all that is recorded of them, arrays aside, as CSV."""
    from lsbook.core.frame import overview
    from lsbook.data.sources import write_whole

    frame = _recorded(Store()).frame()
    if csv is None:
        print_lines(overview(frame))
        return
    if csv.is_symlink() or (csv.exists() and not csv.is_file()):
        raise UserError(f"cannot write {csv}: it is not a regular file; name another one")
    text = frame.to_csv(lineterminator="\n")
    try:
        write_whole(csv, lambda file: file.write(text.encode()))
    except OSError as error:
        raise UserError(f"cannot write {csv}: {error.strerror or error}; name a file in a folder of yours") from None
    print_lines(f"{counted(len(frame), 'recorded run')}, {len(frame.columns)} columns: {csv}")


@app.command()
def verify(path: Annotated[Path | None, typer.Argument(help="Folder of records (default results/).")] = None) -> None:
    """Check of every recorded run that its files match their checksums and the schema of records."""
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
def data(names: Annotated[list[str] | None, typer.Argument(help="Data sets; all when none is named.")] = None) -> None:
    """Find, download and check data sets."""
    from lsbook.data import images, texts

    def show(name: str) -> None:
        parts: Sequence[images.Images | images.ImageFiles | texts.Pairs]
        if name in DATASETS:
            parts, what = images.all_splits(name, decode=True), "images"
        else:
            parts, what = [texts.load(name, split) for split in SPLITS], "pairs"
        for split, part in zip(SPLITS, parts, strict=True):
            print_lines(f"{name:16} {split:8} {len(part):6} {what}  {part.variant}  sha256 {part.fingerprint[:12]}")

    missing = []
    for name in names or (*DATASETS, *CORPORA):
        try:
            with needing("train", "reading data"):
                show(name)
        except UserError as error:
            missing.append(str(error))
    if missing:
        _fail(*missing)
