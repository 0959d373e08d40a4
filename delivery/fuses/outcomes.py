"""What the answer to a POST does to its message: pure, between the client's outcomes and the stored row."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from delivery.fuses.breakers import Raised
from delivery.outbox.progress import settled
from delivery.outbox.retry import Alarm, Rules, after_error, withheld
from delivery.outbox.story import Story, accepted, unanswered
from delivery.whatsapp.client import Accepted, NotSent, Rejected, SendOutcome, Unknown
from delivery.whatsapp.error_table import ErrorClass
from experiments.vocabulary import MessageState

PLAINLY_ACCEPTED: Final = frozenset({None, "accepted"})
_STOPPING: Final = frozenset({ErrorClass.SLOW_DOWN, ErrorClass.NUMBER_FUSE})


@dataclass(frozen=True, slots=True)
class Withheld:
    """The POST was never begun: the number was stopped by an answer that came before, or the gate said no."""

    reason: str = "slow_down"


Outcome = SendOutcome | Withheld


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one attempt of one message, sent to the number `to`; `begun`: as it was committed to go out."""

    begun: Story
    to: str = field(repr=False)
    outcome: Outcome


def stops_number(outcome: Outcome) -> bool:
    """Whether more POSTs through this number would only fail alike."""
    return isinstance(outcome, NotSent) or (
        isinstance(outcome, Rejected) and outcome.error_class in _STOPPING
    )


def settle(story: Story, answered: Answered, *, at: datetime, rules: Rules) -> Story:
    """The message as it stands now (`story`), moved by the answer; what a webhook was faster with is never overwritten."""
    attempt, outcome = answered.begun.tries, answered.outcome
    if isinstance(outcome, Accepted):
        hold = None if outcome.message_status in PLAINLY_ACCEPTED else outcome.message_status
        taken = accepted(story, attempt=attempt, wamid=outcome.wamid or None, hold=hold, at=at)
        # A failure and a receipt may both have been faster; the slot is then at the time that only now is known.
        return settled(taken) if taken is not story else story
    if isinstance(outcome, Unknown):
        return unanswered(story, attempt=attempt)
    if story.tries != attempt or story.state != MessageState.INFLIGHT:
        return story
    if isinstance(outcome, Withheld):
        return withheld(story, at=at, reason=outcome.reason)
    code = outcome.code if isinstance(outcome, Rejected) else None
    moved, _ = after_error(
        story, error_class=outcome.error_class, code=code, at=at, rules=rules, refused=True
    )
    return moved


def alarm_of(answered: Answered) -> Raised | None:
    """What the answer says about more than its own message; no connection pauses the number as too much speed does."""
    begun, outcome = answered.begun, answered.outcome
    if isinstance(outcome, NotSent):
        kind, code, detail = Alarm.SLOW_DOWN, None, f"no connection: {outcome.reason}"
    elif isinstance(outcome, Rejected):
        known = Alarm.of(outcome.error_class, outcome.code)
        if known is None:
            return None
        kind, code, detail = known, outcome.code, outcome.details or str(outcome.error_class)
    else:
        return None
    return Raised(kind, begun.experiment_id, begun.variant, code, detail, language=begun.language)
