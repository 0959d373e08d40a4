"""What webhooks say of templates: their fuses, and the registry's rows where it has them. The newest word counts.

A status, a quality, a category and a text each have a time of their own. What the list of templates said when it was last
asked for counts as said then; an earlier webhook does not overturn it, and one of the same second is believed, since
WhatsApp tells time in whole seconds.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session

from delivery.fuses import breakers
from delivery.models import Template
from delivery.templates import template_repository as repository
from delivery.whatsapp.items import TemplateUpdate

STOPS: Final = frozenset(
    {
        *("PAUSED", "DISABLED", "REJECTED", "PENDING_DELETION", "DELETED"),
        *("PENDING", "IN_APPEAL", "ARCHIVED", "LOCKED"),
    }
)
"""A template of such a status cannot be sent. One that is FLAGGED still can."""
RETURNS: Final = frozenset({"APPROVED", "REINSTATED", "UNPAUSED", "UNARCHIVED"})
USABLE: Final = "APPROVED"
"""What the template API calls the status of a template that may be sent, however it came back."""
_LONGEST: Final = {"status": 30, "quality": 30, "category": 20}


def apply(session: Session, *, updates: Sequence[tuple[datetime, TemplateUpdate]]) -> None:
    """Take note of what WhatsApp said about templates, in any order and as often as it likes."""
    if not updates:
        return
    for at, update in updates:
        _sound(session, at, update)
    rows = repository.held(session, {update.template for _, update in updates})
    for at, update in updates:
        for row in rows:
            if row.name == update.template and update.language in (None, row.language):
                for part, value in _parts(update, row):
                    _take(row, part, value, at)
    session.flush()


def _sound(session: Session, at: datetime, update: TemplateUpdate) -> None:
    name, language = update.template, update.language
    if update.event in STOPS:
        reason = f"{update.event}: {update.reason}" if update.reason else str(update.event)
        breakers.template_stopped(session, name=name, language=language, at=at, reason=reason[:300])
    elif update.event in RETURNS:
        breakers.template_restored(session, name=name, language=language, at=at)


def _parts(update: TemplateUpdate, row: Template) -> Iterator[tuple[str, Any]]:
    if update.event is not None:
        yield "status", USABLE if update.event in RETURNS else update.event
    if update.quality is not None:
        yield "quality", update.quality
    if update.category is not None:
        yield "category", update.category.lower()
    if update.components is not None:
        yield "components", _with_texts(row.components, update.components)


def _with_texts(components: Sequence[Any], said: Sequence[dict[str, Any]]) -> list[Any]:
    """The components with the texts that were named; of each, what was not named (its examples, its format) stays."""
    by_kind = {part["type"]: part for part in said}
    known = [part for part in components if isinstance(part, dict)]
    after = [part | by_kind.get(str(part.get("type")).upper(), {}) for part in known]
    kinds = {str(part.get("type")).upper() for part in known}
    return [*after, *(part for part in said if part["type"] not in kinds)]


def _take(row: Template, part: str, value: Any, at: datetime) -> None:
    if part in _LONGEST:
        value = value[: _LONGEST[part]]
    known_at: datetime | None = getattr(row, f"{part}_at")
    if known_at is None or at.replace(microsecond=0) > known_at.replace(microsecond=0):
        is_newer = True
    elif known_at.replace(microsecond=0) == at.replace(microsecond=0):
        is_newer = known_at == row.synced_at or _rank(value) > _rank(getattr(row, part))
    else:
        is_newer = False
    if is_newer:
        setattr(row, part, value)
        setattr(row, f"{part}_at", at)
        row.changed_at = max(row.changed_at, at)


def _rank(value: Any) -> tuple[bool, str]:
    """Of two words of the same second the return counts, as for the fuses; else any, but always the same."""
    return value == USABLE, str(value)
