"""Where arithmetic is done."""

import platform
import resource

import numpy as np
import pytest
import torch

from lsbook.core.errors import UserError
from lsbook.training.engine import devices


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_used_again():
    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [torch.ones(2**22) for _ in range(8)]  # 16 MB in 4096 pages each, freed together
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, len(blocks)

    devices.device()  # which prepares the process
    assert min(faults()[0] for _ in range(10)) < 100


@pytest.mark.parametrize(
    ("has", "name"),
    [
        ({"_is_amx_tile_supported", "_is_avx512_bf16_supported"}, "AMX"),
        ({"_is_avx512_bf16_supported"}, "AVX-512 BF16"),
        (set(), ""),
    ],
)
def test_a_cpu_computes_in_bfloat16_if_it_has_instructions_for_it(monkeypatch, has, name):
    for call in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, call, lambda call=call: call in has, raising=False)
    assert devices.bfloat16_instructions() == name
    assert devices.computes_in_bfloat16(torch.device("cpu")) == bool(name)


@pytest.mark.parametrize(
    "ask",
    [lambda: torch.empty(2**55), lambda: np.empty(2**55), lambda: bytes(2**60)],
    ids=["torch", "NumPy", "Python"],
)
def test_memory_that_nobody_has_is_one_line(ask):
    """Really asked for; a GPU's is not had here."""
    one_line = pytest.raises(UserError, match=r"the work: out of memory \(.*\); free some, .* a smaller batch")
    with one_line as caught, devices.enough_memory("the work"):
        ask()
    assert str(caught.value).isprintable()


def test_errors_of_another_kind_keep_their_traceback():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), devices.enough_memory("the work"):
        torch.ones(2, 3) @ torch.ones(2, 3)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_gpu_without_memory_is_one_line(error):
    """As its libraries say it."""
    with pytest.raises(UserError, match="the work: out of memory"), devices.enough_memory("the work"):
        raise error
