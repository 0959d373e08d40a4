"""Every reason that delivery or enrolment may give has words."""

import pytest

from delivery.limits.reservation import CONSENT, LATE, NO_PHONE, PRIORITY, STOPPED, WINDOW_CLOSED
from delivery.limits.standing import Rule
from delivery.outbox.retry import NEVER_REASONS
from delivery.sending.reserving import NO_CONTENT
from delivery.watch import reasons
from delivery.watch.reasons import KNOWN, LEFT_OUT, NOT_SENT, PUT_OFF, expired, left_out, not_sent, put_off
from targeting import draw, eligibility
from targeting.exclusions import AUDIENCE


@pytest.mark.parametrize("reason", [*Rule, PRIORITY, NO_CONTENT])
def test_what_puts_a_message_off_has_words(reason: str) -> None:
    assert reason in PUT_OFF
    assert put_off(reason) == PUT_OFF[reason]
    assert expired(reason).endswith(PUT_OFF[reason])


@pytest.mark.parametrize(
    "reason",
    [*NEVER_REASONS.values(), "never_for_person", CONSENT, NO_PHONE, LATE, STOPPED, WINDOW_CLOSED, "erased"],
)
def test_what_ends_a_message_has_words(reason: str) -> None:
    assert not_sent(reason) == NOT_SENT[reason]
    assert reason in KNOWN


@pytest.mark.parametrize("rule", [Rule.CAP, Rule.TIER, Rule.QUIET_HOURS])
def test_rules_that_may_never_let_go_have_words_for_that(rule: Rule) -> None:
    assert not_sent(rule) == NOT_SENT[rule] != PUT_OFF[rule]


@pytest.mark.parametrize(
    "reason",
    [
        *(
            eligibility.PHONE,
            eligibility.CONSENT,
            eligibility.PREREQUISITE,
            eligibility.LAYER,
            eligibility.NO_UNIT,
        ),
        *(draw.GLOBAL_HOLDOUT, draw.HOLDOUT, draw.COVERAGE, AUDIENCE, "cap"),
    ],
)
def test_what_keeps_somebody_out_has_words(reason: str) -> None:
    assert left_out(reason) == LEFT_OUT[reason]


def test_a_reason_that_nobody_foresaw_is_told_as_it_is() -> None:
    assert put_off("moon") == left_out("moon") == not_sent("moon") == "of moon"
    assert not_sent(None) == NOT_SENT["unspecified"]
    assert not_sent(reasons.CONTENT + "no such name") == "its text could not be made: no such name"
