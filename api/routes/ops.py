"""Links that people click, health, and the state of delivery."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import RedirectResponse

from api import leadership_repository, metrics, migrations
from api.dependencies import (
    MANAGEMENT,
    CleanText,
    ClockOf,
    Reader,
    ReadSession,
    WiringOf,
    WriteSession,
)
from api.schemas import Health
from delivery.content import links
from experiments.errors import Unavailable

router = APIRouter()
NOT_NOW: Final = {"description": "The database does not answer, or is not ready"}
NO_EXPERIMENT: Final = {"description": "There is no such experiment"}
METRICS: Final = {
    "description": "Prometheus text format 0.0.4",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


@router.get("/r/{token}", tags=["links"], status_code=307, response_class=RedirectResponse)
def follow(
    session: WriteSession, clock: ClockOf, token: Annotated[CleanText, Path(max_length=40)]
) -> RedirectResponse:
    """Count the click and send the person on."""
    return RedirectResponse(links.click(session, clock, token=token), headers={"Cache-Control": "no-store"})


@router.get("/healthz", tags=["ops"])
def healthz() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/readyz", tags=["ops"], responses={503: NOT_NOW})
def readyz(wiring: WiringOf) -> Health:
    """The database answers and has the schema that this code expects."""
    revision = migrations.current_revision(wiring.database)
    if revision != migrations.newest_revision(wiring.database):
        raise Unavailable(f"the database is at revision {revision}; run `touchstone migrate`")
    return Health(status="ok", revision=revision)


@router.get("/metrics", tags=["ops"], response_class=Response, responses={200: METRICS, 503: NOT_NOW})
def prometheus(session: ReadSession, wiring: WiringOf) -> Response:
    """Messages by experiment and state, the queue, the rate, failures, open fuses, webhooks: numbers only, for Prometheus."""
    seen = wiring.overviews.get(session, wiring.clock, settings=wiring.settings)
    return Response(metrics.exposition(session, seen), media_type=metrics.MEDIA_TYPE)


@router.get(
    "/v1/delivery/summary", tags=["delivery"], dependencies=list(MANAGEMENT), responses={404: NO_EXPERIMENT}
)
def delivery_summary(
    session: ReadSession,
    wiring: WiringOf,
    _principal: Reader,
    experiment: Annotated[
        CleanText | None, Query(max_length=64, description="Key of one experiment; all when absent")
    ] = None,
) -> dict[str, Any]:
    """Messages by state and reason, whether every slot is accounted for, and how delivery is doing: docs/operations.md."""
    seen = wiring.overviews.get(session, wiring.clock, settings=wiring.settings, key=experiment)
    return {**seen.to_json(), "leader": leadership_repository.leader(session)}
