"""Segment's bodies as our calls: what becomes of each, when it happened, and the name of what is wrong."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import segment
from experiments.errors import Invalid, TooLarge
from targeting.calls import AliasCall, Call, GroupCall, IdentifyCall, TrackCall

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
TIME = "2026-12-01T09:00:00Z"
AT = datetime(2026, 12, 1, 9, tzinfo=UTC)


def calls_in(kind: Any, **body: Any) -> list[Call]:
    message = segment.read(json.dumps(body).encode(), kind)
    return segment.calls_of(message, now=NOW, new_id=lambda index: f"made-{index}")


def call_in(kind: Any, **body: Any) -> Call:
    [call] = calls_in(kind, **body)
    return call


def problems_of(kind: Any, body: Any) -> dict[str, str]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Invalid) as error:
        segment.calls_of(segment.read(text, kind), now=NOW)
    return {problem.field: problem.message for problem in error.value.problems}


def test_track_and_identify_are_taken_as_they_are() -> None:
    tracked = call_in(
        segment.Track,
        userId="u1",
        anonymousId="a1",
        messageId="m1",
        event="Paid",
        properties={"value": 2.5},
        timestamp=TIME,
        integrations={"All": True},
        context={"ip": "192.0.2.1", "library": {"name": "x"}},
    )
    assert tracked == TrackCall("m1", "u1", "a1", "Paid", AT, {"value": 2.5})
    identified = call_in(
        segment.Identify,
        userId="u1",
        traits={"plan": "paid"},
        context={"locale": "nl-NL", "timezone": "Europe/Amsterdam"},
    )
    assert identified == IdentifyCall(
        "made-0", "u1", None, NOW, {"plan": "paid"}, locale="nl-NL", time_zone="Europe/Amsterdam"
    )


def test_page_and_screen_are_events_with_what_the_page_says() -> None:
    page = {"url": "https://shop.example/a", "path": "/a", "title": "A", "referrer": "", "width": 9}
    seen = call_in(
        segment.Page,
        userId="u1",
        name="Home",
        category="Docs",
        properties={"path": "/b"},
        context={"page": page},
    )
    assert isinstance(seen, TrackCall)
    assert seen.event == "Page Viewed"
    assert seen.properties == {
        "url": "https://shop.example/a",
        "path": "/b",
        "title": "A",
        "referrer": "",
        "name": "Home",
        "category": "Docs",
    }
    screen = call_in(segment.Screen, anonymousId="a1", name="Cart", context={"page": page})
    assert isinstance(screen, TrackCall)
    assert (screen.event, screen.properties) == ("Screen Viewed", {"name": "Cart"})


def test_group_and_alias() -> None:
    grouped = call_in(segment.Group, userId="u1", groupId="acme", traits={"plan": "big"})
    assert grouped == GroupCall("made-0", "u1", None, NOW, "acme", {"plan": "big"})
    assert call_in(segment.Alias, previousId="a1", userId="u1") == AliasCall("made-0", "a1", "u1", NOW)


def test_a_batch_holds_calls_of_every_type_in_their_order() -> None:
    items = [
        {"type": "identify", "userId": "u1"},
        {"type": "track", "userId": "u1", "event": "Paid"},
        {"type": "page", "userId": "u1"},
        {"type": "screen", "userId": "u1"},
        {"type": "group", "userId": "u1", "groupId": 7},
        {"type": "alias", "previousId": "a1", "userId": "u1"},
    ]
    kinds = [IdentifyCall, TrackCall, TrackCall, TrackCall, GroupCall, AliasCall]
    found = calls_in(segment.Batch, batch=items)
    assert [type(call) for call in found] == kinds
    assert [call.message_id for call in found] == [f"made-{index}" for index in range(6)]


def test_ids_may_be_numbers_and_what_is_null_is_absent() -> None:
    call = call_in(
        segment.Track,
        userId=12,
        anonymousId=None,
        messageId=None,
        event="Paid",
        properties=None,
        context=None,
    )
    assert call == TrackCall("made-0", "12", None, "Paid", NOW, {})


@pytest.mark.parametrize(
    ("times", "at"),
    [
        ({}, NOW),
        ({"timestamp": TIME}, AT),
        ({"sentAt": TIME}, NOW),
        # A clock that is a day ahead: what it says happened ten minutes before it sent happened ten minutes ago.
        (
            {"timestamp": "2026-12-02T10:00:00Z", "sentAt": "2026-12-02T10:10:00Z"},
            NOW - timedelta(minutes=10),
        ),
        (
            {"originalTimestamp": "2026-12-02T10:00:00Z", "sentAt": "2026-12-02T12:10:00+02:00"},
            NOW - timedelta(minutes=10),
        ),
        (
            {
                "originalTimestamp": "2026-12-02T10:00:00Z",
                "timestamp": TIME,
                "sentAt": "2026-12-02T10:00:00Z",
            },
            NOW,
        ),
    ],
)
def test_the_clock_of_a_device_is_corrected_by_when_it_sent(times: dict[str, str], at: datetime) -> None:
    assert call_in(segment.Track, userId="u1", event="Paid", **times).at == at


def test_a_batch_says_once_when_it_was_sent() -> None:
    item = {"type": "track", "userId": "u1", "event": "Paid", "timestamp": "2026-12-02T10:00:00Z"}
    sent = {"sentAt": "2026-12-02T10:10:00Z"}
    [first, second] = calls_in(
        segment.Batch, batch=[item, {**item, "sentAt": "2026-12-02T10:20:00Z"}], **sent
    )
    assert (first.at, second.at) == (NOW - timedelta(minutes=10), NOW - timedelta(minutes=20))


GOOD = {"type": "track", "userId": "u1", "event": "X"}


@pytest.mark.parametrize(
    ("kind", "body", "fields"),
    [
        (segment.Track, {"userId": "u1"}, {"event"}),
        (segment.Track, {"userId": "u1", "event": 5}, {"event"}),
        (segment.Track, {"userId": ["u1"], "event": "X"}, {"userId"}),
        (segment.Track, {"userId": "u1", "event": "X", "timestamp": "2026-12-01T10:00:00"}, {"timestamp"}),
        (segment.Track, {"userId": "u1", "event": "X", "timestamp": "yesterday"}, {"timestamp"}),
        (segment.Track, {"userId": "u1", "event": "X", "properties": []}, {"properties"}),
        (segment.Track, {"userId": "u1", "event": "X", "context": "nl"}, {"context"}),
        (segment.Group, {"userId": "u1"}, {"groupId"}),
        (segment.Alias, {"userId": "u1"}, {"previousId"}),
        (segment.Alias, {"previousId": "u1"}, {"userId"}),
        (segment.Batch, {}, {"batch"}),
        (segment.Batch, {"batch": {}}, {"batch"}),
        (segment.Batch, [], {"body"}),
        (segment.Batch, {"batch": [GOOD, {"type": "sing"}]}, {"batch[1].type"}),
        (segment.Batch, {"batch": [GOOD, {"userId": "u1"}]}, {"batch[1].type"}),
        (segment.Batch, {"batch": [GOOD, 3]}, {"batch[1]"}),
        (segment.Batch, {"batch": [{**GOOD, "event": 1}, GOOD, {**GOOD, "timestamp": 1}]}, {"batch[0].event", "batch[2].timestamp"}),
        (segment.Batch, {"batch": [GOOD], "sentAt": "now"}, {"sentAt"}),
        (segment.Batch, {"batch": [GOOD] * 2501}, {"batch"}),
        (segment.Track, b'{"userId":"u1","event":"X","properties":{"a":1e999}}', {"properties"}),
        (segment.Track, b'{"userId":"u1","event":"X","properties":{"a":NaN}}', {"body"}),
        (segment.Track, b'{"userId":"u1","event":"\\ud800"}', {"body"}),
        (segment.Track, b"\xff", {"body"}),
        (segment.Track, b"", {"body"}),
        (segment.Track, b'{"userId":"u1","event":"X","properties":{"a":' + b"[" * 9000 + b"]" * 9000 + b"}}", {"properties.a" + "[0]" * 18}),
        (
            segment.Track,
            {"userId": "u1", "event": "X", "timestamp": "9999-12-31T00:00:00Z", "sentAt": "0001-01-01T00:00:00Z"},
            {"timestamp"},
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_path(kind: Any, body: Any, fields: set[str]) -> None:
    found = problems_of(kind, body)
    assert set(found) == fields
    assert all(found.values())


def test_a_missing_field_is_said_to_be_required() -> None:
    assert problems_of(segment.Track, {"userId": "u1"}) == {"event": "is required"}


@pytest.mark.parametrize(
    ("kind", "limit"), [(segment.Track, segment.MAX_CALL_BYTES), (segment.Batch, segment.MAX_BATCH_BYTES)]
)
def test_a_body_over_its_bound_is_too_large(kind: Any, limit: int) -> None:
    with pytest.raises(TooLarge) as error:
        segment.read(b" " * (limit + 1), kind)
    assert error.value.problems[0].field == "body"


def test_the_write_key_may_stand_in_the_body() -> None:
    body = json.dumps({"writeKey": "k", "userId": "u1", "event": "X"}).encode()
    assert segment.read(body, segment.Track).write_key == "k"
    for batch in ({"batch": [GOOD], "writeKey": "k"}, {"batch": [{**GOOD, "writeKey": "k"}]}):
        assert segment.read(json.dumps(batch).encode(), segment.Batch).write_key == "k"
