from datetime import timedelta

import pytest

from analysis.reports.history import evenly
from analysis.reports.report_pictures import Axis, interval_picture, round_values, time_picture
from tests.unit.analysis.facts_of import AS_OF, OPTED_OUT, arm, report, two
from tests.unit.analysis.test_report_html import looks


def test_zero_is_in_every_picture_and_marks_keep_their_order():
    body = report(two(100, 150)).to_json()
    picture = interval_picture(body["metrics"][0], scale=100.0, unit=" pts")
    marks = picture.marks["b"]
    assert picture.zero < marks.lower < marks.estimate < marks.upper <= 96
    assert picture.zero == 4
    assert [tick.label for tick in picture.ticks] == ["0", "+2 pts", "+4 pts", "+6 pts"]
    assert picture.limit is None


def test_the_tolerated_harm_lies_on_the_side_of_harm():
    from analysis.stats.aggregates import Aggregate

    out = {"opted_out": Aggregate.from_counts(1000, 5)}
    body = report(two(1, 1, extra_c=out, extra_t=out), metrics=(OPTED_OUT,)).to_json()
    picture = interval_picture(body["metrics"][0], scale=100.0, unit="")
    assert picture.limit > picture.zero


def test_where_nothing_can_be_told_there_is_no_picture():
    body = report([arm("a", 0, control=True), arm("b", 0)]).to_json()
    assert interval_picture(body["metrics"][0], scale=1.0, unit="") is None
    assert time_picture(looks(1), "visit", ["coupon"], scale=1.0, unit="") is None
    assert time_picture(looks(5), "spend", ["coupon"], scale=1.0, unit="") is None


def test_time_goes_from_left_to_right_and_higher_is_up():
    picture = time_picture(looks(8), "visit", ["coupon", "nobody"], scale=100.0, unit=" pts")
    (line,) = picture.lines
    points = [tuple(map(float, pair.split(","))) for pair in line.line.split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert (points[0][0], points[-1][0]) == (4.0, 96.0)
    assert picture.zero > points[-1][1], "an effect above 0 stands above the line of 0"
    assert len(line.band.split()) == 16
    assert (picture.begin, picture.end, picture.looks) == (AS_OF, AS_OF + 7 * timedelta(hours=7), 8)
    assert all(0 <= float(number) <= 100 for pair in line.band.split() for number in pair.split(","))


@pytest.mark.parametrize(
    ("low", "high", "most", "values"),
    [(0, 10, 5, [0, 5, 10]), (-0.02, 0.13, 5, [0, 0.05, 0.1]), (1, 1, 5, [1]), (-1e9, 1e9, 3, [-1e9, 0, 1e9]), (0, 7, 4, [0, 2, 4, 6])],
)  # fmt: skip
def test_ticks_are_round(low, high, most, values):
    assert round_values(low, high, most) == pytest.approx(values)


def test_an_axis_without_length_puts_everything_in_the_middle():
    assert Axis(0.0, 0.0).at(0.0) == 50.0
    assert [tick.at for tick in Axis(0.0, 0.0).ticks(scale=1.0, unit="")] == [50.0]


def test_of_many_looks_some_are_left_out_evenly():
    chosen = evenly(range(1000), 120)
    assert (len(chosen), chosen[0], chosen[-1]) == (120, 0, 999)
    assert len(set(chosen)) == 120
