"""When equal errors mean that every row of a variant is wrong. Two ways of counting, for two ways of failing.

A POST that is refused (`count`): answers come in an order, so a streak is counted as they come, in the row of the variant's
breaker, for all workers together; a message that WhatsApp takes ends it.
A message that was taken and then failed (`judge`): its status comes in any order, and that others were taken meanwhile
proves nothing. So the messages themselves are asked: have the newest five with this code failed with no message of the
variant sent since? Then the fuse opens; when a later success becomes known, it closes as if it had never been open.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlmodel import Session

from delivery.fuses import breaker_repository as repository
from delivery.fuses import breakers
from delivery.fuses.breakers import EQUAL_ERRORS, Kind, Raised, Streak, variant_key
from delivery.fuses.outcomes import Answered, alarm_of
from delivery.models import Breaker
from delivery.outbox import dispatch_repository
from delivery.outbox.retry import Alarm
from delivery.outbox.story import Story
from delivery.whatsapp.client import Accepted
from experiments.design import ExperimentDesign

BY_STATUSES: Final = "statuses: "
"""How the reason of a fuse begins that statuses opened."""


def fold(
    streaks: Mapping[str, Streak], answers: Sequence[tuple[str, Answered]]
) -> tuple[dict[str, Streak], list[Raised]]:
    """The streaks after these answers (of variants, by key), and the alarms to sound: bad requests only where one is fatal.

    A fatal streak starts anew, so that the fuse of a variant that somebody closed does not open at the first error.
    """
    after = dict(streaks)
    alarms: list[Raised] = []
    for key, answered in answers:
        raised = alarm_of(answered)
        if raised is not None and raised.alarm is Alarm.BAD_REQUEST:
            after[key] = after.get(key, Streak()).failed(raised.code)
            if not after[key].is_fatal:
                continue
            del after[key]
        elif isinstance(answered.outcome, Accepted):
            after.pop(key, None)
        if raised is not None:
            alarms.append(raised)
    return after, alarms


def count(
    session: Session, *, answers: Sequence[Answered], designs: Mapping[int, ExperimentDesign]
) -> list[Raised]:
    """Count these answers into the stored streaks; returns the alarms to sound. One small query when nothing went wrong."""
    before = {key: Streak(code, length) for key, (length, code) in repository.streaks(session).items()}
    if not before and all(isinstance(answered.outcome, Accepted) for answered in answers):
        return []
    keyed = [
        (variant_key(designs[answered.begun.experiment_id].key, answered.begun.variant), answered)
        for answered in answers
    ]
    after, alarms = fold(before, keyed)
    grown = {key: (streak.length, streak.code) for key, streak in after.items() if before.get(key) != streak}
    repository.put_streaks(session, grown)
    repository.end_streaks(session, before.keys() - after.keys())
    return alarms


def judge(
    session: Session,
    *,
    alarms: Sequence[Raised],
    told: Sequence[Story],
    designs: Callable[[Collection[int]], Mapping[int, ExperimentDesign]],
) -> None:
    """Open the fuses of variants whose messages keep failing, close those that a success among `told` speaks for.

    Call it when the messages are stored. Without bad requests it costs one small query.
    """
    suspects = {
        (raised.experiment_id, raised.variant, raised.code)
        for raised in alarms
        if raised.alarm is Alarm.BAD_REQUEST
    }
    opened = repository.open_fuses(session, reason_begins=BY_STATUSES)
    lucky = {(story.experiment_id, story.variant) for story in told if _went_well(story)} if opened else set()
    known = designs({pk for pk, _, _ in suspects} | {pk for pk, _ in lucky})
    for experiment_id, variant, code in sorted(suspects, key=str):
        key = variant_key(known[experiment_id].key, variant)
        at = _fatal(
            session, experiment_id, variant, code, dispatch_repository.breaker(session, Kind.VARIANT, key)
        )
        if at is not None:
            reason = f"{BY_STATUSES}error {code} {EQUAL_ERRORS} times in a row"
            breakers.trip(session, kind=Kind.VARIANT, key=key, at=at, until=None, code=code, reason=reason)
    for experiment_id, variant in sorted(lucky):
        key = variant_key(known[experiment_id].key, variant)
        if key in opened and _fatal(session, experiment_id, variant, opened[key], None) is None:
            repository.forget(session, Kind.VARIANT, key)


def _went_well(story: Story) -> bool:
    return story.failed_at is None and story.sent_at is not None


def _fatal(
    session: Session, experiment_id: int, variant: str, code: int | None, known: Breaker | None
) -> datetime | None:
    """When the newest of a fatal run of errors was; errors from before the fuse was closed by a hand are forgiven."""
    failures = repository.newest_failures(
        session, experiment_id=experiment_id, variant=variant, code=code, limit=EQUAL_ERRORS
    )
    if known is not None and breakers.is_over(known):
        failures = [at for at in failures if at > known.opened_at]
    if len(failures) < EQUAL_ERRORS:
        return None
    since = failures[-1]
    sent = repository.was_sent_since(session, experiment_id=experiment_id, variant=variant, since=since)
    return None if sent else failures[0]
