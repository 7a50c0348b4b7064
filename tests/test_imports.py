"""Arrows point one way, and what must work without torch does."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lsbook"

# Module or package of ours -> what of ours it may import, besides itself.
LEAVES = {"cores", "errors", "paths", "catalogue", "operators"}
ALLOWED = {
    "cores": set(),
    "errors": set(),
    "paths": set(),
    "catalogue": set(),
    "operators": set(),
    "run": LEAVES,
    "schema": LEAVES | {"run"},
    "store": LEAVES | {"run", "schema"},
    "analysis": LEAVES,
    "paper": LEAVES,
    "claims": LEAVES | {"analysis"},
    "plots": LEAVES | {"analysis"},
    "page": LEAVES,
    "sphinx_accessible": set(),
    "sphinx_offline": set(),
    "models": LEAVES,
    "data": LEAVES,
    "training": LEAVES | {"run", "analysis", "models", "data"},
    "experiments": LEAVES | {"run", "store", "analysis", "claims", "paper", "page"},
    "bench": LEAVES | {"run", "store", "analysis", "models", "data", "training", "experiments"},
    "watch": set(),
    "execution": LEAVES | {"watch"},
    "provenance": set(),
    "printing": LEAVES,
    "reference": LEAVES,
    "sphinx_provenance": set(),
    "book": LEAVES | {"execution", "printing", "provenance", "reference"},
    "cli": LEAVES | {"store", "experiments", "data", "book", "bench"},
    "__main__": {"cli"},
}
# Imports that happen only inside the call that needs them.
WITHIN_CALLS = {"experiments": {"training"}, "bench": {"book"}}


def imports(path: Path, within_calls: bool) -> set[str]:
    """First name below lsbook of everything that a file imports, at the top or inside functions."""
    found = set()
    tree = ast.parse(path.read_text())
    top = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and (node in top) != within_calls:
            module = getattr(node, "module", None)
            names = [a.name if module is None else f"{module}.{a.name}" for a in node.names]
            found |= {name.split(".")[1] for name in names if name.startswith("lsbook.")}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    owner = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if owner == "__init__":
        return
    allowed = ALLOWED[owner] | {owner}
    assert imports(path, within_calls=False) <= allowed
    assert imports(path, within_calls=True) <= allowed | WITHIN_CALLS.get(owner, set())


@pytest.mark.parametrize(
    ("missing", "modules"),
    [
        (
            ("torch", "torchvision", "sklearn", "pyarrow", "PIL.Image", "ray"),
            ("lsbook.claims", "lsbook.paper", "lsbook.experiments", "lsbook.store", "lsbook.cli"),
        ),
        (
            ("papermill", "jupyter_book", "sphinx", "IPython", "matplotlib", "ray"),
            ("lsbook.training", "lsbook.cli", "lsbook.experiments.obtain", "lsbook.experiments.sweep"),
        ),
    ],
    ids=["book without training", "training without book"],
)
def test_each_side_imports_nothing_of_the_other(missing, modules):
    script = f"import sys; sys.modules |= dict.fromkeys({missing}); import {', '.join(modules)}\n"
    script += "from lsbook.experiments import *\n"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_importing_does_nothing():
    """No random state is touched, no thread count is set, no global setting of PyTorch or matplotlib changes."""
    script = (
        "import matplotlib, torch, numpy as np\n"
        "def state():\n"
        "    backends = torch.backends.cudnn.allow_tf32, torch.backends.cuda.cudnn_sdp_enabled()\n"
        "    return torch.get_rng_state().clone(), torch.get_num_threads(), dict(matplotlib.rcParams), backends\n"
        "before = state()\n"
        "import lsbook.training, lsbook.plots, lsbook.experiments, lsbook.page, lsbook.models.alexnet\n"
        "from lsbook.experiments import *\n"
        "after = state()\n"
        "assert torch.equal(before[0], after[0]) and before[1:] == after[1:]\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)
