"""The Segment HTTP API: what users do and who they are, told by websites, apps and back ends."""

from fastapi import APIRouter, Request, Response

from api import intake, segment
from api.dependencies import TRACKING
from api.intake import TrackingRoute, described
from api.schemas import IngestAnswer

router = APIRouter(prefix="/v1", tags=["tracking"], route_class=TrackingRoute, dependencies=list(TRACKING))


@router.post("/identify", response_model=IngestAnswer, openapi_extra=described("Identify"))
async def identify(request: Request) -> Response:
    """What is known about one user; merged into their attributes. With both ids, the anonymous user becomes the known one."""
    return await intake.take(request, segment.Identify)


@router.post("/track", response_model=IngestAnswer, openapi_extra=described("Track"))
async def track(request: Request) -> Response:
    """One event of one user. The same `messageId` counts once."""
    return await intake.take(request, segment.Track)


@router.post("/page", response_model=IngestAnswer, openapi_extra=described("Page"))
async def page(request: Request) -> Response:
    """A page was seen: the event `Page Viewed`, with what `context.page` says as properties."""
    return await intake.take(request, segment.Page)


@router.post("/screen", response_model=IngestAnswer, openapi_extra=described("Screen"))
async def screen(request: Request) -> Response:
    """A screen of an app was seen: the event `Screen Viewed`."""
    return await intake.take(request, segment.Screen)


@router.post("/group", response_model=IngestAnswer, openapi_extra=described("Group"))
async def group(request: Request) -> Response:
    """One user belongs to a group: the attributes `group_id` and `group` (its traits)."""
    return await intake.take(request, segment.Group)


@router.post("/alias", response_model=IngestAnswer, openapi_extra=described("Alias"))
async def alias(request: Request) -> Response:
    """`previousId` is `userId` from now on; two users who both exist become one."""
    return await intake.take(request, segment.Alias)


@router.post("/batch", response_model=IngestAnswer, openapi_extra=described("Batch"))
async def batch(request: Request) -> Response:
    """Up to 2,500 calls of any type at once. If one is wrong, none is stored and the answer says which."""
    return await intake.take(request, segment.Batch)


@router.post("/import", response_model=IngestAnswer, openapi_extra=described("Batch"))
async def historical_import(request: Request) -> Response:
    """The same as `/v1/batch`, under the name that older Segment libraries use for history."""
    return await intake.take(request, segment.Batch)
