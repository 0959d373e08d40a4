"""SQL of the registry of templates."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, tuple_, update
from sqlmodel import Session, SQLModel, col

from delivery.models import Template, TemplateSync
from targeting.user_repository import insert_into

_TEMPLATES: Final = SQLModel.metadata.tables[str(Template.__tablename__)]
_SYNCS: Final = SQLModel.metadata.tables[str(TemplateSync.__tablename__)]
_KEY: Final = ("name", "language")
Name = tuple[str, str]
"""Name and language."""


def last_sync(session: Session, account: str) -> TemplateSync | None:
    query = select(TemplateSync).where(col(TemplateSync.account) == account)
    return session.scalars(query.execution_options(populate_existing=True)).first()


def put_sync(session: Session, row: TemplateSync) -> None:
    values = row.model_dump()
    statement = insert_into(session, _SYNCS).values(values)
    changes = {name: value for name, value in values.items() if name != "account"}
    session.connection().execute(statement.on_conflict_do_update(index_elements=["account"], set_=changes))


def ever_synced(session: Session) -> bool:
    """Whether the registry was ever brought in line with WhatsApp's list, of whichever account."""
    query = select(_SYNCS.c.account).where(_SYNCS.c.synced_at.is_not(None)).limit(1)
    return session.connection().execute(query).first() is not None


def all_templates(session: Session) -> dict[Name, Template]:
    """The whole registry, held; WhatsApp allows an account some thousands."""
    query = select(Template).order_by(col(Template.name), col(Template.language)).with_for_update()
    rows = session.scalars(query.execution_options(populate_existing=True))
    return {(row.name, row.language): row for row in rows}


def put_templates(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store templates, new or changed; each mapping has every column."""
    if not rows:
        return
    statement = insert_into(session, _TEMPLATES)
    changes = {
        column.name: statement.excluded[column.name]
        for column in _TEMPLATES.columns
        if column.name not in _KEY
    }
    session.connection().execute(
        statement.on_conflict_do_update(index_elements=list(_KEY), set_=changes), list(rows)
    )


def mark_gone(session: Session, names: Collection[Name], *, at: datetime) -> None:
    """Templates that WhatsApp no longer lists."""
    for name, language in sorted(names):
        session.connection().execute(
            update(_TEMPLATES)
            .where(_TEMPLATES.c.name == name, _TEMPLATES.c.language == language)
            .values(gone_at=at)
        )


def named(session: Session, names: Collection[str]) -> list[Template]:
    """Every language of these templates, by name and language."""
    if not names:
        return []
    query = select(Template).where(col(Template.name).in_(names))
    rows = session.scalars(
        query.order_by(col(Template.name), col(Template.language)).execution_options(populate_existing=True)
    )
    return list(rows)


def held(session: Session, names: Collection[str]) -> list[Template]:
    """Every language of these templates, as they are now and kept from others until the transaction ends."""
    query = select(Template).where(col(Template.name).in_(names)).with_for_update()
    rows = session.scalars(
        query.order_by(col(Template.name), col(Template.language)).execution_options(populate_existing=True)
    )
    return list(rows)


def page(
    session: Session,
    *,
    after: Name | None,
    limit: int,
    status: str | None = None,
    category: str | None = None,
    language: str | None = None,
    contains: str | None = None,
    gone: bool = False,
) -> list[Template]:
    """Up to `limit` templates behind `after`, by name and language; those that are gone only when asked for."""
    status = None if status is None else status.upper()
    query = select(Template).order_by(col(Template.name), col(Template.language)).limit(limit)
    if after is not None:
        query = query.where(tuple_(col(Template.name), col(Template.language)) > after)
    if not gone:
        query = query.where(col(Template.gone_at).is_(None))
    for column, value in (
        (Template.status, status),
        (Template.category, category),
        (Template.language, language),
    ):
        if value is not None:
            query = query.where(col(column) == value)
    if contains is not None:
        query = query.where(col(Template.name).contains(contains, autoescape=True))
    return list(session.scalars(query))
