"""A user's story from its parts, what is written into the form of an attribute, and the mapping of a file."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard import import_mapping, story, story_charts, user_fields
from dashboard.calls.imports import HEAD, Column, File
from dashboard.calls.users import ConsentWord, Event, Message, Standing
from dashboard.import_mapping import AttributeChoice, ConsentChoice
from dashboard.user_fields import NotAValueError

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def message(state: str, **times: datetime) -> Message:
    return Message(0, state, f"because {state}", at(9), None, times)


def standing(*messages: Message) -> Standing:
    return Standing("spring", "running", "sent", "..", None, "coupon", at(0), 0.5, (), messages)


def test_everything_is_told_the_latest_first() -> None:
    found = story.merged(
        [Event("Bought", at(5), {"revenue": 3})],
        [ConsentWord("marketing", True, at(-1), "shop", "slip")],
        [standing(message("read", accepted_at=at(1), sent_at=at(1), read_at=at(2)))],
    )
    assert [(entry.at, entry.kind, entry.words, entry.details) for entry in found] == [
        (at(5), "event", "Bought", "revenue: 3"),
        (at(2), "message", "spring, message 1: read", ""),
        (at(1), "message", "spring, message 1: taken by WhatsApp", ""),
        (at(0), "assignment", "spring: got variant coupon", ""),
        (at(-1), "consent", "Marketing: agreed", "shop"),
    ]


def test_a_message_that_did_not_go_out_stands_where_it_was_due_and_says_why() -> None:
    for state in ("suppressed", "planned"):
        [entry, _] = story.merged([], [], [standing(message(state))])
        assert (entry.at, entry.details) == (at(9), f"because {state}")
    failed = story.merged([], [], [standing(message("failed", accepted_at=at(1), failed_at=at(2)))])
    assert [entry.details for entry in failed[:2]] == ["because failed", ""]


def test_between_two_pages_of_events_nothing_is_told_twice_and_nothing_is_lost() -> None:
    consents = [ConsentWord("marketing", True, at(hours), "shop", "") for hours in (1, 2, 3)]
    newest = story.merged([Event("a", at(2), {})], consents, [], after=at(2))
    rest = story.merged([Event("b", at(1), {})], consents, [], until=at(2))
    assert [entry.at for entry in newest] == [at(3), at(2), at(2)]
    assert [entry.at for entry in rest] == [at(1), at(1)]


def test_the_chart_has_a_lane_and_a_shape_for_each_kind_that_there_is() -> None:
    assert story_charts.timeline([]) is None
    entries = story.merged(
        [Event("Bought", at(0), {})], [ConsentWord("utility", False, at(300), "x", "")], []
    )
    chart = story_charts.timeline(entries).to_dict()
    assert chart["encoding"]["y"]["sort"] == ["Did", "Consent"]
    assert chart["encoding"]["shape"]["scale"]["range"] == ["circle", "triangle-up"]
    assert chart["encoding"]["x"]["axis"]["format"] == "%Y-%m-%d"
    [rows] = chart["datasets"].values()
    assert [row["at"] for row in rows] == ["2026-12-13T22:00:00", "2026-12-01T10:00:00"]


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("text", " 7 ", "7"),
        ("number", "7", 7),
        ("number", "-0.5", -0.5),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("time", "2026-12-01 18:30", "2026-12-01T18:30:00Z"),
        ("time", "2026-12-01T18:30+02:00", "2026-12-01T16:30:00Z"),
        ("list", "a,, b ", ["a", "b"]),
        ("none", "", None),
    ],
)
def test_what_is_written_is_the_value_of_its_kind(kind: str, written: str, value: object) -> None:
    found = user_fields.attribute_value(kind, written)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "written", "words"),
    [
        ("text", " ", "users.attribute.empty"),
        ("number", "1,5", "users.attribute.no_number"),
        ("number", "true", "users.attribute.no_number"),
        ("number", "NaN", "users.attribute.no_number"),
        ("number", "1e999", "users.attribute.no_number"),
        ("time", "noon", "users.attribute.no_time"),
    ],
)
def test_what_is_no_value_is_said(kind: str, written: str, words: str) -> None:
    with pytest.raises(NotAValueError, match=words):
        user_fields.attribute_value(kind, written)


def test_columns_are_guessed_from_what_they_become() -> None:
    columns = [
        Column("Nr", "user_id", ()),
        Column("ok", "consent.marketing", ()),
        Column("city", "attributes.city", ()),
    ]
    guess = import_mapping.guessed(columns)
    assert (guess.fields, guess.consent) == ({"user_id": "Nr"}, {"marketing": "ok"})


def test_the_form_becomes_the_document_of_the_api() -> None:
    document = import_mapping.document(
        {"user_id": "Nr", "phone": None},
        {"marketing": ConsentChoice("ok", evidence="slip", positive="ja, oui ,")},
        [
            AttributeChoice("Sum", "revenue", "number", {"decimal": ","}),
            AttributeChoice("Date", "last", "time", {"format": "%d.%m.%Y", "zone": " "}),
            AttributeChoice("X", "x", "plain", {"decimal": ","}),
        ],
        others=False,
        consent_source=" desk ",
        region="nl",
    )
    assert document == {
        "guess": False,
        "user_id": "Nr",
        "consent": {"marketing": {"column": "ok", "evidence": "slip", "positive": ["ja", "oui"]}},
        "consent_source": "desk",
        "region": "NL",
        "other_columns": False,
        "attributes": {
            "revenue": {"column": "Sum", "type": "number", "decimal": ","},
            "last": {"column": "Date", "type": "time", "format": "%d.%m.%Y"},
            "x": {"column": "X"},
        },
    }


def test_the_beginning_of_a_file_ends_with_a_line_and_parquet_is_not_cut() -> None:
    content = b"user_id\n" + b"u\n" * HEAD
    csv = File("a.csv", "csv", content)
    assert (len(csv.head) <= HEAD, csv.head.endswith(b"u\n"), csv.lines) == (True, True, HEAD)
    assert File("a.csv", "csv", b"user_id\nu1").lines == 1
    assert File("a.jsonl", "jsonl", b"{}\n{}\n").lines == 2
    one_line = File("a.csv", "csv", b"x" * (HEAD + 1))
    assert one_line.head == one_line.content
    parquet = File("a.parquet", "parquet", content)
    assert (parquet.head, parquet.lines) == (content, None)
