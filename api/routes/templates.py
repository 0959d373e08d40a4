"""Message templates: the registry, its synchronisation with WhatsApp, and previews."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Path, Query

from api.dependencies import MANAGEMENT, CleanText, Limit, Reader, ReadSession, SettingsOf, WiringOf, Writer
from api.idempotency import IdempotentRoute
from api.masking import without_numbers
from api.template_schemas import (
    SyncedAnswer,
    TemplateAnswer,
    TemplateLanguages,
    TemplatePreviewAnswer,
    TemplatePreviewRequest,
    TemplatesPage,
    decode_name,
)
from delivery.templates import previews, template_repository, template_sync
from delivery.templates import registry as templates
from delivery.templates.template_repository import Name
from experiments.treatments import LANGUAGE_PATTERN
from experiments.vocabulary import Category

router = APIRouter(
    prefix="/v1/templates", tags=["templates"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)


def _rng() -> np.random.Generator:
    return np.random.default_rng()


def _after(
    cursor: Annotated[
        CleanText | None, Query(max_length=1000, description="`next_cursor` of the page before")
    ] = None,
) -> Name | None:
    return None if cursor is None else decode_name(cursor)


@router.get("")
def list_templates(
    session: ReadSession,
    settings: SettingsOf,
    _principal: Reader,
    after: Annotated[Name | None, Depends(_after)],
    limit: Limit = 50,
    status: Annotated[CleanText | None, Query(max_length=30, description="Such as APPROVED")] = None,
    category: Annotated[Category | None, Query()] = None,
    language: Annotated[str | None, Query(pattern=LANGUAGE_PATTERN)] = None,
    contains: Annotated[CleanText | None, Query(max_length=512, description="Part of the name")] = None,
    gone: Annotated[bool, Query(description="Also those that WhatsApp no longer lists")] = False,
) -> TemplatesPage:
    """The templates of the WhatsApp account as last synchronised, by name and language."""
    rows = template_repository.page(
        session,
        after=after,
        limit=limit,
        status=status,
        category=category,
        language=language,
        contains=contains,
        gone=gone,
    )
    return TemplatesPage.of(rows, limit, templates.state_of(session, settings=settings))


@router.post("/sync", responses={503: {"description": "WhatsApp does not list them now; try again later"}})
def sync(wiring: WiringOf, principal: Writer) -> SyncedAnswer:
    """Bring the registry in line with WhatsApp's list now. The scheduler does it too, every hour."""
    synced = template_sync.synchronise(
        wiring.database, wiring.clock, settings=wiring.settings, actor=principal.actor
    )
    return SyncedAnswer.model_validate(synced)


@router.post("/preview")
def preview(
    wiring: WiringOf,
    principal: Reader,
    rng: Annotated[np.random.Generator, Depends(_rng)],
    request: TemplatePreviewRequest,
) -> TemplatePreviewAnswer:
    """What a message would say to some users, and how many of up to a thousand could not be written to. Sends nothing."""
    seen = None if principal.sees_numbers else without_numbers
    shown = previews.preview(
        wiring.database, wiring.clock, settings=wiring.settings, rng=rng, seen=seen, **dict(request)
    )
    return TemplatePreviewAnswer.of(shown)


@router.get("/{name}")
def read(
    session: ReadSession, _principal: Reader, name: Annotated[CleanText, Path(min_length=1, max_length=512)]
) -> TemplateLanguages:
    """One template in each of its languages, those that are gone included."""
    rows = templates.languages_of(session, name=name)
    return TemplateLanguages(name=name, languages=[TemplateAnswer.of(row) for row in rows])
