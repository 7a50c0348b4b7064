"""Losses. Each takes logits (B, K) and what they were computed from, and returns a mean over the batch in nats."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsbook.training.images.augmentation import Views


class Batch(NamedTuple):
    """Which images of the training split (B,), their labels (B,), and which view of each; None where views are too
    many to be numbered."""

    index: Tensor
    labels: Tensor
    views: Views | None


Loss = Callable[[Tensor, Batch], Tensor]

ROWS = 256  # whose logits over 8 000 words are 8 MB, which stay in a CPU's cache


def smoothed_cross_entropy(alpha: float) -> Loss:
    """Cross-entropy against y (1 − α) + α / K (section 1 of the paper), by PyTorch's own definition of it."""

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.labels, label_smoothing=alpha)

    return loss


def max_suppression(alpha: float) -> Loss:
    """MaxSup: H(y, p) + α (max_k z_k − mean_k z_k) (Zhou et al. 2025, arXiv 2502.15798, equation 8).

    Smoothed cross-entropy is H(y, p) + α (z_y − mean_k z_k): it holds the true logit down also where another is larger.
    """

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        excess = logits.amax(dim=1) - logits.mean(dim=1)
        return F.cross_entropy(logits, batch.labels) + alpha * excess.mean()

    return loss


NAMED = {"cross-entropy": smoothed_cross_entropy, "maxsup": max_suppression}  # as recipes name them


def distillation(
    teacher: Callable[[Batch], Tensor], temperature: float, beta: float, alpha: float = 0.0, squared: bool = False
) -> Loss:
    """(1 − β) H(y, p) + β H(pᵗ(T), p(T)) (section 4 of the paper), p(T) = softmax(logits / T).

    teacher: a batch to the teacher's logits (B, K) of the very views that the student sees; alpha: smoothing of y.
    squared: multiply the distilled term by T², so that its gradient keeps its size (Hinton et al. 2015).
    """
    own = smoothed_cross_entropy(alpha)

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        if beta == 0:
            return own(logits, batch)
        targets = F.softmax(teacher(batch) / temperature, dim=1)
        distilled = F.cross_entropy(logits / temperature, targets) * (temperature**2 if squared else 1)
        return distilled if beta == 1 else (1 - beta) * own(logits, batch) + beta * distilled

    return loss


def smoothed_cross_entropy_of_output(activations: Tensor, output: nn.Linear, labels: Tensor, alpha: float) -> Tensor:
    """`smoothed_cross_entropy(alpha)(output(activations), labels)`, for many classes on a CPU.

    activations: (B, d), B at least 1; labels: (B,). The gradient is found with the loss, a few rows at a time, so that
    the logits of a whole batch, which take longer to move than to compute, never exist. On a GPU the plain way is used.
    """
    if activations.device.type != "cpu":
        return F.cross_entropy(output(activations).float(), labels, label_smoothing=alpha)
    return _OutputCrossEntropy.apply(activations, output.weight, output.bias, labels, alpha)


class _OutputCrossEntropy(torch.autograd.Function):
    """Mean of log Σ exp z − (1 − α) z_y − α mean(z); its gradient in z is softmax(z) − (1 − α) y − α / K."""

    @staticmethod
    def forward(ctx, activations: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, alpha: float) -> Tensor:
        loss = bias.new_zeros(())
        by_activations = torch.empty_like(activations)
        by_weight, by_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        for start in range(0, len(labels), ROWS):
            rows = slice(start, start + ROWS)
            h, y = activations[rows], labels[rows, None]
            z = F.linear(h, weight, bias).to(bias.dtype)
            loss -= (1 - alpha) * z.gather(1, y).sum() + alpha * z.mean(dim=1).sum()
            largest = z.amax(dim=1, keepdim=True)
            total = z.sub_(largest).exp_().sum(dim=1, keepdim=True)
            loss += (total.log() + largest).sum()
            z.div_(total).sub_(alpha / z.shape[1]).scatter_add_(1, y, torch.full_like(total, alpha - 1))
            by_activations[rows] = z @ weight
            by_weight += z.T @ h
            by_bias += z.sum(dim=0)
        ctx.save_for_backward(by_activations, by_weight, by_bias)
        ctx.n = len(labels)
        return loss / ctx.n

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient / ctx.n * by for by in ctx.saved_tensors), None, None
