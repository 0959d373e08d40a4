"""SQL of wishes: the newest of each kind, and what was withdrawn in another way."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlmodel import Session, SQLModel

from experiments.vocabulary import Category
from targeting.models import ConsentRecord, Event

_EVENTS: Final = SQLModel.metadata.tables[str(Event.__tablename__)]
_RECORDS: Final = SQLModel.metadata.tables[str(ConsentRecord.__tablename__)]


def newest(
    session: Session, user_pks: Collection[int], *, names: Collection[str]
) -> dict[tuple[int, str], datetime]:
    """When each user last had an event of each of these names, by user and name."""
    columns = (_EVENTS.c.user_pk, _EVENTS.c.name)
    query = (
        select(*columns, func.max(_EVENTS.c.at, type_=_EVENTS.c.at.type))
        .where(_EVENTS.c.user_pk.in_(user_pks), _EVENTS.c.name.in_(names))
        .group_by(*columns)
    )
    return {(user_pk, name): at for user_pk, name, at in session.connection().execute(query)}


def withdrawn_otherwise(
    session: Session, user_pks: Collection[int], *, sources: Collection[str]
) -> dict[int, datetime]:
    """When consent to marketing was last withdrawn in another way than by these sources, by user."""
    query = (
        select(_RECORDS.c.user_pk, func.max(_RECORDS.c.at, type_=_RECORDS.c.at.type))
        .where(
            _RECORDS.c.user_pk.in_(user_pks),
            _RECORDS.c.category == Category.MARKETING,
            _RECORDS.c.granted.is_(False),
            _RECORDS.c.source.not_in(sources),
        )
        .group_by(_RECORDS.c.user_pk)
    )
    return dict(session.connection().execute(query).all())
