"""A report in plain words: the decision, each effect, each check, and what "significant" means in this report.

Takes the report's JSON, also that of older versions: what is absent is not said.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from analysis.verdicts.decision import TOO_FEW_USERS

SHARES: Final = frozenset({"proportion", "retention"})
"""Kinds whose values are shares of users: told in percent, and their differences in percentage points."""
CHECKS: Final = {
    "srm": "Split between the arms",
    "zero_weight": "Users where none belong",
    "weights_changed": "Weights changed while it ran",
    "multiple_exposures": "Users in more than one arm",
}
BY_EPOCH: Final = "_by_epoch"
"""How the names of tests end that compare epoch by epoch."""
_MOST_DECIMALS: Final = 6
_SAID_ONE_BY_ONE: Final = 3


def headline(report: Mapping[str, Any]) -> tuple[str, str]:
    """The decision in one line, and its tone: good, bad or open."""
    decision = report["decision"]
    variant = decision.get("variant")
    control = next((arm["variant"] for arm in report["arms"] if arm["control"]), "the control")
    if decision.get("rule") == "health":
        return "Do not act on this: the experiment is not sound", "bad"
    if decision.get("rule") == TOO_FEW_USERS:
        return "It will not decide: nobody enters any more, and the arms are too small", "open"
    known: dict[str, tuple[str, str]] = {
        "ship": (f"Ship {variant}: it does better", "good"),
        "keep_control": (f"Keep {control}: no variant is worth it", "open"),
        "stop_harm": (f"Stop {variant}: it does harm", "bad"),
        "continue": ("Not decided yet: let it run", "open"),
        "inconclusive": ("It ends without a winner", "open"),
    }
    return known.get(str(decision["action"]), (str(decision["action"]).replace("_", " "), "open"))


def verdict(metric: Mapping[str, Any], effect: Mapping[str, Any]) -> tuple[str, str]:
    """The word for one effect, and its tone (good, bad, open): significance is the report's, only the side is read here."""
    if effect.get("absolute") is None:
        return "cannot tell", "open"
    guard = effect.get("guardrail")
    if guard is not None and (guard.get("margin") is not None or guard.get("breached")):
        if guard.get("breached"):
            return "does harm", "bad"
        return ("within its margin", "good") if guard.get("non_inferior") else ("harm not ruled out", "open")
    if not effect.get("significant"):
        return "no clear difference", "open"
    more_is_better = metric.get("direction", "increase") == "increase"
    return ("better", "good") if (effect["absolute"]["estimate"] > 0) == more_is_better else ("worse", "bad")


def sentence(metric: Mapping[str, Any], effect: Mapping[str, Any], alpha: float) -> str:
    """One effect told in one sentence."""
    interval = effect.get("absolute")
    if interval is None:
        return f"{effect['variant']} against {effect['control']}: this cannot be told; the reason is among the warnings."
    kind = str(metric["kind"])
    arms = {arm["variant"]: arm for arm in metric["arms"]}
    ours, theirs = (level(arms.get(effect[name]), kind) for name in ("variant", "control"))
    size = abs(interval["estimate"])
    decimals = decimals_of(interval, factor(kind))
    amount = f"{_fixed(size * factor(kind), decimals)}{' points' if kind in SHARES else ''}"
    told = f"{amount} {'more' if interval['estimate'] > 0 else 'less'}" if size else "no difference"
    # Such a difference is not that of the two levels, and may even be on the other side (Simpson's paradox).
    if str(effect.get("test")).endswith(BY_EPOCH):
        told = f"compared within each stretch of time with the same weights, it is {told}"
    lift = effect.get("relative")
    relative = "" if lift is None else f", a lift of {percent(lift)}"
    return (
        f"{metric['metric']} is {ours} with {effect['variant']} and {theirs} with {effect['control']}: "
        f"{told}{relative}. The {confidence(alpha)} interval of the difference goes from {span(interval, kind)}."
    )


def decided(report: Mapping[str, Any]) -> str | None:
    """The effect that the decision is about, in one sentence: of the variant it names, on the first primary metric."""
    variant = report["decision"].get("variant")
    for metric in report["metrics"]:
        for effect in metric["effects"]:
            if metric["role"] == "primary" and effect["variant"] == variant and effect.get("absolute"):
                return sentence(metric, effect, float(report["alpha"]))
    return None


def level(arm: Mapping[str, Any] | None, kind: str) -> str:
    """The value of one arm, as exact as its own uncertainty allows."""
    if arm is None or arm.get("mean") is None:
        return "unknown"
    mean, sd, n = arm["mean"], arm.get("sd"), arm.get("n") or 0
    half = 1.96 * sd / math.sqrt(n) if sd and n else None
    scale = factor(kind)
    text = _fixed(mean * scale, decimals_for(None if half is None else half * scale))
    return f"{text}%" if kind in SHARES else text


def difference(interval: Mapping[str, Any], kind: str) -> str:
    """The estimate with its sign and unit: `+2.4 points`, `-0.31`."""
    scale = factor(kind)
    text = _fixed(interval["estimate"] * scale, decimals_of(interval, scale), sign=True)
    return f"{text} points" if kind in SHARES else text


def span(interval: Mapping[str, Any], kind: str) -> str:
    """From the lower to the upper limit: `+1.1 to +3.7`."""
    scale = factor(kind)
    decimals = decimals_of(interval, scale)
    return " to ".join(_fixed(interval[end] * scale, decimals, sign=True) for end in ("lower", "upper"))


def factor_term(effect: Mapping[str, Any]) -> str:
    """What an effect by factor compares.

    >>> factor_term({"factors": ["content", "hour"], "levels": ["coupon", "pm"], "against": ["plain", "am"]})
    'content: coupon against plain × hour: pm against am'
    """
    parts = zip(effect["factors"], effect["levels"], effect["against"], strict=True)
    return " × ".join(f"{factor}: {level} against {first}" for factor, level, first in parts)


def folded_warnings(report: Mapping[str, Any]) -> list[str]:
    """The warnings; what is said in the same words of more than three variants is said once, at its first place, and what the list of checks says is not said again."""
    checks = {
        f"{check['check']} at {check['stage']}: {check['detail']}" for check in report.get("health", ())
    }
    about = {
        f"{metric['metric']}, {effect['variant']} against {effect['control']}: ": (metric["metric"], effect)
        for metric in report["metrics"]
        for effect in metric["effects"]
    }
    told: dict[tuple[str, str] | str, list[str]] = {}
    variants: dict[tuple[str, str] | str, list[Mapping[str, Any]]] = {}
    for said in report["warnings"]:
        if said in checks:
            continue
        prefix = next((each for each in about if said.startswith(each)), None)
        key: tuple[str, str] | str = said if prefix is None else (about[prefix][0], said[len(prefix) :])
        told.setdefault(key, []).append(said)
        if prefix is not None:
            variants.setdefault(key, []).append(about[prefix][1])
    folded: list[str] = []
    for key, said in told.items():
        if len(said) <= _SAID_ONE_BY_ONE or isinstance(key, str):
            folded += said
            continue
        names = [effect["variant"] for effect in variants[key]]
        first = ", ".join(names[:_SAID_ONE_BY_ONE])
        folded.append(
            f"{key[0]}, {len(names)} variants ({first} ..) against {variants[key][0]['control']}: {key[1]}"
        )
    return folded


def slice_name(slice_: str) -> str:
    """A slice as people read it; the users without the attribute have no name."""
    return slice_ or "(none)"


def slice_reasons(metric: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Why some slices of a metric cannot be told: their names, and the reason, each reason once."""
    reasons = dict.fromkeys(reason for each in metric["slices"] for reason in each["reasons"])
    return [
        (
            ", ".join(
                dict.fromkeys(
                    slice_name(each["slice"]) for each in metric["slices"] if reason in each["reasons"]
                )
            ),
            reason,
        )
        for reason in reasons
    ]


def percent(interval: Mapping[str, Any]) -> str:
    """A relative effect: `+12 %`."""
    return f"{_fixed(interval['estimate'] * 100, decimals_of(interval, 100.0), sign=True)}%"


def probability(value: float | None) -> str:
    """A p-value, or a probability; never an exact 0.

    >>> probability(0.0312), probability(1e-9), probability(None)
    ('0.031', 'below 0.001', 'cannot tell')
    """
    if value is None:
        return "cannot tell"
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def chance(value: float) -> str:
    """A probability in percent; never a certainty, which a model has and the world has not.

    >>> chance(0.9997), chance(0.42)
    ('over 99.9%', '42.0%')
    """
    if value > 0.999:
        return "over 99.9%"
    return "under 0.1%" if value < 0.001 else f"{100 * value:.1f}%"


def confidence(alpha: float) -> str:
    return f"{100 * (1 - alpha):g}%"


def factor(kind: str) -> float:
    """From a value of this kind to what is shown."""
    return 100.0 if kind in SHARES else 1.0


def decimals_of(interval: Mapping[str, Any], scale: float) -> int:
    """Decimals at which an interval is told: two digits of its half width, and more where a limit would pass for 0."""
    decimals = decimals_for((interval["upper"] - interval["lower"]) / 2 * scale)
    limits = [interval[end] * scale for end in ("lower", "upper")]
    while decimals < _MOST_DECIMALS and any(limit and not round(limit, decimals) for limit in limits):
        decimals += 1
    return decimals


def decimals_for(half_width: float | None) -> int:
    """Two significant digits of an uncertainty.

    >>> decimals_for(0.034), decimals_for(12.0), decimals_for(None)
    (3, 0, 2)
    """
    if half_width is None or not 0 < half_width < math.inf:
        return 2
    return min(max(1 - math.floor(math.log10(half_width)), 0), _MOST_DECIMALS)


def _fixed(value: float, decimals: int, *, sign: bool = False) -> str:
    if abs(value) >= 1e15:
        return f"{value:{'+' if sign else ''}.3g}"
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    # A rounded zero has no side.
    return text.lstrip("+-") if not text.strip("+-0.,") else text.replace("-", "−")


def light(check: Mapping[str, Any]) -> str:
    """How one check stands: ok, notice (news about delivery), alarm (no effect can be trusted) or unknown."""
    if not check["ok"]:
        return "alarm" if check.get("blocking") else "notice"
    says_nothing = check.get("p_value") is None and "cannot tell" in str(check.get("detail"))
    return "unknown" if says_nothing else "ok"


def meaning_of_significant(report: Mapping[str, Any]) -> list[str]:
    """What the word means in this report, in sentences for somebody who has never heard of a p-value."""
    alpha = float(report["alpha"])
    known = report.get("information")
    at = "" if known is None else f" This look rests on {100 * known:.3g}% of the planned information."
    looks = {
        "spending": "You may look as often as you like: the error rate is spent over the looks, so early effects must be large to "
        f"count (group-sequential, spending of the O'Brien-Fleming type).{at}",
        "always_valid": "You may look as often as you like and stop whenever you like: the intervals hold at all looks together "
        "(confidence sequence).",
        "fixed": "The numbers are valid at one look, at the planned end. Whoever looks earlier, and stops when it looks good, is "
        "wrong far more often.",
    }.get(str(report["method"]), f"The method is {report['method']}.")
    comparisons = sum(len(metric["effects"]) for metric in report["metrics"] if metric["role"] == "primary")
    together = (
        f" The {comparisons} comparisons of primary metrics are judged together, so that one of many does not win by luck."
        if comparisons > 1
        else ""
    )
    return [
        f"If no variant made any difference, at most {100 * alpha:g} in 100 such experiments would call one significant.{together}",
        looks,
        "Not significant does not mean no effect: the interval says how large it may still be.",
        "Effects are of the assignment: everybody counts in the arm that chance put them in, whether or not a message arrived.",
        "A user counts once the window of the metric has closed.",
    ]
