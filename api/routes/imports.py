"""Imports of many users by HTTP: a file as the whole body, or as the part `file` of a form."""

import hashlib
import tempfile
from typing import Annotated, Any, BinaryIO, Final, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

from api import importing
from api.dependencies import MANAGEMENT, CleanText, WiringOf, Writer
from api.idempotency import PARAMETER, fingerprint_of, key_of, once
from api.security import Principal
from api.wiring import Wiring
from experiments.errors import Invalid

router = APIRouter(prefix="/v1/imports", tags=["users"], dependencies=list(MANAGEMENT))

SPOOLED_IN_MEMORY: Final = 1_000_000
FILE_SCHEMA: Final = {"type": "string", "format": "binary"}
REQUEST_BODY: Final = {
    "required": True,
    "content": {
        "text/csv": {"schema": FILE_SCHEMA},
        "application/x-ndjson": {"schema": FILE_SCHEMA},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": FILE_SCHEMA,
                    "mapping": {"type": "string"},
                    "format": {"type": "string"},
                },
            }
        },
    },
}


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
        Query(max_length=20, description="csv or jsonl; told from the media type when absent"),
    ] = None,
    mapping: Annotated[
        CleanText | None,
        Query(
            max_length=10_000,
            description='JSON, such as {"phone": "mobile", "consent": {"marketing": "opt_in"}}',
        ),
    ] = None,
) -> Response:
    """Import users from CSV or JSON lines. Wrong rows are listed with line and reason; the rest lands.

    Sending the same file again changes nothing. The body is read to its end before the first row is stored.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Invalid("must be absent here; send the file as it is", field="Content-Encoding")
    media_type = request.headers.get("content-type", "")
    if media_type.startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=5) as form:
            part = form.get("file")
            if not isinstance(part, UploadFile):
                raise Invalid(
                    "is required: the part of the form that holds the CSV or JSONL file", field="file"
                )
            order = importing.read_order(
                name=part.filename,
                media_type=part.content_type,
                chosen=format or _text(form.get("format")),
                mapping=mapping or _text(form.get("mapping")),
            )
            return await run_in_threadpool(_import, wiring, principal, request, part.file, order)
    order = importing.read_order(name=None, media_type=media_type, chosen=format, mapping=mapping)
    with tempfile.SpooledTemporaryFile(max_size=SPOOLED_IN_MEMORY) as spool:
        async for chunk in request.stream():
            await run_in_threadpool(spool.write, chunk)
        spool.seek(0)
        return await run_in_threadpool(_import, wiring, principal, request, cast("BinaryIO", spool), order)


def _import(
    wiring: Wiring, principal: Principal, request: Request, source: BinaryIO, order: importing.ImportOrder
) -> Response:
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
        work=lambda: JSONResponse(importing.import_stream(wiring, source, order, actor=principal.actor)),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
