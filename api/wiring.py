"""The composition root: the one place where settings, clock, database and clients are put together."""

from dataclasses import dataclass
from typing import Self

from analysis.engines import FactsEngine, open_replica
from api import migrations
from experiments.clock import Clock, SystemClock
from experiments.database import Database
from experiments.errors import Conflict
from experiments.settings import Settings


@dataclass(frozen=True)
class Wiring:
    """What every way in shares. `facts` is where reports read, when that is not the application database."""

    settings: Settings
    clock: Clock
    database: Database
    facts: FactsEngine | None = None

    @classmethod
    def from_environment(cls, *, clock: Clock | None = None, **overrides: object) -> Self:
        """Read the settings of this process and open its database; raises Invalid naming a wrong setting."""
        settings = Settings.from_environment(**overrides)
        return cls(settings, clock or SystemClock(), Database(settings.database_url), open_replica(settings))

    def prepare_database(self) -> None:
        """Migrate an empty database; refuse one that is behind, since migrating it is its owner's decision."""
        current = migrations.current_revision(self.database)
        if current is None:
            migrations.upgrade(self.database)
        elif current != migrations.newest_revision(self.database):
            raise Conflict(f"the database is at revision {current}; run `touchstone migrate` first")
