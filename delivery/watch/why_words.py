"""What is said about one user and one experiment, in whole sentences. Pure."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Final

from delivery.models import Message
from delivery.watch.reasons import expired, left_out, not_sent, put_off
from delivery.watch.remedies import Explained
from experiments.clock import format_duration
from experiments.triggers import EventTrigger, InactivityTrigger, Trigger
from experiments.vocabulary import MessageState
from targeting.enrolment_terms import SHIP_SOURCE
from targeting.exclusions import AUDIENCE, Exclusion
from targeting.models import Assignment

_OVER: Final = {
    MessageState.SUPPRESSED: "was left out",
    MessageState.EXPIRED: "expired",
    MessageState.CANCELLED: "was cancelled",
}


def moment(at: datetime, zone: tzinfo) -> str:
    """A time as the user's own clock shows it, to the minute.

    >>> from zoneinfo import ZoneInfo
    >>> moment(datetime.fromisoformat("2026-12-01T10:00:00Z"), ZoneInfo("Europe/Amsterdam"))
    '2026-12-01 11:00 (Europe/Amsterdam)'
    """
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M} ({zone})"


def of_exclusion(found: Exclusion) -> str:
    """One reason against taking part, with the clauses that fail or the experiments that stand in the way."""
    said = left_out(found.reason)
    if found.reason == AUDIENCE and found.details:
        return f"{said}{_asked(found)}"
    return f"{said}: {'; '.join(found.details)}" if found.details else said


def _asked(found: Exclusion) -> str:
    """What the audience asks for, and that the user is otherwise: a clause by itself would read as if it held."""
    asks = "; and ".join(found.details)
    fails = "that does not hold" if len(found.details) == 1 else "none of that holds"
    own = f" ({', '.join(found.own)})" if found.own else ""
    return f", which asks: {asks}. For this user {fails}{own}"


def of_exclusions(found: Sequence[Exclusion]) -> str:
    return ", and ".join(of_exclusion(each) for each in found)


def of_assignment(assignment: Assignment, zone: tzinfo) -> str:
    """How the user came by the variant."""
    when = moment(assignment.assigned_at, zone)
    if assignment.source == SHIP_SOURCE:
        return f"Given variant {assignment.variant!r} on {when}, since it was shipped to all who were not drawn before."
    if assignment.forced:
        return f"Given variant {assignment.variant!r} by hand, as a test user, on {when}."
    way = "from the audience" if assignment.source == "audience" else f"by {assignment.source}"
    return (
        f"Drawn into variant {assignment.variant!r} {way} on {when}, "
        f"in epoch {assignment.epoch}, where that had probability {assignment.propensity:.3g}."
    )


def of_trigger(trigger: Trigger) -> str:
    """What brings somebody in, of triggers that take users one by one."""
    if isinstance(trigger, EventTrigger):
        with_what = " with the properties that are asked for" if trigger.properties else ""
        return f"They enter when they do {trigger.event!r}{with_what}."
    if isinstance(trigger, InactivityTrigger):
        what = "been seen" if trigger.event is None else f"done {trigger.event!r}"
        return f"They enter when they have not {what} for {format_duration(trigger.after)}."
    return "They enter when a rule enrols them."


def of_waiting(
    message: Message,
    *,
    next_at: datetime | None,
    reason: str | None,
    held_by: Sequence[str],
    zone: tzinfo,
    free_at: datetime | None = None,
) -> str:
    """A message that waits. `next_at`: the first moment at which it may go; None: at none, because of `reason`.

    `free_at`: of one that a rule put off, from when on the rules would let it go as they stand; before it is due, room has
    come since, and nobody looks before it is due.
    """
    if message.state == MessageState.CLAIMED:
        return "It is just being looked at by a process that sends."
    said = [f"It is due on {moment(message.first_due_at, zone)}."]
    if message.choice is not None and "propensity" in message.choice:
        drawn = message.choice
        said.append(
            f"The hour {drawn.get('hour')} was chosen by {drawn.get('rule', drawn.get('by'))}, with probability {drawn['propensity']:.3g}."
        )
    if message.reason is not None and message.due_at != message.first_due_at:
        said.append(f"It was put off to {moment(message.due_at, zone)}, because {put_off(message.reason)}.")
    if free_at is not None and free_at < message.due_at:
        said.append(
            f"As things stand now the rules would let it go from {moment(free_at, zone)} on; "
            f"it is looked at again at {moment(message.due_at, zone)}."
        )
    if next_at is None:
        said.append(f"As things stand it will not go out, because {not_sent(reason)}.")
    elif next_at >= message.expires_at:
        said.append(f"It will have expired by then: its time is over on {moment(message.expires_at, zone)}.")
    elif reason is not None and next_at > message.due_at:
        said.append(f"As things stand it goes out on {moment(next_at, zone)}, because {put_off(reason)}.")
    return " ".join([*said, *(f"Held back: {what}." for what in held_by)])


def of_message(message: Message, error: Explained | None, zone: tzinfo) -> str:
    """A message that is under way, or over."""
    state = MessageState(message.state)
    if state in _OVER:
        ended = expired if state is MessageState.EXPIRED else not_sent
        said = f"It {_OVER[state]} without going out, because {ended(message.reason)}."
        return said if error is None else f"{said} {error.remedy}"
    if state is MessageState.FAILED:
        said = f"It failed{_on(message.failed_at, zone)}"
        return f"{said}." if error is None else f"{said}: {error.meaning}. {error.remedy}"
    if state is MessageState.INFLIGHT:
        until = "" if message.lease_until is None else f" until {moment(message.lease_until, zone)}"
        return (
            f"It began to go out{_on(message.slot_at, zone)} and no answer is known yet. A status is awaited{until}; "
            "it is never sent a second time by itself."
        )
    if state is MessageState.UNKNOWN:
        return (
            f"It began to go out{_on(message.slot_at, zone)}, and nobody knows whether it arrived: it may have, so it is not sent "
            "again. A late status would settle it."
        )
    steps = [
        (word, at)
        for word, at in (
            ("taken by WhatsApp", message.accepted_at),
            ("sent", message.sent_at),
            ("delivered", message.delivered_at),
            ("read", message.read_at),
            ("clicked", message.clicked_at),
        )
        if at is not None
    ]
    tried = (
        ""
        if message.first_failed_at is None
        else f" An earlier try failed{_on(message.first_failed_at, zone)}."
    )
    held = f" WhatsApp holds it back for now ({message.reason})." if message.reason else ""
    return f"It was {', '.join(f'{word} on {moment(at, zone)}' for word, at in steps) or state}.{held}{tried}"


def _on(at: datetime | None, zone: tzinfo) -> str:
    return "" if at is None else f" on {moment(at, zone)}"
