"""The definition at work: the worked example, the two parts of the loss, the optimal logit gap; and Table 1."""

import numpy as np

from lsbook.analysis import targets
from lsbook.core.errors import UserError, brief, real_number, whole_number
from lsbook.evidence import literature
from lsbook.outputs import Table, cell_frame

MOST_CLASSES = 10_000  # seconds, and less than a gigabyte


def check_choice(alpha: float, n_classes: int) -> None:
    """UserError unless there is something to smooth, and no more than fits."""
    if not 0 < real_number("alpha", alpha) < 1:
        raise UserError(f"alpha must be a number between 0 and 1 here, not {brief(alpha)}")
    whole_number("n_classes", n_classes, 2, MOST_CLASSES)


def worked_example(alpha: float) -> Table:
    """Hard and smoothed target of an example of the second of three classes."""
    label = np.array([1])
    found = {
        "hard": targets.smooth_targets(label, 3, 0.0)[0],
        f"smoothed, α = {alpha:g}": targets.smooth_targets(label, 3, alpha)[0],
    }
    return Table(
        "table-worked-example",
        "Targets of an example whose class is the second of three.",
        cell_frame(
            ("", "class 1", "class 2", "class 3", "sum"),
            ((name, *(f"{y:.4f}" for y in target), f"{target.sum():.4f}") for name, target in found.items()),
        ),
    )


def two_parts(alpha: float, n_classes: int, examples: int = 1_000) -> float:
    """Largest difference, in nats, between H(y^LS, p) and (1 − α) H(y, p) + α H(u, p) on random logits."""
    generator = np.random.default_rng(0)
    logits = 5 * generator.standard_normal((examples, n_classes))
    labels = generator.integers(n_classes, size=examples)
    hard, smoothed = (targets.smooth_targets(labels, n_classes, factor) for factor in (0.0, alpha))
    uniform = np.full_like(hard, 1 / n_classes)
    sum_of_parts = (1 - alpha) * targets.cross_entropy(logits, hard) + alpha * targets.cross_entropy(logits, uniform)
    return float(np.abs(targets.cross_entropy(logits, smoothed) - sum_of_parts).max())


def found_gaps(alpha: float, n_classes: int) -> list[tuple[int, float, float]]:
    """(K, α, gap found by minimising the loss numerically) for this and for fixed settings."""
    settings = [(n_classes, alpha), *((k, a) for k in (10, 100, 1_000) for a in (0.01, 0.1))]
    gaps = []
    for k, factor in dict.fromkeys(settings):
        logits = targets.minimise_loss(k, factor)
        gaps.append((k, factor, float(logits[0] - logits[1:].mean())))
    return gaps


def gap_table(found: list[tuple[int, float, float]]) -> Table:
    """The formula beside what the optimiser finds."""
    rows = []
    for k, alpha, gap in found:
        best = targets.optimal_logit_gap(k, alpha)
        rows.append((f"{k}", f"{alpha:g}", f"{best:.6f}", f"{gap:.6f}", f"{gap - best:.0e}"))
    return Table(
        "table-gaps",
        "The optimal logit gap in nats: by the formula, and found by minimising the smoothed loss of one example.",
        cell_frame(("classes K", "α", "formula", "found", "difference"), rows),
    )


def survey_table() -> Table:
    """Table 1 of the paper: where smoothing had been used, and with what gain."""
    rows = []
    for (dataset, model, metric), arms in literature.TABLE_1.items():
        smoothed = " / ".join(f"{number.value}" for arm, number in arms.items() if arm != "hard")
        unit = arms["hard"].unit
        name = metric if unit in ("", metric) else f"{metric} ({unit})"
        rows.append((f"{dataset}, {model}", name, f"{arms['hard'].value}", smoothed))
    return Table(
        "table-survey",
        "Label smoothing in use before the paper, as its Table 1 reports it: published numbers, none measured here.",
        cell_frame(("data, network", "measure", "hard targets", "smoothed"), rows),
    )
