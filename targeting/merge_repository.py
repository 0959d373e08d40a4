"""All SQL of two users becoming one: everything that refers to the one refers to the other, and the one is gone."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy
from sqlalchemy import bindparam, delete, exists, update
from sqlmodel import Session, SQLModel

from targeting import user_repository
from targeting.user_repository import USERS, Person, insert_into, stored_id

SOURCE_OF_MERGE: Final = "merge"
"""What the consent ledger names as the source of a withdrawal that came along with a merge."""

_TABLES: Final = SQLModel.metadata.tables
_CONSENTS: Final = _TABLES["consents"]
_FIRINGS: Final = _TABLES["rule_firings"]
_MEMBERS: Final = _TABLES["segment_members"]
_MOVED: Final = tuple(
    _TABLES[name] for name in ("events", "user_aliases", "consent_records", "pending_triggers")
)
"""Tables whose rows simply change hands."""


def enrolled(session: Session, user_pks: Collection[int]) -> set[int]:
    """Those of these users who have an assignment."""
    if not user_pks:
        return set()
    assignments = _TABLES["assignments"]
    query = sqlalchemy.select(assignments.c.user_pk).where(assignments.c.user_pk.in_(user_pks)).distinct()
    return set(session.execute(query).scalars())


def merge_people(session: Session, merges: Sequence[tuple[Person, Person]], *, now: datetime) -> None:
    """Move what the first of each pair has to the second, and delete the first. Both are stored, and held.

    Nobody is both a first and a second. Of consents a withdrawal wins, whoever it was; the ledger keeps every row, and
    gets one more where a withdrawal came along. Profile and phone have been merged before.
    """
    if not merges:
        return
    pairs = [{"gone_pk": stored_id(source), "kept_pk": stored_id(target)} for source, target in merges]
    connection = session.connection()
    for table in _MOVED:
        moved = update(table).where(table.c.user_pk == bindparam("gone_pk"))
        connection.execute(moved.values(user_pk=bindparam("kept_pk")), pairs)
    _merge_consents(session, merges, now)
    _merge_firings(session, pairs)
    _merge_memberships(session, pairs)
    connection.execute(delete(USERS).where(USERS.c.id == bindparam("gone_pk")), pairs)


def _merge_consents(session: Session, merges: Sequence[tuple[Person, Person]], now: datetime) -> None:
    pks = {stored_id(person) for pair in merges for person in pair}
    state = user_repository.current_consents(session, pks)
    withdrawn: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    for source, target in merges:
        theirs = {category: granted for (pk, category), granted in state.items() if pk == source.id}
        for category, granted in sorted(theirs.items()):
            key = (stored_id(target), category)
            if key not in state:
                moved.append({"gone_pk": source.id, "kept_pk": target.id, "in_category": category})
            elif state[key] and not granted:
                withdrawn.append(_withdrawal(source, target, category, now))
            state[key] = granted and state.get(key, True)
    connection = session.connection()
    if moved:
        whose = (_CONSENTS.c.user_pk == bindparam("gone_pk")) & (
            _CONSENTS.c.category == bindparam("in_category")
        )
        connection.execute(update(_CONSENTS).where(whose).values(user_pk=bindparam("kept_pk")), moved)
    sources = [{"gone_pk": stored_id(source)} for source, _ in merges]
    connection.execute(delete(_CONSENTS).where(_CONSENTS.c.user_pk == bindparam("gone_pk")), sources)
    user_repository.save_consents(session, withdrawn)


def _withdrawal(source: Person, target: Person, category: str, now: datetime) -> dict[str, Any]:
    return {
        "user_pk": target.id,
        "category": category,
        "granted": False,
        "at": now,
        "source": SOURCE_OF_MERGE,
        "evidence": f"withdrawn as {source.user_id}",
    }


def _merge_firings(session: Session, pairs: Sequence[dict[str, int]]) -> None:
    """A rule that fired for both on the same occasion has fired once."""
    others = _FIRINGS.alias()
    fired_already = exists().where(
        others.c.user_pk == bindparam("kept_pk"),
        others.c.rule_id == _FIRINGS.c.rule_id,
        others.c.cause == _FIRINGS.c.cause,
    )
    theirs = _FIRINGS.c.user_pk == bindparam("gone_pk")
    connection = session.connection()
    moved = update(_FIRINGS).where(theirs, ~fired_already).values(user_pk=bindparam("kept_pk"))
    connection.execute(moved, pairs)
    connection.execute(delete(_FIRINGS).where(theirs), pairs)


def _merge_memberships(session: Session, pairs: Sequence[dict[str, int]]) -> None:
    connection = session.connection()
    theirs = _MEMBERS.c.user_pk == bindparam("gone_pk")
    rows = sqlalchemy.select(
        _MEMBERS.c.segment_id, bindparam("kept_pk", type_=_MEMBERS.c.user_pk.type), _MEMBERS.c.added_at
    ).where(theirs)
    copied = insert_into(session, _MEMBERS).from_select(["segment_id", "user_pk", "added_at"], rows)
    connection.execute(copied.on_conflict_do_nothing(), pairs)
    connection.execute(delete(_MEMBERS).where(theirs), pairs)
