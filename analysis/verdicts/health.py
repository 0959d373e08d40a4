"""Is the experiment itself sound? Checked before any effect is believed."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from analysis.findings import HealthCheck
from analysis.inputs import ArmFacts
from analysis.stats import srm
from analysis.stats.errors import InsufficientData
from experiments.vocabulary import Method

STAGES = ("accepted", "delivered", "read", "clicked")
_MEANING = {
    "accepted": "WhatsApp took the messages of the arms at different rates (caps, consent, schedule or template), which "
    "is news about delivery; effects are of the assignment and stay valid",
    "delivered": "the messages of the arms arrived at different rates, which is news about delivery; effects are of the "
    "assignment and stay valid",
    "read": "the arms were read at different rates; the messages themselves can do that",
    "clicked": "the arms were clicked at different rates; the messages themselves can do that",
}
_FIRST = {
    "assigned": "the assignment itself is not as planned",
    "accepted": "sending differs between the arms",
    "delivered": "delivery differs between the arms",
    "read": "the arms are read at different rates, which the messages themselves can do",
    "clicked": "the arms are clicked at different rates, which the messages themselves can do",
}
_SHOWN: Final = 8
"""Arms whose counts are told one by one."""
_LARGEST_LOG = 690.0


def check_health(arms: Sequence[ArmFacts], method: Method) -> tuple[HealthCheck, ...]:
    """The sample-ratio checks: at assignment over all arms, at every later stage over the arms that send messages.

    Where users are drawn together (households), units are counted at assignment, and nothing is told of later stages.

    At assignment the expected shares are the weights; later, the assigned counts. With the fixed method (one look) the
    chi-square alarm at p < 0.001 counts as well as the e-value's at 1000; with a sequential method, which is looked at
    daily, only the e-value does, because a daily chi-square raises false alarms. Only an alarm at assignment blocks.
    """
    checks = [*_strays(arms), _assigned(arms, method)]
    sending = [arm for arm in arms if arm.sends and arm.assigned > 0]
    if len(sending) >= 2:
        checks += [check for stage in STAGES if (check := _later(sending, stage, method)) is not None]
    return tuple(checks)


def first_skew(checks: Sequence[HealthCheck]) -> str | None:
    """The stage at which the split is skewed first, in one sentence; None when no stage gives an alarm.

    Later stages inherit a skew, so the first is the one to look into.
    """
    first = next((check for check in checks if check.check == "srm" and not check.ok), None)
    return None if first is None else skew_words(str(first.stage))


def skew_words(stage: str) -> str:
    """What it means that a skew shows first at this stage.

    >>> skew_words("delivered")
    "skew first shows at 'delivered': delivery differs between the arms"
    """
    meaning = _FIRST.get(stage, "the arms part company there")
    return f"skew first shows at '{stage}': {meaning}"


def _strays(arms: Sequence[ArmFacts]) -> list[HealthCheck]:
    return [
        HealthCheck(
            check="zero_weight",
            stage="assigned",
            p_value=None,
            ok=False,
            detail=f"{arm.assigned} users are in {arm.variant!r}, whose weight is 0",
            blocking=True,
        )
        for arm in arms
        if not arm.weight > 0 and arm.assigned > 0
    ]


def _assigned(arms: Sequence[ArmFacts], method: Method) -> HealthCheck:
    active = [arm for arm in arms if arm.weight > 0 and math.isfinite(arm.weight)]
    # Users who are drawn together are one draw: an odd household moves the sizes by all of its members.
    return _check(
        "assigned",
        [arm.assigned if arm.units is None else arm.units for arm in active],
        [arm.weight for arm in active],
        [arm.variant for arm in active],
        method,
        totals=None,
        meaning="the arms do not have the sizes that their weights promise, so the groups may differ in other ways too and no "
        "effect can be trusted",
        blocking=True,
    )


def _later(arms: Sequence[ArmFacts], stage: str, method: Method) -> HealthCheck | None:
    counts = [_reached(arm, stage) for arm in arms]
    totals = [arm.assigned for arm in arms]
    if any(count is None for count in counts):
        return None
    if any(arm.units is not None and arm.units < arm.assigned for arm in arms):
        return HealthCheck(
            check="srm",
            stage=stage,
            p_value=None,
            ok=True,
            detail="cannot tell: users are drawn in groups, and those of a group may get this far together",
        )
    known = [count for count in counts if count is not None]
    names = [arm.variant for arm in arms]
    if any(count > total for count, total in zip(known, totals, strict=True)):
        # Several messages a user: without user counts there is nothing to compare.
        return HealthCheck(
            check="srm",
            stage=stage,
            p_value=None,
            ok=True,
            detail="cannot tell: only messages are counted, not the users who got this far",
        )
    return _check(stage, known, totals, names, method, totals=totals, meaning=_MEANING[stage], blocking=False)


def _reached(arm: ArmFacts, stage: str) -> int | None:
    source = arm.reached if arm.reached is not None else arm.messages
    return None if source is None else int(getattr(source, stage))


def _check(
    stage: str,
    counts: Sequence[int],
    weights: Sequence[float],
    names: Sequence[str],
    method: Method,
    *,
    totals: Sequence[int] | None,
    meaning: str,
    blocking: bool,
) -> HealthCheck:
    if len(counts) < 2:
        return HealthCheck(
            check="srm",
            stage=stage,
            p_value=None,
            ok=True,
            detail="cannot tell: fewer than two arms to compare",
            blocking=blocking,
        )
    p, e_value, reason = None, None, ""
    try:
        e_value = _e_value(counts, weights, totals)
        p = srm.chi_square(counts, weights, totals=totals)
    except InsufficientData as cannot:
        reason = cannot.reason
    alarm = (e_value is not None and e_value >= srm.ALARM_E) or (
        method == Method.FIXED and p is not None and p < srm.ALARM_P
    )
    figures = _figures(names, counts, [sum(counts) * weight / sum(weights) for weight in weights])
    if p is None:
        detail = f"cannot tell: {reason} ({figures})"
    else:
        detail = f"{figures}; chi-square p = {p:.3g}, e-value {e_value or 0:.3g}"
    if alarm:
        detail = f"{detail}: {meaning}"
    elif p is not None and p < srm.ALARM_P:
        detail += "; the p-value alone is low, but it is not valid under repeated looks and the e-value gives no alarm"
    return HealthCheck(
        check="srm", stage=stage, p_value=p, ok=not alarm, detail=detail, e_value=e_value, blocking=blocking
    )


def _figures(names: Sequence[str], counts: Sequence[int], expected: Sequence[float]) -> str:
    """What was found and expected; of many arms those that lie farthest off, in standard errors of a count."""
    arms = range(len(names))
    shown = sorted(arms, key=lambda i: -abs(counts[i] - expected[i]) / math.sqrt(max(expected[i], 1.0)))[
        :_SHOWN
    ]
    if len(names) <= _SHOWN:
        shown = list(arms)
    found = ", ".join(f"{names[i]} {counts[i]}" for i in shown)
    wanted = ", ".join(f"{expected[i]:.1f}" for i in shown)
    rest = len(names) - len(shown)
    return f"{found}; expected {wanted}" + (f"; the other {rest} lie nearer to it" if rest else "")


def _e_value(counts: Sequence[int], weights: Sequence[float], totals: Sequence[int] | None) -> float:
    log_e = srm.log_e_value(counts, weights)
    if totals is not None:
        # Those who did not get this far must split like the arms as well; where nearly everybody does, only they can show
        # a skew. The average of two e-values is an e-value.
        missed = [total - count for total, count in zip(totals, counts, strict=True)]
        log_e = float(np.logaddexp(log_e, srm.log_e_value(missed, weights))) - math.log(2)
    return math.exp(min(log_e, _LARGEST_LOG))
