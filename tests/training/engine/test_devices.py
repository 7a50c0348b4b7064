"""Where arithmetic is done."""

import platform
import resource

import pytest
import torch

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
