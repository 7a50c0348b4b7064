"""Where and with what a run was made: the part of a record that does not decide its outcome."""

import datetime
import platform
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from lsbook.core import checkout
from lsbook.core.errors import one_line
from lsbook.training.engine.devices import bfloat16_instructions, computes_in_bfloat16

PACKAGE = Path(__file__).parents[2]


def describe(device: torch.device, precision: str) -> dict:
    """Describe where a run is made, as a record's environment: versions, device, precision, threads, commit and date.

    On a GPU also the most of its memory that was reserved, in MB.
    """
    bfloat16 = precision == "mixed" and computes_in_bfloat16(device)
    gpu = {"gpu_memory_mb": round(torch.cuda.max_memory_reserved() / 1e6)} if device.type == "cuda" else {}
    return gpu | {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": _line(torch.cuda.get_device_name() if device.type == "cuda" else _processor()),
        "threads": torch.get_num_threads(),
        "precision": "bfloat16" if bfloat16 else "float32",
        "commit": _line(checkout.commit(PACKAGE / "__init__.py")),
        "recorded": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _line(text: str) -> str:
    """One line of at most 200 characters, as a record holds it."""
    return one_line(text).strip()[:200] or "unknown"


class Meter:
    """Measures the time since it was made and, of a GPU with pynvml, the energy, that of other runs on it included."""

    def __init__(self, device: torch.device):
        self.device, self.began, self.joules = device, time.perf_counter(), _joules(device)

    def read(self) -> dict[str, float]:
        """Return `elapsed_seconds` and, where energy can be read, `gpu_joules`."""
        facts: dict[str, float] = {"elapsed_seconds": round(time.perf_counter() - self.began, 1)}
        joules = _joules(self.device)
        if joules is not None and self.joules is not None:
            facts["gpu_joules"] = round(joules - self.joules)
        return facts


def _joules(device: torch.device) -> float | None:
    """Joules that the GPU has used since its driver was loaded; None where they cannot be read."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    if device.type != "cuda":
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
    except pynvml.NVMLError:
        return None


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else 1024 * size  # others than macOS count kilobytes


def _processor() -> str:
    """Model name of the CPU and the instructions that matter for speed."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return name + (f" ({special})" if (special := bfloat16_instructions()) else "")
