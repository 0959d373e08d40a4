"""Two laws hold for every field: what is shown and left alone changes nothing, and what is entered is shown again."""

from datetime import UTC, datetime, time
from typing import Any

import pytest

from dashboard.campaign import fields
from dashboard.campaign.documents import at, leaves
from dashboard.campaign.fields import Codec, Duration, edited, hidden, shown
from tests.unit.dashboard.campaign.test_documents import each_example

CODECS: list[tuple[Codec[Any], Any]] = [
    (fields.TEXT, ""),
    (fields.NUMBER, 1.0),
    (fields.WHOLE, 1),
    (fields.YES, False),
    (fields.PERCENT, 100.0),
    (fields.DURATION, Duration(0, "d")),
    (fields.TIME, time(9)),
    (fields.MOMENT, datetime(2027, 1, 1, tzinfo=UTC)),
    (fields.LOCAL_MOMENT, datetime(2027, 1, 1)),  # noqa: DTZ001  # on each user's own clock
    (fields.TEXTS, ()),
]


@each_example
def test_what_is_left_alone_stays_as_it_is(document: dict[str, Any]) -> None:
    found: Any = document
    for path in leaves(document):
        for codec, default in CODECS:
            found = edited(found, path, codec, default, shown(found, path, codec, default))
    assert found == document


@pytest.mark.parametrize(
    ("codec", "entered", "kept"),
    [
        (fields.TEXT, "spring", "spring"),
        (fields.TEXT, "", None),
        (fields.NUMBER, 2.0, 2),
        (fields.NUMBER, 0.25, 0.25),
        (fields.WHOLE, 3, 3),
        (fields.YES, True, True),
        (fields.PERCENT, 7.0, 0.07),
        (fields.PERCENT, 0.2, 0.002),
        (fields.DURATION, Duration(72, "h"), "72h"),
        (fields.DURATION, Duration(0, "h"), None),
        (fields.TIME, time(18, 30), "18:30"),
        (fields.TIME, time(18, 30, 15), "18:30:15"),
        (fields.MOMENT, datetime(2026, 12, 1, 10, tzinfo=UTC), "2026-12-01T10:00:00Z"),
        (fields.LOCAL_MOMENT, datetime(2026, 12, 24, 18), "2026-12-24T18:00"),  # noqa: DTZ001
        (fields.TEXTS, ("pt_BR",), ["pt_BR"]),
    ],
)  # fmt: skip
def test_what_is_entered_is_written_and_shown_again(codec: Codec[Any], entered: Any, kept: Any) -> None:
    default = object()
    document = edited({}, ("a", "b"), codec, default, entered)
    assert at(document, ("a", "b")) == kept
    assert type(at(document, ("a", "b"))) is type(kept)
    if kept is not None:
        assert shown(document, ("a", "b"), codec, default) == entered


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (fields.WHOLE, 1.5),
        (fields.WHOLE, True),
        (fields.NUMBER, "5"),
        (fields.DURATION, "1.5h"),
        (fields.DURATION, 7),
        (fields.TIME, "half past six"),
        (fields.MOMENT, "2026-12-01T10:00:00"),
        (fields.LOCAL_MOMENT, "2026-12-01T10:00:00Z"),
        (fields.TEXTS, ["a", 1]),
    ],
)
def test_what_a_widget_cannot_show_is_known_to_be_hidden(codec: Codec[Any], value: Any) -> None:
    assert hidden({"a": value}, ("a",), codec)
    assert not hidden({}, ("a",), codec)
