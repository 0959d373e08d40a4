"""What a report means, in words: the headline, the verdict on each effect, the health lights."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dashboard import formats
from dashboard.documents import Effect, HealthCheck, Interval, Metric, Report


class Verdict(StrEnum):
    """What can be said about one effect; the value is the word that is shown."""

    BETTER = "better"
    WORSE = "worse"
    DIFFERENT = "different"
    UNCLEAR = "no clear difference"
    SAFE = "within its margin"
    CANNOT_TELL = "cannot tell yet"


class Light(StrEnum):
    """The state of the experiment's health; the value is the word that is shown.

    Red: do not trust the effects. Amber: arms part company after the assignment, which is news about delivery.
    """

    GREEN = "healthy"
    AMBER = "notice"
    RED = "alarm"
    GREY = "not known yet"


@dataclass(frozen=True, slots=True)
class Headline:
    """`tone` is good, bad or open."""

    title: str
    sentence: str
    tone: str


STAGES: Final[dict[str, str]] = {
    "assigned": "Assigned",
    "accepted": "Accepted by WhatsApp",
    "delivered": "Delivered",
    "read": "Read",
    "clicked": "Clicked",
}
CHECKS: Final[dict[str, str]] = {
    "srm": "Split between arms",
    "zero_weight": "Users where none belong",
    "unknown_variant": "Unknown variants",
    "weights_changed": "Weights changed while it ran",
}


def verdict(effect: Effect, metric: Metric) -> Verdict:
    """The words for one effect. Significance is the report's; only its direction is read here.

    A guardrail with a margin asks another question: can harm beyond the margin be ruled out? The report answers it.
    """
    if effect.absolute is None:
        return Verdict.CANNOT_TELL
    if effect.guardrail is not None:
        harm = Verdict.WORSE if effect.guardrail.breached else Verdict.UNCLEAR
        return Verdict.SAFE if effect.guardrail.non_inferior else harm
    if effect.significant is None:
        return Verdict.CANNOT_TELL
    return _direction(effect.absolute, metric) if effect.significant else Verdict.UNCLEAR


def _direction(absolute: Interval, metric: Metric) -> Verdict:
    if metric.higher_is_better is None:
        return Verdict.DIFFERENT
    return Verdict.BETTER if (absolute.estimate > 0) == metric.higher_is_better else Verdict.WORSE


def _has_zero(interval: Interval | None) -> bool:
    if interval is None:
        return True
    low = -math.inf if interval.lower is None else interval.lower
    high = math.inf if interval.upper is None else interval.upper
    return low <= 0 <= high


def sentence(effect: Effect, metric: Metric, report: Report) -> str:
    """One effect told in one sentence; `cannot tell yet` always comes with its reason."""
    word = verdict(effect, metric)
    who = f"{effect.variant} against {effect.control}"
    if word is Verdict.CANNOT_TELL:
        return f"{who}: cannot tell yet: {reason(report, metric, effect)}"
    known = f"{formats.confidence(report.alpha)} interval {formats.difference_range(effect.absolute, metric.kind)}"
    size = f"{formats.difference_text(effect.absolute, metric.kind)} ({known})"
    if metric.limit is not None and effect.guardrail is not None:
        limit = formats.tolerance(metric.limit, metric.kind)
        told = {
            Verdict.SAFE: f"harm of more than {limit} is ruled out",
            Verdict.WORSE: f"it does more harm than the {limit} that were allowed",
        }.get(word, f"harm of more than {limit} is not ruled out yet")
        return f"{who}: {told}: {size}."
    told = {
        Verdict.BETTER: "does better",
        Verdict.WORSE: "does worse",
        Verdict.DIFFERENT: "differs",
    }.get(word, "no clear difference yet")
    if word is Verdict.UNCLEAR and effect.adjusted is not None and not _has_zero(effect.absolute):
        wider = formats.difference_range(effect.adjusted, metric.kind)
        return f"{who}: {told}: {size}, but {wider} when all comparisons are allowed for."
    return f"{who}: {told}: {size}."


def reason(report: Report, metric: Metric, effect: Effect | None = None) -> str:
    """Why something cannot be told: the warning that speaks of it, from the most to the least specific."""
    names = [metric.key, effect.variant] if effect else [metric.key]
    for wanted in (names, names[:1], names[1:]):
        found = [warning for warning in report.warnings if wanted and all(name in warning for name in wanted)]
        if found:
            return " ".join(_without_subject(warning, metric, effect) for warning in found)
    if not any(arm.assigned for arm in report.arms):
        return "no user has been assigned yet."
    return " ".join(report.warnings) or "the report gives no reason."


def _without_subject(warning: str, metric: Metric, effect: Effect | None) -> str:
    """A warning without the names that the reader has just read."""
    subjects = [metric.key]
    if effect is not None:
        subjects += [
            f"{metric.key}, {effect.variant} against {effect.control}",
            f"{metric.key}, {effect.variant}",
        ]
    for subject in sorted(subjects, key=len, reverse=True):
        if warning.startswith(f"{subject}: "):
            return warning.removeprefix(f"{subject}: ")
    return warning


def leading_effect(report: Report) -> tuple[Metric, Effect] | None:
    """The effect to tell first: of the primary metric, the decision's variant, else the one that leads."""
    metric = report.primary
    if metric is None or not metric.effects:
        return None
    for effect in metric.effects:
        if effect.variant == report.decision.variant:
            return metric, effect
    known = [effect for effect in metric.effects if effect.absolute is not None]
    sign = -1 if metric.higher_is_better is False else 1
    if not known:
        return metric, metric.effects[0]
    return metric, max(known, key=lambda effect: sign * (effect.absolute.estimate if effect.absolute else 0))


def headline(report: Report) -> Headline:
    """The result in one line, and the evidence for it in one sentence."""
    variant = report.decision.variant
    control = next((arm.variant for arm in report.arms if arm.control), "the control")
    title, tone = {
        "ship": (f"{variant} wins" if variant else "There is a winner", "good"),
        "keep_control": (f"Keep {control}: no variant is shown to do better", "open"),
        "stop_harm": (f"Stop {variant}: it does harm" if variant else "Stop: a variant does harm", "bad"),
        "continue": ("Too early to call: let it run", "open"),
        "inconclusive": ("No winner: the arms cannot be told apart", "open"),
    }.get(report.decision.action, ("No decision yet", "open"))
    leading = leading_effect(report)
    if leading is None:
        return Headline(title, "The report has no effect on a primary metric yet.", tone)
    metric, effect = leading
    if verdict(effect, metric) is Verdict.CANNOT_TELL:
        return Headline(title, f"{metric.key}: cannot tell yet: {reason(report, metric, effect)}", tone)
    ours, theirs = (formats.level(metric.arm(name), metric.kind) for name in (effect.variant, effect.control))
    so_far = "So far, " if report.decision.action == "continue" else ""
    return Headline(
        title,
        f"{so_far}{metric.key} is {ours} with {effect.variant} and {theirs} with {effect.control}: "
        f"{formats.difference_text(effect.absolute, metric.kind)} "
        f"({formats.confidence(report.alpha)} interval {formats.difference_range(effect.absolute, metric.kind)}).",
        tone,
    )


def light(report: Report) -> Light:
    """The worst of all checks; grey when none could be made."""
    lights = [light_of(check) for check in report.health]
    return next((light for light in (Light.RED, Light.AMBER, Light.GREEN) if light in lights), Light.GREY)


def light_of(check: HealthCheck) -> Light:
    if check.ok is None:
        return Light.GREY
    if check.ok:
        return Light.GREEN
    return Light.RED if check.blocking else Light.AMBER


def health_words(check: HealthCheck) -> str:
    """What one check says, for somebody who has never heard its name."""
    if check.check != "srm":
        return (
            check.detail or {True: "as expected", False: "not as expected", None: "not known yet"}[check.ok]
        )
    if check.ok is None:
        return f"not known yet: {check.detail.removeprefix('cannot tell: ') or 'too few users to compare the arms'}"
    if check.ok:
        return "the arms are as large as planned"
    if not check.blocking:
        return "the arms part company at this stage: news about delivery, not about the effect"
    return "the arms are not as large as planned: something is wrong with the assignment, do not trust the effects"


def alarm(report: Report) -> str | None:
    """The first red check in one sentence, or None when there is none."""
    failed = next((check for check in report.health if light_of(check) is Light.RED), None)
    if failed is None:
        return None
    stage = STAGES.get(failed.stage, failed.stage)
    known = f" (p: {formats.p_value(failed.p_value)})" if failed.p_value is not None else ""
    name = CHECKS.get(failed.check, failed.check)
    return f"{name}, stage '{stage.lower()}'{known}: {health_words(failed)}."
