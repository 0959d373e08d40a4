"""People with all sorts of attributes, events and lists, and who of them a condition means by the closure alone."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import insert
from sqlmodel import Session, select

from experiments.clock import Clock
from experiments.vocabulary import Category
from targeting.conditions import matches
from targeting.conditions.needs import expand_segments
from targeting.conditions.scope import Occurrence
from targeting.models import Consent, Event, Segment, SegmentMember, User
from targeting.segments.repository import conditions_by_key

COUNTRIES = ("NL", "BR", "DE", "Nl", "", None, 31, ["NL", "BE"])
AGES = (17, 18, 42, "42", "042", 41.5, True, None, "old", [18], {"years": 18})
SEEN = ("2026-11-30T10:00:00Z", "2026-10-01", "2026-11-01T23:59:59+14:00", "yesterday", None, 20261130)
DOCUMENTS = ("country", "age", "seen_at", "tags", "plan")


def add_crowd(session: Session, clock: Clock, *, people: int = 60) -> None:
    """Users `user-1`.. whose attributes run through every kind of value, some with orders, some on the list `vips`."""
    now = clock.now()
    rows: list[dict[str, Any]] = []
    for number in range(1, people + 1):
        attributes = {
            "country": COUNTRIES[number % len(COUNTRIES)],
            "age": AGES[number % len(AGES)],
            "seen_at": SEEN[number % len(SEEN)],
            "plan": f"plan-{number % 4}",
            "tags": ["new", "vip"][: number % 3],
        }
        rows.append(
            {
                "id": number,
                "user_id": f"user-{number}",
                # 555-0100 to 555-0199 are reserved for fiction.
                "phone": f"+120255501{number:02}",
                "attributes": {name: value for name, value in attributes.items() if number % 7 or value},
                "created_at": now,
                "updated_at": now,
            }
        )
    session.connection().execute(insert(User), rows)
    agreed = {"category": Category.MARKETING, "granted": True, "changed_at": now}
    session.connection().execute(insert(Consent), [{"user_pk": row["id"], **agreed} for row in rows])
    events = [
        {
            "message_id": f"m-{number}-{times}",
            "user_pk": number,
            "name": ("Order Completed", "Viewed")[number % 2],
            "at": now - timedelta(days=10 * times + number % 9, hours=-1 if number % 13 == 0 else 1),
            "received_at": now,
            "properties": {"revenue": 10 * number + times, "sku": f"S-{times}"},
        }
        for number in range(1, people + 1)
        for times in range(number % 5)
    ]
    session.connection().execute(insert(Event), events)
    add_list(session, clock, "vips", range(3, people, 4))


def add_list(session: Session, clock: Clock, key: str, members: Any) -> Segment:
    segment = Segment(key=key, name=key, created_at=clock.now(), updated_at=clock.now())
    session.add(segment)
    session.flush()
    session.connection().execute(
        insert(SegmentMember),
        [{"segment_id": segment.id, "user_pk": pk, "added_at": clock.now()} for pk in members],
    )
    return segment


def meant(session: Session, clock: Clock, condition: Mapping[str, Any]) -> set[int]:
    """Internal ids of the users for whom the closure holds; everything is read into memory."""
    whole = expand_segments(dict(condition), conditions_by_key(session))
    events: dict[int, dict[str, list[Occurrence]]] = {}
    for event in session.exec(select(Event)):
        mine = events.setdefault(event.user_pk, {})
        mine.setdefault(event.name, []).append(Occurrence(event.at, event.properties))
    lists: dict[int, set[str]] = {}
    members = select(SegmentMember.user_pk, Segment.key).where(
        SegmentMember.segment_id == Segment.id, Segment.condition.is_(None)
    )
    for pk, key in session.exec(members):
        lists.setdefault(pk, set()).add(key)
    return {
        user.id
        for user in session.exec(select(User))
        if matches(
            whole,
            user.attributes,
            now=clock.now(),
            events=events.get(user.id, {}),
            segments=lists.get(user.id, ()),
        )
    }
