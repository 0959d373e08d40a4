"""What the benchmarks share: a database in a temporary folder, many users at once, a campaign, and its settings."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from api import migrations
from api.tables import metadata
from experiments.clock import SystemClock, to_micros
from experiments.database import Database

CLOCK: Final = SystemClock()
CHUNK: Final = 20_000


@contextmanager
def empty_database() -> Iterator[tuple[Database, Path]]:
    """A new SQLite file with all tables, set up as in production (WAL, synchronous=FULL), and its folder."""
    with TemporaryDirectory(prefix="touchstone-bench-") as folder:
        database = Database(f"sqlite:///{folder}/bench.db")
        metadata.create_all(database.engine)
        try:
            yield database, Path(folder)
        finally:
            database.dispose()


@contextmanager
def plain_connection(database: Database) -> Iterator[sqlite3.Connection]:
    """The file of `database` opened with nothing of ours, for filling it quickly and for yardsticks; equally durable."""
    connection = sqlite3.connect(str(database.url.database), isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -65536")
    try:
        yield connection
    finally:
        connection.close()


def stamp(database: Database) -> None:
    """Tell the migrations that the tables are there, as `touchstone migrate` would have made them."""
    with plain_connection(database) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (migrations.newest_revision(database),))


def add_users(database: Database, count: int, *, consented: bool = True) -> None:
    """Users 1..count: `u0000001` .., a phone under the country code 999, which no country has, and attributes."""
    now = to_micros(CLOCK.now() - timedelta(days=60))
    countries, zones = (
        ("NL", "BR", "GB", "US"),
        ("Europe/Amsterdam", "America/Sao_Paulo", "Europe/London", None),
    )
    with plain_connection(database) as connection:
        for start in range(1, count + 1, CHUNK):
            rows = range(start, min(start + CHUNK, count + 1))
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO users (id, user_id, phone, time_zone, attributes, created_at, updated_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        i,
                        f"u{i:07d}",
                        f"+999{i:08d}",
                        zones[i % 4],
                        f'{{"country":"{countries[i % 4]}","age":{18 + i % 60},"first_name":"Ann"}}',
                        now,
                        now,
                    )
                    for i in rows
                ),
            )
            if consented:
                connection.executemany(
                    "INSERT INTO consents (user_pk, category, granted, changed_at) VALUES (?, 'marketing', 1, ?)",
                    ((i, now) for i in rows),
                )
            connection.execute("COMMIT")


def campaign(key: str = "bench", **changes: Any) -> dict[str, Any]:
    """A design of three arms: silence, one message, one message with a link; `changes` replace whole fields."""
    return {
        "key": key,
        "name": key,
        "variants": [
            {"key": "silence", "control": True},
            {
                "key": "reminder",
                "message": {
                    "template": "reminder",
                    "language": "en_US",
                    "parameters": ["{{ user.first_name }}"],
                },
            },
            {
                "key": "coupon",
                "message": {
                    "template": "coupon",
                    "language": "en_US",
                    "parameters": ["{{ user.first_name }}"],
                    "link": "https://shop.example/spring",
                },
            },
        ],
        "metrics": [
            {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "7d"}
        ],
    } | changes
