"""A message of the outbox for tests of the pure rules."""

from datetime import UTC, datetime, timedelta
from typing import Any

from delivery.outbox.retry import Rules
from delivery.outbox.story import Story
from experiments.vocabulary import MessageState

NOW = datetime(2026, 12, 1, 10, 0, tzinfo=UTC)
RULES = Rules(max_tries=3)

PLANNED = Story(
    id=17,
    experiment_id=1,
    user_pk=5,
    variant="a",
    step=0,
    category="marketing",
    state=MessageState.PLANNED,
    reason=None,
    error_code=None,
    first_due_at=NOW,
    due_at=NOW,
    expires_at=NOW + timedelta(days=7),
    language=None,
    claimed_by=None,
    lease_until=None,
    tries=0,
    slot_at=None,
    wamid=None,
    accepted_at=None,
    sent_at=None,
    delivered_at=None,
    read_at=None,
    failed_at=None,
    first_failed_at=None,
)
INFLIGHT = PLANNED._replace(
    state=MessageState.INFLIGHT,
    claimed_by="w",
    slot_at=NOW,
    lease_until=NOW + timedelta(hours=24),
    tries=1,
)


def inflight(**changes: Any) -> Story:
    return INFLIGHT._replace(**changes)


def after(**duration: float) -> datetime:
    return NOW + timedelta(**duration)
