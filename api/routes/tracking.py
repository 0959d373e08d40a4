"""The Segment HTTP API: what users do, told by websites, apps and back ends. Basic auth with a write key."""

from fastapi import APIRouter

from api import segment
from api.dependencies import TRACKING, ClockOf, Ingester, SettingsOf, WriteSession
from api.idempotency import IdempotentRoute
from api.schemas import BatchRequest, IdentifyRequest, IngestAnswer, TrackRequest
from targeting import events

router = APIRouter(prefix="/v1", tags=["tracking"], route_class=IdempotentRoute, dependencies=list(TRACKING))


@router.post("/track")
def track(
    session: WriteSession, clock: ClockOf, settings: SettingsOf, _principal: Ingester, request: TrackRequest
) -> IngestAnswer:
    """One event of one user. The same `messageId` counts once."""
    calls = [segment.track_call(request, now=clock.now())]
    done = events.ingest(session, clock, calls=calls, default_region=settings.default_region)
    return IngestAnswer(accepted=done.accepted, duplicates=done.duplicates)


@router.post("/identify")
def identify(
    session: WriteSession,
    clock: ClockOf,
    settings: SettingsOf,
    _principal: Ingester,
    request: IdentifyRequest,
) -> IngestAnswer:
    """What is known about one user; merged into their attributes."""
    calls = [segment.identify_call(request, now=clock.now())]
    done = events.ingest(session, clock, calls=calls, default_region=settings.default_region)
    return IngestAnswer(accepted=done.accepted, duplicates=done.duplicates)


@router.post("/batch")
def batch(
    session: WriteSession, clock: ClockOf, settings: SettingsOf, _principal: Ingester, request: BatchRequest
) -> IngestAnswer:
    """Up to 500 calls at once. If one is wrong, none is stored and the answer says which."""
    calls = segment.batch_calls(request, now=clock.now())
    done = events.ingest(session, clock, calls=calls, default_region=settings.default_region)
    return IngestAnswer(accepted=done.accepted, duplicates=done.duplicates)
