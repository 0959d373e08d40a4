from typing import Any

from dashboard import charts, quality_charts
from dashboard.documents import QualityColumn
from dashboard.formats import NBSP


def column(name: str, share: float | None, light: str = "ok") -> QualityColumn:
    return QualityColumn(
        name=name,
        becomes="",
        light=light,
        share=share,
        invalid=0,
        distinct=1,
        exact=True,
        kinds={},
        numbers={},
    )


def rows_of(chart: Any) -> list[dict[str, Any]]:
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


def test_each_column_is_one_bar_in_the_order_of_the_file_with_its_number_and_its_light() -> None:
    chart = quality_charts.completeness(
        [column("b", 1.0), column("a", 0.5, "look"), column("c", 0.0, "bad"), column("d", None)]
    )
    bars = chart.to_dict()["layer"][0]["encoding"]
    assert bars["y"]["axis"]["labelOverlap"] is False, (
        "names that stand close together are left out by default"
    )
    assert rows_of(chart)[:3] == [
        {"column": "b", "filled": 100.0, "label": "100%", "colour": charts.BLUE},
        {"column": "a", "filled": 50.0, "label": "50.0%", "colour": quality_charts.ORANGE},
        {"column": "c", "filled": 0.0, "label": "0%", "colour": charts.VERMILLION},
    ]
    assert {row["column"] for row in rows_of(chart)} == {"a", "b", "c"}
    assert chart.to_dict()["layer"][0]["encoding"]["y"]["sort"] == ["b", "a", "c"]


def test_nothing_is_drawn_of_nothing() -> None:
    assert quality_charts.completeness([]) is None
    assert quality_charts.completeness([column("a", None)]) is None


def test_a_share_never_says_all_or_none_when_it_is_not() -> None:
    assert [quality_charts.filled(share) for share in (1.0, 0.99999, 0.00001, 0.0, None)] == [
        "100%",
        f">{NBSP}99.9%",
        f"<{NBSP}0.1%",
        "0%",
        "–",
    ]
