"""What a database in a file needs that a server does for itself: that it is there, and that one process alone works on it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.database import Database
from experiments.errors import Conflict


def file_of(database: Database) -> Path | None:
    """The file of a SQLite database; None for PostgreSQL and for one in memory."""
    name = database.url.database
    if not database.is_sqlite or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def is_missing(database: Database) -> bool:
    """Whether there is no such file yet. Whoever connects makes it."""
    file = file_of(database)
    return file is not None and not file.exists()


@contextmanager
def sole_sender(database: Database) -> Iterator[None]:
    """Be the one `serve` or `worker` of a SQLite file; raises Conflict when another one runs. On PostgreSQL any number may run.

    Two would each think that they lead (`leadership`), and hold each other up at every write. The lock is the operating
    system's, on FILE.lock: it ends with its process, however that ends, and the file that stays behind means nothing.
    """
    file = file_of(database)
    if file is None:
        yield
        return
    with file.with_name(f"{file.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"another `touchstone serve` or `worker` already works on {file}; stop it,"
                " or set TOUCHSTONE_DATABASE_URL to a PostgreSQL database, which they can share"
            ) from error
        yield
