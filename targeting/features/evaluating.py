"""Experiments as SDK features: the value of a feature for a user, as every GrowthBook SDK would tell it.

`evaluate` and `run` take the context of the GrowthBook SDK specification and return its results as dicts. Who evaluates the
same features for many users compiles them once: `compile_features(..).evaluate(attributes, key)` is the same code without
reading a context.

    context = {"attributes": {"id": "u1"}, "features": {"greeting": {"rules": [{"variations": ["hi", "hello"]}]}}}
    evaluate(context, "greeting")["value"]

A context may hold: attributes, attributeOverrides, features, savedGroups, forcedVariations, forcedFeatureValues, url,
enabled, qaMode, overrides, groups, contextualBandits, stickyBucketAssignmentDocs and trackingCallback(experiment, result).
With `stickyBucketAssignmentDocs` (a dict by "attribute||value", or a list) sticky bucketing is on, and what is saved is found
in `context["stickyBucketAssignmentDocs"]` afterwards: a dict is changed in place.

Odd input never raises: what has an unknown shape counts as absent. Where the SDKs differ among themselves we follow the
JavaScript one, except: only text and finite numbers identify a user; a coverage of k / 10,000 holds exactly k buckets; and
weights have to be finite and not negative (all three as the Python SDK has it).
"""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar, cast

from targeting.conditions.groups import SavedGroup, read_group
from targeting.conditions.scope import Scope
from targeting.conditions.values import truthy
from targeting.features.context import (
    NO_SCOPE,
    NOTHING,
    Evaluation,
    Feature,
    Track,
    mapping_of,
    read_context,
)
from targeting.features.experiments import CompiledExperiment, compile_experiment
from targeting.features.rules import are_met, compile_feature, evaluate_feature
from targeting.features.runs import run_experiment

_REMEMBERED: Final = 2_048
"""Compiled features and experiments that are remembered between calls; beyond that, all are forgotten."""

_K = TypeVar("_K")
_T = TypeVar("_T")

_remembered: dict[tuple[int, object], tuple[Any, Any, Any]] = {}
_UNCOPIABLE: Final = (RecursionError, TypeError, ValueError)


def evaluate(context: dict[str, Any], key: str) -> dict[str, Any]:
    """The result of a feature: `value`, `on`, `off`, `source`, `ruleId`; and of an experiment `experiment`, `experimentResult`.

    Conditions on the age of a time take the present from the system's clock (here and in `run`).
    source: unknownFeature, defaultValue, force, experiment, override, prerequisite (a gate is closed) or
    cyclicPrerequisite.

    >>> evaluate({"attributes": {"id": "3"}, "features": {"f": {"rules": [{"force": 1, "coverage": 0.5}]}}}, "f")["source"]
    'force'
    """
    evaluation = read_context(context, partial(_find, _features_of(context)))
    return evaluate_feature(evaluation, key)


def run(context: dict[str, Any], experiment: dict[str, Any]) -> dict[str, Any]:
    """The result of an experiment that is no feature: `value`, `inExperiment`, `hashUsed`, `variationId`, `key`, `featureId`
    (None), `hashAttribute`, `hashValue`, `stickyBucketUsed`; and, where there are any, `bucket`, `name`, `passthrough`.

    >>> run({"attributes": {"id": "1"}}, {"key": "my-test", "variations": ["a", "b"]})["value"]
    'b'
    """
    evaluation = read_context(context, partial(_find, _features_of(context)))
    # No feature has the key None.
    return run_experiment(_compiled(mapping_of(experiment), None, _compile_run), evaluation, are_met)


def compile_features(
    features: Mapping[str, Any], saved_groups: Mapping[str, Any] | None = None
) -> "Features":
    """The features, ready to be evaluated for many users. Later changes of `features` have no effect."""
    return Features(
        {key: compile_feature(key, definition) for key, definition in copy.deepcopy(dict(features)).items()},
        saved_groups,
    )


class Features:
    """Compiled features. Results share values with them: whoever wants to change a result copies it first."""

    __slots__ = ("_features", "_find", "_groups", "_scope")

    def __init__(self, features: dict[str, Feature], saved_groups: Mapping[str, Any] | None) -> None:
        self._features = features
        self._find = features.get
        self._groups: dict[str, SavedGroup] = {
            name: read_group(group) for name, group in (saved_groups or {}).items()
        }
        self._scope = Scope(groups=self._groups) if self._groups else NO_SCOPE

    def evaluate(
        self,
        attributes: dict[str, Any],
        key: str,
        *,
        scope: Scope | None = None,
        forced_variations: Mapping[str, Any] = NOTHING,
        documents: dict[str, Any] | None = None,
        track: Track | None = None,
    ) -> dict[str, Any]:
        """The result of a feature, as `features.evaluate` has it.

        scope: what conditions ask beside the attributes; without groups of its own it has the saved ones. documents:
        sticky buckets by "attribute||value", changed in place; None: sticky bucketing is off.
        """
        if scope is None:
            scope = self._scope
        elif scope.groups is None and self._groups:
            scope = Scope(scope.now, self._groups, scope.events, scope.segments)
        is_plain = not forced_variations and documents is None and track is None
        feature = self._find(key)
        if is_plain and feature is not None and feature.plain is not None:
            return feature.plain(attributes, scope)
        evaluation = Evaluation(attributes, self._find, scope)
        evaluation.plain = is_plain
        evaluation.forced_variations = forced_variations
        evaluation.documents = documents
        evaluation.track = track
        return evaluate_feature(evaluation, key)

    @property
    def keys(self) -> tuple[str, ...]:
        """The features' keys, in the order in which they were given."""
        return tuple(self._features)


def _features_of(context: Any) -> dict[str, Any]:
    return mapping_of(context.get("features")) if isinstance(context, dict) else NOTHING


def _find(features: dict[str, Any], key: str) -> Feature | None:
    definition = features.get(key)
    return _compiled(definition, key, compile_feature) if truthy(definition) else None


def _compile_run(_key: str | None, definition: dict[str, Any]) -> CompiledExperiment:
    return compile_experiment(definition, feature=None, key="")


def _compiled(definition: Any, key: _K, compile_: Callable[[_K, Any], _T]) -> _T:
    """What was compiled for this very object, as long as it still equals what it was then.

    (True and 1 are equal: an object in which one has replaced the other in place keeps its conditions.)
    """
    place = (id(definition), key)
    known = _remembered.get(place)
    try:
        if known is not None and known[0] is definition and known[1] == definition:
            return cast("_T", known[2])
        copied = copy.deepcopy(definition)
    except _UNCOPIABLE:
        return compile_(key, definition)
    compiled = compile_(key, definition)
    if len(_remembered) >= _REMEMBERED:
        _remembered.clear()
    # Holding the object keeps its id from being given to another.
    _remembered[place] = (definition, copied, compiled)
    return compiled
