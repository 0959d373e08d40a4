"""What the delivery page asks: how sending is doing, what holds it back, and to hold it back or let it go."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dashboard import values
from dashboard.client import Client

SAID: Final = ("quality", "unique_users", "status")
"""What WhatsApp tells of a number, each with a time of its own."""


@dataclass(frozen=True, slots=True)
class Queue:
    """`due` should have gone out by now; `later` waits for its time; `paused` belongs to paused experiments."""

    due: int
    later: int
    paused: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Messages that ended or wait because of one error; `remedy` is what a person should do."""

    code: int | None
    error_class: str
    meaning: str
    remedy: str
    state: str
    messages: int


@dataclass(frozen=True, slots=True)
class Fuse:
    """Nothing goes out through what it guards. `until` is None where somebody has to close it."""

    kind: str
    key: str
    opened_at: datetime | None
    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Worker:
    name: str
    seen_at: datetime | None
    share: float | None


@dataclass(frozen=True, slots=True)
class SentOf:
    """Where the messages of one experiment are now, and whether each slot is accounted for."""

    experiment: str
    counts: Mapping[str, int]
    holds: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """`at` is when this was counted. `reasons` are by state; `unique_users` were written to in the last 24 hours."""

    at: datetime | None
    paused: bool
    holds: bool
    queue: Queue
    per_minute: Mapping[str, float]
    reasons: Mapping[str, Mapping[str, int]]
    failures: tuple[Failure, ...]
    fuses: tuple[Fuse, ...]
    workers: tuple[Worker, ...]
    experiments: tuple[SentOf, ...]
    webhooks_waiting: int
    webhooks_errors: int
    unique_users: int
    unique_users_limit: int | None


@dataclass(frozen=True, slots=True)
class Number:
    """One of our numbers as WhatsApp sees it; `limit` is how many people it may reach in 24 hours, None if not told."""

    shown: str
    quality: str
    status: str
    limit: int | None
    said_at: datetime | None


def delivery(client: Client) -> Delivery:
    return read_delivery(client.get("/v1/delivery/summary"))


def numbers(client: Client) -> list[Number]:
    return [
        Number(
            shown=values.text(item.get("display")) or values.text(item.get("number")),
            quality=values.text(item.get("quality")),
            status=values.text(item.get("status")),
            limit=values.whole(item.get("unique_users")),
            said_at=max(
                (at for name in SAID if (at := values.moment(item.get(f"{name}_at"))) is not None),
                default=None,
            ),
        )
        for item in values.mappings(values.mapping(client.get("/v1/delivery/numbers")).get("items"))
    ]


def policy(client: Client) -> Mapping[str, Any]:
    """The policy that counts now: caps by category, quiet hours, and what differs by country."""
    return values.mapping(client.get("/v1/delivery/policy"))


def pause(client: Client, reason: str) -> None:
    """After this no message goes out, on any machine."""
    client.send("POST", "/v1/delivery/pause", json={"reason": reason})


def resume(client: Client) -> None:
    client.send("POST", "/v1/delivery/resume")


def close(client: Client, fuse: Fuse) -> None:
    client.send("POST", "/v1/delivery/breakers/close", json={"kind": fuse.kind, "key": fuse.key})


def read_delivery(document: Any) -> Delivery:
    """From the JSON of the summary; what is absent is nothing, or not known."""
    summary = values.mapping(document)
    queue, webhooks = values.mapping(summary.get("queue")), values.mapping(summary.get("webhooks"))
    tier = values.mapping(summary.get("tier"))
    return Delivery(
        at=values.moment(summary.get("at")),
        paused=summary.get("paused") is True,
        holds=summary.get("holds") is not False,
        queue=Queue(
            due=values.whole(queue.get("due")) or 0,
            later=values.whole(queue.get("later")) or 0,
            paused=values.whole(queue.get("paused")) or 0,
            oldest_seconds=values.number(queue.get("oldest_age_seconds")) or 0.0,
        ),
        per_minute={
            name: rate
            for name, value in values.mapping(summary.get("accepted_per_minute")).items()
            if (rate := values.number(value)) is not None
        },
        reasons={
            name: values.counts(value) for name, value in values.mapping(summary.get("reasons")).items()
        },
        failures=tuple(
            Failure(
                code=values.whole(item.get("code")),
                error_class=values.text(item.get("error_class")),
                meaning=values.text(item.get("meaning")),
                remedy=values.text(item.get("remedy")),
                state=values.text(item.get("state")),
                messages=values.whole(item.get("messages")) or 0,
            )
            for item in values.mappings(summary.get("failures"))
        ),
        fuses=tuple(
            Fuse(
                kind=values.text(item.get("kind")),
                key=values.text(item.get("key")),
                opened_at=values.moment(item.get("opened_at")),
                until=values.moment(item.get("until")),
                reason=values.text(item.get("reason")),
            )
            for item in values.mappings(summary.get("breakers"))
        ),
        workers=tuple(
            Worker(
                values.text(item.get("name")),
                values.moment(item.get("seen_at")),
                values.number(item.get("share")),
            )
            for item in values.mappings(summary.get("workers"))
        ),
        experiments=tuple(
            SentOf(values.text(item.get("experiment")), values.counts(item), item.get("holds") is not False)
            for item in values.mappings(summary.get("experiments"))
        ),
        webhooks_waiting=values.whole(webhooks.get("waiting")) or 0,
        webhooks_errors=values.whole(webhooks.get("errors")) or 0,
        unique_users=values.whole(tier.get("unique_users")) or 0,
        unique_users_limit=values.whole(tier.get("limit")),
    )
