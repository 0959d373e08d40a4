"""Links that people click, health, and the state of delivery."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import RedirectResponse

from api import migrations
from api.dependencies import MANAGEMENT, ClockOf, Reader, ReadSession, WiringOf, WriteSession
from api.schemas import Health
from delivery import links, summary
from experiments.errors import Unavailable

router = APIRouter()


@router.get("/r/{token}", tags=["links"], status_code=307, response_class=RedirectResponse)
def follow(
    session: WriteSession, clock: ClockOf, token: Annotated[str, Path(max_length=40)]
) -> RedirectResponse:
    """Count the click and send the person on."""
    return RedirectResponse(links.click(session, clock, token=token), headers={"Cache-Control": "no-store"})


@router.get("/healthz", tags=["ops"])
def healthz() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/readyz", tags=["ops"])
def readyz(wiring: WiringOf) -> Health:
    """The database answers and has the schema that this code expects."""
    revision = migrations.current_revision(wiring.database)
    if revision != migrations.newest_revision(wiring.database):
        raise Unavailable(f"the database is at revision {revision}; run `touchstone migrate`")
    return Health(status="ok", revision=revision)


@router.get("/v1/delivery/summary", tags=["delivery"], dependencies=list(MANAGEMENT))
def delivery_summary(
    session: ReadSession,
    _principal: Reader,
    experiment: Annotated[
        str | None, Query(max_length=64, description="Key of one experiment; all when absent")
    ] = None,
) -> dict[str, Any]:
    """Messages by state and reason, and whether every planned slot is accounted for."""
    return summary.summary(session, key=experiment).to_json()
