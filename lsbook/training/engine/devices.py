"""Where and how arithmetic is done: device, precision, threads, memory, random state."""

import contextlib
import ctypes
import functools
import sys
from collections.abc import Iterator

import torch

from lsbook.core.errors import UserError, shortened

# How torch, CUDA's libraries and C++ say that there is no memory; NumPy and Python raise MemoryError.
NO_MEMORY = "out of memory", "can't allocate memory", "ALLOC_FAILED", "bad_alloc"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MMAP_THRESHOLDS = 2**31 - 1, 2**25  # block to keep, in bytes: of newer and of older versions


def _keep_freed_memory() -> None:
    """Let the C library keep what a step frees for the next one.

    Else the system, which clears every page that it gives out, does so at each step again: a third of a small network's
    time.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # of another C library
            mallopt = ctypes.CDLL(None).mallopt
            if any(mallopt(M_MMAP_THRESHOLD, size) for size in MMAP_THRESHOLDS):
                mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextlib.contextmanager
def enough_memory(what: object) -> Iterator[None]:
    """Within it memory that cannot be had is a UserError, whoever asked for it. what: the work that needs it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in NO_MEMORY):
            raise
        advice = "free some, train fewer at a time (--jobs), or another run with a smaller batch (lsbook train --batch)"
        raise UserError(f"{what}: out of memory ({shortened(str(error), 200)}); {advice}") from None


@functools.cache
def _prepare() -> None:
    """Set, once, what holds for all of this process."""
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32, on a GPU's convolutions too
    torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for every shape, and a beam search has very many
    _keep_freed_memory()


def device() -> torch.device:
    """Return the GPU if there is one, else the CPU.

    All computing begins with this call, so it also sets PyTorch's global switches and the C library's memory.
    """
    _prepare()
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def set_num_threads(n: int) -> None:
    """Let PyTorch compute with n threads from now on."""
    torch.set_num_threads(n)


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16 products; a CPU without them would emulate these, slowly."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(bfloat16_instructions())


def bfloat16_instructions() -> str:
    """Name the instructions that this CPU has for bfloat16 products; "" if it has none."""
    known = {"AMX": "_is_amx_tile_supported", "AVX-512 BF16": "_is_avx512_bf16_supported"}
    return next((name for name, call in known.items() if getattr(torch.cpu, call, lambda: False)()), "")


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Return the context of a forward pass under a recipe's precision: bfloat16 autocast, or nothing."""
    if precision == "mixed" and computes_in_bfloat16(device):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of the torch generators that a training on the device draws from, by device type."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(device: torch.device, states: dict[str, torch.Tensor]) -> None:
    """Set what `random_state` gave; a GPU's generator stays as it is when the states are of a training on a CPU."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


@contextlib.contextmanager
def isolated_rng(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch for the block, and restore its random state afterwards.

    On a GPU the block's work is on a stream of its own, which CUDA graphs need.
    """
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        torch.manual_seed(seed)
        with torch.cuda.stream(torch.cuda.Stream(device)) if on_gpu else contextlib.nullcontext():
            yield
