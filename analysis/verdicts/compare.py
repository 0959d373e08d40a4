"""From the sufficient statistics of two arms to one comparison: which test, which interval, and why not."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from analysis.inputs import AnalysisPlan, ArmFacts, MetricSpec
from analysis.stats import bayes, difference, proportions
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import Difference, Interval
from analysis.stats.eprocess import exact_sequential
from analysis.stats.errors import InsufficientData
from analysis.stats.noninferiority import FEWEST_USERS, is_surely_below
from analysis.stats.quantiles import Quantile, quantile_difference
from analysis.stats.sequential import AlwaysValid, EveryLook, FixedHorizon, Rule, Spending, tightest_at
from analysis.stats.variance_clock import VarianceClock
from experiments.vocabulary import SHARE_KINDS, Direction, Method, MetricRole

MOST_OF_THE_TOTAL = 0.5
FEW_CONVERSIONS = 150
"""With fewer conversions (or users without one) in an arm, `always_valid` is not left to an asymptotic sequence."""
FEW_DEGREES = 100
"""With fewer degrees of freedom the asymptotic sequence reads its level off Student's t, which is wider (decision 0069)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One variant against the control, before multiplicity. `reasons` says why what is None is None.

    clears: of a guardrail that its `interval` does not clear: whether harm beyond a margin (the first argument) is ruled out, by mistake
    with a chance of at most alpha (the second) over all looks.
    """

    rule: Rule
    test: str | None = None
    p_value: float | None = None
    interval: Callable[[float], Interval] | None = None
    lift: Callable[[float], Interval] | None = None
    clears: Callable[[float, float], bool] | None = None
    posterior: bayes.Posterior | None = None
    variance_reduction: float | None = None
    reasons: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How this look is judged: the effective method, and the rule of `spending` where that is the method.

    by_epoch: weights have changed, so that pooled arms are compared nowhere (`by_epoch.py`). clocks: metric -> how its variance has grown; that of a
    metric without one grows with the users (`clocks.py`).
    """

    method: Method
    alpha: float
    planned_n: int | None
    spending: Spending | None = None
    by_epoch: bool = False
    clocks: Mapping[str, VarianceClock] = field(default_factory=dict)

    def rule(self, n: int, share: float, metric: str) -> Rule:
        """The rule for a comparison of n units on a metric; share: of all traffic that goes to its two arms."""
        if self.method == Method.SPENDING and self.spending is not None:
            return self.spending_of(metric, self.spending)
        if self.has_no_end:
            return AlwaysValid(n=max(n, 1), rho=tightest_at(self.planned(share), self.alpha))
        return FixedHorizon()

    def spending_of(self, metric: str, spending: Spending) -> Spending:
        """The rule of `spending` for this metric, by its clock."""
        clock = self.clocks.get(metric)
        return spending if clock is None else spending.on(clock)

    @property
    def has_no_end(self) -> bool:
        """Valid at every look without a maximum. What `exact` has no answer for, the sequence of `always_valid` answers."""
        return self.method in (Method.ALWAYS_VALID, Method.EXACT)

    def planned(self, share: float) -> int | None:
        """The planned users of two arms that get `share` of the traffic."""
        return round(self.planned_n * share) if self.planned_n else None


def compare(
    spec: MetricSpec, control: ArmFacts, treatment: ArmFacts, *, look: Look, share: float
) -> Comparison:
    """Compare one metric between two arms. Never raises for data: what cannot be told is None with a reason.

    Proportions and retention get an e-process where `is_exact_sequential` says so (and what clears a guardrail under `spending`
    goes by its boundary, decision 0035), else with an expected cell below 10 an exact p-value and Newcombe's interval; quantiles
    use order statistics; everything else is Welch on (linearised, CUPED-adjusted) means.
    """
    a, b = control.aggregates.get(spec.key), treatment.aggregates.get(spec.key)
    rule = look.rule(_units(a) + _units(b), share, spec.key)
    if a is None or b is None:
        return Comparison(rule=rule, reasons=("the metric could not be computed for both arms",))
    try:
        if isinstance(a, Quantile) or isinstance(b, Quantile):
            if not (isinstance(a, Quantile) and isinstance(b, Quantile)):
                raise InsufficientData("the arms were summed up differently")
            return of_difference(quantile_difference(a, b), "order_statistics", rule, spec, look)
        if spec.kind in SHARE_KINDS and is_exact_sequential(spec, a, b, look.method):
            return _by_e_process(a, b, spec, look, chance=_chance(control, treatment), share=share)
        if spec.kind in SHARE_KINDS:
            return _of_proportions(a, b, rule, spec, look)
        return of_difference(difference.difference(a, b), "welch", rule, spec, look)
    except InsufficientData as cannot:
        return Comparison(rule=rule, reasons=(cannot.reason,))


def is_exact_sequential(spec: MetricSpec, control: Aggregate, treatment: Aggregate, method: Method) -> bool:
    """Whether a proportion is compared by the e-process: what the plan asks for, guardrails that are peeked at, and
    `always_valid` at small counts.

    `spending` keeps its exact p-values at small counts: they are as valid at the planned looks, and stronger (decision 0018).
    """
    if method == Method.EXACT:
        return True
    if method == Method.FIXED:
        return False
    if spec.role == MetricRole.GUARDRAIL:
        return True
    return method == Method.ALWAYS_VALID and _is_few(control, treatment)


def _is_few(control: Aggregate, treatment: Aggregate) -> bool:
    counts = [(proportions.successes(arm), arm.n) for arm in (control, treatment)]
    return min(min(x, n - x) for x, n in counts) < FEW_CONVERSIONS


def _chance(control: ArmFacts, treatment: ArmFacts) -> float | None:
    """The chance of a user of these two arms to be in the treatment, as designed; None when the design says nothing."""
    total = control.weight + treatment.weight
    if not (control.weight > 0 and treatment.weight > 0 and math.isfinite(total)):
        return None
    chance = treatment.weight / total
    return chance if 0 < chance < 1 else None


def dominated_by_one_user(aggregate: Aggregate) -> float | None:
    """The share of the total that the largest user holds, when that is half or more; else None."""
    total = aggregate.n * aggregate.mean
    if aggregate.maximum is None or not aggregate.is_finite or aggregate.n < 3 or not total > 0:
        return None
    share = aggregate.maximum / total
    return share if MOST_OF_THE_TOTAL <= share <= 1 + 1e-9 else None


def _units(value: Aggregate | Quantile | None) -> int:
    if value is None:
        return 0
    return value.units if isinstance(value, Quantile) else value.n


def _by_e_process(
    a: Aggregate, b: Aggregate, spec: MetricSpec, look: Look, *, chance: float | None, share: float
) -> Comparison:
    found = exact_sequential(
        a.n, proportions.successes(a), b.n, proportions.successes(b),
        share=chance, planned_n=look.planned(share), alpha=look.alpha,
    )  # fmt: skip
    return _of_counts(
        a, b, "exact_sequential", EveryLook(), spec, look,
        p_value=found.p_value, interval=found.interval, clears=_clears(a, b, spec, look),
    )  # fmt: skip


def _clears(
    a: Aggregate, b: Aggregate, spec: MetricSpec, look: Look
) -> Callable[[float, float], bool] | None:
    # Harm is watched for at any moment, also because of what was seen: the e-process. That there is none is asked with an end in
    # sight, as all else under `spending` (decision 0035).
    if spec.role != MetricRole.GUARDRAIL or look.method != Method.SPENDING or look.spending is None:
        return None
    if min(a.n, b.n) < FEWEST_USERS:
        return None
    rule = look.spending_of(spec.key, look.spending)
    less, more = (b, a) if spec.direction == Direction.INCREASE else (a, b)
    counts = (less.n, proportions.successes(less), more.n, proportions.successes(more))
    return lambda margin, alpha: bool(is_surely_below(*counts, margin=margin, z=rule.bound(2 * alpha)))


def _of_proportions(a: Aggregate, b: Aggregate, rule: Rule, spec: MetricSpec, look: Look) -> Comparison:
    for arm in (a, b):
        if arm.n == 0:
            raise InsufficientData("an arm has no users")
    # Arms in which everybody, or nobody, converted have no variance to test with, however large they are.
    if not proportions.is_small(a, b) and max(a.variance, b.variance) > 0:
        return of_difference(difference.difference(a, b), "welch", rule, spec, look, counts=(a, b))
    return _of_counts(
        a, b, "exact", rule, spec, look,
        p_value=lambda: rule.overall_p(proportions.exact_p_value(a, b)),
        interval=lambda level: proportions.newcombe_interval(a, b, level),
    )  # fmt: skip


def _of_counts(
    a: Aggregate,
    b: Aggregate,
    test: str,
    rule: Rule,
    spec: MetricSpec,
    look: Look,
    *,
    p_value: Callable[[], float],
    interval: Callable[[float], Interval],
    clears: Callable[[float, float], bool] | None = None,
) -> Comparison:
    reasons, p, lift = [], None, None
    try:
        p = p_value()
        # The lift comes from the absolute interval, so that both say the same about 0.
        lift = _mapped(difference.difference(a, b), interval)
        lift(look.alpha)
    except InsufficientData as cannot:
        # Where outcomes have no p-value they have no spread, for the same reason.
        lift = None
        reasons.append(cannot.reason)
    return Comparison(
        rule=rule,
        test=test,
        p_value=p,
        interval=interval,
        lift=lift,
        clears=clears,
        posterior=_beta(a, b, spec, look),
        variance_reduction=0.0,
        reasons=tuple(dict.fromkeys(reasons)),
    )


def as_judged(effect: Difference, rule: Rule) -> Difference:
    """The difference with the distribution that the rule goes by: the asymptotic sequence is of the normal one, where t is near it."""
    many = effect.degrees_of_freedom is not None and effect.degrees_of_freedom >= FEW_DEGREES
    return replace(effect, degrees_of_freedom=None) if many and isinstance(rule, AlwaysValid) else effect


def of_difference(
    effect: Difference,
    test: str,
    rule: Rule,
    spec: MetricSpec,
    look: Look,
    *,
    counts: tuple[Aggregate, Aggregate] | None = None,
) -> Comparison:
    """The comparison of what is a difference with a standard error, by Student's t or a normal."""
    reasons, lift, posterior = [], None, None
    effect = as_judged(effect, rule)
    lower_is_better = spec.direction == Direction.DECREASE
    try:
        if look.has_no_end:
            lift = _mapped(effect, lambda level: difference.absolute(effect, level))
        else:
            lift = _lift(effect)
        lift(rule.level(look.alpha))
    except InsufficientData as cannot:
        lift = None
        reasons.append(cannot.reason)
    try:
        if counts is not None and not effect.variance_reduction:
            posterior = _beta(*counts, spec, look)
        else:
            posterior = bayes.normal_lift(effect, alpha=look.alpha, lower_is_better=lower_is_better)
    except InsufficientData as cannot:
        reasons.append(f"no Bayesian view: {cannot.reason}")
    return Comparison(
        rule=rule,
        test=test,
        p_value=rule.overall_p(difference.p_value(effect)),
        interval=lambda level: difference.absolute(effect, level),
        lift=lift,
        posterior=posterior,
        variance_reduction=effect.variance_reduction,
        reasons=tuple(dict.fromkeys(reasons)),
    )


def _lift(effect: Difference) -> Callable[[float], Interval]:
    return lambda level: difference.relative(effect, level)


def _mapped(effect: Difference, interval: Callable[[float], Interval]) -> Callable[[float], Interval]:
    return lambda level: difference.relative_by_mapping(effect, interval(level))


def _beta(a: Aggregate, b: Aggregate, spec: MetricSpec, look: Look) -> bayes.Posterior:
    return bayes.beta_binomial(
        proportions.successes(a),
        a.n,
        proportions.successes(b),
        b.n,
        alpha=look.alpha,
        lower_is_better=spec.direction == Direction.DECREASE,
    )


def effective_information(plan: AnalysisPlan, mature: int) -> float | None:
    """The information fraction of this look: as planned, or mature / planned_n; None when neither is known."""
    if plan.information is not None:
        return plan.information
    return mature / plan.planned_n if plan.planned_n else None
