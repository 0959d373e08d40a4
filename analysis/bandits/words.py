"""What a bandit did, or would do, in words. Pure."""

from collections.abc import Mapping
from typing import Any, Final

NAMES: Final = {"thompson": "Thompson sampling", "top_two": "top-two sampling"}


def why_moved(policy: str, metric: str, p_best: Mapping[str, float | None]) -> str:
    """The reason of a new epoch, from the chance of each arm that was compared to be the best.

    >>> why_moved("thompson", "bought", {"silence": 0.02, "coupon": 0.98, "reminder": None})
    'Thompson sampling by bought: coupon is the best with probability 0.98'
    """
    compared = {variant: p for variant, p in p_best.items() if p is not None}
    leader = max(compared, key=lambda variant: compared[variant])
    return f"{NAMES[policy]} by {metric}: {leader} is the best with probability {_chance(compared[leader])}"


def way_out(variant: str, *, control: str) -> str:
    """What a person may do about an arm that keeps a bandit in its burn-in because hardly anybody converts in it.

    >>> way_out("poem", control="silence")
    '; nothing is moved before it has them: if it never will, retire poem, or set the weights by hand'
    """
    retire = "" if variant == control else f"retire {variant}, or "
    return f"; nothing is moved before it has them: if it never will, {retire}set the weights by hand"


def told(outcome: str, reason: str, numbers: Mapping[str, Any]) -> list[str]:
    """What was done or would be, one line each: the outcome with its reason, then the arms with the numbers behind it.

    numbers: those of `considering.Considered`.
    """
    lines = [f"{numbers['experiment']}: {outcome}, {reason}"]
    stopped = numbers.get("stopped", ())
    for variant, arm in numbers.get("arms", {}).items():
        new = arm["new_weight"]
        share = f"{arm['weight']:.1%}" + ("" if new is None else f" -> {new:.1%}")
        lines.append(f"  {variant}: {share}; {_known(arm)}{_standing(arm, is_stopped=variant in stopped)}")
    wave = numbers.get("wave")
    if wave is not None and wave["variant"] is None:
        lines.append(f"  the next wave: {wave['action']}, {wave['reason']}")
    return lines


def _chance(p: float) -> str:
    # Nothing is certain, so nothing is rounded to 0 or 1.
    return "above 0.999" if p > 0.999 else "below 0.001" if p < 0.001 else f"{p:.3g}"


def _known(arm: Mapping[str, Any]) -> str:
    counts = f"{arm['users']} users, {arm['conversions']} with a conversion"
    if arm["mean"] is None:
        return counts
    best = "" if arm["p_best"] is None else f", best with probability {_chance(arm['p_best'])}"
    # Least squares leave a rounding where nobody has converted, which is nothing to read.
    mean = round(arm["mean"], 9) + 0.0
    return f"{counts}, {mean:.4g} +- {arm['sd']:.2g} (worth {arm['effective_n']:.0f} watched users){best}"


def _standing(arm: Mapping[str, Any], *, is_stopped: bool) -> str:
    if arm["pinned"]:
        return "; new, keeps its share until its burn-in is over"
    if is_stopped:
        return "; stopped by a guardrail, gets nobody new"
    return "" if arm["active"] else "; retired, gets nobody new"
