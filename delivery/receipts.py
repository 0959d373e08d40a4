"""Webhooks become states: stored as they come, made sense of afterwards, a batch of bodies in one transaction.

`store` keeps a body and is all that happens before WhatsApp gets its answer. `project_tick` reads bodies in their order
and merges each status into its message (`progress.merge`, in which any order and any repetition end alike), hears
what people say (`inbound`), and opens and closes the fuses of templates. Nothing is dropped: a body that cannot be read
keeps its error, a status whose message is not known waits a while in `unmatched` and then stays there with an error.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from sqlalchemy.exc import DataError, IntegrityError
from sqlmodel import Session

from delivery import breakers, dispatch_repository, inbound
from delivery import receipt_repository as repository
from delivery.breakers import EQUAL_ERRORS, Raised
from delivery.inbound import OptedOut
from delivery.progress import Receipt, belongs, merge
from delivery.reading import Reading, Status, as_json, read
from delivery.receipt_repository import Looked, Stored
from delivery.retry import Alarm, Rules
from delivery.story import MAX_WAMID, Story, read_callback
from delivery.whatsapp.error_table import OPTED_OUT
from delivery.whatsapp.items import StatusUpdate, TemplateUpdate
from experiments.clock import Clock
from experiments.database import Database
from experiments.service import design_of
from experiments.settings import Settings

_log = logging.getLogger(__name__)

UNMATCHED_FOR: Final = timedelta(minutes=15)
"""How long a status waits for a message that we do not know (yet)."""
UNMATCHED_BATCH: Final = 200
TEMPLATE_STOPS: Final = frozenset({"PAUSED", "DISABLED", "REJECTED", "PENDING_DELETION", "DELETED"})
TEMPLATE_RETURNS: Final = frozenset({"APPROVED", "REINSTATED", "UNPAUSED"})
_UNSTORABLE: Final = (DataError, IntegrityError, OverflowError)
_Fetch = Callable[..., list[Stored]]


@dataclass(frozen=True, slots=True)
class Projected:
    """What a tick did. `changed`: messages that moved; `unmatched`: statuses still without a message; `errors`: bodies."""

    bodies: int = 0
    statuses: int = 0
    changed: int = 0
    inbound: int = 0
    withdrawn: int = 0
    granted: int = 0
    strangers: int = 0
    templates: int = 0
    other: int = 0
    unmatched: int = 0
    errors: int = 0

    def __add__(self, more: "Projected") -> "Projected":
        names = [part.name for part in fields(self)]
        return Projected(**{name: getattr(self, name) + getattr(more, name) for name in names})


@dataclass(slots=True)
class _Folded:
    """Messages after the statuses of a batch, the statuses without a message, and what failures say beyond theirs."""

    changes: list[dispatch_repository.Change] = field(default_factory=list)
    unmatched: list[Status] = field(default_factory=list)
    alarms: list[Raised] = field(default_factory=list)
    aliases: set[tuple[str, str, int]] = field(default_factory=set)


def store(session: Session, clock: Clock, *, body: bytes) -> int:
    """Keep a webhook as it came; returns its id. Check its signature first, answer 200 after the commit."""
    return repository.add_body(session, body=body, at=clock.now())


def project_tick(
    database: Database,
    clock: Clock,
    *,
    settings: Settings,
    limit: int = 10_000,
    batch: int = 500,
    rng: np.random.Generator | None = None,
) -> Projected:
    """Make sense of up to `limit` webhooks that wait, `batch` in a transaction, and look again for missing messages."""
    projector = _Projector(clock, settings, rng or np.random.default_rng())
    again = _project_batch(database, projector, repository.unmatched_bodies, limit=UNMATCHED_BATCH)
    total = replace(again, bodies=0)
    while total.bodies < limit:
        size = min(batch, limit - total.bodies)
        done = _project_batch(database, projector, repository.new_bodies, limit=size)
        total += done
        if not done.bodies:
            break
    return total


def _project_batch(database: Database, projector: "_Projector", fetch: _Fetch, *, limit: int) -> Projected:
    """One batch; when the database refuses it, body by body, so that one that cannot be stored never holds up the rest."""
    try:
        with database.transaction() as session:
            return projector.project(session, fetch(session, limit=limit))
    except _UNSTORABLE as error:
        _log.error("a batch of webhooks is projected one by one: %s", type(error).__name__)
    total = Projected()
    last = 0
    for _ in range(limit):
        bodies: list[Stored] = []
        try:
            with database.transaction() as session:
                bodies = fetch(session, limit=1, after_id=last)
                total += projector.project(session, bodies)
        except _UNSTORABLE as error:
            with database.transaction() as session:
                total += projector.refuse(session, bodies, error)
        if not bodies:
            break
        last = bodies[0].id
    return total


class _Projector:
    """Projects bodies inside a transaction of the caller's."""

    def __init__(self, clock: Clock, settings: Settings, rng: np.random.Generator) -> None:
        self._clock = clock
        self._rules = Rules.of(settings)
        self._number = settings.whatsapp_phone_number_id
        self._settings = settings
        self._rng = rng

    def refuse(self, session: Session, bodies: Sequence[Stored], error: Exception) -> Projected:
        """Give up on bodies whose content the database does not take."""
        now = self._clock.now()
        text = f"cannot be stored: {type(error).__name__}"
        repository.note(session, [Looked(body.id, now, text, body.unmatched) for body in bodies])
        return Projected(bodies=len(bodies), errors=len(bodies))

    def project(self, session: Session, bodies: Sequence[Stored]) -> Projected:
        """Read the bodies and apply everything in them. People first, messages after: sending locks in that order too."""
        if not bodies:
            return Projected()
        reading = read(bodies, now=self._clock.now())
        targets = self._targets(session, reading.statuses)
        heard = inbound.hear(
            session,
            self._clock,
            said=reading.said,
            opted_out=self._opted_out(session, targets),
            stop_words=self._settings.stop_words,
            erasure_secret=self._settings.erasure_secret.get_secret_value(),
        )
        folded = self._fold(session, targets)
        changed = dispatch_repository.save(session, folded.changes)
        dispatch_repository.add_aliases(session, folded.aliases)
        self._sound(session, folded.alarms)
        _apply_template_updates(session, reading.templates)
        errors = self._close(session, bodies, reading, folded.unmatched)
        return Projected(
            bodies=len(bodies),
            statuses=len(reading.statuses),
            changed=changed,
            inbound=sum(item.wrote for item in reading.said),
            withdrawn=heard.withdrawn,
            granted=heard.granted,
            strangers=heard.strangers,
            templates=len(reading.templates),
            other=reading.other,
            unmatched=len(folded.unmatched),
            errors=errors,
        )

    def _targets(
        self, session: Session, statuses: Sequence[Status]
    ) -> list[tuple[Status, int | None, int | None]]:
        """Each status with its message's id (by our id, else by WhatsApp's) and the attempt, where they are known."""
        named = [(status, read_callback(status.update.callback_data)) for status in statuses]
        wamids = {status.update.wamid for status, callback in named if callback is None}
        by_wamid = dispatch_repository.owners_of_wamids(session, wamids)
        return [
            (status, *callback) if callback else (status, by_wamid.get(status.update.wamid), None)
            for status, callback in named
        ]

    def _opted_out(
        self, session: Session, targets: Sequence[tuple[Status, int | None, int | None]]
    ) -> list[OptedOut]:
        told = {
            message_id: status.at
            for status, message_id, _ in targets
            if status.update.error_code == OPTED_OUT and message_id is not None
        }
        stories = dispatch_repository.stories(session, told, hold=False)
        return [OptedOut(story.user_pk, told[story.id]) for story in stories.values()]

    def _fold(self, session: Session, targets: Sequence[tuple[Status, int | None, int | None]]) -> _Folded:
        ids = {message_id for _, message_id, _ in targets if message_id is not None}
        before = dispatch_repository.stories(session, ids)
        owners = self._owners(session, targets, before)
        stories = dict(before)
        folded = _Folded()
        for status, message_id, attempt in targets:
            story = stories.get(message_id) if message_id is not None else None
            if story is None:
                folded.unmatched.append(status)
                continue
            receipt = _receipt(status, attempt or story.tries, story, owners)
            if not belongs(story, receipt):
                folded.unmatched.append(status)
                continue
            stories[story.id], alarm = merge(story, receipt, self._rules)
            if alarm is not None:
                code, title = status.update.error_code, status.update.error_title
                detail = title or f"status with error {code}"
                folded.alarms.append(Raised(alarm, story.experiment_id, story.variant, code, detail))
            scoped = status.update.user_id
            if scoped is not None and len(scoped) <= MAX_WAMID:
                folded.aliases.add(("business_scoped_id", scoped, story.user_pk))
        folded.changes = [(before[pk], story) for pk, story in stories.items()]
        folded.alarms = _without_rare_errors(folded.alarms, list(stories.values()))
        return folded

    def _owners(
        self,
        session: Session,
        targets: Sequence[tuple[Status, int | None, int | None]],
        stories: dict[int, Story],
    ) -> dict[str, int]:
        """Who has the ids of WhatsApp's that statuses would give to messages without one."""
        nameless = {
            status.update.wamid
            for status, message_id, _ in targets
            if message_id in stories and stories[message_id].wamid is None
        }
        return dispatch_repository.owners_of_wamids(session, nameless)

    def _sound(self, session: Session, alarms: Sequence[Raised]) -> None:
        if alarms:
            ids = {raised.experiment_id for raised in alarms}
            experiments = dispatch_repository.definitions(session, ids)
            breakers.sound(
                session,
                alarms=alarms,
                number=self._number,
                designs={pk: design_of(experiment) for pk, experiment in experiments.items()},
                now=self._clock.now(),
                rng=self._rng,
            )

    def _close(
        self,
        session: Session,
        bodies: Sequence[Stored],
        reading: Reading,
        unmatched: Sequence[Status],
    ) -> int:
        """Mark the bodies as done, except those that wait for a message; returns how many ended with an error."""
        now = self._clock.now()
        waiting: dict[int, list[StatusUpdate]] = {}
        for status in unmatched:
            waiting.setdefault(status.body_id, []).append(status.update)
        looked = list(reading.unreadable)
        for body in bodies:
            if body.id not in waiting:
                continue
            left = [as_json(update) for update in waiting[body.id]]
            over = now - body.received_at >= UNMATCHED_FOR
            error = f"{len(left)} statuses of messages that we do not know" if over else None
            looked.append(Looked(body.id, now if over else None, error, left))
        repository.note(session, looked)
        noted = {item.id for item in looked}
        repository.finish(session, [body.id for body in bodies if body.id not in noted], at=now)
        return sum(item.error is not None for item in looked)


def _receipt(status: Status, attempt: int, story: Story, owners: dict[str, int]) -> Receipt:
    update = status.update
    wamid: str | None = update.wamid if len(update.wamid) <= MAX_WAMID else None
    if wamid is not None and story.wamid is None and owners.setdefault(wamid, story.id) != story.id:
        wamid = None
    return Receipt(attempt, update.status, status.at, wamid, update.error_code)


def _without_rare_errors(alarms: Sequence[Raised], told: Sequence[Story]) -> list[Raised]:
    """The alarms, but bad requests only where a variant has many equal ones in this batch and no success in it."""
    is_bad = Counter(
        (raised.experiment_id, raised.variant, raised.code)
        for raised in alarms
        if raised.alarm is Alarm.BAD_REQUEST
    )
    lucky = {
        (story.experiment_id, story.variant)
        for story in told
        if story.failed_at is None and story.sent_at is not None
    }
    return [
        raised
        for raised in alarms
        if raised.alarm is not Alarm.BAD_REQUEST
        or (
            is_bad[raised.experiment_id, raised.variant, raised.code] >= EQUAL_ERRORS
            and (raised.experiment_id, raised.variant) not in lucky
        )
    ]


def _apply_template_updates(session: Session, updates: Sequence[tuple[datetime, TemplateUpdate]]) -> None:
    for at, update in sorted(updates, key=lambda pair: pair[0]):
        name, language = update.template, update.language
        if update.event in TEMPLATE_STOPS:
            reason = f"{update.event}: {update.reason}" if update.reason else update.event
            breakers.template_stopped(session, name=name, language=language, at=at, reason=reason)
        elif update.event in TEMPLATE_RETURNS:
            breakers.template_restored(session, name=name, language=language, at=at)
