"""Schema migrations (Alembic). `upgrade` brings a database to the newest schema; safe to run again."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from experiments.database import Database
from experiments.errors import Unavailable

FOLDER: Final = Path(__file__).parent


def config(database: Database) -> Config:
    """Alembic's configuration for this database, without an ini file."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER))
    made.attributes["engine"] = database.engine
    return made


def upgrade(database: Database) -> None:
    """Run every migration that has not run yet."""
    command.upgrade(config(database), "head")


def write(database: Database, *, message: str) -> Path:
    """Write the migration from this (migrated) database to the models; returns its file."""
    number = len(list((FOLDER / "versions").glob("[0-9]*.py"))) + 1
    script = command.revision(config(database), message=message, autogenerate=True, rev_id=f"{number:04d}")
    made = script[0] if isinstance(script, list) else script
    if made is None:
        raise Unavailable("no migration was written")
    return Path(made.path)


def current_revision(database: Database) -> str | None:
    """The revision of the database; None for an empty one."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_revision(database: Database) -> str | None:
    """The revision that the code expects."""
    return ScriptDirectory.from_config(config(database)).get_current_head()
