"""Doors for other people's software: OpenFeature's remote evaluation protocol, and the features that GrowthBook's SDKs load."""

from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import APIKeyHeader

from api import evaluating, sdk_features
from api.dependencies import BEARER
from api.errors import MEDIA_TYPE
from api.evaluating import API_KEY_HEADER, EvaluationRoute
from api.evaluation_schemas import (
    BulkEvaluationFailure,
    BulkEvaluationSuccess,
    EvaluationFailure,
    EvaluationRequest,
    EvaluationSuccess,
    FlagNotFound,
    GeneralErrorResponse,
    SdkPayload,
)
from api.sdk_features import FeaturesRoute

_api_key = Depends(
    APIKeyHeader(name=API_KEY_HEADER, auto_error=False, description="A key with the scope evaluate")
)
router = APIRouter(
    prefix="/ofrep/v1/evaluate/flags",
    tags=["evaluation"],
    route_class=EvaluationRoute,
    dependencies=[*BEARER, _api_key],
)
features_router = APIRouter(prefix="/api/features", tags=["evaluation"], route_class=FeaturesRoute)

_ERROR: Final[dict[str, Any]] = {"model": GeneralErrorResponse}
_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    401: _ERROR | {"description": "No key, or one that is not known"},
    403: _ERROR | {"description": "The key lacks the scope evaluate"},
    413: {
        "description": "The body is larger than is taken",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    },
    500: _ERROR | {"description": "The experiment cannot be evaluated, or something went wrong on our side"},
    503: _ERROR | {"description": "The database is busy, or the exposure could not be stored; try again"},
}
_ETAG: Final = {"ETag": {"schema": {"type": "string"}}}


def _asking(*parameters: dict[str, Any]) -> dict[str, Any]:
    schema = EvaluationRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    context = schema.pop("$defs")["EvaluationContext"]
    schema["properties"]["context"] = context
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"requestBody": body, "parameters": list(parameters)}


def _parameter(place: str, name: str, **more: Any) -> dict[str, Any]:
    return {"in": place, "name": name, "required": place == "path", "schema": {"type": "string"}, **more}


@router.post(
    "/{key}",
    response_model=EvaluationSuccess,
    responses={400: {"model": EvaluationFailure}, 404: {"model": FlagNotFound}, **_ERRORS},
    openapi_extra=_asking(_parameter("path", "key", description="Key of an experiment")),
)
async def evaluate_flag(request: Request) -> Response:
    """The variant of one user in one experiment. Telling it is an exposure, which is stored first."""
    return await evaluating.one_flag(request)


@router.post(
    "",
    response_model=BulkEvaluationSuccess,
    responses={
        200: {"headers": _ETAG},
        304: {"description": "Nothing has changed for this user", "headers": _ETAG},
        400: {"model": BulkEvaluationFailure},
        **_ERRORS,
    },
    openapi_extra=_asking(
        _parameter("header", "If-None-Match"),
        _parameter("query", "flagConfigEtag", description="Taken and not needed: answers are never stale"),
        _parameter("query", "flagConfigLastModified", description="Taken and not needed"),
    ),
)
async def evaluate_flags(request: Request) -> Response:
    """The variants of one user in every experiment that is running or paused; each variant told is an exposure."""
    return await evaluating.all_flags(request)


@features_router.get(
    "/{client_key}",
    response_model=SdkPayload,
    responses={
        200: {"headers": _ETAG},
        304: {"description": "Nothing has changed", "headers": _ETAG},
        401: {"description": "The client key is not known"},
        403: {"description": "The key may do more than evaluate, so it must not stand in an address"},
    },
    openapi_extra={
        "parameters": [
            _parameter(
                "path",
                "client_key",
                description="A key that may only evaluate",
                schema={"type": "string", "minLength": 1, "maxLength": 100},
            ),
            _parameter("header", "If-None-Match"),
        ]
    },
)
async def features(request: Request) -> Response:
    """Running experiments as features of a GrowthBook SDK, which evaluates them by itself."""
    return await sdk_features.features(request)
