"""One evaluation: the user, and what around them an SDK's context may say.

The names in a context are those of the GrowthBook SDK specification. What has an unknown shape counts as absent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from experiments.clock import SystemClock
from experiments.errors import Invalid
from targeting.conditions import compile_condition
from targeting.conditions.scope import Predicate, Scope
from targeting.conditions.values import truthy
from targeting.features.sticky_buckets import Documents, documents_of

NOTHING: Final[dict[str, Any]] = {}
NO_SCOPE: Final = Scope()

# What a malformed condition, or an operator that asks for the present where there is none, raises.
UNANSWERABLE: Final = (
    Invalid,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    ArithmeticError,
    RecursionError,
)

Track = Callable[[dict[str, Any], dict[str, Any]], object]
"""Called with (experiment, result) for each variant that the hash of a user chose."""

Rule = Callable[["Evaluation"], dict[str, Any] | None]
"""The result of a feature, or None when its next rule is to decide."""


Plain = Callable[[dict[str, Any], Scope], dict[str, Any] | None]
"""(attributes, scope) -> a result, or None when there is none: what needs nothing else of an evaluation."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A compiled feature.

    default: its result when no rule applies. plain: its result from attributes and scope alone, for an evaluation that says
    no more; None when a rule asks for other features or for more of the context.
    """

    key: str
    rules: Sequence[Rule]
    default: dict[str, Any]
    plain: Callable[[dict[str, Any], Scope], dict[str, Any]] | None


Find = Callable[[str], Feature | None]
"""The compiled feature of a key."""


class Evaluation:
    """What evaluating reads, and the little that it remembers while it does.

    documents: the sticky buckets, changed in place; None when sticky bucketing is off. plain: nothing but attributes,
    features and scope is given. path: the features whose prerequisites are being evaluated. parents: the results of
    prerequisites so far, so that a feature that many depend on is evaluated once.
    """

    # Most evaluations give the first three only. The others are read from the class then, and cost nothing.
    documents: Documents | None = None
    forced_variations: Mapping[str, Any] = NOTHING
    forced_features: Mapping[str, Any] = NOTHING
    url: str = ""
    enabled: bool = True
    qa_mode: bool = False
    track: Track | None = None
    overrides: Mapping[str, Any] = NOTHING
    groups: Mapping[str, Any] = NOTHING
    bandits: Mapping[str, Any] = NOTHING
    plain: bool = True
    path: list[str] | None = None
    parents: dict[str, dict[str, Any]] | None = None

    def __init__(self, attributes: dict[str, Any], find: Find, scope: Scope = NO_SCOPE) -> None:
        self.attributes = attributes
        self.find = find
        self.scope = scope


def read_context(context: Any, find: Find) -> Evaluation:
    """The evaluation that an SDK's context asks for.

    Sticky bucketing is on when the context has `stickyBucketAssignmentDocs`. A list of documents there is replaced in the
    context by the dict that the SDKs use, so that the caller sees what was saved. The present is that of the system's clock.
    """
    if not isinstance(context, dict):
        return Evaluation(NOTHING, find)
    attributes = context.get("attributes")
    groups = context.get("savedGroups")
    evaluation = Evaluation(
        attributes if isinstance(attributes, dict) else NOTHING,
        find,
        Scope(SystemClock().now(), groups if isinstance(groups, dict) else None),
    )
    if context.keys() <= _PLAIN:
        return evaluation
    for name, value in context.items():
        reader = _READERS.get(name)
        if reader is not None and value is not None:
            reader(evaluation, value)
            evaluation.plain = False
    documents = context.get("stickyBucketAssignmentDocs")
    if documents is not None:
        evaluation.plain = False
        evaluation.documents = documents_of(documents)
        if evaluation.documents is not documents:
            context["stickyBucketAssignmentDocs"] = evaluation.documents
    return evaluation


def mapping_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else NOTHING


def _read_forced_features(evaluation: Evaluation, value: Any) -> None:
    """A dict, or the pairs that the JSON of a JavaScript Map is."""
    if isinstance(value, list | tuple):
        pairs = [pair for pair in value if isinstance(pair, list | tuple) and len(pair) == 2]
        value = {key: forced for key, forced in pairs if isinstance(key, str)}
    evaluation.forced_features = mapping_of(value)


def _read_attribute_overrides(evaluation: Evaluation, value: Any) -> None:
    if isinstance(value, dict) and value:
        evaluation.attributes = {**evaluation.attributes, **value}


def _read_mapping(field_name: str) -> Callable[[Evaluation, Any], None]:
    return lambda evaluation, value: setattr(evaluation, field_name, mapping_of(value))


def _read_url(evaluation: Evaluation, value: Any) -> None:
    evaluation.url = value if isinstance(value, str) else ""


def _read_enabled(evaluation: Evaluation, value: Any) -> None:
    evaluation.enabled = value is not False


def _read_qa_mode(evaluation: Evaluation, value: Any) -> None:
    evaluation.qa_mode = truthy(value)


def _read_track(evaluation: Evaluation, value: Any) -> None:
    evaluation.track = value if callable(value) else None


_PLAIN: Final = frozenset({"attributes", "features", "savedGroups"})

_READERS: Final[dict[str, Callable[[Evaluation, Any], None]]] = {
    "attributeOverrides": _read_attribute_overrides,
    "forcedVariations": _read_mapping("forced_variations"),
    "forcedFeatureValues": _read_forced_features,
    "forcedFeatures": _read_forced_features,
    "url": _read_url,
    "enabled": _read_enabled,
    "qaMode": _read_qa_mode,
    "overrides": _read_mapping("overrides"),
    "groups": _read_mapping("groups"),
    "contextualBandits": _read_mapping("bandits"),
    "trackingCallback": _read_track,
}


def compile_leniently(condition: Any) -> Predicate | None:
    """The condition of a rule; None when there is none. What cannot be compiled matches nobody."""
    if not truthy(condition) or condition == {}:
        return None
    try:
        return compile_condition(condition)
    except UNANSWERABLE:
        return _nobody


def meets(predicate: Predicate, value: Any, scope: Scope) -> bool:
    """Whether the predicate answers yes; one that cannot be answered fails as a whole."""
    try:
        return predicate(value, scope)
    except UNANSWERABLE:
        return False


def _nobody(_value: Any, _scope: Scope) -> bool:
    return False
