"""What a report means, in words: the verdict on each effect, why something cannot be told, the health lights."""

import math
import re
from enum import StrEnum
from typing import Final

from dashboard import formats
from dashboard.documents import Effect, HealthCheck, Interval, Metric, Report
from dashboard.texts import say, told

SURE: Final = 0.95
"""A chance from which on nobody wonders that the interval shows an effect."""


class Verdict(StrEnum):
    """What can be said about one effect; `word` says it."""

    BETTER = "better"
    WORSE = "worse"
    DIFFERENT = "different"
    UNCLEAR = "unclear"
    SAFE = "safe"
    CANNOT_TELL = "cannot_tell"


class Light(StrEnum):
    """The state of the experiment's health.

    Red: do not trust the effects. Amber: arms part company after the assignment, which is news about delivery.
    """

    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    GREY = "grey"


STAGES: Final = ("assigned", "accepted", "delivered", "read", "clicked")


def word(verdict: Verdict) -> str:
    """The verdict in a word or two."""
    return say(f"verdicts.word.{verdict}")


def stage(name: str) -> str:
    """The name of a stage of messages."""
    return told("verdicts.stage", name)


def check_name(check: HealthCheck) -> str:
    return told("verdicts.check", check.check)


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


def doubted(effect: Effect, metric: Metric) -> bool:
    """Whether the interval shows an effect of an amount that the chance, which begins sceptical of large lifts, hardly believes."""
    shown = verdict(effect, metric) in {Verdict.BETTER, Verdict.WORSE}
    chance = effect.probability_better
    return not formats.is_share(metric.kind) and shown and chance is not None and 1 - SURE < chance < SURE


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
    seen = verdict(effect, metric)
    who = say("verdicts.against", variant=effect.variant, control=effect.control)
    if seen is Verdict.CANNOT_TELL:
        return say("verdicts.cannot_tell", who=who, reason=reason(report, metric, effect))
    size = size_of(effect.absolute, metric, report.alpha)
    if metric.limit is not None and effect.guardrail is not None:
        limit = formats.tolerance(metric.limit, metric.kind)
        judged = seen if seen in {Verdict.SAFE, Verdict.WORSE} else Verdict.UNCLEAR
        return say(
            "verdicts.sentence", who=who, told=say(f"verdicts.guardrail.{judged}", limit=limit), size=size
        )
    words = say(f"verdicts.told.{seen}")
    if seen is Verdict.UNCLEAR and effect.adjusted is not None and not _has_zero(effect.absolute):
        wider = formats.difference_range(effect.adjusted, metric.kind)
        return say("verdicts.but_allowed_for", who=who, told=words, size=size, range=wider)
    return say("verdicts.sentence", who=who, told=words, size=size)


def size_of(interval: Interval | None, metric: Metric, alpha: float) -> str:
    """An effect with its interval, such as `+7.66 points (95% interval +7.00 to +8.32)`."""
    return say(
        "verdicts.size",
        estimate=formats.difference_text(interval, metric.kind),
        confidence=formats.confidence(alpha),
        range=formats.difference_range(interval, metric.kind),
    )


def reason(report: Report, metric: Metric, effect: Effect | None = None) -> str:
    """Why something cannot be told: the warning that speaks of it, from the most to the least specific."""
    names = [metric.key, effect.variant] if effect else [metric.key]
    for wanted in (names, names[:1], names[1:]):
        found = [
            warning for warning in report.warnings if wanted and all(_named(name, warning) for name in wanted)
        ]
        if found:
            return " ".join(_without_subject(warning, metric, effect) for warning in found)
    if not any(arm.assigned for arm in report.arms):
        return say("verdicts.nobody")
    return " ".join(report.warnings) or say("verdicts.no_reason")


def _named(key: str, warning: str) -> bool:
    """Whether a warning speaks of this metric or variant, and not of another whose key holds it.

    >>> _named("bought", "bought, coupon: too few."), _named("bought", "bought_again: too few."), _named("b", "about b.")
    (True, False, True)
    """
    return re.search(rf"(?<![\w.-]){re.escape(key)}(?![\w-]|\.\w)", warning) is not None


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
        outcome = {True: "as_expected", False: "not_as_expected", None: "unknown"}[check.ok]
        return check.detail or say(f"verdicts.health.{outcome}")
    if check.ok is None:
        because = check.detail.removeprefix("cannot tell: ") or say("verdicts.health.too_few")
        return say("verdicts.health.unknown_because", reason=because)
    if check.blocking or check.stage not in STAGES[1:]:
        return say("verdicts.health.split_ok" if check.ok else "verdicts.health.split_broken")
    # Whether a message is read or clicked is for the message itself to bring about.
    kind = "of_messages" if check.stage in STAGES[3:] else "of_delivery"
    return say(f"verdicts.health.{kind}_{'ok' if check.ok else 'differs'}")


def alarm(report: Report) -> str | None:
    """The first red check in one sentence, or None when there is none."""
    failed = next((check for check in report.health if light_of(check) is Light.RED), None)
    if failed is None:
        return None
    p = failed.p_value
    return say(
        "verdicts.health.alarm",
        check=check_name(failed),
        stage=stage(failed.stage).lower(),
        known="" if p is None else say("verdicts.health.known", p=formats.p_value(p)),
        words=health_words(failed),
    )
