"""What each class of error means for a message, row by row of the table in the facts of the platform."""

from datetime import timedelta

import pytest

from delivery.outbox.retry import Alarm, after_error, person_rest, retry_rest, withheld
from delivery.outbox.story import HOLDING_STATES, Story
from delivery.whatsapp.error_table import CODES, ErrorClass, classify
from experiments.vocabulary import MessageState
from tests.unit.delivery.stories import NOW, RULES, after, inflight


def _after(
    code: int | None, story: Story | None = None, *, refused: bool = True
) -> tuple[Story, Alarm | None]:
    return after_error(
        story or inflight(),
        error_class=classify(code) if code is not None else ErrorClass.RETRY,
        code=code,
        at=NOW,
        rules=RULES,
        refused=refused,
    )


@pytest.mark.parametrize(
    ("code", "alarm", "reason"),
    [
        (130429, Alarm.SLOW_DOWN, "slow_down"),
        (132015, Alarm.TEMPLATE, "template_paused"),
        (190, Alarm.NUMBER, "number_blocked"),
        (250, Alarm.NUMBER, "number_blocked"),
    ],
)
def test_what_is_not_the_messages_fault_costs_it_no_try(code: int, alarm: Alarm, reason: str) -> None:
    story, raised = _after(code)
    assert (story.state, story.reason, story.due_at, story.tries) == (MessageState.PLANNED, reason, NOW, 0)
    assert raised is alarm


def test_the_same_error_in_a_status_counts_because_that_attempt_has_an_id_of_whatsapps() -> None:
    assert _after(130429, refused=False)[0].tries == 1


def test_one_person_too_often_waits_six_seconds_and_then_powers_of_four() -> None:
    waits = [_after(131056, inflight(tries=n))[0].due_at - NOW for n in (1, 2, 3)]
    assert waits == [timedelta(seconds=6), timedelta(seconds=16), timedelta(seconds=64)]


def test_metas_own_cap_waits_a_day() -> None:
    story, alarm = _after(131049)
    assert (story.state, story.reason, story.due_at) == (MessageState.PLANNED, "meta_cap", after(hours=24))
    assert alarm is None


def test_a_passing_fault_is_tried_three_times_with_growing_waits_and_then_failed() -> None:
    assert _after(131000)[0].due_at == after(seconds=10)
    assert _after(131000, inflight(tries=2))[0].due_at == after(seconds=40)
    last = _after(131000, inflight(tries=3))[0]
    assert (last.state, last.reason, last.error_code) == (MessageState.FAILED, "retry", 131000)


def test_no_connection_is_a_passing_fault_without_a_code() -> None:
    story, _ = _after(None)
    assert (story.state, story.error_code) == (MessageState.PLANNED, None)


def test_undeliverable_is_believed_the_second_time() -> None:
    first, _ = _after(131026)
    assert (first.state, first.error_code) == (MessageState.PLANNED, 131026)
    second, _ = _after(131026, inflight(tries=2, error_code=131026))
    assert (second.state, second.reason) == (MessageState.SUPPRESSED, "undeliverable")


@pytest.mark.parametrize(
    ("code", "reason"),
    [(131050, "opted_out"), (130472, "meta_holdout"), (131021, "own_number"), (130497, "country_restricted")],
)
def test_never_for_this_person_is_suppressed_with_the_reason(code: int, reason: str) -> None:
    story, _ = _after(code)
    assert (story.state, story.reason, story.error_code) == (MessageState.SUPPRESSED, reason, code)


def test_an_opt_out_raises_the_alarm_that_withdraws_consent() -> None:
    assert _after(131050)[1] is Alarm.OPTED_OUT
    assert _after(130472)[1] is None


def test_a_wrong_request_fails() -> None:
    story, alarm = _after(132000)
    assert (story.state, story.reason) == (MessageState.FAILED, "bad_request")
    assert alarm is Alarm.BAD_REQUEST


def test_a_failed_status_that_says_nothing_definite_fails_the_message_and_never_resends_it() -> None:
    assert _after(1, refused=False)[0].state == MessageState.FAILED


def test_too_late_for_another_try_is_expired() -> None:
    story, _ = _after(131049, inflight(expires_at=after(hours=24)))
    assert (story.state, story.reason) == (MessageState.EXPIRED, "meta_cap")
    assert _after(131049, inflight(expires_at=after(hours=25)))[0].state == MessageState.PLANNED


@pytest.mark.parametrize(
    "code", [code for codes in CODES.values() for code in codes if code < 200 or code > 999]
)
def test_whatever_the_error_the_slot_is_released(code: int) -> None:
    story, _ = _after(code)
    assert story.slot_at is None
    assert story.lease_until is None
    assert story.state not in HOLDING_STATES
    assert story.failed_at == NOW


def test_a_code_larger_than_the_column_is_not_kept() -> None:
    assert _after(2**40)[0].error_code is None


def test_withheld_is_as_if_it_had_not_been_tried() -> None:
    story = withheld(inflight(tries=2), at=NOW, reason="consent")
    assert (story.state, story.reason, story.tries) == (MessageState.PLANNED, "consent", 1)
    assert story.slot_at is None


def test_waits_never_exceed_a_day() -> None:
    assert person_rest(1000) == retry_rest(1000) == timedelta(hours=24)
