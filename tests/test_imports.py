"""Arrows point one way, and what must work without torch does."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lsbook"

# Room -> the rooms that it may import, besides itself.
ALLOWED = {
    "core": set(),
    "recipes": {"core"},
    "data": {"core"},
    "models": {"core"},
    "analysis": {"core"},
    "outputs": {"core"},
    "evidence": {"analysis", "core"},
    "figures": {"analysis", "outputs", "core"},
    "training": {"data", "models", "analysis", "core"},
    "runner": {"core"},
    "assess": {"runner", "recipes", "evidence", "figures", "outputs", "analysis", "core"},
    "chapters": {"assess", "runner", "recipes", "evidence", "figures", "outputs", "analysis", "core"},
    "site": {"core"},
    "cli": {"site", "assess", "chapters", "runner", "recipes", "data", "core"},
    "__main__": {"cli"},
}
# Imports that happen only inside the call that needs them.
WITHIN_CALLS = {"runner": {"training"}}


def imports(path: Path, within_calls: bool) -> set[str]:
    """First name below lsbook of everything that a file imports, at the top or inside functions; benchmarks is another
    package, which no room may import."""
    found = set()
    tree = ast.parse(path.read_text())
    top = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and (node in top) != within_calls:
            module = getattr(node, "module", None)
            names = [a.name if module is None else f"{module}.{a.name}" for a in node.names]
            found |= {name.split(".")[1] for name in names if name.startswith("lsbook.")}
            found |= {"benchmarks" for name in names if name.split(".")[0] == "benchmarks"}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    owner = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if owner == "__init__":
        return
    allowed = ALLOWED[owner] | {owner}
    assert imports(path, within_calls=False) <= allowed
    assert imports(path, within_calls=True) <= allowed | WITHIN_CALLS.get(owner, set())


def arrows() -> dict[str, str]:
    """Room -> which others it imports, as ARCHITECTURE.md has it."""
    found = {}
    for room in (name for name in ALLOWED if (PACKAGE / name).is_dir()):
        at_top, within = (
            set().union(*(imports(path, within_calls=w) for path in (PACKAGE / room).rglob("*.py")))
            for w in (False, True)
        )
        text = ", ".join(sorted(at_top - {room})) or "nothing"
        if late := ", ".join(sorted(within - at_top - {room})):
            text += f"; within a call {late}"
        found[room] = text
    return found


def test_the_architecture_shows_the_arrows_that_there_are():
    text = (PACKAGE.parent / "ARCHITECTURE.md").read_text()
    table = text.partition("<!-- arrows -->\n")[2].partition("<!-- end of arrows -->")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    assert dict(rows) == arrows()


def test_what_is_printed_comes_by_the_function_that_lets_no_control_characters_pass():
    """The command line's own first and last words are constants."""
    printing = set()
    for path in PACKAGE.rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        if any(ast.unparse(call) in ("print", "sys.stdout.write", "sys.stderr.write", "typer.echo") for call in calls):
            printing.add(str(path.relative_to(PACKAGE)))
    assert printing == {"core/errors.py", "__main__.py"}


@pytest.mark.parametrize(
    ("missing", "modules"),
    [
        (
            ("torch", "torchvision", "sklearn", "pyarrow", "PIL.Image", "ray"),
            (
                "lsbook.evidence.claims",
                "lsbook.evidence.literature",
                "lsbook.chapters",
                "lsbook.core.store",
                "lsbook.cli",
            ),
        ),
        (
            ("papermill", "jupyter_book", "sphinx", "IPython", "matplotlib", "ray"),
            ("lsbook.training", "lsbook.cli", "lsbook.runner.obtain", "lsbook.runner.sweep"),
        ),
    ],
    ids=["book without training", "training without book"],
)
def test_each_side_imports_nothing_of_the_other(missing, modules):
    script = f"import sys; sys.modules |= dict.fromkeys({missing}); import {', '.join(modules)}\n"
    script += "from lsbook.chapters import *\n"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_importing_does_nothing():
    """No random state is touched, no thread count is set, no global setting of PyTorch or matplotlib changes."""
    script = (
        "import matplotlib, torch, numpy as np\n"
        "def state():\n"
        "    backends = torch.backends.cudnn.allow_tf32, torch.backends.cuda.cudnn_sdp_enabled()\n"
        "    return torch.get_rng_state().clone(), torch.get_num_threads(), dict(matplotlib.rcParams), backends\n"
        "before = state()\n"
        "import lsbook.training, lsbook.figures, lsbook.chapters, lsbook.outputs, lsbook.models.alexnet\n"
        "from lsbook.chapters import *\n"
        "after = state()\n"
        "assert torch.equal(before[0], after[0]) and before[1:] == after[1:]\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)
