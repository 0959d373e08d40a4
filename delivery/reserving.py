"""Reserve: the last look before messages go out, in one transaction, and their slots. The caller commits, then POSTs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlmodel import Session

from delivery import dispatch_repository as repository
from delivery import links
from delivery.dispatch_repository import Recipient, Taken
from delivery.rendering import compose
from delivery.reservation import Situation, held_back, unrenderable
from delivery.story import Story, begin, callback_data
from delivery.whatsapp.payloads import OutgoingMessage, TemplateMessage
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.errors import Invalid
from experiments.settings import Settings
from experiments.treatments import MessageContent


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


def reserve(
    session: Session,
    clock: Clock,
    *,
    claims: Sequence[tuple[int, int]],
    worker: str,
    settings: Settings,
    designs: Mapping[int, ExperimentDesign],
) -> Reserved:
    """Look at each claimed message (id, user) once more; take a slot for those that may go out.

    Consent and caps are read under a lock on the users, which withdrawals and other workers wait for. A claim that
    was lost meanwhile (the lease ran out, the experiment was stopped) is in neither list.
    """
    people = repository.recipients(session, [user_pk for _, user_pk in claims])
    # Only now, under the lock: slots of one user must be taken in the order of their times.
    now = clock.now()
    stories = repository.claimed_by(session, [message_id for message_id, _ in claims], worker=worker)
    situations = _situations(session, stories, people, settings, designs, now)
    held: list[tuple[Story, Story]] = []
    ready: list[tuple[Story, MessageContent, OutgoingMessage]] = []
    for story in stories:
        stays = held_back(story, situations[story.id], settings=settings, now=now)
        if stays is not None:
            held.append((story, stays))
            continue
        try:
            content, message = _write(story, designs, people[story.user_pk], settings, now)
        except Invalid as error:
            held.append((story, unrenderable(story, error.message)))
        else:
            ready.append((story, content, message))
    targets = {story.id: content.link for story, content, _ in ready if content.link is not None}
    tokens = links.create(session, targets=targets)
    waits_until = now + settings.unknown_after
    begun: dict[int, Begun] = {}
    changes: list[tuple[tuple[Story, Story], Sequence[str]]] = []
    for story, _, made in ready:
        message = made
        going = begin(story, now=now, waits_until=waits_until)
        token = tokens.get(story.id)
        if token is not None and isinstance(message, TemplateMessage):
            message = replace(message, url_suffix=token)
        begun[story.id] = Begun(going, message)
        changes.append(((story, going), message.texts))
    repository.save(session, held)
    repository.save_begun(session, changes)
    in_order = [begun[message_id] for message_id, _ in claims if message_id in begun]
    return Reserved(in_order, [stays for _, stays in held])


def _situations(
    session: Session,
    stories: Sequence[Story],
    people: Mapping[int, Recipient],
    settings: Settings,
    designs: Mapping[int, ExperimentDesign],
    now: datetime,
) -> dict[int, Situation]:
    user_pks = [story.user_pk for story in stories]
    intervals = {
        story.id: (
            f.min_interval
            if (f := designs[story.experiment_id].variant(story.variant).frequency)
            else timedelta(0)
        )
        for story in stories
    }
    reach = max(timedelta(days=7), settings.unknown_after, *intervals.values(), timedelta(0))
    taken: dict[int, list[Taken]] = {user_pk: [] for user_pk in user_pks}
    for place in repository.ledger(session, user_pks, since=now - reach):
        taken[place.user_pk].append(place)
    later_steps = [story for story in stories if story.step > 0]
    waiting: dict[tuple[int, int], list[Taken]] = {}
    for place in repository.waiting_steps(session, later_steps):
        waiting.setdefault((place.experiment_id, place.user_pk), []).append(place)
    statuses = repository.statuses(session, {story.experiment_id for story in stories})
    consented = repository.consented(session, user_pks)
    return {
        story.id: Situation(
            status=statuses[story.experiment_id],
            phone=people[story.user_pk].phone,
            consented=(story.user_pk, story.category) in consented,
            taken=[
                *taken[story.user_pk],
                *(
                    place
                    for place in waiting.get((story.experiment_id, story.user_pk), ())
                    if place.step < story.step
                ),
            ],
            min_interval=intervals[story.id],
        )
        for story in stories
    }


def _write(
    story: Story,
    designs: Mapping[int, ExperimentDesign],
    person: Recipient,
    settings: Settings,
    now: datetime,
) -> tuple[MessageContent, OutgoingMessage]:
    """What to send, but for its link; raises Invalid before any slot is taken when it cannot be sent."""
    design = designs[story.experiment_id]
    content = design.variant(story.variant).message
    if content is None:
        raise Invalid(f"variant {story.variant} has no message")
    message = compose(
        content,
        callback=callback_data(story.id, story.tries + 1),
        person=person,
        experiment=design.key,
        variant=story.variant,
        now=now,
        window_open=False,
        settings=settings,
    )
    return content, message
