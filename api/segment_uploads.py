"""A file of user ids that comes over HTTP: kept beside memory until its end, then put on a list."""

import csv
import hashlib
import tempfile
from itertools import islice
from typing import BinaryIO, Final, cast

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api.idempotency import fingerprint_of, key_of, once
from api.security import Principal
from api.segment_schemas import SHOWN_UNKNOWN, MembersAnswer, UnknownUser
from api.wiring import Wiring
from experiments.errors import Invalid
from targeting.segments.lists import import_members

IN_MEMORY: Final = 1_000_000
_FILE: Final = {"schema": {"type": "string", "format": "binary"}}
REQUEST_BODY: Final = {"required": True, "content": {"text/csv": _FILE, "text/plain": _FILE}}


async def receive(
    wiring: Wiring, principal: Principal, request: Request, *, key: str, replace: bool
) -> Response:
    """Read the body to its end, then put its users on the list `key`."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Invalid("must be absent here; send the file as it is", field="Content-Encoding")
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as spool:
        async for chunk in request.stream():
            await run_in_threadpool(spool.write, chunk)
        spool.seek(0)
        return await run_in_threadpool(
            _once, wiring, principal, request, cast("BinaryIO", spool), key, replace
        )


def _once(
    wiring: Wiring, principal: Principal, request: Request, source: BinaryIO, key: str, replace: bool
) -> Response:
    write = key_of(request)
    fingerprint = ""
    if write is not None:
        content = hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]  # a spool will do
        fingerprint = fingerprint_of(request, content.encode())
        source.seek(0)
    return once(
        wiring,
        api_key_id=principal.key_id,
        key=write,
        fingerprint=fingerprint,
        work=lambda _alive: JSONResponse(_take(wiring, principal, source, key, replace).model_dump()),
    )


def _take(wiring: Wiring, principal: Principal, source: BinaryIO, key: str, replace: bool) -> MembersAnswer:
    with tempfile.TemporaryFile("w+", newline="", encoding="utf-8") as rejects:
        summary = import_members(
            wiring.database,
            wiring.clock,
            source,
            actor=principal.actor,
            key=key,
            rejects=rejects,
            replace=replace,
            max_rows=wiring.settings.max_upload_rows,
        )
        rejects.seek(0)
        shown = [
            UnknownUser(line=int(row["line"]), reason=row["reason"], user_id=row["row"])
            for row in islice(csv.DictReader(rejects), SHOWN_UNKNOWN)
        ]
    return MembersAnswer.of_file(summary, shown)
