"""A loss, a data set, a text and a network of somebody's own, named where a short name may stand: `tests/newcomer`."""

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from lsbook import cli
from lsbook.chapters import calibration, projections
from lsbook.core import registry
from lsbook.core.config import Recipe, Run, as_dict, from_dict
from lsbook.core.errors import UserError
from lsbook.core.store import Store
from lsbook.data import images, texts
from lsbook.recipes import profiles
from lsbook.runner import sweep
from lsbook.runner.obtain import obtain
from lsbook.training import check, load_splits
from lsbook.training.text import summary, translations

NEWCOMER = Path(__file__).parent / "newcomer"
RECIPE = Recipe(steps=60, batch=16, learning_rate=0.05, momentum=0.9, loss="mine.losses:Focal")
RUN = Run(dataset="mine.data:stripes", model="mine.nets:tiny", alpha=0.1, seed=0, recipe=RECIPE, examples=90)
FOLDER = "mine-data-stripes-mine-nets-tiny"


@pytest.fixture
def mine(monkeypatch):
    """The newcomer's modules can be imported, here and by what is started."""
    monkeypatch.syspath_prepend(NEWCOMER)
    monkeypatch.setenv("PYTHONPATH", str(NEWCOMER))


def digits(loss: str, **arguments: float) -> Run:
    """The smoke profile's run with another loss."""
    run = profiles.run("smoke", "digits", "alexnet-16", 0.1, 0)
    return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, loss=loss, loss_arguments=arguments))


def with_recipe(**settings: object) -> Run:
    return dataclasses.replace(RUN, recipe=dataclasses.replace(RECIPE, **settings))


def test_a_sweep_trains_them_in_its_processes_and_records_them(mine, tmp_path):
    """With γ = 0 the loss is cross-entropy, and so are the numbers, but for the order of a sum."""
    store = Store(tmp_path)
    focal = digits("mine.losses:Focal", gamma=2.0)
    same, plain = digits("mine.losses:Focal", gamma=0.0), digits("cross-entropy")
    assert sweep.sweep([focal, same, plain, RUN], store, jobs=2) == []
    assert store.verify() == []
    assert {record.folder.relative_to(tmp_path).parts[0] for record in store} == {"digits-alexnet-16", FOLDER}
    for name, value in store.get(plain).metrics.items():
        assert store.get(same).metrics[name] == pytest.approx(value, rel=0.02, abs=0.02), name
    assert store.get(focal).history["loss"][0] < 0.9 * store.get(plain).history["loss"][0]  # (1 − 1/10)² and less
    record = store.get(RUN)
    assert record.metrics["test_accuracy"] > 0.9
    assert record.classes == ("left", "middle", "right")
    assert record.environment["data"]["variant"] == "as loaded"


def test_a_loss_of_ones_own_is_an_arm_of_the_chapters_comparisons(mine, results):
    loss = "mine.losses:Focal"
    [group] = projections.groups("smoke", 0.1, loss)
    assert sweep.sweep(list(group.runs(0).values()), Store(results)) == []
    [first] = projections.rows("smoke", 0.1, "recorded", other_losses=loss)
    *_, focal = first.comparison.arms
    assert [arm.label for arm in first.comparison.arms] == ["hard targets", "smoothed, α = 0.1", "Focal, α = 0.1"]
    assert [record.run.recipe.loss for record in focal.records] == [loss]
    [points] = calibration.factors(calibration.study("smoke", seeds="recorded", other_losses=loss))
    assert [point.name for point in points.further] == ["Focal"]


def test_the_command_line_trains_them(mine, results, monkeypatch, capsys):
    command = "train --dataset mine.data:stripes --model mine.nets:tiny --alpha 0.1 --loss mine.losses:Focal"
    command += " --loss-arguments gamma 1.5 --examples 90 --learning-rate 0.05 --batch 16"
    for more, code in (["--steps", "3"], 0), (["--steps", "3", "--loss-arguments", "beta", "1"], 2), ([], 2):
        monkeypatch.setattr(sys, "argv", ["lsbook", *command.split(), *more])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert (end.value.code or 0) == code
    missing, unknown = capsys.readouterr().err.splitlines()[::-1][:2]
    assert unknown == "lsbook: loss_arguments: mine.losses:Focal takes no 'beta': gamma"
    assert "profile laptop has no recipe for mine.data:stripes mine.nets:tiny; it has cifar10 alexnet" in missing
    [record] = Store(results)
    assert record.run.recipe.loss_arguments == (("gamma", 1.5),)
    assert record.run == from_dict(json.loads((record.folder / "record.json").read_text())["run"])


def test_a_text_is_read_and_trained(mine, tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "BLEU_TEMPERATURES", (1.0,))
    monkeypatch.setattr(summary, "BEAMS", (4,))
    scored, score = [], translations.score_translations

    def counted(ours, theirs):
        scored.append(len(ours))
        return score(ours, theirs)

    monkeypatch.setattr(translations, "score_translations", counted)
    recipe = Recipe(steps=2, batch=300, optimiser="adam", learning_rate=0.005)
    run = dataclasses.replace(
        RUN, dataset="mine.data:tales", model="transformer-64", recipe=recipe, examples=60, vocabulary=330
    )
    [record] = obtain([run], Store(tmp_path), progress=False)
    assert record.folder.parent.name == "mine-data-tales-transformer-64"
    assert len(texts.load("mine.data:tales", "heldout")) == 80
    assert set(scored) == {2}  # as the text says
    for wrong, message in (
        ({"vocabulary": None, "model": "mine.nets:tiny"}, "mine.data:tales has to be a Dataset"),
        ({"dataset": "mine.data:stripes"}, "mine.data:stripes has to be a Corpus"),
        ({"model": "mine.nets:tiny"}, "mine.nets:tiny reads images, but mine.data:tales is text"),
    ):
        with pytest.raises(UserError, match=message):
            check(dataclasses.replace(run, **wrong, recipe=Recipe(steps=2, batch=30)))
    with pytest.raises(UserError, match="vocabulary is missing"):
        dataclasses.replace(run, vocabulary=None)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"transfer": "cifar10"}, r"networks for mine.data:stripes, \(1, 12, 12\), cannot be tried on cifar10"),
        ({"unknown": {"mine.data:in_files": ("top",)}}, "unknown class of mine.data:in_files 'top': choose from left"),
        ({"unknown": {"no.such:data": ()}}, "no.such:data cannot be imported"),
    ],
)
def test_other_data_sets_that_do_not_fit_are_refused_before_a_training(mine, monkeypatch, others, message):
    from mine import data

    monkeypatch.setattr(data, "stripes", dataclasses.replace(data.stripes, **others))
    with pytest.raises(UserError, match=message):
        load_splits(RUN)


def test_images_may_lie_in_files_of_the_name_behind_the_colon(mine, data_folder):
    from mine import data

    (data_folder / "in_files").mkdir()
    for part in ("train", "test"):
        pixels, labels = data.load_stripes(part)
        encoded = []
        for image in pixels[:, 0]:
            Image.fromarray(image).save(buffer := io.BytesIO(), "PNG")
            encoded.append({"bytes": buffer.getvalue(), "path": None})
        table = pyarrow.table({"image": encoded, "label": labels})
        pyarrow.parquet.write_table(table, data_folder / "in_files" / f"{part}.parquet")
    for name in 2 * ["mine.data:in_files"]:  # decoded, and from the copy that is kept
        splits = images.all_splits(name)
        assert [len(part) for part in splits] == [90, 30, 30]
        np.testing.assert_array_equal(splits[2].pixels, data.load_stripes("test")[0])


def test_equal_arguments_have_one_key_and_none_change_no_key():
    plain = with_recipe(loss="cross-entropy")
    assert "loss_arguments" not in json.dumps(as_dict(plain))
    given = [{"gamma": 2, "beta": 0.5}, {"beta": 0.5, "gamma": 2.0}, (("gamma", 2), ("beta", 0.5))]
    runs = [with_recipe(loss_arguments=arguments) for arguments in given]
    assert len({run.key for run in runs}) == len(set(runs)) == 1
    assert as_dict(runs[0])["recipe"]["loss_arguments"] == {"beta": 0.5, "gamma": 2}
    assert from_dict(json.loads(json.dumps(as_dict(runs[0])))) == runs[0]
    assert with_recipe(loss_arguments={"gamma": 3}).key != runs[0].key


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "__main__:stripes"}, "__main__:stripes is defined in __main__, a notebook or a script, which no"),
        ({"model": "__mp_main__:tiny"}, "__mp_main__:tiny is defined in __main__"),
        ({"dataset": "mine.data:"}, "a name of your own is package.module:Name, at most 100 characters"),
        ({"dataset": "../mine:stripes"}, "a name of your own is package.module:Name"),
        ({"model": "mine.nets:a/../../b"}, "a name of your own is package.module:Name"),
        ({"model": f"mine:{'x' * 100}"}, "a name of your own is package.module:Name"),
        ({"recipe": {"loss": "__main__:Focal"}}, "__main__:Focal is defined in __main__"),
        ({"recipe": {"loss_arguments": {"gamma": [1]}}}, "loss_arguments must be at most 20 numbers, truth values or"),
        ({"recipe": {"loss_arguments": {"gamma": float("nan")}}}, "loss_arguments must be at most 20 numbers"),
        ({"recipe": {"loss_arguments": {"alpha": 0.1}}}, "loss_arguments must be at most 20 numbers"),
        (
            {"recipe": {"loss": "maxsup", "loss_arguments": {"gamma": 1}}},
            "maxsup takes no 'gamma': it has none",
        ),
    ],
)
def test_names_and_arguments_that_nobody_can_have_are_refused_at_once(settings, message):
    recipe = settings.pop("recipe", {})
    with pytest.raises(UserError, match=message):
        dataclasses.replace(RUN, **settings, recipe=dataclasses.replace(RECIPE, **recipe))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "no.such:stripes"}, "no.such:stripes cannot be imported .*No module named 'no'.*PYTHONPATH"),
        ({"model": "mine.nets:large"}, "mine.nets:large cannot be imported: the module mine.nets has no large"),
        ({"dataset": "mine.nets:tiny"}, "mine.nets:tiny has to be a Dataset .*, but it is of type Model"),
        ({"model": "mine.nets:Tiny"}, "mine.nets:Tiny has to be a Model .*, but it is the class"),
        ({"augmentation": "crop24-flip"}, "needs images of 24 × 24 pixels or more; mine.data:stripes has .1, 12, 12."),
        ({"loss": "mine.nets:tiny"}, "mine.nets:tiny is no class of losses"),
        ({"loss": "mine.losses:Plain"}, "alpha must be 0: the loss mine.losses:Plain has none"),
        ({"loss_arguments": {"gama": 1}}, "mine.losses:Focal takes no 'gama': gamma"),
        ({"loss_arguments": {"gamma": -1}}, "mine.losses:Focal: gamma must be at least 0, not -1"),
        ({"loss_arguments": {"gamma": "two"}}, "mine.losses:Focal: gamma must be a number, not 'two'"),
    ],
)
def test_what_does_not_exist_or_fit_is_refused_in_one_line_before_a_training(mine, tmp_path, settings, message):
    recipe = {name: settings.pop(name) for name in ("augmentation", "loss", "loss_arguments") if name in settings}
    run = dataclasses.replace(with_recipe(**recipe), **settings)
    for train in (lambda: obtain([run], Store(tmp_path)), lambda: sweep.sweep([run], Store(tmp_path))):
        with pytest.raises(UserError, match=message) as refused:
            train()
        assert "\n" not in str(refused.value)
    assert len(Store(tmp_path)) == 0


def test_a_network_that_is_no_classifier_is_refused(mine, tmp_path):
    run = dataclasses.replace(RUN, model="mine.nets:no_classifier")
    with pytest.raises(UserError, match="torch.nn:Linear has to be a subclass of lsbook.models.base.Classifier"):
        obtain([run], Store(tmp_path), progress=False)


def test_a_module_that_makes_what_it_is_asked_for_is_asked_once(tmp_path, monkeypatch):
    (tmp_path / "making.py").write_text("made = []\ndef __getattr__(name):\n    made.append(name)\n    return dict")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.imported("making:Thing") is dict
    assert registry.imported("making:made").count("Thing") == 1


@pytest.fixture
def importable(tmp_path, monkeypatch):
    """Makes a text a module of that name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return make


BROKEN_NETWORK = """
from torch import nn
from lsbook.core.registry import Model
from lsbook.models.base import Classifier

class Net(Classifier):
    def __init__(self, shape, n_classes, width=8):
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], width))
        self.output = {output}

    def penultimate(self, images):
        return {penultimate}

net = Model(title="t", factory="broken_network:Net", arguments={arguments})
"""
LAYER = "nn.Linear(width, n_classes)"


@pytest.mark.parametrize(
    ("output", "penultimate", "arguments", "message"),
    [
        (LAYER, "self.hidden(images)", {"widht": 3}, r"cannot be built for \(1, 12, 12\), 3: TypeError: .*'widht'"),
        ("shape[3]", "self.hidden(images)", {}, r"cannot be built for \(1, 12, 12\), 3: IndexError"),
        ("nn.Linear(width, -1)", "self.hidden(images)", {}, "broken_network:net fails on .*: RuntimeError"),
        ("nn.Linear(width, n_classes, bias=False)", "self.hidden(images)", {}, "an nn.Linear with a bias, as `output`"),
        ("nn.Linear(width, n_classes + 1)", "self.hidden(images)", {}, r"gives logits \(1, 4\) .* there are 3 classes"),
        (LAYER, "images", {}, r"fails on a view of shape \(1, 12, 12\): RuntimeError"),
        (LAYER, "super().penultimate(images)", {}, "fails on a view of shape .*: NotImplementedError"),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused_in_one_line_before_a_training(
    mine, tmp_path, importable, output, penultimate, arguments, message
):
    text = BROKEN_NETWORK.format(output=output, penultimate=penultimate, arguments=arguments)
    importable("broken_network", text)
    run = dataclasses.replace(RUN, model="broken_network:net")
    with pytest.raises(UserError, match=message) as refused:
        obtain([run], Store(tmp_path / "results"), progress=False)
    assert "\n" not in str(refused.value)


BROKEN_LOSS = """
from dataclasses import dataclass

@dataclass
class Loss:
    alpha: float

    def __call__(self, logits, batch):
        {body}
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError(3)", r"broken_loss:Loss fails on logits of shape \(2, 3\): KeyError: 3"),
        ("return logits.sum(axis=1)", "broken_loss:Loss has to give one number, as a tensor with a gradient, not"),
        ("return logits.sum().item()", "has to give one number, as a tensor with a gradient, not '?0.0"),
        ("return logits.detach().sum()", "has to give one number, as a tensor with a gradient, not"),
    ],
)
def test_a_loss_that_cannot_be_minimised_is_refused_in_one_line_before_a_training(
    mine, tmp_path, importable, body, message
):
    importable("broken_loss", BROKEN_LOSS.format(body=body))
    run = dataclasses.replace(RUN, recipe=dataclasses.replace(RUN.recipe, loss="broken_loss:Loss"))
    with pytest.raises(UserError, match=message) as refused:
        obtain([run], Store(tmp_path / "results"), progress=False)
    assert "\n" not in str(refused.value)


BROKEN_TEXT = """
from lsbook.core.registry import Corpus

def load(part):
    {body}

text = Corpus(title="t", languages=("en", "de"), load="broken_text:load")
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("yield 'a', 'b'; raise KeyError(part)", "broken_text:load failed: KeyError: 'train'"),
        ("return None", "broken_text:load failed: TypeError"),
        ("return [1, 2]", "broken_text:load: pair 0 has to be two sentences, not 1"),
        ("return ['ab']", "broken_text:load: pair 0 has to be two sentences, not 'ab'"),
    ],
)
def test_a_function_that_gives_no_sentences_is_refused_in_one_line(importable, body, message):
    importable("broken_text", BROKEN_TEXT.format(body=body))
    with pytest.raises(UserError, match=message):
        list(texts.locate("broken_text:text", "train").stream())


BROKEN = """
import numpy as np
from lsbook.core.registry import Dataset

def load(part):
    {body}

data = Dataset(title="t", classes=("a", "b"), shape=(1, 4, 4), examples=(20, 8), heldout=4, load="broken:load")
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError(part)", "broken:load failed: KeyError: 'train'"),
        ("return None", "broken:load has to return pixels and labels, two NumPy arrays, not None"),
        ("return np.zeros((20, 4, 4), np.uint8), np.zeros(20, int)", r"pixels \(N, C, H, W\) of uint8 .*\(20, 4, 4\)"),
        ("return np.zeros((20, 1, 4, 4)), np.zeros(20, int)", "of uint8 .*float64"),
        ("return np.zeros((20, 1, 4, 4), np.uint8), np.zeros(19, int)", "returns 20 images, but 19 labels"),
        ("return np.zeros((20, 1, 4, 4), np.uint8), np.full(20, 2)", "label"),
        ("return np.zeros((19, 1, 4, 4), np.uint8), np.zeros(19, int)", "20"),
        ("return np.zeros((20, 3, 4, 4), np.uint8), np.zeros(20, int)", "expected images of shape"),
    ],
)
def test_a_function_that_gives_no_images_is_refused_in_one_line(importable, body, message):
    importable("broken", BROKEN.format(body=body))
    with pytest.raises(UserError, match=message):
        images.load("broken:data", "train")


CHANGING = """
import numpy as np
from lsbook.core.registry import Dataset

def load(part):
    generator = np.random.default_rng({seed} + len(part))
    n = 40 if part == "train" else 8
    return generator.integers(0, 256, (n, 1, 6, 6), dtype=np.uint8), np.arange(n) % 2

data = Dataset(title="t", classes=("a", "b"), shape=(1, 6, 6), examples=(40, 8), heldout=8, load="changing:load")
"""


def test_a_data_set_that_has_changed_under_its_name_is_refused(tmp_path, monkeypatch, capsys):
    """Before another run on it is trained, where one is to be shown, and where one comes from another machine."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LSBOOK_RESULTS", str(tmp_path / "results"))

    def become(seed: int) -> None:
        (tmp_path / "changing.py").write_text(CHANGING.format(seed=seed))
        monkeypatch.delitem(sys.modules, "changing", raising=False)

    def run(seed: int) -> Run:
        recipe = Recipe(steps=2, batch=8, learning_rate=0.01)
        return dataclasses.replace(RUN, dataset="changing:data", model="mlp-800", recipe=recipe, seed=seed, examples=30)

    become(1)
    [first] = obtain([run(0)], progress=False)
    become(20)
    message = "changing:data is not what it was: the run .* is recorded with the data of SHA-256"
    with pytest.raises(UserError, match=message):
        obtain([run(1)], progress=False)
    [other] = obtain([run(1)], Store(tmp_path / "elsewhere"), progress=False)
    with pytest.raises(UserError, match=message):
        Store().adopt(other.run, other.files())
    again = (
        "train --dataset changing:data --model mlp-800 --alpha 0.1 --seed 0 --steps 2 --batch 8 --learning-rate 0.01"
    )
    monkeypatch.setattr(sys, "argv", ["lsbook", *again.split(), "--examples", "30"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "changing:data is not what it was" in capsys.readouterr().err
    assert [record.run for record in Store()] == [first.run]
    become(1)
    assert obtain([run(0), run(1)], progress=False)[0].metrics == first.metrics


def test_a_record_that_does_not_say_what_its_classes_are_is_refused(mine, tmp_path):
    """Where the registry does not say it either, nothing else would."""
    [record] = obtain([RUN], Store(tmp_path / "whole"), progress=False)
    parts = {"metrics": record.metrics, "history": record.history, "arrays": dict(record.arrays)}
    data = {name: value for name, value in record.environment["data"].items() if name != "classes"}
    for classes, message in (None, "environment.data.classes: Field required"), (["left"], "environment.data.classes"):
        given = data if classes is None else data | {"classes": classes}
        with pytest.raises(UserError, match=message):
            Store(tmp_path / "lacking").put(RUN, **parts, environment=record.environment | {"data": given})


READING = """
import sys
from lsbook.core.store import Store
from lsbook.chapters import costs, overview, status
store = Store(sys.argv[1])
assert store.verify() == []
[record] = store
assert record.classes == ("left", "middle", "right") and record.arrays["templates"].shape[0] == 3
assert list(store.frame()["recipe.loss"]) == ["mine.losses:Focal"]
for table in overview.recorded(store=store), status.runs(store=store), costs.table(store=store):
    assert table
assert "mine.data:stripes" in str(overview.recorded(store=store).rows)
assert not {"torch", "mine"} & {name.partition(".")[0] for name in sys.modules}
"""


def test_a_record_is_read_checked_and_shown_without_an_import_of_what_it_names(mine, tmp_path):
    """Where its modules do not exist, and where an import of them would do something."""
    obtain([RUN], Store(tmp_path / "results"), progress=False)
    trap = tmp_path / "trap" / "mine"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('imported')")
    for path in (tmp_path / "nowhere", trap.parent):
        script = f"import sys; sys.path.insert(0, {str(path)!r})\n{READING}"
        environment = {"PATH": "", "PYTHONPATH": ""}
        command = [sys.executable, "-c", script, tmp_path / "results"]
        subprocess.run(command, check=True, env=environment, cwd=NEWCOMER.parents[1])
