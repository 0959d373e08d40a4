"""What belongs to a person: a copy of everything we know of them, and being forgotten.

Erasing takes away every attribute, name, number, alias and proof. An empty row under a random name stays, so that
assignments, messages and events still add up and no experiment's result changes because somebody left: of an event
stay its name, its time and the numbers that some metric sums. Tombstones keep the person from coming back by accident.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from experiments import audit, service
from experiments import repository as experiment_repository
from experiments.clock import Clock
from experiments.errors import Conflict, NotFound
from experiments.metrics import MetricDefinition
from targeting import privacy_repository as repository
from targeting import tombstones, user_repository, users
from targeting.models import FORMER_USER_ID, User
from targeting.profile import ERASED_PREFIX, check_user_id, normalise_phone


@dataclass(frozen=True, slots=True)
class Erased:
    """Who was erased: their internal id, the name that the empty row has now, and the names they had."""

    user_pk: int
    pseudonym: str
    names: tuple[tombstones.Name, ...]


def export(session: Session, *, user_id: str) -> dict[str, Any]:
    """Everything this floor knows of a user, as JSON-ready values but for times; raises NotFound."""
    user = users.find(session, user_id=user_id)
    return {
        "user": user.model_dump(exclude={"id"}),
        **repository.everything_about(session, _pk(user)),
        "audit": sorted(
            (
                entry
                for name, before in _own_names(session, user)
                for entry in experiment_repository.audit_of(
                    session, subject_kind="user", subject_key=name, before=before
                )
            ),
            key=lambda entry: entry["at"],
        ),
    }


def erase(session: Session, clock: Clock, *, actor: str, user_id: str, secret: str) -> Erased:
    """Forget a user; raises NotFound, and Conflict for somebody who was erased already."""
    if user_id.startswith(ERASED_PREFIX):
        raise Conflict(f"{user_id!r} was erased already", field="user_id")
    user = users.find(session, user_id=user_id)
    pk, now = _pk(user), clock.now()
    user_repository.lock_people(session, [pk])
    names = [(tombstones.USER_ID, user_id)]
    for kind, value in repository.aliases_of(session, pk):
        # Whoever had an id once comes by it as by the present one.
        names.append((tombstones.USER_ID if kind == FORMER_USER_ID else kind, value))
    if user.phone is not None:
        names += [(tombstones.PHONE, user.phone), ("wa_id", user.phone.removeprefix("+"))]
    tombstones.bury(session, names, secret=secret, now=now)
    pseudonym = ERASED_PREFIX + secrets.token_hex(8)
    for name, before in _own_names(session, user):
        experiment_repository.forget_in_audit(
            session, subject_kind="user", subject_key=name, pseudonym=pseudonym, before=before
        )
    repository.strip_events(session, pk, kept=_summed_properties(session))
    repository.forget(session, pk, pseudonym=pseudonym, now=now)
    session.expire(user)
    audit.record(session, clock, actor=actor, action="user.erase", subject_kind="user", subject_key=pseudonym)
    return Erased(pk, pseudonym, tuple(names))


def readmit(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    user_id: str,
    phone: str | None,
    secret: str,
    default_region: str = "",
) -> int:
    """Let somebody who was erased come back, because they asked to; returns how many of the names were blocked.

    Raises NotFound when none was.
    """
    names = [(tombstones.USER_ID, check_user_id(user_id))]
    if phone is not None:
        number = normalise_phone(phone, default_region=default_region)
        names += [(tombstones.PHONE, number), ("wa_id", number.removeprefix("+"))]
    freed = tombstones.unbury(session, names, secret=secret)
    if not freed:
        raise NotFound("nobody of this id or phone was erased", field="user_id")
    # The log says that somebody came back and who allowed it; who it was, the new user will say.
    audit.record(session, clock, actor=actor, action="user.readmit", subject_kind="user", subject_key=user_id)
    return freed


def _own_names(session: Session, user: User) -> list[tuple[str, datetime | None]]:
    """The ids under which the audit log knows a person: the present one, and each from before a merge with the moment at which
    somebody else got it, None when nobody did.
    """
    names: list[tuple[str, datetime | None]] = [(user.user_id, None)]
    for kind, name in repository.aliases_of(session, _pk(user)):
        if kind == FORMER_USER_ID:
            other = user_repository.find_user(session, name)
            names.append((name, other.created_at if other else None))
    return names


def _summed_properties(session: Session) -> set[str]:
    definitions: list[MetricDefinition] = list(experiment_repository.metric_library(session).values())
    after = 0
    while page := experiment_repository.list_experiments(session, after_id=after, limit=200):
        after = page[-1].id or 0
        for experiment in page:
            definitions += service.design_of(experiment).metric_definitions().values()
    return {name for definition in definitions for name in definition.properties()}


def _pk(user: User) -> int:
    assert user.id is not None  # noqa: S101  # a stored row has an id
    return user.id
