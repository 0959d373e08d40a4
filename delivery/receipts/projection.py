"""Project: what a batch of webhooks says becomes the states of messages, people, templates and numbers. The caller commits.

People come first and messages after, because sending locks in that order too; the fuses come last.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from sqlmodel import Session

from delivery.fuses import breaker_repository, breakers, number_repository, numbers, streaks
from delivery.fuses.breakers import Raised
from delivery.outbox import dispatch_repository
from delivery.outbox.progress import Receipt, belongs, merge
from delivery.outbox.retry import Alarm, Rules
from delivery.outbox.story import MAX_WAMID, Story, read_callback
from delivery.receipts import inbound
from delivery.receipts import receipt_repository as repository
from delivery.receipts.inbound import OptedOut
from delivery.receipts.reading import Parsed, Reading, Status, as_json, read
from delivery.receipts.receipt_repository import Looked, Stored
from delivery.templates import template_guard, template_updates
from delivery.whatsapp.error_table import OPTED_OUT
from delivery.whatsapp.items import StatusUpdate
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.service import design_of
from experiments.settings import Settings

UNMATCHED_FOR: Final = timedelta(minutes=15)
"""How long a status waits for a message that we do not know (yet)."""
SOON: Final = timedelta(seconds=1)


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
    numbers: int = 0
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
    told: list[Story] = field(default_factory=list)
    aliases: set[tuple[str, str, int]] = field(default_factory=set)


Target = tuple[Status, int | None, int | None]
"""A status with its message's id (by our id, else by WhatsApp's) and the attempt, where they are known."""


class Projector:
    """Projects bodies inside a transaction of the caller's. What it learns of numbers and designs it remembers."""

    def __init__(self, clock: Clock, settings: Settings, rng: np.random.Generator) -> None:
        self._displays: dict[str, str | None] | None = None
        self._ours: set[str] | None = None
        self._designs: dict[int, ExperimentDesign] = {}
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

    def project(self, session: Session, parsed: Sequence[Parsed]) -> Projected:
        """Apply everything in these bodies, but for those that somebody else looked at meanwhile."""
        held = repository.hold(session, [each.body for each in parsed])
        parsed = [each for each in parsed if each.body.id in held]
        if not parsed:
            return Projected()
        reading, bodies = read(parsed, now=self._clock.now()), [each.body for each in parsed]
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
        self._learn(session, reading.displays)
        self._sound(session, folded)
        template_updates.apply(session, updates=reading.templates)
        template_guard.categories_told(session, updates=reading.templates)
        numbers.apply(session, updates=reading.numbers, number=self._number)
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
            numbers=len(reading.numbers),
            other=sum(map(len, reading.others.values())),
            unmatched=len(folded.unmatched),
            errors=errors,
        )

    def _targets(self, session: Session, statuses: Sequence[Status]) -> list[Target]:
        named = [(status, read_callback(status.update.callback_data)) for status in statuses]
        wamids = {status.update.wamid for status, callback in named if callback is None}
        by_wamid = dispatch_repository.owners_of_wamids(session, wamids)
        return [
            (status, *callback) if callback else (status, by_wamid.get(status.update.wamid), None)
            for status, callback in named
        ]

    def _opted_out(self, session: Session, targets: Sequence[Target]) -> list[OptedOut]:
        told = {
            (message_id, status.at)
            for status, message_id, _ in targets
            if status.update.error_code == OPTED_OUT and message_id is not None
        }
        stories = dispatch_repository.stories(session, {pk for pk, _ in told}, hold=False)
        return [OptedOut(stories[pk].user_pk, at) for pk, at in sorted(told) if pk in stories]

    def _fold(self, session: Session, targets: Sequence[Target]) -> _Folded:
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
            if not belongs(story, receipt) or (story.wamid is None and self._is_foreign(session, status)):
                folded.unmatched.append(status)
                continue
            stories[story.id], alarm = merge(story, receipt, self._rules)
            if alarm is not None:
                folded.alarms.append(_raised(alarm, story, status))
            scoped = status.update.user_id
            if scoped is not None and len(scoped) <= MAX_WAMID:
                folded.aliases.add(("business_scoped_id", scoped, story.user_pk))
        folded.changes = [(before[pk], story) for pk, story in stories.items()]
        folded.told = list(stories.values())
        return folded

    def _owners(
        self,
        session: Session,
        targets: Sequence[Target],
        stories: dict[int, Story],
    ) -> dict[str, int]:
        """Who has the ids of WhatsApp's that statuses would give to messages without one."""
        nameless = {
            status.update.wamid
            for status, message_id, _ in targets
            if message_id in stories and stories[message_id].wamid is None
        }
        return dispatch_repository.owners_of_wamids(session, nameless)

    def _is_foreign(self, session: Session, status: Status) -> bool:
        """Whether it was sent through a number that is not ours: another program's callback data may look like ours."""
        number = status.update.number
        if number is None or number == self._number or not self._number:
            return False
        if self._ours is None:
            self._ours = number_repository.of_workers(session)
        return number not in self._ours

    def _learn(self, session: Session, displays: Mapping[str, str]) -> None:
        if displays and self._displays is None:
            self._displays = breaker_repository.displays(session)
        numbers.learn(session, displays, self._displays or {})
        if self._displays is not None:
            self._displays |= {number: f"+{display}" for number, display in displays.items()}

    def _sound(self, session: Session, folded: _Folded) -> None:
        streaks.judge(session, alarms=folded.alarms, told=folded.told, designs=self._designs_of(session))
        alarms = [raised for raised in folded.alarms if raised.alarm is not Alarm.BAD_REQUEST]
        if alarms:
            breakers.sound(
                session,
                alarms=alarms,
                number=self._number,
                designs=self._designs_of(session)({raised.experiment_id for raised in alarms}),
                now=self._clock.now(),
                rng=self._rng,
            )

    def _designs_of(self, session: Session) -> Callable[[Collection[int]], Mapping[int, ExperimentDesign]]:
        def designs(ids: Collection[int]) -> Mapping[int, ExperimentDesign]:
            missing = set(ids) - self._designs.keys()
            if missing:
                for pk, experiment in dispatch_repository.definitions(session, missing).items():
                    self._designs[pk] = design_of(experiment)
            return self._designs

        return designs

    def _close(
        self,
        session: Session,
        bodies: Sequence[Stored],
        reading: Reading,
        unmatched: Sequence[Status],
    ) -> int:
        """Mark the bodies as done, except those that wait for a message; returns how many ended with an error."""
        now = self._clock.now()
        turns: dict[int, datetime] = {}
        waiting: dict[int, list[StatusUpdate]] = {}
        for status in unmatched:
            waiting.setdefault(status.body_id, []).append(status.update)
        looked = list(reading.unreadable)
        for body in bodies:
            if body.id not in waiting:
                continue
            over = now - body.received_at >= UNMATCHED_FOR
            turn = None if over else next_look(body.received_at, now)
            if turn is not None and len(body.unmatched or ()) == len(waiting[body.id]):
                turns[body.id] = turn
                continue
            left = [as_json(update) for update in waiting[body.id]]
            # Another number of the account is no business of ours: that is no error.
            lost = sum(update.number in (None, self._number) for update in waiting[body.id])
            error = f"{lost} statuses of messages that we do not know" if over and lost else None
            looked.append(Looked(body.id, now if over else None, error, left, turn))
        repository.note(session, looked)
        repository.put_off(session, turns)
        repository.name_others(
            session, {pk: ",".join(sorted(set(kinds))) for pk, kinds in reading.others.items()}
        )
        noted = {item.id for item in looked} | turns.keys()
        repository.finish(session, [body.id for body in bodies if body.id not in noted], at=now)
        return sum(item.error is not None for item in looked)


def next_look(received_at: datetime, now: datetime) -> datetime:
    """When to look again for the messages of statuses that have waited since `received_at`: after half as long again.

    So what is new is looked at every second, what is another system's about twenty times before it is given up, and a
    status waits at most half as long again as its message took to become known.
    """
    return min(now + max(SOON, (now - received_at) / 2), received_at + UNMATCHED_FOR)


def _receipt(status: Status, attempt: int, story: Story, owners: dict[str, int]) -> Receipt:
    update = status.update
    wamid: str | None = update.wamid if len(update.wamid) <= MAX_WAMID else None
    if wamid is not None and story.wamid is None and owners.setdefault(wamid, story.id) != story.id:
        wamid = None
    return Receipt(attempt, update.status, status.at, wamid, update.error_code)


def _raised(alarm: Alarm, story: Story, status: Status) -> Raised:
    code, title = status.update.error_code, status.update.error_title
    detail = title or f"status with error {code}"
    return Raised(alarm, story.experiment_id, story.variant, code, detail, story.language, status.at)
