"""Webhooks become states: stored as they come, made sense of afterwards, a batch of bodies in one transaction.

`store` keeps a body and is all that happens before WhatsApp gets its answer. `project_tick` reads bodies in their order
and merges what they say (`projection`): statuses into messages (`progress.merge`), what people say (`inbound`), news of
templates (`template_updates`) and numbers (`numbers`), in each of which any order and any repetition end alike. Nothing is
dropped: a body that cannot be read keeps its error, a status whose message is not known waits a while in `unmatched`, where
it is looked at ever more rarely, and then stays there with an error, and what nothing was made of is named in `other`.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final

import numpy as np
from sqlalchemy.exc import DataError, IntegrityError
from sqlmodel import Session

from delivery.models import WebhookBody
from delivery.receipts import receipt_repository as repository
from delivery.receipts.projection import UNMATCHED_FOR, Projected, Projector
from delivery.receipts.reading import parse
from delivery.receipts.receipt_repository import Stored
from experiments import audit
from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Conflict, NotFound
from experiments.settings import Settings

__all__ = [
    "UNMATCHED_FOR",
    "Counts",
    "Projected",
    "WebhookState",
    "counts",
    "find",
    "page",
    "project_again",
    "project_tick",
    "store",
    "store_all",
]

_log = logging.getLogger(__name__)

LEFT_OVER: Final = 5_000
"""Bodies with statuses of unknown messages that are looked at again in one tick; those that are due longest come first."""
BATCH: Final = 250
"""Bodies in a transaction: as long as it runs, nothing else can be written on SQLite, not even what comes in."""
_UNSTORABLE: Final = (DataError, IntegrityError, OverflowError)
_Fetch = Callable[..., list[Stored]]


class WebhookState(StrEnum):
    """Webhooks to look at. `error`: could not be made sense of; `unmatched`: has statuses of messages that we do not (yet)
    know; `other`: has something that nothing was made of; `waiting`: not looked at yet.
    """

    ERROR = "error"
    WAITING = "waiting"
    UNMATCHED = "unmatched"
    OTHER = "other"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many stored webhooks are in each state; `other` by kind, in webhooks that hold it."""

    waiting: int
    errors: int
    unmatched: int
    other: dict[str, int]


def store(session: Session, clock: Clock, *, body: bytes) -> int:
    """Keep a webhook as it came; returns its id. Check its signature first, answer 200 after the commit."""
    return repository.add_body(session, body=body, at=clock.now())


def store_all(session: Session, clock: Clock, *, bodies: Sequence[bytes]) -> None:
    """Keep several, in their order, with one statement."""
    repository.add_bodies(session, bodies, at=clock.now())


def project_tick(
    database: Database,
    clock: Clock,
    *,
    settings: Settings,
    limit: int = 10_000,
    batch: int = BATCH,
    rng: np.random.Generator | None = None,
) -> Projected:
    """Make sense of up to `limit` webhooks that wait, `batch` in a transaction, and look again for missing messages."""
    projector = Projector(clock, settings, rng or np.random.default_rng())
    left_over = partial(repository.left_over_bodies, due=clock.now())
    again = _project(database, projector, left_over, LEFT_OVER, BATCH)
    return replace(again, bodies=0) + _project(database, projector, repository.new_bodies, limit, batch)


def _project(database: Database, projector: Projector, fetch: _Fetch, limit: int, batch: int) -> Projected:
    """Every look moves a body out of what `fetch` finds, so that the next batch is always another one."""
    total, seen = Projected(), 0
    while seen < limit:
        done, found = _project_batch(database, projector, fetch, min(batch, limit - seen))
        total += done
        seen += found
        if not found:
            break
    return total


def _project_batch(
    database: Database, projector: Projector, fetch: _Fetch, limit: int
) -> tuple[Projected, int]:
    """What became of the next `limit` bodies, and how many there were.

    They are taken apart outside of the transaction, so that on SQLite what comes in meanwhile waits half as long. When the
    database refuses the batch, it is done body by body: one that cannot be stored never holds up the rest.
    """
    with database.snapshot() as session:
        parsed = parse(fetch(session, limit=limit))
    if not parsed:
        return Projected(), 0
    try:
        with database.transaction() as session:
            return projector.project(session, parsed), len(parsed)
    except _UNSTORABLE as error:
        _log.error("a batch of webhooks is projected one by one: %s", type(error).__name__)
    total = Projected()
    for each in parsed:
        try:
            with database.transaction() as session:
                total += projector.project(session, [each])
        except _UNSTORABLE as error:
            with database.transaction() as session:
                total += projector.refuse(session, [each.body], error)
    return total, len(parsed)


def counts(session: Session) -> Counts:
    """Count what waits and what went wrong, from indexes that hold nothing else."""
    kinds: Counter[str] = Counter()
    for named, number in repository.count_others(session).items():
        for kind in named.split(","):
            kinds[kind] += number
    waiting, errors, unmatched = (
        repository.count(session, state)
        for state in (WebhookState.WAITING, WebhookState.ERROR, WebhookState.UNMATCHED)
    )
    return Counts(waiting, errors, unmatched, dict(sorted(kinds.items())))


def page(session: Session, *, state: WebhookState, after_id: int, limit: int) -> list[WebhookBody]:
    """Stored webhooks in a state, oldest first."""
    return repository.page(session, state, after_id=after_id, limit=limit)


def find(session: Session, *, body_id: int) -> WebhookBody:
    """One stored webhook; raises NotFound."""
    found = session.get(WebhookBody, body_id)
    if found is None:
        raise NotFound(f"there is no webhook {body_id}", field="id")
    return found


def project_again(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    body_id: int,
    settings: Settings,
    rng: np.random.Generator | None = None,
) -> WebhookBody:
    """Make sense of one webhook anew, from its body: harmless however often it is done. Raises NotFound and Conflict."""
    before = _standing(find(session, body_id=body_id))
    stored = repository.reopen(session, body_id)
    projector = Projector(clock, settings, rng or np.random.default_rng())
    try:
        projector.project(session, parse([stored]))
    except _UNSTORABLE as error:
        raise Conflict(
            f"the database does not take what webhook {body_id} says: {type(error).__name__}"
        ) from error
    session.expire_all()
    after = find(session, body_id=body_id)
    audit.record(
        session,
        clock,
        actor=actor,
        action="webhook.project",
        subject_kind="webhook",
        subject_key=str(body_id),
        before=before,
        after=_standing(after),
    )
    return after


def _standing(body: WebhookBody) -> dict[str, Any]:
    return body.model_dump(mode="json", include={"projected_at", "error", "other"})
