"""How statuses change a message, what bodies say, and who is stopping: without a database."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from delivery.outbox.progress import Receipt, belongs, merge
from delivery.outbox.retry import Alarm
from delivery.outbox.story import Story, accepted, begin, callback_data, read_callback, unanswered
from delivery.receipts.inbound import Wish, said_in
from delivery.receipts.reading import as_json, parse, read
from delivery.receipts.receipt_repository import Stored
from delivery.whatsapp.items import InboundMessage, PreferenceValue, StatusUpdate, UserPreference
from experiments.vocabulary import MessageState
from tests.unit.delivery.stories import NOW, PLANNED, RULES, after, inflight

SENT, DELIVERED, READ, FAILED = (
    MessageState.SENT,
    MessageState.DELIVERED,
    MessageState.READ,
    MessageState.FAILED,
)


def _receipt(
    state: MessageState, seconds: float = 1, *, attempt: int = 1, code: int | None = None
) -> Receipt:
    return Receipt(attempt, state, after(seconds=seconds), "wamid.1", code)


def _all(story: Story, *receipts: Receipt) -> Story:
    for receipt in receipts:
        story, _ = merge(story, receipt, RULES)
    return story


def test_reading_implies_delivery_sending_and_acceptance() -> None:
    story = _all(inflight(), _receipt(READ, 9))
    assert story.state == READ
    assert {story.read_at, story.delivered_at, story.sent_at, story.accepted_at} == {after(seconds=9)}
    assert story.wamid == "wamid.1"


def test_the_earliest_time_of_each_step_stays() -> None:
    story = _all(inflight(), _receipt(READ, 9), _receipt(DELIVERED, 4), _receipt(SENT, 2), _receipt(SENT, 3))
    assert (story.sent_at, story.delivered_at, story.read_at) == (
        after(seconds=2),
        after(seconds=4),
        after(seconds=9),
    )


def test_a_status_resolves_an_unknown_message_and_ends_its_wait() -> None:
    story = _all(inflight(state=MessageState.UNKNOWN, reason="no_answer"), _receipt(SENT))
    assert (story.state, story.reason, story.lease_until) == (SENT, None, None)
    assert story.slot_at == NOW


def test_a_failure_goes_through_the_same_rules_as_the_answer_of_a_post() -> None:
    story, alarm = merge(inflight(state=SENT), _receipt(FAILED, 60, code=131049), RULES)
    assert (story.state, story.due_at, story.slot_at) == (
        MessageState.PLANNED,
        after(seconds=60, hours=24),
        None,
    )
    assert alarm is None
    assert merge(inflight(), _receipt(FAILED, code=131050), RULES)[1] is Alarm.OPTED_OUT


def test_a_copy_of_a_failure_neither_delays_the_next_try_nor_alarms_again() -> None:
    once = _all(inflight(), _receipt(FAILED, 60, code=131050))
    twice, alarm = merge(once, _receipt(FAILED, 60, code=131050), RULES)
    assert twice == once
    assert alarm is None


def test_a_late_copy_of_the_first_attempts_failure_does_not_touch_the_second_attempt() -> None:
    again = _all(inflight(), _receipt(FAILED, 60, code=131049))
    second = begin(again, now=after(hours=25), waits_until=after(hours=49))
    assert second.tries == 2
    assert merge(second, _receipt(FAILED, 60, code=131049), RULES) == (second, None)
    assert merge(second, _receipt(SENT, 30), RULES) == (second, None)


def test_a_message_that_counted_as_failed_and_turns_out_delivered_is_delivered_and_holds_its_slot_again() -> (
    None
):
    failed = _all(inflight(), _receipt(FAILED, 60, code=131049))
    story = _all(failed, _receipt(DELIVERED, 5))
    assert (story.state, story.reason) == (DELIVERED, None)
    assert story.slot_at == story.accepted_at == after(seconds=5)
    assert (story.failed_at, story.error_code) == (after(seconds=60), 131049)


def test_an_earlier_attempt_that_was_received_after_all_ends_the_later_one() -> None:
    second = begin(
        _all(inflight(), _receipt(FAILED, 60, code=131049)), now=after(hours=25), waits_until=after(hours=49)
    )
    story = _all(second, _receipt(DELIVERED, 5))
    assert story.state == DELIVERED
    assert story.wamid is None


def test_that_a_message_failed_once_stays_through_a_further_try() -> None:
    """WhatsApp would not deliver it for a day, and then did: the person was one whom it failed all the same."""
    failed = _all(inflight(), _receipt(FAILED, 60, code=131049))
    assert failed.first_failed_at == after(seconds=60)
    second = begin(failed, now=after(hours=25), waits_until=after(hours=49))
    assert (second.failed_at, second.first_failed_at) == (None, after(seconds=60))
    delivered = _all(second, _receipt(DELIVERED, 90_060, attempt=2))
    assert (delivered.state, delivered.first_failed_at) == (DELIVERED, after(seconds=60))
    # A second refusal is not the first one, and its contradiction takes back no more than itself.
    again = _all(second, _receipt(FAILED, 90_060, attempt=2, code=131049))
    assert (again.failed_at, again.first_failed_at) == (after(seconds=90_060), after(seconds=60))
    assert _all(again, _receipt(DELIVERED, 90_050, attempt=2)).first_failed_at == after(seconds=60)


def test_a_proof_of_receipt_takes_back_that_its_attempt_failed() -> None:
    failed = _all(inflight(), _receipt(FAILED, 60, code=131049))
    assert _all(failed, _receipt(DELIVERED, 5)).first_failed_at is None
    second = begin(failed, now=after(hours=25), waits_until=after(hours=49))
    assert _all(second, _receipt(DELIVERED, 5)).first_failed_at is None
    assert _all(inflight(), _receipt(DELIVERED, 5), _receipt(FAILED, 60, code=131049)).first_failed_at is None
    # An earlier copy of the failure says when it was.
    assert _all(failed, _receipt(FAILED, 50, code=131049)).first_failed_at == after(seconds=50)


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        (131049, True),
        (131050, True),
        (131026, False),
        (131000, False),
        (131056, False),
        (130429, False),
        (132000, True),
    ],
)
def test_what_fails_at_its_person(code: int, counts: bool) -> None:
    """Once unreachable is not yet; a busy number and a passing fault are nobody's."""
    failed = _all(inflight(), _receipt(FAILED, 60, code=code))
    assert (failed.first_failed_at is not None) == counts


def test_sent_does_not_revive_a_failed_attempt() -> None:
    failed = _all(inflight(), _receipt(FAILED, 60, code=132000))
    assert _all(failed, _receipt(SENT, 2)).state == FAILED


def test_statuses_of_another_program_on_the_same_number_are_not_ours() -> None:
    assert not belongs(PLANNED, _receipt(SENT))
    assert not belongs(inflight(wamid="wamid.other"), _receipt(SENT))
    assert belongs(inflight(), _receipt(SENT))
    assert belongs(inflight(wamid="wamid.1"), _receipt(SENT))


def test_an_answer_that_comes_after_its_webhook_only_fills_gaps() -> None:
    delivered = _all(inflight(), _receipt(DELIVERED, 5))
    story = accepted(delivered, attempt=1, wamid="wamid.9", hold="paused", at=after(seconds=1))
    assert story == delivered._replace(accepted_at=after(seconds=1))


def test_an_answer_to_an_earlier_attempt_changes_nothing() -> None:
    story = inflight(tries=2)
    assert accepted(story, attempt=1, wamid="wamid.9", hold=None, at=NOW) == story
    assert unanswered(story, attempt=1) == story


@pytest.mark.parametrize("data", [None, "", "x", "0", "17.0", "-1", "17.2.3", "9" * 19, "١٧", " 17"])
def test_callback_data_that_is_not_ours(data: str | None) -> None:
    assert read_callback(data) is None


def test_callback_data_comes_back() -> None:
    assert [read_callback(callback_data(17, attempt)) for attempt in (1, 2, 30)] == [
        (17, 1),
        (17, 2),
        (17, 30),
    ]


def test_a_button_says_its_title_and_its_payload() -> None:
    item = InboundMessage("12025550123", None, "wamid.in", NOW, "button", "Geen berichten meer", "STOP", None)
    said = said_in(item, received_at=NOW)
    assert (said.texts, said.wrote, said.wish) == (("Geen berichten meer", "STOP"), True, None)


def test_a_preference_is_no_inbound_message() -> None:
    said = said_in(UserPreference("12025550123", None, PreferenceValue.RESUME, None), received_at=NOW)
    assert (said.wish, said.wrote, said.at) == (Wish.RESUME, False, NOW)


def test_an_unreadable_body_is_closed_with_its_error_and_costs_the_others_nothing() -> None:
    status = {"id": "wamid.1", "status": "sent", "biz_opaque_callback_data": "17"}
    good = {"entry": [{"changes": [{"field": "messages", "value": {"statuses": [status]}}]}]}
    bodies = [Stored(1, b"{", NOW, None, None), Stored(2, json.dumps(good).encode(), NOW, None, None)]
    reading = read(parse(bodies), now=after(seconds=1))
    assert [(item.id, item.error, item.projected_at) for item in reading.unreadable] == [
        (1, "the webhook body is not JSON", after(seconds=1))
    ]
    assert [(status.body_id, status.at) for status in reading.statuses] == [(2, NOW)]


def test_a_waiting_status_comes_back_as_it_was_but_without_the_number() -> None:
    update = StatusUpdate("wamid.1", FAILED, NOW, "12025550123", "17", 131049, "t", "marketing", True, "US.1")
    left = json.loads(json.dumps(as_json(update)))
    assert "12025550123" not in json.dumps(left)
    (status,) = read(parse([Stored(3, b"", after(seconds=5), [left], NOW)]), now=NOW).statuses
    assert status.update == replace(update, recipient_id=None, category=None, billable=None)
    assert status.at == NOW


def test_begin_clears_what_the_last_attempt_left() -> None:
    failed = _all(inflight(), _receipt(SENT, 1), _receipt(FAILED, 60, code=131049))
    story = begin(failed, now=after(hours=25), waits_until=after(hours=25) + timedelta(hours=24))
    assert (story.wamid, story.accepted_at, story.sent_at, story.failed_at) == (None, None, None, None)
    assert (story.tries, story.slot_at, story.error_code) == (2, after(hours=25), 131049)
