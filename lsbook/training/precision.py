"""Where arithmetic is done: device, number format, threads."""

import contextlib

import torch


def device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computes_in_bfloat16(where: torch.device) -> bool:
    """Whether bfloat16 products run on matrix units there (a CPU without them would only emulate it, slowly)."""
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def autocast(where: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """The context of a forward pass under a recipe's precision."""
    if precision == "mixed" and computes_in_bfloat16(where):
        return torch.autocast(where.type, torch.bfloat16)
    return contextlib.nullcontext()
