"""A small world for tests: people in the table of users, with consent, and a campaign to put them in."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import insert
from sqlmodel import Session

from experiments.clock import Clock
from experiments.models import Experiment
from experiments.vocabulary import Category
from targeting import campaigns
from targeting.models import Consent, User

SILENCE = {"key": "silence", "control": True, "weight": 1}
REMINDER = {"key": "reminder", "weight": 1, "message": {"template": "reminder", "language": "en_US"}}
COUPON = {
    "key": "coupon",
    "weight": 1,
    "message": {"template": "coupon", "language": "en_US"},
    "send_time": {"local_time": "18:30"},
    "frequency": {"steps": 2, "min_interval": "72h"},
}
BOUGHT = {
    "key": "bought",
    "role": "primary",
    "kind": "proportion",
    "event": "Order Completed",
    "window": "14d",
}


def campaign(key: str = "spring", **changes: Any) -> dict[str, Any]:
    """A campaign of three arms: silence, one message, two messages at half past six."""
    return {
        "key": key,
        "name": key,
        "variants": [SILENCE, REMINDER, COUPON],
        "metrics": [BOUGHT],
        **changes,
    }


def add_people(
    session: Session,
    clock: Clock,
    numbers: Iterable[int],
    *,
    consent: Iterable[str] = (Category.MARKETING,),
    phone: bool = True,
    time_zone: str | None = "Europe/Amsterdam",
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Users `user-1`, `user-2`, .. whose internal id is their number."""
    now = clock.now()
    people = list(numbers)
    session.connection().execute(
        insert(User),
        [
            {
                "id": number,
                "user_id": f"user-{number}",
                # Area codes 201..; 555-0100 to 555-0199 are reserved for fiction.
                "phone": f"+1{201 + number // 100}55501{number % 100:02}" if phone else None,
                "time_zone": time_zone,
                "attributes": {"country": "NL", "number": number, **(attributes or {})},
                "created_at": now,
                "updated_at": now,
            }
            for number in people
        ],
    )
    granted = [
        {"user_pk": number, "category": category, "granted": True, "changed_at": now}
        for number in people
        for category in consent
    ]
    if granted:
        session.connection().execute(insert(Consent), granted)


def start_campaign(session: Session, clock: Clock, document: Mapping[str, Any]) -> Experiment:
    """Create and start a campaign."""
    key = campaigns.create(session, clock, actor="test", document=document).key
    return campaigns.start(session, clock, actor="test", key=key)
