"""How many floating-point operations a training takes, counted by PyTorch."""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_flops_per_example(model: nn.Module, inputs: tuple[Tensor, ...], examples: int) -> int:
    """Count the operations of matrix products and convolutions in one forward and backward pass, for each example.

    A multiplication and an addition are two operations. The passes are those of the evaluation mode, which draws no
    random numbers and changes no statistics of batch normalisation; weights and their gradients stay as they are.

    Args:
        model: a network whose output is logits (..., K).
        inputs: what it is called with.
        examples: how many images or tokens the inputs hold.
    """
    was_training = model.training
    model.eval()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    # Fused attention computes some products twice, or is not counted; how depends on the device.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        loss = model(*inputs).float().logsumexp(dim=-1).mean()
        torch.autograd.grad(loss, weights, allow_unused=True)
    model.train(was_training)
    return round(counter.get_total_flops() / examples)
