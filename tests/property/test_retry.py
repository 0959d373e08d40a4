"""However often and whatever fails, a message ends, keeps no slot it should not have, and its books stay straight."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from delivery.outbox.retry import Rules, after_error
from delivery.outbox.story import Story, begin
from delivery.whatsapp.error_table import CODES, ErrorClass, classify
from experiments.vocabulary import MessageState
from tests.unit.delivery.stories import NOW, PLANNED, RULES

ERRORS = [code for kind, codes in CODES.items() if kind is not ErrorClass.UNKNOWN for code in codes]
COUNTED = [
    code
    for kind in (ErrorClass.RETRY, ErrorClass.NEVER_FOR_PERSON, ErrorClass.BAD_REQUEST)
    for code in CODES[kind]
]


def _attempt(story: Story, code: int, at: datetime, rules: Rules = RULES, *, refused: bool = True) -> Story:
    going = begin(story, now=at, waits_until=at + timedelta(hours=24))
    assert going.slot_at == at
    failed, _ = after_error(going, error_class=classify(code), code=code, at=at, rules=rules, refused=refused)
    return failed


@given(st.sampled_from(ERRORS), st.booleans(), st.integers(0, 5))
def test_after_any_error_the_slot_is_free_and_the_message_is_planned_or_ended(
    code: int, refused: bool, tries: int
) -> None:
    story = _attempt(PLANNED._replace(tries=tries), code, NOW, refused=refused)
    assert story.slot_at is None
    assert story.claimed_by is None
    assert story.state in {
        MessageState.PLANNED,
        MessageState.FAILED,
        MessageState.SUPPRESSED,
        MessageState.EXPIRED,
    }
    if story.state == MessageState.PLANNED:
        assert NOW <= story.due_at < story.expires_at
    assert story.reason


@given(st.lists(st.sampled_from(COUNTED), min_size=4, max_size=4))
def test_errors_that_count_end_a_message_after_four_attempts_at_the_latest(codes: list[int]) -> None:
    """Three tries for what passes, and one more for a phone that is believed lost the second time."""
    story = PLANNED
    for code in codes:
        if story.state != MessageState.PLANNED:
            break
        story = _attempt(story, code, story.due_at)
    assert story.state in {MessageState.FAILED, MessageState.SUPPRESSED}


@given(st.lists(st.sampled_from(ERRORS), max_size=60))
def test_attempts_are_numbered_without_gaps(codes: list[int]) -> None:
    story, counted = PLANNED, 0
    for code in codes:
        if story.state != MessageState.PLANNED:
            break
        going = begin(story, now=story.due_at, waits_until=story.due_at)
        assert going.tries == counted + 1
        story = _attempt(story, code, story.due_at)
        counted = story.tries
        assert counted in (going.tries, going.tries - 1)


@given(st.lists(st.sampled_from(ERRORS), max_size=60))
def test_due_times_only_move_forward(codes: list[int]) -> None:
    story = PLANNED
    for code in codes:
        if story.state != MessageState.PLANNED:
            break
        before = story.due_at
        story = _attempt(story, code, before)
        assert story.due_at >= before
        assert story.first_due_at == PLANNED.first_due_at
