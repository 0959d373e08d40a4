"""What the group committers write: the tracking calls, and the webhooks, of many requests in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from api import key_repository
from api.security import UNKNOWN_KEY
from delivery.receipts import inbox as receipts
from experiments.clock import Clock
from experiments.errors import Unauthenticated
from targeting import events
from targeting.events import CheckedCall, Ingested


@dataclass(frozen=True, slots=True)
class Submission:
    """The calls of one request, checked, and whose key they came with."""

    key_id: int
    calls: Sequence[CheckedCall]


def store_submissions(
    session: Session, submissions: Sequence[Submission], *, clock: Clock, erasure_secret: str = ""
) -> list[Ingested | Exception]:
    """Store every request's calls, except those of keys that have been revoked meanwhile; raises what `events.store` raises."""
    revoked = key_repository.revoked_keys(session, {submission.key_id for submission in submissions})
    batches = [() if submission.key_id in revoked else submission.calls for submission in submissions]
    done = events.store(session, clock, batches=batches, erasure_secret=erasure_secret)
    return [
        Unauthenticated(UNKNOWN_KEY) if submission.key_id in revoked else ingested
        for submission, ingested in zip(submissions, done, strict=True)
    ]


def store_webhooks(session: Session, bodies: Sequence[bytes], *, clock: Clock) -> list[Exception | None]:
    """Keep webhooks as they came, in their order."""
    receipts.store_all(session, clock, bodies=bodies)
    return [None] * len(bodies)
