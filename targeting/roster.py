"""The people of one batch, while changes are applied to them in order: pure, between one read and one write.

Import, identify and `users.upsert` all come down to this: read everybody concerned, apply the changes one after
another in memory, write back those who are new or differ. So a batch costs the same few statements at any size.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.errors import Conflict
from targeting.profile import WHATSAPP_PREFIX, merge_attributes
from targeting.rule_triggers import AttributeChange
from targeting.user_repository import Person, stored_id


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What is newly known about one user; None means nothing new. The values have been checked and normalised.

    In `attributes` null removes. `phone_field` and `attributes_field` are what the sender calls them, for errors.
    """

    user_id: str
    phone: str | None = None
    time_zone: str | None = None
    locale: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    phone_field: str = "phone"
    attributes_field: str = "attributes"


class Roster:
    """Who is concerned, as stored (`known`), and who owns the phone numbers that may come up (`owners`: phone -> user id).

    Owners who are strangers (`user_repository.strangers_among`) belong to `known`, so that they can be claimed.
    """

    def __init__(self, known: Iterable[Person], owners: Mapping[str, str]) -> None:
        self._people = {person.user_id: person for person in known}
        self._stored = {person.user_id: _profile(person) for person in self._people.values()}
        self._owners = dict(owners)
        self._newcomers: list[Person] = []
        self._gone: list[Person] = []

    def get(self, user_id: str) -> Person | None:
        return self._people.get(user_id)

    def enter(self, user_id: str) -> Person:
        """The person with this id, made when there is none."""
        person = self._people.get(user_id)
        if person is None:
            person = self._people[user_id] = Person(user_id=user_id, attributes={})
            self._newcomers.append(person)
        return person

    def rename(self, person: Person, user_id: str) -> None:
        """Give a person another user id, one that nobody in this roster has."""
        if person.user_id in self._stored:
            self._stored[user_id] = self._stored.pop(person.user_id)
        self._people[user_id] = self._people.pop(person.user_id)
        person.user_id = user_id
        if person.phone is not None:
            self._owners[person.phone] = user_id

    def merge(self, person: Person, into: Person) -> None:
        """Let a person go into another: what that one lacks is filled in, and the first is in this roster no more.

        Raises Invalid when the other's attributes grow too large.
        """
        into.attributes = merge_attributes(person.attributes or {}, into.attributes or {}, field="userId")
        into.time_zone = into.time_zone or person.time_zone
        into.locale = into.locale or person.locale
        if person.phone is not None:
            self._owners.pop(person.phone, None)
            if into.phone is None:
                into.phone = person.phone
                self._owners[into.phone] = into.user_id
        del self._people[person.user_id]
        self._stored.pop(person.user_id, None)
        self._gone.append(person)

    def apply(self, change: ProfileChange) -> Person:
        """Apply one change whole or not at all. Raises Conflict when the phone is somebody else's, Invalid by size."""
        person = self._people.get(change.user_id)
        owner = self._owners.get(change.phone) if change.phone is not None else None
        if change.phone is not None and owner is not None and owner != change.user_id:
            person = self.claim(change.phone, change.user_id)
            if person is None:
                raise Conflict(f"belongs to user {owner!r} already", field=change.phone_field)
        attributes = merge_attributes(
            (person.attributes if person else None) or {}, change.attributes, field=change.attributes_field
        )
        person = self.enter(change.user_id)
        person.attributes = attributes
        if change.phone is not None and change.phone != person.phone:
            if person.phone is not None:
                self._owners.pop(person.phone, None)
            self._owners[change.phone] = person.user_id
            person.phone = change.phone
        person.time_zone = change.time_zone or person.time_zone
        person.locale = change.locale or person.locale
        return person

    def claim(self, phone: str, user_id: str) -> Person | None:
        """Somebody who wrote to us from `phone` before anybody told us of them turns out to be `user_id`, whom nobody
        knows yet: it is their id from now on. None when there is no such stranger, or the id is taken.
        """
        owner = self._owners.get(phone, "")
        stranger = self._people.get(owner) if owner.startswith(WHATSAPP_PREFIX) else None
        if stranger is None or user_id in self._people:
            return None
        self.rename(stranger, user_id)
        return stranger

    @property
    def newcomers(self) -> list[Person]:
        """Those who are not stored yet."""
        return [person for person in self._newcomers if person.id is None and person not in self._gone]

    @property
    def changed(self) -> list[Person]:
        """Those who are stored, but not as they are now."""
        return [
            person
            for user_id, stored in self._stored.items()
            if not _same(stored, _profile(person := self._people[user_id]))
        ]

    def attribute_changes(self) -> Iterator[AttributeChange]:
        """The attributes of everybody who is new or changed, before and after; ask once newcomers have their ids."""
        for person in self._newcomers:
            if person in self._gone:
                continue
            yield AttributeChange(stored_id(person), {}, person.attributes or {})
        for user_id, stored in self._stored.items():
            person = self._people[user_id]
            if person.attributes is not stored[4]:
                yield AttributeChange(stored_id(person), stored[4], person.attributes or {})

    @property
    def moving_phones(self) -> list[int]:
        """Internal ids of those who give up a number for another: free these before anything is stored."""
        moving = [
            person.id
            for user_id, stored in self._stored.items()
            if (person := self._people[user_id]).id is not None
            and stored[1] is not None
            and stored[1] != person.phone
        ]
        return moving + [person.id for person in self._gone if person.id is not None and person.phone]


def _profile(person: Person) -> tuple[Any, ...]:
    return (person.user_id, person.phone, person.time_zone, person.locale, person.attributes or {})


def _same(stored: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    if stored != now:
        return False
    # Python holds True == 1; a condition on the attribute does not.
    before, after = stored[4], now[4]
    return before is after or all(
        isinstance(value, bool) == isinstance(before[name], bool) for name, value in after.items()
    )
