"""A text as large as WMT14 is prepared in little memory, and its first batch comes soon."""

import json
import subprocess
import sys

import numpy as np
import pytest

from lsbook.data import embedded

PAIRS, SIZE = 2_000_000, 32_000
# Prints pairs a second of encoding, seconds to the first batch when that is done, and the peak of resident memory.
SCRIPT = """
import json, sys, time
from lsbook.data import encoded, vocabulary
from lsbook.data.batches import Batches
from lsbook.training.engine.environment import peak_memory
words = vocabulary.load("large", int(sys.argv[1]))
began = time.perf_counter()
text = encoded.load("large", "train", words)
prepared = time.perf_counter()
batch = Batches(text, 50_000)(0)
ready = time.perf_counter()
tokens = int((batch.target_out != words.pad).sum())
print(json.dumps({"pairs": len(text), "tokens": tokens, "pairs_per_second": len(text) / (prepared - began),
                  "first_batch_seconds": ready - prepared, "peak_memory": peak_memory()}))
"""


def write_text(folder, n: int) -> None:
    """n pairs of made-up sentences, 10 to 40 words each of a vocabulary with the frequencies of a language (Zipf's)."""
    generator = np.random.default_rng(0)
    known = sorted(
        {word for pair in embedded.pairs("train") for sentence in pair for word in sentence.strip(".").split()}
    )
    words = np.array(["".join(generator.choice(known, 2)) for _ in range(50_000)])
    for language in ("en", "de"):
        with (folder / f"train.{language}").open("w") as file:
            for start in range(0, n, 10_000):
                count = min(10_000, n - start)
                lengths = generator.integers(10, 41, count)
                drawn = words[np.minimum(generator.zipf(1.3, lengths.sum()), len(words)) - 1]
                ends = np.cumsum(lengths)
                file.writelines(" ".join(drawn[e - k : e]) + ".\n" for e, k in zip(ends, lengths, strict=True))


@pytest.mark.long
def test_two_million_pairs_are_prepared_in_little_memory(data_folder, record_property):
    """Speed is said and not decided on: it should be 20 000 pairs/s, and a first batch within a second."""
    (data_folder / "large").mkdir()
    write_text(data_folder / "large", PAIRS)
    command = [sys.executable, "-c", SCRIPT, str(SIZE)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    record_property(
        "large text",
        "{pairs:,} pairs prepared, {pairs_per_second:,.0f} a second; the first batch "
        "{first_batch_seconds:.2f} s later; {peak_memory:,} bytes of memory at the most".format(**found),
    )
    assert found["pairs"] == PAIRS
    assert 15_000 < found["tokens"] < 30_000
    assert found["peak_memory"] < 2e9
