"""Withdrawals of consent against sending, step by step: a scheduler that draws whose turn it is, and a judge of who began when.

Two workers claim, reserve, open the gate, begin and record, one step at a time; between any two steps people may withdraw, in
every way there is. Everybody has a connection of their own that does not wait for a lock but says so, as if they were
processes: what would have to wait is tried again later, and counted. Each user's withdrawal meets each user's message at a
moment of its own, so one run over n users is n interleavings.
"""

import json
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from delivery import privacy
from delivery.fuses import breakers
from delivery.fuses.outcomes import Answered, Withheld
from delivery.receipts import inbox as receipts
from delivery.sending.dispatch import Dispatcher
from delivery.sending.gate import Look
from delivery.sending.reserving import Begun, Reserved
from delivery.whatsapp.client import Accepted
from experiments.clock import Clock
from experiments.database import Database
from experiments.settings import Settings
from experiments.vocabulary import Category
from targeting import consent

WORKERS: Final = ("first", "second")
BATCH: Final = 8
GROUP: Final = 3
WAYS: Final = {"consent": 0.3, "stop word": 0.2, "preferences": 0.2, "131050": 0.25, "erased": 0.05}
"""Ways to withdraw, and how often each is taken."""
_TORN: Final = ("claimed", "reserved", "at the gate")
Turn = Generator[None, None, None]


@dataclass(frozen=True, slots=True)
class Person:
    """A user, the phone and the outside id, and the id of an old message to them."""

    pk: int
    user_id: str
    phone: str
    old_message: int


@dataclass(slots=True)
class Judge:
    """`where`: how far a message had come when its user's withdrawal was committed; `waited`: turns lost to somebody's lock."""

    withdrawn: set[int] = field(default_factory=set)
    stopped: bool = False
    begun: set[int] = field(default_factory=set)
    hands: dict[int, str] = field(default_factory=dict)
    where: Counter[str] = field(default_factory=Counter)
    waited: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def begins(self, user_pk: int) -> None:
        if user_pk in self.withdrawn:
            self.violations.append(f"a POST to user {user_pk} began after the withdrawal")
        if self.stopped:
            self.violations.append(f"a POST to user {user_pk} began while everything was stopped")
        self.begun.add(user_pk)

    def withdraws(self, user_pk: int) -> None:
        self.withdrawn.add(user_pk)
        self.where[self.hands.get(user_pk, "planned")] += 1


def impatient(url: str) -> Database:
    """A database of one's own that never waits for a lock."""
    database = Database(url)
    if database.is_sqlite:
        event.listen(database.engine, "connect", _never_wait)
    return database


def _never_wait(connection: Any, _record: Any) -> None:
    # Nobody pulls the plug here: waiting for the disk would only cost time.
    connection.execute("PRAGMA busy_timeout = 0")
    connection.execute("PRAGMA synchronous = OFF")


class _Stepped(Dispatcher):
    """A dispatcher whose steps the race takes one by one."""

    def claim(self) -> Sequence[tuple[int, int]]:
        return self._claim(BATCH)

    def reserve(self, claims: Sequence[tuple[int, int]]) -> Reserved:
        return self._reserve(claims)

    def open_gate(self, group: Sequence[Begun]) -> tuple[AbstractContextManager[Look], Look]:
        gate = self._gate(group)
        return gate, gate.__enter__()

    def record(self, answers: Sequence[Answered]) -> None:
        self._record(answers)


class _Nobody:
    """A client for a dispatcher whose POSTs are begun by the race itself."""

    async def send(self, message: Any) -> Any:
        raise AssertionError(message)

    async def close(self) -> None:
        """Nothing was opened."""


class Race:
    """One run over `people`, each of whom has one message that is due. Returns when every message is done with."""

    def __init__(
        self, url: str, clock: Clock, settings: Settings, people: Sequence[Person], rng: np.random.Generator
    ) -> None:
        self.judge = Judge()
        self._url = url
        self._clock = clock
        self._settings = settings
        self._people = {person.pk: person for person in people}
        self._rng = rng
        self._near: list[int] = []
        self._inbox = 0
        self._still_sending = True
        self._stopping = False

    def run(self, *, pauses: int = 0) -> Judge:
        """Let everybody take turns until the workers find nothing more to do and all have withdrawn."""
        databases = [impatient(self._url) for _ in range(4)]
        actors: dict[str, Turn] = {
            **{name: self._worker(databases[n], name) for n, name in enumerate(WORKERS)},
            "people": self._withdrawals(databases[2]),
            "hand": self._pauses(databases[3], pauses),
        }
        while actors:
            # People come as often as both workers together, so that they meet every step of them.
            names = [*actors, *(["people"] * 2 if "people" in actors else [])]
            name = names[int(self._rng.integers(len(names)))]
            try:
                next(actors[name])
            except StopIteration:
                del actors[name]
                self._still_sending = not actors.keys().isdisjoint(WORKERS)
        for database in databases:
            database.dispose()
        return self.judge

    def _tried(self, who: str, work: Callable[[], Any]) -> Generator[None, None, Any]:
        """Do it, or lose turns until nobody holds what it needs."""
        while True:
            try:
                return work()
            except OperationalError as error:
                if "locked" not in str(error):
                    raise
                self.judge.waited[who] += 1
                yield

    def _worker(self, database: Database, name: str) -> Turn:
        dispatcher = _Stepped(database, self._clock, self._settings, _Nobody(), name)
        idle = 0
        while idle < 3:
            claims = yield from self._tried("worker", dispatcher.claim)
            self._in_hands("claimed", [user_pk for _, user_pk in claims])
            idle = 0 if claims else idle + (not self._stopping)
            yield
            if not claims:
                continue
            reserved = yield from self._tried("worker", partial(dispatcher.reserve, claims))
            self._in_hands("reserved", [item.story.user_pk for item in reserved.begun])
            yield
            answers: list[Answered] = []
            for start in range(0, len(reserved.begun), GROUP):
                answers += yield from self._post(dispatcher, reserved.begun[start : start + GROUP])
                yield
            yield from self._tried("worker", partial(dispatcher.record, answers))
            self._in_hands("recorded", [answered.begun.user_pk for answered in answers])
            yield

    def _post(self, dispatcher: _Stepped, group: Sequence[Begun]) -> Generator[None, None, list[Answered]]:
        gate, look = yield from self._tried("worker", partial(dispatcher.open_gate, group))
        self._in_hands("at the gate", [item.story.user_pk for item in group])
        yield
        for item in look.goes:
            self.judge.begins(item.story.user_pk)
            yield
        gate.__exit__(None, None, None)
        self._in_hands("begun", [item.story.user_pk for item in look.goes])
        yield
        went = [Answered(item.story, item.message.to, _accepted(item)) for item in look.goes]
        stays = [*look.stays, *((item, "busy") for item in look.busy)]
        return went + [Answered(item.story, item.message.to, Withheld(why)) for item, why in stays]

    def _in_hands(self, step: str, user_pks: Sequence[int]) -> None:
        self.judge.hands |= dict.fromkeys(user_pks, step)
        self._near = [*self._near, *user_pks][-6 * BATCH :]

    def _withdrawals(self, database: Database) -> Turn:
        left = set(self._people)
        while left:
            near = [user_pk for user_pk in self._near if user_pk in left]
            torn = [user_pk for user_pk in near if self.judge.hands[user_pk] in _TORN]
            chance = self._rng.random()
            if chance < 0.9 and not torn:
                yield  # waits for somebody worth withdrawing
                if self._still_sending:
                    continue
            chosen = torn if chance < 0.9 and torn else near if chance < 0.97 and near else sorted(left)
            person = self._people[int(self._rng.choice(chosen))]
            left.discard(person.pk)
            yield from self._withdraw(
                database, person, str(self._rng.choice(list(WAYS), p=list(WAYS.values())))
            )
            yield

    def _withdraw(self, database: Database, person: Person, way: str) -> Turn:
        if way in ("consent", "erased"):

            def change(session: Session) -> None:
                if way == "erased":
                    privacy.erase(session, self._clock, actor="race", user_id=person.user_id, secret="race")
                else:
                    consent.withdraw(
                        session, self._clock, user_pk=person.pk, category=Category.MARKETING, source="race"
                    )

            yield from self._tried("people", lambda: _in_transaction(database, change))
        else:
            self._inbox += 1
            body = _webhook(way, person, self._inbox)
            yield from self._tried(
                "people",
                lambda: _in_transaction(
                    database, lambda session: receipts.store(session, self._clock, body=body)
                ),
            )
            yield
            yield from self._tried("people", lambda: self._project(database))
        self.judge.withdraws(person.pk)

    def _project(self, database: Database) -> None:
        receipts.project_tick(database, self._clock, settings=self._settings, rng=self._rng)

    def _pauses(self, database: Database, number: int) -> Turn:
        """A hand that stops everything, and lets it go on a few turns later."""
        for _ in range(number):
            for _ in range(int(self._rng.integers(20, 60))):
                yield
            self._stopping = True
            yield from self._tried(
                "hand",
                lambda: _in_transaction(
                    database,
                    lambda session: breakers.pause_all(session, self._clock, actor="race", reason="race"),
                ),
            )
            self.judge.stopped = True
            for _ in range(int(self._rng.integers(5, 20))):
                yield
            # Before the commit: from here on a POST may begin at any moment.
            self.judge.stopped = False
            yield from self._tried(
                "hand",
                lambda: _in_transaction(
                    database, lambda session: breakers.resume_all(session, self._clock, actor="race")
                ),
            )
            self._stopping = False


def _accepted(item: Begun) -> Accepted:
    return Accepted(f"wamid.{item.message.callback_data}", "accepted", None)


def _in_transaction(database: Database, work: Callable[[Session], Any]) -> Any:
    with database.transaction() as session:
        return work(session)


def _webhook(way: str, person: Person, number: int) -> bytes:
    value: dict[str, Any]
    digits = person.phone.removeprefix("+")
    at = "1796119200"
    if way == "stop word":
        said = {
            "from": digits,
            "id": f"in.{number}",
            "timestamp": at,
            "type": "text",
            "text": {"body": "STOP"},
        }
        field_name, value = "messages", {"messages": [said]}
    elif way == "preferences":
        wish = {
            "wa_id": digits,
            "detail": "User requested to stop marketing messages",
            "category": "marketing_messages",
            "value": "stop",
            "timestamp": at,
        }
        field_name, value = "user_preferences", {"user_preferences": [wish]}
    else:
        status = {
            "id": f"wamid.old.{person.old_message}",
            "status": "failed",
            "timestamp": at,
            "recipient_id": digits,
            "biz_opaque_callback_data": str(person.old_message),
            "errors": [{"code": 131050, "title": "User has stopped marketing messages"}],
        }
        field_name, value = "messages", {"statuses": [status]}
    body = {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": field_name, "value": value}]}],
    }
    return json.dumps(body).encode()
