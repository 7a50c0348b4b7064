"""Every benchmark by name: our way against the plain way that a careful user would write, in turn, in one process.

Each benchmark does the same work both ways. The rounds alternate, so that a machine whose speed drifts slows both;
medians are reported, and the ratio is the median of the rounds' ratios. Beside them is what the machine's arithmetic
and memory, measured in the same call, would allow.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from lsbook.core.errors import UserError, needing, one_of, print_lines

with needing("train", "a benchmark"):
    from benchmarks import arrays, files, images, text
    from benchmarks.limits import Limits
    from benchmarks.timing import Benchmark, Result, measure
    from lsbook.core.cpus import cores
    from lsbook.training.engine import devices, environment

BENCHMARKS: dict[str, Callable[[], Benchmark]] = {
    "mlp": images.mlp,
    "alexnet": images.alexnet,
    "resnet": images.resnet,
    "inception": images.inception,
    "transformer": text.transformer,
    "teacher": images.teacher_logits,
    "translation": text.translation,
    "calibration": arrays.calibration,
    "projection": arrays.projection,
    "information": arrays.information,
    "sweep": files.sweep,
    "book": files.book,
}


def run(names: Sequence[str] = (), json_file: Path | None = None) -> None:
    """Run the benchmarks of these names, all when there are none, and print a table.

    With `json_file` each result is kept there at once, whatever becomes of the rest. UserError for an unknown name, or
    when the file cannot be written.
    """
    for name in names:
        one_of("benchmark", name, BENCHMARKS)
    if json_file and (json_file.is_dir() or not json_file.absolute().parent.is_dir()):
        raise UserError(f"cannot write {json_file}: name a file in a folder that exists")
    device = devices.device()
    limits = Limits.measure(device)
    machine = environment.describe(device, "mixed") | {"cores": cores()}
    report, problem = {"results": [], "machine": machine, "limits": asdict(limits)}, None
    for name in names or BENCHMARKS:
        result = measure(name, BENCHMARKS[name](), limits)
        report["results"].append(asdict(result))
        machine["peak_memory_mb"] = environment.peak_memory() // 10**6
        if json_file:  # before anything is printed, which may fail
            problem = _write(report, json_file)
        print_lines(f"{name}: {result.ratio:.2f} times as fast as the plain way", file=sys.stderr)
    print_lines(table(report))
    if problem:
        raise problem


def _write(report: dict, path: Path) -> UserError | None:
    """What is measured so far, as JSON. Returns why that is not possible, to be raised once the table is printed."""
    try:
        path.write_text(json.dumps(report, indent=1) + "\n")
    except OSError as error:
        return UserError(f"cannot write {path}: {error.strerror}")
    return None


def table(report: dict) -> str:
    """Format what `run` writes as JSON: rates of both ways, their ratio, ours as a share of the limit, cores' use."""
    results, machine, limits = [Result(**r) for r in report["results"]], report["machine"], report["limits"]
    lines = [f"{'':38}{'ours':>12}{'plain':>12}{'ratio':>8}{'limit':>15}{'share':>7}{'busy':>7}"]
    for r in results:
        rates = [f"{rate:12,.0f}" if rate >= 100 else f"{rate:12.2f}" for rate in (r.ours, r.plain)]
        limit = f"{r.limit:15,.0f}{r.ours / r.limit:7.0%}" if r.limit else f"{'–':>15}{'–':>7}"
        lines.append(f"{r.title + ', ' + r.unit + '/s':38}{''.join(rates)}{r.ratio:8.2f}{limit}{r.busy:7.0%}")
    rounds = " or ".join(str(n) for n in sorted({r.rounds for r in results}))
    gpu = limits["device"] == "cuda"
    return "\n".join(
        [
            *lines,
            "",
            "What bounds ours:",
            *(f"  {r.title}: {r.bound}." for r in results),
            "",
            f"Medians of {rounds} rounds in turn, on {'a' if gpu else 'no'} GPU; {machine['device']}, "
            f"{machine['threads']} threads, PyTorch {machine['torch']}.",
            f"Ours is in {machine['precision']}, the plain way in float32. Memory at the most: "
            f"{machine['peak_memory_mb']:,} MB.",
            f"Limit: the slower of the arithmetic at {limits['flops'] / 1e9:,.0f} GFLOP/s and the memory traffic at "
            f"{limits['bandwidth'] / 1e9:.1f} GB/s, both measured in the same call.",
            f"Busy: the share of the time of {machine['cores']} cores that ours computed.",
        ]
    )
