"""Which process runs what must run once: the leader of all that share a database.

On PostgreSQL the leader is the process whose session holds an advisory lock. The session is a connection of its own, so
that it ends with the process, and the lock with it; another process then gets it at its next `seek`, seconds later. Whoever
cannot reach the server gives up by itself (`LEASE`) before the server would give the lock to somebody else (`SERVER_WAITS`), so
that there are never two. On SQLite a process has the database to itself and always leads.

Leading is for economy: every job stands being run twice, none would lose or double anything.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from api import leadership_repository as repository
from experiments.database import Database

_log = logging.getLogger(__name__)

SEEK_EVERY: Final = 2.0
"""Seconds between two looks; so long, and a job's tick, does it take until another process has taken over."""
LEASE: Final = 15.0
"""Seconds for which a process counts as leader after the server last said so."""
SERVER_WAITS: Final = 30
"""Seconds after which the server ends a session that it hears nothing of; longer than the lease."""


class Leadership:
    """Whether this process (`name`) leads. Call `seek` every `SEEK_EVERY` seconds, `close` at the end.

    `monotonic` gives the machine's time in seconds.
    """

    def __init__(
        self, database: Database, name: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._name = name
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._session: Connection | None = None
        self._until: float | None = None

    @property
    def is_leader(self) -> bool:
        """Whether single jobs are for this process to run now."""
        until = self._until
        return self._database.is_sqlite or (until is not None and self._monotonic() < until)

    def seek(self) -> bool:
        """Become leader if nobody is, make sure of it if this process is; returns whether it leads. Never raises for trouble
        with the database: whoever cannot ask does not lead.
        """
        if self._database.is_sqlite:
            return True
        with self._turn:
            asked = self._monotonic()
            was_leader = self._until is not None
            try:
                leads = self._ask()
            except SQLAlchemyError as error:
                _log.warning("whether this process leads cannot be asked: %s", type(error).__name__)
                self._drop()
                leads = False
            self._until = asked + LEASE if leads else None
        if leads != was_leader:
            _log.info("%s %s", self._name, "leads" if leads else "does not lead any more")
        return leads

    def close(self) -> None:
        """Give the lock to whoever comes next."""
        with self._turn:
            self._until = None
            if self._session is not None:
                try:
                    repository.give_back(self._session)
                except SQLAlchemyError as error:
                    _log.warning("the lock goes with its session: %s", type(error).__name__)
            self._drop()

    def _ask(self) -> bool:
        if self._session is None:
            self._session = self._database.engine.connect()
            # Out of the pool: nobody else may use it, and a statement must not leave a transaction open behind it.
            self._session.execution_options(isolation_level="AUTOCOMMIT").detach()
            repository.prepare(self._session, name=self._name, idle_seconds=SERVER_WAITS)
        if self._until is not None and repository.holds(self._session):
            return True
        return repository.take(self._session) and repository.holds(self._session)

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            try:
                session.close()
            except SQLAlchemyError:
                session.invalidate()
