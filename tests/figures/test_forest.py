"""Where intervals lie on the axis of a forest plot, and what marks say."""

import re

import pytest

from lsbook.figures.forest import Axis, Row, RowGroup, forest_table
from lsbook.figures.marks import WORDS, hidden, mark
from lsbook.outputs import Markup


def row(mean, low, high, threshold=0.0, upward=True, **fields) -> Row:
    named = {
        "id": "a-row",
        "label": "net",
        "detail": "α = 0.1; 3 seeds",
        "means": "0 → 1",
        "shown": "+1",
        "required": "> 0",
    }
    return Row(
        interval=(mean, low, high), threshold=threshold, upward=upward, verdict=Markup("holds"), **named | fields
    )


def places(html: str, name: str) -> list[list[float]]:
    """left and, where it has one, width in percent of each span of that class."""
    found = re.findall(rf'class="{name}[^"]*" style="left:([^%]+)%(?:;width:([^%]+)%)?', html)
    return [[float(value) for value in pair if value] for pair in found]


def test_every_interval_has_its_place_on_one_axis():
    rows = [row(1, 0.5, 1.5), row(-3, -4, -2, threshold=0.5, upward=False)]
    html = forest_table("points", [[RowGroup("claim", "quantity", rows)]])
    axis = Axis([0.5, 1.5, 0.0, -4, -2, 0.5])
    assert places(html, "mean") == [[axis.place(1)], [axis.place(-3)]]
    assert places(html, "line") == [
        [axis.place(low), pytest.approx(axis.place(high) - axis.place(low), abs=0.02)]
        for low, high in [(0.5, 1.5), (-4, -2)]
    ]
    up, down = places(html, "claimed")
    assert up == [axis.place(0), pytest.approx(100 - axis.place(0))]
    assert down == [0, axis.place(0.5)]
    assert all(0 < left < 100 for left, *_ in places(html, "mean") + places(html, "threshold"))


def test_small_differences_have_an_axis_of_their_own():
    small, large = ([RowGroup("claim", "quantity", [row(size, 0, 2 * size)])] for size in (0.001, 1))
    html = forest_table("fraction", [small, large])
    assert places(html, "mean") == 2 * places(forest_table("fraction", [large]), "mean")
    assert html.count('class="axis"') == 2


def test_an_axis_keeps_order_and_has_its_ticks_inside():
    axis = Axis([-0.02, 0.0, 1.3])
    assert [axis.place(v) for v in (axis.low, axis.high)] == [0, 100]
    assert axis.place(-0.02) < axis.place(0.0) < axis.place(1.3)
    assert axis.ticks == [0.0, 0.5, 1.0]
    assert Axis([0.0, 1.89]).ticks == [0.0, 1.0]  # 2 lies within, but half of its label would not
    with pytest.raises(ValueError, match="values"):
        Axis([float("nan")])
    with pytest.raises(ValueError, match="values"):
        Axis([])


def test_what_is_not_tested_has_no_picture_and_moves_no_axis():
    untested = Row("id", "net", "1 seed", "0 → 1", None, 99.0, True, "—", "> 0", Markup("not tested"))
    alone = forest_table("points", [[RowGroup("claim", "quantity", [untested])]])
    assert "threshold" not in alone
    assert 'class="axis"' not in alone
    tested = row(1, 0, 2)
    with_it = forest_table("points", [[RowGroup("claim", "quantity", [tested, untested])]])
    without = forest_table("points", [[RowGroup("claim", "quantity", [tested])]])
    assert places(with_it, "mean") == places(without, "mean")


def test_what_is_shown_is_text():
    html = forest_table("<b>", [[RowGroup("<i>", "*x*", [row(0, -1, 1, label="<script>", detail="&amp;")])]])
    assert "<script" not in html
    assert "<b>" not in html
    assert "<i>" not in html
    assert "&amp;" not in html


def test_marks_differ_and_words_say_what_they_mean():
    drawn = {mark(verdict, square) for verdict in WORDS for square in (False, True)}
    assert len(drawn) == 2 * len(WORDS) - 1  # what is not tested has one dash
    assert hidden("a<b") == '<span class="visually-hidden">a&#60;b</span>'
    with pytest.raises(KeyError):
        mark("proven")
