"""Migrations build exactly the schema that the models describe, on both databases."""

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from api import migrations
from api.tables import metadata
from experiments.database import Database


@pytest.fixture(params=["sqlite", "postgresql"])
def blank(request: pytest.FixtureRequest, tmp_path) -> Iterator[Database]:
    url = (
        f"sqlite:///{tmp_path}/blank.db"
        if request.param == "sqlite"
        else request.getfixturevalue("blank_postgres_url")
    )
    database = Database(url)
    yield database
    database.dispose()


def test_migrations_equal_the_models(blank: Database) -> None:
    migrations.upgrade(blank)
    with blank.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_partial_indexes_keep_their_condition(blank: Database, database_url_of_models: str) -> None:
    """Alembic does not compare the condition of an index, so it is compared here, as the database reports it."""
    migrations.upgrade(blank)
    made = Database(database_url_of_models)
    try:
        for table in metadata.sorted_tables:
            migrated = {index["name"]: index for index in inspect(blank.engine).get_indexes(table.name)}
            modelled = {index["name"]: index for index in inspect(made.engine).get_indexes(table.name)}
            assert {n: _condition(i) for n, i in migrated.items()} == {
                n: _condition(i) for n, i in modelled.items()
            }
    finally:
        made.dispose()


@pytest.fixture
def database_url_of_models(request: pytest.FixtureRequest, blank: Database) -> str:
    url: str = request.getfixturevalue("sqlite_url" if blank.is_sqlite else "postgres_url")
    return url


def _condition(index) -> str | None:
    options = index.get("dialect_options", {})
    condition = options.get("sqlite_where") if "sqlite_where" in options else options.get("postgresql_where")
    return None if condition is None else str(condition)


def test_running_migrations_again_changes_nothing(blank: Database) -> None:
    migrations.upgrade(blank)
    migrations.upgrade(blank)
    assert migrations.current_revision(blank) == migrations.newest_revision(blank) is not None
