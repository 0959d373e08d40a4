"""What travels over HTTP about fuses, pauses, numbers and stored webhooks."""

from datetime import datetime
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from delivery.fuses.breakers import EVERYTHING, MAX_KEY, MAX_REASON, Kind
from delivery.fuses.numbers import Known
from delivery.models import Breaker, WebhookBody


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BreakerAnswer(_Answer):
    """A fuse. `until` is null as long as somebody has to close it, or a word of WhatsApp's."""

    kind: Kind
    key: str
    opened_at: datetime
    until: datetime | None
    error_code: int | None
    reason: str

    @classmethod
    def of(cls, row: Breaker) -> Self:
        return cls.model_validate(row.model_dump())


class BreakersAnswer(_Answer):
    """Every fuse that is open now."""

    items: list[BreakerAnswer]


class CloseRequest(_Request):
    kind: Kind
    key: str = Field(min_length=1, max_length=MAX_KEY)


class PauseRequest(_Request):
    reason: str = Field(min_length=1, max_length=MAX_REASON, description="Why, for whoever wonders")


class PausedAnswer(_Answer):
    """Whether everything is stopped by a hand, since when, and why. Other fuses are not said here."""

    paused: bool
    since: datetime | None = None
    reason: str | None = None

    @classmethod
    def of(cls, row: Breaker | None) -> Self:
        if row is None or (row.kind, row.key) != EVERYTHING or row.until is not None:
            return cls(paused=False)
        return cls(paused=True, since=row.opened_at, reason=row.reason)


class NumberAnswer(_Answer):
    """What WhatsApp last said of a number; each part with the time at which it was said.

    `unique_users` is how many people it may reach in 24 hours; null is no bound, or none known (then its time is null too).
    """

    number: str
    display: str | None
    quality: str | None
    quality_at: datetime | None
    unique_users: int | None
    unique_users_at: datetime | None
    status: str | None
    status_at: datetime | None

    @classmethod
    def of(cls, known: Known) -> Self:
        return cls.model_validate(known, from_attributes=True)


class NumbersAnswer(_Answer):
    """Every number that was heard of."""

    items: list[NumberAnswer]


class UnmatchedStatus(_Answer):
    """A status of a message that we do not know. `wamid` is shown to admins only: a phone number can be read from it."""

    status: str
    at: str | None
    error_code: int | None
    wamid: str | None


FEW: Final = 5


class WebhookAnswer(_Answer):
    """A stored webhook. `other` are the kinds in it that nothing was made of; `body` is shown to admins only.

    Of its statuses of unknown messages (`unmatched_count`) a list shows the first few, the route of one webhook all.
    """

    id: int
    received_at: datetime
    projected_at: datetime | None
    error: str | None
    other: list[str]
    unmatched: list[UnmatchedStatus]
    unmatched_count: int
    size: int = Field(description="Length of the body in bytes")
    body: str | None = None

    @classmethod
    def of(cls, row: WebhookBody, *, whole: bool = False, open_names: bool = False) -> Self:
        """`whole`: with its body and all that is unmatched; `open_names`: with what names a person."""
        left = row.unmatched or []
        return cls(
            id=row.id or 0,
            received_at=row.received_at,
            projected_at=row.projected_at,
            error=row.error,
            other=row.other.split(",") if row.other else [],
            unmatched=[_unmatched(each, open_names) for each in (left if whole else left[:FEW])],
            unmatched_count=len(left),
            size=len(row.body),
            body=row.body.decode(errors="replace") if whole and open_names else None,
        )


def _unmatched(left: dict[str, Any], open_names: bool) -> UnmatchedStatus:
    shown = {name: left[name] for name in ("status", "at", "error_code")}
    return UnmatchedStatus(**shown, wamid=left["wamid"] if open_names else None)
