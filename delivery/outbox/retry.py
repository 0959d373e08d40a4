"""What an error means for a message: again later, never for this person, or not like this. Pure rules.

The same codes come as the answer of a POST and, later, in a `failed` status; both go through `after_error`.
The classes are those of `delivery/whatsapp/error_table.py`:

    slow_down, template_fuse, number_fuse   planned again; a breaker decides when anything goes out
    recipient_later                         planned again: 131049 after 24 h, 131056 after max(6, 4^n) s
    retry                                   planned again after 10 * 4^(n-1) s, at most `max_tries` attempts
    never_for_person                        suppressed, the reason by code; 131026 only when it comes twice
    bad_request                             failed; equal errors are counted, since every row of the variant is alike
    unknown                                 of a POST: see `story.unanswered`; of a status: failed
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from delivery.outbox.story import Story
from delivery.whatsapp.error_table import (
    MARKETING_CAP,
    META_HOLDOUT,
    OPTED_OUT,
    UNDELIVERABLE,
    ErrorClass,
)
from experiments.settings import Settings
from experiments.vocabulary import MessageState

PERSON_REST: Final = timedelta(seconds=6)
"""Shortest time between two messages to one person (131056)."""
MARKETING_REST: Final = timedelta(hours=24)
"""How long Meta's own marketing cap (131049) asks us to leave a person alone."""
UNDELIVERABLE_REST: Final = timedelta(hours=1)
"""A phone may be off or between two numbers; 131026 is believed when it comes twice."""
RETRY_REST: Final = timedelta(seconds=10)
LONGEST_REST: Final = timedelta(hours=24)

NEVER_REASONS: Final = {
    UNDELIVERABLE: "undeliverable",
    OPTED_OUT: "opted_out",
    META_HOLDOUT: "meta_holdout",
    131021: "own_number",
    131030: "not_in_test_list",
    130497: "country_restricted",
}
META_CAP: Final = "meta_cap"
"""Why a message is put off by Meta's own marketing cap."""
NEVER_FOR_PERSON: Final = "never_for_person"
FAILED_REASONS: Final = (META_CAP, NEVER_FOR_PERSON, *NEVER_REASONS.values())
"""Why a message failed at its person, for good or for now, whatever is planned next; not what a number, a template or a passing fault is to blame for."""
_LARGEST_CODE: Final = 2**31 - 1


class Alarm(StrEnum):
    """What an error says about more than its own message."""

    SLOW_DOWN = "slow_down"
    NUMBER = "number"
    TEMPLATE = "template"
    BAD_REQUEST = "bad_request"
    OPTED_OUT = "opted_out"

    @classmethod
    def of(cls, error_class: ErrorClass, code: int | None) -> "Alarm | None":
        return cls.OPTED_OUT if code == OPTED_OUT else _ALARMS.get(error_class)


@dataclass(frozen=True, slots=True)
class Rules:
    """`max_tries` attempts for errors that pass."""

    max_tries: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.max_tries)


_ALARMS: Final = {
    ErrorClass.SLOW_DOWN: Alarm.SLOW_DOWN,
    ErrorClass.NUMBER_FUSE: Alarm.NUMBER,
    ErrorClass.TEMPLATE_FUSE: Alarm.TEMPLATE,
    ErrorClass.BAD_REQUEST: Alarm.BAD_REQUEST,
}
_NOT_ITS_FAULT: Final = {
    ErrorClass.SLOW_DOWN: "slow_down",
    ErrorClass.NUMBER_FUSE: "number_blocked",
    ErrorClass.TEMPLATE_FUSE: "template_paused",
}


def after_error(
    story: Story,
    *,
    error_class: ErrorClass,
    code: int | None,
    at: datetime,
    rules: Rules,
    refused: bool,
) -> tuple[Story, Alarm | None]:
    """The message after its attempt failed at `at`, and what else the error says.

    `refused`: the POST itself was answered with the error. An error that was not the message's fault (the number, the
    template) then does not count as an attempt; in a status it does, because WhatsApp has given that attempt an id.
    """
    failed, alarm = _after(story, error_class=error_class, code=code, at=at, rules=rules, refused=refused)
    at_its_person = failed.state == MessageState.FAILED or failed.reason in FAILED_REASONS
    if at_its_person and failed.first_failed_at is None:
        failed = failed._replace(first_failed_at=failed.failed_at)
    return failed, alarm


def _after(
    story: Story,
    *,
    error_class: ErrorClass,
    code: int | None,
    at: datetime,
    rules: Rules,
    refused: bool,
) -> tuple[Story, Alarm | None]:
    code = code if code is None or abs(code) <= _LARGEST_CODE else None
    failed = story._replace(
        slot_at=None,
        lease_until=None,
        claimed_by=None,
        error_code=code,
        failed_at=story.failed_at or at,
    )
    alarm = Alarm.of(error_class, code)
    if error_class in _NOT_ITS_FAULT:
        tries = story.tries - 1 if refused else story.tries
        failed = failed._replace(tries=tries)
        return again(failed, at=at, reason=_NOT_ITS_FAULT[error_class]), alarm
    if error_class is ErrorClass.RECIPIENT_LATER:
        wait = MARKETING_REST if code == MARKETING_CAP else person_rest(story.tries)
        reason = META_CAP if code == MARKETING_CAP else "person_rate"
        return again(failed, at=at + wait, reason=reason), alarm
    if error_class is ErrorClass.RETRY and story.tries < rules.max_tries:
        return again(failed, at=at + retry_rest(story.tries), reason="retry"), alarm
    if error_class is ErrorClass.NEVER_FOR_PERSON:
        if code == UNDELIVERABLE and story.error_code != UNDELIVERABLE:
            return again(failed, at=at + UNDELIVERABLE_REST, reason="undeliverable_once"), alarm
        reason = NEVER_REASONS.get(code or 0, NEVER_FOR_PERSON)
        return failed._replace(state=MessageState.SUPPRESSED, reason=reason), alarm
    return failed._replace(state=MessageState.FAILED, reason=str(error_class)), alarm


def withheld(story: Story, *, at: datetime, reason: str) -> Story:
    """The message was in flight on paper, but its POST never began: as if it had not been tried."""
    freed = story._replace(slot_at=None, lease_until=None, claimed_by=None, tries=story.tries - 1)
    return freed._replace(state=MessageState.PLANNED, reason=reason, due_at=at)


def again(story: Story, *, at: datetime, reason: str) -> Story:
    """Planned again for `at`, or expired when that is too late."""
    if at >= story.expires_at:
        return story._replace(state=MessageState.EXPIRED, reason=reason)
    return story._replace(state=MessageState.PLANNED, reason=reason, due_at=at)


def person_rest(attempt: int) -> timedelta:
    """How long to leave one person alone after the n-th 131056: at least 6 s, then 4^n s, at most a day.

    >>> [person_rest(n).total_seconds() for n in (1, 2, 3)]
    [6.0, 16.0, 64.0]
    """
    return min(LONGEST_REST, max(PERSON_REST, timedelta(seconds=4 ** min(attempt, 20))))


def retry_rest(attempt: int) -> timedelta:
    """How long to wait after the n-th passing fault: 10, 40, 160 .. s, at most a day.

    >>> [retry_rest(n).total_seconds() for n in (1, 2, 3)]
    [10.0, 40.0, 160.0]
    """
    factor: int = 4 ** min(attempt - 1, 20)
    return min(LONGEST_REST, RETRY_REST * factor)
