"""Reports: the newest one as a document, as a page and as a table; those that were kept; the effects over time."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import HTMLResponse

from analysis.reports import history, service
from analysis.reports.models import StoredReport
from api.dependencies import (
    MANAGEMENT,
    MAX_ID,
    CleanText,
    Cursor,
    Limit,
    Reader,
    ReadSession,
    WiringOf,
    next_cursor,
)
from api.idempotency import IdempotentRoute
from api.report_schemas import KeptReportAnswer, LookAnswer
from api.reporting import page_of, slices_of, table_of
from api.schemas import Page

router = APIRouter(
    prefix="/v1/experiments", tags=["reports"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)
Key = Annotated[CleanText, Path(min_length=1, max_length=64)]
Name = Annotated[CleanText | None, Query(max_length=200)]
NOT_STARTED: Final[dict[int | str, dict[str, Any]]] = {
    409: {"description": "Not started yet, so there is nothing to report"}
}
TABLE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "One row for each metric and variant; below them, where there are any, one for each effect by factor and by slice",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}
MAX_AGE: Final = 1_000_000_000
"""Seconds: whatever there is will do."""
LOCKED_UP: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""The page asks for nothing, and nobody makes it."""


def _current(
    wiring: WiringOf,
    _principal: Reader,
    key: Key,
    max_age: Annotated[
        int | None, Query(ge=0, le=MAX_AGE, description="Seconds; an older report is made anew")
    ] = None,
) -> StoredReport:
    age = wiring.settings.tick if max_age is None else timedelta(seconds=max_age)
    return service.current_report(wiring.database, wiring.clock, key=key, max_age=age, facts=wiring.facts)


Current = Annotated[StoredReport, Depends(_current)]


Slicing = Annotated[
    CleanText | None,
    Query(
        min_length=1,
        max_length=200,
        description="Also by slice: an attribute of users; or day, of assignment",
    ),
]


@router.get("/{key}/report", responses=NOT_STARTED)
def report(current: Current) -> dict[str, Any]:
    """The newest report. Making one is a look at the data, and is stored as such."""
    return history.exported(current, with_inputs=False)


@router.get("/{key}/report.html", response_class=HTMLResponse, responses=NOT_STARTED)
def report_page(wiring: WiringOf, principal: Reader, current: Current, by: Slicing = None) -> HTMLResponse:
    """The same for people: a page that needs nothing else, and prints."""
    page = page_of(wiring.database, current, by=by, facts=wiring.facts, sees_numbers=principal.sees_numbers)
    return HTMLResponse(page, headers=LOCKED_UP)


@router.get("/{key}/report.csv", response_class=Response, responses={**NOT_STARTED, **TABLE})
def report_table(wiring: WiringOf, principal: Reader, current: Current, by: Slicing = None) -> Response:
    """The same for spreadsheets: one row for each metric and variant, then effects by factor, and by slice where asked for."""
    table = table_of(wiring.database, current, by=by, facts=wiring.facts, sees_numbers=principal.sees_numbers)
    return Response(table, media_type="text/csv", headers=LOCKED_UP)


@router.get("/{key}/report/segments", responses=NOT_STARTED)
def segments(
    wiring: WiringOf,
    principal: Reader,
    current: Current,
    by: Annotated[
        CleanText,
        Query(min_length=1, max_length=200, description="An attribute of users; or day, of assignment"),
    ],
) -> dict[str, Any]:
    """The newest report by slice of the users, and whether the slices differ; as of its moment, so no look of its own."""
    sees, ask = principal.sees_numbers, wiring.segments.get
    return slices_of(wiring.database, current, by=by, facts=wiring.facts, sees_numbers=sees, ask=ask)


@router.get("/{key}/report/series")
def series(
    session: ReadSession,
    _principal: Reader,
    key: Key,
    cursor: Cursor,
    limit: Limit = 50,
    metric: Name = None,
    variant: Name = None,
    most: Annotated[
        int | None,
        Query(ge=2, le=500, description="So many of all looks at most, evenly, on one page: for a picture"),
    ] = None,
) -> Page[LookAnswer]:
    """What the kept reports said of each effect, oldest first. Reading them is no look at the data."""
    if most is not None:
        thinned = history.thinned(session, key=key, most=most, metric=metric, variant=variant)
        return Page(items=[LookAnswer.of(look) for look in thinned], next_cursor=None)
    looks = history.series(session, key=key, after_id=cursor, limit=limit, metric=metric, variant=variant)
    return Page(
        items=[LookAnswer.of(look) for look in looks],
        next_cursor=next_cursor(looks, limit, lambda look: look.report),
    )


@router.get("/{key}/reports")
def list_reports(
    session: ReadSession, _principal: Reader, key: Key, cursor: Cursor, limit: Limit = 50
) -> Page[KeptReportAnswer]:
    """The reports that were kept, newest first."""
    rows = history.list_kept(session, key=key, before_id=cursor or None, limit=limit)
    return Page(
        items=[KeptReportAnswer.of(row) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.get("/{key}/reports/{report_id}")
def read_report(
    session: ReadSession,
    _principal: Reader,
    key: Key,
    report_id: Annotated[int, Path(ge=1, lt=MAX_ID)],
) -> dict[str, Any]:
    """One kept report with its provenance and what it was made from: what `touchstone replay` takes."""
    return history.exported(history.find(session, report_id=report_id, key=key))
