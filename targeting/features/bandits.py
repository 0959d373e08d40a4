"""Contextual bandits in an SDK payload: the weights of an experiment depend on the first leaf whose condition the user meets.

Only what an SDK does with them: somebody else has trained the leaves.
"""

from typing import Any, Final

from targeting.bucketing import equal_weights
from targeting.conditions.values import truthy
from targeting.features.context import Evaluation, compile_leniently, meets
from targeting.features.hashing import weights_of

FALLBACK_LEAF: Final = -1
"""The leaf that is reported when none fits: the weights are then those of the rule."""


def with_leaf(definition: dict[str, Any], reference: Any, evaluation: Evaluation) -> dict[str, Any]:
    """The experiment with the weights of the user's leaf, and the leaf itself as `contextualBandit`.

    Without the bandit that the rule refers to, the experiment stays as it is. A leaf without a number or with weights that do
    not sum to 1 is none: what is reported must be what was drawn from.
    """
    bandit = evaluation.bandits.get(reference) if isinstance(reference, str) else None
    if not truthy(bandit):
        return definition
    bandit = bandit if isinstance(bandit, dict) else {}
    count = len(definition["variations"])
    leaf = _leaf_of(bandit.get("contexts"), evaluation)
    leaf_id, weights = leaf.get("leafId"), weights_of(leaf, count)
    if _is_id(leaf_id) and weights is not None and 0.99 <= sum(weights) <= 1.01:
        definition = {**definition, "weights": leaf["weights"]}
        chosen = {"leafId": leaf_id, "variationWeights": leaf["weights"]}
    else:
        own = weights_of(definition, count)
        usable = own is not None and 0.99 <= sum(own) <= 1.01
        chosen = {
            "leafId": FALLBACK_LEAF,
            "variationWeights": definition["weights"] if usable else equal_weights(count),
        }
    if _is_id(bandit.get("banditVersion")):
        chosen["banditVersion"] = bandit["banditVersion"]
    return {**definition, "contextualBandit": chosen}


def _leaf_of(leaves: Any, evaluation: Evaluation) -> dict[str, Any]:
    for leaf in leaves if isinstance(leaves, list) else ():
        if isinstance(leaf, dict):
            condition = compile_leniently(leaf.get("condition"))
            if condition is None or meets(condition, evaluation.attributes, evaluation.scope):
                return leaf
    return {}


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
