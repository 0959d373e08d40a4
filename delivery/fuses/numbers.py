"""Our numbers and our account as WhatsApp sees them: quality, limits, trouble. The newest word about each part counts.

WhatsApp names a number by its id where messages are concerned, and by its digits where the number itself is. Both are
kept as they come, and brought together only when somebody asks (`state_of`, `breakers.open_keys`): so it does not matter
which of the two is heard of first.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlmodel import Session

from delivery.fuses import breakers
from delivery.fuses import number_repository as repository
from delivery.fuses.breakers import ACCOUNT, Kind
from delivery.models import NumberState
from delivery.whatsapp.items import NumberUpdate, Standing

_log = logging.getLogger(__name__)

MAX_NUMBER: Final = 50
MAX_QUALITY: Final = 30
MAX_STATUS: Final = 60
PARTS: Final = ("quality", "unique_users", "status")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one number: its own row, that of its digits, and what was said of the whole account, newest first."""

    number: str
    display: str | None
    quality: str | None = None
    quality_at: datetime | None = None
    unique_users: int | None = None
    unique_users_at: datetime | None = None
    status: str | None = None
    status_at: datetime | None = None


def apply(session: Session, *, updates: Sequence[tuple[datetime, NumberUpdate]], number: str) -> None:
    """Take note of what WhatsApp said about numbers and account, and open or close their fuses. `number` is our own id."""
    if not updates:
        return
    # Those whose digits nobody knows must be there: the trouble may be theirs.
    repository.ensure(session, {number} if number else ())
    rows = repository.states(session, {_key(update) for _, update in updates}, hold=True)
    for at, update in updates:
        row = rows.setdefault(_key(update), NumberState(number=_key(update)))
        _take(row, "quality", update.quality and update.quality[:MAX_QUALITY], at)
        if update.has_limit:
            _take(row, "unique_users", update.limit, at, always=True)
        if update.standing is not None:
            is_news = _take(row, "status", _said(update)[:MAX_STATUS], at)
            if update.standing is not Standing.WARNED:
                _sound(session, at, update)
            elif is_news:
                _log.warning("WhatsApp says of %s: %s", _key(update), _said(update))
    repository.put(session, [rows[key] for key in sorted(rows)])


def learn(session: Session, displays: Mapping[str, str], known: Mapping[str, str | None]) -> None:
    """Remember the digits of numbers, by their ids, where they are news against `known`."""
    news = {
        number: f"+{display}"
        for number, display in displays.items()
        if len(number) <= MAX_NUMBER and known.get(number) != f"+{display}"
    }
    repository.name(session, news)


def state_of(session: Session, number: str) -> Known | None:
    """What WhatsApp last said that concerns this number (its id); None when it never said anything."""
    rows = repository.states(session)
    return _brought_together(number, rows)


def all_states(session: Session) -> list[Known]:
    """Every number of ours that has been heard of, by its id; words about digits that are nobody's stand alone."""
    rows = repository.states(session)
    ours = [number for number in rows if number != ACCOUNT and not number.startswith("+")]
    displays = {rows[number].display for number in ours}
    lone = [] if None in displays else [key for key in rows if key.startswith("+") and key not in displays]
    found = (_brought_together(number, rows) for number in [*ours, *lone])
    return [known for known in found if known is not None]


def _brought_together(number: str, rows: Mapping[str, NumberState]) -> Known | None:
    own = rows.get(number)
    display = number if number.startswith("+") else own.display if own is not None else None
    relevant = [
        row
        for key, row in rows.items()
        if key in (number, ACCOUNT, display) or (display is None and key.startswith("+"))
    ]
    if not relevant:
        return None
    known = Known(number, display)
    for part in PARTS:
        newest = _newest(relevant, part)
        if newest is not None:
            at = f"{part}_at"
            known = replace(known, **{part: getattr(newest, part), at: getattr(newest, at)})
    return known


def _newest(rows: Iterable[NumberState], part: str) -> NumberState | None:
    dated = [row for row in rows if getattr(row, f"{part}_at") is not None]
    return max(dated, key=lambda row: (getattr(row, f"{part}_at"), _rank(getattr(row, part))), default=None)


def _take(row: NumberState, part: str, value: object, at: datetime, *, always: bool = False) -> bool:
    """The newer word, and of two of the same time always the same one; returns whether it was this one."""
    if value is None and not always:
        return False
    known_at = getattr(row, f"{part}_at")
    if known_at is None or (at, _rank(value)) > (known_at, _rank(getattr(row, part))):
        setattr(row, part, value)
        setattr(row, f"{part}_at", at)
        return True
    return False


def _rank(value: object) -> str:
    return "" if value is None else f"{value:>12}"


def _sound(session: Session, at: datetime, update: NumberUpdate) -> None:
    kind, key = (Kind.ALL, ACCOUNT) if update.display is None else (Kind.NUMBER, f"+{update.display}")
    stops = update.standing is Standing.STOPPED
    breakers.word(session, kind=kind, key=key, at=at, stops=stops, until=update.until, reason=_said(update))


def _said(update: NumberUpdate) -> str:
    return " ".join(filter(None, (update.event, update.reason)))


def _key(update: NumberUpdate) -> str:
    return ACCOUNT if update.display is None else f"+{update.display}"
