"""Imports of many users by HTTP: a file as the whole body, or as the part `file` of a form."""

import tempfile
from typing import Annotated, Any, BinaryIO, cast

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api import importing
from api.dependencies import MANAGEMENT, WiringOf, Writer
from experiments.errors import Invalid

router = APIRouter(prefix="/v1/imports", tags=["users"], dependencies=list(MANAGEMENT))

SPOOLED_IN_MEMORY = 1_000_000
FILE_SCHEMA = {"type": "string", "format": "binary"}


@router.post(
    "",
    openapi_extra={
        "requestBody": {
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
    },
)
async def import_users(
    wiring: WiringOf,
    principal: Writer,
    request: Request,
    format: Annotated[  # noqa: A002  # the name of the option
        str | None, Query(description="csv or jsonl; told from the media type when absent")
    ] = None,
    mapping: Annotated[
        str | None,
        Query(
            max_length=10_000,
            description='JSON, such as {"phone": "mobile", "consent": {"marketing": "opt_in"}}',
        ),
    ] = None,
) -> dict[str, Any]:
    """Import users from CSV or JSON lines. Wrong rows are listed with line and reason; the rest lands.

    Sending the same file again changes nothing.
    """
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
            return await run_in_threadpool(
                importing.import_stream, wiring, part.file, order, actor=principal.actor
            )
    order = importing.read_order(name=None, media_type=media_type, chosen=format, mapping=mapping)
    with tempfile.SpooledTemporaryFile(max_size=SPOOLED_IN_MEMORY) as spool:
        async for chunk in request.stream():
            await run_in_threadpool(spool.write, chunk)
        spool.seek(0)
        return await run_in_threadpool(
            importing.import_stream, wiring, cast("BinaryIO", spool), order, actor=principal.actor
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
