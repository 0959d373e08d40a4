import math
import re
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import pytest

from dashboard import charts, charts_over_time, sparks, viewer
from dashboard.course import Point
from dashboard.documents import Interval, Metric
from dashboard.reading import read_report
from dashboard.traffic import read_traffic
from dashboard.verdicts import Verdict
from tests.unit.dashboard import samples

COLOURS = {"silence": charts.GREY, "reminder": "#0072B2", "coupon": "#E69F00"}


def metric(**bayes: Any) -> Metric:
    document = samples.winning_report()
    document["metrics"][0]["effects"][1]["bayes"] |= bayes
    return read_report(document, design=samples.experiment()["design"]).metrics[0]


def rows_of(chart: Any) -> list[dict[str, Any]]:
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


def point(day: int, interval: Interval | None, **changes: Any) -> Point:
    told = {"report": day, "metric": "visited", "variant": "coupon", "users": 10, "p_value": None}
    return Point(at=datetime(2026, 12, day, 22, tzinfo=UTC), interval=interval, **{**told, **changes})


def test_the_course_is_drawn_in_points_with_its_band_and_the_line_of_no_effect() -> None:
    points = [point(1, None), point(2, Interval(0.05, -0.01, 0.11)), point(3, Interval(0.07, 0.06, 0.08))]
    rows = rows_of(charts_over_time.course(points, metric(), colours=COLOURS))
    drawn = [row for row in rows if "estimate" in row]
    assert [(row["estimate"], row["lower"], row["upper"]) for row in drawn] == [
        (5.0, -1.0, 11.0),
        (pytest.approx(7.0), 6.0, 8.0),
    ]
    assert {"zero": 0} in rows


def test_times_are_drawn_in_the_viewers_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "zone_name", lambda: "Asia/Shanghai")
    chart = charts_over_time.course([point(2, Interval(0.05, 0, 0.1))], metric(), colours=COLOURS)
    assert [row["at"] for row in rows_of(chart) if "at" in row] == ["2026-12-03T06:00:00"]
    assert "Asia/Shanghai" in str(chart.to_dict())  # type: ignore[union-attr]


def test_there_is_no_course_of_another_metric_or_of_nothing_known() -> None:
    points = [point(1, None), point(2, Interval(0.1, 0, 0.2), metric="spend"), point(3, Interval(1, None, 2))]
    assert charts_over_time.course(points, metric(), colours=COLOURS) is None


def test_weights_step_from_epoch_to_epoch_and_go_on_to_the_end() -> None:
    epochs = read_traffic(samples.traffic()).epochs
    end = datetime(2026, 12, 4, tzinfo=UTC)
    colours = charts_over_time.colours_of(["silence", "coupon"], "silence")
    rows = rows_of(charts_over_time.weights(epochs, until=end, colours=colours))
    coupon = [(row["at"][:10], row["share"]) for row in rows if row["variant"] == "coupon"]
    assert coupon == [("2026-12-01", 50.0), ("2026-12-03", 95.0), ("2026-12-04", 95.0)]
    before = datetime(2026, 12, 2, tzinfo=UTC)
    assert len(rows_of(charts_over_time.weights(epochs, until=before, colours=colours))) == 4
    assert charts_over_time.weights((), until=end, colours=colours) is None


def test_the_control_is_grey_whatever_its_place() -> None:
    assert charts_over_time.colours_of(["a", "b"], "b") == {"a": charts.ARM_COLOURS[1], "b": charts.GREY}


def test_a_density_has_the_middle_and_the_spread_of_its_interval() -> None:
    believed = metric(lower=0.06, upper=0.09)
    rows = [
        row
        for row in rows_of(charts_over_time.density(believed, colours=COLOURS, alpha=0.05))
        if "density" in row
    ]
    assert {row["variant"] for row in rows} == {"coupon"}
    peak = max(rows, key=lambda row: row["density"])
    assert peak["x"] == pytest.approx(7.5)
    # A normal density is 1 / (sd sqrt(2 pi)) at its middle; 95 % lie within 1.96 sd of it.
    sd = 1 / (peak["density"] * math.sqrt(2 * math.pi))
    assert sd == pytest.approx(1.5 / 1.959964, rel=1e-4)
    assert charts_over_time.density(metric(), colours=COLOURS, alpha=0.05) is None


def test_a_tiny_interval_lies_to_its_side_of_no_effect() -> None:
    def places(interval: Interval) -> dict[str, float]:
        svg = b64decode(sparks.picture(interval, Verdict.BETTER).partition(",")[2]).decode()
        assert charts.BLUE in svg
        # Of the line of no effect, of the interval, and of the dot.
        numbers = re.findall(r'(?:x1|x2|cx)="([-\d.]+)"', svg)
        zero, _, low, high, dot = (float(number) for number in numbers)
        return {"zero": zero, "low": low, "high": high, "dot": dot}

    right = places(Interval(0.05, 0.02, 0.08))
    assert right["zero"] == sparks.MARGIN < right["low"] < right["dot"] < right["high"]
    across = places(Interval(0.0, -0.02, 0.02))
    assert across["zero"] == across["dot"] == sparks.WIDTH / 2
    left = places(Interval(-0.05, None, -0.02))
    assert left["low"] == left["dot"] < left["high"] < left["zero"]
