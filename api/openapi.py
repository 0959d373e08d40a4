"""What the OpenAPI document says beyond what FastAPI finds out by itself: errors are problem documents, campaigns are designs."""

from http import HTTPStatus
from typing import Any, Final

from api import segment
from api.errors import MEDIA_TYPE
from api.evaluation_schemas import OFREP
from api.schemas import ProblemDocument
from delivery.limits.policy import DeliveryPolicy
from experiments.design import ExperimentDesign
from targeting.rules.definitions import RuleDefinition

_REFERENCE: Final = "#/components/schemas/{model}"
_PART_OF_CAMPAIGN: Final = "#/components/schemas/Campaign.{model}"
_PART_OF_RULE: Final = "#/components/schemas/Rule.{model}"
_PART_OF_POLICY: Final = "#/components/schemas/Policy.{model}"
CAMPAIGN_BODY: Final = {
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Campaign"}}},
}
"""The body of a route that takes a campaign as a plain document, because the design itself says best what is wrong with one."""
RULE_BODY: Final = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Rule"}}}}
"""The same for a rule."""
POLICY_BODY: Final = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Policy"}}}}
"""The same for the delivery policy."""
_WORDS: Final = {
    HTTPStatus.BAD_REQUEST: "The body ends early, or is not the form that it says it is",
    HTTPStatus.UNAUTHORIZED: "No key, or one that is not known",
    HTTPStatus.FORBIDDEN: "The caller may not do this",
    HTTPStatus.NOT_FOUND: "There is no such thing",
    HTTPStatus.CONFLICT: "Not in this state, or somebody else was quicker",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than is taken",
    HTTPStatus.UNPROCESSABLE_ENTITY: "What is wrong, by field",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database is busy or cannot be reached; try again",
}


def complete(document: dict[str, Any]) -> None:
    """Add the schemas of a campaign, of a rule and of Segment's calls, and to each operation the errors that its shape brings with it; in place.

    A key may be wrong, a path may name nothing, a parameter or a body may be invalid, a write may come in the wrong moment.
    What else an operation may answer it says itself (`responses`); that gets the same schema.
    """
    schema = ProblemDocument.model_json_schema(ref_template=_REFERENCE)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= {"ProblemDocument": schema, **schema.pop("$defs")}
    campaign = ExperimentDesign.model_json_schema(ref_template=_PART_OF_CAMPAIGN)
    schemas |= {f"Campaign.{name}": part for name, part in campaign.pop("$defs").items()}
    schemas["Campaign"] = campaign
    # Where a campaign is stored its condition is JSON; where one is sent it may be text.
    for part, name in (("Audience", "condition"), ("EventTrigger", "properties")):
        condition = schemas[f"Campaign.{part}"]["properties"][name]
        whole = {name: condition.pop(name) for name in ("type", "additionalProperties")}
        condition["anyOf"] = [whole, {"type": "string"}]
    # Where it is stored every variant stands in it; where one is sent `factors` may make them.
    campaign["required"].remove("variants")
    fewest = campaign["properties"]["variants"].pop("minItems")
    campaign["anyOf"] = [
        {"required": ["variants"], "properties": {"variants": {"minItems": fewest}}},
        {"required": ["factors"], "properties": {"factors": {"minItems": 1}}},
    ]
    rule = RuleDefinition.model_json_schema(ref_template=_PART_OF_RULE)
    schemas |= {f"Rule.{name}": part for name, part in rule.pop("$defs").items()}
    schemas["Rule"] = rule
    policy = DeliveryPolicy.model_json_schema(ref_template=_PART_OF_POLICY)
    schemas |= {f"Policy.{name}": part for name, part in policy.pop("$defs").items()}
    schemas["Policy"] = policy
    schemas |= segment.schemas(_REFERENCE.format(model="{name}"))
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if not path.startswith(OFREP):  # a protocol that says itself what its errors look like
                _describe(method, operation)


def _describe(method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    described = {code for code in responses if int(code) >= HTTPStatus.BAD_REQUEST and code != "422"}
    for code in sorted(described | {str(int(status)) for status in _brought_along(method, operation)}):
        words = responses.get(code, {}).get("description") if code in described else None
        responses[code] = {
            "description": words or _WORDS[HTTPStatus(int(code))],
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="ProblemDocument")}}},
        }


def _brought_along(method: str, operation: dict[str, Any]) -> set[HTTPStatus]:
    places = {parameter["in"] for parameter in operation.get("parameters", ())}
    has_body = "requestBody" in operation
    found = set()
    if operation.get("security"):
        found |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE}
        found.add(HTTPStatus.UNPROCESSABLE_ENTITY)  # a query parameter that is not known
        if method != "get":
            found.add(HTTPStatus.CONFLICT)
    if "path" in places:
        found.add(HTTPStatus.SERVICE_UNAVAILABLE)
        if method != "put":
            found.add(HTTPStatus.NOT_FOUND)
    if places or has_body:
        found.add(HTTPStatus.UNPROCESSABLE_ENTITY)
    if has_body:
        found |= {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.SERVICE_UNAVAILABLE}
    return found
