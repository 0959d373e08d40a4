"""Whether the messages of a campaign can be written: each is tried on some of the users who could take part."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlmodel import Session

from analysis.planning.plan_audience import Looked
from analysis.planning.plan_findings import MessagePlan, Missing
from delivery.templates.unwritten import unwritten_of
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.settings import Settings


def messages_of(
    session: Session,
    clock: Clock,
    *,
    settings: Settings,
    design: ExperimentDesign,
    looked: Looked,
    seen: Callable[[Any], Any] | None,
) -> tuple[MessagePlan, ...]:
    """One for each variant with a message. The users of a look are in random order."""
    found = unwritten_of(
        session, clock, settings=settings, design=design, user_pks=looked.eligible, seen=seen
    )
    return tuple(
        MessagePlan(
            variant=each.variant,
            checked=each.checked,
            failed=each.failed,
            reasons=tuple(
                Missing(field=problem.field, reason=problem.message, users=users)
                for problem, users in each.reasons
            ),
            unknown=each.unknown,
        )
        for each in found
    )


def warnings_of(messages: Sequence[MessagePlan]) -> tuple[str, ...]:
    """A line for each message that cannot be written to everybody; messages of which it is not known are left out."""
    return tuple(_warnings(messages))


def _warnings(messages: Sequence[MessagePlan]) -> Iterator[str]:
    for message in messages:
        if not message.failed:
            continue
        whom = f"{message.failed:,} of the {message.checked:,} users that it was tried on"
        if message.failed == message.checked:
            whom = f"any of the {message.checked:,} users that it was tried on"
        why = "; ".join(f"{each.field}: {each.reason} ({each.users:,})" for each in message.reasons)
        yield f"the message of {message.variant!r} cannot be written for {whom}, who would get nothing: {why}"
