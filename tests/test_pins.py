"""What is fetched to build, test and publish is named exactly, so that it changes only when a file here does.

The book is made with what has the hashes that are written down here. The training side has none: torch's build for
CPUs, which is taken where there is one, is another file than the one of the same version that comes with CUDA.
"""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_every_action_is_a_commit():
    """Its tag is a comment: whoever owns the action can move it."""
    used = [
        line.partition("uses:")[2].strip()
        for path in (PROJECT / ".github" / "workflows").iterdir()
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]
    assert len(used) >= 4
    assert [line for line in used if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} +# v\d+\.\d+\.\d+", line)] == []


def test_the_oldest_python_that_is_promised_and_the_newest_are_tried():
    """On every change by the workflow; for all between, whether the pins resolve."""
    promised = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    matrix = re.findall(r'{python: "([\d.]+)"', (PROJECT / ".github" / "workflows" / "book.yml").read_text())
    [resolved] = re.findall(r'versions=\("\${@:-([\d. ]+)}"\)', (PROJECT / ".ci" / "pins").read_text())
    assert promised == f">={matrix[0]}"
    assert resolved.split() == ["3.12", "3.13", matrix[1]]
    assert ".ci/pins" in (PROJECT / ".ci" / "run").read_text().splitlines()


def test_what_builds_the_package_is_pinned_as_everything_else_is():
    pins = [line for line in (PROJECT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert set(tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]) <= set(pins)


def test_what_the_book_is_made_with_has_a_hash_and_the_version_that_is_pinned():
    pins = (PROJECT / "requirements.txt").read_text().lower().replace("_", "-").split()
    wanted = hashed("requirements-book.txt")
    assert len(wanted) > 100
    for line in wanted:
        assert line.split()[0].lower().replace("_", "-") in pins, line
    named = {re.split("[>=<]", need)[0].lower().replace("_", "-") for need in needs("book")}
    assert named <= {line.partition("==")[0] for line in wanted}


def test_what_installs_it_has_a_hash():
    [line] = hashed("requirements-uv.txt")
    assert line.startswith("uv==")


def hashed(name: str) -> list[str]:
    """The requirements of a list of which `make` installs only what has the hashes in it, a line each."""
    assert f"--require-hashes --requirement {name}" in (PROJECT / "Makefile").read_text()
    text = re.sub(r"^#.*\n", "", (PROJECT / name).read_text(), flags=re.MULTILINE)
    lines = text.replace(" \\\n", " ").splitlines()
    assert [line for line in lines if not re.search(r"( --hash=sha256:[0-9a-f]{64})+$", line)] == []
    return lines


def needs(extra: str) -> list[str]:
    """What pyproject.toml says that the package and this extra need, and what builds it."""
    text = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    project = text["project"]
    return [*project["dependencies"], *project["optional-dependencies"][extra], *text["build-system"]["requires"]]


def test_what_is_installed_apart_from_the_package_has_a_hash():
    lines = [line for path in (PROJECT / ".ci").iterdir() for line in path.read_text().splitlines()]
    apart = [line for line in lines if re.search(r"^[\w.-]+==", line)]
    assert len(apart) == 1
    assert all(re.search(r" --hash=sha256:[0-9a-f]{64}$", line) for line in apart)
    assert not any(re.search("install.*==", line) for line in lines)
