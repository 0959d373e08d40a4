"""SQL of attributes: what is known of them, their indexes, and changing them for many users at once."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Table, bindparam, delete, func, select, update
from sqlmodel import Session, SQLModel, col

from experiments.database import Database
from experiments.errors import NotFound
from targeting.conditions.indexes import index_expressions
from targeting.models import Attribute, ImportRun
from targeting.user_repository import USERS, insert_into

_ATTRIBUTES: Final[Table] = SQLModel.metadata.tables["attributes"]


def find_attribute(session: Session, name: str) -> Attribute:
    found = session.get(Attribute, name, populate_existing=True)
    if found is None:
        raise NotFound(f"no user was found to have an attribute {name!r}", field="name")
    return found


def list_attributes(session: Session, *, skip: int, limit: int) -> Sequence[Attribute]:
    """By name, from the `skip`-th on."""
    query = select(Attribute).order_by(col(Attribute.name)).offset(skip).limit(limit)
    return session.scalars(query).all()


def known_names(session: Session) -> frozenset[str]:
    return frozenset(session.execute(select(_ATTRIBUTES.c.name)).scalars())


def indexed_names(session: Session) -> frozenset[str]:
    return frozenset(session.execute(select(_ATTRIBUTES.c.name).where(_ATTRIBUTES.c.indexed)).scalars())


def last_discovery(session: Session) -> datetime | None:
    return session.execute(select(func.max(_ATTRIBUTES.c.discovered_at))).scalar()


def last_import(session: Session) -> datetime | None:
    return session.execute(select(func.max(col(ImportRun.finished_at)))).scalar()


def save_attributes(
    session: Session, rows: Sequence[Mapping[str, Any]], *, now: datetime, forget_before: datetime
) -> None:
    """Store what was discovered (name, kind, share, examples); a name that was not seen any more is kept for a while."""
    if rows:
        statement = insert_into(session, _ATTRIBUTES)
        new = statement.excluded
        session.execute(
            statement.on_conflict_do_update(
                index_elements=[_ATTRIBUTES.c.name],
                set_={name: new[name] for name in ("kind", "share", "examples", "discovered_at")},
            ),
            [dict(row) | {"indexed": False, "discovered_at": now} for row in rows],
        )
    session.execute(
        delete(_ATTRIBUTES).where(_ATTRIBUTES.c.discovered_at < forget_before, ~_ATTRIBUTES.c.indexed)
    )


def id_range(session: Session) -> tuple[int, int] | None:
    """The lowest and the highest internal id of users; None without users."""
    # Two subqueries: SQLite reads one end of an index for each, but the whole of it for both at once.
    ends = [select(end(USERS.c.id)).scalar_subquery() for end in (func.min, func.max)]
    low, high = session.execute(select(*ends)).one()
    return None if low is None else (low, high)


def attributes_of(session: Session, user_pks: Collection[int]) -> Sequence[dict[str, Any]]:
    """The attributes of those of these users who exist."""
    query = select(USERS.c.attributes).where(USERS.c.id.in_(user_pks))
    return session.execute(query).scalars().all()


def hold_attributes(session: Session, user_pks: Collection[int]) -> Sequence[tuple[int, dict[str, Any]]]:
    """(internal id, attributes) of these users, held to the end of the transaction; by id, so that two callers queue up."""
    query = select(USERS.c.id, USERS.c.attributes).where(USERS.c.id.in_(user_pks)).order_by(USERS.c.id)
    rows = session.execute(query.with_for_update(key_share=True))
    return [(row.id, row.attributes) for row in rows]


def write_attributes(session: Session, changed: Mapping[int, Mapping[str, Any]], *, now: datetime) -> None:
    """Replace the attributes of users that are held: internal id -> attributes."""
    if not changed:
        return
    statement = (
        update(USERS)
        .where(USERS.c.id == bindparam("pk"))
        .values(attributes=bindparam("new", type_=USERS.c.attributes.type), updated_at=now)
    )
    session.connection().execute(statement, [{"pk": pk, "new": dict(changed[pk])} for pk in sorted(changed)])


def create_indexes(database: Database, name: str) -> None:
    """Make the indexes of an attribute. On PostgreSQL nobody waits for it; on SQLite writers do, some seconds a million users."""
    concurrently = "" if database.is_sqlite else "CONCURRENTLY "
    drop_indexes(database, name)
    for index, expression in index_expressions(name, dialect=_dialect(database)).items():
        _run(database, f"CREATE INDEX {concurrently}{index} ON users ({expression})")
    if not database.is_sqlite:
        _run(database, "ANALYZE users")


def drop_indexes(database: Database, name: str) -> None:
    """Drop the indexes of an attribute, half-made ones too."""
    concurrently = "" if database.is_sqlite else "CONCURRENTLY "
    for index in index_expressions(name, dialect=_dialect(database)):
        _run(database, f"DROP INDEX {concurrently}IF EXISTS {index}")


def _dialect(database: Database) -> str:
    return database.engine.dialect.name


def _run(database: Database, statement: str) -> None:
    # PostgreSQL makes an index beside other work outside of transactions only; a name may hold a colon or a percent sign.
    options: dict[str, Any] = {"no_parameters": True}
    if not database.is_sqlite:
        options["isolation_level"] = "AUTOCOMMIT"
    with database.engine.connect().execution_options(**options) as connection:
        connection.exec_driver_sql(statement)
        connection.commit()
