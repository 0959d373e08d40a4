"""From the sufficient statistics of two arms to one comparison: which test, which interval, and why not."""

from collections.abc import Callable
from dataclasses import dataclass, field

from analysis.inputs import AnalysisPlan, ArmFacts, MetricSpec
from analysis.stats import bayes, difference, proportions
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import Difference, Interval
from analysis.stats.errors import InsufficientData
from analysis.stats.quantiles import Quantile, quantile_difference
from analysis.stats.sequential import AlwaysValid, FixedHorizon, Rule, Spending, tightest_at
from experiments.vocabulary import SHARE_KINDS, Direction, Method

MOST_OF_THE_TOTAL = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One variant against the control, before multiplicity. `reasons` says why what is None is None."""

    rule: Rule
    test: str | None = None
    p_value: float | None = None
    interval: Callable[[float], Interval] | None = None
    lift: Callable[[float], Interval] | None = None
    posterior: bayes.Posterior | None = None
    variance_reduction: float | None = None
    reasons: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How this look is judged: the effective method, and the rule of `spending` where that is the method."""

    method: Method
    alpha: float
    planned_n: int | None
    spending: Spending | None = None

    def rule(self, n: int, share: float) -> Rule:
        """The rule for a comparison of n units; share: of all traffic that goes to its two arms."""
        if self.method == Method.SPENDING and self.spending is not None:
            return self.spending
        if self.method == Method.ALWAYS_VALID:
            planned = round(self.planned_n * share) if self.planned_n else None
            return AlwaysValid(n=max(n, 1), rho=tightest_at(planned, self.alpha))
        return FixedHorizon()


def compare(
    spec: MetricSpec, control: ArmFacts, treatment: ArmFacts, *, look: Look, share: float
) -> Comparison:
    """Compare one metric between two arms. Never raises for data: what cannot be told is None with a reason.

    Proportions and retention with an expected cell below 10 get an exact p-value and Newcombe's interval; quantiles use order
    statistics; everything else is Welch on (linearised, CUPED-adjusted) means.
    """
    a, b = control.aggregates.get(spec.key), treatment.aggregates.get(spec.key)
    rule = look.rule(_units(a) + _units(b), share)
    if a is None or b is None:
        return Comparison(rule=rule, reasons=("the metric could not be computed for both arms",))
    try:
        if isinstance(a, Quantile) or isinstance(b, Quantile):
            if not (isinstance(a, Quantile) and isinstance(b, Quantile)):
                return Comparison(rule=rule, reasons=("the arms were summed up differently",))
            return _of_difference(quantile_difference(a, b), "order_statistics", rule, spec, look)
        if spec.kind in SHARE_KINDS:
            return _of_proportions(a, b, rule, spec, look)
        return _of_difference(difference.difference(a, b), "welch", rule, spec, look)
    except InsufficientData as cannot:
        return Comparison(rule=rule, reasons=(cannot.reason,))


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


def _of_proportions(a: Aggregate, b: Aggregate, rule: Rule, spec: MetricSpec, look: Look) -> Comparison:
    for arm in (a, b):
        if arm.n == 0:
            raise InsufficientData("an arm has no users")
    # Arms in which everybody, or nobody, converted have no variance to test with, however large they are.
    if not proportions.is_small(a, b) and max(a.variance, b.variance) > 0:
        return _of_difference(difference.difference(a, b), "welch", rule, spec, look, counts=(a, b))
    reasons, p, lift = [], None, None
    try:
        p = rule.overall_p(proportions.exact_p_value(a, b))
    except InsufficientData as cannot:
        reasons.append(cannot.reason)
    try:
        # The lift comes from the absolute interval, so that both say the same about 0.
        effect = difference.difference(a, b)
        lift = _mapped(effect, lambda level: proportions.newcombe_interval(a, b, level))
        lift(look.alpha)
    except InsufficientData as cannot:
        lift = None
        reasons.append(cannot.reason)
    return Comparison(
        rule=rule,
        test="exact",
        p_value=p,
        interval=lambda level: proportions.newcombe_interval(a, b, level),
        lift=lift,
        posterior=_beta(a, b, spec, look),
        variance_reduction=0.0,
        reasons=tuple(dict.fromkeys(reasons)),
    )


def _of_difference(
    effect: Difference,
    test: str,
    rule: Rule,
    spec: MetricSpec,
    look: Look,
    *,
    counts: tuple[Aggregate, Aggregate] | None = None,
) -> Comparison:
    reasons, lift, posterior = [], None, None
    lower_is_better = spec.direction == Direction.DECREASE
    try:
        if look.method == Method.ALWAYS_VALID:
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
