"""Where arithmetic is done: device, number format, threads, memory."""

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
LARGEST = 2**31 - 1, 2**25  # block to keep, in bytes: of newer and of older versions


def _keep_freed_memory() -> None:
    """Let the C library keep what a step frees for the next one. Else the system, which clears every page that it gives
    out, does so at each step again: a third of a small network's time."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # of another C library
            mallopt = ctypes.CDLL(None).mallopt
            if any(mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST):
                mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextlib.contextmanager
def enough_memory(what: object) -> Iterator[None]:
    """Within it memory that cannot be had is a UserError, whoever asked for it. what: the work that needs it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in NO_MEMORY):
            raise
        advice = "free some, train fewer runs at a time (--jobs), or another run with a smaller batch (-r batch)"
        raise UserError(f"{what}: out of memory ({shortened(str(error), 200)}); {advice}") from None


@functools.cache
def _prepare() -> None:
    """Set what holds for all of this process."""
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32, on a GPU's convolutions too
    torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for every shape, and a beam search has very many
    _keep_freed_memory()


def device() -> torch.device:
    """The GPU if there is one, else the CPU. All computing begins by asking for it, so the process is prepared here."""
    _prepare()
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_threads(n: int) -> None:
    """Compute with n threads from now on."""
    torch.set_num_threads(n)


def computes_in_bfloat16(where: torch.device) -> bool:
    """Whether bfloat16 products have instructions of their own there (a CPU without them would only emulate it,
    slowly)."""
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(bfloat16_instructions())


def bfloat16_instructions() -> str:
    """The name of those that this CPU has for bfloat16 products, "" if none."""
    asked = {"AMX": "_is_amx_tile_supported", "AVX-512 BF16": "_is_avx512_bf16_supported"}
    return next((name for name, call in asked.items() if getattr(torch.cpu, call, lambda: False)()), "")


def autocast(where: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """The context of a forward pass under a recipe's precision."""
    if precision == "mixed" and computes_in_bfloat16(where):
        return torch.autocast(where.type, torch.bfloat16)
    return contextlib.nullcontext()


def random_state(where: torch.device) -> dict[str, torch.Tensor]:
    """The state of torch's random generators that a training there draws from."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(where)} if where.type == "cuda" else {})


def set_random_state(where: torch.device, states: dict[str, torch.Tensor]) -> None:
    """The inverse of `random_state`; a GPU's generator stays as it is when the states are of a training on a CPU."""
    torch.set_rng_state(states["cpu"])
    if where.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], where)


@contextlib.contextmanager
def isolated(where: torch.device, seed: int) -> Iterator[None]:
    """Within it torch's random numbers begin at `seed`; afterwards they go on as if nothing had been.

    On a GPU the work is on a stream of its own, which CUDA graphs need.
    """
    on_gpu = where.type == "cuda"
    with torch.random.fork_rng([where] if on_gpu else []):
        torch.manual_seed(seed)
        with torch.cuda.stream(torch.cuda.Stream(where)) if on_gpu else contextlib.nullcontext():
            yield
