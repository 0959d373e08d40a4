"""What a variant may say about its message and its times; each mistake is named with the path of its field."""

from datetime import time, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from experiments.design import read_design
from experiments.errors import Invalid
from experiments.send_times import Frequency, SendTime, Weekday
from experiments.treatments import Variant

MESSAGE = {"template": "promo", "language": "en_US"}


def problems(**parts: Any) -> dict[str, str]:
    """Field -> what is wrong with a campaign whose second variant has these parts."""
    document = {
        "key": "spring",
        "name": "Spring",
        "variants": [{"key": "silence", "control": True}, {"key": "a", "message": MESSAGE, **parts}],
        "metrics": [
            {"key": "bought", "role": "primary", "kind": "proportion", "event": "Bought", "window": "400d"}
        ],
    }
    try:
        read_design(document, library={})
    except Invalid as error:
        return {problem.field or "": problem.message for problem in error.problems}
    return {}


def hours(of: timedelta) -> float:
    return of / timedelta(hours=1)


@pytest.mark.parametrize(
    ("send_time", "field", "words"),
    [
        ({}, "", "give `local_time`, `after` or `best_hour`"),
        ({"days": ["mon"]}, "", "`days` need a time of day"),
        ({"days": ["mon"], "after": "1h"}, "", "`days` need a time of day"),
        ({"local_time": "18:30", "days": ["mon", "mon"]}, "", "`days` names a day twice"),
        ({"local_time": "18:30", "days": ["monday"]}, ".days[0]", "'mon'"),
        ({"local_time": 1830}, ".local_time", "in quotes"),
        ({"local_time": "1830"}, ".local_time", "valid time"),
        ({"local_time": "18:30+01:00"}, ".local_time", "without an offset"),
        ({"after": "-1h"}, ".after", "not a duration"),
        ({"after": "366d"}, ".after", "must be between 0s and 365d, not 366d"),
        ({"after": 3600}, ".after", "write a duration as text"),
        ({"local_time": "18:30", "best_hour": {"fallback": "18:00"}}, "", "not both"),
        ({"best_hour": {}}, ".best_hour.fallback", "is required"),
        ({"best_hour": {"fallback": "23:00"}}, ".best_hour", "within the hours 8 to 21"),
        ({"best_hour": {"fallback": "20:00", "hours": [20, 6]}}, ".best_hour", "on the same day"),
        (
            {"best_hour": {"fallback": "20:00", "hours": [8, 24]}},
            ".best_hour.hours[1]",
            "less than or equal",
        ),
        ({"best_hour": {"fallback": "18:00", "explore": 1.1}}, ".best_hour.explore", "less than or equal"),
        ({"best_hour": {"fallback": "18:00", "min_evidence": 0}}, ".best_hour.min_evidence", "greater"),
        ({"at": "18:30"}, ".at", "unknown field"),
    ],
)
def test_a_send_time_that_cannot_be_is_refused(send_time: Any, field: str, words: str) -> None:
    found = problems(send_time=send_time)
    assert list(found) == [f"variants[1].send_time{field}"]
    assert words in found[f"variants[1].send_time{field}"]


@pytest.mark.parametrize(
    ("frequency", "field", "words"),
    [
        ({"steps": 0}, ".steps", "greater than or equal to 1"),
        ({"steps": 31}, ".steps", "less than or equal to 30"),
        ({"steps": 2, "min_interval": "0h"}, ".min_interval", "must be between 1s and 3650d, not 0s"),
        ({"steps": 2, "per_day": 0}, ".per_day", "greater than or equal to 1"),
        (
            {"per_day": 3, "min_interval": "12h"},
            "",
            "`per_day` 3 is never reached: the rest leaves room for 2",
        ),
        ({"per_day": 3, "per_week": 2}, "", "`per_day` 3 is never reached: the rest leaves room for 2"),
        ({"per_day": 1, "per_week": 8}, "", "`per_week` 8 is never reached: the rest leaves room for 7"),
        ({"per_week": 1, "per_month": 6}, "", "`per_month` 6 is never reached: the rest leaves room for 5"),
        ({"per_week": 5, "min_interval": "48h"}, "", "write 4, or widen the rest"),
        ({"steps": 2, "per_year": 3}, ".per_year", "unknown field"),
    ],
)
def test_a_frequency_that_cannot_be_is_refused(frequency: Any, field: str, words: str) -> None:
    found = problems(frequency=frequency)
    assert list(found) == [f"variants[1].frequency{field}"]
    assert words in found[f"variants[1].frequency{field}"]


@pytest.mark.parametrize(
    "frequency",
    [
        {"per_day": 3, "min_interval": "8h"},
        {"per_day": 3, "min_interval": "11h"},  # at 0, 11 and 22 hours
        {"per_day": 2, "per_week": 2},
        {"per_week": 1, "per_month": 5},  # days 0, 7, 14, 21 and 28 lie within 30 days
        {"steps": 10, "per_week": 1},  # stretches the series
        {"steps": 1, "per_month": 3},  # counts over the occasions of a recurring trigger
    ],
)
def test_a_frequency_whose_windows_can_be_filled_is_taken(frequency: Any) -> None:
    assert problems(frequency=frequency) == {}


@pytest.mark.parametrize(
    ("frequency", "interval"),
    [
        ({}, 24),
        ({"steps": 5, "per_week": 3}, 24),
        ({"per_day": 3}, 8),
        ({"per_week": 14}, 12),
        ({"per_day": 3, "per_week": 14}, 8),
        ({"per_day": 3, "min_interval": None}, 8),
        ({"per_day": 3, "min_interval": "2h"}, 2),
    ],
)
def test_without_an_interval_messages_are_spread_evenly(frequency: Any, interval: float) -> None:
    assert hours(Frequency.model_validate(frequency).min_interval) == interval


@pytest.mark.parametrize("number", range(1, 31))
def test_any_number_a_day_is_reachable_and_its_interval_can_be_written(number: int) -> None:
    frequency = Frequency.model_validate({"per_day": number})
    assert Frequency.model_validate(frequency.model_dump(mode="json")) == frequency


def test_waits_say_the_whole_frequency() -> None:
    frequency = Frequency.model_validate({"steps": 9, "per_day": 2, "per_month": 20, "min_interval": "3h"})
    assert frequency.waits == (
        (1, timedelta(hours=3)),
        (2, timedelta(days=1)),
        (20, timedelta(days=30)),
    )


def test_times_and_days_of_a_send_time() -> None:
    learned = SendTime.model_validate(
        {"best_hour": {"fallback": "18:30", "hours": [17, 19]}, "days": ["sun"]}
    )
    assert learned.times == (time(17, 30), time(18, 30), time(19, 30))
    assert learned.weekdays == {Weekday.SUN.number} == {6}
    assert SendTime(after="1h").times == ()
    assert SendTime(local_time="09:00").weekdays == set(range(7))


@pytest.mark.parametrize(
    ("parts", "field", "days"),
    [
        ({"frequency": {"steps": 30, "min_interval": "30d"}}, "frequency", 870),
        ({"frequency": {"steps": 30, "per_month": 2}}, "frequency", 421),
        (
            {"send_time": {"after": "300d"}, "frequency": {"steps": 4, "min_interval": "30d"}},
            "frequency",
            390,
        ),
        ({"send_time": {"after": "365d", "local_time": "18:30"}}, "send_time.after", 366),
    ],
)
def test_a_series_that_may_take_more_than_a_year_is_refused(parts: Any, field: str, days: int) -> None:
    found = problems(**parts)
    assert list(found) == [f"variants[1].{field}"]
    assert f"{days} days after the trigger" in found[f"variants[1].{field}"]
    assert "fewer `steps`" in found[f"variants[1].{field}"]


@pytest.mark.parametrize(
    "parts",
    [
        {"frequency": {"steps": 30, "min_interval": "12d"}},
        {"send_time": {"after": "365d"}},
        {"send_time": {"local_time": "18:30", "days": ["mon"]}, "frequency": {"steps": 30, "per_month": 3}},
    ],
)
def test_one_that_ends_within_a_year_is_taken(parts: Any) -> None:
    assert problems(**parts) == {}


@pytest.mark.parametrize("part", [{"send_time": {"local_time": "18:30"}}, {"frequency": {"steps": 2}}])
def test_silence_has_no_schedule(part: Any) -> None:
    with pytest.raises(ValidationError, match="need a `message`"):
        Variant.model_validate({"key": "silence", **part})


def test_the_number_of_steps() -> None:
    assert Variant(key="silence").steps == 0
    assert Variant.model_validate({"key": "a", "message": MESSAGE}).steps == 1
    assert Variant.model_validate({"key": "a", "message": MESSAGE, "frequency": {"steps": 4}}).steps == 4


@pytest.mark.parametrize(
    ("message", "field", "words"),
    [
        ({}, "", "give a `template` with its `language`, or a `text`"),
        ({"template": "promo"}, "", "`template` and `language` belong together"),
        ({"text": "Hi", "link": "https://shop.example/"}, "", "a message of text alone"),
        ({**MESSAGE, "header": {}}, ".header", "give exactly one of"),
        ({**MESSAGE, "buttons": [{"type": "copy_code", "index": 0}]}, ".buttons[0]", "has a `code`"),
        ({**MESSAGE, "link": "shop.example"}, ".link", "match pattern"),
        ({"template": "Promo!", "language": "en_US"}, ".template", "match pattern"),
    ],
)
def test_a_message_that_cannot_be_sent_is_refused(message: Any, field: str, words: str) -> None:
    found = problems(message=message)
    assert list(found) == [f"variants[1].message{field}"]
    assert words in found[f"variants[1].message{field}"]
