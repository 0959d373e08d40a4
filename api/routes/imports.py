"""Imports of many users by HTTP, as the whole body or as the part `file` of a form; and what became of earlier ones."""

import hashlib
import tempfile
from typing import Annotated, Any, BinaryIO, Final, cast

from fastapi import APIRouter, Path, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api import importing
from api.dependencies import (
    MANAGEMENT,
    MAX_ID,
    CleanText,
    ClockOf,
    Cursor,
    Limit,
    Reader,
    ReadSession,
    WiringOf,
    Writer,
    next_cursor,
)
from api.idempotency import PARAMETER, fingerprint_of, key_of, once
from api.import_form import FILE_SCHEMA, MAX_FIELDS, SCHEMA, ImportAsked, read_form
from api.presenting_imports import import_answer, import_quality_answer
from api.schemas import ColumnAnswer, ImportAnswer, ImportQualityAnswer, Page
from api.security import Principal
from api.wiring import Wiring
from experiments.errors import Invalid
from targeting.imports import importing as imports
from targeting.imports import run_repository as runs

router = APIRouter(prefix="/v1/imports", tags=["users"], dependencies=list(MANAGEMENT))

SPOOLED_IN_MEMORY: Final = 1_000_000
_PLAIN: Final = {
    "text/csv": {"schema": FILE_SCHEMA},
    "application/x-ndjson": {"schema": FILE_SCHEMA},
    "application/vnd.apache.parquet": {"schema": FILE_SCHEMA},
}
REQUEST_BODY_PLAIN: Final = {"required": True, "content": _PLAIN}
REQUEST_BODY: Final = {"required": True, "content": {**_PLAIN, "multipart/form-data": {"schema": SCHEMA}}}


@router.post(
    "",
    response_model=dict[str, Any],
    openapi_extra={"requestBody": REQUEST_BODY, "parameters": [PARAMETER]},
)
async def import_users(
    wiring: WiringOf,
    principal: Writer,
    request: Request,
    format: Annotated[  # noqa: A002  # the name of the option
        CleanText | None,
        Query(max_length=20, description="csv, jsonl or parquet; told from the media type when absent"),
    ] = None,
    mapping: Annotated[
        CleanText | None,
        Query(
            max_length=importing.MAX_MAPPING,
            description='YAML or JSON, such as {"phone": "mobile", "consent": {"marketing": "opt_in"}}; see docs/imports.md',
        ),
    ] = None,
    source: Annotated[
        CleanText | None,
        Query(
            max_length=200,
            description="Where such files come from; each is compared with the last of the same source",
        ),
    ] = None,
    dry_run: Annotated[bool | None, Query(description="Write nothing; answer what would come of it")] = None,
    background: Annotated[
        bool | None,
        Query(description="Answer at once (202) with the id of the import, which tells how far it is"),
    ] = None,
) -> Response:
    """Import users from CSV, JSON lines or Parquet. Wrong rows are listed with line and reason; the rest lands.

    Sending the same file again changes nothing. The body is read to its end before the first row is stored.
    A form may hold the options as fields, beside the part `file`.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Invalid("must be absent here; send the file as it is", field="Content-Encoding")
    media_type = request.headers.get("content-type", "")
    asked = ImportAsked(format, mapping, source, dry_run, background)
    if media_type.startswith("multipart/form-data"):
        async with request.form(max_files=MAX_FIELDS, max_fields=MAX_FIELDS) as form:
            part, asked = await read_form(form, asked)
            order = _order(asked, name=part.filename, media_type=part.content_type)
            return await run_in_threadpool(_import, wiring, principal, request, part.file, order, asked)
    order = _order(asked, name=None, media_type=media_type)
    with tempfile.SpooledTemporaryFile(max_size=SPOOLED_IN_MEMORY) as spool:
        async for chunk in request.stream():
            await run_in_threadpool(spool.write, chunk)
        spool.seek(0)
        content = cast("BinaryIO", spool)
        return await run_in_threadpool(_import, wiring, principal, request, content, order, asked)


@router.post("/columns", response_model=list[ColumnAnswer], openapi_extra={"requestBody": REQUEST_BODY_PLAIN})
async def look_at_columns(
    _principal: Writer,
    request: Request,
    format: Annotated[CleanText | None, Query(max_length=20, description="csv, jsonl or parquet")] = None,  # noqa: A002
) -> list[dict[str, Any]]:
    """The columns of a file: what each would become by its name, and what stands in the first rows. Stores nothing.

    Of CSV and JSON lines the beginning of the file will do, cut at the end of a line.
    """
    form = importing.format_of(name=None, media_type=request.headers.get("content-type"), chosen=format)
    with tempfile.SpooledTemporaryFile(max_size=SPOOLED_IN_MEMORY) as spool:
        async for chunk in request.stream():
            await run_in_threadpool(spool.write, chunk)
        spool.seek(0)
        return await run_in_threadpool(importing.look_at, cast("BinaryIO", spool), form)


@router.get("")
def list_imports(
    session: ReadSession,
    clock: ClockOf,
    _principal: Reader,
    cursor: Cursor,
    limit: Limit = 50,
    source: Annotated[CleanText | None, Query(max_length=200)] = None,
) -> Page[ImportAnswer]:
    """Imports by file and by pull, newest first."""
    rows = runs.list_runs(session, before_id=cursor or None, limit=limit, source=source)
    return Page(
        items=[import_answer(row, clock) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.get("/{id}")
def read_import(
    session: ReadSession,
    clock: ClockOf,
    principal: Reader,
    id: Annotated[int, Path(ge=1, lt=MAX_ID)],  # noqa: A002  # the name in the path
) -> ImportQualityAnswer:
    """One import with the quality of its data, column by column."""
    return import_quality_answer(imports.find_run(session, run_id=id), clock, principal)


def _import(
    wiring: Wiring,
    principal: Principal,
    request: Request,
    source: BinaryIO,
    order: importing.ImportOrder,
    asked: ImportAsked,
) -> Response:
    if asked.dry_run:
        if asked.background:
            raise Invalid(
                "a dry run is answered when it has ended; leave one of the two out", field="background"
            )
        return JSONResponse(importing.preview_stream(wiring, source, order))
    key = key_of(request)
    fingerprint = ""
    if key is not None:
        content = hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]  # a spool will do
        fingerprint = fingerprint_of(request, f"{order!r}{content}".encode())
        source.seek(0)
    return once(
        wiring,
        api_key_id=principal.key_id,
        key=key,
        fingerprint=fingerprint,
        work=lambda alive: (
            JSONResponse(
                importing.begin(wiring, source, order, actor=principal.actor), status.HTTP_202_ACCEPTED
            )
            if asked.background
            else JSONResponse(
                importing.import_stream(wiring, source, order, actor=principal.actor, alive=alive)
            )
        ),
    )


def _order(asked: ImportAsked, *, name: str | None, media_type: str | None) -> importing.ImportOrder:
    return importing.read_order(
        name=name, media_type=media_type, chosen=asked.format, mapping=asked.mapping, source=asked.source
    )
