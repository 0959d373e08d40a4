import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.clock import (
    ScaledClock,
    SteppedClock,
    SystemClock,
    format_duration,
    format_moment,
    from_micros,
    parse_duration,
    parse_moment,
    passing_in,
    to_micros,
)

START = datetime(2026, 12, 1, tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_round_trip(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


def test_microseconds_do_not_depend_on_the_zone() -> None:
    assert to_micros(START) == to_micros(START.astimezone(timezone(timedelta(hours=-7))))


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        to_micros(datetime(2026, 1, 1))  # noqa: DTZ001


@given(st.integers(min_value=0, max_value=10**8))
def test_durations_round_trip(seconds: int) -> None:
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "7 days", "1e3d", "0.5s", "9" * 400 + "d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_moments_need_a_zone_and_end_in_z() -> None:
    assert format_moment(parse_moment("2026-12-01T11:00:00+01:00")) == "2026-12-01T10:00:00Z"
    with pytest.raises(ValueError, match="time zone"):
        parse_moment("2026-12-01T11:00:00")


def test_a_scaled_clock_hurries_and_two_that_share_an_origin_agree() -> None:
    origin = SystemClock().now().timestamp() - 10
    one, two = (ScaledClock(START, 3600, origin) for _ in range(2))
    assert timedelta(hours=10) <= one.now() - START < timedelta(hours=11)
    assert abs(one.now() - two.now()) < timedelta(hours=1)
    assert one.real_seconds(timedelta(hours=1)) == 1


def test_a_scaled_clock_slows_down_at_its_end() -> None:
    origin = SystemClock().now().timestamp() - 10
    clock = ScaledClock(START, 3600, origin, until=START + timedelta(hours=4))
    # Four hurried hours took 4 of the 10 seconds; the other 6 passed at the machine's own speed.
    assert timedelta(hours=4, seconds=6) <= clock.now() - START < timedelta(hours=4, seconds=16)


def test_a_scaled_clock_slows_down_when_told() -> None:
    clock = ScaledClock(START, 3600, SystemClock().now().timestamp() - 10)
    slowed = clock.slow_down()
    assert timedelta(hours=10) <= slowed - START < timedelta(hours=11)
    assert timedelta(0) <= clock.now() - slowed < timedelta(seconds=10)
    assert clock.real_seconds(timedelta(hours=1)) == 3600
    assert passing_in(clock, 10) == timedelta(seconds=10)


def test_two_that_share_a_clock_agree_when_each_is_told_before_it_slows_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = [1000.0]
    monkeypatch.setattr(time, "time", lambda: machine[0])
    one, two = (ScaledClock(START, 3600, 1000.0) for _ in range(2))
    at = START + timedelta(hours=10)
    machine[0] += 4
    assert one.slow_down(at) == two.slow_down(at) == at
    assert one.now() == two.now() == START + timedelta(hours=4), "it still hurries"
    # Six hours before it slows down cost six seconds, an hour after it an hour.
    assert one.real_seconds(timedelta(hours=2)) == 2
    assert one.real_seconds(timedelta(hours=7)) == 6 + 3600
    machine[0] += 36
    assert one.now() == two.now() == at + timedelta(seconds=30)
    assert one.real_seconds(timedelta(hours=1)) == 3600


def test_what_passes_in_seconds_of_the_machine() -> None:
    assert passing_in(ScaledClock(START, 600.0), 10) == timedelta(seconds=6000)
    assert passing_in(SteppedClock(START), 10) == timedelta(seconds=10)


def test_a_clock_cannot_stand_still_or_run_backwards() -> None:
    with pytest.raises(ValueError, match="positive"):
        ScaledClock(START, 0)


def test_a_stepped_clock_moves_only_when_told() -> None:
    clock = SteppedClock(START)
    assert clock.now() == clock.now() == START
    assert clock.advance(timedelta(days=1)) == clock.now() == START + timedelta(days=1)
