"""Where a figure or table comes from, in a sentence: networks, data and variant, seeds, device, code."""

from collections.abc import Iterable
from dataclasses import replace

from lsbook.core.config import Run
from lsbook.core.registry import title
from lsbook.core.store import Record
from lsbook.core.wording import counted, listed


def describe_records(records: Iterable[Record]) -> str:
    """One sentence on the recorded runs; networks of the same data and number of seeds are named together.

    More than two commits are counted: the page of the recorded runs has them one by one.
    """
    records = {record.run: record for record in records}.values()
    networks: dict[tuple, list[Record]] = {}
    for record in records:
        networks.setdefault((record.run.model, record.run.dataset, record.run.examples), []).append(record)
    titles: dict[str, list[str]] = {}
    for (model, dataset, examples), found in networks.items():
        titles.setdefault(_data(dataset, examples, found), []).append(title(model))
    made = "; ".join(f"{listed(names)} on {data}" for data, names in titles.items())
    every = [record.environment for found in networks.values() for record in found]
    devices, precisions, versions = (_different(e[name] for e in every) for name in ("device", "precision", "torch"))
    commits = {e["commit"] for e in every}
    code = counted(len(commits), "commit") if len(commits) > 2 else f"commit {_different(commits)}"
    return f"{made}; trained on {devices}, {precisions}, torch {versions}, {code}."


def _data(dataset: str, examples: int, records: list[Record]) -> str:
    """What the networks of these records were trained on, and how many of them."""
    variants = _different(record.environment["data"]["variant"] for record in records)
    settings: dict[Run, set[int]] = {}
    for record in records:
        settings.setdefault(_unseeded(record.run), set()).add(record.run.seed)
    fewest, most = (choose(map(len, settings.values())) for choose in (min, max))
    seeds = (f"{fewest} to " if fewest < most else "") + counted(most, "seed")
    what = "sentence pairs" if records[0].run.is_text else "training images"
    return f"{title(dataset)} ({variants}), {examples:,} {what}, {seeds}"


def _unseeded(run: Run) -> Run:
    """What the run has in common with those that differ from it in their seed, and their teachers', alone."""
    teacher, as_soft_as = (other and _unseeded(other) for other in (run.teacher, run.as_soft_as))
    return replace(run, seed=0, probe="none", teacher=teacher, as_soft_as=as_soft_as)


def _different(values: Iterable[str]) -> str:
    return listed(sorted(set(values)))
