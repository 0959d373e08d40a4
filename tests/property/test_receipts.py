"""Any order and any repetition of the statuses of an attempt end in the same row."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from delivery.outbox.progress import Receipt, merge
from delivery.outbox.story import HOLDING_STATES, Story, begin
from delivery.whatsapp.error_table import CODES
from experiments.vocabulary import RECEIVED_STATES, MessageState
from tests.unit.delivery.stories import INFLIGHT, NOW, RULES, after

START_STATES = (MessageState.INFLIGHT, MessageState.ACCEPTED, MessageState.UNKNOWN)
ALL_CODES = sorted(code for codes in CODES.values() for code in codes if not 200 <= code < 299)


@st.composite
def attempts(draw: st.DrawFn) -> tuple[Story, list[Receipt], list[Receipt]]:
    """A message that went out, some statuses of its attempt, and the same ones repeated in another order."""
    state = draw(st.sampled_from(START_STATES))
    story = INFLIGHT._replace(
        state=state,
        tries=draw(st.integers(1, 3)),
        wamid=None if state is MessageState.INFLIGHT else "wamid.1",
        accepted_at=after(seconds=30) if state is MessageState.ACCEPTED else None,
        lease_until=INFLIGHT.lease_until if state is MessageState.INFLIGHT else None,
        error_code=draw(st.sampled_from([None, 131026, 131049])),
    )
    code = draw(st.sampled_from([None, *ALL_CODES]))
    failed_after = draw(st.integers(0, 200))
    receipts = [
        Receipt(
            story.tries,
            kind,
            NOW
            + timedelta(seconds=failed_after if kind is MessageState.FAILED else draw(st.integers(0, 200))),
            "wamid.1",
            code if kind is MessageState.FAILED else None,
        )
        for kind in draw(
            st.lists(
                st.sampled_from(
                    [MessageState.SENT, MessageState.DELIVERED, MessageState.READ, MessageState.FAILED]
                ),
                min_size=1,
                max_size=6,
            )
        )
    ]
    copies = draw(st.lists(st.sampled_from(receipts), max_size=6))
    return story, receipts, draw(st.permutations([*receipts, *copies]))


def _all(story: Story, receipts: list[Receipt]) -> Story:
    for receipt in receipts:
        story, _ = merge(story, receipt, RULES)
    return story


@given(attempts())
def test_order_and_repetition_do_not_matter(attempt: tuple[Story, list[Receipt], list[Receipt]]) -> None:
    story, receipts, shuffled = attempt
    assert _all(story, receipts) == _all(story, shuffled)


@given(attempts())
def test_a_message_holds_a_slot_exactly_while_it_is_out(
    attempt: tuple[Story, list[Receipt], list[Receipt]],
) -> None:
    story, _, shuffled = attempt
    for receipt in shuffled:
        story, _ = merge(story, receipt, RULES)
        assert (story.slot_at is not None) == (story.state in HOLDING_STATES)
        assert story.lease_until is None


@given(attempts())
def test_a_proof_of_receipt_is_never_lost(attempt: tuple[Story, list[Receipt], list[Receipt]]) -> None:
    story, _, shuffled = attempt
    expected = {receipt.state for receipt in shuffled} & set(RECEIVED_STATES)
    end = _all(story, shuffled)
    assert (end.state in RECEIVED_STATES) == bool(expected)
    assert (end.read_at is not None) == (MessageState.READ in expected)


@given(attempts())
def test_an_alarm_is_raised_once_at_most(attempt: tuple[Story, list[Receipt], list[Receipt]]) -> None:
    story, _, shuffled = attempt
    alarms = []
    for receipt in shuffled:
        story, alarm = merge(story, receipt, RULES)
        alarms.append(alarm)
    assert sum(alarm is not None for alarm in alarms) <= 1


@given(attempts())
def test_only_a_proof_of_receipt_reaches_the_next_attempt(
    attempt: tuple[Story, list[Receipt], list[Receipt]],
) -> None:
    story, _, shuffled = attempt
    second = begin(story._replace(slot_at=None), now=after(hours=30), waits_until=after(hours=54))
    end = _all(second, shuffled)
    received = any(receipt.state in RECEIVED_STATES for receipt in shuffled)
    assert (end == second) == (not received)
