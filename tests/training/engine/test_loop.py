"""Training: the definition of the loss, determinism, what is measured, and what it takes."""

import dataclasses
import gc
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter  # noqa: F401  (what the scalars are written with)

from lsbook.analysis import calibration, projection, targets
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.registry import MODELS
from lsbook.data.images import load
from lsbook.recipes import profiles
from lsbook.training import Splits, load_splits, train
from lsbook.training.engine import checkpoints, devices, loop, optimisation
from lsbook.training.engine.flops import count_flops_per_example
from lsbook.training.images import transfer
from lsbook.training.images.task import ImageTrainer
from lsbook.training.images.views import ShuffledOrder
from lsbook.training.losses import Batch, SmoothedCrossEntropy

RECIPE = Recipe(steps=40, batch=64, learning_rate=0.02, momentum=0.9, schedule="one-cycle", augmentation="crop24-flip")


def run(alpha=0.0, seed=0, recipe=RECIPE, model="alexnet-16") -> Run:
    return Run(dataset="digits", model=model, alpha=alpha, seed=seed, recipe=recipe, examples=400)


@pytest.fixture(scope="module")
def data() -> Splits:
    return Splits(load("digits", "train").first(400), load("digits", "heldout"), load("digits", "test"))


@pytest.fixture(scope="module")
def few(data) -> Splits:
    """The same images to train on, and a few to measure on."""
    return data._replace(heldout=data.heldout.first(50), test=data.test.first(50))


@pytest.fixture(scope="module")
def outcome(data):
    return train(run(0.1), data, progress=False)


def test_the_loss_is_the_papers():
    """PyTorch's label smoothing against the definition: y (1 − α) + α / K."""
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(50, 10)), generator.integers(10, size=50)
    for alpha in (0.0, 0.1, 0.6):
        ours = targets.cross_entropy(logits, targets.smooth_targets(labels, 10, alpha)).mean()
        batch = Batch(index=None, labels=torch.from_numpy(labels), views=None)
        theirs = SmoothedCrossEntropy(alpha=alpha)(torch.from_numpy(logits), batch)
        assert float(theirs) == pytest.approx(ours, abs=1e-12)


def test_training_learns(outcome):
    """Chance is 0.1 and log 10 nats."""
    assert outcome.metrics["test_accuracy"] > 0.5
    assert outcome.metrics["test_nll"] < np.log(10)
    assert outcome.history["loss"][-1] < outcome.history["loss"][0]


def test_the_same_run_gives_the_same_outcome_bit_for_bit(data, outcome):
    torch.manual_seed(123)  # nothing outside the run matters
    again = train(run(0.1), data, progress=False)
    assert again.metrics == outcome.metrics
    assert again.history == outcome.history
    for name, array in outcome.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


@pytest.mark.parametrize("other", [run(0.1, seed=1), run(0.2)])
def test_another_seed_or_factor_gives_another(data, outcome, other):
    assert train(other, data, progress=False).metrics != outcome.metrics


def test_training_leaves_the_random_state_alone(data):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(run(recipe=Recipe(steps=2, batch=8)), data, progress=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_arrays_agree_with_the_metrics(data, outcome):
    """float16 keeps three digits: an example near an edge may be in the next bin, which moves ECE by 2/n at most."""
    arrays, metrics = outcome.arrays, outcome.metrics
    logits, labels = arrays["test_logits"].astype(float), arrays["test_targets"]
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(metrics["test_accuracy"], abs=0.007)
    probabilities = calibration.softmax(logits)
    in_bins = 15 * probabilities.max(axis=1)
    near = np.sum(np.abs(in_bins - in_bins.round()) < 0.01)
    assert near < 0.1 * len(labels)
    ece = calibration.expected_calibration_error(probabilities, labels)
    assert ece == pytest.approx(metrics["test_ece"], abs=1e-3 + 2 * near / len(labels))
    assert calibration.negative_log_likelihood(logits, labels) == pytest.approx(metrics["test_nll"], abs=2e-3)


@pytest.mark.parametrize("reading", ["test", "test_scaled"])
def test_confidences_are_kept_in_their_own_order_each_with_its_hit(outcome, reading):
    arrays, metrics = outcome.arrays, outcome.metrics
    confidence, hit = (arrays[f"{reading}_{name}"] for name in ("confidence", "hit"))
    divisor = metrics["temperature"] if reading == "test_scaled" else 1.0
    expected = calibration.softmax(arrays["test_logits"].astype(float), divisor).max(axis=1)
    # A difference of two kept logits is off by a 64th at most, a probability by a quarter of that, over the divisor.
    np.testing.assert_allclose(confidence, np.sort(expected), atol=1 / (4 * 64 * divisor) + 5e-4)
    assert np.mean(hit) == metrics["test_accuracy"]
    diagram = calibration.confidence_reliability(confidence.astype(float), hit)
    assert diagram.ece == pytest.approx(metrics[f"{reading}_ece"], abs=5e-3)


def test_the_shown_activations_give_the_logits(outcome):
    arrays = outcome.arrays
    rows = np.concatenate([np.flatnonzero(arrays["test_targets"] == k)[:100] for k in range(10)])
    logits = arrays["test_activations"].astype(float) @ arrays["templates"].T
    np.testing.assert_allclose(logits, arrays["test_logits"][np.sort(rows)].astype(float), atol=0.03)
    np.testing.assert_array_equal(arrays["test_labels"], arrays["test_targets"][np.sort(rows)])
    assert projection.template_plane(arrays["templates"][:3]).basis.shape == (2, 10)


def test_a_network_that_the_views_are_too_small_for_is_refused(data):
    with pytest.raises(UserError, match="alexnet-16 cannot be built for \\(1, 3, 3\\), 10: .*at least 4 × 4"):
        train(run(recipe=Recipe(steps=1, size=3)), data, progress=False)


def test_further_seeds_keep_no_full_logits(data):
    arrays = train(run(seed=1, recipe=Recipe(steps=1, batch=8)), data, progress=False).arrays
    assert "test_logits" not in arrays
    assert {"templates", "train_activations", "test_activations", "test_confidence", "test_scaled_hit"} <= set(arrays)


def test_history_has_evenly_spaced_points_that_do_not_take_long(data, outcome, monkeypatch):
    """40 steps of 64 train on 2 560 images, so 640 may be measured: 300 twice, or 30 as often as there are points."""
    assert outcome.history["step"] == [20, 40]
    monkeypatch.setattr("lsbook.training.images.task.VALIDATION_IMAGES", 30)
    assert train(run(0.1), data, progress=False).history["step"] == list(range(2, 41, 2))
    assert {len(values) for values in outcome.history.values()} == {2}
    assert all(0 <= value <= 1 for name in ("accuracy", "ece") for value in outcome.history[name])


def test_the_environment_says_what_ran(outcome, data):
    environment = outcome.environment
    assert environment["torch"] == torch.__version__
    assert environment["data"]["train_sha256"] == data.train.fingerprint
    assert environment["precision"] in ("float32", "bfloat16")
    assert environment["training_seconds"] > 0
    model = MODELS["alexnet-16"].build((1, 24, 24), 10)
    assert environment["flops_per_example"] == count_flops_per_example(model, (torch.zeros(2, 1, 24, 24),), 2)


def test_counting_operations_changes_nothing_that_is_recorded(data, outcome, monkeypatch):
    monkeypatch.setattr(loop, "count_flops_per_example", lambda *_: 0)
    without = train(run(0.1), data, progress=False)
    assert without.environment["flops_per_example"] == 0 < outcome.environment["flops_per_example"]
    assert (without.metrics, without.history) == (outcome.metrics, outcome.history)
    for name, array in outcome.arrays.items():
        np.testing.assert_array_equal(without.arrays[name], array)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe(steps=100, learning_rate=2.0), {0: 2.0, 99: 2.0}),
        (Recipe(steps=100, learning_rate=2.0, schedule="linear"), {0: 2.0, 50: 1.0, 99: 0.02}),
        (
            Recipe(steps=90, learning_rate=1.0, schedule="steps", milestones=(1 / 3, 2 / 3)),
            {0: 1.0, 29: 1.0, 30: 0.1, 59: 0.1, 60: 0.01, 89: 0.01},
        ),
        (Recipe(steps=100, learning_rate=1.0, schedule="one-cycle"), {0: 0.05, 9: 0.5, 19: 1.0, 20: 1.0, 60: 0.5}),
    ],
)
def test_schedules(recipe, expected):
    for step, rate in expected.items():
        assert optimisation.learning_rate(recipe, step) == pytest.approx(rate, rel=1e-3)


def test_only_hidden_linear_weights_decay():
    from lsbook.models.alexnet import AlexNet

    model = AlexNet((1, 24, 24), 10, width=16)
    recipe = Recipe(steps=1, weight_decay=0.004, decayed="hidden-linear")
    groups = {group["weight_decay"]: group["params"] for group in optimisation.optimiser(model, recipe).param_groups}
    assert groups.keys() == {0.0, 0.004}
    assert {id(p) for p in groups[0.004]} == {id(model.fc3.weight), id(model.fc4.weight)}
    everything = optimisation.optimiser(model, Recipe(steps=1, weight_decay=1e-4)).param_groups[0]
    assert len(everything["params"]) == 5


def test_a_constant_gradient_moves_weights_by_nesterovs_momentum_and_the_first_layer_farther(data):
    """A step moves by 1 + 0.9 v gradients, where v is 1, then 1 + 0.9, then 1 + 0.9 + 0.81: by 8.049 in three steps."""
    recipe = Recipe(steps=3, learning_rate=0.1, momentum=0.9, first_layer=10.0)
    model = MODELS["mlp-800"].build((1, 32, 32), 10)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = ImageTrainer(run(recipe=recipe, model="mlp-800"), model, data.train, lambda logits, _: logits.sum())
    assert {group["factor"] for group in trainer.optimiser.param_groups} == {1.0, 10.0}
    for i in range(3):
        for group in trainer.optimiser.param_groups:
            group["lr"] = group["factor"] * optimisation.learning_rate(recipe, i)
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        trainer.optimiser.step()
    for name, p in model.named_parameters():
        moved = 8.049 if name.startswith("hidden.1.") else 0.8049
        torch.testing.assert_close(before[name] - p.detach(), torch.full_like(p, moved), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", ["alexnet-16", "resnet8", "mlp-800"])
def test_bfloat16_follows_float32(few, monkeypatch, model):
    """Ten steps in bfloat16, emulated where the hardware has none: the same path, to the three digits it keeps."""
    recipe = Recipe(steps=10, batch=32, learning_rate=0.002, augmentation="crop24-flip")
    histories = []
    for available in (False, True):
        monkeypatch.setattr(devices, "computes_in_bfloat16", lambda _, available=available: available)
        histories.append(train(run(0.1, recipe=recipe, model=model), few, progress=False).history["loss"])
    np.testing.assert_allclose(histories[1], histories[0], rtol=0.03)
    assert histories[0] != histories[1]


@pytest.mark.parametrize(("norm", "moved"), [(None, 40.0), (0.5, 0.5), (1e6, 40.0)])
def test_gradients_are_clipped_to_their_norm(data, norm, moved):
    """One step of plain SGD with rate 1 moves the weights by the gradient, here at least 40 long unless clipped."""
    recipe = Recipe(steps=1, batch=64, learning_rate=1.0, loss_scale=100.0, clip_norm=norm, precision="float32")
    torch.manual_seed(0)
    model = MODELS["mlp-800"].build((1, 32, 32), 10)
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    ImageTrainer(run(recipe=recipe, model="mlp-800"), model, data.train, SmoothedCrossEntropy(alpha=0.1)).step(0)
    distance = float((torch.cat([p.detach().flatten() for p in model.parameters()]) - before).norm())
    assert distance == pytest.approx(moved, rel=1e-4) if norm == 0.5 else distance > moved


def test_cifar100_trains_by_the_papers_recipe(few):
    """A few steps on digits in the role of CIFAR-100 images; the full recipe needs a GPU."""
    full = profiles.run("paper", "cifar100", "resnet56-first7", 0.05, 0)
    assert (full.recipe.batch, full.recipe.milestones, full.recipe.clip_norm) == (128, (0.5, 0.75), 1.0)
    recipe = dataclasses.replace(full.recipe, steps=2, batch=4)
    short = dataclasses.replace(full, dataset="digits", recipe=recipe, examples=400)
    outcome = train(short, few, progress=False)
    assert np.isfinite(outcome.history["loss"]).all()
    assert outcome.arrays["templates"].shape == (10, 10)


@pytest.mark.parametrize(("initial", "diverges"), [("small", False), ("scaled", True)])
def test_the_papers_alexnet_needs_small_initial_weights(few, initial, diverges):
    """Its learning rate of 0.1 with three times the loss is too much for scaled ones."""
    full = profiles.run("paper", "cifar10", "alexnet", 0.0, 0)
    assert full.recipe.initial == "small"
    recipe = dataclasses.replace(full.recipe, steps=4, initial=initial)
    short = dataclasses.replace(full, dataset="digits", recipe=recipe, examples=400, probe="none")
    outcome = train(short, few, progress=False)
    assert (max(outcome.history["loss"]) > 2 * 3 * np.log(10)) == diverges


def test_all_images_can_be_trained_on_and_nothing_is_fitted_then(data):
    """Beyond the training split the held-out images are trained on too: no temperature, no measurement on them."""
    whole = dataclasses.replace(run(recipe=Recipe(steps=2, batch=8)), examples=1_497)
    parts = load_splits(whole)
    assert [len(part) for part in parts] == [1_497, 0, 300]
    assert len(load_splits(dataclasses.replace(whole, examples=1_197)).heldout) == 300
    outcome = train(whole, parts, progress=False)
    assert {name.partition("_")[0] for name in outcome.metrics} == {"train", "test"}
    assert not any(name.startswith("test_scaled") or "normalised" in name for name in outcome.metrics)
    assert outcome.history.keys() == {"step", "loss", "learning_rate"}
    assert "test_scaled_confidence" not in outcome.arrays


def test_a_passed_loss_is_used(data):
    calls = []

    def loss(logits, batch):
        calls.append(len(batch.index))
        return SmoothedCrossEntropy(alpha=0.0)(logits, batch)

    train(run(recipe=Recipe(steps=3, batch=16)), data, loss=loss, progress=False)
    assert calls == [16, 16, 16]


def test_data_and_loss_must_be_the_runs(data):
    student = dataclasses.replace(run(), teacher=run(), temperature=1.0, beta=1.0)
    with pytest.raises(ValueError, match="loss: what is learned from other networks"):
        train(student, data, progress=False)
    with pytest.raises(ValueError, match="400 training examples, but the run has 300"):
        train(dataclasses.replace(run(), examples=300), data, progress=False)


def test_each_pass_sees_every_example_once(data):
    order = ShuffledOrder(seed=3, n=20, batch=5)
    passes = [torch.cat([order(i) for i in range(first, first + 4)]).tolist() for first in (0, 4)]
    assert [sorted(seen) for seen in passes] == [list(range(20))] * 2
    assert passes[0] != passes[1]
    assert order(1).tolist() == passes[0][5:10]  # a step's examples do not depend on the steps before


def test_a_loss_that_is_not_finite_stops_the_run(data):
    with pytest.raises(UserError, match="not finite any more at step"):
        train(run(recipe=Recipe(steps=20, batch=64, learning_rate=1e6)), data, progress=False)


def test_scalars_for_tensorboard(data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    short = run(recipe=Recipe(steps=4, batch=16))
    history = train(short, data, tensorboard=tmp_path, progress=False).history
    events = EventAccumulator(str(tmp_path / short.folder)).Reload()
    assert sorted(events.Tags()["scalars"]) == ["accuracy", "ece", "learning_rate", "loss"]
    assert [e.value for e in events.Scalars("loss")] == pytest.approx(history["loss"])


def test_a_resumed_training_has_each_of_its_scalars_once(data, tmp_path):
    """Though it was killed after points that its checkpoint does not know: after step 3, the checkpoint is of step 2.
    TensorBoard is asked what it shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    short = run(recipe=Recipe(steps=4, batch=16))
    often = data._replace(heldout=data.heldout.first(4))  # so small that each step is followed by a point

    class Killed(BaseException):
        pass

    def interrupted(state):
        if state.step == 2:
            state.save()
        if state.step == 3:
            raise Killed
        advance(state)

    advance = loop._TrainingState.train_step
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop._TrainingState, "train_step", interrupted)
        train(short, often, tensorboard=tmp_path, progress=False)
    assert checkpoints.steps_done(short) == 2
    history = train(short, often, tensorboard=tmp_path, progress=False).history
    events = EventAccumulator(str(tmp_path / short.folder)).Reload()
    for name in ("loss", "accuracy"):
        assert [event.step for event in events.Scalars(name)] == [1, 2, 3, 4] == history["step"]
        assert [event.value for event in events.Scalars(name)] == pytest.approx(history[name])


def test_scalars_that_cannot_be_written_are_one_line(data, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write scalars to .*file"):
        train(run(recipe=Recipe(steps=4, batch=16)), data, tensorboard=tmp_path / "file", progress=False)


def test_a_cpus_random_state_is_taken_on_a_gpu_too(monkeypatch):
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *_: pytest.fail("there is none of a GPU"))
    state = devices.random_state(torch.device("cpu"))
    drawn = torch.rand(3)
    devices.set_random_state(torch.device("cuda"), state)
    assert torch.equal(torch.rand(3), drawn)


def test_a_progress_bar_with_remaining_time_is_shown(data, capsys):
    train(run(recipe=Recipe(steps=2, batch=8)), data)
    shown = capsys.readouterr().err
    assert "digits alexnet-16 alpha=0 seed=0" in shown
    assert "2/2 [" in shown


def test_mlp_trains_with_shifts(data):
    recipe = Recipe(steps=60, batch=50, learning_rate=0.01, schedule="linear", momentum=0.9, augmentation="shift2")
    assert train(run(recipe=recipe, model="mlp-800"), data, progress=False).metrics["test_accuracy"] > 0.6


def test_progress_is_told(data):
    told = []
    train(run(recipe=Recipe(steps=2, batch=8)), data, progress=told.append)
    assert told[-1] == 2


def test_a_training_leaves_the_callers_random_numbers_alone(data, outcome):
    """And is not changed by them: dropout draws from torch's own."""
    dropout = run(0.1, model="mlp-dropout", recipe=dataclasses.replace(RECIPE, steps=15))
    torch.manual_seed(3)
    first = train(dropout, data, progress=False)
    after = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(3), after)
    checkpoints.delete_checkpoints(dropout)
    assert train(dropout, data, progress=False).history == first.history


def test_memory_is_flat_over_1000_steps(data, monkeypatch):
    """After a warm-up of 200, checkpoints and points of the history among them. A batch of views has 37 kB, and one
    kept at each step would take 29 MB; the allocator's own growth is up to 9."""
    sizes = {}
    advance = loop._TrainingState.train_step

    def weighed(state):
        advance(state)
        if state.step in (200, 1_000):
            gc.collect()
            sizes[state.step] = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    monkeypatch.setattr(loop._TrainingState, "train_step", weighed)
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.1)
    train(run(recipe=dataclasses.replace(RECIPE, steps=1_000, batch=16)), data, progress=False)
    assert sizes[1_000] - sizes[200] < 16e6


@pytest.mark.real_data("cifar10")
def test_a_short_training_on_real_images(monkeypatch):
    """Two passes over 2 000 real images: well above chance. A few of another data set are enough for a linear probe."""
    monkeypatch.setattr(transfer, "PROBE_IMAGES", 200)
    sizes = {"train": 2_000, "heldout": 500, "test": 500}
    data = Splits(*(load("cifar10", split).first(n) for split, n in sizes.items()))
    recipe = dataclasses.replace(RECIPE, steps=60)
    real = Run(dataset="cifar10", model="alexnet-16", alpha=0.1, seed=0, recipe=recipe, examples=2_000)
    outcome = train(real, data, progress=False)
    assert outcome.metrics["test_accuracy"] > 0.2
    assert outcome.environment["data"]["variant"]


@pytest.mark.real_data("tiny-imagenet-32")
def test_inception_v4_trains_on_five_classes_by_the_laptops_recipe():
    """Two steps of it; of 70 a pass, 80 passes. About 450 images of each class are trained on."""
    full = profiles.run("laptop", "tiny-imagenet-5", "inception_v4", 0.1, 0)
    data = load_splits(full)
    assert abs(np.bincount(data.train.labels) - 450).max() < 10
    assert full.recipe.steps == 80 * (full.examples // full.recipe.batch)
    recipe = dataclasses.replace(full.recipe, steps=2, batch=8, learning_rate=1e-4)  # two steps have no warm-up
    short = dataclasses.replace(full, recipe=recipe, examples=10)
    outcome = train(short, Splits(*(part.first(10) for part in data)), progress=False)
    assert np.isfinite(outcome.history["loss"]).all()
    assert outcome.arrays["templates"].shape == (5, 5)
    assert "temperature" in outcome.metrics
