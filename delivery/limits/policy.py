"""The delivery policy: how often a person may be written to, and when not. One for all campaigns and all workers.

It is kept in the database in versions, and the newest counts from its commit on; until somebody has put one, the settings
say it. What it means is worked out in `caps.py`, `adaptive.py` and `hours.py`.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import time, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, Self

import phonenumbers
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlmodel import Session

from delivery.limits import policy_repository as repository
from delivery.models import PolicyVersion
from experiments import audit
from experiments.clock import Clock
from experiments.errors import Invalid
from experiments.metrics import PositiveDuration
from experiments.mistakes import problems_of
from experiments.send_times import LocalTime, Weekday
from experiments.settings import Settings
from experiments.vocabulary import Category

MAX_CAP: Final = 10_000
SUBJECT: Final = "delivery_policy"
CURRENT: Final = "current"
PUT_OFF_BY: Final = ("cap", "interval", "quiet_hours", "tier", "priority")
"""Reasons of messages that a policy may have put off; a variant's own frequency and a message in flight are none of its."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Count = Annotated[int, Field(ge=0, le=MAX_CAP, strict=True)]


class CategoryCaps(_Value):
    """How many messages of a category a person may get in any rolling day (24 h), week (7 d) and month (30 d), all experiments
    together, and how long apart at least. Null: no bound; 0: none at all.
    """

    day: Count | None = None
    week: Count | None = None
    month: Count | None = None
    min_interval: PositiveDuration | None = None


class AdaptiveCap(_Value):
    """The caps on marketing times a factor between `lowest` and `highest`, from what the person did with earlier messages.

    See `delivery.adaptive.factor` for the formula.
    """

    lowest: float = Field(0.5, ge=0, le=1, strict=True, allow_inf_nan=False)
    highest: float = Field(1.5, ge=1, le=10, strict=True, allow_inf_nan=False)


class QuietHours(_Value):
    """From `start` until just before `end` on the person's own clock nothing goes out; past midnight where `end` is earlier."""

    start: LocalTime
    end: LocalTime

    @model_validator(mode="after")
    def _has_two_ends(self) -> Self:
        if self.start == self.end:
            raise ValueError("`start` and `end` are the same time; for no quiet hours write null")
        return self


class AllowedHours(_Value):
    """The hours in which people of a country may be written to: from `start` until just before `end` on the person's own
    clock, past midnight where `end` is earlier, and only while that clock shows one of `days`. The same `start` and `end`
    is the whole day.
    """

    start: LocalTime = time(0)
    end: LocalTime = time(0)
    days: tuple[Weekday, ...] = Field(tuple(Weekday), min_length=1)

    @model_validator(mode="after")
    def _names_each_day_once(self) -> Self:
        if len(set(self.days)) < len(self.days):
            raise ValueError("`days` names a day twice")
        return self


def _is_country(code: str) -> str:
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("is no country; write its two letters (ISO 3166), such as NL")
    return code


Country = Annotated[str, AfterValidator(_is_country)]


class DeliveryPolicy(_Value):
    """How often, and when not. What a document leaves out has the default that is written here.

    `countries`: allowed hours by the country of the phone number. Both these and the quiet hours hold back the categories in
    `quiet_categories` only. `unique_users`: how many people may be written to in any 24 hours without having written
    to us in the 24 hours before; null: as many as WhatsApp last said of the number.
    """

    marketing: CategoryCaps = CategoryCaps(week=3)
    utility: CategoryCaps = CategoryCaps()
    authentication: CategoryCaps = CategoryCaps()
    adaptive: AdaptiveCap | None = None
    quiet_hours: QuietHours | None = None
    quiet_categories: tuple[Category, ...] = (Category.MARKETING,)
    countries: dict[Country, AllowedHours] = Field(default_factory=dict, max_length=300)
    unique_users: int | None = Field(None, ge=1, le=10**9, strict=True)

    def caps(self, category: str) -> CategoryCaps:
        """The caps of one category."""
        caps: CategoryCaps = getattr(self, Category(category))
        return caps


def current(session: Session, settings: Settings) -> DeliveryPolicy:
    """The policy that counts now: the newest stored one, or what the settings say."""
    document = repository.newest_document(session)
    if document is None:
        return from_settings(settings)
    return _stored(json.dumps(document, sort_keys=True))


def put(session: Session, clock: Clock, *, actor: str, document: Mapping[str, Any]) -> DeliveryPolicy:
    """Let `document` be the policy from now on, as a whole; raises Invalid naming the field.

    Messages that a rule of the policy before put off are due again at once: the next look lets them go, or puts them off to
    the moment that counts now. With a million planned messages that costs 0.25 s (SQLite) or 3 ms (PostgreSQL) where none was
    put off, and 2.5 to 3.5 s where 50,000 were, on two busy cores; SQLite sends nothing meanwhile. On PostgreSQL a batch that is being
    reserved at that very moment may still be put off by the policy before.

    A policy that says what is stored already adds no version and changes nothing.
    """
    try:
        policy = DeliveryPolicy.model_validate(document)
    except ValidationError as error:
        raise Invalid.of(problems_of(error.errors())) from error
    before = repository.newest_document(session)
    after = policy.model_dump(mode="json")
    if before == after:
        return policy
    now = clock.now()
    repository.add(session, PolicyVersion(document=after, actor=actor, at=now))
    repository.look_again(session, reasons=PUT_OFF_BY, now=now)
    audit.record(
        session,
        clock,
        actor=actor,
        action="policy.put",
        subject_kind=SUBJECT,
        subject_key=CURRENT,
        before=before,
        after=after,
    )
    return policy


def history(session: Session, *, before_id: int | None = None, limit: int) -> Sequence[PolicyVersion]:
    """What the policy has said, newest first; `before_id` goes on from there."""
    return repository.versions(session, before_id=before_id, limit=limit)


def from_settings(settings: Settings) -> DeliveryPolicy:
    """The policy while none is stored."""
    return _of_settings(
        settings.cap_day,
        settings.cap_week,
        settings.cap_month,
        settings.cap_interval,
        settings.quiet_hours,
    )


@lru_cache(maxsize=64)
def _of_settings(
    day: int | None, week: int | None, month: int | None, interval: timedelta | None, quiet: str
) -> DeliveryPolicy:
    start, _, end = quiet.partition("-")
    return DeliveryPolicy(
        marketing=CategoryCaps(day=day, week=week, month=month, min_interval=interval),
        quiet_hours=QuietHours(start=time.fromisoformat(start), end=time.fromisoformat(end))
        if quiet
        else None,
    )


@lru_cache(maxsize=64)
def _stored(document: str) -> DeliveryPolicy:
    # Read with each reservation, and the same for days: to check it each time would cost more than to read it.
    return DeliveryPolicy.model_validate_json(document)
