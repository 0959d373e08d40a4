"""Fuses: while one is open, nothing goes out through the number, the template or the variant that it guards.

    kind      opened by                                            closed by
    all       a person (`*`), or WhatsApp's word on the account    the same person's like, WhatsApp's word, or a hand
    number    slow_down, or nobody answers (for a while)           time: 1, 2, 4 .. s, at most 5 min, with jitter
    number    number_fuse (blocked, unpaid, token refused)         a hand
    number    WhatsApp's word on the number (RESTRICTED ..)        its word (UNRESTRICTED ..), time if it says so, or a hand
    template  template_fuse, or a webhook (PAUSED ..)              a webhook (REINSTATED ..), or a hand
    variant   5 equal errors of its messages without success       a hand; of statuses also a later success
    guard     3 looks in a row of an experiment's guards fail      a look that works, or a hand (`unguarded`)

A template's fuse is that of one language. A variant waits while any language of its template does: to go on with the others
would send its messages to other people than those of the other variants.

What happened has a time, and the newest word counts (`word`, `trip`), so that webhooks may come in any order and more than
once. A breaker's row stays after it has closed, with `until` in the past: the next pause of the number then knows how long
the last one was. Closed by a word or by a hand, `opened_at` and `until` are both the time of that: what is older is old news.
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

from delivery.fuses import breaker_repository
from delivery.models import Breaker
from delivery.outbox import dispatch_repository as repository
from delivery.outbox.retry import Alarm
from experiments import audit
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.errors import Invalid, NotFound
from experiments.treatments import MessageContent

_log = logging.getLogger(__name__)

EQUAL_ERRORS: Final = 5
"""So many equal errors of one variant, with no success between, mean that every row is wrong."""
FIRST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(minutes=5)
MAX_KEY: Final = 200
MAX_REASON: Final = 300
ACCOUNT: Final = "account"
"""Key of the fuse of kind `all` that WhatsApp's own words about the account open."""


class Kind(StrEnum):
    ALL = "all"
    NUMBER = "number"
    TEMPLATE = "template"
    VARIANT = "variant"
    GUARD = "guard"


EVERYTHING: Final = (Kind.ALL, "*")
"""Kind and key of the fuse that a person opens to stop everything."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm of one message: what it says, about which variant and language, WhatsApp's code and words, and when (None: now)."""

    alarm: Alarm
    experiment_id: int
    variant: str
    code: int | None
    detail: str
    language: str | None = None
    at: datetime | None = None


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
            {
                (Kind.VARIANT, variant_key(design.key, variant.key)),
                (Kind.GUARD, design.key),
                *_template_keys(variant.message),
            }
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
    """Kind and key of every open fuse; any fuse of kind `all` also as `EVERYTHING`, and a number's also under its id.

    WhatsApp names a number by its digits. As long as nobody knows the digits of one of our ids, it may be that one.
    """
    found = {(breaker.kind, breaker.key) for breaker in repository.breakers(session) if is_open(breaker, now)}
    if any(kind == Kind.ALL for kind, _ in found):
        found.add(EVERYTHING)
    displayed = {key for kind, key in found if kind == Kind.NUMBER and key.startswith("+")}
    if displayed:
        found |= {
            (Kind.NUMBER, number)
            for number, display in breaker_repository.displays(session).items()
            if display is None or display in displayed
        }
    return frozenset(found)


def is_over(breaker: Breaker) -> bool:
    """Whether a word or a hand closed it; it is older than what `until` says then."""
    return breaker.until == breaker.opened_at


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
    """Open a fuse for an error of `at`; returns whether it was closed.

    One that waits for a hand stays so: an error that passes does not shorten it.
    """
    known = repository.breaker(session, kind, key)
    if known is not None:
        if is_over(known) and at <= known.opened_at:
            return False
        if known.until is None and (until is not None or (known.opened_at, known.reason) >= (at, reason)):
            return False
        if known.until is not None and until is not None and is_open(known, at):
            if until <= known.until:
                return False
            at = known.opened_at
    was_closed = known is None or not is_open(known, at)
    _put(session, kind=kind, key=key, opened_at=at, until=until, code=code, reason=reason)
    if not was_closed:
        return False
    if until is None:
        _log.error("breaker %s %s is open until somebody closes it: %s (code %s)", kind, key, reason, code)
    else:
        _log.warning("breaker %s %s is open until %s: %s (code %s)", kind, key, until, reason, code)
    return True


def word(
    session: Session, *, kind: Kind, key: str, at: datetime, stops: bool, until: datetime | None, reason: str
) -> bool:
    """WhatsApp says at `at` that something may not (`stops`) or may again be used; returns whether that is the newest word.

    Of two of the same time the return counts. It is remembered even if nothing was open, because the stop that it ends
    may arrive after it.
    """
    known = repository.breaker(session, kind, key)
    if known is not None and (known.opened_at, is_over(known), known.reason) >= (at, not stops, reason):
        return False
    _put(session, kind=kind, key=key, opened_at=at, until=until if stops else at, code=None, reason=reason)
    if stops:
        _log.error("breaker %s %s is open: %s", kind, key, reason)
    return True


def _put(
    session: Session,
    *,
    kind: Kind,
    key: str,
    opened_at: datetime,
    until: datetime | None,
    code: int | None,
    reason: str,
) -> None:
    reason = reason[:MAX_REASON]
    row = Breaker(kind=kind, key=key, opened_at=opened_at, until=until, error_code=code, reason=reason)
    repository.put_breaker(session, row)


def paused(session: Session, clock: Clock) -> Breaker | None:
    """The pause that a person began, while it lasts."""
    known = repository.breaker(session, *EVERYTHING)
    return known if known is not None and is_open(known, clock.now()) else None


def pause_all(session: Session, clock: Clock, *, actor: str, reason: str) -> Breaker:
    """Stop everything at once: after the commit no POST begins. Pausing twice keeps the first reason; raises Invalid."""
    if not reason.strip() or len(reason) > MAX_REASON:
        raise Invalid(f"say why, in 1 to {MAX_REASON} characters", field="reason")
    # Waits for the POSTs that just begin, and holds back all others until the commit.
    repository.hold_sends(session)
    known = repository.breaker(session, *EVERYTHING)
    if known is not None and is_open(known, clock.now()):
        return known
    kind, key = EVERYTHING
    _put(session, kind=kind, key=key, opened_at=clock.now(), until=None, code=None, reason=reason)
    return _audited(session, clock, actor=actor, action="delivery.pause", before=known, key=EVERYTHING)


def resume_all(session: Session, clock: Clock, *, actor: str) -> Breaker | None:
    """Go on after `pause_all`; other fuses stay as they are. Changes nothing when nothing is paused."""
    known = repository.breaker(session, *EVERYTHING)
    if known is None or not is_open(known, clock.now()):
        return known
    return _close(session, clock, known, actor=actor, action="delivery.resume")


def close(session: Session, clock: Clock, *, actor: str, kind: Kind, key: str) -> Breaker:
    """Close a fuse by hand; raises NotFound when it is not open. A number's id stands for its digits as well, and they for it."""
    found = {breaker.key: breaker for breaker in open_breakers(session, clock) if breaker.kind == kind}
    names = [key, *(_other_names(session, key) if kind is Kind.NUMBER else ())]
    known = next((found[name] for name in names if name in found), None)
    if known is None:
        instead = f"; open are {', '.join(sorted(found)[:5])}" if found else ""
        raise NotFound(f"no breaker {kind} {key!r} is open{instead}", field="key")
    return _close(session, clock, known, actor=actor, action="breaker.close")


def _other_names(session: Session, number: str) -> list[str]:
    """The digits of a number by its id, or its ids by its digits, as far as they are known."""
    displays = breaker_repository.displays(session)
    ids = sorted(each for each, display in displays.items() if display == number)
    digits = displays.get(number)
    return ids if digits is None else [digits, *ids]


def _close(session: Session, clock: Clock, known: Breaker, *, actor: str, action: str) -> Breaker:
    now = clock.now()
    repository.put_breaker(
        session,
        known.model_copy(update={"opened_at": now, "until": now, "streak": 0, "streak_code": None}),
    )
    return _audited(
        session, clock, actor=actor, action=action, before=known, key=(Kind(known.kind), known.key)
    )


def _audited(
    session: Session, clock: Clock, *, actor: str, action: str, before: Breaker | None, key: tuple[Kind, str]
) -> Breaker:
    was = None if before is None else before.model_dump(mode="json")
    now = repository.breaker(session, *key)
    assert now is not None  # noqa: S101  # just stored
    audit.record(
        session,
        clock,
        actor=actor,
        action=action,
        subject_kind="breaker",
        subject_key="/".join(key)[:MAX_KEY],
        before=was,
        after=now.model_dump(mode="json"),
    )
    return now


def template_stopped(session: Session, *, name: str, language: str | None, at: datetime, reason: str) -> bool:
    """A webhook says that a template is paused or disabled; returns whether that is news."""
    whole = repository.breaker(session, Kind.TEMPLATE, template_key(name, None))
    if language is not None and whole is not None and is_over(whole) and at <= whole.opened_at:
        return False
    key = template_key(name, language)
    return word(session, kind=Kind.TEMPLATE, key=key, at=at, stops=True, until=None, reason=reason)


def template_restored(session: Session, *, name: str, language: str | None, at: datetime) -> bool:
    """A webhook says that a template may be used again; returns whether a fuse was open. Without a language: in all of them.

    Word of one language says nothing of the others: a fuse on the whole name stays.
    """
    keys = {template_key(name, language)}
    if language is None:
        keys |= repository.template_keys(session, prefix=f"{name}/")
    opened = False
    for key in sorted(keys):
        known = repository.breaker(session, Kind.TEMPLATE, key)
        was_open = known is not None and is_open(known, at)
        is_news = word(
            session,
            kind=Kind.TEMPLATE,
            key=key,
            at=at,
            stops=False,
            until=None,
            reason="the template is approved",
        )
        opened |= was_open and is_news
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
    """Open the fuses that alarms ask for. Bad requests are counted before (`streaks`): here each opens a variant's."""
    seen: set[tuple[Kind, str]] = set()
    for raised in alarms:
        at = raised.at or now
        if raised.alarm is Alarm.TEMPLATE:
            message = designs[raised.experiment_id].variant(raised.variant).message
            if message is None or message.template is None:
                continue
            kind, key = Kind.TEMPLATE, template_key(message.template, raised.language or message.language)
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
            at = now
        seen.add((kind, key))
        trip(session, kind=kind, key=key, at=at, until=until, code=raised.code, reason=raised.detail)
