"""Conditions: checked, and said in every form, before anything is made with them."""

from fastapi import APIRouter

from api.condition_schemas import ConditionAnswer, ConditionRequest
from api.dependencies import MANAGEMENT, Reader, ReadSession
from api.idempotency import IdempotentRoute
from targeting.segments import condition_reading

router = APIRouter(
    prefix="/v1/conditions", tags=["conditions"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)


@router.post("")
def read(session: ReadSession, _principal: Reader, request: ConditionRequest) -> ConditionAnswer:
    """Check a condition, sent as JSON or as text; answers with both, and with plain English. Nothing is stored."""
    return ConditionAnswer.of(condition_reading.read(session, **request.sent))
