"""Signatures, the handshake, and bodies that no one sends twice the same way."""

import json
from datetime import UTC, datetime
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.whatsapp.webhooks import (
    InboundMessage,
    OtherChange,
    StatusUpdate,
    UserPreference,
    handshake,
    merge_status,
    parse,
    sign,
    verify_signature,
)
from experiments.errors import Invalid
from experiments.vocabulary import MessageState

CHAIN = (
    MessageState.ACCEPTED,
    MessageState.SENT,
    MessageState.DELIVERED,
    MessageState.READ,
    MessageState.FAILED,
)


def _body(value, field="messages", **entry) -> bytes:
    return json.dumps(
        {"entry": [{"id": "1", "changes": [{"field": field, "value": value}]} | entry]}
    ).encode()


def test_a_signature_is_the_hmac_of_the_raw_bytes():
    # RFC 4231, test case 2: HMAC-SHA-256 with the key "Jefe".
    body = b"what do ya want for nothing?"
    expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert sign("Jefe", body) == expected
    assert verify_signature("Jefe", body, expected)


@pytest.mark.parametrize(
    "header", [None, "", "sha256=", "sha1=abc", "sha256=" + "0" * 64, "sha256=\u00e9", "\ud800"]
)
def test_an_odd_signature_is_no_signature(header):
    assert not verify_signature("secret", b"{}", header)


def test_a_changed_body_and_an_empty_secret_verify_nothing():
    assert not verify_signature("secret", b"{} ", sign("secret", b"{}"))
    assert not verify_signature("", b"{}", sign("", b"{}"))


@pytest.mark.parametrize(
    ("changes", "token", "expected"),
    [
        ({}, "T", "N"),
        ({"hub.verify_token": "other"}, "T", None),
        ({"hub.mode": "unsubscribe"}, "T", None),
        ({"hub.verify_token": ""}, "", None),
        ({"hub.verify_token": "\u00e9"}, "T", None),
    ],
)
def test_the_handshake_answers_only_who_knows_the_token(changes, token, expected):
    params = {"hub.mode": "subscribe", "hub.challenge": "N", "hub.verify_token": "T"} | changes
    assert handshake(params, token) == expected


def test_a_failed_status_tells_its_code_and_our_id():
    status = {
        "id": "wamid.1",
        "status": "failed",
        "timestamp": "1698266945",
        "recipient_id": "12025550123",
        "biz_opaque_callback_data": "m-17",
        "errors": [{"code": 131049, "title": "Not delivered", "error_data": {"details": ".."}}],
    }
    assert parse(_body({"statuses": [status]})) == [
        StatusUpdate(
            wamid="wamid.1",
            status=MessageState.FAILED,
            at=datetime(2023, 10, 25, 20, 49, 5, tzinfo=UTC),
            recipient_id="12025550123",
            callback_data="m-17",
            error_code=131049,
            error_title="Not delivered",
            category=None,
            billable=None,
        )
    ]


def test_a_person_without_a_phone_number_is_known_by_the_scoped_id():
    contacts = [{"profile": {"name": "A"}, "user_id": "US.1"}]
    message = {"id": "wamid.2", "timestamp": "1698266945", "type": "text", "text": {"body": "STOP"}}
    [inbound] = parse(_body({"contacts": contacts, "messages": [message]}))
    assert isinstance(inbound, InboundMessage)
    assert (inbound.wa_id, inbound.user_id, inbound.text) == (None, "US.1", "STOP")
    preference = {
        "value": "stop",
        "category": "marketing_messages",
        "timestamp": 1698266945,
        "user_id": "US.1",
    }
    [stop] = parse(_body({"user_preferences": [preference]}, "user_preferences"))
    assert isinstance(stop, UserPreference)
    assert (stop.wa_id, stop.user_id, str(stop.value)) == (None, "US.1", "stop")
    status = {"id": "wamid.1", "status": "read", "recipient_user_id": "US.1"}
    [read] = parse(_body({"statuses": [status]}))
    assert isinstance(read, StatusUpdate)
    assert (read.recipient_id, read.user_id, read.at) == (None, "US.1", None)


def test_one_person_is_never_taken_for_another():
    contacts = [{"wa_id": "1", "user_id": "US.1"}, {"wa_id": "2", "user_id": "US.2"}]
    message = {"id": "w", "from": "2", "type": "text", "text": {"body": "hi"}}
    stranger = message | {"from": "3"}
    nobody = {"id": "w", "type": "text", "text": {"body": "hi"}}
    second, third, lost = parse(_body({"contacts": contacts, "messages": [message, stranger, nobody]}))
    assert isinstance(second, InboundMessage)
    assert (second.wa_id, second.user_id) == ("2", "US.2")
    assert isinstance(third, InboundMessage)
    assert (third.wa_id, third.user_id) == ("3", None)
    assert lost == OtherChange("messages.messages", nobody)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[]", b"null", b'{"entry": {}}', b"{}", b"[" * 100_000]
)
def test_what_is_no_webhook_is_invalid(body):
    with pytest.raises(Invalid):
        parse(body)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"quality": "RED"}, "phone_number_quality_update"),
        ("text", "account_update"),
        ({"groups": []}, "messages"),
        ({"event": "APPROVED"}, "message_template_status_update"),
        ({"x": 1}, "user_preferences"),
    ],
)
def test_what_is_unknown_is_kept_whole(value, field):
    assert parse(_body(value, field)) == [OtherChange(field, value)]


def test_one_odd_item_does_not_cost_the_others():
    odd = [
        None,
        3,
        {"id": "w"},
        {"id": [], "status": "sent"},
        {"id": "w", "status": ["sent"]},
        {"status": "sent"},
    ]
    good = {"id": "wamid.1", "status": "sent", "timestamp": "later", "errors": "none", "pricing": 3}
    items = parse(_body({"statuses": [*odd, good]}))
    assert [type(item) for item in items] == [OtherChange] * len(odd) + [StatusUpdate]


def test_text_that_no_database_takes_is_cleaned():
    [item] = parse(
        _body({"messages": [{"id": "w\0", "from": "1", "type": "text", "text": {"body": "\ud800!"}}]})
    )
    assert isinstance(item, InboundMessage)
    assert (item.message_id, item.text) == ("w", "?!")


def test_people_stay_out_of_the_repr():
    body = _body(
        {"messages": [{"id": "w", "from": "12025550123", "type": "text", "text": {"body": "secret"}}]}
    )
    assert "2025550123" not in repr(parse(body))
    assert "secret" not in repr(parse(body))


def test_every_order_of_statuses_ends_the_same():
    for order in permutations(CHAIN[:4]):
        state = MessageState.INFLIGHT
        for status in order:
            state = merge_status(state, status)
        assert state == MessageState.READ


@given(st.lists(st.sampled_from(CHAIN), min_size=1), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(statuses, shuffler):
    def fold(items):
        state = MessageState.UNKNOWN
        for item in items:
            state = merge_status(state, item)
        return state

    again = statuses + statuses[: len(statuses) // 2]
    shuffler.shuffle(again)
    assert fold(again) == fold(statuses)


@given(st.sampled_from(MessageState), st.sampled_from(CHAIN))
def test_a_status_never_takes_a_message_back(current, incoming):
    merged = merge_status(current, incoming)
    assert merge_status(merged, incoming) == merged
    assert merge_status(merged, current) == merged


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "status",
                    "timestamp",
                    "from",
                    "type",
                    "text",
                    "button",
                    "statuses",
                    "messages",
                    "contacts",
                    "wa_id",
                    "value",
                    "user_preferences",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(json_values, st.sampled_from(["messages", "user_preferences", "message_template_status_update", "x"]))
def test_no_body_of_the_right_shape_raises(value, field):
    assert isinstance(parse(_body(value, field)), list)
