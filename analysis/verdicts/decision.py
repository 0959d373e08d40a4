"""What to do now. One rule fires, the first that applies, and says so in words with its numbers.

1 guardrail      a variant is surely worse than a guardrail's margin, and that guardrail may stop one -> stop_harm
2 health         the split itself is broken, so no effect can be trusted                -> continue (at the end inconclusive)
3 too_few_users  too few users for any other decision, and nobody enters any more       -> inconclusive
  minimum_users  too few users for any other decision                                   -> continue (at the end inconclusive)
4 not_yet        the fixed method before its planned end                                -> continue
5 minimum_weeks  too short a run: a variant that is worse on a primary metric           -> stop_harm
                 otherwise                                                       -> continue (once stopped, inconclusive)
6 winner         a primary metric is better, none is worse, every guardrail is cleared  -> ship
7 worse          every variant is worse on a primary metric                             -> keep_control
                 some variant is, while others may still win                            -> stop_harm
8 too_small      at an end, every lift is surely below the smallest worth finding       -> keep_control
9 power_reached  this look would have found that effect with the planned power          -> inconclusive
10 futility      the planned end would hardly find it any more                          -> inconclusive
11 undecided     at the end -> inconclusive; before -> continue

A variant that a guardrail has stopped while the experiment ran wins nothing and holds nobody up; one that was retired holds nobody up
(rules 3 and 7), and wins where its users say so. As long as nothing else is decided
(continue or inconclusive), the decision says so: guardrail -> stop_harm.

The end is the planned one; reaching the planned power is one as well where the plan says so (rules 8 and 9). A plan declares
its rules (`plan.rules` of a campaign); none of them lowers a bound, so none of them adds false positives.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from analysis.findings import ArmSummary, Decision, Effect, HealthCheck, MetricFinding, Progress
from analysis.inputs import AnalysisPlan
from analysis.stats.difference import Interval
from experiments.vocabulary import DecisionAction, Direction, Method, MetricRole

WEEK: Final = timedelta(weeks=1)
TOO_FEW_USERS: Final = "too_few_users"
"""The rule by which an experiment that has met its whole audience will never decide."""


def decide(
    plan: AnalysisPlan,
    *,
    method: Method,
    finished: bool,
    arms: Sequence[ArmSummary],
    health: Sequence[HealthCheck],
    metrics: Sequence[MetricFinding],
    progress: Sequence[Progress] = (),
) -> Decision:
    """The decision at this look. finished: the planned end is reached, so nothing is gained by waiting."""
    case = _Case(
        plan, method=method, finished=finished, arms=arms, health=health, metrics=metrics, progress=progress
    )
    rules: tuple[Callable[[], Decision | None], ...] = (
        case.guardrail, case.broken, case.minimum_users, case.not_yet, case.minimum_weeks, case.winner, case.worse,
        case.too_small, case.power_reached, case.futility,
    )  # fmt: skip
    found = next((decision for rule in rules if (decision := rule()) is not None), None) or case.undecided()
    return case.harm_stopped(found)


def improvement(finding: MetricFinding, effect: Effect) -> Interval | None:
    """The absolute interval turned so that positive is better."""
    interval = effect.absolute
    if interval is None or finding.direction == Direction.INCREASE:
        return interval
    return Interval(-interval.estimate, -interval.upper, -interval.lower)


class _Case:
    def __init__(
        self,
        plan: AnalysisPlan,
        *,
        method: Method,
        finished: bool,
        arms: Sequence[ArmSummary],
        health: Sequence[HealthCheck],
        metrics: Sequence[MetricFinding],
        progress: Sequence[Progress],
    ) -> None:
        self.plan, self.method, self.finished, self.arms, self.health = plan, method, finished, arms, health
        self.progress = progress
        self.primary = [finding for finding in metrics if finding.role == MetricRole.PRIMARY]
        self.guardrails = [finding for finding in metrics if finding.role == MetricRole.GUARDRAIL]
        stopped = plan.stopped_arms
        self.treatments = [arm.variant for arm in arms if not arm.control and arm.variant not in stopped]
        self.gone = {*stopped, *plan.retired_arms}

    def wait(self, rule: str, because: str) -> Decision:
        action = DecisionAction.INCONCLUSIVE if self.finished else DecisionAction.CONTINUE
        return Decision(action=action, variant=None, because=because, rule=rule)

    @property
    def valid_now(self) -> bool:
        return self.finished or self.method != Method.FIXED

    @property
    def at_power(self) -> bool:
        """Whether the plan ends here because every comparison has had its planned chance."""
        if not self.plan.stop_at_power or self.method == Method.FIXED or not self.progress:
            return False
        return all(each.power is not None and each.power >= self.plan.power for each in self.progress)

    def guardrail(self) -> Decision | None:
        if not self.valid_now:
            return None
        for finding in self.guardrails:
            if finding.metric in self.plan.quiet_guardrails:
                continue
            for effect in finding.effects:
                if effect.variant in self.plan.stopped_arms:
                    continue
                if effect.guardrail is not None and effect.guardrail.breached:
                    return Decision(
                        action=DecisionAction.STOP_HARM,
                        variant=effect.variant,
                        because=f"guardrail {_say(finding, effect, self.plan.alpha)} is surely worse than the margin of "
                        f"{effect.guardrail.margin or 0:g}",
                        rule="guardrail",
                    )
        return None

    def harm_stopped(self, otherwise: Decision) -> Decision:
        """What was decided `otherwise`, unless that is nothing and a variant has been stopped for harm."""
        undecided = otherwise.action in (DecisionAction.CONTINUE, DecisionAction.INCONCLUSIVE)
        if not self.plan.stopped_arms or not undecided:
            return otherwise
        variant, because = next(iter(self.plan.stopped_arms.items()))
        others = [each for each in self.plan.stopped_arms if each != variant]
        also = f"; so are {', '.join(others)}" if others else ""
        return Decision(
            action=DecisionAction.STOP_HARM,
            variant=variant,
            because=f"{variant} is stopped: {because}{also}; of the rest: {otherwise.because}",
            rule="guardrail",
        )

    def broken(self) -> Decision | None:
        failed = [check for check in self.health if check.blocking and not check.ok]
        if not failed:
            return None
        return self.wait(
            "health", f"the experiment is not sound, so nothing may be shipped: {failed[0].detail}"
        )

    def minimum_users(self) -> Decision | None:
        if not self.primary or not self.treatments:
            missing = "primary metric" if self.treatments else "variant besides the control"
            return self.wait("undecided", f"there is no {missing} to decide by")
        going = [arm for arm in self.arms if arm.variant not in self.gone]
        fewest = min(going, key=lambda arm: arm.assigned)
        if self.plan.closed and fewest.assigned < self.plan.minimum_users:
            return Decision(
                action=DecisionAction.INCONCLUSIVE,
                variant=None,
                because=f"nobody enters any more, and {fewest.variant} has {fewest.assigned} users; a decision needs "
                f"{self.plan.minimum_users} in every arm, so none will come",
                rule=TOO_FEW_USERS,
            )
        least = min(going, key=lambda arm: arm.mature)
        if least.mature >= self.plan.minimum_users:
            return None
        return self.wait(
            "minimum_users",
            f"{least.variant} has {least.mature} users whose window has closed; a decision needs "
            f"{self.plan.minimum_users} in every arm",
        )

    def not_yet(self) -> Decision | None:
        if self.valid_now:
            return None
        return self.wait(
            "not_yet",
            "the fixed method allows one look, at the planned end, and that is not reached; until then its numbers decide nothing",
        )

    def minimum_weeks(self) -> Decision | None:
        weeks, ran = self.plan.minimum_weeks, self.plan.run_time
        if ran is None or ran >= weeks * WEEK:
            return None
        losers = self._losers()
        if losers and not self.plan.stopped:
            return Decision(
                action=DecisionAction.STOP_HARM,
                variant=losers[0],
                because=f"{self._words(losers[0], self._worse(losers[0]))}; harm does not wait for the minimum run time",
                rule="worse",
            )
        asked = "1 whole week" if weeks == 1 else f"{weeks} whole weeks"
        # Time goes on although every window may have closed: only a stop makes the run too short for good.
        return Decision(
            action=DecisionAction.INCONCLUSIVE if self.plan.stopped else DecisionAction.CONTINUE,
            variant=None,
            because=f"it has run for {ran.days} days, and the plan asks for {asked} before anything is shipped or given up, so "
            "that all days of the week count alike",
            rule="minimum_weeks",
        )

    def winner(self) -> Decision | None:
        winners = [
            variant for variant in self.treatments if self._better(variant) and not self._worse(variant)
        ]
        if not winners:
            return None
        cleared = [variant for variant in winners if not self._open_guardrails(variant)]
        if not cleared:
            open_ones = ", ".join(self._open_guardrails(winners[0]))
            return self.wait(
                "guardrail_open",
                f"{winners[0]} wins on {self._words(winners[0], self._better(winners[0]))}, but it is not sure that it stays within the "
                f"margin of {open_ones}",
            )
        best = max(cleared, key=self._size)
        because = self._words(best, self._better(best))
        if len(cleared) > 1:
            others = ", ".join(variant for variant in cleared if variant != best)
            because += f"; {others} also beat the control, by less"
        return Decision(action=DecisionAction.SHIP, variant=best, because=because, rule="winner")

    def worse(self) -> Decision | None:
        losers = self._losers()
        if losers and all(each in losers or each in self.gone for each in self.treatments):
            because = "; ".join(self._words(variant, self._worse(variant)) for variant in losers)
            return Decision(action=DecisionAction.KEEP_CONTROL, variant=None, because=because, rule="worse")
        going = [variant for variant in losers if variant not in self.gone]
        if going and not self.finished:
            because = f"{self._words(going[0], self._worse(going[0]))}; the other variants may go on"
            return Decision(action=DecisionAction.STOP_HARM, variant=going[0], because=because, rule="worse")
        return None

    def too_small(self) -> Decision | None:
        smallest = self.plan.minimum_effect
        if smallest is None or not (self.finished or self.at_power):
            return None
        finding = self.primary[0]
        ends = [_best_lift(finding, effect) for effect in finding.effects]
        if not ends or any(end is None or end >= smallest for end in ends):
            return None
        most = max(end for end in ends if end is not None)
        return Decision(
            action=DecisionAction.KEEP_CONTROL,
            variant=None,
            because=f"no lift in {finding.metric} can be more than {most:+.1%}, and {smallest:+.1%} is the smallest worth finding",
            rule="too_small",
        )

    def power_reached(self) -> Decision | None:
        if self.finished or not self.at_power:
            return None
        least = min(each.power or 0.0 for each in self.progress)
        return Decision(
            action=DecisionAction.INCONCLUSIVE,
            variant=None,
            because=f"the planned power is reached and no difference is established: this look would have found "
            f"{self._smallest} with a chance of at least {least:.2f}, and {self.plan.power:g} was planned",
            rule="power_reached",
        )

    def futility(self) -> Decision | None:
        threshold = self.plan.futility
        chances = [each.conditional_power for each in self.progress]
        if threshold is None or self.finished or not chances:
            return None
        # What cannot be told may still be found.
        if any(chance is None or chance >= threshold for chance in chances):
            return None
        best = max(self.progress, key=lambda each: each.conditional_power or 0.0)
        return Decision(
            action=DecisionAction.INCONCLUSIVE,
            variant=None,
            because=f"even if the true effect is {self._smallest}, the planned end would establish it with a chance of "
            f"{best.conditional_power or 0.0:.3f} at best ({best.metric}, {best.variant}); the plan gives up below {threshold:g}",
            rule="futility",
        )

    @property
    def _smallest(self) -> str:
        """The smallest effect worth finding in the first primary metric, as a change for the better."""
        sign = 1 if self.primary[0].direction == Direction.INCREASE else -1
        return f"{sign * (self.plan.minimum_effect or 0.0):+.1%}"

    def undecided(self) -> Decision:
        finding = self.primary[0]
        told = [_say(finding, effect, self.plan.alpha) for effect in finding.effects]
        ending = "the planned end is reached" if self.finished else "more data may decide"
        return self.wait("undecided", f"no difference is established yet ({'; '.join(told)}); {ending}")

    def _losers(self) -> list[str]:
        return [variant for variant in self.treatments if self._worse(variant) and not self._better(variant)]

    def _better(self, variant: str) -> list[MetricFinding]:
        return self._significant(variant, lambda estimate: estimate > 0)

    def _worse(self, variant: str) -> list[MetricFinding]:
        return self._significant(variant, lambda estimate: estimate < 0)

    def _significant(self, variant: str, side: Callable[[float], bool]) -> list[MetricFinding]:
        found = []
        for finding in self.primary:
            effect = finding.effect_of(variant)
            if effect is None or not effect.significant:
                continue
            interval = improvement(finding, effect)
            if interval is not None and side(interval.estimate):
                found.append(finding)
        return found

    def _open_guardrails(self, variant: str) -> list[str]:
        names = []
        for finding in self.guardrails:
            effect = finding.effect_of(variant)
            verdict = effect.guardrail if effect is not None else None
            if verdict is None:
                continue
            needs_margin = verdict.margin is not None and verdict.non_inferior is not True
            if needs_margin or verdict.breached:
                names.append(finding.metric)
        return names

    def _size(self, variant: str) -> float:
        finding = self.primary[0]
        effect = finding.effect_of(variant)
        interval = improvement(finding, effect) if effect is not None else None
        return interval.estimate if interval is not None else float("-inf")

    def _words(self, variant: str, findings: Sequence[MetricFinding]) -> str:
        return "; ".join(
            _say(finding, effect, self.plan.alpha)
            for finding in findings
            if (effect := finding.effect_of(variant)) is not None
        )


def _best_lift(finding: MetricFinding, effect: Effect) -> float | None:
    if effect.relative is None:
        return None
    return effect.relative.upper if finding.direction == Direction.INCREASE else -effect.relative.lower


def _say(finding: MetricFinding, effect: Effect, alpha: float) -> str:
    name = f"{finding.metric}, {effect.variant} against {effect.control}"
    if effect.absolute is None:
        return f"{name}: cannot tell"
    interval = effect.absolute
    text = f"{name}: {interval.estimate:+.4g} [{interval.lower:.4g}, {interval.upper:.4g}]"
    if effect.adjusted_p_value is None:
        return text
    relation = "<" if effect.adjusted_p_value < alpha else ">="
    return f"{text}, adjusted p = {effect.adjusted_p_value:.3g} {relation} {alpha:g}"
