"""Translation as a task of the training loop. Which pairs a step sees is a function of the seed and the step alone."""

import sys
import time
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from lsbook.analysis import translation
from lsbook.core import registry
from lsbook.core.config import Run
from lsbook.core.errors import UserError, print_lines
from lsbook.core.wording import counted
from lsbook.data import encoded, texts, vocabulary
from lsbook.data.batches import Batches
from lsbook.data.encoded import EncodedPairs
from lsbook.data.texts import Pairs
from lsbook.data.vocabulary import Vocabulary
from lsbook.models.base import build
from lsbook.models.transformer import Transformer
from lsbook.training.engine import devices, distributed
from lsbook.training.engine.optimisation import Trainer
from lsbook.training.losses import smoothed_cross_entropy_of_output
from lsbook.training.text import translations
from lsbook.training.text.summary import Translator, summarise

VALIDATION_PAIRS = 200  # validation pairs in each measurement along a run


class TextSplits(NamedTuple):
    """The data of a run; `train` has the run's number of pairs, and is encoded."""

    train: EncodedPairs
    heldout: Pairs
    test: Pairs
    vocabulary: Vocabulary


def load_splits(run: Run) -> TextSplits:
    """Read and encode the text of a run.

    UserError when it is missing or damaged, or supports no such vocabulary or batch.
    """
    assert run.vocabulary is not None  # which a run of a text has
    words = vocabulary.load(run.dataset, run.vocabulary)
    train = encoded.load(run.dataset, "train", words).first(run.examples)
    tokens = int(sum(side.lengths().sum() for side in (train.source, train.target)))
    if run.recipe.batch > tokens:
        raise UserError(f"batch: at most the {tokens} tokens of the training text, not {run.recipe.batch}")
    return TextSplits(train, texts.load(run.dataset, "heldout"), texts.load(run.dataset, "test"), words)


class TextTrainer(Trainer[Transformer]):
    """A Transformer, the batches it learns from, and its optimiser. The loss is smoothed cross-entropy a token."""

    def __init__(self, run: Run, model: Transformer, pairs: EncodedPairs):
        super().__init__(model, run.recipe)
        self.alpha = run.alpha
        self.batches = Batches(pairs, run.recipe.batch, run.seed, shard=(distributed.rank(), distributed.world_size()))
        if self.batches.n_truncated and not distributed.rank():
            cut = counted(self.batches.n_truncated, "sentence")
            most = self.batches.max_length
            print_lines(f"{run}: {cut} of more than {most} tokens lose what is beyond", file=sys.stderr)

    @override
    def load_batch(self, i: int) -> None:
        self.batch = self.batches(i)

    def loss(self) -> Tensor:
        """Compute smoothed cross-entropy, a mean over the target tokens without padding, in nats."""
        with devices.autocast(self.device, self.recipe.precision):
            activations, labels = translations.target_activations(self.model, self.batch)
            loss = smoothed_cross_entropy_of_output(activations, self.model.output, labels, self.alpha)
        return self.batch.weight * loss


class TextTask:
    """Translation as a `loop.Task`. Initial weights are drawn from torch's random state."""

    probe_steps: frozenset[int] = frozenset()

    def __init__(self, run: Run, data: TextSplits, device: torch.device):
        self.run, self.data = run, data
        network = build(run.model, data.vocabulary.size, data.vocabulary.pad).to(device)
        model = cast(Transformer, network)  # what reads text has its methods, whoever has written it
        self.trainer = TextTrainer(run, model, data.train)
        self.validation = translations.encode(
            data.heldout.first(min(VALIDATION_PAIRS, len(data.heldout))), data.vocabulary
        )

    @property
    def validation_size(self) -> int:
        """How many tokens `validate` reads, both languages together."""
        return int(self.validation.source.lengths().sum() + self.validation.target.lengths().sum())

    def probe(self, step: int) -> bool:
        """Do nothing: the task has none."""
        return True

    def validate(self) -> dict[str, float] | None:
        """Evaluate next tokens of validation text: accuracy and ECE as fractions, NLL in nats; None when not finite."""
        tokens = translations.predict_next_tokens(
            self.trainer.model, self.validation, (1.0,), self.run.recipe.precision
        )
        if not np.isfinite(tokens.log_probability).all():
            return None
        [nll], [ece], accuracy = translation.temperature_curves(tokens)
        return {"accuracy": accuracy, "ece": float(ece), "nll": float(nll)}

    def state(self) -> dict[str, Tensor]:
        """Return nothing: network and optimiser are all that a checkpoint needs."""
        return {}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Do nothing: the task has none."""

    def sample_inputs(self) -> tuple[tuple[Tensor, ...], int]:
        """Return two sentence pairs of the training text's mean lengths, and their number of tokens."""
        sides = [
            torch.full((2, round(1 + float(side.lengths().mean()))), Vocabulary.eos, device=self.trainer.device)
            for side in (self.data.train.source, self.data.train.target)
        ]
        return tuple(sides), sum(side.numel() for side in sides)

    def close(self) -> None:
        """Do nothing: the task has none."""

    def summarise(self, seconds: float) -> tuple[dict, dict, dict]:
        """Evaluate the trained network on all splits: metrics, arrays, and facts for the environment."""
        run, data = self.run, self.data
        most = registry.corpus(run.dataset).translated
        translator = Translator(self.trainer.model, data.vocabulary, run.recipe.precision, most)
        began = time.perf_counter()
        metrics, arrays, signatures = summarise(translator, data.train, data.heldout, data.test, alpha=run.alpha)
        facts = {
            "tokens_per_second": round(run.recipe.steps * run.recipe.batch / seconds),
            "evaluation_seconds": round(time.perf_counter() - began, 1),
            "signatures": signatures,
        }
        return metrics, arrays, facts
