"""SQL of what WhatsApp says about our numbers."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import select
from sqlmodel import Session, SQLModel, col

from delivery.models import NumberState, Worker
from targeting.user_repository import insert_into

_NUMBERS: Final = SQLModel.metadata.tables[str(NumberState.__tablename__)]
_WORKERS: Final = SQLModel.metadata.tables[str(Worker.__tablename__)]


def states(
    session: Session, numbers: Collection[str] | None = None, *, hold: bool = False
) -> dict[str, NumberState]:
    """What is known of these numbers (of all: None); with `hold`, kept from others until the transaction ends."""
    query = select(NumberState).order_by(col(NumberState.number))
    if numbers is not None:
        query = query.where(col(NumberState.number).in_(numbers))
    rows = session.scalars(
        (query.with_for_update() if hold else query).execution_options(populate_existing=True)
    )
    return {row.number: row for row in rows}


def ensure(session: Session, numbers: Collection[str]) -> None:
    """A row for each of these, as empty as it may be."""
    if numbers:
        statement = insert_into(session, _NUMBERS).on_conflict_do_nothing()
        session.connection().execute(statement, [{"number": number} for number in sorted(numbers)])


def put(session: Session, rows: Sequence[NumberState]) -> None:
    for row in rows:
        values = row.model_dump()
        statement = insert_into(session, _NUMBERS).values(values)
        changes = {name: value for name, value in values.items() if name != "number"}
        session.connection().execute(statement.on_conflict_do_update(index_elements=["number"], set_=changes))


def name(session: Session, displays: Mapping[str, str]) -> None:
    """Remember the digits (`+31..`) of numbers by their ids."""
    if displays:
        statement = insert_into(session, _NUMBERS)
        session.connection().execute(
            statement.on_conflict_do_update(
                index_elements=["number"], set_={"display": statement.excluded.display}
            ),
            [{"number": number, "display": display} for number, display in sorted(displays.items())],
        )


def of_workers(session: Session) -> set[str]:
    """The numbers through which processes of ours have sent."""
    return set(session.connection().execute(select(_WORKERS.c.number).distinct()).scalars())
