"""What users do: events over HTTP, one by one and in batches, each answered after its commit."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Final

from api import security
from benchmarks.figures import Figure, Say, alternating, benchmark
from benchmarks.loopback import api_server, basic, post, send_all
from benchmarks.stage import CLOCK, add_users, empty_database, plain_connection, stamp
from experiments.clock import format_moment, to_micros
from experiments.database import Database
from experiments.vocabulary import Scope
from targeting.events import TrackCall, ingest

USERS: Final = 10_000
BATCH: Final = 100
_numbers = count()


@contextmanager
def tracked_server(users: int) -> Iterator[tuple[Database, str, str]]:
    """A database with users, the API over it in another process, and the header of a write key."""
    with empty_database() as (database, folder):
        add_users(database, users)
        with database.transaction() as session:
            _key, text = security.create_key(
                session, CLOCK, actor="bench", name="bench", scopes=[Scope.INGEST]
            )
        stamp(database)
        with api_server(database_url=f"sqlite:///{folder}/bench.db") as url:
            yield database, url, basic(text)


def _event(users: int) -> dict[str, object]:
    number = next(_numbers)
    return {
        "type": "track",
        "messageId": f"bench-{number}",
        "userId": f"u{1 + number % users:07d}",
        "event": "Order Completed",
        "timestamp": format_moment(CLOCK.now() - timedelta(minutes=1)),
        "properties": {"revenue": 12.5, "currency": "EUR"},
    }


@benchmark("tracking-single")
def single(say: Say, *, events: int = 3000, repeats: int = 5, users: int = USERS) -> Sequence[Figure]:
    """One event a request, durable, against an endpoint of the same server that does nothing."""
    with tracked_server(users) as (database, url, key):
        noop = post("/noop", json.dumps(_event(users)).encode(), Authorization=key)

        def tracked() -> float:
            bodies = [json.dumps(_event(users)).encode() for _ in range(events)]
            return send_all(url, [post("/v1/track", body, Authorization=key) for body in bodies])

        send_all(url, [noop] * 200)
        ours, nothing, ratio = alternating(tracked, lambda: send_all(url, [noop] * events), repeats)
        say(f"track {ours:,.0f}/s, no-op {nothing:,.0f}/s")
        _check_stored(database, events * repeats)
    return [
        Figure(
            what="tracking, one event a request, durable (SQLite, 32 connections)",
            figure=ours,
            unit="events/s",
            yardstick=nothing,
            against="a no-op FastAPI endpoint of the same server that takes the same body",
            ratio=ratio,
            bar="ratio >= 0.75",
            met=ratio >= 0.75,
        )
    ]


@benchmark("tracking-batch")
def batched(say: Say, *, batches: int = 100, repeats: int = 5, users: int = USERS) -> Sequence[Figure]:
    """Batches of 100, durable: over HTTP, as one call in this process, and as plain SQL."""
    with tracked_server(users) as (database, url, key):

        def over_http() -> float:
            bodies = [
                json.dumps({"batch": [_event(users) for _ in range(BATCH)]}).encode() for _ in range(batches)
            ]
            requests = [post("/v1/batch", body, Authorization=key) for body in bodies]
            return BATCH * send_all(url, requests, connections=4)

        http, plain, ratio = alternating(over_http, lambda: _plain(database, batches, users), repeats)
        direct = _direct(database, batches, users)
        say(f"over HTTP {http:,.0f}/s, in process {direct:,.0f}/s, plain SQL {plain:,.0f}/s")
        _check_stored(database, BATCH * batches * (2 * repeats + 1))
    return [
        Figure(
            what="tracking, batches of 100 over HTTP, durable (SQLite)",
            figure=http,
            unit="events/s",
            yardstick=plain,
            against="executemany of the same rows, a transaction a batch",
            ratio=ratio,
            bar=">= 20,000 events/s",
            met=http >= 20_000,
        ),
        Figure(
            what="the same without HTTP (events.ingest)",
            figure=direct,
            unit="events/s",
            yardstick=plain,
            against="executemany of the same rows, a transaction a batch",
            ratio=direct / plain,
        ),
    ]


def _direct(database: Database, batches: int, users: int) -> float:
    calls = [
        [
            TrackCall(
                message_id=str(event["messageId"]),
                user_id=str(event["userId"]),
                anonymous_id=None,
                event=str(event["event"]),
                at=CLOCK.now(),
                properties={"revenue": 12.5, "currency": "EUR"},
            )
            for event in (_event(users) for _ in range(BATCH))
        ]
        for _ in range(batches)
    ]
    start = time.perf_counter()
    for batch in calls:
        with database.transaction() as session:
            ingest(session, CLOCK, calls=batch, default_region="")
    return BATCH * batches / (time.perf_counter() - start)


def _plain(database: Database, batches: int, users: int) -> float:
    now = to_micros(CLOCK.now())
    with plain_connection(database) as connection:
        start = time.perf_counter()
        for _ in range(batches):
            numbers = [next(_numbers) for _ in range(BATCH)]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO events (message_id, user_pk, name, at, received_at, properties) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        f"bench-{n}",
                        1 + n % users,
                        "Order Completed",
                        now,
                        now,
                        '{"revenue":12.5,"currency":"EUR"}',
                    )
                    for n in numbers
                ],
            )
            connection.execute("COMMIT")
        return BATCH * batches / (time.perf_counter() - start)


def _check_stored(database: Database, expected: int) -> None:
    with plain_connection(database) as connection:
        (found,) = connection.execute("SELECT count(*) FROM events").fetchone()
    if found != expected:
        raise AssertionError(f"{found} events were stored, not {expected}")
