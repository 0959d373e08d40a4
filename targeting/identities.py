"""Who a call is about, and when two turn out to be one.

A user id names a user, or one who had that id before (`former_user_id`). An anonymous id names whom it belongs to, or
an anonymous user of its own, called `anonymous:<id>`. From `identify` with both ids, and from `alias`, on:

- the earlier id belongs to the named user;
- if nobody has the user id yet, the earlier user *becomes* that user and keeps everything;
- if both exist, the earlier one *flows into* the named one (`merge_repository`): events, aliases, consent, and whatever
  the named one lacks. With `identify` only an anonymous user does; with `alias` a known one, too;
- if the earlier one takes part in an experiment, both stay: what was measured for an assignment stays with it;
- an anonymous id that belonged to another known user (a shared device) changes hands, and nothing else does.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlmodel import Session

from targeting import merge_repository, rule_triggers, tombstones, user_repository
from targeting.calls import AliasCall, CheckedCall, IdentifyCall
from targeting.models import FORMER_USER_ID
from targeting.profile import ANONYMOUS_PREFIX
from targeting.roster import Roster
from targeting.user_repository import Person, stored_id

ANONYMOUS_ID: Final = "anonymous_id"


class Identities:
    """Everybody whom some calls concern: read once, settled call after call in memory, written once."""

    def __init__(self, session: Session, work: Sequence[CheckedCall], *, erasure_secret: str = "") -> None:
        aliasing = {checked.call.previous_id for checked in work if isinstance(checked.call, AliasCall)}
        self._changes = bool(aliasing) or any(checked.change is not None for checked in work)
        anonymous_ids = aliasing | {
            checked.call.anonymous_id
            for checked in work
            if checked.call.anonymous_id is not None
            and (checked.call.user_id is None or checked.change is not None)
        }
        user_ids = aliasing | {checked.call.user_id for checked in work if checked.call.user_id is not None}
        phones = {
            checked.change.phone
            for checked in work
            if checked.change is not None and checked.change.phone is not None
        }
        changes = self._changes
        by_alias = user_repository.people_by_alias(session, ANONYMOUS_ID, anonymous_ids, to_change=changes)
        known = user_repository.people(session, user_ids, to_change=changes)
        unknown = user_ids - known.keys()
        by_former = user_repository.people_by_alias(session, FORMER_USER_ID, unknown, to_change=changes)
        # One object per person, also when a person is found in several ways.
        everybody = {person.user_id: person for person in (*by_alias.values(), *by_former.values())} | known
        self._aliases = {alias: everybody[person.user_id] for alias, person in by_alias.items()}
        self._former = {alias: everybody[person.user_id] for alias, person in by_former.items()}
        self._new_aliases: dict[str, Person] = {}
        self._new_former: dict[str, Person] = {}
        owners = user_repository.owners_of(session, phones)
        strangers = user_repository.strangers_among(session, owners)
        self._roster = Roster([*everybody.values(), *strangers], owners)
        if strangers:
            self._claim(work, unknown - by_former.keys())
        self._enrolled = self._who_is_enrolled(session, work, aliasing) if changes else set()
        self._became: dict[Person, Person] = {}
        # Who was erased is known by none of these names any more, so only unknown ones need to be looked up.
        names = {(tombstones.USER_ID, user_id) for user_id in unknown - by_former.keys()}
        names |= {(ANONYMOUS_ID, anonymous_id) for anonymous_id in anonymous_ids - by_alias.keys()}
        names |= {(tombstones.PHONE, phone) for phone in phones}
        self._erased = tombstones.erased_among(session, names, secret=erasure_secret)

    def _claim(self, work: Sequence[CheckedCall], unknown: Collection[str]) -> None:
        """Give people who wrote to us the id that a call tells, before anybody else gets it."""
        for checked in work:
            user_id, change = checked.call.user_id, checked.change
            if user_id in unknown and user_id is not None and change is not None and change.phone is not None:
                self._roster.claim(change.phone, user_id)

    def names_erased(self, checked: CheckedCall) -> bool:
        """Whether a call names somebody who was erased, and must not come back by it."""
        if not self._erased:
            return False
        call, change = checked.call, checked.change
        names = {(tombstones.USER_ID, call.user_id), (ANONYMOUS_ID, call.anonymous_id)}
        if change is not None:
            names.add((tombstones.PHONE, change.phone))
        if isinstance(call, AliasCall):
            names |= {(tombstones.USER_ID, call.previous_id), (ANONYMOUS_ID, call.previous_id)}
        return not self._erased.isdisjoint(names)

    def settle(self, checked: CheckedCall) -> Person:
        """Whom a call is about, once it has changed what it changes. Raises Conflict or Invalid."""
        call = checked.call
        if isinstance(call, AliasCall):
            return self._alias(call)
        if call.user_id is None:
            person = self._anonymous(str(call.anonymous_id))
        elif call.anonymous_id is None or not isinstance(call, IdentifyCall):
            person = self._user(call.user_id)
        else:
            before = self._aliases.get(call.anonymous_id)
            person = self._join(before, call.user_id, known_too=False)
            if before is not person:
                self._name(call.anonymous_id, person)
        if checked.change is not None:
            self._roster.apply(replace(checked.change, user_id=person.user_id))
        return person

    def now_is(self, person: Person) -> Person:
        """Whom somebody has become, who may have flowed into somebody else since."""
        while person in self._became:
            person = self._became[person]
        return person

    def save(self, session: Session, now: datetime, seen: Mapping[Person, datetime]) -> bool:
        """Write people, aliases and merges; `seen` is when each was last active. False: somebody else was quicker."""
        roster = self._roster
        newcomers = roster.newcomers
        for person in newcomers:
            person.last_seen_at = seen.get(person, now)
        if self._changes:
            user_repository.free_phones(session, roster.moving_phones)
        if user_repository.insert_people(session, newcomers, now=now):
            return False
        if self._changes:
            user_repository.update_people(session, roster.changed, now=now)
        user_repository.move_last_seen(
            session,
            {
                stored_id(person): at
                for person, at in seen.items()
                if person.last_seen_at is None or person.last_seen_at < at
            },
        )
        self._put_aliases(session, ANONYMOUS_ID, self._new_aliases)
        self._put_aliases(session, FORMER_USER_ID, self._new_former)
        if self._changes:
            rule_triggers.note_changes(session, changes=roster.attribute_changes(), now=now)
            merge_repository.merge_people(
                session,
                [(source, self.now_is(source)) for source in self._became if source.id is not None],
                now=now,
            )
        return True

    def _put_aliases(self, session: Session, kind: str, aliases: Mapping[str, Person]) -> None:
        owners = {alias: stored_id(self.now_is(person)) for alias, person in aliases.items()}
        user_repository.put_aliases(session, kind, owners)

    def _user(self, user_id: str) -> Person:
        return self._find(user_id) or self._roster.enter(user_id)

    def _find(self, user_id: str) -> Person | None:
        person = self._roster.get(user_id) or self._former.get(user_id)
        return None if person is None else self.now_is(person)

    def _anonymous(self, anonymous_id: str) -> Person:
        person = self._aliases.get(anonymous_id)
        if person is None:
            person = self._roster.enter(ANONYMOUS_PREFIX + anonymous_id)
            self._name(anonymous_id, person)
        return self.now_is(person)

    def _alias(self, call: AliasCall) -> Person:
        known = self._roster.get(call.previous_id) if call.previous_id != call.user_id else None
        anonymous = self._aliases.get(call.previous_id)
        person = None
        for before, known_too in ((known, True), (anonymous, False)):
            if before is not None:
                person = self._join(before, call.user_id, known_too=known_too)
        person = person or self._user(call.user_id)
        if known is not None:
            self._former[call.previous_id] = self._new_former[call.previous_id] = person
        self._name(call.previous_id, person)
        return person

    def _join(self, before: Person | None, user_id: str, *, known_too: bool) -> Person:
        """The user of this id, into whom `before` has gone where that is allowed."""
        before = None if before is None else self.now_is(before)
        named = self._find(user_id)
        if before is None or before is named:
            return named or self._roster.enter(user_id)
        if not known_too and not before.user_id.startswith(ANONYMOUS_PREFIX):
            return named or self._roster.enter(user_id)
        if named is None:
            self._roster.rename(before, user_id)
            return before
        if before.id not in self._enrolled:
            self._roster.merge(before, named)
            self._became[before] = named
        return named

    def _name(self, alias: str, person: Person) -> None:
        self._aliases[alias] = person
        self._new_aliases[alias] = person

    def _who_is_enrolled(
        self, session: Session, work: Sequence[CheckedCall], aliasing: Iterable[str]
    ) -> set[int]:
        """Those of the people who may flow into others that take part in an experiment."""
        linked = {
            checked.call.anonymous_id
            for checked in work
            if isinstance(checked.call, IdentifyCall) and checked.call.user_id is not None
        }
        movable = [self._aliases.get(alias) for alias in (*linked, *aliasing) if alias is not None]
        movable += [self._roster.get(user_id) for user_id in aliasing]
        return merge_repository.enrolled(
            session, {person.id for person in movable if person is not None and person.id is not None}
        )
