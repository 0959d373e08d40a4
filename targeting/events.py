"""What users did and who they said they are: batches of tracking calls become events, users and aliases.

Each call is idempotent by its `message_id`. An unknown user id makes a user (without a phone, so nobody is messaged
by mistake). An unknown anonymous id makes one too, called `anonymous:<id>`. What happens when one person turns out to
be another is said in `identities`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session

from experiments.clock import Clock, to_micros
from experiments.errors import Unavailable
from targeting import event_repository, rule_triggers, user_repository, users
from targeting.calls import AliasCall, Call, CheckedCall, GroupCall, IdentifyCall, TrackCall, check_calls
from targeting.event_repository import EventRow, KnownEvent
from targeting.identities import Identities
from targeting.models import Event
from targeting.user_repository import Person, stored_id

__all__ = [
    "AliasCall",
    "Call",
    "CheckedCall",
    "GroupCall",
    "IdentifyCall",
    "Ingested",
    "KnownEvent",
    "TrackCall",
    "check_calls",
    "ingest",
    "list_known",
    "list_known_among",
    "list_of_user",
    "store",
]

_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Ingested:
    """`accepted + duplicates` is the number of calls."""

    accepted: int
    duplicates: int


def list_known(session: Session, *, skip: int, limit: int) -> list[KnownEvent]:
    """What users have done so far: names of events, in their order, each with the time of the latest."""
    return event_repository.known_events(session, skip=skip, limit=limit)


def list_known_among(session: Session, *, names: Sequence[str]) -> list[KnownEvent]:
    """Those of these names (a few) that users have done: in the order of the database, each with the time of the latest."""
    return event_repository.known_among(session, names)


def list_of_user(session: Session, *, user_id: str, before_id: int | None, limit: int) -> Sequence[Event]:
    """Up to `limit` events of one user, the latest first, from before the event `before_id`; raises NotFound."""
    user = users.find(session, user_id=user_id)
    return event_repository.newest_events(session, user_pk=user.id or 0, before_id=before_id, limit=limit)


def ingest(session: Session, clock: Clock, *, calls: Sequence[Call], default_region: str) -> Ingested:
    """Check and store one batch, all or nothing. Raises what `check_calls` and `store` raise."""
    in_batch = len(calls) > 1
    checked = check_calls(calls, now=clock.now(), default_region=default_region, in_batch=in_batch)
    return store(session, clock, batches=[checked])[0]


def store(
    session: Session, clock: Clock, *, batches: Sequence[Sequence[CheckedCall]], erasure_secret: str = ""
) -> list[Ingested]:
    """Store batches of several senders at once, all or nothing, in a number of statements that does not depend on their size.

    Raises Conflict when a phone in the traits belongs to another user, Invalid when a profile grows too large,
    Unavailable when other transactions kept being quicker. Only events leave a row under their message id: any other
    call sent again says the same again. A call that names somebody who was erased is forgotten (and counted with the
    duplicates): one person who left must not make the rest of a batch fail.
    """
    now = clock.now()
    home: dict[str, int] = {}
    work: list[CheckedCall] = []
    for number, batch in enumerate(batches):
        for checked in batch:
            message_id = checked.call.message_id
            if message_id not in home:
                home[message_id] = number
                work.append(checked)
    for _ in range(_ATTEMPTS):
        try:
            stored = _Work(session, work, erasure_secret).save(session, now)
        except user_repository.RACED as error:
            raise Unavailable("the database is busy with the same users; try again") from error
        if stored is not None:
            accepted = [0] * len(batches)
            for checked in work:
                message_id = checked.call.message_id
                accepted[home[message_id]] += message_id in stored
            return [Ingested(done, len(batch) - done) for done, batch in zip(accepted, batches, strict=True)]
    raise Unavailable("the same users are being changed by somebody else; try again")


class _Work:
    """Who is concerned by some calls, read once; then call after call in memory; then written once."""

    def __init__(self, session: Session, work: Sequence[CheckedCall], erasure_secret: str) -> None:
        self._identities = Identities(session, work, erasure_secret=erasure_secret)
        self._said: set[str] = set()
        self._tracked: list[tuple[TrackCall, str, Person]] = []
        self._seen: dict[Person, datetime] = {}
        for checked in work:
            if self._identities.names_erased(checked):
                continue
            call = checked.call
            person = self._identities.settle(checked)
            if isinstance(call, TrackCall):
                self._tracked.append((call, checked.properties, person))
            else:
                self._said.add(call.message_id)
            earlier = self._seen.get(person)
            if earlier is None or earlier < call.at:
                self._seen[person] = call.at

    def save(self, session: Session, now: datetime) -> set[str] | None:
        """Write everything; returns the message ids of new events and of all other calls, or None when somebody else was quicker: read again."""
        seen: dict[Person, datetime] = {}
        for person, at in self._seen.items():
            owner = self._identities.now_is(person)
            active = min(at, now)
            seen[owner] = max(active, seen.get(owner, active))
        if not self._identities.save(session, now, seen):
            return None
        received = to_micros(now)
        rows = [
            EventRow(
                call.message_id,
                stored_id(self._identities.now_is(person)),
                call.event,
                to_micros(call.at),
                received,
                properties,
            )
            for call, properties, person in self._tracked
        ]
        stored = event_repository.add_events(session, rows)
        awaited = rule_triggers.awaited_events(session) if stored else frozenset()
        heard = {row.message_id for row in rows if row.name in awaited and row.message_id in stored}
        if heard:
            new = event_repository.stored_events(session, heard)
            rule_triggers.note_events(session, events=new, now=now)
        return stored | self._said
