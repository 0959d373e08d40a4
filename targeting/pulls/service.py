"""Scheduled pulls, as people define them: a query of another database, run every so often. `runs.py` runs them."""

from typing import Any

from sqlmodel import Session

from experiments import audit
from experiments.clock import Clock
from experiments.errors import Conflict, NotFound
from experiments.settings import Settings
from targeting.models import Pull
from targeting.pulls import repository as pull_repository
from targeting.pulls.definitions import PullDefinition, check_query, check_source
from targeting.pulls.query_repository import address_of


def find(session: Session, *, key: str) -> Pull:
    """One pull; raises NotFound."""
    return _known(pull_repository.find_pull(session, key), key)


def _known(pull: Pull | None, key: str) -> Pull:
    if pull is None:
        raise NotFound(f"there is no pull {key!r}")
    return pull


def definition_of(pull: Pull) -> PullDefinition:
    return PullDefinition.model_validate(pull.definition)


def put(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    key: str,
    definition: PullDefinition,
    enabled: bool,
    settings: Settings,
) -> Pull:
    """Add or change a pull; it is due at once. Raises Invalid for an unknown source or a query that does more than read.

    When anything but the rhythm changes, the cursor goes back to the beginning: another mapping needs the old rows too.
    A run that is under way ends at its next batch.
    """
    url = address_of(definition.source, settings.sources[check_source(definition.source, settings.sources)])
    check_query(definition.query, backend=url.get_backend_name())
    now = clock.now()
    pull = pull_repository.find_pull_to_change(session, key)
    before = None if pull is None else _shown(pull)
    document = definition.to_document()
    if pull is None:
        pull = Pull(
            key=key, enabled=enabled, definition=document, next_at=now, created_at=now, updated_at=now
        )
    elif document != pull.definition or enabled != pull.enabled:
        if not definition.same_rows(definition_of(pull)):
            pull.cursor, pull.error = None, None
        pull.definition, pull.enabled = document, enabled
        pull.claimed_until, pull.next_at, pull.updated_at = None, now, now
    session.add(pull)
    session.flush()
    if before != _shown(pull):
        _record(session, clock, actor, "pull.put", key, before=before, after=_shown(pull))
    return pull


def set_enabled(session: Session, clock: Clock, *, actor: str, key: str, enabled: bool) -> Pull:
    """Let a pull run on its schedule, or not; a run that is under way goes on."""
    pull = _known(pull_repository.find_pull_to_change(session, key), key)
    if pull.enabled != enabled:
        before = _shown(pull)
        pull.enabled, pull.updated_at = enabled, clock.now()
        verb = "pull.enable" if enabled else "pull.disable"
        _record(session, clock, actor, verb, key, before=before, after=_shown(pull))
    return pull


def ask(session: Session, clock: Clock, *, actor: str, key: str) -> Pull:
    """Make a pull due now: the scheduler runs it at its next tick. Raises Conflict when it is disabled."""
    pull = _known(pull_repository.find_pull_to_change(session, key), key)
    if not pull.enabled:
        raise Conflict(f"the pull {key!r} is disabled; enable it first")
    pull.next_at = clock.now()
    _record(session, clock, actor, "pull.run", key)
    return pull


def delete(session: Session, clock: Clock, *, actor: str, key: str) -> None:
    """Forget a pull; what it brought stays. A run that is under way ends at its next batch."""
    pull = _known(pull_repository.find_pull_to_change(session, key), key)
    _record(session, clock, actor, "pull.delete", key, before=_shown(pull))
    session.delete(pull)


def _shown(pull: Pull) -> dict[str, Any]:
    return {"enabled": pull.enabled, "definition": pull.definition}


def _record(session: Session, clock: Clock, actor: str, action: str, key: str, **what: Any) -> None:
    audit.record(session, clock, actor=actor, action=action, subject_kind="pull", subject_key=key, **what)
