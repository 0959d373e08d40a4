"""What is checked about tracking calls before any of them is stored."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from experiments.errors import Invalid
from targeting.calls import AliasCall, Call, CheckedCall, GroupCall, IdentifyCall, TrackCall, check_calls
from targeting.roster import ProfileChange

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)


def track(**changes: Any) -> TrackCall:
    fields = {
        "message_id": "m1",
        "user_id": "u1",
        "anonymous_id": None,
        "event": "Order Completed",
        "at": NOW,
    }
    return TrackCall(**(fields | changes))


def identify(**changes: Any) -> IdentifyCall:
    return IdentifyCall(**({"message_id": "m1", "user_id": "u1", "anonymous_id": None, "at": NOW} | changes))


def group(**changes: Any) -> GroupCall:
    fields = {"message_id": "m1", "user_id": "u1", "anonymous_id": None, "at": NOW, "group_id": "acme"}
    return GroupCall(**(fields | changes))


def alias(**changes: Any) -> AliasCall:
    return AliasCall(**({"message_id": "m1", "previous_id": "a1", "user_id": "u1", "at": NOW} | changes))


def change_of(call: Call, *, default_region: str = "") -> ProfileChange:
    [checked] = check_calls([call], now=NOW, default_region=default_region)
    assert checked.change is not None
    return checked.change


def fields_at_fault(*calls: Call) -> list[str]:
    with pytest.raises(Invalid) as error:
        check_calls(calls, now=NOW, default_region="", in_batch=len(calls) > 1)
    return [problem.field for problem in error.value.problems]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (track(message_id=""), "messageId"),
        (track(message_id="x" * 201), "messageId"),
        (track(user_id=None), "userId"),
        (track(user_id=""), "userId"),
        (track(user_id="anonymous:x"), "userId"),
        (track(anonymous_id=""), "anonymousId"),
        (track(anonymous_id="x" * 191), "anonymousId"),
        (track(event=""), "event"),
        (track(event="a\0"), "event"),
        (track(at=NOW + timedelta(hours=1, seconds=1)), "timestamp"),
        (track(at=NOW.replace(tzinfo=None)), "timestamp"),
        (track(properties={"a": "x" * 32_001}), "properties"),
        (track(properties={"a": float("nan")}), "properties.a"),
        (identify(traits={"phone": "abc"}), "traits.phone"),
        (identify(traits={"phone": 12}), "traits.phone"),
        (identify(traits={"timezone": "Mars/Olympus"}), "traits.timezone"),
        (identify(traits={"timeZone": "Mars/Olympus"}), "traits.timeZone"),
        (identify(traits={"locale": "?"}), "traits.locale"),
        (identify(traits={"a": float("inf")}), "traits.a"),
        (group(group_id=""), "groupId"),
        (group(traits={"a": "\0"}), "traits.a"),
        (group(user_id=None), "userId"),
        (alias(previous_id=""), "previousId"),
        (alias(previous_id="anonymous:x"), "previousId"),
        (alias(user_id="anonymous:x"), "userId"),
    ],
)
def test_a_wrong_call_is_refused_by_the_name_of_the_field(call: Call, field: str) -> None:
    assert fields_at_fault(call) == [field]


def test_every_wrong_call_of_a_batch_is_named() -> None:
    bad = [track(), track(event=""), identify(traits={"phone": "1"}), track()]
    assert fields_at_fault(*bad) == ["batch[1].event", "batch[2].traits.phone"]


def test_a_clock_that_runs_an_hour_ahead_is_tolerated() -> None:
    call = track(at=NOW + timedelta(hours=1))
    assert check_calls([call], now=NOW, default_region="") == [CheckedCall(call)]


def test_traits_that_we_have_a_column_for_go_there() -> None:
    traits = {
        "phone": "0612345678",
        "timezone": "Europe/Paris",
        "locale": "fr",
        "email": "a@example.org",
        "old": None,
    }
    change = change_of(identify(traits=traits, locale="nl"), default_region="NL")
    assert (change.phone, change.time_zone, change.locale) == ("+31612345678", "Europe/Paris", "fr")
    assert change.attributes == {"email": "a@example.org", "old": None}


def test_the_device_speaks_where_the_user_does_not() -> None:
    change = change_of(identify(locale="nl-NL", time_zone="Asia/Tokyo"))
    assert (change.locale, change.time_zone) == ("nl-NL", "Asia/Tokyo")
    strange = change_of(identify(locale="?", time_zone="Etc/Unknown"))
    assert (strange.locale, strange.time_zone) == (None, None)


def test_a_group_is_two_attributes() -> None:
    change = change_of(group(traits={"plan": "enterprise", "phone": "not a user's"}))
    assert change.attributes == {
        "group_id": "acme",
        "group": {"plan": "enterprise", "phone": "not a user's"},
    }
    assert change.phone is None
