"""What smoothing asks for: the optimal logit gap, by the formula and as an optimiser finds it; and Table 1."""

from lsbook.analysis import targets
from lsbook.chapters.shared import captions
from lsbook.core.errors import UserError, brief, real_number, whole_number
from lsbook.evidence import literature
from lsbook.outputs import Markup, Table, Text, cell_frame

MOST_CLASSES = 10_000  # seconds, and less than a gigabyte


def check_choice(alpha: float, n_classes: int) -> None:
    """UserError unless there is something to smooth, and no more than fits."""
    if not 0 < real_number("alpha", alpha) < 1:
        raise UserError(f"alpha must be a number between 0 and 1 here, not {brief(alpha)}")
    whole_number("n_classes", n_classes, 2, MOST_CLASSES)


def in_short(alpha: float, n_classes: int) -> Text:
    """What smoothing asks for, with the optimal gap and the least loss of a factor and a number of classes."""
    gap, loss = targets.optimal_logit_gap(n_classes, alpha), targets.smallest_loss(n_classes, alpha)
    return captions.short_answer(
        [
            "With hard targets a larger true logit always has a smaller loss.",
            f"Smoothed targets ask for a finite gap: with α = {alpha:g} and {n_classes:,} classes the true logit "
            f"should lie {gap:.2f} nats above each other one, and even there the loss is {loss:.2f} nats.",
            "So an activation should be nearer to its own class’s template than to the others, and equally far from "
            "all of these.",
        ],
        Markup("You can {ref}`move the gap yourself <move-the-gap>`."),
    )


def found_gaps(alpha: float, n_classes: int) -> list[tuple[int, float, float]]:
    """(K, α, gap found by minimising the loss numerically) for this and for fixed settings."""
    settings = [(n_classes, alpha), *((k, a) for k in (10, 100, 1_000) for a in (0.01, 0.1))]
    gaps = []
    for k, factor in dict.fromkeys(settings):
        logits = targets.minimise_loss(k, factor)
        gaps.append((k, factor, float(logits[0] - logits[1:].mean())))
    return gaps


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
        "Label smoothing in use before the paper, as its Table 1 reports it (two values for WSJ), none measured here.",
        cell_frame(("data, network", "measure", "hard targets", "smoothed"), rows),
    )
