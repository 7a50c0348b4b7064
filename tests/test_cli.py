"""The command line: a mistake is one line on standard error and exit code 2, and nothing is half-written."""

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lsbook import cli, training
from lsbook.chapters.plans import plan
from lsbook.core import registry
from lsbook.core.errors import UserError
from lsbook.core.registry import DATASETS
from lsbook.core.store import Store
from lsbook.site import build

PROJECT = Path(__file__).parents[1]
SMOKE = ["train", "--dataset", "digits", "--model", "alexnet-16", "--profile", "smoke"]

TEXT = ["train", "--dataset", "grammar", "--model", "transformer-64", "--profile", "smoke", "--alpha", "0.1"]


@pytest.fixture
def lsbook(results, data_folder, monkeypatch, capsys):
    """Calls the command line in this process; returns exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lsbook", *arguments])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return exit_.value.code or 0, captured.out, captured.err

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*SMOKE, "--alpha", "-0.1"], "alpha must be at least 0, not -0.1"),
        ([*SMOKE, "--alpha", "1"], "alpha must be below 1, not 1"),
        ([*SMOKE, "--alpha", "abc"], "alpha must be a number, not 'abc'"),
        ([*SMOKE, "--alpha", "nan"], "alpha must be a number, not 'nan'"),
        ([*SMOKE, "--alpha", "0.1", "--seed", "-1"], "seed must be at least 0, not -1"),
        ([*SMOKE[:-1], "huge", "--alpha", "0.1"], "unknown profile 'huge': choose from smoke, laptop, paper"),
        (
            ["train", "--dataset", "cifar10", *SMOKE[3:], "--alpha", "0.1"],
            "profile smoke has no recipe for cifar10 alexnet-16",
        ),
        (["data", "cifar"], "unknown data set 'cifar': choose from cifar10, mnist, cifar100, tiny-imagenet-32"),
        (["build", "preface"], "unknown chapter 'preface': choose from index, label_smoothing, projections"),
        (["build", "-p", "alhpa", "0.2"], "unknown parameter 'alhpa': choose from"),
        (["build", "-p", "alpha", "abc"], "alpha takes a value of type float, not 'abc'"),
        (["build", "-p", "alpha"], "Option '-p' requires 2 arguments"),
        (["build", "--out", "LICENSE"], "cannot build in"),
        (["verify", "nowhere"], "nowhere is not a folder of recorded runs"),
        (["verify"], "results is not a folder of recorded runs"),
        (["verify", ".github"], ".github has no recorded runs"),
        (["runs"], "results is not a folder of recorded runs"),
        (["build", "-palpha"], "Option '-p' requires 2 arguments"),
        ([*SMOKE, "--alpha", "0.1", "--steps"], "Option '--steps' requires an argument; see --help"),
        ([*SMOKE, "--alpha", "0.1", "--decay", "1"], "No such option '--decay'"),
        ([*SMOKE, "--alpha", "0.1", "--precision", "float8"], "precision must be one of 'mixed' or 'float32'"),
        ([*SMOKE, "--alpha", "0.1", "--steps", "many"], "steps must be a whole number, not 'many'"),
        ([*SMOKE, "--alpha", "0.1", "--milestones", "0.5"], "milestones: rising fractions of the run in (0, 1)"),
        ([*SMOKE, "--alpha", "0.1", "--milestones", "half"], "milestones must be a valid tuple, not 'half'"),
        ([*SMOKE, "--alpha", "0.1", "--alpha", "0.2"], "--alpha is given twice"),
        ([*SMOKE, "--alpha", "0.1", "--alpha=0.1"], "--alpha is given twice"),
        ([*SMOKE, "--alpha", "0.1", "--steps", "1", "--steps", "2"], "--steps is given twice"),
        ([*SMOKE, "--alpha", "0.1", "--loss", "focal"], "unknown loss 'focal': choose from cross-entropy, maxsup"),
        ([*SMOKE, "--alpha", "0.1", "--loss", "__main__:Focal"], "__main__:Focal is defined in __main__, a notebook"),
        ([*SMOKE, "--alpha", "0.1", "--loss", "no.such:Focal"], "no.such:Focal cannot be imported (ModuleNotFoundE"),
        ([*SMOKE, "--alpha", "0.1", "--loss", "math:pi"], "math:pi is no class of losses"),
        (
            [*SMOKE, "--alpha", "0.1", "--loss-arguments", "gamma", "2"],
            "loss_arguments: cross-entropy takes no 'gamma'",
        ),
        ([*SMOKE, "--alpha", "0.1", "--loss-arguments", "gamma"], "Option '--loss-arguments' requires 2 arguments"),
        ([*SMOKE, "--alpha", "0.1", *["--loss-arguments", "a", "1"] * 2], "--loss-arguments a is given twice"),
        (["build", "-p", "alpha", "0.1", "-p", "alpha", "0.1"], "-p alpha is given twice"),
        ([*SMOKE, "--alpha", "0", "--loss", "maxsup"], "alpha must be above 0 with the loss maxsup"),
        ([*SMOKE, "--alpha", "0", "--label-noise", "1"], "label_noise must be below 1, not 1"),
        ([*SMOKE, "--alpha", "0", "--label-noise", "-0.1"], "label_noise must be at least 0, not -0.1"),
        ([*TEXT, "--loss", "maxsup"], "loss maxsup is for images only"),
        ([*TEXT, "--label-noise", "0.2"], "label_noise is for images only"),
        (["train"], "Missing option"),
        ([], "Missing command; see"),
        (
            ["sweep", "projections", "--profile", "smoke", "--on", "mars", "--dry-run"],
            "unknown place 'mars': choose from",
        ),
        (["sweep", "projections", "--profile", "smoke", "--jobs", "49"], "'--jobs': 49 is not in the range 1<=x<=48"),
        (["build", "--out", "book/html"], "book/html is among the sources of the book; choose another --out"),
        (["build", "calibration", "-p", "n_bins", "true"], "n_bins takes a value of type int, not 'true'"),
        (["build", "calibration", "-p", "n_bins", "9" * 5_000], "n_bins takes a value of type int, not '999"),
        (["data", "x" * 5_000], "unknown data set 'xxx"),
        (["data", "../data"], "unknown data set '../data': choose from"),
        (["train", "--dataset", "x" * 5_000, "--model", "mlp", "--alpha", "0"], "unknown data set 'xxx"),
        (["trian"], "No such command 'trian'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(lsbook, results, monkeypatch, arguments, message):
    monkeypatch.chdir(PROJECT)
    code, out, err = lsbook(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("lsbook: ")
    assert message in err
    assert err.count("\n") == 1
    assert len(err) < 1_000
    assert not results.exists()


BAD_PARAMETERS = [
    ("projections", "alpha", "-0.1", "alpha must be at least 0, not -0.1"),
    ("projections", "alpha", "1", "alpha must be below 1, not 1"),
    ("projections", "alpha", "0", "alpha must be above 0 here"),
    ("projections", "profile", "huge", "unknown profile 'huge': choose from auto, smoke, laptop, paper"),
    ("projections", "seeds", "a-b", "seeds must be whole numbers"),
    ("label_smoothing", "alpha", "0", "alpha must be a number between 0 and 1 here"),
    ("label_smoothing", "n_classes", "1", "n_classes must be a whole number of at least 2"),
]


@pytest.mark.parametrize(("chapter", "parameter", "value", "message"), BAD_PARAMETERS)
def test_a_bad_parameter_is_refused_by_the_third_cell(results, monkeypatch, chapter, parameter, value, message):
    """The cells are run here, one after the other."""
    monkeypatch.chdir(PROJECT)
    _, parameters, third = nbformat.read(PROJECT / "book" / f"{chapter}.ipynb", as_version=4).cells[:3]
    names = {}
    exec(parameters.source, names)
    names |= build.check_parameters(chapter, {parameter: value})
    with pytest.raises(UserError) as caught:
        exec(third.source, names)
    assert message in str(caught.value)
    assert not results.exists()


@pytest.mark.parametrize(("chapter", "parameter", "value", "message"), [BAD_PARAMETERS[0], BAD_PARAMETERS[-1]])
def test_a_bad_parameter_names_chapter_and_cell(
    lsbook, results, monkeypatch, tmp_path, chapter, parameter, value, message
):
    monkeypatch.chdir(PROJECT)
    code, out, err = lsbook("build", chapter, "-p", parameter, value, "--out", str(tmp_path / "out"), "--notebook")
    line = err.splitlines()[-1]
    assert (code, out) == (2, "")
    assert line.startswith(f"lsbook: chapter {chapter}, cell 3 failed: ")
    assert message in line
    assert not (tmp_path / "out" / "html").exists()
    assert not results.exists()


def test_a_record_without_what_a_chapter_needs_is_named(lsbook, results, environment, monkeypatch, tmp_path):
    monkeypatch.chdir(PROJECT)
    for run in plan("projections", "smoke", "0"):
        Store(results).put(run, metrics={"train_accuracy": 0.5}, history={}, environment=environment, arrays={})
    arguments = ["--profile", "smoke", "-p", "seeds", "0", "--out", str(tmp_path / "out"), "--notebook"]
    code, _, err = lsbook("build", "projections", *arguments)
    line = err.splitlines()[-1]
    assert code == 2
    assert line.startswith(f"lsbook: chapter projections, cell 3 failed: recorded run {results}/digits-alexnet-16/")
    assert "has no array train_labels, which is needed here; move the folder away" in line


def test_a_smoke_run_is_recorded_once_and_verified(lsbook, results):
    code, out, err = lsbook(*SMOKE, "--alpha", "0.1", "--seed", "7")
    assert code == 0
    assert "test_accuracy" in out
    assert "have to be trained first" in err
    [record] = Store(results)
    assert (record.run.alpha, record.run.seed) == (0.1, 7)
    code, again, err = lsbook(*SMOKE, "--alpha", "0.1", "--seed", "7")
    assert (code, again, err) == (0, out, "")
    assert lsbook("verify") == (0, "1 recorded runs: their files match their checksums and the schema of records\n", "")
    path = record.folder / "record.json"
    path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2", 1))
    for command in (["verify"], [*SMOKE, "--alpha", "0.1", "--seed", "7"]):
        code, _, err = lsbook(*command)
        assert code == 2
        assert "record.json does not match its checksum" in err
        assert err.count("\n") == 1


def test_the_recorded_runs_are_listed_and_written_as_csv(lsbook, monkeypatch, tmp_path):
    monkeypatch.setenv("LSBOOK_RESULTS", str(PROJECT / "results"))
    recorded = {record.run.key: record for record in Store(PROJECT / "results")}
    code, out, err = lsbook("runs")
    assert (code, err) == (0, "")
    assert sorted(line.split()[0] for line in out.splitlines()[2:]) == sorted(recorded)

    path = tmp_path / "runs.csv"
    code, out, err = lsbook("runs", "--csv", str(path))
    assert (code, err) == (0, "")
    assert out.startswith(f"{len(recorded)} recorded runs, ")
    frame = Store(PROJECT / "results").frame()
    table = pd.read_csv(path, index_col="key", dtype=dict.fromkeys(("key", *frame.select_dtypes("str")), str))
    pd.testing.assert_frame_equal(table, frame, check_dtype=False, check_exact=True)
    for key, record in recorded.items():
        assert table.loc[key, "test_accuracy"] == record.metrics["test_accuracy"]
        assert table.loc[key, "recipe.steps"] == record.run.recipe.steps


def test_csv_is_written_whole_or_not_at_all(lsbook, monkeypatch, tmp_path):
    monkeypatch.setenv("LSBOOK_RESULTS", str(PROJECT / "results"))
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for place in ("file/runs.csv", "link", "."):
        code, out, err = lsbook("runs", "--csv", str(tmp_path / place))
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"lsbook: cannot write {tmp_path / place}: ")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    code, _, err = lsbook("runs", "--csv", str(tmp_path / "file"))
    assert (code, "No space left on device" in err) == (2, True)
    assert (tmp_path / "file").read_text() == "in the way"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "data") == ["file", "link"]


def test_a_run_with_other_settings_is_another_run(lsbook, results):
    settings = ["--steps", "3", "--precision", "float32", "--clip-norm", "None"]
    for more in ([], ["--schedule", "steps", "--milestones", "(0.5, 0.75)"]):
        assert lsbook(*SMOKE, "--alpha", "0.1", *settings, *more)[0] == 0
    recipes = sorted((record.run.recipe for record in Store(results)), key=lambda recipe: recipe.milestones)
    assert [recipe.milestones for recipe in recipes] == [(), (0.5, 0.75)]
    assert {(recipe.steps, recipe.precision) for recipe in recipes} == {(3, "float32")}


def test_fewer_examples_are_another_run(lsbook, results):
    assert lsbook(*SMOKE, "--alpha", "0.1", "--steps", "3", "--examples", "100")[0] == 0
    [record] = Store(results)
    assert (record.run.examples, record.run.recipe.steps) == (100, 3)


# A colour, a window's title, a code of 8 bits, the direction of writing, and the start of another line.
HOSTILE = "a\x1b[31m\x1b]0;title\x07\x9b2J\u202eb\r\nc"


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        (["build", HOSTILE], ""),
        (["verify", HOSTILE], ""),
        (["data", "cifar10"], "LSBOOK_DATA"),
        ([*SMOKE, "--alpha", "0.1", "--steps", "2"], "LSBOOK_RESULTS"),
        (["sweep", "projections", "--profile", "smoke", "--seeds", "0", "--network", "all"], "LSBOOK_RUNS"),
    ],
    ids=["a chapter", "a folder", "data", "standard output", "checkpoints"],
)
def test_control_characters_in_names_do_not_reach_the_terminal(
    lsbook, monkeypatch, tmp_path, data_folder, arguments, variable
):
    """Of folders, as of anything else; where `runs` should be is a file."""
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setitem(DATASETS, "cifar10", dataclasses.replace(DATASETS["cifar10"], archives=()))
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / HOSTILE))
    if variable == "LSBOOK_RUNS":
        (tmp_path / HOSTILE).touch()
    code, out, err = lsbook(*arguments)
    assert code == (0 if variable == "LSBOOK_RESULTS" else 2)
    assert "a\N{REPLACEMENT CHARACTER}" in out + err or r"a\x1b" in err
    assert all(char.isprintable() for line in (out + err).split("\n") for char in line.rpartition("\r")[2])


def test_a_results_folder_that_cannot_be_written_is_noticed_before_training(lsbook, results, monkeypatch):
    results.write_text("a file in its place")
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained in vain"))
    code, _, err = lsbook(*SMOKE, "--alpha", "0.1")
    assert code == 2
    assert "cannot be written" in err
    assert results.read_text() == "a file in its place"


def test_the_advice_on_folders_that_cannot_be_written_helps(lsbook, tmp_path, monkeypatch):
    command = [*SMOKE, "--alpha", "0.1", "--steps", "2"]
    (tmp_path / "file").touch()
    for name in ("LSBOOK_RESULTS", "LSBOOK_RUNS"):
        monkeypatch.setenv(name, str(tmp_path / "file"))
        code, _, err = lsbook(*command)
        assert (code, err.splitlines()[-1].endswith(f"; name another folder by {name}")) == (2, True)
        monkeypatch.setenv(name, str(tmp_path / name))
    assert lsbook(*command)[0] == 0
    assert len(Store(tmp_path / "LSBOOK_RESULTS")) == 1


def test_missing_data_without_network_is_one_line(lsbook, results, monkeypatch):
    nowhere = dataclasses.replace(DATASETS["cifar10"], archives=(("", "http://127.0.0.1:9/cifar.tar.gz", "0" * 64),))
    monkeypatch.setitem(DATASETS, "cifar10", nowhere)
    code, _, err = lsbook("train", "--dataset", "cifar10", "--model", "alexnet", "--alpha", "0.1")
    assert code == 2
    assert "cifar10 not found, or damaged, under" in err
    assert err.count("\n") == 1
    assert list(results.glob("*/*")) == []


@pytest.mark.parametrize(
    ("module", "arguments", "purpose"),
    [
        ("torch", [*SMOKE, "--alpha", "0.1"], "training a run"),
        ("sklearn", ["data", "digits"], "reading data"),
        ("papermill", ["build"], "building the book"),
    ],
)
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    results, tmp_path, module, arguments, purpose
):
    (tmp_path / f"{module}.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{module}'\", name='{module}')"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}"}
    command = [sys.executable, "-m", "lsbook", *arguments]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=PROJECT)
    extra = "book" if arguments == ["build"] else "train"
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == f'lsbook: {purpose} needs {module}: pip install -e ".[{extra}]"\n'
    assert not results.exists()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_output_that_is_closed_is_no_error(closed):
    command = [sys.executable, "-m", "lsbook", "data", "digits"]
    answer = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *command], capture_output=True, text=True, cwd=PROJECT)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_data_sets_after_a_missing_one_are_shown_too(lsbook, data_folder, monkeypatch):
    monkeypatch.setattr(registry, "DATASETS", {name: DATASETS[name] for name in ("tiny-imagenet-32", "digits")})
    monkeypatch.setattr(registry, "CORPORA", {"wmt14-en-de": registry.CORPORA["wmt14-en-de"]})
    code, out, err = lsbook("data")
    assert code == 2
    assert out.startswith("digits ")
    assert [line.split()[1] for line in err.splitlines()] == ["tiny-imagenet-32", "wmt14-en-de"]


def test_data_lists_what_is_there(lsbook):
    code, out, _ = lsbook("data", "digits", "grammar")
    assert code == 0
    assert [line.split()[:4] for line in out.splitlines()] == [
        ["digits", "train", "1197", "images"],
        ["digits", "heldout", "300", "images"],
        ["digits", "test", "300", "images"],
        ["grammar", "train", "3000", "pairs"],
        ["grammar", "heldout", "500", "pairs"],
        ["grammar", "test", "500", "pairs"],
    ]


def test_not_every_terminal_knows_every_letter(monkeypatch):
    monkeypatch.setattr(build, "build", lambda *_, **__: Path("α/index.html"))
    monkeypatch.setattr(sys, "argv", ["lsbook", "build"])
    for encoding, said in {"ascii": b"\\u03b1/index.html\n", "utf-8": "α/index.html\n".encode()}.items():
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        with pytest.raises(SystemExit):
            cli.main()
        sys.stdout.flush()
        assert sys.stdout.buffer.getvalue() == said


def test_no_module_of_ours_turns_other_errors_into_exit_code_2(results, monkeypatch):
    """A bug keeps its traceback."""

    def broken(*_):
        raise ValueError("a bug")

    results.mkdir()
    monkeypatch.setattr(Store, "__len__", broken)
    monkeypatch.setattr(sys, "argv", ["lsbook", "verify"])
    with pytest.raises(ValueError, match="a bug"):
        cli.main()
    assert not issubclass(ValueError, UserError)
