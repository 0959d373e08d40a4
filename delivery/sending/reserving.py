"""Reserve: the last look before messages go out, in one transaction, and their slots. The caller commits, then POSTs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from sqlmodel import Session

from delivery.content import content_repository, links
from delivery.content.ingredients import NOTHING_FETCHED, Fetched, LatestEvent
from delivery.content.readable import ContentUnavailable
from delivery.content.rendering import WindowClosed, compose
from delivery.fuses import breakers
from delivery.limits import ledger_repository, policy
from delivery.limits.circumstances import Circumstances, look_at, tier_of
from delivery.limits.ledger_repository import Waiting
from delivery.limits.reservation import (
    Situation,
    better,
    busy_until,
    decision,
    held_back,
    put_off,
    turn_at,
    unrenderable,
    window_closed,
)
from delivery.limits.standing import Rule, Standing
from delivery.limits.tier import is_open
from delivery.outbox import dispatch_repository as repository
from delivery.outbox.dispatch_repository import ExperimentNow, Recipient
from delivery.outbox.story import Story, begin, callback_data
from delivery.whatsapp.payloads import OutgoingMessage, TemplateMessage
from experiments.clock import Clock, format_moment
from experiments.content import used_events
from experiments.design import ExperimentDesign
from experiments.errors import Invalid
from experiments.settings import Settings
from experiments.treatments import MessageContent

NO_CONTENT: Final = "content_unavailable"
CONTENT_REST: Final = timedelta(minutes=1)
"""How long a message waits for a content source that does not answer and has no fallback."""
_NO_EVENTS: Final[Mapping[str, LatestEvent]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Begun:
    """A message that is committed to go out, and what to POST."""

    story: Story
    message: OutgoingMessage


@dataclass(frozen=True, slots=True)
class Reserved:
    """`begun` goes out, in this order; `held` does not, and is stored as it says."""

    begun: Sequence[Begun]
    held: Sequence[Story]


@dataclass(slots=True)
class _Batch:
    """What was read for all messages of a batch."""

    designs: Mapping[int, ExperimentDesign]
    people: Mapping[int, Recipient]
    circumstances: Circumstances
    waiting: Mapping[int, Sequence[Waiting]]
    experiments: Mapping[int, ExperimentNow]
    consented: set[tuple[int, str]]
    fused: set[tuple[int, str]]
    everything: bool
    events: Mapping[int, Mapping[str, LatestEvent]]
    contents: Mapping[int, Fetched]
    settings: Settings
    now: datetime


def reserve(
    session: Session,
    clock: Clock,
    *,
    claims: Sequence[tuple[int, int]],
    worker: str,
    settings: Settings,
    designs: Mapping[int, ExperimentDesign],
    contents: Mapping[int, Fetched] = MappingProxyType({}),
) -> Reserved:
    """Look at each claimed message (id, user) once more, in this order; take a slot for those that may go out.

    Consent and caps are read under a lock on the users, which withdrawals and other workers wait for. A claim that
    was lost meanwhile (the lease ran out, the experiment was stopped) is in neither list. `contents`: what content
    sources said, by message id.
    """
    people = repository.recipients(session, [user_pk for _, user_pk in claims])
    obeyed = policy.current(session, settings)
    limit = tier_of(session, obeyed, settings)
    if limit is not None:
        ledger_repository.lock_tier(session)
    # Only now, under the locks: slots of one user must be taken in the order of their times.
    now = clock.now()
    ours = {
        story.id: story for story in repository.claimed_by(session, [pk for pk, _ in claims], worker=worker)
    }
    stories = [ours[message_id] for message_id, _ in claims if message_id in ours]
    if not stories:
        return Reserved([], [])
    batch = _read(session, stories, people, obeyed, limit, settings, designs, contents, now)
    held: list[tuple[Story, Story]] = []
    ready: list[tuple[Story, MessageContent, OutgoingMessage]] = []
    decisions: dict[int, dict[str, Any]] = {}
    for story in stories:
        standing = _standing(batch, story)
        made = held_back(story, _situation(batch, story, standing), now=now) or _write(batch, story)
        said = decision(standing, now) if standing.adaptive is not None or standing.tier is not None else {}
        if isinstance(made, Story):
            held.append((story, made))
        else:
            ready.append((story, *made))
            said |= _told(*made, batch.contents.get(story.id, NOTHING_FETCHED))
        if said:
            decisions[story.id] = {"at": format_moment(now)} | said
        if standing.tier is not None and standing.tier.is_new(now):
            batch.circumstances.going += not isinstance(made, Story)
            batch.circumstances.ahead += isinstance(made, Story) and made.reason == Rule.TIER
    begun = _begin(session, ready, now=now, waits_until=now + settings.unknown_after)
    repository.save(session, held)
    ledger_repository.save_decisions(session, decisions)
    return Reserved(begun, [stays for _, stays in held])


def _read(
    session: Session,
    stories: Sequence[Story],
    people: Mapping[int, Recipient],
    obeyed: policy.DeliveryPolicy,
    limit: int | None,
    settings: Settings,
    designs: Mapping[int, ExperimentDesign],
    contents: Mapping[int, Fetched],
    now: datetime,
) -> _Batch:
    user_pks = [story.user_pk for story in stories]
    arms = {(story.experiment_id, story.variant) for story in stories}
    variants = [designs[experiment_id].variant(key) for experiment_id, key in arms]
    frequencies = [variant.frequency for variant in variants if variant.frequency is not None]
    fuses = breakers.open_keys(session, now)
    number = (breakers.Kind.NUMBER, settings.whatsapp_phone_number_id)
    contents_of = [variant.message for variant in variants if variant.message is not None]
    names = {
        name
        for content in contents_of
        for source in content.sources().values()
        for name in _events_in(source)
    }
    # Only other steps and other experiments can want the same room.
    contested = len(designs) > 1 or any(story.step > 0 for story in stories)
    waiting: dict[int, list[Waiting]] = {}
    for other in ledger_repository.waiting(session, user_pks) if contested else ():
        waiting.setdefault(other.user_pk, []).append(other)
    return _Batch(
        designs=designs,
        people=people,
        circumstances=look_at(
            session,
            policy=obeyed,
            limit=limit,
            user_pks=user_pks,
            frequencies=frequencies,
            settings=settings,
            now=now,
        ),
        waiting=waiting,
        experiments=repository.experiments_now(session, {experiment_id for experiment_id, _ in arms}),
        consented=repository.consented(session, user_pks),
        fused=set(breakers.blocked_variants(designs, fuses)) if fuses else set(),
        everything=not fuses.isdisjoint({breakers.EVERYTHING, number}),
        events=content_repository.latest_events(session, user_pks, names),
        contents=contents,
        settings=settings,
        now=now,
    )


@lru_cache(maxsize=4096)
def _events_in(source: str) -> tuple[str, ...]:
    return tuple(used_events(source))


def _standing(batch: _Batch, story: Story) -> Standing:
    frequency = batch.designs[story.experiment_id].variant(story.variant).frequency
    slots = batch.circumstances.slots.get(story.user_pk, ())
    rest = timedelta(0) if frequency is None else frequency.min_interval
    return batch.circumstances.standing(
        story.user_pk,
        batch.people[story.user_pk],
        category=story.category,
        experiment_id=story.experiment_id,
        frequency=frequency,
        busy_until=busy_until(slots, batch.now),
        turn_at=turn_at(story, batch.waiting.get(story.user_pk, ()), min_interval=rest, now=batch.now),
    )


def _situation(batch: _Batch, story: Story, standing: Standing) -> Situation:
    return Situation(
        status=batch.experiments[story.experiment_id].status,
        silenced=batch.experiments[story.experiment_id].silenced.get(story.variant),
        fused=batch.everything or (story.experiment_id, story.variant) in batch.fused,
        phone=batch.people[story.user_pk].phone,
        consented=(story.user_pk, story.category) in batch.consented,
        standing=standing,
        better=better(
            story,
            batch.waiting.get(story.user_pk, ()),
            priority=batch.designs[story.experiment_id].priority,
            fused=batch.fused,
            now=batch.now,
        ),
    )


def _write(batch: _Batch, story: Story) -> tuple[MessageContent, OutgoingMessage] | Story:
    """What to send, but for its link; or the message as it is to be stored when that cannot be made, before any slot is taken."""
    design = batch.designs[story.experiment_id]
    content = design.variant(story.variant).message
    if content is None:
        return unrenderable(story, f"variant {story.variant} has no message")
    person = batch.people[story.user_pk]
    try:
        message = compose(
            content,
            callback=callback_data(story.id, story.tries + 1),
            person=person,
            experiment=design.key,
            variant=story.variant,
            now=batch.now,
            window_open=is_open(person.last_inbound_at, batch.now),
            settings=batch.settings,
            events=batch.events.get(story.user_pk, _NO_EVENTS),
            fetched=batch.contents.get(story.id, NOTHING_FETCHED),
        )
    except WindowClosed:
        return window_closed(story)
    except ContentUnavailable:
        return put_off(story, at=batch.now + CONTENT_REST, reason=NO_CONTENT)
    except Invalid as error:
        return unrenderable(story, error.message)
    return content, message


def _told(content: MessageContent, message: OutgoingMessage, fetched: Fetched) -> dict[str, Any]:
    """What was chosen in writing a message, where that was not simply what the design says."""
    told: dict[str, Any] = {}
    if content.text is not None and content.template is not None:
        told["written"] = "template" if isinstance(message, TemplateMessage) else "text"
    if message.language != content.language and isinstance(message, TemplateMessage):
        told["language"] = message.language
    if fetched.fallbacks:
        told["content_fallbacks"] = list(fetched.fallbacks)
    return told


def _begin(
    session: Session,
    ready: Sequence[tuple[Story, MessageContent, OutgoingMessage]],
    *,
    now: datetime,
    waits_until: datetime,
) -> list[Begun]:
    """Take the slots, and store what goes out."""
    targets = {
        story.id: content.link
        for story, content, message in ready
        if content.link is not None and isinstance(message, TemplateMessage)
    }
    tokens = links.create(session, targets=targets) if targets else {}
    begun: list[Begun] = []
    changes: list[tuple[tuple[Story, Story], Sequence[str]]] = []
    for story, _, made in ready:
        message = made
        if story.id in tokens and isinstance(message, TemplateMessage):
            message = replace(message, url_suffix=tokens[story.id])
        going = begin(story, now=now, waits_until=waits_until, language=message.language)
        begun.append(Begun(going, message))
        changes.append(((story, going), message.texts))
    repository.save_begun(session, changes)
    return begun
