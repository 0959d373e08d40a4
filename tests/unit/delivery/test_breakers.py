"""When a number rests and for how long, which variants an open fuse holds back, and when errors mean every row."""

from datetime import timedelta
from itertools import permutations

import pytest

from delivery.fuses.breakers import (
    EQUAL_ERRORS,
    LONGEST_PAUSE,
    MAX_KEY,
    Kind,
    Streak,
    blocked_variants,
    is_open,
    next_pause,
    template_key,
    variant_key,
)
from delivery.fuses.outcomes import Answered, Withheld, alarm_of, settle, stops_number
from delivery.fuses.streaks import fold
from delivery.models import Breaker
from delivery.outbox.progress import Receipt, merge
from delivery.outbox.retry import Alarm
from delivery.whatsapp.client import Accepted, NotSent, Rejected, Unknown
from delivery.whatsapp.error_table import ErrorClass
from experiments.design import read_design
from experiments.vocabulary import MessageState
from tests.integration.outbox import design
from tests.unit.delivery.stories import NOW, RULES, after, inflight

BAD = Rejected(132000, ErrorClass.BAD_REQUEST, "parameters", 400)
OTHER = Rejected(132001, ErrorClass.BAD_REQUEST, "no template", 404)
SLOW = Rejected(130429, ErrorClass.SLOW_DOWN, "rate", 429)
FINE = Accepted("wamid.1", "accepted", None)


def _breaker(opened: float, until: float | None) -> Breaker:
    return Breaker(
        kind="number",
        key="1",
        opened_at=after(seconds=opened),
        until=None if until is None else after(seconds=until),
        reason="x",
    )


def _keyed(*outcomes) -> list[tuple[str, Answered]]:
    return [("spring/a", answered) for answered in _answered(*outcomes)]


def _answered(*outcomes) -> list[Answered]:
    return [Answered(inflight(), "+12025550123", outcome) for outcome in outcomes]


def test_the_first_pause_is_about_a_second() -> None:
    assert next_pause(None, now=NOW, chance=0.5) == timedelta(seconds=1)
    assert next_pause(None, now=NOW, chance=0.0) == timedelta(seconds=0.75)


def test_a_pause_right_after_another_is_twice_as_long_up_to_five_minutes() -> None:
    assert next_pause(_breaker(-5, -1), now=NOW, chance=0.5) == timedelta(seconds=8)
    assert next_pause(_breaker(-300, -1), now=NOW, chance=0.99) == LONGEST_PAUSE


def test_a_pause_long_ago_is_forgotten() -> None:
    assert next_pause(_breaker(-100, -60), now=NOW, chance=0.5) == timedelta(seconds=1)


def test_a_fuse_without_an_end_stays_open() -> None:
    assert is_open(_breaker(-5, None), NOW)
    assert is_open(_breaker(-5, 1), NOW)
    assert not is_open(_breaker(-5, 0), NOW)


@pytest.mark.parametrize(
    ("fuse", "blocked"),
    [
        ((Kind.TEMPLATE, template_key("promo_a", "en_US")), [(3, "a")]),
        ((Kind.TEMPLATE, template_key("promo_a", None)), [(3, "a")]),
        ((Kind.TEMPLATE, template_key("promo_a", "nl")), []),
        ((Kind.VARIANT, variant_key("spring", "b")), [(3, "b")]),
        ((Kind.VARIANT, variant_key("autumn", "b")), []),
    ],
)
def test_a_fuse_holds_back_what_it_guards_and_nothing_else(fuse, blocked) -> None:
    designs = {3: read_design(design(), library={})}
    assert blocked_variants(designs, frozenset({fuse})) == blocked


def test_keys_fit_their_column_and_stay_different() -> None:
    one, two = template_key("x" * 400, "en_US"), template_key("x" * 400, "nl")
    assert len(one) <= MAX_KEY
    assert one != two


def test_equal_errors_in_a_row_are_fatal_at_the_fifth() -> None:
    streaks, alarms = fold({}, _keyed(*[BAD] * (EQUAL_ERRORS - 1)))
    assert alarms == []
    streaks, alarms = fold(streaks, _keyed(BAD))
    assert [alarm.alarm for alarm in alarms] == [Alarm.BAD_REQUEST]
    assert streaks == {}


def test_a_success_or_another_error_ends_the_streak() -> None:
    outcomes = [BAD, BAD, BAD, BAD, FINE, BAD, BAD, BAD, BAD, OTHER, OTHER]
    streaks, alarms = fold({}, _keyed(*outcomes))
    assert alarms == []
    assert streaks == {"spring/a": Streak(132001, 2)}


def test_what_says_nothing_about_the_variant_leaves_the_streak_alone() -> None:
    streaks, alarms = fold({"spring/a": Streak(132000, 4)}, _keyed(Unknown("ReadTimeout"), SLOW, BAD))
    assert [alarm.alarm for alarm in alarms] == [Alarm.SLOW_DOWN, Alarm.BAD_REQUEST]
    assert streaks == {}


def test_the_number_stops_when_it_is_too_fast_blocked_or_out_of_reach() -> None:
    blocked = Rejected(190, ErrorClass.NUMBER_FUSE, "token", 401)
    assert all(map(stops_number, [SLOW, blocked, NotSent("ConnectError")]))
    assert not any(map(stops_number, [BAD, FINE, Unknown("x"), Withheld()]))
    (unreachable,) = _answered(NotSent("ConnectError"))
    raised = alarm_of(unreachable)
    assert raised is not None
    assert raised.alarm is Alarm.SLOW_DOWN


@pytest.mark.parametrize("outcome", [SLOW, BAD, NotSent("ConnectError"), Withheld(), Unknown("ReadTimeout")])
def test_an_answer_never_overwrites_what_a_webhook_was_faster_with(outcome) -> None:
    delivered = inflight(state=MessageState.DELIVERED, delivered_at=NOW)
    (answered,) = _answered(outcome)
    assert settle(delivered, answered, at=NOW, rules=RULES) == delivered


def test_a_message_held_by_whatsapp_says_so() -> None:
    (answered,) = _answered(Accepted("wamid.1", "held_for_quality_assessment", None))
    story = settle(inflight(), answered, at=NOW, rules=RULES)
    assert (story.state, story.reason) == (MessageState.ACCEPTED, "held_for_quality_assessment")


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_answer_to_a_post_and_its_receipts_end_alike_in_any_order(order: tuple[int, ...]) -> None:
    receipts = [
        Receipt(1, state, after(seconds=seconds), "wamid.1", code)
        for state, seconds, code in (
            (MessageState.SENT, 2, None),
            (MessageState.FAILED, 20, 132012),
            (MessageState.DELIVERED, 6, None),
        )
    ]
    story = inflight()
    (answered,) = _answered(FINE)
    for index in order:
        if index < len(receipts):
            story, _ = merge(story, receipts[index], RULES)
        else:
            story = settle(story, answered, at=after(seconds=1), rules=RULES)
    assert (story.state, story.slot_at, story.due_at) == (
        MessageState.DELIVERED,
        after(seconds=1),
        after(seconds=1),
    )
