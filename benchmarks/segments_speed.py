"""Segments: how soon a condition is counted, with and without an index, and how fast membership is made."""

import io
import json
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from benchmarks.figures import Figure, Say, benchmark, median_seconds, seconds
from benchmarks.stage import CHUNK, CLOCK, empty_database, plain_connection
from experiments.clock import format_moment, from_micros, to_micros
from experiments.database import Database
from targeting.segments import attributes, membership
from targeting.segments import service as segments
from targeting.segments.audience_repository import audience_of
from targeting.segments.lists import import_members
from targeting.segments.preview import preview
from targeting.segments.preview_repository import count_of

CONDITIONS: Final[dict[str, dict[str, Any]]] = {
    "country, 2 of 10": {"country": {"$in": ["NL", "BR"]}},
    "one city of 2,000": {"city": "city-77"},
    "age and plan": {"age": {"$gte": 80}, "plan": "team"},
    "quiet for 700 days, and country": {"last_order_at": {"$olderThan": "700d"}, "country": "NL"},
    "a pattern, or two orders in 30 days": {
        "$or": [
            {"app_version": {"$regex": r"^2\.7\."}},
            {"$event": {"name": "Order Completed", "within": "30d", "count": {"$gte": 2}}},
        ]
    },
}
IN_SQL: Final = tuple(CONDITIONS)[:4]
"""The last one is for a closure, which would take long to see everybody."""
INDEXED: Final = ("country", "city", "age", "plan", "last_order_at")


def fill(database: Database, users: int) -> None:
    """Users with eight attributes each, and an order for every second one."""
    rng = np.random.default_rng(7)
    now = to_micros(CLOCK.now())
    day = 86_400_000_000
    countries = ("NL", "BR", "DE", "FR", "ES", "IT", "PL", "US", "GB", "IN")
    with plain_connection(database) as connection:
        for start in range(1, users + 1, CHUNK):
            ids = range(start, min(start + CHUNK, users + 1))
            draws = rng.integers(0, [10, 74, 1000, 720, 30], size=(len(ids), 5)).tolist()
            people = [
                {
                    "country": countries[country],
                    "city": f"city-{pk % 2000}",
                    "age": 16 + age,
                    "plan": "team" if plan < 30 else "free",
                    "last_order_at": format_moment(from_micros(now - ago * day)),
                    "app_version": f"2.{version}.0",
                    "vip": plan % 50 == 0,
                    "tags": ["newsletter"],
                }
                for pk, (country, age, plan, ago, version) in zip(ids, draws, strict=True)
            ]
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO users (id, user_id, attributes, created_at, updated_at) VALUES (?, ?, ?, ?, ?)",
                ((pk, f"u{pk:07d}", json.dumps(one), now, now) for pk, one in zip(ids, people, strict=True)),
            )
            connection.executemany(
                "INSERT INTO events (message_id, user_pk, name, at, received_at, properties) "
                "VALUES (?, ?, 'Order Completed', ?, ?, '{}')",
                ((f"m{pk}", 1 + pk * 7919 % users, now - pk % 90 * day, now) for pk in ids if pk % 2),
            )
            connection.execute("COMMIT")


def count_seconds(database: Database, condition: dict[str, Any]) -> float:
    """How long an exact count takes without any bound."""

    def count() -> None:
        with database.snapshot() as session:
            audience = audience_of(session, condition, now=CLOCK.now())
            count_of(session, audience, seconds=600, monotonic=time.monotonic)

    return median_seconds(count)


def preview_seconds(database: Database, condition: dict[str, Any]) -> tuple[float, bool]:
    """How long a preview takes, and whether its count is exact."""
    rng = np.random.default_rng(3)
    exact: list[bool] = []

    def look() -> None:
        with database.snapshot() as session:
            exact.append(preview(session, CLOCK, condition=condition, rng=rng).count.exact)

    return median_seconds(look), exact[-1]


@benchmark("segments")
def previews(say: Say, *, users: int = 200_000) -> Sequence[Figure]:
    """Counts and previews of five conditions before and after five attributes are indexed, and a refresh."""
    with empty_database() as (database, _folder):
        fill(database, users)
        say(f"{users:,} users")
        before = {name: count_seconds(database, CONDITIONS[name]) for name in IN_SQL}
        plain = {name: preview_seconds(database, one) for name, one in CONDITIONS.items()}
        rng = np.random.default_rng(1)
        for name in INDEXED:
            attributes.set_indexed(database, CLOCK, actor="benchmark", name=name, indexed=True, rng=rng)
        after = {name: count_seconds(database, CONDITIONS[name]) for name in IN_SQL}
        looked = {name: preview_seconds(database, one) for name, one in CONDITIONS.items()}
        for name in IN_SQL:
            say(f"{name}: counted in {before[name]:.3f} s, indexed {after[name]:.3f} s")
        for name in CONDITIONS:
            say(f"{name}: preview {plain[name][0]:.3f} s, indexed {looked[name][0]:.3f} s")
        slowest = max(CONDITIONS, key=lambda name: looked[name][0])
        exact = sum(is_exact for _, is_exact in looked.values())
        return [
            Figure(
                what=f"slowest preview of five conditions, {users:,} users, attributes indexed",
                figure=looked[slowest][0],
                unit="s",
                yardstick=max(seconds for seconds, _ in plain.values()),
                against="the slowest without indexes",
                ratio=max(seconds for seconds, _ in plain.values()) / looked[slowest][0],
                bar="under a second on a million users",
                met=looked[slowest][0] < 1,
                note=f"{slowest}; {exact} of 5 counts are exact, the others estimates with an interval",
            ),
            *(
                Figure(
                    what=f"exact count, indexed: {name}",
                    figure=after[name],
                    unit="s",
                    yardstick=before[name],
                    against="the same without an index",
                    ratio=before[name] / after[name],
                )
                for name in IN_SQL
            ),
            *_membership(database, users, say),
        ]


def _membership(database: Database, users: int, say: Say) -> list[Figure]:
    def put(key: str, condition: dict[str, Any] | None) -> None:
        with database.transaction() as session:
            segments.put(session, CLOCK, actor="benchmark", key=key, name=key, condition=condition)

    put("first", {"country": {"$in": ["NL", "BR"]}})
    refresh = seconds(lambda: membership.refresh(database, CLOCK, key="first"))
    again = seconds(lambda: membership.refresh(database, CLOCK, key="first"))
    put("second", {"$or": [{"app_version": {"$regex": r"^2\.7\."}}, {"country": "NL"}]})
    by_closure = seconds(lambda: membership.refresh(database, CLOCK, key="second"))
    put("list", None)
    file = io.BytesIO("".join(f"u{pk:07d}\n" for pk in range(1, users + 1)).encode())
    listed = seconds(
        lambda: import_members(
            database, CLOCK, file, actor="benchmark", key="list", rejects=io.StringIO(), replace=True
        )
    )
    say(f"refresh {refresh:.2f} s, again {again:.2f} s, by closure {by_closure:.2f} s, list {listed:.2f} s")
    return [
        Figure(
            what="refresh of a segment that SQL can say",
            figure=users / refresh,
            unit="users/s",
            yardstick=users / by_closure,
            against="of one with a pattern, which the closure decides",
            ratio=by_closure / refresh,
            note=f"again, with nothing to change: {users / again:,.0f} users/s",
        ),
        Figure(what="a file of user ids onto a list", figure=users / listed, unit="rows/s"),
    ]
