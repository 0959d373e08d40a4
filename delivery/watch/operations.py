"""What goes on in delivery at this moment, for people who watch over it and for their alarms.

`docs/operations.md` says what to do about each of it. Everything is counted anew at each call, from indexes alone,
but for messages of experiments that are long over: these are told as their books last said.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from delivery.fuses import breakers, numbers
from delivery.limits import ledger_repository, policy
from delivery.sending import workers
from delivery.watch import book_repository
from delivery.watch import summary_repository as repository
from delivery.watch.book_repository import Kept
from delivery.watch.remedies import Explained, explain
from delivery.watch.summary import Summary, summary_of
from delivery.watch.summary_repository import Inbox, Queue, Tally
from experiments.clock import Clock
from experiments.settings import Settings
from experiments.vocabulary import MessageState

RATES: Final = (1, 15)
"""Minutes over which the rate of sending is taken."""
_OVERCOME: Final = frozenset(
    {MessageState.CLAIMED, MessageState.INFLIGHT, MessageState.ACCEPTED}
    | {MessageState.SENT, MessageState.DELIVERED, MessageState.READ, MessageState.CANCELLED}
)
"""A message in one of these states had its error at an earlier attempt. What was cancelled did not end because of it, and is not tried again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """So many messages are in this state because of this error."""

    error: Explained
    state: str
    messages: int


@dataclass(frozen=True, slots=True)
class OpenBreaker:
    """Something that holds messages back; `until` is null when only a hand or WhatsApp's word closes it."""

    kind: str
    key: str
    opened_at: datetime
    until: datetime | None
    code: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Process:
    """A process that sends. `share`: how many messages per second of the number's throughput are its own."""

    name: str
    number: str
    started_at: datetime
    seen_at: datetime
    share: float


@dataclass(frozen=True, slots=True)
class Tier:
    """How many people were written to in the last 24 hours (without having written first), and how many may be; `limit` is
    null when no bound is known.
    """

    unique_users: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class OurNumber:
    """What WhatsApp last said of the number; null: nothing yet."""

    id: str
    quality: str | None
    status: str | None


@dataclass(frozen=True, slots=True)
class Operations:
    """The state of delivery now. `accepted_per_minute` is by length of the window in minutes; `books` as last checked."""

    paused: bool
    queue: Queue
    accepted_per_minute: dict[str, float]
    failures: tuple[Failure, ...]
    breakers: tuple[OpenBreaker, ...]
    workers: tuple[Process, ...]
    tier: Tier
    number: OurNumber
    inbox: Inbox
    books: tuple[Kept, ...]

    def to_json(self, now: datetime) -> dict[str, Any]:
        """As JSON; ages in seconds beside the times that they count from."""
        return {
            "paused": self.paused,
            "queue": {**self.queue._asdict(), "oldest_age_seconds": _age(self.queue.oldest, now)},
            "accepted_per_minute": self.accepted_per_minute,
            "failures": [
                {**asdict(failure.error), "state": failure.state, "messages": failure.messages}
                for failure in self.failures
            ],
            "breakers": [asdict(breaker) for breaker in self.breakers],
            "workers": [asdict(worker) for worker in self.workers],
            "tier": asdict(self.tier),
            "number": asdict(self.number),
            "webhooks": {**self.inbox._asdict(), "oldest_age_seconds": _age(self.inbox.oldest, now)},
            "books": [{**kept._asdict(), "holds": kept.broken_at is None} for kept in self.books],
        }


@dataclass(frozen=True, slots=True)
class Overview:
    """The books of delivery, and what goes on now."""

    at: datetime
    summary: Summary
    now: Operations

    def to_json(self) -> dict[str, Any]:
        """Both in one document."""
        return {"at": self.at, **self.summary.to_json(), **self.now.to_json(self.at)}


def overview(session: Session, clock: Clock, *, settings: Settings, key: str | None = None) -> Overview:
    """Count everything; NotFound for an unknown `key`, which narrows down messages, failures and books. Call it in a snapshot."""
    now = clock.now()
    lines, summary = summary_of(session, key=key, now=now)
    fuses = breakers.open_breakers(session, clock)
    number = settings.whatsapp_phone_number_id
    known = numbers.state_of(session, number)
    chosen = policy.current(session, settings).unique_users
    return Overview(
        at=now,
        summary=summary,
        now=Operations(
            paused=any(fuse.kind == breakers.Kind.ALL for fuse in fuses),
            queue=repository.queue(session, now=now),
            accepted_per_minute={str(minutes): _rate(session, minutes, now) for minutes in RATES},
            failures=failures(lines),
            breakers=tuple(
                OpenBreaker(fuse.kind, fuse.key, fuse.opened_at, fuse.until, fuse.error_code, fuse.reason)
                for fuse in fuses
            ),
            workers=_processes(session, clock, settings.messages_per_second),
            tier=Tier(
                unique_users=ledger_repository.people_counted(session, now=now),
                limit=chosen if chosen is not None or known is None else known.unique_users,
            ),
            number=OurNumber(
                number, None if known is None else known.quality, None if known is None else known.status
            ),
            inbox=repository.inbox(session),
            books=tuple(kept for kept in book_repository.kept(session) if key in (None, kept.experiment)),
        ),
    )


def failures(lines: Iterable[Tally]) -> tuple[Failure, ...]:
    """Messages that failed, or wait or ended because of an error, by class, code and state; the most frequent first."""
    found: Counter[tuple[Explained, str]] = Counter()
    for line in lines:
        if line.state is None or line.state in _OVERCOME:
            continue
        if line.code is not None or line.state == MessageState.FAILED:
            # A message that failed has the class of its error as its reason.
            decided = line.reason if line.state == MessageState.FAILED else None
            found[explain(line.code, error_class=decided), line.state] += line.number
    return tuple(Failure(error, state, number) for (error, state), number in found.most_common())


def _rate(session: Session, minutes: int, now: datetime) -> float:
    since = now - timedelta(minutes=minutes)
    return round(repository.accepted_since(session, since=since) / minutes, 2)


def _processes(session: Session, clock: Clock, per_second: float) -> tuple[Process, ...]:
    alive = workers.alive(session, clock)
    peers = Counter(worker.number for worker in alive)
    return tuple(
        Process(
            worker.name,
            worker.number,
            worker.started_at,
            worker.seen_at,
            round(per_second / peers[worker.number], 2),
        )
        for worker in alive
    )


def _age(at: datetime | None, now: datetime) -> float:
    return 0.0 if at is None else max(0.0, (now - at).total_seconds())
