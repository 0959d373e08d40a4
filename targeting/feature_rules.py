"""A feature, compiled once, and its value for a user: the first rule that applies, else the default.

A rule forces a value (for everybody, or for a share), or runs an experiment. Before either come its prerequisites, which are
other features, and its filters.
"""

from collections.abc import Sequence
from typing import Any, Final

from targeting.condition_values import text_of, truthy
from targeting.feature_bandits import with_leaf
from targeting.feature_context import Evaluation, Feature, Rule, compile_leniently, meets
from targeting.feature_experiments import Prerequisite, compile_experiment, compile_prerequisites
from targeting.feature_hashing import compile_filters, compile_rollout
from targeting.feature_runs import choose

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
    return Feature(
        key=key,
        rules=tuple(rule for rule in compiled if rule is not None),
        default=result_of(given.get("defaultValue"), "defaultValue"),
    )


def evaluate_feature(evaluation: Evaluation, key: str) -> dict[str, Any]:
    """The result of the feature: value, on, off, source, ruleId; and of an experiment, experiment and experimentResult."""
    if evaluation.forced_features and key in evaluation.forced_features:
        return result_of(evaluation.forced_features[key], "override")
    feature = evaluation.find(key)
    if feature is None:
        return result_of(None, "unknownFeature")
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


def _compile_rule(rule: dict[str, Any], feature: str) -> Rule | None:
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
        if filters is not None and not filters(evaluation):
            return None
        return None if inner is None else inner(evaluation)

    return guarded


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


def _compile_force(rule: dict[str, Any], feature: str) -> Rule:
    known = result_of(rule["force"], "force", text_of(rule.get("id")) or "")
    condition = compile_leniently(rule.get("condition"))
    rollout = compile_rollout(rule, feature)
    tracks = rule.get("tracks")
    tracks = [each for each in tracks if isinstance(each, dict)] if isinstance(tracks, list) else []

    def apply(evaluation: Evaluation) -> dict[str, Any] | None:
        if condition is not None and not meets(condition, evaluation.attributes, evaluation.scope):
            return None
        if rollout is not None and not rollout(evaluation):
            return None
        if evaluation.track is not None:
            for each in tracks:
                evaluation.track(each.get("experiment") or {}, each.get("result") or {})
        return known.copy()

    return apply


def _compile_experiment_rule(rule: dict[str, Any], feature: str) -> Rule | None:
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

    def apply(evaluation: Evaluation) -> dict[str, Any] | None:
        reported = definition
        if bandit is None:
            result = choose(compiled, evaluation, are_met)
        else:
            reported = with_leaf(definition, bandit, evaluation)
            experiment = compile_experiment(reported, feature=feature, key=feature)
            result = choose(experiment, evaluation, are_met)
        if result is None or not result["inExperiment"] or "passthrough" in result:
            return None
        if evaluation.overrides:  # which may change the variations
            found = result_of(result["value"], "experiment", rule_id)
        else:
            found = known[result["variationId"]].copy()
        found["experiment"] = reported = reported.copy()
        if not result["hashUsed"]:
            reported.pop("contextualBandit", None)
        found["experimentResult"] = result
        return found

    return apply
