"""One worker's hold on one pull: nobody else runs it meanwhile, and its cursor moves only with the rows."""

from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Conflict
from experiments.settings import Settings
from targeting.models import Pull
from targeting.pulls import repository as pull_repository
from targeting.pulls import service as pulls
from targeting.pulls.definitions import Position


class Hold:
    """From `take` to `release`. Whoever finds that the pull is no longer his gives up, with the batch he was at."""

    def __init__(
        self, database: Database, clock: Clock, pull: Pull, *, until: datetime, length: timedelta
    ) -> None:
        self._database, self._clock, self._length = database, clock, length
        self._pull_id, self._until = pull.id or 0, until
        self._began = clock.now()
        self.key = pull.key
        self.definition = pulls.definition_of(pull)
        position = Position.of_json(pull.cursor)
        same = position is not None and position.column == self.definition.cursor_column
        self.position = position if same else None

    @classmethod
    def take(cls, database: Database, clock: Clock, settings: Settings, key: str) -> "Hold":
        """Raises NotFound, or Conflict when somebody else holds it."""
        # Long enough for one answer of the source and one batch of ours.
        length = settings.source_timeout + settings.lease
        now = clock.now()
        with database.transaction() as session:
            taken = pull_repository.claim(session, key, now=now, until=now + length)
            pull = pulls.find(session, key=key)
            if not taken:
                raise Conflict(f"the pull {key!r} is running already")
            return cls(database, clock, pull, until=now + length, length=length)

    def advance(self, session: Session, last: Any) -> None:
        """Move the cursor with the rows of a batch, in their transaction."""
        column = self.definition.cursor_column
        cursor = None if column is None or last is None else Position(column, last).to_json()
        if not pull_repository.advance(session, self._pull_id, held=self._until, cursor=cursor):
            raise self._lost()

    def extend(self) -> None:
        """Hold it for longer when half of the time is over."""
        now = self._clock.now()
        if self._until - now > self._length / 2:
            return
        with self._database.transaction() as session:
            until = now + self._length
            if not pull_repository.extend(session, self._pull_id, held=self._until, until=until):
                raise self._lost()
        self._until = until

    def release(self, error: str | None) -> None:
        """Due again after its rhythm, counted from when it began."""
        next_at = max(self._began + self.definition.every, self._clock.now())
        with self._database.transaction() as session:
            pull_repository.release(
                session, self._pull_id, held=self._until, next_at=next_at, error=error and error[:1000]
            )

    def _lost(self) -> Conflict:
        return Conflict(f"the pull {self.key!r} was changed or taken over while it ran")
