"""Segment's calls as ours: names, times and ids, with the path of each wrong field."""

import uuid
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from api.schemas import BatchRequest, IdentifyRequest, TrackRequest
from experiments.design import path_of
from experiments.errors import Invalid, Problem
from targeting.events import IdentifyCall, TrackCall

_KINDS: Final[dict[str, type[TrackRequest] | type[IdentifyRequest]]] = {
    "track": TrackRequest,
    "identify": IdentifyRequest,
}


def track_call(request: TrackRequest, *, now: datetime, path: str = "") -> TrackCall:
    """An event; raises Invalid when nobody is named."""
    _need_somebody(request, path)
    return TrackCall(
        message_id=request.messageId or str(uuid.uuid4()),
        user_id=request.userId,
        anonymous_id=request.anonymousId,
        event=request.event,
        at=request.timestamp or now,
        properties=request.properties,
    )


def identify_call(request: IdentifyRequest, *, now: datetime, path: str = "") -> IdentifyCall:
    """What is known about somebody; raises Invalid when nobody is named."""
    _need_somebody(request, path)
    return IdentifyCall(
        message_id=request.messageId or str(uuid.uuid4()),
        user_id=request.userId,
        anonymous_id=request.anonymousId,
        at=request.timestamp or now,
        traits=request.traits,
        locale=_text(request.context.get("locale")),
        time_zone=_text(request.context.get("timezone")),
    )


def batch_calls(request: BatchRequest, *, now: datetime) -> list[TrackCall | IdentifyCall]:
    """Every call of a batch; raises Invalid with the index of each wrong one."""
    calls: list[TrackCall | IdentifyCall] = []
    problems: list[Problem] = []
    for i, item in enumerate(request.batch):
        try:
            calls.append(_batch_call(item, now=now, path=f"batch[{i}]"))
        except Invalid as error:
            problems += error.problems
    if problems:
        raise Invalid.of(problems)
    return calls


def _batch_call(item: dict[str, Any], *, now: datetime, path: str) -> TrackCall | IdentifyCall:
    kind = item.get("type")
    schema = _KINDS.get(kind) if isinstance(kind, str) else None
    if schema is None:
        raise Invalid(f"must be one of {', '.join(_KINDS)}", field=f"{path}.type")
    try:
        read = schema.model_validate(item)
    except ValidationError as error:
        raise Invalid.of(
            [Problem(f"{path}.{path_of(detail['loc'])}", detail["msg"]) for detail in error.errors()]
        ) from error
    if isinstance(read, TrackRequest):
        return track_call(read, now=now, path=path)
    return identify_call(read, now=now, path=path)


def _need_somebody(request: TrackRequest | IdentifyRequest, path: str) -> None:
    if request.userId is None and request.anonymousId is None:
        raise Invalid("is required (or `anonymousId`)", field=f"{path}.userId" if path else "userId")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
