"""An experiment as an SDK describes it, compiled once. Nothing here raises: what cannot be read has no effect, or lets nobody in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from targeting.bucketing import BucketRange, hasher
from targeting.conditions.scope import Predicate, Scope
from targeting.conditions.values import text_of, truthy
from targeting.features.context import UNANSWERABLE, compile_leniently
from targeting.features.hashing import (
    Filter,
    attribute_of,
    compile_filters,
    identity,
    index_of,
    namespace_of,
    ranges_of,
)
from targeting.features.sticky_buckets import bucket_key
from targeting.features.urls import UrlTest, compile_legacy, compile_targets

Draw = Callable[[dict[str, Any], Scope], tuple[int, Any, float] | None]
"""(attributes, scope) -> (index of the variation, the value that was hashed, where it falls); None: not in the experiment."""


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """Another feature whose value has to meet a condition; a gate ends the whole feature when it does not."""

    feature: str
    condition: Predicate | None
    gate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledExperiment:
    """An experiment, ready to run.

    definition: as it is reported. results: of each variation, what is known of a result beforehand (a single one without a
    value when there are no variations). unit_of: None for a hash version that does not exist. plain: the draw from
    attributes and scope alone, for an evaluation that says no more; None when the experiment asks for more than a condition
    and a hash.
    """

    definition: dict[str, Any]
    feature: str | None
    key: str
    results: tuple[dict[str, Any], ...]
    attribute: str
    fallback: str | None
    unit_of: Callable[[str], float] | None
    ranges: Sequence[BucketRange]
    condition: Predicate | None
    prerequisites: Sequence[Prerequisite]
    filters: Filter | None
    namespace: tuple[str, float, float] | None
    targets: UrlTest | None
    legacy_url: UrlTest | None
    groups: Sequence[Any] | None
    include: Callable[[], object] | None
    active: bool
    stopped: bool
    force: int | None
    sticky: bool
    sticky_key: str
    least_version: Any
    metas: Sequence[Any]
    bandit: dict[str, Any] | None
    plain: Draw | None


_NOT_PLAIN = (
    "parentConditions", "filters", "namespace", "urlPatterns", "url", "groups", "include", "force", "active", "status",
    "contextualBandit",
)  # fmt: skip


def compile_experiment(definition: dict[str, Any], *, feature: str | None, key: str) -> CompiledExperiment:
    """`definition` in the names of the specification; `key` stands in for a missing one.

    feature: the feature whose rule it is, None when it is run by itself.
    """
    get = definition.get
    key = text_of(get("key")) or key
    variations, metas = get("variations"), get("meta")
    values = variations if isinstance(variations, list | tuple) else []
    metas = metas if isinstance(metas, list | tuple) else []
    attribute, fallback = attribute_of(definition)
    groups, include, force, bandit = get("groups"), get("include"), get("force"), get("contextualBandit")
    results = tuple(
        _known_result(index, value, feature=feature, attribute=attribute, metas=metas)
        for index, value in enumerate(values or [None])
    )
    unit_of = hasher(text_of(get("seed")) or key, get("hashVersion") or 1)
    ranges = ranges_of(definition, len(values))
    condition = compile_leniently(get("condition"))
    is_plain = len(values) > 1 and all(get(name) is None for name in _NOT_PLAIN)
    return CompiledExperiment(
        definition=definition,
        feature=feature,
        key=key,
        results=results,
        attribute=attribute,
        fallback=fallback,
        unit_of=unit_of,
        ranges=ranges,
        condition=condition,
        prerequisites=compile_prerequisites(get("parentConditions")),
        filters=compile_filters(get("filters")),
        namespace=namespace_of(get("namespace")),
        targets=compile_targets(get("urlPatterns")),
        legacy_url=compile_legacy(get("url")),
        groups=groups if isinstance(groups, list) else None,
        include=include if callable(include) else None,
        active=get("active") is not False and get("status") != "draft",
        stopped=get("status") == "stopped",
        force=None if force is None else index_of(force),
        sticky=not truthy(get("disableStickyBucketing")),
        sticky_key=bucket_key(key, get("bucketVersion")),
        least_version=get("minBucketVersion"),
        metas=metas,
        bandit=bandit if isinstance(bandit, dict) else None,
        plain=_compile_plain(attribute, condition, unit_of, ranges, len(values))
        if is_plain and unit_of
        else None,
    )


def _compile_plain(
    attribute: str,
    condition: Predicate | None,
    unit_of: Callable[[str], float],
    ranges: Sequence[BucketRange],
    count: int,
) -> Draw:
    choices = [(start, end, index) for index, (start, end) in enumerate(ranges[:count])]

    def draw(attributes: dict[str, Any], scope: Scope) -> tuple[int, Any, float] | None:
        # `meets` and the first case of `identity` are written out: each call counts here.
        if condition is not None:
            try:
                if not condition(attributes, scope):
                    return None
            except UNANSWERABLE:
                return None
        value = text = attributes.get(attribute)
        if not isinstance(text, str):
            _, value, text = identity(attributes, attribute)
        if not text:
            return None
        unit = unit_of(text)
        for start, end, index in choices:
            if start <= unit < end:
                return index, value, unit
        return None

    return draw


def compile_prerequisites(given: Any) -> Sequence[Prerequisite]:
    """The prerequisites of a rule or an experiment; one without a condition asks only that there be no cycle."""
    if not isinstance(given, list):
        return ()
    found = []
    for each in given:
        if isinstance(each, dict):
            feature = each.get("id")
            found.append(
                Prerequisite(
                    feature=feature if isinstance(feature, str) else "",
                    condition=compile_leniently(each.get("condition")),
                    gate=truthy(each.get("gate")),
                )
            )
    return tuple(found)


def _known_result(
    index: int, value: Any, *, feature: str | None, attribute: str, metas: Sequence[Any]
) -> dict[str, Any]:
    meta = metas[index] if index < len(metas) and isinstance(metas[index], dict) else {}
    result = {
        "key": meta["key"] if truthy(meta.get("key")) else str(index),
        "featureId": feature,
        "inExperiment": True,
        "hashUsed": True,
        "variationId": index,
        "value": value,
        "hashAttribute": attribute,
        "hashValue": "",
        "stickyBucketUsed": False,
    }
    for name in ("name", "passthrough"):
        if truthy(meta.get(name)):
            result[name] = meta[name]
    return result
