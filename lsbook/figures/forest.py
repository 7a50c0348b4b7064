"""Forest plots as HTML tables: every interval of a claim, in one unit, on one axis, its numbers beside it.

Places are percentages of the column's width, so the picture needs no script, fits a phone and can be checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lsbook.outputs import Markup


@dataclass(frozen=True)
class Row:
    """An interval of a difference, or its absence.

    id: the row's anchor; label, detail: what was measured on, and under which conditions; means: of both arms;
    interval: (mean, low, high) in the axis' unit, None where it is not tested; threshold: where the claimed side
    begins; upward: whether that is above it; shown, required, verdict: difference, threshold and verdict in words and
    marks; paper_protocol: drawn as a square, else as a circle.
    """

    id: str
    label: str
    detail: str
    means: str
    interval: tuple[float, float, float] | None
    threshold: float
    upward: bool
    shown: str
    required: str
    verdict: Markup
    paper_protocol: bool = False


@dataclass(frozen=True)
class RowGroup:
    """The rows of one quantity. title: the claim in words; detail: the quantity, on whose difference the rows are."""

    title: str
    detail: str
    rows: Sequence[Row]


ROOM = 4  # percent of an axis at both ends, in which a label would reach beyond it


class Axis:
    """A scale that holds given values, and where on it they lie.

    Raises ValueError when there is none, or one is not finite.
    """

    def __init__(self, values: Sequence[float]):
        if not len(values) or not np.isfinite(values).all():
            raise ValueError("values: an axis needs finite ones")
        low, high = min(values), max(values)
        margin = 0.06 * ((high - low) or abs(high) or 1.0)
        self.low, self.high = low - margin, high + margin
        from matplotlib.ticker import MaxNLocator  # which a sweep, that draws nothing, does without

        found = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        self.ticks = [tick for tick in found if ROOM <= self.place(tick) <= 100 - ROOM]

    def place(self, value: float) -> float:
        """Percent of the width from the left."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def forest_table(caption: str, blocks: Sequence[Sequence[RowGroup]]) -> Markup:
    """The table of groups of rows. caption: what is shown, with its unit; blocks: groups that share an axis."""
    body = Markup("").join(map(_block, blocks))
    return Markup(
        '<table class="forest"><caption>{}</caption><thead><tr><th scope="col">network, conditions</th>'
        '<th scope="col"><span class="visually-hidden">picture of the interval</span></th>'
        '<th scope="col">from → to</th><th scope="col">difference [95 % interval]</th>'
        '<th scope="col">must be</th><th scope="col">verdict</th></tr>'
        "</thead>{}</table>"
    ).format(caption, body)


def _block(groups: Sequence[RowGroup]) -> Markup:
    """Groups on one axis, which stands below them."""
    drawn = [(row.interval, row.threshold) for group in groups for row in group.rows if row.interval]
    ends = [end for (_, low, high), threshold in drawn for end in (low, high, threshold)]
    axis = Axis(ends or [0.0])
    rows = Markup("").join(_group(group, axis) for group in groups)
    return Markup("<tbody>{}{}</tbody>").format(rows, _ticks(axis) if ends else "")


def _group(group: RowGroup, axis: Axis) -> Markup:
    heading = Markup(
        '<tr class="quantity"><th scope="rowgroup" colspan="6"><strong>{}</strong> <small>{}</small></th></tr>'
    ).format(group.title, group.detail)
    return Markup("").join([heading, *(_row(row, axis) for row in group.rows)])


def _row(row: Row, axis: Axis) -> Markup:
    return Markup(
        '<tr id="{}"><th scope="row">{} <small>{}</small></th><td class="plot">{}</td>'
        '<td data-label="from → to">{}</td><td data-label="difference">{}</td>'
        '<td data-label="must be">{}</td><td class="verdict">{}</td></tr>'
    ).format(row.id, row.label, row.detail, _picture(row, axis), row.means, row.shown, row.required, row.verdict)


def _picture(row: Row, axis: Axis) -> Markup:
    """The claimed side tinted, the threshold, the interval and its mean."""
    if row.interval is None:
        return Markup("")
    mean, low, high = map(axis.place, row.interval)
    threshold = axis.place(row.threshold)
    left, right = (threshold, 100) if row.upward else (0, threshold)
    return Markup(
        '<div class="interval" aria-hidden="true"><span class="claimed" style="left:{:g}%;width:{:g}%"></span>'
        '<span class="threshold" style="left:{:g}%"></span><span class="line" style="left:{:g}%;width:{:.4g}%"></span>'
        '<span class="mean {}" style="left:{:g}%"></span></div>'
    ).format(left, right - left, threshold, low, high - low, "square" if row.paper_protocol else "circle", mean)


def _ticks(axis: Axis) -> Markup:
    labels = Markup("").join(
        Markup('<span style="left:{:g}%">{}</span>').format(axis.place(tick), f"{tick:g}".replace("-", "−"))
        for tick in axis.ticks
    )
    return Markup(
        '<tr class="axis" aria-hidden="true"><td></td><td class="plot"><div class="interval">{}</div></td>'
        "<td></td><td></td><td></td><td></td></tr>"
    ).format(labels)
