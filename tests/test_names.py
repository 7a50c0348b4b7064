"""Two public things in different rooms have one name only if they are the same idea."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "lsbook"

# Names that several rooms have, and what they all mean.
SHARED = {
    "HARD": "hard targets: the arm of them, and its colour",
    "RISK": "the share of errors at which coverage is told",
    "SEEDS": "which seeds of a setting are asked for: those of the profiles, and other ones of a chapter",
    "SPLITS": "training, held-out and test data; a chapter has what its pages call them",
    "advice": "what to do with a model, in sentences, by rules that the page states",
    "build": "the command of that name, and what it calls",
    "difference": "of a measure between two models or arms, with its interval",
    "main": "the command line; the one in `__main__` is of the process, whatever interrupts it",
    "numbers": "what the sentences of a page show: a chapter computes them, `outputs` puts them there",
    "reliability": "reliability diagrams: what computes one, and those that a chapter shows",
    "resamples": "how often each example is drawn in a bootstrap",
    "run": "the run of a profile; a chapter's has what is particular to it",
    "runs": "runs as a table or list: the command of that name, and those that a chapter asks for",
    "steps_done": "of a run on this machine; the runner's is 0 where there is no torch",
    "sweep": "the command of that name, and what it calls",
    "table": "the table of a page, which has one",
    "torchrun_session": "the runner's is the training side's, imported when processes are there to train together",
    "train": "the command of that name, and what it comes to in the end",
}


def public(path: Path) -> Iterator[str]:
    """Names that a module defines for others; variables of types are read in signatures only."""
    for node in ast.parse(path.read_text()).body:
        found: list[str] = []
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found = [node.name]
        elif isinstance(node, ast.Assign) and not ast.unparse(node.value).startswith("TypeVar("):
            names = [name for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            found = [name.id for name in names if isinstance(name.ctx, ast.Store)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found = [node.target.id]
        yield from (name for name in found if not name.startswith("_"))


def test_rooms_share_names_of_ideas_that_they_share():
    rooms = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        for name in public(path):
            rooms[name].add(path.relative_to(PACKAGE).parts[0])
    several = {name: sorted(found) for name, found in rooms.items() if len(found) > 1}
    for name in [name for name in several if name.endswith("_figure")]:  # what draws it, and a page's with its data
        del several[name]
    assert {name: found for name, found in several.items() if name not in SHARED} == {}
    assert SHARED.keys() <= several.keys()  # none that has become of one room
