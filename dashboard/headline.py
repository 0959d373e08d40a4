"""The result of an experiment in one line, with the evidence for it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dashboard import formats, verdicts
from dashboard.documents import Decision, Effect, Interval, Metric, Report
from dashboard.texts import catalogue, say
from dashboard.verdicts import Verdict

PER_USER: Final = frozenset({"mean", "sum", "count"})
TONES: Final = {"ship": "good", "stop_harm": "bad"}
DECISIONS: Final = frozenset({"keep_control", "continue", "inconclusive"})

NOT_SOUND: Final = "health"
"""The rule by which nothing is decided, since the split itself is broken."""
BY_RULE: Final = ("too_few_users", "guardrail_open")
"""Other rules with a title of their own, whatever they came to."""
ALIKE: Final = frozenset({"undecided", "power_reached"})
"""Rules that end without a winner since no difference was found. Others end so for other reasons, of which the report speaks."""
TOO_FEW_USERS: Final = "too_few_users"
"""The rule by which an experiment will never decide, since nobody enters it any more."""


@dataclass(frozen=True, slots=True)
class Headline:
    """`tone` is good, bad or open."""

    title: str
    sentence: str
    tone: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Of a stopped experiment: when the last users whom the report does not count yet are measured. None: all are."""

    measured_until: datetime | None


def headline(report: Report, *, shipped: str | None = None, ended: Ended | None = None) -> Headline:
    """What was decided, and what it rests on. shipped: the variant that everybody who comes gets already; ended: of what was stopped."""
    tone = "bad" if report.decision.rule == NOT_SOUND else TONES.get(report.decision.action, "open")
    leading = verdicts.leading_effect(report)
    known = leading is not None and verdicts.verdict(leading[1], leading[0]) is not Verdict.CANNOT_TELL
    title = _title(report, leading if known else None, shipped)
    if (
        ended is not None
        and report.decision.action == "continue"
        and report.decision.rule not in (NOT_SOUND, *BY_RULE)
    ):
        # Nobody can let it run any more.
        measured = "" if ended.measured_until is None else formats.moment(ended.measured_until)
        title = say("headline.ended_open" if measured else "headline.ended", measured=measured)
    return Headline(title, _evidence(report, leading), tone)


def because(decision: Decision) -> str:
    """Why it was decided so: the API's own words, and the rule before them in a language that they are not in."""
    key = f"headline.because.{decision.rule}"
    return say(key, because=decision.because) if key in catalogue() else decision.because


def phrase(effect: Effect, metric: Metric) -> str:
    """By how much a variant differs, such as `coupon brings 7.0 to 8.3 more "visited" per 100 users than silence`.

    Shares are told per 100 users, means per user in their own unit, everything else as a value.
    """
    if effect.absolute is None:
        return ""
    interval = formats.difference(effect.absolute, metric.kind)
    unit = "per_100" if formats.is_share(metric.kind) else "per_user" if metric.kind in PER_USER else "value"
    names = {"variant": effect.variant, "control": effect.control, "metric": metric.key.replace("_", " ")}
    decimals = formats.decimals_of(interval)
    low, high = interval.lower, interval.upper
    if low is not None and high is not None and low < 0 < high:
        shown = {"low": formats.magnitude(low, decimals), "high": formats.magnitude(high, decimals)}
        return say(f"headline.{unit}.open", **names, **shown)
    way = "more" if interval.estimate >= 0 else "fewer"
    return say(f"headline.{unit}.{way}", **names, range=_magnitudes(interval, decimals))


def _magnitudes(interval: Interval, decimals: int) -> str:
    ends = [interval.lower, interval.upper] if interval.estimate >= 0 else [interval.upper, interval.lower]
    low, high = (None if end is None else formats.magnitude(end, decimals) for end in ends)
    return formats.bounds(low, high)


def _title(report: Report, leading: tuple[Metric, Effect] | None, shipped: str | None) -> str:
    action, variant = report.decision.action, report.decision.variant
    if action == "ship":
        if leading is None or variant is None:
            return say("headline.wins", variant=variant) if variant else say("headline.a_winner")
        metric, effect = leading
        key = "headline.shipped" if shipped == variant else "headline.ship"
        return say(key, phrase=phrase(effect, metric))
    if action == "stop_harm":
        return say("headline.stop_harm", variant=variant) if variant else say("headline.stop_somebody")
    return _open_title(report, known=leading is not None)


def _open_title(report: Report, *, known: bool) -> str:
    """Of what is neither shipped nor stopped. known: whether there is an effect to speak of."""
    action, rule = report.decision.action, report.decision.rule
    if rule in (NOT_SOUND, *BY_RULE):
        return say(f"headline.rule.{rule}")
    if action not in DECISIONS:
        return say("headline.undecided")
    if action == "inconclusive" and not (known and rule in ALIKE):
        return say("headline.no_winner")
    control = next((arm.variant for arm in report.arms if arm.control), say("headline.the_control"))
    return say(f"headline.{action}", **({"control": control} if action == "keep_control" else {}))


def _evidence(report: Report, leading: tuple[Metric, Effect] | None) -> str:
    if leading is None:
        return say("headline.no_primary")
    metric, effect = leading
    if verdicts.verdict(effect, metric) is Verdict.CANNOT_TELL:
        return say("headline.cannot_tell", metric=metric.key, reason=verdicts.reason(report, metric, effect))
    levels = {
        "ours": formats.level(metric.arm(effect.variant), metric.kind),
        "theirs": formats.level(metric.arm(effect.control), metric.kind),
    }
    if report.decision.action == "ship":
        return say(
            "headline.levels",
            metric=metric.key,
            variant=effect.variant,
            control=effect.control,
            size=verdicts.size_of(effect.absolute, metric, report.alpha),
            **levels,
        )
    key = "headline.so_far" if report.decision.action == "continue" else "headline.evidence"
    confidence = formats.confidence(report.alpha)
    return say(key, phrase=phrase(effect, metric), confidence=confidence, **levels)
