"""Records made to take over the site: what they say is shown, and nothing more comes of it."""

import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from lsbook.chapters import machine_translation
from lsbook.chapters.shared.comparison import HARD, smoothing_arm
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.store import Store

PROJECT = Path(__file__).parents[2]
SECRET = "what nobody else should read"
# The secret lies three folders above the source of a page.
MARKUP = (
    "{download}`x <../../../s.txt>` ![x](../../../s.svg) <script>ran = 1</script> <img src=x onerror=ran=1> "
    "<a href=javascript:ran=1>x</a> https://example.com | $x$ {{ env }} **x** [x](x.md)"
)
KINDS = {"control characters": "a\x1b[2J\x00b", "huge": "x" * 10**5, "a huge number": 10**400, "wrong type": [[{}]]}
LINES = ("python", "torch", "numpy", "device", "precision", "commit", "signatures", "data.variant")
CELLS = [
    """from lsbook import outputs
from lsbook.chapters import machine_translation, overview, status
from lsbook.core.store import Store
from lsbook.outputs.provenance import describe_records
records = list(Store())
hard, smoothed = sorted((record for record in records if record.run.vocabulary), key=lambda record: record.run.alpha)
word = str(hard.arrays["words"][0])
outputs.begin()
outputs.numbers(word=word, made_from=describe_records(records))""",
    "overview.recorded()",
    "status.runs()",
    """from dataclasses import replace
from lsbook.chapters.shared.comparison import HARD, Comparison, smoothing_arm
arms = replace(HARD, records=[hard]), replace(smoothing_arm(0.1), records=[smoothed])
machine_translation.example_text(Comparison("smoke", arms))""",
    "outputs.Text(word)",
    "outputs.Widget('target', word, {word: word})",
    "print(word)",
    """import matplotlib.pyplot as plt
plt.subplots(figsize=(3, 2))[1].set_title(word)
plt.show()""",
]
PLOT = {"figure": {"name": "figure-x", "caption": "{glue:text}`made_from`"}, "image": {"alt": "A name."}}


def run(seed: int) -> Run:
    return Run(dataset="digits", model="mlp", alpha=0.1, seed=seed, recipe=Recipe(steps=1, batch=1), examples=1)


def sealed(text: dict, arrays: bytes) -> dict[str, bytes]:
    """The files of a record that says this."""
    files = {"arrays.npz": arrays, "record.json": json.dumps(text).encode()}
    lines = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    return files | {"SHA256SUMS": "".join(lines).encode()}


def spoiled(text: dict):
    """The record with each of its fields in turn holding something else, or missing: (field, kind, text)."""

    def places(values, above=()):
        for name, value in values.items():
            yield (*above, name)
            if isinstance(value, dict):
                yield from places(value, (*above, name))

    for place in places(text):
        for kind, value in {"markup": MARKUP, **KINDS, "missing": None}.items():
            changed = copy.deepcopy(text)
            parent = changed
            for name in place[:-1]:
                parent = parent[name]
            if kind == "missing":
                del parent[place[-1]]
            elif place[-1] == "signatures":
                parent["signatures"] = {"BLEU": value}
            else:
                parent[place[-1]] = value
            yield ".".join(place), kind, changed


@pytest.fixture(scope="module")
def record(tmp_path_factory, environment) -> tuple[dict, bytes]:
    """What a record says, and its arrays."""
    store = Store(tmp_path_factory.mktemp("one"))
    signed = environment | {"signatures": {"BLEU": "x"}}
    found = store.put(run(0), metrics={"test_accuracy": 0.5}, history={"step": [1]}, environment=signed, arrays={})
    return json.loads(found.text()), found.files()["arrays.npz"]


def test_of_all_that_may_stand_in_a_field_only_printable_lines_are_read(record, tmp_path):
    """By whoever reads it: `verify`, a chapter that asks for the run, and the build, which publishes all of a store."""
    text, arrays = record
    store, read = Store(tmp_path), set()
    folder = tmp_path / run(0).folder
    folder.mkdir(parents=True)
    for field, kind, changed in spoiled(text):
        for name, content in sealed(changed, arrays).items():
            (folder / name).write_bytes(content)
        problems = store.verify()
        if problems == []:
            assert [found.run for found in store] == [store.get(run(0)).run]
            read.add((field, kind))
            continue
        [problem] = problems
        assert len(problem) < 400
        assert problem.isprintable()
        for reading in (lambda: store.get(run(0)), lambda: list(store)):
            with pytest.raises(UserError) as caught:
                reading()
            assert str(caught.value).isprintable()
    lines = {f"environment.{name}" for name in LINES} - {"environment.signatures"} | {"environment.signatures.BLEU"}
    needless = {"environment.signatures", "environment.signatures.BLEU", "environment.tokens_per_second"}
    shrunk = {("metrics.test_accuracy", "missing"), ("history.step", "missing")}
    markup = {(line, "markup") for line in (*lines, "environment.signatures")}
    assert read == markup | shrunk | {(field, "missing") for field in needless}


@pytest.fixture(scope="module")
def site(browser, tmp_path_factory, environment) -> Path:
    """Pages that show records whose every string is markup, and a file of the reader's that is none of their business.

    Built in a process of its own: Playwright's event loop runs in this one.
    """
    root = tmp_path_factory.mktemp("hostile")
    (root / "s.txt").write_text(SECRET)
    (root / "s.svg").write_text(f"<svg xmlns='http://www.w3.org/2000/svg'><title>{SECRET}</title></svg>")
    store = Store(root / "results")
    for seed, line in enumerate(LINES):
        changed = copy.deepcopy(environment)
        parent, name = (changed["data"], "variant") if "." in line else (changed, line)
        parent[name] = {MARKUP: MARKUP} if line == "signatures" else MARKUP
        metrics = {"test_accuracy": 0.5}
        store.put(run(seed), metrics=metrics, history={}, environment=changed, arrays={})
    arrays = {
        "words": np.array([MARKUP]),
        "example_sources": np.array([MARKUP]),
        "example_references": np.array([MARKUP]),
        "example_confidences": np.array([1, 0.5, 1], np.float16),
        "example_lengths": np.array([3], np.uint16),
    }
    for arm, piece in ((HARD, MARKUP), (smoothing_arm(0.1), f"▁{MARKUP}")):
        arrays["example_pieces"] = np.array([f"▁{MARKUP[:190]}", piece, "</s>"])
        translated = machine_translation.run("laptop", arm, 0)
        store.put(translated, metrics={"test_accuracy": 0.5}, history={}, environment=environment, arrays=arrays)
    hidden = root / "results" / "digits-mlp" / ".hidden"
    hidden.mkdir()
    (hidden / "record.json").symlink_to(root / "s.txt")
    project(root / "project")
    build(root)
    return root / "_build" / "html"


def project(root: Path) -> None:
    """A book of an index and of one chapter, which shows all that it can of the records."""
    (root / "book").mkdir(parents=True)
    for name in ("_config.yml", "_static", "benchmarks", "book/_extra", "book/references.bib"):
        path = PROJECT / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, root / name)
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n  - file: book/status\n")
    (root / "book" / "index.md").write_text("# Index\n\n{cite:t}`muller2019`\n\n```{bibliography}\n```\n")
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    notebook.cells = [nbformat.v4.new_markdown_cell("# Status\n\n{glue:text}`word` {glue:text}`made_from`")]
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook.cells[-1].metadata["mystnb"] = PLOT
    nbformat.write(notebook, root / "book" / "status.ipynb")


def build(root: Path) -> None:
    command = [sys.executable, "-m", "lsbook", "build", "--out", root / "_build"]
    results = {"LSBOOK_RESULTS": str(root / "results")}
    subprocess.run(command, cwd=root / "project", env=os.environ | results, check=True)


def test_no_file_from_outside_is_in_the_site(site):
    found = [path for path in site.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert found == []
    assert (site / "book" / "status.html").is_file()


def test_records_are_published_as_they_were_checked(site):
    published = {path.stem: json.loads(path.read_text()) for path in (site / "records").iterdir()}
    assert published == {record.run.key: json.loads(record.text()) for record in Store(site.parents[1] / "results")}


@pytest.mark.parametrize("served", [True, False], ids=["served", "opened as a file"])
def test_a_reader_sees_what_records_say_and_nothing_happens(browser, serve, site, served):
    own = serve(site) if served else site.as_uri()
    page = browser.new_page()
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.goto(f"{own}/book/status.html")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("typeof ran") == "undefined"
    assert [url for url in asked if not url.startswith((own, "data:"))] == []
    assert errors == []
    article = page.locator("article")
    scripts = "script:not([type='application/json'], [src^='../explorer/'])"  # the latter draw our own widgets
    assert article.locator(f"{scripts}, iframe, object, embed, form:not(.explorer form)").count() == 0
    addresses = article.locator("a").evaluate_all("links => links.map((a) => a.href)")
    assert [address for address in addresses if not address.startswith(own)] == []
    shown = article.inner_text()
    assert shown.count(MARKUP) >= 2 * len(LINES)
    page.close()


def test_a_record_that_is_refused_ends_the_build_in_one_line(site, environment):
    root = site.parents[1]
    text = json.loads(Store(root / "results").get(run(0)).text())
    text["environment"]["device"] = KINDS["control characters"]
    shutil.copytree(root / "results", root / "refused" / "results")
    for name, content in sealed(text, (root / "results" / run(0).folder / "arrays.npz").read_bytes()).items():
        (root / "refused" / "results" / run(0).folder / name).write_bytes(content)
    command = [sys.executable, "-m", "lsbook", "build", "--out", root / "refused" / "_build"]
    results = {"LSBOOK_RESULTS": str(root / "refused" / "results")}
    done = subprocess.run(command, cwd=root / "project", env=os.environ | results, capture_output=True, text=True)
    assert done.returncode == 2
    [said] = [line for line in done.stderr.splitlines() if "failed" in line]
    assert said.isprintable()
    assert said.startswith("lsbook: chapter status, cell 2 failed: recorded run ")
    assert "environment.device: Value error, must be one printable line" in said
    assert "Traceback" not in done.stderr
    assert not (root / "refused" / "_build" / "html").exists()
