"""How what illustrates is named."""

from dataclasses import replace

from lsbook.chapters.shared import captions
from lsbook.core.config import Recipe, Run
from lsbook.core.store import Store

TEACHER = Run(dataset="mnist", model="mlp", alpha=0.1, seed=0, recipe=Recipe(steps=1, batch=100), examples=100)


def test_what_only_illustrates_is_named_with_its_seeds(put, tmp_path):
    records = [put(Store(tmp_path), replace(TEACHER, seed=seed)) for seed in range(3)]
    assert captions.illustrations({"A": records}) == "Every network here has enough seeds for a verdict."
    found = captions.illustrations({"A": records, "B": records[:1], "C": records[:2]})
    assert (
        found
        == "An illustration is all that too few seeds can be: B (1 seed) and C (2 seeds). No claim is tested there."
    )
