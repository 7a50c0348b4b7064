"""`lsbook try` as somebody types it: from a folder of images to a page, stopped half-way and gone on with."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lsbook import cli
from lsbook.core.store import Store

NAMES = ("<b>ant</b>", "bee")


@pytest.fixture
def folder(tmp_path):
    """Twelve images of each of two classes, which tell by their colour."""
    generator = np.random.default_rng(0)
    for place, name in enumerate(NAMES):
        inside = tmp_path / "<i>insects" / name.replace("/", "\N{DIVISION SLASH}")
        inside.mkdir(parents=True)
        for i in range(12):
            pixels = generator.integers(0, 255, (20, 20, 3), dtype=np.uint8)
            pixels[:, :, place] = 200
            Image.fromarray(pixels).save(inside / f"{i}.png")
    return inside.parent


@pytest.fixture
def refused(results, data_folder, monkeypatch, capsys):
    """What a command in this process says that ends with code 2: one line, and nothing on standard output."""

    def call(*arguments) -> str:
        monkeypatch.setattr(sys, "argv", ["lsbook", "try", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        assert (end.value.code, captured.out, captured.err.count("\n")) == (2, "", 1), captured.err
        return captured.err

    return call


def lsbook(*arguments) -> tuple[int, str, str]:
    """A command in a process of its own: its exit code, standard output and standard error."""
    command = [sys.executable, "-m", "lsbook", "try", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


SHORT = "--network", "alexnet", "--alphas", "0,0.1", "--seeds", "0", "--steps", "2"


def test_from_a_folder_to_a_page_that_goes_on_where_it_was_stopped(folder, results, data_folder, tmp_path):
    code, _, said = lsbook(folder, *SHORT, "--out", tmp_path / "page", "--budget", "0.001")
    assert code == 2
    assert "the same command goes on" in said
    assert "Traceback" not in said
    before = {record.folder: record.folder.stat().st_mtime_ns for record in Store(results)}
    code, shown, said = lsbook(folder, *SHORT, "--out", tmp_path / "page")
    assert (code, "left to train" in said) == (0, False), said
    records = list(Store(results))
    assert [record.run.alpha for record in records] in ([0, 0.1], [0.1, 0])
    assert all(folder.stat().st_mtime_ns == before[folder] for folder in before)
    page = (tmp_path / "page" / "html" / "book" / "your_data.html").read_text()
    assert shown.strip() == str(tmp_path / "page" / "html" / "index.html")
    assert "Too few seeds: 1 of each factor, and an interval needs 3." in page
    assert "16 images to train on (8 of a class), 4 to fit temperatures on, 4 to test on" in page
    assert "<i>insects" not in page
    assert "&lt;i&gt;insects" in page
    assert str(tmp_path) not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--network", "vgg"), "unknown network 'vgg': choose from alexnet, resnet56"),
        (("--alphas", "0.1,0.2"), "alphas must be 0 for hard targets and then one to 4 others below 1"),
        (("--alphas", "0,1.5"), "alphas must be 0 for hard targets and then one to 4 others below 1"),
        (("--alphas", "0,high"), "alphas must be"),
        (("--seeds", "x"), 'seeds must be whole numbers such as "0-4" or "0,2,5"'),
        (("--size", "5"), "'--size': 5 is not in the range 24<=x<=224"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(refused, folder, results, data_folder, arguments, message):
    assert message in refused(folder, *arguments)
    assert not results.exists()
    assert list(data_folder.iterdir()) == []


def test_a_folder_that_is_none_is_one_line(refused, tmp_path):
    said = refused(tmp_path / "nowhere")
    assert said.endswith("nowhere is no folder; name one with a folder of images for each class\n")
