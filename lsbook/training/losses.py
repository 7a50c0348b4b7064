"""Losses: objects, each made with its config, that return a mean over the batch in nats.

They take logits (B, K) and the batch that these were computed from. A recipe names the class of its loss
(`core.registry.LOSSES`, or `package.module:Name` of one's own). It is made with the run's alpha, where it has such a
field, and with the recipe's `loss_arguments`. One's own is written as those here:

    @strict
    class Focal:
        alpha: Fraction
        gamma: float = 2.0

        def __call__(self, logits: Tensor, batch: Batch) -> Tensor: ...
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsbook.core import registry
from lsbook.core.config import Fraction, Run
from lsbook.core.errors import UserError, shortened
from lsbook.core.strict import strict
from lsbook.training.images.augmentation import Views


@dataclass(frozen=True)
class Batch:
    """Which images of the training split (B,), their labels (B,), and which view of each.

    views: None where views are too many to be numbered.
    """

    index: Tensor
    labels: Tensor
    views: Views | None


Loss = Callable[[Tensor, Batch], Tensor]

ROWS = 256  # whose logits over 8 000 words are 8 MB, which stay in a CPU's cache


@strict
class SmoothedCrossEntropy:
    """Cross-entropy against y (1 − α) + α / K (section 1 of the paper), by PyTorch's own definition of it."""

    alpha: Fraction

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Compute the loss, a scalar in nats, of logits (B, K)."""
        return F.cross_entropy(logits, batch.labels, label_smoothing=self.alpha)


@strict
class MaxSup:
    """MaxSup: H(y, p) + α (max_k z_k − mean_k z_k) (Zhou et al. 2025, arXiv 2502.15798, equation 8).

    Smoothed cross-entropy is H(y, p) + α (z_y − mean_k z_k): it holds the true logit down also where another is larger.
    """

    alpha: Fraction

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Compute the loss, a scalar in nats, of logits (B, K)."""
        excess = logits.amax(dim=1) - logits.mean(dim=1)
        return F.cross_entropy(logits, batch.labels) + self.alpha * excess.mean()


def from_run(run: Run) -> Loss:
    """The loss that a run's recipe names, with the run's alpha and the recipe's arguments.

    UserError when it cannot be imported, or does not take them.
    """
    name, arguments = run.recipe.loss, dict(run.recipe.loss_arguments)
    kind = registry.loss(name)
    parameters = inspect.signature(kind).parameters
    if "alpha" in parameters:
        arguments["alpha"] = run.alpha
    elif run.alpha:
        raise UserError(f"alpha must be 0: the loss {name} has none")
    for argument in arguments:
        if argument not in parameters:
            allowed = ", ".join(other for other in parameters if other != "alpha") or "it has none besides alpha"
            raise UserError(f"loss_arguments: {name} takes no {argument!r}: {allowed}")
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"loss_arguments: {name}: {shortened(str(error), 200)}") from error


@dataclass(frozen=True)
class Distillation:
    """(1 − β) H(y, p) + β H(pᵗ(T), p(T)) (section 4 of the paper), p(T) = softmax(logits / T).

    teacher: a batch to the teacher's logits (B, K) of the very views that the student sees; alpha: smoothing of y.
    squared: multiply the distilled term by T², so that its gradient keeps its size (Hinton et al. 2015).
    """

    teacher: Callable[[Batch], Tensor]
    temperature: float
    beta: float
    alpha: float = 0.0
    squared: bool = False

    @cached_property
    def _own(self) -> Loss:
        return SmoothedCrossEntropy(alpha=self.alpha)

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Compute the loss, a scalar in nats, of logits (B, K)."""
        if self.beta == 0:
            return self._own(logits, batch)
        targets = F.softmax(self.teacher(batch) / self.temperature, dim=1)
        distilled = F.cross_entropy(logits / self.temperature, targets)
        if self.squared:
            distilled = distilled * self.temperature**2
        return distilled if self.beta == 1 else (1 - self.beta) * self._own(logits, batch) + self.beta * distilled


def smoothed_cross_entropy_of_output(activations: Tensor, output: nn.Linear, labels: Tensor, alpha: float) -> Tensor:
    """The `SmoothedCrossEntropy` of `output(activations)`, for many classes on a CPU.

    activations: (B, d), B at least 1; labels: (B,). The gradient is found with the loss, a few rows at a time, so that
    the logits of a whole batch, which take longer to move than to compute, never exist. On a GPU the plain way is used.
    """
    if activations.device.type != "cpu":
        return F.cross_entropy(output(activations).float(), labels, label_smoothing=alpha)
    return _OutputCrossEntropy.apply(activations, output.weight, output.bias, labels, alpha)


class _OutputCrossEntropy(torch.autograd.Function):
    """The mean smoothed cross-entropy of z = W h + b, with its gradients in h, W and b computed on the way."""

    @staticmethod
    def forward(ctx, activations: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, alpha: float) -> Tensor:
        loss = bias.new_zeros(())
        activations_gradient = torch.empty_like(activations)
        weight_gradient, bias_gradient = torch.zeros_like(weight), torch.zeros_like(bias)
        for start in range(0, len(labels), ROWS):
            rows = slice(start, start + ROWS)
            logits = F.linear(activations[rows], weight, bias).to(bias.dtype)
            log_normaliser, target_logit, logits_gradient = _summed_loss_(logits, labels[rows], alpha)
            loss -= target_logit
            loss += log_normaliser
            activations_gradient[rows] = logits_gradient @ weight
            weight_gradient += logits_gradient.T @ activations[rows]
            bias_gradient += logits_gradient.sum(dim=0)
        ctx.save_for_backward(activations_gradient, weight_gradient, bias_gradient)
        ctx.n = len(labels)
        return loss / ctx.n

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient / ctx.n * found for found in ctx.saved_tensors), None, None


def _summed_loss_(logits: Tensor, labels: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """The two terms of smoothed cross-entropy, log Σ exp z − [(1 − α) z_y + α mean(z)], and its gradient in z.

    Each term is summed over the rows of logits (n, K). The gradient (n, K), softmax(z) − (1 − α) y − α / K, takes the
    logits' place in memory.
    """
    labels = labels[:, None]
    target_logit = (1 - alpha) * logits.gather(1, labels).sum() + alpha * logits.mean(dim=1).sum()
    largest = logits.amax(dim=1, keepdim=True)
    exponentials = logits.sub_(largest).exp_()
    total = exponentials.sum(dim=1, keepdim=True)
    log_normaliser = (total.log() + largest).sum()
    probabilities = exponentials.div_(total)
    gradient = probabilities.sub_(alpha / logits.shape[1]).scatter_add_(1, labels, torch.full_like(total, alpha - 1))
    return log_normaliser, target_logit, gradient
