"""Where arithmetic is done: device, number format, threads."""

import contextlib
from collections.abc import Iterator

import torch


def device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_threads(n: int) -> None:
    """Compute with n threads from now on."""
    torch.set_num_threads(n)


def fitting() -> int:
    """How often the most that this process has used of the GPU's memory fits into nine tenths of it, at least once."""
    _, total = torch.cuda.mem_get_info()
    return max(1, int(0.9 * total / torch.cuda.max_memory_reserved()))


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


def random_state(where: torch.device) -> dict[str, torch.Tensor]:
    """The state of torch's random generators that a training there draws from."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(where)} if where.type == "cuda" else {})


def set_random_state(where: torch.device, states: dict[str, torch.Tensor]) -> None:
    """The inverse of `random_state`; a GPU's generator stays as it is when the states are of a training on a CPU."""
    torch.set_rng_state(states["cpu"])
    if where.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], where)


class Own:
    """What one of several trainings in a process has to itself: torch's random numbers and, on a GPU, a stream.

    Called, it is a context within which torch uses them; state: the random numbers' when outside it.
    """

    def __init__(self, where: torch.device, seed: int):
        """seed: where the random numbers begin."""
        self.where = where
        self.stream = torch.cuda.Stream(where) if where.type == "cuda" else None
        with torch.random.fork_rng(devices=[where] if self.stream else []):
            torch.manual_seed(seed)
            self.state = random_state(where)

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        around = random_state(self.where)
        set_random_state(self.where, self.state)
        try:
            with torch.cuda.stream(self.stream) if self.stream else contextlib.nullcontext():
                yield
        finally:
            self.state = random_state(self.where)
            set_random_state(self.where, around)
