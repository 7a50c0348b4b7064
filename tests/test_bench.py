"""Benchmarks compare the same work; no test asks how fast it was."""

import json

import numpy as np
import torch

from lsbook import bench
from lsbook.models.alexnet import AlexNet


def test_both_ways_train_the_same_network():
    ours, plain = AlexNet((3, 24, 24), 10), bench.plain_alexnet()
    for target, source in zip(plain.parameters(), ours.parameters(), strict=True):
        target.data.copy_(source.data)
    x = torch.randn(4, 3, 24, 24)
    torch.testing.assert_close(plain(x), ours(x), rtol=1e-4, atol=1e-4)


def test_rounds_alternate_and_ratios_are_of_rates(monkeypatch):
    clock = iter(np.cumsum([0, 1, 0, 4, 0, 2, 0, 4, 0, 1, 0, 5]).tolist())  # ours 1, 2, 1 s; plain 4, 4, 5 s
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    calls = []
    work = bench.Benchmark("t", "u", 10, lambda: calls.append("ours"), lambda: calls.append("plain"))
    result = bench.measure("name", work, rounds=3)
    assert calls == ["ours", "plain"] * 4
    assert (result.ours, result.plain, result.ratio) == (10.0, 2.5, 4.0)


def test_the_plain_way_may_do_less(monkeypatch):
    clock = iter(np.cumsum([0, 2, 0, 4]).tolist())  # ours 10 in 2 s; plain 2 in 4 s
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    work = bench.Benchmark("t", "u", 10, lambda: None, lambda: None, plain_units=2)
    result = bench.measure("name", work, rounds=1)
    assert (result.ours, result.plain, result.ratio) == (5.0, 0.5, 10.0)


def test_table_and_json(monkeypatch, capsys):
    monkeypatch.setattr(bench, "STEPS", 1)
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench.measure, "__defaults__", (1,))
    monkeypatch.setattr(bench, "PHOTOGRAPHS", 2)
    monkeypatch.setattr(bench, "SENTENCES", 2)
    monkeypatch.setattr(bench, "VOCABULARY", 50)
    bench.main(["alexnet"])
    table = capsys.readouterr().out
    assert "AlexNet training, images/s" in table
    bench.main(as_json=True)
    answer = json.loads(capsys.readouterr().out)
    assert [result["name"] for result in answer["results"]] == ["alexnet", "decoding", "translation"]
    assert all(result["ratio"] > 0 for result in answer["results"])
    assert answer["machine"]["peak_memory_mb"] > 0
