"""The fuse of an experiment that its guards cannot look at: nothing of it is sent while nobody would see the harm.

Looks that fail are counted in the breaker's row, for all workers together; `FAILED_LOOKS` in a row open it, and so does one that found harm and could not
stop it. A look that works takes the row away. Whoever closes the fuse by hand sends unguarded, and knows: it stays closed until
a look has worked and others have failed again.
"""

from collections.abc import Collection
from typing import Final

from sqlmodel import Session

from delivery.fuses import breaker_repository
from delivery.fuses.breakers import MAX_REASON, Kind
from delivery.models import Breaker
from delivery.outbox import dispatch_repository
from experiments import audit
from experiments.clock import Clock

ACTOR: Final = "guard"
FAILED_LOOKS: Final = 3
"""So many looks that failed in a row hold an experiment back: one may be the database, for a moment."""


def note_failed(
    session: Session, clock: Clock, *, experiment: str, error: str, at_once: bool = False
) -> bool:
    """Count one more look that failed; returns whether the fuse opens by it. at_once: do not wait for others."""
    known = dispatch_repository.breaker(session, Kind.GUARD, experiment)
    if known is not None and (known.until is None or known.streak == 0):
        return False
    streak = 1 if known is None else known.streak + 1
    now, opens = clock.now(), at_once or streak >= FAILED_LOOKS
    row = Breaker(
        kind=Kind.GUARD,
        key=experiment,
        opened_at=now,
        until=None if opens else now,
        reason=f"its guards cannot look: {error}"[:MAX_REASON],
        streak=streak,
    )
    dispatch_repository.put_breaker(session, row)
    if opens:
        told = {"reason": row.reason, "looks": streak}
        _record(session, clock, "experiment.guards_fail", experiment, told)
    return opens


def note_looked(session: Session, clock: Clock, *, experiment: str) -> None:
    """A look has worked, or none is needed any more: looks that failed are forgotten, and the fuse closes."""
    known = dispatch_repository.breaker(session, Kind.GUARD, experiment)
    if known is None:
        return
    breaker_repository.forget(session, Kind.GUARD, experiment)
    if known.until is None:
        _record(session, clock, "experiment.guards_look", experiment, {"reason": known.reason})


def failing(session: Session) -> Collection[str]:
    """Keys of experiments of which a look has failed since one worked."""
    return {breaker.key for breaker in dispatch_repository.breakers(session) if breaker.kind == Kind.GUARD}


def _record(session: Session, clock: Clock, action: str, experiment: str, told: dict[str, object]) -> None:
    audit.record(
        session, clock, actor=ACTOR, action=action, subject_kind="experiment", subject_key=experiment, before=None, after=told
    )  # fmt: skip
