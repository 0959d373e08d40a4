"""Users one at a time: find, list, create or change."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlmodel import Session

from experiments import audit
from experiments.clock import Clock
from experiments.errors import Conflict, NotFound, Unavailable
from targeting import rule_triggers, tombstones, user_repository
from targeting.models import User
from targeting.profile import (
    check_document,
    check_locale,
    check_time_zone,
    check_user_id,
    mask_phone,
    normalise_phone,
)
from targeting.roster import ProfileChange, Roster

__all__ = ["find", "find_by_phone", "list_users", "normalise_phone", "search", "upsert"]

_ATTEMPTS: Final = 3


def find(session: Session, *, user_id: str) -> User:
    """The user with this id of the outside world; raises NotFound."""
    user = user_repository.find_user(session, user_id)
    if user is None:
        raise NotFound(f"there is no user {user_id!r}", field="user_id")
    return user


def list_users(session: Session, *, after_id: int, limit: int) -> Sequence[User]:
    """Up to `limit` users with an internal id above `after_id`, oldest first."""
    return user_repository.list_users(session, after_id=after_id, limit=limit)


def search(session: Session, *, prefix: str, after_id: int, limit: int) -> Sequence[User]:
    """Up to `limit` users whose user id begins with `prefix` (letter case counts), in the order of user ids."""
    return user_repository.search_users(session, prefix=prefix, after_id=after_id, limit=limit)


def find_by_phone(session: Session, *, phone: str, default_region: str = "") -> User:
    """The user with this number, however it is written; raises Invalid for what is none, NotFound for nobody's."""
    user = user_repository.find_by_phone(session, normalise_phone(phone, default_region=default_region))
    if user is None:
        raise NotFound("no user has this number", field="phone")
    return user


def upsert(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    user_id: str,
    phone: str | None = None,
    time_zone: str | None = None,
    locale: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    default_region: str = "",
    erasure_secret: str = "",
) -> User:
    """Create the user, or change what is given: None leaves a field alone, attributes are merged (null removes one).

    Raises Invalid naming the field, Conflict when the phone belongs to somebody else or when the person was erased,
    Unavailable when another transaction kept being quicker. Writes to the audit log only when something changed.
    """
    given = dict(attributes or {})
    check_document(given, field="attributes")
    change = ProfileChange(
        user_id=check_user_id(user_id),
        phone=None if phone is None else normalise_phone(phone, default_region=default_region),
        time_zone=None if time_zone is None else check_time_zone(time_zone),
        locale=None if locale is None else check_locale(locale),
        attributes=given,
    )
    _check_not_erased(session, change, secret=erasure_secret)
    for _ in range(_ATTEMPTS):
        known = user_repository.people(session, [user_id], to_change=True)
        before = _audited(known.get(user_id))
        owners = _owners(session, change)
        roster = Roster([*known.values(), *user_repository.strangers_among(session, owners)], owners)
        person = roster.apply(change)
        newcomers, changed = roster.newcomers, roster.changed
        now = clock.now()
        user_repository.free_phones(session, roster.moving_phones)
        if user_repository.insert_people(session, newcomers, now=now):
            continue
        user_repository.update_people(session, changed, now=now)
        rule_triggers.note_changes(session, changes=roster.attribute_changes(), now=now)
        if newcomers or changed:
            audit.record(
                session,
                clock,
                actor=actor,
                action="user.put",
                subject_kind="user",
                subject_key=user_id,
                before=before,
                after=_audited(person),
            )
        return find(session, user_id=user_id)
    raise Unavailable("the user is being changed by somebody else; try again")


def _check_not_erased(session: Session, change: ProfileChange, *, secret: str) -> None:
    names = [(tombstones.USER_ID, change.user_id)]
    if change.phone is not None:
        names.append((tombstones.PHONE, change.phone))
    erased = tombstones.erased_among(session, names, secret=secret)
    if erased:
        kind = tombstones.USER_ID if names[0] in erased else tombstones.PHONE
        raise Conflict("was erased; readmit the person first if they asked to come back", field=kind)


def _owners(session: Session, change: ProfileChange) -> dict[str, str]:
    return user_repository.owners_of(session, [change.phone] if change.phone else [])


def _audited(person: user_repository.Person | None) -> dict[str, Any] | None:
    if person is None:
        return None
    return {
        "phone": mask_phone(person.phone),
        "time_zone": person.time_zone,
        "locale": person.locale,
        "attributes": dict(person.attributes or {}),
    }
