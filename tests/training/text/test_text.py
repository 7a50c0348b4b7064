"""Training on text: the loss is the paper's without padding, nothing depends on batches, and what a record keeps."""

import dataclasses
import functools
import json
import signal

import numpy as np
import pytest
import torch
from sacrebleu.metrics import BLEU
from safetensors.torch import load_file

from lsbook.analysis import targets, translation
from lsbook.analysis.projection import template_plane
from lsbook.core.config import Recipe, Run
from lsbook.core.errors import UserError
from lsbook.core.registry import MODELS
from lsbook.core.store import Store
from lsbook.data import encoded, texts
from lsbook.data.batches import Batches
from lsbook.data.examples import SENTENCES
from lsbook.data.vocabulary import learn
from lsbook.recipes import profiles
from lsbook.runner.obtain import obtain
from lsbook.training import load_splits, train
from lsbook.training.engine import checkpoints, loop, optimisation
from lsbook.training.text import summary, task, translations
from lsbook.training.text.task import TextSplits, TextTrainer

PAIRS, SIZE = 60, 330
RECIPE = Recipe(
    steps=12, batch=300, optimiser="adam", learning_rate=5e-3, momentum=0.9, schedule="one-cycle", precision="float32"
)


def run(alpha=0.1, seed=0, recipe=RECIPE) -> Run:
    return Run(
        dataset="grammar",
        model="transformer-64",
        alpha=alpha,
        seed=seed,
        recipe=recipe,
        examples=PAIRS,
        vocabulary=SIZE,
    )


@pytest.fixture(scope="module")
def data() -> TextSplits:
    pairs = texts.load("grammar", "train").first(PAIRS)
    words = learn([*pairs.source, *pairs.target], SIZE)
    return TextSplits(
        translations.encode(pairs, words),
        texts.load("grammar", "heldout").first(12),
        texts.load("grammar", "test").first(15),
        words,
    )


@pytest.fixture(scope="module")
def outcome(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summary, "BLEU_TEMPERATURES", (0.8, 1.0))
        patch.setattr(summary, "BEAMS", (1, 4))
        patch.setattr(summary, "WIDE_BEAMS", (3,))
        return train(run(), data, progress=False)


@pytest.fixture
def network(data):
    torch.manual_seed(0)
    model = MODELS["transformer-64"].build(data.vocabulary.size, 0)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)  # so that the distributions are peaked
        model.output.bias.normal_()
    return model.eval()


def plain_logits(model, source: np.ndarray, target: np.ndarray, words) -> np.ndarray:
    """(T, V) float64 of one pair alone, eos predicted last."""
    inputs = [np.append(source, words.eos), np.insert(target, 0, words.bos)]
    with torch.no_grad():
        return model(*(torch.from_numpy(side.astype(np.int64))[None] for side in inputs))[0].double().numpy()


def plain_pairs(model, pairs: encoded.EncodedPairs, words):
    """Logits and labels of every pair, one after another without padding."""
    for i in range(len(pairs)):
        yield plain_logits(model, pairs.source[i], pairs.target[i], words), np.append(pairs.target[i], words.eos)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_the_loss_is_the_papers_without_padding(data, network, alpha):
    """The mean over the tokens of a batch, against the definition on each sentence alone."""
    trainer = TextTrainer(run(alpha), network, data.train)
    losses = []
    for row in filter(lambda row: row >= 0, trainer.batches(0).rows):
        logits = plain_logits(network, data.train.source[row], data.train.target[row], data.vocabulary)
        labels = np.append(data.train.target[row], data.vocabulary.eos).astype(int)
        losses.append(targets.cross_entropy(logits, targets.smooth_targets(labels, data.vocabulary.size, alpha)))
    trainer.load_batch(0)
    assert float(trainer.loss().detach()) == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)


def test_sentences_that_are_cut_are_counted_on_standard_error(data, network, monkeypatch, capsys):
    monkeypatch.setattr(task, "Batches", functools.partial(Batches, max_length=8))
    n = TextTrainer(run(), network, data.train).batches.n_truncated
    assert n > 1
    assert f"{n} sentences of more than 8 tokens lose what is beyond" in capsys.readouterr().err


def test_next_tokens_are_those_of_each_sentence_alone(data, network):
    """NLL, confidence and hits in float32, batched and padded, against a float64 loop; in the order of the text."""
    temperatures = (0.7, 1.0, 2.0)
    found = translations.predict_next_tokens(network, data.train, temperatures, "float32")
    alone = list(plain_pairs(network, data.train, data.vocabulary))
    assert found.lengths.tolist() == [len(labels) for _, labels in alone]
    logits, labels = (np.concatenate(part) for part in zip(*alone, strict=True))
    assert (found.hit == (logits.argmax(axis=1) == labels)).all()
    for i, temperature in enumerate(temperatures):
        z = logits / temperature
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        # Logits are of tens, where float32's steps are 2⁻¹⁹, and of a hundred sums in turn.
        np.testing.assert_allclose(found.log_probability[i], log_p[np.arange(len(labels)), labels], atol=2e-4)
        np.testing.assert_allclose(found.confidence[i], np.exp(log_p.max(axis=1)), atol=2e-4)


def test_training_learns_and_its_record_agrees_with_itself(outcome, data):
    metrics, arrays = outcome.metrics, outcome.arrays
    weights = sum(weight.numel() for weight in MODELS["transformer-64"].build(SIZE, 0).parameters())
    assert 0 < outcome.environment["flops_per_example"] < 6 * weights  # each product with a weight is of one side
    assert outcome.history["loss"][-1] < np.log(SIZE) - 0.5  # a uniform guess costs log SIZE
    assert metrics["test_nll"] < np.log(SIZE)
    assert np.mean(arrays["test_hit"]) == pytest.approx(metrics["test_accuracy"])
    best = list(arrays["temperatures"]).index(metrics["temperature"])
    assert arrays["test_nll"][best] == metrics["test_scaled_nll"]
    statistics = arrays["test_statistics"].sum(axis=1)
    assert translation.corpus_bleu(statistics[1]) == pytest.approx(metrics["test_bleu"])
    assert (statistics[:, -1] == statistics[0, -1]).all()  # the references are the same
    np.testing.assert_array_equal(arrays["beam_statistics"][1], arrays["test_statistics"][1])


def test_the_same_run_gives_the_same_training_bit_for_bit(data, outcome, monkeypatch):
    monkeypatch.setattr("lsbook.training.text.task.summarise", lambda *_, **__: ({}, {}, {}))
    torch.manual_seed(123)  # nothing outside the run matters
    assert train(run(), data, progress=False).history == outcome.history
    assert train(run(seed=1), data, progress=False).history != outcome.history


@pytest.mark.parametrize("alpha", [0.0, 0.9])
def test_wide_beams_are_recorded(data, network, monkeypatch, alpha):
    """Each number by its definition from what was found; without smoothing nothing is searched twice."""
    monkeypatch.setattr(summary, "WIDE_BEAMS", (2, 5))
    words, pairs = data.vocabulary, dataclasses.replace(data.test, source=data.test.source[1:5])
    with torch.no_grad():
        network.output.bias[words.eos] = 7.0  # so that some outputs are empty, short or long
    known = translations.translate_sentences(network, pairs.source, words, "float32", beam=2, length_penalty=0.0)
    test = dataclasses.replace(pairs, target=tuple(words.decode([[*t.tokens[2:], 9] for t in known])))
    log_empty = [
        plain_logits(network, source, np.array([], int), words)[0] for source in translations.encode(test, words).source
    ]
    log_empty = np.array([z[words.eos] - np.log(np.exp(z).sum()) for z in log_empty])
    searched, translated = {}, translations.translate_sentences

    def search(*args, beam, length_penalty, smoothing):
        assert length_penalty == 0
        assert (beam, smoothing) not in searched
        searched[beam, smoothing] = translated(*args, beam=beam, length_penalty=0.0, smoothing=smoothing)
        return searched[beam, smoothing]

    monkeypatch.setattr(translations, "translate_sentences", search)
    translator = summary.Translator(network, words, "float32", 1_000)
    metrics = summary.wide_beam_results(translator, test, alpha)
    assert searched.keys() == {(k, smoothing) for k in (2, 5) for smoothing in (0.0, alpha)}
    for name, smoothing in (("unpenalised", 0.0), ("rectified", alpha)):
        for beam in (2, 5):
            found = searched[beam, smoothing]
            bleu = BLEU().corpus_score(words.decode([t.tokens for t in found]), [test.target])
            own, log_p = f"test_{name}{beam}", np.array([t.log_probability for t in found])
            assert metrics[f"{own}_bleu"] == pytest.approx(bleu.score)
            assert metrics[f"{own}_log_length"] == pytest.approx(np.log(bleu.sys_len / bleu.ref_len))
            assert metrics[f"{own}_empty"] == np.mean([t.tokens == [] for t in found])
            assert metrics[f"{own}_unfound"] == np.mean(log_p == -np.inf)
            if name == "unpenalised":
                assert metrics[f"{own}_empty_margin"] == pytest.approx(np.mean(log_empty - log_p), abs=1e-4)
    assert metrics["test_rectified_empty_possible"] == np.mean(log_empty > np.log(alpha / SIZE) if alpha else 1)


@pytest.mark.parametrize("bias", [40.0, -40.0])
def test_outputs_that_are_empty_or_never_end_can_be_recorded(data, network, monkeypatch, bias):
    """Every number is finite, as a record's are. Rectified, nothing is found where no end is possible."""
    monkeypatch.setattr(summary, "WIDE_BEAMS", (2,))
    with torch.no_grad():
        network.output.bias[data.vocabulary.eos] = bias
    translator = summary.Translator(network, data.vocabulary, "float32", 3)
    metrics = summary.wide_beam_results(translator, data.test, 0.1)
    json.dumps(metrics, allow_nan=False)
    never = float(bias < 0)
    assert metrics["test_unpenalised2_empty"] == 1 - never
    assert metrics["test_rectified2_empty"] == 1
    assert metrics["test_rectified2_unfound"] == never
    assert metrics["test_rectified_empty_possible"] == 1 - never
    words = BLEU().corpus_score([""] * 3, [data.test.target[:3]]).ref_len
    assert metrics["test_rectified2_log_length"] == pytest.approx(-np.log(words))


def test_words_are_frequent_tokens_with_their_logits(data, network):
    """Activations in the span of the templates give the network's own logits of these words."""
    translator = summary.Translator(network, data.vocabulary, "float32", 5)
    arrays = summary.word_activations(translator, {"train": data.train, "test": data.train.first(20)})
    ids = summary.frequent_words(data.train, data.vocabulary)
    counts = np.bincount(data.train.target.ids, minlength=data.vocabulary.size)[ids]
    assert (np.diff(counts) <= 0).all()
    assert [f"▁{word}" for word in arrays["words"]] == data.vocabulary.pieces(ids)
    logits, labels = (
        np.concatenate(part) for part in zip(*plain_pairs(network, data.train, data.vocabulary), strict=True)
    )
    rows = np.isin(labels, ids)
    found = arrays["train_activations"].astype(float) @ arrays["templates"].T
    assert (counts <= 100).all()
    np.testing.assert_array_equal(ids[arrays["train_labels"]], labels[rows])
    np.testing.assert_allclose(found, logits[rows][:, ids], atol=0.05)
    template_plane(arrays["templates"][:3])


def test_our_sentences_are_kept_with_the_probability_of_each_token(data, outcome):
    arrays = outcome.arrays
    assert arrays["example_sources"].tolist() == [source for source, _ in SENTENCES]
    ends = np.cumsum(arrays["example_lengths"].astype(int))
    assert len(arrays["example_pieces"]) == len(arrays["example_confidences"]) == ends[-1]
    assert (arrays["example_pieces"][ends - 1] == "</s>").all()
    assert ((arrays["example_confidences"] > 0) & (arrays["example_confidences"] <= 1)).all()


def test_a_record_keeps_no_sentence_of_the_data_and_is_small(data, outcome):
    kept = {str(word) for name, array in outcome.arrays.items() if array.dtype.kind == "U" for word in array}
    assert not kept & {*data.test.source, *data.test.target, *data.heldout.target}
    assert sum(array.nbytes for array in outcome.arrays.values()) < 200_000
    assert outcome.environment["signatures"]["BLEU"].startswith("nrefs:1|case:mixed")


def test_temperatures_are_chosen_on_validation_text_alone(data, network):
    """Predictions that are best at 0.5 on validation text and at 2 on the test text."""

    class Known(summary.Translator):
        def predict(self, pairs, temperatures):
            n, shift = len(pairs), np.log(2 if len(pairs) == len(data.heldout) else 0.5)
            nll = np.abs(np.log(temperatures) + shift)[:, None] + np.ones((1, n))
            return translation.NextTokens(np.full((len(temperatures), n), 0.5), -nll, np.ones(n, bool), np.ones(n, int))

    known = Known(network, data.vocabulary, "float32", 5)
    metrics, arrays = summary.next_token_results(known, data.train, data.heldout, data.test)
    assert metrics["temperature"] == 0.5
    assert metrics["test_nll"] == pytest.approx(1 + np.log(2))
    assert metrics["test_scaled_nll"] == pytest.approx(1 + np.log(4))
    assert arrays["temperatures"][arrays["test_nll"].argmin()] == 2.0


def test_averaged_weights_are_the_mean_of_those_of_the_last_moments(data, network):
    """Three moments a hundredth of 200 steps apart: after 196, 198 and 200. Until then training goes on as it is."""
    recipe = dataclasses.replace(RECIPE, steps=200, averaged=3)
    trainer = TextTrainer(run(recipe=recipe), network, data.train)
    kept = []
    for step in (*range(3), *range(193, 200)):
        trainer.step(step)
        if step + 1 in (196, 198, 200):
            kept.append({name: p.detach().clone() for name, p in network.named_parameters()})
    trainer.finish()
    assert not torch.equal(kept[0]["output.bias"], kept[2]["output.bias"])
    for name, p in network.named_parameters():
        torch.testing.assert_close(p.detach(), sum(weights[name] for weights in kept) / 3)


def test_a_run_stopped_between_averaged_moments_ends_where_it_would_have(data, monkeypatch, tmp_path):
    """It is stopped after the second of three."""
    monkeypatch.setattr("lsbook.training.text.task.summarise", lambda *_, **__: ({}, {}, {}))
    averaging = run(recipe=dataclasses.replace(RECIPE, steps=100, batch=60, averaged=3))

    def weights(folder: str) -> dict[str, torch.Tensor]:
        return load_file(tmp_path / folder / averaging.folder / "weights.safetensors")

    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "whole"))
    train(averaging, data, progress=False)
    monkeypatch.setenv("LSBOOK_RUNS", str(tmp_path / "stopped"))
    advance = loop._TrainingState.train_step

    def interrupted(state):
        advance(state)
        if state.step == 99:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(loop._TrainingState, "train_step", interrupted)
        train(averaging, data, progress=False)
    assert checkpoints.load_latest(averaging).step == 99
    train(averaging, data, progress=False)
    for name, value in weights("whole").items():
        assert torch.equal(value, weights("stopped")[name]), name


def test_a_loss_that_is_not_finite_stops_the_run(data):
    with pytest.raises(UserError, match="not finite any more at step"):
        train(run(recipe=dataclasses.replace(RECIPE, learning_rate=1e30)), data, progress=False)


def test_a_text_run_goes_through_the_store(results, data, monkeypatch):
    monkeypatch.setattr("lsbook.training.load_splits", lambda _: data)
    monkeypatch.setattr("lsbook.training.text.task.summarise", lambda *_, **__: ({"test_bleu": 1.0}, {}, {}))
    short = run(recipe=dataclasses.replace(RECIPE, steps=2))
    [record] = obtain([short])
    assert Store().get(short).metrics == record.metrics
    assert obtain([short])[0].environment == record.environment
    assert obtain([dataclasses.replace(short, seed=1)])  # its time is estimated from the first


def test_splits_are_the_runs():
    parts = load_splits(run())
    assert (len(parts.train), len(parts.heldout), len(parts.test)) == (PAIRS, 500, 500)
    assert parts.vocabulary.size == SIZE
    with pytest.raises(UserError, match="a vocabulary of 100000 tokens is larger than the text supports"):
        load_splits(dataclasses.replace(run(), vocabulary=100_000))
    tokens = int(parts.train.source.lengths().sum() + parts.train.target.lengths().sum())
    assert (
        load_splits(run(recipe=dataclasses.replace(RECIPE, batch=tokens))).train.fingerprint == parts.train.fingerprint
    )
    with pytest.raises(UserError, match=f"batch: at most the {tokens} tokens of the training text, not {tokens + 1}"):
        load_splits(run(recipe=dataclasses.replace(RECIPE, batch=tokens + 1)))


def test_every_text_recipe_fits_its_network():
    for profile, dataset, model in profiles.RECIPES:
        assert (MODELS[model].reads == "text") == (dataset in profiles.VOCABULARIES)
        profiles.run(profile, dataset, model, 0.1, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "alexnet"}, "alexnet reads images, but grammar is text: choose from transformer-base"),
        ({"dataset": "digits"}, "transformer-64 reads text, but digits is images: choose from mlp"),
        ({"vocabulary": None}, "vocabulary is missing"),
        ({"vocabulary": 0}, "vocabulary must be at least 1"),
        ({"recipe": dataclasses.replace(RECIPE, augmentation="shift2")}, "augmentation shift2 is for images only"),
        (
            {"recipe": dataclasses.replace(RECIPE, probe="logit-differences")},
            "probe logit-differences is for images only",
        ),
        ({"recipe": dataclasses.replace(RECIPE, initial="small")}, "initial small is for images only"),
        ({"dataset": "digits", "model": "mlp"}, "vocabulary is for texts only"),
    ],
)
def test_a_run_of_what_does_not_fit_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(run(), **change)


def test_inverse_root_schedule():
    """Vaswani et al. (2017, equation 3), whose peak is d^-0.5 · warm_up^-0.5."""
    recipe = Recipe(steps=100_000, learning_rate=(512 * 4_000) ** -0.5, schedule="inverse-root", warm_up=4_000)
    for step in (1, 100, 4_000, 50_000):
        expected = 512**-0.5 * min(step**-0.5, step * 4_000**-1.5)
        assert optimisation.learning_rate(recipe, step - 1) == pytest.approx(expected, rel=1e-12)


def test_adams_first_step_has_the_length_of_the_rate_and_decay_is_apart():
    """m̂ / √v̂ is the gradient's sign at the first step; AdamW shrinks a matrix by rate · decay besides."""
    recipe = Recipe(steps=1, optimiser="adam", learning_rate=0.01, momentum=0.9, weight_decay=0.5)
    model = MODELS["mlp-800"].build((1, 4, 4), 3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = optimisation.optimiser(model, recipe)
    for p in model.parameters():
        p.grad = torch.full_like(p, -3.0)
    optimiser.step()
    for name, p in model.named_parameters():
        shrunk = before[name] * (1 - 0.01 * 0.5) if p.ndim > 1 else before[name]
        torch.testing.assert_close(p.detach(), shrunk + 0.01, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "values", [{"schedule": "inverse-root"}, {"warm_up": 10}, {"schedule": "linear", "warm_up": 10}]
)
def test_warm_up_belongs_to_its_schedule(values):
    with pytest.raises(UserError, match="warm_up"):
        Recipe(steps=10, **values)


@pytest.mark.real_data("multi30k")
def test_real_captions_start_at_the_loss_of_chance(tmp_path, monkeypatch):
    """The laptop recipe's vocabulary, batches and network: the first loss is a little above log 8 000."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    real = profiles.run("laptop", "multi30k", "transformer-256", 0.0, 0)
    parts = load_splits(real)
    assert (len(parts.train), len(parts.heldout), len(parts.test)) == (29_000, 1_014, 1_000)
    torch.manual_seed(0)
    model = MODELS[real.model].build(parts.vocabulary.size, parts.vocabulary.pad)
    trainer = TextTrainer(real, model, parts.train)
    assert trainer.batches.n_truncated == 0
    assert np.log(8_000) < float(trainer.step(0)) < np.log(8_000) + 1
