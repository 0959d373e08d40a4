"""What users did and who they said they are: batches of tracking calls become events, users and aliases.

Each call is idempotent by its `message_id`. An unknown user id makes a user (without a phone, so nobody is messaged
by mistake). An unknown anonymous id makes one too, called `anonymous:<id>`. When identify names both, the anonymous
id belongs to that user from then on; if the user id is new, the anonymous user *becomes* that user and keeps its
events. Two users that both exist stay two: events from before stay where they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlmodel import Session

from experiments.clock import Clock
from experiments.errors import Unavailable
from targeting import event_repository, user_repository
from targeting.calls import Call, IdentifyCall, TrackCall, check_calls
from targeting.profile import ANONYMOUS_PREFIX
from targeting.roster import ProfileChange, Roster
from targeting.user_repository import Person, stored_id

__all__ = ["IdentifyCall", "Ingested", "TrackCall", "check_calls", "ingest"]

ANONYMOUS_ID: Final = "anonymous_id"
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Ingested:
    """`accepted + duplicates` is the number of calls."""

    accepted: int
    duplicates: int


def ingest(session: Session, clock: Clock, *, calls: Sequence[Call], default_region: str) -> Ingested:
    """Store a batch, all or nothing, in a number of statements that does not depend on its size.

    Raises Invalid (every wrong field of every call, `batch[i].` before its name when there are several), Conflict
    when a phone in the traits belongs to another user, Unavailable when other transactions kept being quicker.
    Identify calls leave no row of their own: the same one sent again says the same again.
    """
    now = clock.now()
    changes = check_calls(calls, now=now, default_region=default_region)
    first = {call.message_id: index for index, call in reversed(list(enumerate(calls)))}
    work = [(calls[index], changes[index]) for index in sorted(first.values())]
    identified = sum(isinstance(call, IdentifyCall) for call, _ in work)
    for _ in range(_ATTEMPTS):
        batch = _Batch(session, work)
        for call, change in work:
            batch.add(call, change)
        try:
            tracked = batch.save(session, now)
        except user_repository.RACED as error:
            raise Unavailable("the database is busy with the same users; try again") from error
        if tracked is not None:
            return Ingested(accepted=tracked + identified, duplicates=len(calls) - tracked - identified)
    raise Unavailable("the same users are being changed by somebody else; try again")


class _Batch:
    """Who is concerned by a batch, read once; then call after call in memory; then written once."""

    def __init__(self, session: Session, work: Sequence[tuple[Call, ProfileChange | None]]) -> None:
        to_change = any(change is not None for _, change in work)
        anonymous_ids = {
            call.anonymous_id
            for call, change in work
            if call.anonymous_id is not None and (call.user_id is None or change is not None)
        }
        user_ids = {call.user_id for call, _ in work if call.user_id is not None}
        phones = {change.phone for _, change in work if change is not None and change.phone is not None}
        by_alias = user_repository.people_by_alias(session, ANONYMOUS_ID, anonymous_ids, to_change=to_change)
        known = user_repository.people(session, user_ids, to_change=to_change)
        # One object per person, also when a person is found both ways.
        everybody = {person.user_id: person for person in by_alias.values()} | known
        self._aliases = {alias: everybody[person.user_id] for alias, person in by_alias.items()}
        self._roster = Roster(everybody.values(), user_repository.owners_of(session, phones))
        self._new_aliases: dict[str, Person] = {}
        self._last_seen: dict[Person, datetime] = {}
        self._tracked: list[tuple[TrackCall, Person]] = []

    def add(self, call: Call, change: ProfileChange | None) -> None:
        person = self._who(call)
        if change is not None:
            self._roster.apply(replace(change, user_id=person.user_id))
        if isinstance(call, TrackCall):
            self._tracked.append((call, person))
        earlier = self._last_seen.get(person)
        if earlier is None or earlier < call.at:
            self._last_seen[person] = call.at

    def save(self, session: Session, now: datetime) -> int | None:
        """Write everything; returns how many events were new, or None when somebody else was quicker: read again."""
        newcomers = self._roster.newcomers
        for person in newcomers:
            person.last_seen_at = min(self._last_seen[person], now)
        user_repository.free_phones(session, self._roster.moving_phones)
        if user_repository.insert_people(session, newcomers, now=now):
            return None
        user_repository.update_people(session, self._roster.changed, now=now)
        user_repository.move_last_seen(
            session,
            {
                stored_id(person): min(at, now)
                for person, at in self._last_seen.items()
                if person.last_seen_at is None or person.last_seen_at < min(at, now)
            },
        )
        user_repository.put_aliases(
            session, ANONYMOUS_ID, {alias: stored_id(person) for alias, person in self._new_aliases.items()}
        )
        return len(
            event_repository.insert_events(
                session,
                [
                    {
                        "message_id": call.message_id,
                        "user_pk": stored_id(person),
                        "name": call.event,
                        "at": call.at,
                        "received_at": now,
                        "properties": call.properties,
                    }
                    for call, person in self._tracked
                ],
            )
        )

    def _who(self, call: Call) -> Person:
        alias = call.anonymous_id
        if call.user_id is None:
            assert alias is not None  # noqa: S101  # check_calls saw to it
            person = self._aliases.get(alias)
            if person is None:
                person = self._roster.enter(ANONYMOUS_PREFIX + alias)
                self._name(alias, person)
            return person
        if alias is None or isinstance(call, TrackCall):
            return self._roster.enter(call.user_id)
        before = self._aliases.get(alias)
        if (
            before is not None
            and before.user_id.startswith(ANONYMOUS_PREFIX)
            and self._roster.get(call.user_id) is None
        ):
            self._roster.rename(before, call.user_id)
        person = self._roster.enter(call.user_id)
        if before is not person:
            self._name(alias, person)
        return person

    def _name(self, alias: str, person: Person) -> None:
        self._aliases[alias] = person
        self._new_aliases[alias] = person
