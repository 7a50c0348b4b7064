"""Translation as a task of the training loop. Which pairs a step sees is a function of the seed and the step alone."""

import time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lsbook.analysis import translation
from lsbook.core.config import Run
from lsbook.core.errors import UserError
from lsbook.data import encoded, texts, vocabulary
from lsbook.data.batches import Batches
from lsbook.data.encoded import Encoded
from lsbook.data.texts import Pairs
from lsbook.data.vocabulary import Vocabulary
from lsbook.models.base import build
from lsbook.models.transformer import Transformer
from lsbook.training.engine import devices, distributed
from lsbook.training.engine.optimisation import Trainer
from lsbook.training.losses import smoothed_cross_entropy_of_output
from lsbook.training.text import translations
from lsbook.training.text.summary import Translator, summarise

# Sentences of each split: few where seconds count, all of newstest2014, and of other texts:
TRANSLATED = {"grammar": 100, "wmt14-en-de": 3_003}
MOST_TRANSLATED = 1_000
MEASURED = 200  # validation pairs in each measurement along a run


class Texts(NamedTuple):
    """The data of a run; `train` has the run's number of pairs, and is encoded."""

    train: Encoded
    heldout: Pairs
    test: Pairs
    vocabulary: Vocabulary


def splits(run: Run) -> Texts:
    """The text of a run, from its files.

    UserError when they are missing or damaged, or support no such vocabulary or batch.
    """
    words = vocabulary.load(run.dataset, run.vocabulary)
    train = encoded.load(run.dataset, "train", words).first(run.examples)
    tokens = int(sum(side.lengths().sum() for side in (train.source, train.target)))
    if run.recipe.batch > tokens:
        raise UserError(f"batch: at most the {tokens} tokens of the training text, not {run.recipe.batch}")
    return Texts(train, *(texts.load(run.dataset, split) for split in ("heldout", "test")), words)


class TextTrainer(Trainer):
    """A Transformer, the batches it learns from, and its optimiser. The loss is smoothed cross-entropy a token."""

    def __init__(self, run: Run, model: Transformer, pairs: Encoded):
        super().__init__(model, run.recipe)
        self.alpha = run.alpha
        self.batches = Batches(pairs, run.recipe.batch, run.seed, part=(distributed.rank(), distributed.count()))

    def load(self, i: int) -> None:
        self.batch = self.batches(i)

    def loss(self) -> Tensor:
        """A mean over the tokens without padding."""
        with devices.autocast(self.device, self.recipe.precision):
            activations, labels = translations.predicting(self.model, self.batch)
            loss = smoothed_cross_entropy_of_output(activations, self.model.output, labels, self.alpha)
        return self.batch.weight * loss


class TextTask:
    """See `loop.Task`. Draws the initial weights from torch's random state."""

    probed = frozenset()

    def __init__(self, run: Run, data: Texts, device: torch.device):
        self.run, self.data = run, data
        model = build(run.model, data.vocabulary.size, data.vocabulary.pad).to(device)
        self.trainer = TextTrainer(run, model, data.train)
        self.measured = translations.encode(data.heldout.first(min(MEASURED, len(data.heldout))), data.vocabulary)

    @property
    def measured_size(self) -> int:
        return int(self.measured.source.lengths().sum() + self.measured.target.lengths().sum())

    def probe(self, step: int) -> None:
        """Nothing."""

    def measure(self) -> dict[str, float] | None:
        tokens = translations.next_tokens(self.trainer.model, self.measured, (1.0,), self.run.recipe.precision)
        if not np.isfinite(tokens.log_probability).all():
            return None
        [nll], [ece], accuracy = translation.temperature_curves(tokens)
        return {"accuracy": accuracy, "ece": float(ece), "nll": float(nll)}

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Nothing."""

    def sample_inputs(self) -> tuple[tuple[Tensor, ...], int]:
        """Sentences of the training text's mean lengths."""
        sides = [
            torch.full((2, round(1 + float(side.lengths().mean()))), Vocabulary.eos, device=self.trainer.device)
            for side in (self.data.train.source, self.data.train.target)
        ]
        return tuple(sides), sum(side.numel() for side in sides)

    def close(self) -> None:
        """Nothing."""

    def result(self, seconds: float) -> tuple[dict, dict, dict]:
        run, data = self.run, self.data
        translator = Translator(
            self.trainer.model, data.vocabulary, run.recipe.precision, TRANSLATED.get(run.dataset, MOST_TRANSLATED)
        )
        began = time.perf_counter()
        # The first seed keeps every token's prediction at several temperatures; the others' summaries are enough.
        metrics, arrays, signatures = summarise(
            translator, data.train, data.heldout, data.test, alpha=run.alpha, full=run.seed == 0
        )
        facts = {
            "tokens_per_second": round(run.recipe.steps * run.recipe.batch / seconds),
            "evaluation_seconds": round(time.perf_counter() - began, 1),
            "signatures": signatures,
        }
        return metrics, arrays, facts
