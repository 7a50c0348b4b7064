"""Names and prose use the terms of the field: none that only this project's history would explain."""

import ast
import json
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
ROOMS = (
    "analysis",
    "assess",
    "chapters",
    "core",
    "data",
    "evidence",
    "figures",
    "models",
    "outputs",
    "recipes",
    "runner",
    "site",
)
ROOMS += ("training",)
SOURCES = sorted(path for room in ROOMS for path in (PROJECT / "lsbook" / room).rglob("*.py"))
SOURCES += sorted((PROJECT / "benchmarks").glob("*.py"))

# A word that no part of a name is, and the term to use.
NAMES = {
    "alone": "baseline, or a run without a teacher",
    "aside": "untracked",
    "bank": "teacher_logits",
    "banks": "teacher_logits",
    "board": "ProgressTable",
    "course": "TrainingState, SweepState",
    "every": "all_gather, all_views",
    "first_layer": "first_layer_lr_scale",
    "foretold": "predicted",
    "hear": "captured",
    "heard": "captured",
    "lesson": "distillation_target",
    "likeness": "similarity",
    "of": "from_recipe, from_rows",
    "passes": "epochs",
    "rightly": "correctly",
    "tell": "report",
    "together": "run to completion",
    "told": "broadcast",
    "watch": "trace",
}
RECORDED = {"first_layer"}  # names of fields in records, which stay
# What no text says, and what to say. Only what cannot be ordinary English.
PHRASES = {
    r"number formats?\b": "precision",
    r"\brightly\b": "correctly",
    r"\blikeness\b": "similarity",
    r"\bforetold\b": "predicted",
    r"\bregular triangles?\b": "equilateral triangle",
    r"\bbest\s+(logit\s+)?gap\b": "optimal gap",
    r"\bhard networks?\b": "network trained with hard targets",
    r"\bstudents? alone\b": "student without a teacher (baseline)",
    r"\bequal softness\b": "equal smoothness index γ",
    r"\breduced regime\b": "small-scale setting",
    r"\bshare of chance\b": "bias-corrected",
    r"\bpasses (through|over|done)\b": "epochs",
    r"\blessons?\b": "distillation target",
    r"\b(?<!f )banks?\b(?!-)": "teacher logits",
}


def names(source: str) -> set[str]:
    """Everything that a module defines for others: functions, classes, their parameters and fields, constants."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        if isinstance(node, ast.Module | ast.ClassDef):
            for statement in node.body:
                targets = getattr(statement, "targets", [getattr(statement, "target", None)])
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def parts(name: str) -> set[str]:
    """A name, without what makes it private, and the words of it, in lower case: `_TrainedAlone` -> trained, alone."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {name.strip("_").lower(), *(word.lower() for word in words)} - ({"of"} if len(words) > 1 else set())


def faults(source: str, python: bool = True) -> list[str]:
    """What is wrong with a source's names and text."""
    defined = names(source) - RECORDED if python else set()
    words = {(name, word) for name in defined for word in parts(name) & NAMES.keys()}
    found = [f"{name}: not {word} but {NAMES[word]}" for name, word in sorted(words)]
    for phrase, term in PHRASES.items():
        found += [f"not {match[0]!r} but {term}" for match in re.finditer(phrase, source)]
    return found


def test_pages_and_chapters_speak_as_the_field_does():
    """What their authors wrote, and what their code puts into sentences."""
    texts = {path.name: path.read_text() for path in (PROJECT / "lsbook" / "chapters").rglob("*.py")}
    texts |= {path.name: path.read_text() for path in (PROJECT / "book").glob("*.md")}
    for path in (PROJECT / "book").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        texts[path.name] = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert len(texts) > 20
    assert {name: found for name, text in texts.items() if (found := faults(text, python=False))} == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_names_and_prose_are_those_of_the_field(path):
    assert faults(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "def told(value): ...",
        "class _Course: ...",
        "class Notes:\n    def tell(self): ...",
        "class Run:\n    passes: int",
        "def f(number, every=1): ...",
        "def of(recipe): ...",
        "TEACHER_BANK = 1",
        "x = 1  # in its number format",
        '"""The best gap."""',
        "label = 'passes through the training images'",
        '"""Rows of a bank."""',
    ],
)
def test_each_kind_of_fault_is_found(source):
    assert len(faults(source)) == 1


@pytest.mark.parametrize(
    "source",
    ["def number_of_views(): ...", "def everything(): ...", "noun = 'f Bank Bänke'", "path = f'bank-{key}.npy'"],
)
def test_what_only_looks_like_it_passes(source):
    assert faults(source) == []
