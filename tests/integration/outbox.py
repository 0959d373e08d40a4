"""A running campaign with planned messages, made in one go, and a sender that answers as it is told."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import insert
from sqlmodel import Session, col, select

from delivery.models import Breaker, Message
from delivery.sending.dispatch import Dispatched, Dispatcher
from delivery.whatsapp.client import Accepted, Rejected, SendOutcome
from delivery.whatsapp.error_table import classify
from delivery.whatsapp.payloads import TemplateMessage
from experiments.clock import Clock
from experiments.database import Database
from experiments.lifecycle import Move
from experiments.service import create, move
from experiments.settings import Settings
from targeting.models import Consent, User

NUMBER = "106540352242922"


def settings(**changes: Any) -> Settings:
    defaults: dict[str, Any] = {"whatsapp_phone_number_id": NUMBER, "messages_per_second": 1000}
    return Settings(**defaults | changes)


def phone_of(index: int) -> str:
    """Made-up numbers from the ranges +1 NXX 555 0100..0199, reserved for fiction."""
    area, line = divmod(index, 100)
    return f"+1{201 + area}5550{100 + line}"


def design(key: str = "spring", **changes: Any) -> dict[str, Any]:
    return {
        "key": key,
        "name": key,
        "variants": [
            {"key": "silence", "control": True},
            {
                "key": "a",
                "message": {
                    "template": "promo_a",
                    "language": "en_US",
                    "parameters": ["{{ user.first_name }}"],
                },
            },
            {
                "key": "b",
                "message": {"template": "promo_b", "language": "en_US", "link": "https://shop.example/b"},
                "frequency": {"steps": 2, "min_interval": "72h"},
            },
        ],
        "metrics": [
            {"key": "bought", "role": "primary", "kind": "proportion", "event": "Bought", "window": "14d"}
        ],
    } | changes


def add_experiment(database: Database, clock: Clock, **changes: Any) -> int:
    """A running experiment; returns its id."""
    document = design(**changes)
    with database.transaction() as session:
        experiment = create(session, clock, actor="test", document=document)
        move(session, clock, actor="test", key=document["key"], move=Move.START)
        assert experiment.id is not None
        return experiment.id


def add_users(
    database: Database, clock: Clock, number: int, *, consented: bool = True, first: int = 0
) -> list[int]:
    """Users with a phone and (or not) consent to marketing; returns their ids."""
    now = clock.now()
    rows = [
        {
            "user_id": f"u{i}",
            "phone": phone_of(i),
            "attributes": {"first_name": f"Ann{i}"},
            "created_at": now,
            "updated_at": now,
        }
        for i in range(first, first + number)
    ]
    with database.transaction() as session:
        connection = session.connection()
        connection.execute(insert(User), rows)
        names = [row["user_id"] for row in rows]
        ids = list(session.exec(select(User.id).where(col(User.user_id).in_(names)).order_by(col(User.id))))
        if consented:
            connection.execute(
                insert(Consent),
                [{"user_pk": pk, "category": "marketing", "granted": True, "changed_at": now} for pk in ids],
            )
    return [pk for pk in ids if pk is not None]


def add_messages(
    database: Database, clock: Clock, experiment_id: int, users: Sequence[int], **changes: Any
) -> list[int]:
    """One planned message for each user, due now; returns their ids."""
    now = clock.now()
    defaults = {
        "experiment_id": experiment_id,
        "variant": "a",
        "step": 0,
        "category": "marketing",
        "priority": 0,
        "state": "planned",
        "first_due_at": now,
        "due_at": now,
        "tries": 0,
    } | changes
    with database.transaction() as session:
        session.connection().execute(insert(Message), [defaults | {"user_pk": pk} for pk in users])
        query = select(Message.id).where(
            Message.experiment_id == experiment_id,
            Message.step == defaults["step"],
            col(Message.user_pk).in_(users),
        )
        return [pk for pk in session.exec(query.order_by(col(Message.id))) if pk is not None]


def messages(database: Database) -> dict[int, Message]:
    with database.snapshot() as session:
        return {message.id: message for message in session.exec(select(Message)) if message.id is not None}


def message(database: Database, message_id: int) -> Message:
    return messages(database)[message_id]


def breakers(database: Database) -> dict[tuple[str, str], Breaker]:
    with database.snapshot() as session:
        return {(row.kind, row.key): row for row in session.exec(select(Breaker))}


def change(database: Database, work: Callable[[Session], object]) -> None:
    with database.transaction() as session:
        work(session)


def wamids(prefix: str = "wamid") -> Iterator[str]:
    """Ids as WhatsApp gives them: `wamid.1`, `wamid.2` .."""
    return (f"{prefix}.{number}" for number in count(1))


@dataclass
class FakeSender:
    """Answers each message by `answer` (default: accepted), and remembers what was sent."""

    answer: Callable[[TemplateMessage], SendOutcome] | None = None
    sent: list[TemplateMessage] = field(default_factory=list)
    wamids: Iterator[str] = field(default_factory=wamids)
    closed: bool = False

    async def send(self, message: TemplateMessage) -> SendOutcome:
        self.sent.append(message)
        if self.answer is not None:
            return self.answer(message)
        return Accepted(next(self.wamids), "accepted", message.to.removeprefix("+"))

    async def close(self) -> None:
        self.closed = True


HOUR = timedelta(hours=1)


def later(clock: Clock, **duration: float) -> datetime:
    return clock.now() + timedelta(**duration)


def dispatch(
    database: Database,
    clock: Clock,
    sender: FakeSender,
    *,
    limit: int = 1000,
    worker: str = "w",
    **changes: Any,
) -> Dispatched:
    """What one run of a dispatcher of its own has done."""
    dispatcher = Dispatcher(database, clock, settings(**changes), sender, worker)
    return asyncio.run(dispatcher.run(limit))


def rejected(code: int) -> Rejected:
    """WhatsApp's answer with this error code."""
    return Rejected(code, classify(code, http_status=400), "details", 400)


def campaign(database: Database, clock: Clock, number: int, **changes: Any) -> list[int]:
    """A running experiment with as many messages that are due now; returns their ids."""
    experiment_id = add_experiment(database, clock)
    return add_messages(database, clock, experiment_id, add_users(database, clock, number), **changes)


def states(database: Database) -> Counter[str]:
    return Counter(message.state for message in messages(database).values())
