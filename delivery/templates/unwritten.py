"""For how many of some users each message of a design cannot be written, and why: before it is started, not when it is sent.

Only reads. Content sources are asked by nobody here: of a message that reads one it is not known.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlmodel import Session

from delivery.content import content_repository
from delivery.content.ingredients import NOTHING_FETCHED, LatestEvent
from delivery.content.rendering import events_needed, sources_needed
from delivery.templates import preview_repository
from delivery.templates.preview_repository import Reader
from delivery.templates.previews import Asked, Material, as_seen, shapes_of, show_to
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.errors import Problem
from experiments.settings import Settings
from experiments.treatments import MessageContent
from experiments.triggers import EventTrigger, InactivityTrigger

WRITTEN: Final = 2000
"""Messages that are written for one look, over all variants .."""
MOST: Final = 500
""".. and for one of them at most: a share is then known to two points."""
FEWEST: Final = 50
REASONS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritten:
    """The message of a variant: of `checked` users `failed` cannot be written to, most for the first of `reasons` (with how many).

    failed None: it is not known, because of `unknown`.
    """

    variant: str
    checked: int
    failed: int | None
    reasons: tuple[tuple[Problem, int], ...] = ()
    unknown: str | None = None


def unwritten_of(
    session: Session,
    clock: Clock,
    *,
    settings: Settings,
    design: ExperimentDesign,
    user_pks: Sequence[int],
    seen: Callable[[Any], Any] | None = None,
) -> tuple[Unwritten, ...]:
    """One for each variant with a message, in the order of the design.

    user_pks: users who could take part, in random order; the first of them are written to. seen: as for a preview.
    """
    messages: list[MessageContent] = []
    for variant in design.variants:
        if variant.message is not None and variant.message not in messages:
            messages.append(variant.message)
    if not messages:
        return ()
    most = min(MOST, max(WRITTEN // len(messages), FEWEST))
    people = preview_repository.readers(session, user_pks[:most])
    looked = [_looked(session, clock, settings, design, message, people, seen) for message in messages]
    return tuple(
        looked[messages.index(variant.message)](variant.key)
        for variant in design.variants
        if variant.message is not None
    )


def _looked(
    session: Session,
    clock: Clock,
    settings: Settings,
    design: ExperimentDesign,
    message: MessageContent,
    people: Sequence[Reader],
    seen: Callable[[Any], Any] | None,
) -> Callable[[str], Unwritten]:
    """What is found of one message, as that of each variant that sends it."""
    sources = sources_needed(message)
    if sources:
        named = ", ".join(sorted(sources))
        return _unknown(f"it reads content from {named}, which is asked only by a preview and for sending")
    names = events_needed(message)
    events = content_repository.latest_events(session, [reader.id for reader in people], names)
    people = _entering(design, people, events, names)
    if not people:
        return _unknown("nobody is there to try it on")
    material = Material(
        asked=Asked(message, design.key, design.key),
        people=people,
        events=events,
        shapes=shapes_of(session, message),
        warnings=(),
        now=clock.now(),
    )
    if seen is not None:
        material = as_seen(material, seen)
    shown = (show_to(material, reader, NOTHING_FETCHED, settings) for reader in material.people)
    reasons = Counter(each.error for each in shown if each.error is not None)
    most, failed = tuple(reasons.most_common(REASONS)), sum(reasons.values())
    checked = len(people)
    return lambda variant: Unwritten(variant=variant, checked=checked, failed=failed, reasons=most)


def _unknown(words: str) -> Callable[[str], Unwritten]:
    return lambda variant: Unwritten(variant=variant, checked=0, failed=None, unknown=words)


def _entering(
    design: ExperimentDesign,
    people: Sequence[Reader],
    events: Mapping[int, Mapping[str, LatestEvent]],
    names: frozenset[str],
) -> Sequence[Reader]:
    """Those who could enter today: whoever has not done the event that lets users in will have, by the time they are written to."""
    trigger = design.trigger
    event = trigger.event if isinstance(trigger, EventTrigger | InactivityTrigger) else None
    if event is None or event not in names:
        return people
    return [reader for reader in people if event in events.get(reader.id, {})]
