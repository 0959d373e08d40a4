from datetime import UTC, datetime

import pytest

from dashboard import formats
from dashboard.documents import ArmMean, Interval


def shown(text: str) -> str:
    return text.replace(formats.NBSP, " ")


@pytest.mark.parametrize(
    ("half_width", "decimals"),
    [(0.66, 2), (3.2, 1), (45, 0), (0.0123, 3), (None, 2), (0, 2), (1e-12, 6), (1e9, 0)],
)
def test_an_estimate_shows_two_digits_of_its_uncertainty(half_width: float | None, decimals: int) -> None:
    assert formats.decimals_for(half_width) == decimals


def test_a_difference_of_proportions_is_in_points_and_one_of_means_in_its_unit() -> None:
    interval = Interval(0.07658956, 0.06995315, 0.08322598)
    assert shown(formats.difference_text(interval, "proportion")) == "+7.66 points"
    assert formats.difference_range(interval, "proportion") == "+7.00 to +8.32"
    spend = Interval(-0.10279, -0.38728, 0.1817)
    assert formats.difference_text(spend, "mean") == "−0.10"
    assert formats.difference_range(spend, "mean") == "−0.39 to +0.18"


def test_a_relative_effect_is_in_percent() -> None:
    assert formats.relative_text(Interval(0.7214, 0.6467, 0.7961)) == "+72.1%"
    assert formats.relative_range(Interval(0.7214, 0.6467, 0.7961)) == "+64.7% to +79.6%"


def test_what_is_not_known_is_a_dash_and_never_a_number() -> None:
    assert formats.difference_text(None, "mean") == "–"
    assert formats.difference_range(None, "mean") == "–"
    assert formats.relative_text(None) == "–"
    assert formats.p_value(None) == "–"
    assert formats.probability(None) == "–"
    assert formats.level(None, "mean") == "–"
    assert formats.level(ArmMean("a", 0, None, None), "proportion") == "–"
    assert formats.count(None) == "–"
    assert formats.moment(None) == "–"


def test_an_open_bound_is_told() -> None:
    assert formats.difference_range(Interval(1.0, 0.5, None), "mean") == "at least +0.50"
    assert formats.difference_range(Interval(1.0, None, 1.5), "mean") == "at most +1.50"
    assert formats.difference_range(Interval(1.0, None, None), "mean") == "bounds not known"


def test_certainty_is_never_shown_as_nought_or_hundred_percent() -> None:
    assert shown(formats.probability(1.0)) == "> 99.9%"
    assert shown(formats.probability(0.0)) == "< 0.1%"
    assert shown(formats.p_value(1e-112)) == "< 0.001"
    assert formats.p_value(0.0312) == "0.031"


def test_a_level_is_as_exact_as_its_uncertainty() -> None:
    assert formats.level(ArmMean("a", 21307, 0.18276, 0.38648), "proportion") == "18.28%"
    assert formats.level(ArmMean("a", 40, 0.18276, 0.38648), "proportion") == "18%"
    assert formats.level(ArmMean("a", 21387, 1.0772, 15.1), "mean") == "1.08"


def test_times_are_in_utc() -> None:
    assert formats.moment(datetime(2026, 12, 1, 9, 5, tzinfo=UTC)) == "1 Dec 2026, 09:05 UTC"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("![x](http://evil)", "!\\[x\\](http\\:\u200b//evil)"),
        ("$5 or $10", r"\$5 or \$10"),
        (":red[danger]", r"\:red\[danger\]"),
        ("<b>", r"\<b\>"),
        ("- one\n- two", r"\- one - two"),
        ("1. one", "1\u200b. one"),
        ("10:30 as planned: fine", r"10\:30 as planned: fine"),
        ("at 12:30:45", r"at 12\:30\:45"),
        ("WWW.evil.example", "WWW\u200b.evil.example"),
        (":tada: :+1:", "\\:\u200btada: \\:\u200b+1:"),
        ("\u2192:material/home:", "\u2192\\:\u200bmaterial/home:"),
    ],
)
def test_text_of_other_people_is_shown_letter_by_letter(text: str, safe: str) -> None:
    assert formats.plain(text) == safe


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.0, 1, "0.0%"),
        (1.0, 1, "100.0%"),
        (0.00049, 1, "< 0.1%"),
        (0.99951, 1, "> 99.9%"),
        (0.9996, 0, "> 99%"),
        (0.004, 0, "< 1%"),
        (0.99996, 2, "> 99.99%"),
        (0.5, 0, "50%"),
        (12.5, 1, "1,250.0%"),
        (-0.1, 1, "−10.0%"),
    ],
)
def test_a_share_never_says_none_or_all_when_it_is_not(value: float, decimals: int, text: str) -> None:
    assert shown(formats.percent(value, decimals)) == text


def test_a_share_of_counts_says_all_only_of_all() -> None:
    assert [shown(formats.share(part, 100_000)) for part in (0, 1, 99_999, 100_000)] == [
        "0.0%",
        "< 0.1%",
        "> 99.9%",
        "100.0%",
    ]
    assert formats.share(0, 0) == "–"


def test_large_numbers_have_no_exponent() -> None:
    assert [formats.brief(value) for value in (1e6, 12345.0, 1250, 0.07, -3.14159, 1e-9)] == [
        "1,000,000",
        "12,345",
        "1,250",
        "0.07",
        "−3.14",
        "0.000000001",
    ]
    assert (formats.signed(20), formats.signed(-0.5), formats.signed(0)) == ("+2,000%", "−50%", "0%")
    assert formats.tolerance(1_234_567.0, "mean") == "1,234,567"
    assert formats.tolerance(0.002, "proportion") == "0.2 points"


def test_no_level_of_confidence_and_no_p_value_is_rounded_to_certainty() -> None:
    assert [formats.confidence(alpha) for alpha in (0.05, 0.07, 1e-7)] == ["95%", "93%", "99.99999%"]
    assert [shown(formats.p_value(p)) for p in (0.9999, 1.0, 0.999)] == ["> 0.999", "1.000", "0.999"]


def test_a_level_of_nearly_everybody_is_not_everybody() -> None:
    assert shown(formats.level(ArmMean("a", 10, 0.99996, 0.006), "proportion")) == "> 99.99%"


def test_a_bound_beside_zero_is_not_told_as_zero() -> None:
    sure = Interval(0.05, 0.0002198, 0.09978)
    assert shown(formats.difference_text(sure, "proportion")) == "+5.00 points"
    assert formats.difference_range(sure, "proportion") == "+0.02 to +9.98"
    assert formats.relative_range(Interval(0.68, 0.003, 2.09)) == "+0.3% to +209.0%"
    assert formats.difference_range(Interval(5.0, -0.004, 10.004), "mean") == "−0.004 to +10.004"
    assert formats.difference_range(Interval(5.0, 0.0, 10.0), "mean") == "0.0 to +10.0"
