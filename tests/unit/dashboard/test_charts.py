from typing import Any

from dashboard import charts
from dashboard.reading import read_report
from tests.unit.dashboard import samples

DESIGN = samples.experiment()["design"]


def report() -> Any:
    return read_report(samples.winning_report(), design=DESIGN)


def rows_of(chart: Any) -> list[dict[str, Any]]:
    """Every row that is drawn."""
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


def test_effects_are_drawn_in_points_with_the_line_of_no_effect() -> None:
    rows = rows_of(charts.effects(report().metrics[0], "absolute", alpha=0.05))
    coupon = next(row for row in rows if row.get("row") == "coupon\nbetter")
    assert (round(coupon["estimate"], 3), round(coupon["lower"], 3), round(coupon["upper"], 3)) == (
        7.659,
        6.995,
        8.323,
    )
    assert coupon["colour"] == charts.BLUE
    assert {"at": 0} in rows


def test_relative_effects_are_drawn_in_percent() -> None:
    rows = rows_of(charts.effects(report().metrics[0], "relative", alpha=0.05))
    coupon = next(row for row in rows if row.get("row") == "coupon\nbetter")
    assert (coupon["estimate"], coupon["label"]) == (72.14, "+72.1%")


def test_a_guardrail_shows_where_harm_begins() -> None:
    guardrail = report().metrics[2]
    assert {"at": 0.2} in rows_of(charts.effects(guardrail, "absolute", alpha=0.05))
    assert charts.effects(guardrail, "relative", alpha=0.05) is None


def test_the_axis_always_has_zero_on_it() -> None:
    document = charts.effects(report().metrics[0], "absolute", alpha=0.05).to_dict()  # type: ignore[union-attr]
    scales = [layer["encoding"]["x"].get("scale", {}) for layer in document["layer"]]
    low, high = next(scale["domain"] for scale in scales if "domain" in scale)
    assert low < 0 < high


def test_an_effect_that_cannot_be_told_is_not_drawn() -> None:
    early = read_report(samples.early_report(), design=DESIGN)
    assert charts.effects(early.metrics[0], "absolute", alpha=0.05) is None


def test_the_funnel_counts_messages_per_hundred_users_and_leaves_silence_out() -> None:
    rows = rows_of(charts.funnel(report().arms, silent=frozenset({"silence"})))
    accepted = {row["variant"]: row["label"] for row in rows if row["stage"] == "Accepted by WhatsApp"}
    assert accepted == {"reminder": "94.0", "coupon": "93.9"}


def test_there_is_no_funnel_before_the_first_message() -> None:
    early = read_report(samples.early_report(), design=DESIGN)
    assert charts.funnel(early.arms, silent=frozenset()) is None


def test_the_control_is_grey_and_no_two_of_eight_arms_share_a_colour() -> None:
    document = samples.winning_report()
    document["arms"] = [samples.arm("silence", 1), *(samples.arm(f"v{i}", 1) for i in range(7))]
    colours = charts.arm_colours(read_report(document, design={}).arms)
    assert colours["silence"] == charts.GREY
    assert len(set(colours.values())) == 8
