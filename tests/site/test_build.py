"""A book of two small notebooks, built with the project's own configuration."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from lsbook.core import paths
from lsbook.core.errors import UserError
from lsbook.site import build, execute, isolation, printing, provenance

PROJECT = Path(__file__).parents[2]
PARAMETERS = """\
profile: str = "smoke"  # which runs
alpha: float = 0.1  # smoothing
seeds: int = 2  # how many
show: bool = True  # or not
"""
FIGURE = """\
from matplotlib.figure import Figure as Drawing
from lsbook import outputs

def draw(width):
    drawing = Drawing((width, 3))
    drawing.subplots().plot([alpha, 1.0])
    return drawing

outputs.begin()
outputs.Figure(draw)
"""
DESCRIBED = {
    "figure": {"name": "figure-line", "caption": "A line."},
    "image": {"alt": "One line, which rises."},
}
USING = """\
from lsbook.core.store import Store
from lsbook.outputs import Table, cell_frame
[record] = Store()
Table("table-seed", "A run.", cell_frame(("seed",), [(str(record.run.seed),)]), [record])
"""
REFUSING = """\
from lsbook.core.errors import UserError
raise UserError("no such class")
"""
NO_KERNEL = {"argv": ["false"], "display_name": "Python 3", "language": "python"}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
WATCHING = """\
import sys

def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.connect", "socket.sendto"):
        host = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        host = host[0] if isinstance(host, tuple) else host
        if host not in ("127.0.0.1", "localhost", "::1", None):
            with open({log!r}, "a") as log:
                print(host, file=log)

sys.addaudithook(watch)
"""
TABLE_OF_CONTENTS = """\
format: jb-book
root: book/index
chapters:
  - file: book/first
    sections:
      - file: book/second
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Root of a project whose book has an index page and two notebooks; the working directory meanwhile."""
    root = tmp_path_factory.mktemp("project")
    (root / "book").mkdir()
    (root / "_toc.yml").write_text(TABLE_OF_CONTENTS)
    shutil.copy(PROJECT / "_config.yml", root)
    shutil.copytree(PROJECT / "_static", root / "_static")
    shutil.copytree(PROJECT / "book" / "_extra", root / "book" / "_extra")
    shutil.copy(PROJECT / "book" / "references.bib", root / "book")
    (root / "book" / "index.md").write_text(
        "# Index\n\nSee [](second.ipynb) and {cite:t}`muller2019`.\n\n```{bibliography}\n```\n"
    )
    write_chapter(root, "first", "print('a progress bar', file=__import__('sys').stderr)\nprint(profile, alpha + 1)")
    write_chapter(root, "second", FIGURE, mystnb=DESCRIBED)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield root


@pytest.fixture(scope="module")
def built(project):
    """Folder of the book's pages, with alpha = 0.25. Where there is a browser, the book is printed as well."""
    return build.build(parameters={"alpha": "0.25"}, pdf=any(map(shutil.which, printing.BROWSERS))).parent


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Root of a project of two chapters, of which the second uses the one recorded run; and its executed build."""
    root = tmp_path_factory.mktemp("small")
    (root / "book").mkdir()
    (root / "_static").mkdir()
    (root / "_config.yml").write_text("# read by lsbook.site.build\n")
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/first\nchapters:\n  - file: book/second\n")
    write_chapter(root, "first", "print(alpha)")
    write_chapter(root, "second", USING)
    record = next((PROJECT / "results").glob("mnist-mlp/*/record.json")).parent
    shutil.copytree(record, root / "results" / record.parent.name / record.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSBOOK_RESULTS", str(root / "results"))
        patch.chdir(root)
        build.build(notebook=True)
        yield root


def write_chapter(root: Path, name: str, code: str, parameters: str = PARAMETERS, **metadata) -> None:
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    notebook.cells = [
        nbformat.v4.new_markdown_cell(f"# Chapter {name}\n\nThe gap is $\\log(1/\\alpha)$.", id="title"),
        nbformat.v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(code, id="code", metadata=metadata),
    ]
    nbformat.write(notebook, root / "book" / f"{name}.ipynb")


def digests(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture
def restored(project):
    """The second chapter's path; the test may change it."""
    path = project / "book" / "second.ipynb"
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


def test_chapters_are_those_of_the_table_of_contents_in_order(project):
    assert build.chapter_names() == ["index", "first", "second"]


def test_every_way_to_declare_a_parameter_is_known(project, restored):
    """With several types or none; a value is the first of them that it can be."""
    cell = """
import math
factors: float | str = "auto"
most: int | None = None
bins: "int | str" = 15
plain = 0.5
first = second = True
sizes: list[int] = [1, -2]
"""
    write_chapter(project, "second", "", parameters=cell)
    given = {
        "factors": ("0.9", "1,3"),
        "most": ("none", "7"),
        "bins": ("auto", "20"),
        "plain": ("1", "0.25"),
        "first": ("true", "False"),
        "second": ("TRUE", "false"),
        "sizes": ("[3]", "{[]: 1}"),
    }
    values = [(0.9, "1,3"), (None, 7), ("auto", 20), (1.0, 0.25), (True, False), (True, False), ([3], "{[]: 1}")]
    assert {name: default for name, (_, default) in build.declared("second").items()} == {
        **{"factors": "auto", "most": None, "bins": 15, "plain": 0.5, "first": True, "second": True, "sizes": [1, -2]}
    }
    for place in (0, 1):
        texts = {name: pair[place] for name, pair in given.items()}
        read = build.check_parameters("second", texts)
        assert list(read.values()) == [pair[place] for pair in values]
        assert list(map(type, read.values())) == [type(pair[place]) for pair in values]
    for name, text in {"most": "many", "plain": "auto"}.items():
        with pytest.raises(UserError, match=f"parameter {name} takes a value of type .*, not '{text}'"):
            build.check_parameters("second", {name: text})


@pytest.mark.parametrize("cell", ["alpha = beta", "alpha: float", "alpha = ", "alpha, beta = 1, 2", "alpha = {[]: 1}"])
def test_a_parameter_without_a_plain_value_is_refused(project, restored, cell):
    write_chapter(project, "second", "", parameters=cell)
    with pytest.raises(UserError, match="chapter second: its parameters must be names with plain values"):
        build.build(["second"], parameters={"alpha": "1"})


def test_parameters_get_the_type_of_their_annotation(project):
    given = {"alpha": "0.2", "seeds": "3", "show": "false", "profile": "paper"}
    assert build.check_parameters("first", given) == {"alpha": 0.2, "seeds": 3, "show": False, "profile": "paper"}
    alpha = build.check_parameters("first", {"alpha": 0})["alpha"]
    assert (alpha, type(alpha)) == (0.0, float)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["third"]}, "unknown chapter 'third': choose from index, first, second"),
        ({"parameters": {"alhpa": "0.2"}}, "unknown parameter 'alhpa': choose from profile, alpha, seeds, show"),
        ({"parameters": {"alpha": "much"}}, "alpha takes a value of type float, not 'much'"),
        ({"parameters": {"seeds": 2.5}}, "seeds takes a value of type int, not 2.5"),
        ({"parameters": {"show": "2"}}, "show takes a value of type bool, not '2'"),
        ({"names": ["index"], "profile": "smoke"}, "unknown parameter 'profile'"),
        ({"out": "a file"}, "a file: File exists"),
        ({"out": "_config.yml"}, "_config.yml is among the sources of the book"),
        ({"out": "book/html"}, "book/html is among the sources of the book"),
        ({"out": "others"}, "others/html is in the way"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(project, arguments, message):
    (project / "others" / "html" / "thesis").mkdir(parents=True, exist_ok=True)
    (project / "a file").touch()
    with pytest.raises(UserError, match=re.escape(message)):
        build.build(**arguments)
    assert not (project / "others" / "source").exists()


def test_outputs_come_from_the_given_parameters(built):
    assert "smoke 1.25" in (built / "book" / "first.html").read_text()


def test_the_notebook_to_download_has_no_progress_bars_and_no_timings(built):
    text = (built / "_sources" / "book" / "first.ipynb").read_text()
    outputs = nbformat.reads(text, as_version=4).cells[-1].outputs
    assert [(output.name, output.text) for output in outputs] == [("stdout", "smoke 1.25\n")]
    assert "_time" not in text


def test_the_notebook_to_download_runs_elsewhere(built, tmp_path):
    path = built / "_sources" / "book" / "first.ipynb"
    again = papermill.execute_notebook(path, tmp_path / "again.ipynb", cwd=tmp_path, progress_bar=False)
    assert "smoke 1.25\n" in [output.text for output in again.cells[-1].outputs]


def test_every_image_is_there(built):
    images = [
        (page.parent / source).resolve()
        for page in built.rglob("*.html")
        for source in re.findall(r'<img\b[^>]*?\bsrc="([^"]+)"', page.read_text())
    ]
    assert any(image.suffix == ".svg" for image in images)
    assert [image for image in images if not image.is_file()] == []


def test_no_page_loads_anything_from_another_host(built):
    for page in built.rglob("*.html"):
        tags = re.findall(r"<(?:script|link|img|iframe|source|object|embed)\b[^>]*>", page.read_text())
        assert [tag for tag in tags if re.search(r'(?:src|href|data)="(?:https?:)?//', tag)] == [], page
        inline = "".join(re.findall(r"<script\b[^>]*>(.*?)</script>", page.read_text(), re.DOTALL))
        assert re.findall(r"https?://\S+", inline) == [], page
    assert 'src="../_static/../mathjax/tex-svg.js?' in (built / "book" / "first.html").read_text()
    assert (built / "mathjax" / "tex-svg.js").is_file()


def test_pages_lead_to_published_sources_where_there_are_any_and_else_hint_at_none(project, built, tmp_path):
    settings = project / "_config.yml"
    before = settings.read_text()
    address = "https://github.com/somebody/lsbook"
    try:
        settings.write_text(before.replace('url: ""', f'url: "{address}"'))
        page = (build.build(["first"], out=tmp_path).parent / "book" / "first.html").read_text()
    finally:
        settings.write_text(before)
    wanted = [
        f"{address}/edit/main/book/first.ipynb",
        f"{address}/issues/new",
        "https://mybinder.org/v2/gh/somebody/lsbook/main",
        "https://colab.research.google.com/github/somebody/lsbook/blob/main/book/first.ipynb",
    ]
    assert [link for link in wanted if link not in page] == []
    without = (built / "book" / "first.html").read_text()
    assert [word for word in ("mybinder", "colab", "issues/new", "/edit/") if word in without] == []


# What a reader may have in their home, and in their environment, that would change what chapters do.
AT_HOME = {
    ".config/matplotlib/matplotlibrc": "lines.linewidth: 9\naxes.facecolor: red\n",
    ".ipython/profile_default/startup/00.py": "print('hello')\n",
    ".ipython/profile_default/ipython_config.py": "c.InteractiveShell.ast_node_interactivity = 'all'\n",
    ".local/share/jupyter/kernels/python3/kernel.json": json.dumps(NO_KERNEL),
    ".local/share/jupyter/kernels/lsbook/kernel.json": json.dumps(NO_KERNEL),
    ".jupyter/jupyter_config.py": "raise SystemExit('not this one')\n",
    ".docutils": "[general]\ngenerator: yes\nstrip_comments: yes\nsection_numbering: no\n",
    "startup.py": "print('hello')\n",
    "matplotlibrc": "lines.linewidth: 9\n",
    "tqdm.py": "raise SystemExit('not this one')\n",
}
SETTINGS = {
    "HOME": "{home}",
    "MATPLOTLIBRC": "{home}/matplotlibrc",
    "MPLCONFIGDIR": "{home}/.config/matplotlib",
    "MPLBACKEND": "svg",
    "JUPYTER_PATH": "{home}/.local/share/jupyter",
    "JUPYTER_CONFIG_DIR": "{home}/.jupyter",
    "IPYTHONDIR": "{home}/.ipython",
    "PYTHONSTARTUP": "{home}/startup.py",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONIOENCODING": "utf-16",
    "LC_ALL": "tr_TR.UTF-8",
    "TZ": "Asia/Kathmandu",
    "COLUMNS": "20",
    "FORCE_COLOR": "1",
}


def test_a_second_build_gives_the_same_bytes_and_asks_no_other_host(built, tmp_path, monkeypatch):
    """Whatever the reader's settings are. Every Python process of it, kernels and Sphinx among them, notes whom it
    looks up or connects to."""
    for name, text in AT_HOME.items():
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).write_text(text)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value.format(home=tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr(paths, "__file__", str(built.parents[1] / "lsbook" / "core" / "paths.py"))
    (tmp_path / "sitecustomize.py").write_text(WATCHING.format(log=str(tmp_path / "asked")))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    asking = "import socket; socket.create_connection(('host.invalid', 80))"
    assert subprocess.run([sys.executable, "-P", "-c", asking], stderr=subprocess.DEVNULL).returncode == 1
    assert (tmp_path / "asked").read_text().split() == ["host.invalid"]
    (tmp_path / "asked").unlink()
    again = build.build(parameters={"alpha": 0.25}, out=tmp_path / "again").parent
    assert digests(again) == digests(built)
    assert not (tmp_path / "asked").exists()


# What may be in /etc of a machine that is not ours.
OF_THE_MACHINE = {
    "ipython/ipython_config.py": "c.InteractiveShell.ast_node_interactivity = 'all'\nprint('hello')\n",
    "ipython/startup/00.py": "print('hello')\n",
    "jupyter/jupyter_config.py": "raise SystemExit('not this one')\n",
    "matplotlibrc": "lines.linewidth: 9\naxes.facecolor: red\n",
    "docutils.conf": "[general]\ngenerator: yes\nstrip_comments: yes\nsection_numbering: no\n",
    "gitconfig": "[log]\nshowSignature = true\n",
}
BARE = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
# A folder seen at /mnt by somebody whom the system does not know and who may write only what is theirs.
AS_NOBODY = """
set -e
mount --bind "$0" /mnt
mount --bind "$0/etc" /etc
cd /mnt
exec setpriv --reuid=12345 --regid=12345 --clear-groups \
  --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search "$@"
"""


@pytest.fixture
def somebody(tmp_path):
    """Runs a command line of ours at an ASCII terminal, and where that can be on a machine with settings of its own, as
    a user without a name and a home."""
    command, root = [], tmp_path
    if not os.geteuid():
        subprocess.run(["cp", "--archive", "/etc", tmp_path], check=True)
        for name, text in OF_THE_MACHINE.items():
            (tmp_path / "etc" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "etc" / name).write_text(text)
        command, root = ["unshare", "--mount", "sh", "-c", AS_NOBODY, tmp_path], Path("/mnt")
        if subprocess.run([*command, "true"], capture_output=True).returncode:
            pytest.skip("nobody else may run something here")
    tmp_path.chmod(0o755)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "temporary").chmod(0o777)
    environment = BARE | {"TMPDIR": str(root / "temporary")}
    start = "import os, sys; os.chdir(sys.argv.pop(1)); from lsbook.__main__ import main; main()"
    command += [sys.executable, "-OO", "-c", start]

    def run(folder: str, *arguments: str) -> tuple[int, str, str]:
        done = subprocess.run([*command, folder, *arguments], cwd=tmp_path, env=environment, capture_output=True)
        return done.returncode, done.stdout.decode().replace(str(root), str(tmp_path)), done.stderr.decode()

    return run


def test_anybody_may_build_from_what_they_can_only_read(project, built, somebody, tmp_path):
    """With assertions and docstrings stripped, and braces and more in the paths. The advice of the first try helps; a
    build comes after one that ended early, whose copies of the sources may not be written either."""
    source, out = tmp_path / "{sources} [of] another's %20 ü", tmp_path / "{alpha} {}"
    shutil.copytree(project, source, ignore=shutil.ignore_patterns("_build", "others", "a file"))
    out.mkdir()
    out.chmod(0o777)
    for path in (*source.rglob("*"), source):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        code, said, refused = somebody(source.name, "build", "-p", "alpha", "0.25")
        assert (code, said, refused.count("\n")) == (2, "", 1)
        assert refused.startswith("lsbook: cannot build in ")
        assert "Permission denied" in refused
        assert "choose another --out" in refused
        arguments = "build", "-p", "alpha", "0.25", "--out", f"../{out.name}"
        assert somebody(source.name, *arguments, "first", "--notebook")[0] == 0
        assert (out / "source" / "book" / "first.ipynb").is_file()
        code, said, complaint = somebody(source.name, *arguments)
        assert (code, Path(said.strip()).resolve()) == (0, out / "html" / "index.html"), complaint
        assert digests(out / "html") == digests(built)
    finally:
        for path in (source, *source.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)


@pytest.fixture
def quick(project, monkeypatch):
    """Builds the index alone in a folder, not by Jupyter Book: its pages are the mark of a build and these texts."""

    def render(source, environment, strict):
        made = source / "_build" / "html"
        (made / "deep").mkdir(parents=True)
        (made / "searchindex.js").touch()
        for name, text in texts.items():
            (made / name).write_text(text)
        return made

    def pages_in(out: Path, **pages: str) -> Path:
        texts.clear()
        texts.update({name.replace("__", "/"): text for name, text in pages.items()})
        return build.build(["index"], out=out).parent

    texts = {}
    monkeypatch.setattr(build, "_render", render)
    return pages_in


@pytest.fixture
def mount(request):
    """A function that mounts something on a new folder, for as long as the test lasts."""

    def at(folder: Path, *what: str | Path) -> None:
        if os.geteuid():
            pytest.skip("only root may mount")
        folder.mkdir()
        if subprocess.run(["mount", *what, folder], capture_output=True).returncode:
            pytest.skip("mounting is not allowed here")
        request.addfinalizer(lambda: subprocess.run(["umount", "--lazy", folder], check=True))

    return at


def found(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "place", ["folder", "link", "broken link", "mount point", "link to a mount point", "bound folder"]
)
def test_pages_come_to_where_the_folder_is(quick, tmp_path, mount, place):
    """Those of an earlier build go, and what is hidden beside them stays where the folder has to."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    html = out / "html"
    out.mkdir()
    if place == "link":
        elsewhere.mkdir()
    if "link" in place:
        html.symlink_to(elsewhere)
    if place == "bound folder":
        elsewhere.mkdir()
        mount(html, "--bind", elsewhere)
    elif "mount" in place:
        mount(elsewhere if "link" in place else html, "-t", "tmpfs", "tmpfs")
    kept = place not in ("folder", "link", "broken link")
    for pages in ({"index.html": "1", "deep__first.html": "1"}, {"index.html": "2", "deep__second.html": "2"}):
        assert quick(out, **pages) == html
        expected = {name.replace("__", "/"): text for name, text in pages.items()} | {"searchindex.js": ""}
        assert found(html) == expected | ({".git": "mine"} if kept and pages["index.html"] == "2" else {})
        (html / ".git").write_text("mine")
    assert html.is_symlink() == ("link" in place)
    assert sorted(path.name for path in out.iterdir()) == [".lock", "html", "source"]


def test_the_sources_copy_may_be_a_link_or_full_of_what_a_build_left(quick, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (elsewhere / "book" / "old").mkdir(parents=True)
    (elsewhere / "_toc.yml").touch()
    (elsewhere / "link").symlink_to(PROJECT)
    out.mkdir()
    (out / "source").symlink_to(elsewhere)
    for text in ("1", "2"):
        quick(out, **{"index.html": text})
        assert sorted(path.name for path in elsewhere.iterdir() if path.name != ".home") == sorted(
            ["_build", "_config.yml", "_static", "_toc.yml", "book", "provenance.json"]
        )
        assert not (elsewhere / "book" / "old").exists()


def test_what_cannot_be_written_half_way_is_one_line(quick, tmp_path, monkeypatch):
    quick(tmp_path, **{"index.html": "1"})

    def full(*_):
        raise OSError(28, "No space left on device", "a page")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match="cannot build in .*: No space left on device .a page.; choose another --out"):
        quick(tmp_path, **{"index.html": "2"})
    assert found(tmp_path / "html") == {"index.html": "1", "searchindex.js": ""}


def test_all_chapters_are_printed(built, chromium):
    """The index begins the first page, the first chapter, which the second belongs to, another."""
    pages = re.search(rb"/Count (\d+)", (built.parent / "book.pdf").read_bytes())[1]
    assert int(pages) == 2


def test_printing_without_a_browser_is_refused_before_anything_runs(project, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs Chromium"):
        build.build(pdf=True, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failing_cell_is_named_and_the_pages_before_stay(project, built, restored):
    before = digests(built)
    write_chapter(project, "second", "1 / 0")
    with pytest.raises(UserError, match="^chapter second, cell 3 failed: ZeroDivisionError: division by zero$"):
        build.build(parameters={"alpha": 0.25})
    write_chapter(project, "second", REFUSING)
    with pytest.raises(UserError, match="^chapter second, cell 3 failed: no such class$"):
        build.build(["second"], notebook=True)
    assert digests(built) == before


def test_a_chapter_that_could_not_be_written_is_named_with_the_logs_last_line(tmp_path):
    (tmp_path / "chapter.ipynb").write_text('{"cells": [')
    assert execute._failure(tmp_path / "chapter.ipynb") is None


def test_a_warning_of_jupyter_book_fails_the_build_and_is_shown(project, built, restored, capfd):
    """A link to nowhere, and an image without alternative text."""
    before = digests(built)
    write_chapter(project, "second", FIGURE, mystnb={"figure": DESCRIBED["figure"]})
    index = project / "book" / "index.md"
    text = index.read_text()
    index.write_text(text + "\nSee [](nowhere.md).\n")
    with pytest.raises(UserError, match="Jupyter Book did not accept the chapters"):
        build.build(parameters={"alpha": 0.25})
    index.write_text(text)
    said = capfd.readouterr().err
    assert re.search(r"book/index\.md:\d+: WARNING: .*nowhere", said)
    assert re.search(r"book/second\b.*an image has no alternative text: .*\.svg", said)
    assert digests(built) == before


def test_an_object_address_in_an_output_is_refused(project, restored, tmp_path):
    write_chapter(project, "second", "object()")
    with pytest.raises(UserError, match="chapter second, cell 3 shows an object's address"):
        build.build(["second"], out=tmp_path, notebook=True)


def test_what_a_cell_prints_is_one_output(project, restored, tmp_path):
    """A kernel sends it in as many messages as it takes time."""
    code = "import time\nprint('a', end='', flush=True)\ntime.sleep(1)\nprint()"
    write_chapter(project, "second", code)
    folder = build.build(["second"], out=tmp_path / "out", notebook=True)
    outputs = nbformat.read(folder / "second.ipynb", as_version=4).cells[-1].outputs
    assert [output.text for output in outputs] == ["a\n"]


def test_chosen_chapters_stop_at_the_executed_notebooks(project, tmp_path):
    folder = build.build(["first"], profile="laptop", out=tmp_path, notebook=True)
    cells = nbformat.read(folder / "first.ipynb", as_version=4).cells
    assert [cell.id for cell in cells] == ["title", "parameters", "injected-parameters", "code"]
    assert [output.text for output in cells[-1].outputs] == ["laptop 1.1\n"]
    assert not nbformat.read(folder / "second.ipynb", as_version=4).cells[-1].outputs
    assert "second" not in (folder.parent / "_toc.yml").read_text()


def test_chapters_that_show_what_is_recorded_come_last(small, tmp_path, monkeypatch):
    rounds = []

    async def note(names, *_):
        rounds.append(names)

    monkeypatch.setattr(execute, "_all", note)
    for name in ("first", "second"):
        notebook = nbformat.read(small / "book" / f"{name}.ipynb", as_version=4)
        notebook.metadata["lsbook"] = {"last": name == "first"}
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    execute.execute({"first": {}, "second": {}}, tmp_path, {}, 1)
    assert rounds == [["second"], ["first"]]


def test_two_builds_do_not_share_a_folder(small, tmp_path, monkeypatch):
    monkeypatch.chdir(small)
    with build._locked(tmp_path), pytest.raises(UserError, match=f"another build is at work in {tmp_path}"):
        build.build(notebook=True, out=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock"]


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_stays(small, tmp_path, monkeypatch):
    monkeypatch.chdir(small)
    (tmp_path / "letter").write_text("dear reader")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").symlink_to(tmp_path / "letter")
    with pytest.raises(UserError, match="cannot build in"):
        build.build(notebook=True, out=tmp_path / "out")
    assert (tmp_path / "letter").read_text() == "dear reader"


def test_kernels_find_the_projects_records_data_and_weights(small, tmp_path, monkeypatch):
    """Where a chapter is executed, a copy of the project is, with folders of its own that the next build removes."""
    monkeypatch.chdir(small)
    for name, folder in {"LSBOOK_RESULTS": "results", "LSBOOK_DATA": "data", "LSBOOK_RUNS": "runs"}.items():
        monkeypatch.delenv(name, raising=False)
        assert isolation.environment(tmp_path / name)[name] == str(small / folder)


@pytest.mark.parametrize(("jobs", "threads"), [(1, "8"), (2, "4"), (3, "4")])
def test_chapters_share_the_cores(small, monkeypatch, jobs, threads):
    """Two chapters are executed, on eight cores; what the reader has set stays."""

    async def note(chapter, parameters, folder, environment):
        names = "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS"
        seen.append(tuple(environment[name] for name in names))
        raise UserError("stopped")

    seen = []
    monkeypatch.chdir(small)
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(execute, "_execute", note)
    monkeypatch.setattr(execute, "cores", lambda: 8)
    for _ in range(2):
        with pytest.raises(UserError, match="stopped"):
            build.build(notebook=True, out=small / f"out-{jobs}", jobs=jobs)
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert set(seen) == {(threads, "PASSIVE", "1"), ("3", "PASSIVE", "1")}


@pytest.mark.parametrize(("jobs", "most"), [(1, 1), (2, 2), (9, 5)])
def test_so_many_chapters_at_a_time(jobs, most):
    """Each waits until as many as can have begun, so that what is counted does not hang on the time they take."""
    at_once, counts = set(), []

    async def one(name):
        at_once.add(name)
        counts.append(len(at_once))
        for _ in range(20):
            await asyncio.sleep(0)
        at_once.remove(name)

    asyncio.run(execute._all("abcde", one, jobs))
    assert (max(counts), len(counts)) == (most, 5)


def test_the_runs_behind_a_cell_are_known(small):
    [record] = (small / "results").glob("*/*/record.json")
    found = {
        name: provenance.runs_behind(
            nbformat.read(small / "_build" / "source" / "book" / f"{name}.ipynb", as_version=4).cells[-1]
        )
        for name in ("first", "second")
    }
    assert found["first"] is None
    assert found["second"].runs == {record.parent.name}


def test_under_a_figure_stands_where_it_comes_from(built):
    text = (built / "book" / "second.html").read_text()
    [details] = re.findall(r'<details class="provenance">.*?</details>', text)
    assert "Chapter second, cell 3<br>" in details
    assert "<code>profile = &#x27;smoke&#x27;</code>, <code>alpha = 0.25</code>" in details
    assert 'class="provenance"' not in (built / "book" / "first.html").read_text()


def test_the_reference_is_of_the_chapters_own_parameters(project):
    for arguments in ({"check_figures": True}, {"renew": True}):
        with pytest.raises(UserError, match="leave out --profile and -p"):
            build.build(profile="smoke", **arguments)
