"""What evaluation remembers between requests."""

from datetime import UTC, datetime

from api import evaluation_memory
from api.evaluation_memory import Exposed, PayloadShelf, tag_of
from targeting.calls import TrackCall
from targeting.payload import Payload

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)


def payload(made_at: datetime = NOW, **features: object) -> Payload:
    return Payload(features, {}, {}, made_at=made_at, changes_at=None)


def viewed(message_id: str) -> TrackCall:
    return TrackCall(message_id, "u1", None, "Experiment Viewed", NOW)


def test_the_bytes_are_made_once_for_a_payload() -> None:
    shelf, one = PayloadShelf(), payload(spring={})
    assert shelf.bytes_of(one)[0] is shelf.bytes_of(one)[0]
    assert b'"features":{"spring":{}}' in shelf.bytes_of(one)[0]


def test_a_tag_says_whether_anything_but_the_date_changed() -> None:
    shelf = PayloadShelf()
    _body, tag = shelf.bytes_of(payload(spring={}))
    assert shelf.bytes_of(payload(datetime(2027, 1, 1, tzinfo=UTC), spring={}))[1] == tag
    assert shelf.bytes_of(payload(autumn={}))[1] != tag
    assert tag.startswith('W/"')
    assert tag_of(b"a") != tag_of(b"b")


def test_exposures_that_are_known_are_not_new() -> None:
    exposed = Exposed()
    calls = [viewed("a"), viewed("b")]
    exposed.add(["a"])
    assert exposed.new(calls) == [calls[1]]


def test_memory_is_bounded() -> None:
    exposed = Exposed()
    exposed.add(str(number) for number in range(evaluation_memory.MOST_REMEMBERED))
    exposed.add(["one more"])
    assert len(exposed.new([viewed("0"), viewed("one more")])) == 1
