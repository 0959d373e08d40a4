"""A feature, compiled once, and its value for a user: the first rule that applies, else the default.

A rule forces a value (for everybody, or for a share), or runs an experiment. Before either come its prerequisites, which are
other features, and its filters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from targeting.conditions.scope import Scope
from targeting.conditions.values import text_of, truthy
from targeting.features.bandits import with_leaf
from targeting.features.context import (
    UNANSWERABLE,
    Evaluation,
    Feature,
    Plain,
    Rule,
    compile_leniently,
    meets,
)
from targeting.features.experiments import Prerequisite, compile_experiment, compile_prerequisites
from targeting.features.hashing import compile_filters, compile_rollout
from targeting.features.runs import choose

MAX_DEPTH: Final = 50
"""Prerequisites of prerequisites: a longer chain counts as a cycle."""

# In the order in which the SDKs report them. Those in the second list are reported even when they count as false.
_REPORTED: Final = (
    "weights", "hashAttribute", "fallbackAttribute", "disableStickyBucketing", "namespace", "meta", "ranges", "name",
    "phase", "seed", "hashVersion", "filters", "condition",
)  # fmt: skip
_REPORTED_WHEN_SET: Final = ("coverage", "bucketVersion", "minBucketVersion")


def compile_feature(key: str, definition: Any) -> Feature:
    """`definition` in the names of the specification. Never raises: rules that cannot be read are skipped."""
    given = definition if isinstance(definition, dict) else {}
    rules = given.get("rules")
    compiled = [
        _compile_rule(rule, key)
        for rule in (rules if isinstance(rules, list | tuple) else ())
        if isinstance(rule, dict)
    ]
    default = result_of(given.get("defaultValue"), "defaultValue")
    plain = [rule.plain for rule in compiled if rule is not None]
    return Feature(
        key=key,
        rules=tuple(rule.apply for rule in compiled if rule is not None),
        default=default,
        plain=_one_after_another([each for each in plain if each is not None], default)
        if None not in plain
        else None,
    )


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A rule; `plain` when attributes and scope are all that it asks for."""

    apply: Rule
    plain: Plain | None


def _one_after_another(
    rules: Sequence[Plain], default: dict[str, Any]
) -> Callable[[dict[str, Any], Scope], dict[str, Any]]:
    def plain(attributes: dict[str, Any], scope: Scope) -> dict[str, Any]:
        for rule in rules:
            result = rule(attributes, scope)
            if result is not None:
                return result
        return default.copy()

    return plain


def evaluate_feature(evaluation: Evaluation, key: str) -> dict[str, Any]:
    """The result of the feature: value, on, off, source, ruleId; and of an experiment, experiment and experimentResult."""
    if evaluation.forced_features and key in evaluation.forced_features:
        return result_of(evaluation.forced_features[key], "override")
    feature = evaluation.find(key)
    if feature is None:
        return result_of(None, "unknownFeature")
    if evaluation.plain and feature.plain is not None:
        return feature.plain(evaluation.attributes, evaluation.scope)
    for rule in feature.rules:
        result = rule(evaluation)
        if result is not None:
            return result
    return feature.default.copy()


def result_of(value: Any, source: str, rule: str = "") -> dict[str, Any]:
    on = truthy(value)
    return {"value": value, "on": on, "off": not on, "source": source, "ruleId": rule}


def are_met(evaluation: Evaluation, prerequisites: Sequence[Prerequisite]) -> bool:
    """For an experiment that is run by itself."""
    return _first_unmet(evaluation, prerequisites) is None


def _compile_rule(rule: dict[str, Any], feature: str) -> _Compiled | None:
    inner = _compile_force(rule, feature) if "force" in rule else _compile_experiment_rule(rule, feature)
    prerequisites = compile_prerequisites(rule.get("parentConditions"))
    filters = compile_filters(rule.get("filters"))
    if inner is None and not prerequisites:
        return None
    if not prerequisites and filters is None:
        return inner

    def guarded(evaluation: Evaluation) -> dict[str, Any] | None:
        if prerequisites:
            unmet = _first_unmet(evaluation, prerequisites, feature)
            if unmet == "skip":
                return None
            if unmet is not None:
                return result_of(None, unmet)
        if filters is not None and not filters(evaluation.attributes):
            return None
        return None if inner is None else inner.apply(evaluation)

    inner_plain = None if inner is None or prerequisites else inner.plain
    if inner_plain is None or filters is None:
        return _Compiled(guarded, None)

    def filtered(attributes: dict[str, Any], scope: Scope) -> dict[str, Any] | None:
        return inner_plain(attributes, scope) if filters(attributes) else None

    return _Compiled(guarded, filtered)


def _first_unmet(
    evaluation: Evaluation, prerequisites: Sequence[Prerequisite], feature: str | None = None
) -> str | None:
    """None when all are met; "skip" when the rule does not apply; else the source of the feature's result."""
    path = evaluation.path = evaluation.path or []
    parents = evaluation.parents = evaluation.parents or {}
    if feature is not None:
        if len(path) >= MAX_DEPTH:
            return "cyclicPrerequisite"
        path.append(feature)
    try:
        for each in prerequisites:
            if each.feature in path:
                return "cyclicPrerequisite"
            parent = parents.get(each.feature)
            if parent is None:
                parent = parents[each.feature] = evaluate_feature(evaluation, each.feature)
            if parent["source"] == "cyclicPrerequisite":
                return "cyclicPrerequisite"
            if each.condition is not None and not meets(
                each.condition, {"value": parent["value"]}, evaluation.scope
            ):
                return "prerequisite" if each.gate else "skip"
    finally:
        if feature is not None:
            path.pop()
    return None


def _compile_force(rule: dict[str, Any], feature: str) -> _Compiled:
    known = result_of(rule["force"], "force", text_of(rule.get("id")) or "")
    condition = compile_leniently(rule.get("condition"))
    rollout = compile_rollout(rule, feature)
    tracks = rule.get("tracks")
    tracks = [each for each in tracks if isinstance(each, dict)] if isinstance(tracks, list) else []

    def plain(attributes: dict[str, Any], scope: Scope, sticky: bool = False) -> dict[str, Any] | None:
        if condition is not None:
            # `meets`, written out: a call counts here.
            try:
                if not condition(attributes, scope):
                    return None
            except UNANSWERABLE:
                return None
        return known.copy() if rollout is None or rollout(attributes, sticky) else None

    def apply(evaluation: Evaluation) -> dict[str, Any] | None:
        result = plain(evaluation.attributes, evaluation.scope, evaluation.documents is not None)
        if result is not None and evaluation.track is not None:
            for each in tracks:
                evaluation.track(each.get("experiment") or {}, each.get("result") or {})
        return result

    return _Compiled(apply, plain)


def _compile_experiment_rule(rule: dict[str, Any], feature: str) -> _Compiled | None:
    variations = rule.get("contextualVariations")
    if variations is None:
        variations = rule.get("variations")
    if not isinstance(variations, list | tuple):
        return None
    definition = {"variations": variations, "key": text_of(rule.get("key")) or feature}
    definition.update({name: rule[name] for name in _REPORTED if truthy(rule.get(name))})
    definition.update({name: rule[name] for name in _REPORTED_WHEN_SET if rule.get(name) is not None})
    compiled = compile_experiment(definition, feature=feature, key=feature)
    rule_id = text_of(rule.get("id")) or ""
    known = [result_of(result["value"], "experiment", rule_id) for result in compiled.results]
    bandit = rule.get("contextualBanditRef")

    def found(result: dict[str, Any] | None, reported: dict[str, Any]) -> dict[str, Any] | None:
        if result is None or not result["inExperiment"] or "passthrough" in result:
            return None
        index = result["variationId"]
        # An override in the context may have brought other variations.
        stands = index < len(known) and known[index]["value"] is result["value"]
        whole = known[index].copy() if stands else result_of(result["value"], "experiment", rule_id)
        whole["experiment"] = reported.copy()
        whole["experimentResult"] = result
        return whole

    def apply(evaluation: Evaluation) -> dict[str, Any] | None:
        if bandit is None:
            whole = found(choose(compiled, evaluation, are_met), definition)
        else:
            reported = with_leaf(definition, bandit, evaluation)
            experiment = compile_experiment(reported, feature=feature, key=feature)
            whole = found(choose(experiment, evaluation, are_met), reported)
            if whole is not None and not whole["experimentResult"]["hashUsed"]:
                whole["experiment"].pop("contextualBandit", None)
        return whole

    draw = compiled.plain
    if draw is None or bandit is not None:
        return _Compiled(apply, None)
    results = compiled.results

    def plain(attributes: dict[str, Any], scope: Scope) -> dict[str, Any] | None:
        drawn = draw(attributes, scope)
        if drawn is None:
            return None
        index, value, unit = drawn
        if "passthrough" in results[index]:
            return None
        whole = known[index].copy()
        whole["experiment"] = definition.copy()
        whole["experimentResult"] = result = results[index].copy()
        result["hashValue"] = value
        result["bucket"] = unit
        return whole

    return _Compiled(apply, plain)
