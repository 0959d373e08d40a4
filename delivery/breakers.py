"""Fuses: while one is open, nothing goes out through the number, the template or the variant that it guards.

    kind      opened by                                        closed by
    number    slow_down, or nobody answers (for a while)       time: 1, 2, 4 .. s, at most 5 min, with jitter
    number    number_fuse (blocked, unpaid, token refused)     a hand
    template  template_fuse, or a webhook (PAUSED ..)          a webhook (REINSTATED ..), or a hand
    variant   5 equal errors of its messages without success   a hand

A breaker's row stays after it has closed, with `until` in the past: a webhook that is older than the closing is then
known to be old news, and the next pause of the number knows how long the last one was.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import numpy as np
from sqlmodel import Session

from delivery import dispatch_repository as repository
from delivery.models import Breaker
from delivery.retry import Alarm
from experiments import audit
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.errors import NotFound
from experiments.treatments import MessageContent

_log = logging.getLogger(__name__)

EQUAL_ERRORS: Final = 5
"""So many equal errors of one variant, with no success between, mean that every row is wrong."""
FIRST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(minutes=5)
MAX_KEY: Final = 200
MAX_REASON: Final = 300


class Kind(StrEnum):
    NUMBER = "number"
    TEMPLATE = "template"
    VARIANT = "variant"


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm of one message: what it says, about which variant, and WhatsApp's code and words."""

    alarm: Alarm
    experiment_id: int
    variant: str
    code: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Streak:
    """How many equal errors a variant has had since its last success."""

    code: int | None = None
    length: int = 0

    def failed(self, code: int | None) -> "Streak":
        return Streak(code, self.length + 1 if self.length and code == self.code else 1)

    @property
    def is_fatal(self) -> bool:
        return self.length >= EQUAL_ERRORS


def template_key(name: str, language: str | None) -> str:
    """The key of a template in one language, or in all languages."""
    return _fit(name if language is None else f"{name}/{language}")


def variant_key(experiment: str, variant: str) -> str:
    return _fit(f"{experiment}/{variant}")


def _fit(key: str) -> str:
    """A key that fits its column; template names may be longer."""
    if len(key) <= MAX_KEY:
        return key
    return f"{key[: MAX_KEY - 65]}#{hashlib.sha256(key.encode()).hexdigest()}"


def next_pause(previous: Breaker | None, *, now: datetime, chance: float) -> timedelta:
    """How long the number rests: twice as long as the last time when that was just now, with jitter of a half.

    `chance` is uniform on [0, 1). A pause that ended longer ago than it had lasted (and 10 s) is forgotten.
    """
    base = FIRST_PAUSE
    if previous is not None and previous.until is not None:
        lasted = max(previous.until - previous.opened_at, FIRST_PAUSE)
        if now - previous.until <= max(lasted, timedelta(seconds=10)):
            base = min(LONGEST_PAUSE, 2 * lasted)
    return min(LONGEST_PAUSE, base * (0.75 + 0.5 * chance))


def is_open(breaker: Breaker, now: datetime) -> bool:
    return breaker.until is None or breaker.until > now


def blocked_variants(
    designs: Mapping[int, ExperimentDesign], open_keys: frozenset[tuple[str, str]]
) -> list[tuple[int, str]]:
    """Experiment id and variant of everything that an open fuse holds back."""
    return [
        (experiment_id, variant.key)
        for experiment_id, design in designs.items()
        for variant in design.variants
        if variant.message is not None
        and not open_keys.isdisjoint(
            {(Kind.VARIANT, variant_key(design.key, variant.key)), *_template_keys(variant.message)}
        )
    ]


def _template_keys(message: MessageContent) -> set[tuple[str, str]]:
    if message.template is None:
        return set()
    languages = (None, message.language, *message.languages)
    return {(Kind.TEMPLATE, template_key(message.template, language)) for language in languages}


def open_breakers(session: Session, clock: Clock) -> Sequence[Breaker]:
    """Every fuse that holds something back now."""
    now = clock.now()
    return [breaker for breaker in repository.breakers(session) if is_open(breaker, now)]


def open_keys(session: Session, now: datetime) -> frozenset[tuple[str, str]]:
    """Kind and key of every open fuse."""
    return frozenset(
        (breaker.kind, breaker.key) for breaker in repository.breakers(session) if is_open(breaker, now)
    )


def trip(
    session: Session,
    *,
    kind: Kind,
    key: str,
    at: datetime,
    until: datetime | None,
    code: int | None,
    reason: str,
) -> bool:
    """Open a fuse; returns whether it was closed. One that waits for a hand stays so: an error that passes does not shorten it."""
    known = repository.breaker(session, kind, key)
    if known is not None and is_open(known, at):
        if known.until is None or (until is not None and until <= known.until):
            return False
        at = known.opened_at
    was_closed = known is None or not is_open(known, at)
    repository.put_breaker(
        session,
        Breaker(kind=kind, key=key, opened_at=at, until=until, error_code=code, reason=reason[:MAX_REASON]),
    )
    if until is None:
        _log.error("breaker %s %s is open until somebody closes it: %s (code %s)", kind, key, reason, code)
    else:
        _log.warning("breaker %s %s is open until %s: %s (code %s)", kind, key, until, reason, code)
    return was_closed


def close(session: Session, clock: Clock, *, actor: str, kind: Kind, key: str) -> Breaker:
    """Close a fuse by hand; raises NotFound when it is not open."""
    now = clock.now()
    known = repository.breaker(session, kind, key)
    if known is None or not is_open(known, now):
        raise NotFound(f"no breaker {kind} {key!r} is open", field="key")
    closed = known.model_copy(update={"until": now})
    repository.put_breaker(session, closed)
    audit.record(
        session,
        clock,
        actor=actor,
        action="breaker.close",
        subject_kind="breaker",
        subject_key=f"{kind}/{key}"[:MAX_KEY],
        before=known.model_dump(mode="json"),
        after=closed.model_dump(mode="json"),
    )
    return closed


def template_stopped(session: Session, *, name: str, language: str | None, at: datetime, reason: str) -> bool:
    """A webhook says that a template is paused or disabled; returns whether that is news.

    Webhooks come in any order and more than once: what happened before the template's return is over.
    """
    key = template_key(name, language)
    known = repository.breaker(session, Kind.TEMPLATE, key)
    if known is not None and known.until is not None and at <= known.until:
        return False
    return trip(session, kind=Kind.TEMPLATE, key=key, at=at, until=None, code=None, reason=reason)


def template_restored(session: Session, *, name: str, language: str | None, at: datetime) -> bool:
    """A webhook says that a template may be used again; returns whether a fuse was open.

    Without a language it speaks of all of them. It is remembered even if nothing was open, because the pause that it
    ends may arrive after it.
    """
    keys = {template_key(name, None), template_key(name, language)}
    if language is None:
        keys |= repository.template_keys(session, prefix=f"{name}/")
    opened = False
    for key in sorted(keys):
        known = repository.breaker(session, Kind.TEMPLATE, key)
        if known is not None and known.opened_at > at:
            continue
        opened |= known is not None and is_open(known, at)
        if known is not None and known.until is not None and known.until >= at:
            continue
        since = at if known is None else known.opened_at
        repository.put_breaker(
            session,
            Breaker(
                kind=Kind.TEMPLATE, key=key, opened_at=since, until=at, reason="the template is approved"
            ),
        )
    return opened


def sound(
    session: Session,
    *,
    alarms: Iterable[Raised],
    number: str,
    designs: Mapping[int, ExperimentDesign],
    now: datetime,
    rng: np.random.Generator,
) -> None:
    """Open the fuses that alarms ask for, each once. Bad requests are counted by the caller, see `Streak`."""
    seen: set[tuple[Kind, str]] = set()
    for raised in alarms:
        if raised.alarm is Alarm.TEMPLATE:
            message = designs[raised.experiment_id].variant(raised.variant).message
            if message is None or message.template is None:
                continue
            kind, key = Kind.TEMPLATE, template_key(message.template, message.language)
        elif raised.alarm in (Alarm.NUMBER, Alarm.SLOW_DOWN):
            kind, key = Kind.NUMBER, number
        elif raised.alarm is Alarm.BAD_REQUEST:
            kind, key = Kind.VARIANT, variant_key(designs[raised.experiment_id].key, raised.variant)
        else:
            continue
        until = None
        if raised.alarm is Alarm.SLOW_DOWN:
            if (kind, key) in seen:
                continue
            previous = repository.breaker(session, kind, key)
            until = now + next_pause(previous, now=now, chance=float(rng.random()))
        seen.add((kind, key))
        trip(session, kind=kind, key=key, at=now, until=until, code=raised.code, reason=raised.detail)
