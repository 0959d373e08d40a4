"""What travels through the doors for other people's software: OpenFeature's remote evaluation, and the payload of GrowthBook's SDKs.

The shapes are OFREP 0.3.0 (github.com/open-feature/protocol) and GrowthBook's features endpoint; the names are theirs.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from targeting.evaluation import Answer, Broken, Reason

OFREP: Final = "/ofrep/"
"""Where paths begin whose errors have the shapes of OFREP."""

Metadata = dict[str, bool | str | float]
_REASONS: Final[dict[Reason, str]] = {
    Reason.SPLIT: "SPLIT",
    Reason.TARGETING: "TARGETING_MATCH",
    Reason.OFF: "DISABLED",
}


class EvaluationContext(BaseModel):
    """Who is asked about. Everything beside `targetingKey`, which is our user id, is an attribute of theirs."""

    model_config = ConfigDict(extra="allow")

    targetingKey: str = Field(min_length=1, max_length=200)  # noqa: N815  # OFREP's name


class EvaluationRequest(BaseModel):
    context: EvaluationContext


class EvaluationSuccess(BaseModel):
    """`value` and `variant` are the key of a variant. Without `value` the default in the application's code counts."""

    key: str
    value: str | None = None
    reason: Literal["SPLIT", "TARGETING_MATCH", "DISABLED"]
    variant: str
    metadata: Metadata


class EvaluationFailure(BaseModel):
    key: str
    errorCode: Literal["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"]  # noqa: N815
    errorDetails: str  # noqa: N815


class FlagNotFound(BaseModel):
    key: str
    errorCode: Literal["FLAG_NOT_FOUND"]  # noqa: N815
    errorDetails: str  # noqa: N815


class BulkEvaluationSuccess(BaseModel):
    flags: list[EvaluationSuccess | EvaluationFailure]


class BulkEvaluationFailure(BaseModel):
    errorCode: Literal["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"]  # noqa: N815
    errorDetails: str  # noqa: N815


class GeneralErrorResponse(BaseModel):
    errorDetails: str  # noqa: N815


class SdkPayload(BaseModel):
    """Features as a GrowthBook SDK loads them; `leftOut` says of each running experiment that is no feature why not."""

    status: Literal[200]
    features: dict[str, Any]
    experiments: list[Any]
    savedGroups: dict[str, list[str]]  # noqa: N815
    dateUpdated: str  # noqa: N815
    leftOut: dict[str, str]  # noqa: N815


def flag_json(answer: Answer | Broken) -> dict[str, Any]:
    """An answer as OFREP writes it."""
    if isinstance(answer, Broken):
        return {"key": answer.experiment, "errorCode": "GENERAL", "errorDetails": answer.why}
    metadata: Metadata = {"forced": True} if answer.forced else {}
    if answer.without is not None:
        metadata["without"] = answer.without
    # A client may not find `variant` missing, though the protocol allows that: no variant is the empty text.
    flag = {"key": answer.experiment, "reason": _REASONS[answer.reason], "variant": answer.variant or ""}
    return {**flag, **({} if answer.variant is None else {"value": answer.variant}), "metadata": metadata}
