"""SQL of what messages are made of: latest events, and content from other people's databases."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from pydantic import SecretStr
from sqlalchemy import and_, bindparam, func, select, text
from sqlmodel import Session, SQLModel

from delivery.content.ingredients import LatestEvent
from experiments.errors import Invalid
from targeting.models import Event
from targeting.pulls.query_repository import address_of, reading, told

ROWS_PER_USER: Final = 20
MAX_ROWS_PER_USER: Final = 1000
_EVENTS: Final = SQLModel.metadata.tables[str(Event.__tablename__)]
_USER_ID: Final = "user_id"


def latest_events(
    session: Session, user_pks: Collection[int], names: Collection[str]
) -> dict[int, dict[str, LatestEvent]]:
    """The latest event of each of these names of each user, by user; one query, whose cost is by user and name."""
    if not user_pks or not names:
        return {}
    # Within the index of user, name and time, however many events a user has.
    newest = (
        select(_EVENTS.c.user_pk, _EVENTS.c.name, func.max(_EVENTS.c.at).label("at"))
        .where(_EVENTS.c.user_pk.in_(user_pks), _EVENTS.c.name.in_(names))
        .group_by(_EVENTS.c.user_pk, _EVENTS.c.name)
        .subquery()
    )
    query = (
        select(_EVENTS.c.user_pk, _EVENTS.c.name, _EVENTS.c.at, _EVENTS.c.properties)
        .join(
            newest,
            and_(
                _EVENTS.c.user_pk == newest.c.user_pk,
                _EVENTS.c.name == newest.c.name,
                _EVENTS.c.at == newest.c.at,
            ),
        )
        # Of several at the same time, the one that came last.
        .order_by(_EVENTS.c.id)
    )
    found: dict[int, dict[str, LatestEvent]] = {}
    for user_pk, name, at, properties in session.connection().execute(query):
        found.setdefault(user_pk, {})[name] = LatestEvent(at, properties)
    return found


def events_ever(session: Session, names: Collection[str]) -> set[str]:
    """Those of these names of which there was ever an event."""
    connection = session.connection()
    return {
        name
        for name in names
        if connection.execute(select(_EVENTS.c.id).where(_EVENTS.c.name == name).limit(1)).first()
    }


def rows_of_users(
    name: str,
    secret: SecretStr,
    *,
    query: str,
    user_ids: Sequence[str],
    timeout: timedelta,
    most_bytes: int,
) -> dict[str, list[dict[str, Any]]]:
    """What the query of a content source says of each user: at most 20 rows each, in its order, without the user id.

    Raises Unavailable when the source cannot be reached, Invalid when it refuses the query, or when a row is larger than
    `most_bytes` or there are many too many. Values are as JSON has them.
    """
    url = address_of(name, secret)
    found: dict[str, list[dict[str, Any]]] = {}
    with reading(name, url, timeout=timeout) as (connection, _watch), told(url):
        statement = text(query).bindparams(bindparam("user_ids", expanding=True))
        result = connection.execution_options(stream_results=True).execute(
            statement, {"user_ids": list(user_ids)}
        )
        with result:
            if _USER_ID not in result.keys():  # noqa: SIM118  (not a mapping)
                raise Invalid("the query has no column user_id", field="query")
            for number, row in enumerate(result.mappings()):
                if number > MAX_ROWS_PER_USER * len(user_ids):
                    raise Invalid("the query brings too many rows", field="query")
                mine = found.setdefault(str(row[_USER_ID]), [])
                if len(mine) < ROWS_PER_USER:
                    mine.append(_plain(row, most_bytes))
    return found


def _as_json(value: Any) -> Any:
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def _plain(row: Mapping[Any, Any], most_bytes: int) -> dict[str, Any]:
    values = {str(name): value for name, value in row.items() if name != _USER_ID}
    try:
        document = json.dumps(values, default=_as_json, allow_nan=False)
    except ValueError as error:
        raise Invalid("the query brings a number that is none", field="query") from error
    if len(document) > most_bytes:
        raise Invalid("the query brings a row that is too large", field="query")
    plain: dict[str, Any] = json.loads(document)
    return plain
