"""The registry of message templates is kept in line with WhatsApp's list, brought here every hour and whenever somebody asks for it.

What a webhook says of a template (status, quality, category) changes the registry at once (`template_updates.py`). A list
that was asked for before that was said does not take it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from delivery.models import Template, TemplateSync
from delivery.templates import template_guard
from delivery.templates import template_repository as repository
from delivery.whatsapp.template_api import ACCOUNT, ListedTemplate, Listing, TemplateApi
from experiments import audit
from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Invalid, TouchstoneError
from experiments.settings import Settings

EVERY: Final = timedelta(hours=1)
AGAIN: Final = timedelta(minutes=5)
"""How soon a list that could not be had is asked for again."""

LONGEST_ERROR: Final = 500
_PARTS: Final = ("status", "quality", "category", "components")
"""What webhooks may say; each part has the time at which that was said (`status_at` ..)."""
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Synced:
    """What a synchronisation did, in templates (each language is one). `unreadable`: listed in a form that is not known."""

    listed: int = 0
    added: int = 0
    changed: int = 0
    gone: int = 0
    unreadable: int = 0


def sync_tick(database: Database, clock: Clock, *, settings: Settings) -> Synced | None:
    """Synchronise when an hour has passed (after an error five minutes); None when nothing was due.

    Without a business account there is nothing to ask for. Raises what `synchronise` raises.
    """
    account = settings.whatsapp_business_account_id
    if not account:
        return None
    with database.snapshot() as session:
        last = repository.last_sync(session, account)
    if last is not None and clock.now() < last.tried_at + (EVERY if last.error is None else AGAIN):
        return None
    return synchronise(database, clock, settings=settings)


def synchronise(database: Database, clock: Clock, *, settings: Settings, actor: str | None = None) -> Synced:
    """Bring the registry in line with WhatsApp's list now. `actor`: who asked for it, for the audit log.

    The list is read outside of any transaction and stored in one. Raises Invalid naming a setting that is missing,
    Unavailable or Refused when there is no list to be had; then the registry stays as it is, and the error is kept.
    """
    settings.check_whatsapp()
    account = settings.whatsapp_business_account_id
    if not account:
        raise Invalid("is not set, so templates cannot be synchronised; see docs/settings.md", field=ACCOUNT)
    asked_at = clock.now()
    try:
        listing = _listing(settings)
    except TouchstoneError as error:
        with database.transaction() as session:
            last = repository.last_sync(session, account)
            repository.put_sync(
                session,
                TemplateSync(
                    account=account,
                    tried_at=asked_at,
                    synced_at=None if last is None else last.synced_at,
                    error=str(error)[:LONGEST_ERROR],
                ),
            )
        raise
    with database.transaction() as session:
        synced = store(session, clock, listing=listing, asked_at=asked_at)
        repository.put_sync(session, TemplateSync(account=account, tried_at=asked_at, synced_at=asked_at))
        if actor is not None:
            audit.record(
                session,
                clock,
                actor=actor,
                action="templates.sync",
                subject_kind="account",
                subject_key=account,
                before=None,
                after={name: getattr(synced, name) for name in Synced.__slots__},
            )
    return synced


def _listing(settings: Settings) -> Listing:
    api = TemplateApi(
        base_url=settings.whatsapp_url,
        version=settings.whatsapp_version,
        account_id=settings.whatsapp_business_account_id,
        token=settings.whatsapp_token.get_secret_value(),
    )
    try:
        return api.list_all()
    finally:
        api.close()


def store(session: Session, clock: Clock, *, listing: Listing, asked_at: datetime) -> Synced:
    """Merge WhatsApp's list, as it was at `asked_at`, into the registry."""
    known = repository.all_templates(session)
    before = {name: (row.status, row.category) for name, row in known.items()}
    listed = {(each.name, each.language): each for each in listing.templates}
    rows = [_merged(known.get(name), each, asked_at) for name, each in listed.items()]
    repository.put_templates(session, rows)
    gone = {
        name
        for name, row in known.items()
        if name not in listed
        and row.gone_at is None
        and not any(_is_newer(row, part, asked_at) for part in _PARTS)
    }
    repository.mark_gone(session, gone, at=clock.now())
    _tell_campaigns(session, before, rows, asked_at)
    changed = sum(
        name in known and _differs(known[name], row) for name, row in zip(listed, rows, strict=True)
    )
    added = sum(name not in known for name in listed)
    return Synced(len(listed), added, changed, len(gone), listing.unreadable)


def _tell_campaigns(
    session: Session,
    before: Mapping[repository.Name, tuple[str, str]],
    rows: Sequence[Mapping[str, Any]],
    asked_at: datetime,
) -> None:
    """What no webhook has said: templates that were stopped, that returned, that got another category."""
    unknown = (None, None)
    was = [before.get((row["name"], row["language"]), unknown) for row in rows]
    template_guard.statuses_listed(
        session,
        changes=[
            (row["name"], row["language"], status, row["status"])
            for row, (status, _) in zip(rows, was, strict=True)
        ],
        at=asked_at,
    )
    moved = {
        row["name"]
        for row, (_, category) in zip(rows, was, strict=True)
        if category not in (None, row["category"])
    }
    template_guard.categories_changed(session, names=moved, at=asked_at)


def _merged(known: Template | None, listed: ListedTemplate, asked_at: datetime) -> dict[str, Any]:
    """The row to store: as listed, but for what a webhook has said since."""
    row: dict[str, Any] = {
        "name": listed.name,
        "language": listed.language,
        "template_id": listed.template_id,
        "parameter_format": listed.parameter_format,
        "synced_at": asked_at,
        "changed_at": asked_at,
        "gone_at": None,
    }
    for part in _PARTS:
        keeps = known is not None and _is_newer(known, part, asked_at)
        row[part] = getattr(known if keeps else listed, part)
        # From now on a webhook that is older than this list is old news.
        row[f"{part}_at"] = getattr(known, f"{part}_at") if keeps else asked_at
    if known is not None and not _differs(known, row):
        row["changed_at"] = known.changed_at
    return row


def _is_newer(known: Template, part: str, asked_at: datetime) -> bool:
    """Whether a webhook changed this part after the list was asked for; webhooks count in whole seconds."""
    at: datetime | None = getattr(known, f"{part}_at")
    return at is not None and at > asked_at - _SECOND and at != known.synced_at


def _differs(known: Template, row: Mapping[str, Any]) -> bool:
    names = (*_PARTS, "template_id", "parameter_format", "gone_at")
    return any(getattr(known, name) != row[name] for name in names)
