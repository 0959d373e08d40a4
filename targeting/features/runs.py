"""Which variation of an experiment a user gets.

The order of the steps is that of GrowthBook's JavaScript SDK: it decides who gets in when several things apply.
"""

from collections.abc import Callable, Sequence
from typing import Any

from targeting.bucketing import choose_variant, in_namespace
from targeting.conditions.values import truthy
from targeting.features.context import Evaluation, meets
from targeting.features.experiments import CompiledExperiment, Prerequisite, compile_experiment
from targeting.features.hashing import identity, index_of
from targeting.features.sticky_buckets import assignments_of, document_key, is_blocked, save, variation_of
from targeting.features.urls import variation_in

Met = Callable[[Evaluation, Sequence[Prerequisite]], bool]


def run_experiment(experiment: CompiledExperiment, evaluation: Evaluation, met: Met) -> dict[str, Any]:
    """The result for the user; `met` tells whether prerequisites are.

    A user who is not in the experiment gets the value of its first variation, as in the SDKs.
    """
    return choose(experiment, evaluation, met) or _result(experiment, evaluation, -1)


def choose(experiment: CompiledExperiment, evaluation: Evaluation, met: Met) -> dict[str, Any] | None:
    """`run_experiment`, but None for most users who are not in the experiment: a rule of a feature has no use for more."""
    if evaluation.plain and experiment.plain is not None:
        drawn = experiment.plain(evaluation.attributes, evaluation.scope)
        return None if drawn is None else _drawn(experiment, *drawn, name=experiment.attribute)
    return _choose_with_all(experiment, evaluation, met)


def _choose_with_all(
    experiment: CompiledExperiment, evaluation: Evaluation, met: Met
) -> dict[str, Any] | None:
    if evaluation.overrides:
        experiment = _overridden(experiment, evaluation)
    decided = _before_hashing(experiment, evaluation)
    if decided is not None:
        return _result(experiment, evaluation, decided)
    sticky = experiment.sticky and evaluation.documents is not None
    name, value, text = identity(
        evaluation.attributes, experiment.attribute, experiment.fallback if sticky else None
    )
    stuck, blocked = _sticky_variation(experiment, evaluation) if sticky else (-1, False)
    if (
        not text
        or (stuck < 0 and not _is_eligible(experiment, evaluation, text, met))
        or (experiment.legacy_url is not None and not experiment.legacy_url(evaluation.url))
        or experiment.unit_of is None
    ):
        return _result(experiment, evaluation, -1)
    if blocked:
        return _result(experiment, evaluation, -1) | {"stickyBucketUsed": True}
    unit = experiment.unit_of(text)
    variation = stuck if stuck >= 0 else choose_variant(unit, experiment.ranges)
    decided = _after_hashing(experiment, evaluation, variation)
    if decided is not None:
        return _result(experiment, evaluation, decided)
    result = _drawn(experiment, variation, value, unit, name=name)
    result["stickyBucketUsed"] = stuck >= 0
    if experiment.bandit is not None:
        result.update(experiment.bandit)
    if sticky and evaluation.documents is not None:
        save(
            evaluation.documents,
            attribute=name,
            value=text,
            key=experiment.sticky_key,
            variation=result["key"],
        )
    if evaluation.track is not None:
        evaluation.track(experiment.definition, result)
    return result


def _drawn(
    experiment: CompiledExperiment, variation: int, value: Any, unit: float, *, name: str
) -> dict[str, Any]:
    result = experiment.results[variation].copy()
    result["hashAttribute"] = name
    result["hashValue"] = value
    result["bucket"] = unit
    return result


def _before_hashing(experiment: CompiledExperiment, evaluation: Evaluation) -> int | None:
    """The variation that is certain whoever the user is (-1: not in the experiment); None when a hash has to decide."""
    if (
        len(experiment.results) < 2
        or not evaluation.enabled
        or (experiment.targets is not None and not experiment.targets(evaluation.url))
    ):
        return -1
    if evaluation.url:
        asked = variation_in(evaluation.url, experiment.key, len(experiment.results))
        if asked is not None:
            return asked
    forced = evaluation.forced_variations.get(experiment.key)
    if forced is not None:
        return index_of(forced)
    return None if experiment.active else -1


def _after_hashing(experiment: CompiledExperiment, evaluation: Evaluation, variation: int) -> int | None:
    """The variation that takes the place of the one that was drawn; None when it stands."""
    # There may be more ranges, or more names, than variations.
    if not 0 <= variation < len(experiment.results):
        return -1
    if experiment.force is not None:
        return experiment.force
    return -1 if evaluation.qa_mode or experiment.stopped else None


def _overridden(experiment: CompiledExperiment, evaluation: Evaluation) -> CompiledExperiment:
    override = evaluation.overrides.get(experiment.key)
    if not isinstance(override, dict):
        return experiment
    # The key stays: it is what the rest of the context calls the experiment.
    definition = {**experiment.definition, **override, "key": experiment.key}
    return compile_experiment(definition, feature=experiment.feature, key=experiment.key)


def _is_eligible(experiment: CompiledExperiment, evaluation: Evaluation, text: str, met: Met) -> bool:
    """What is asked only of users who have no sticky bucket."""
    if experiment.filters is not None:
        if not experiment.filters(evaluation.attributes):
            return False
    elif experiment.namespace is not None and not in_namespace(text, experiment.namespace):
        return False
    if experiment.condition is not None and not meets(
        experiment.condition, evaluation.attributes, evaluation.scope
    ):
        return False
    return (
        (experiment.include is None or _includes(experiment.include))
        and (not experiment.prerequisites or met(evaluation, experiment.prerequisites))
        and (experiment.groups is None or _has_group(experiment.groups, evaluation))
    )


def _has_group(names: Sequence[Any], evaluation: Evaluation) -> bool:
    return any(isinstance(name, str) and truthy(evaluation.groups.get(name)) for name in names)


def _includes(include: Callable[[], object]) -> bool:
    try:
        return bool(include())
    except Exception:  # noqa: BLE001  # whatever goes wrong in the caller's function, it did not say yes
        return False


def _sticky_variation(experiment: CompiledExperiment, evaluation: Evaluation) -> tuple[int, bool]:
    """(the variation that the user's documents hold or -1, whether an older bucket version keeps the user out)."""
    keys = []
    for attribute in (experiment.attribute, experiment.fallback):
        if attribute is not None:
            name, _, text = identity(evaluation.attributes, attribute)
            keys.append(document_key(name, text))
    assignments = assignments_of(evaluation.documents or {}, keys)
    if is_blocked(assignments, experiment.key, experiment.least_version):
        return -1, True
    return variation_of(assignments, experiment.sticky_key, experiment.metas), False


def _result(experiment: CompiledExperiment, evaluation: Evaluation, variation: int) -> dict[str, Any]:
    """A result that no hash decided; an index out of bounds means the first variation, and not in the experiment."""
    chosen = 0 <= variation < len(experiment.results)
    sticky = experiment.sticky and evaluation.documents is not None
    name, value, _ = identity(
        evaluation.attributes, experiment.attribute, experiment.fallback if sticky else None
    )
    result = experiment.results[variation if chosen else 0].copy()
    result["inExperiment"] = chosen
    result["hashUsed"] = False
    result["hashAttribute"] = name
    result["hashValue"] = value
    return result
