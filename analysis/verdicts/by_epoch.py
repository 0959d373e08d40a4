"""Two arms whose weights have changed: compared epoch by epoch, never as one pool. Pure.

Shares by the score test over epochs (`stats/adaptive_shares.py`), exactly where events are few (`stats/eprocess_epochs.py`); means by
`stats/adaptive.stabilised`. Ratios and quantiles are not told. The sums that are tested have a variance that grows with the users who came,
whoever got them, so the rules for many looks hold on the scale of users (docs/decisions/0042 and 0043).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from analysis.inputs import ArmFacts, EpochFacts, MetricSpec
from analysis.stats import adaptive, adaptive_shares, bayes
from analysis.stats.adaptive_shares import Shares
from analysis.stats.aggregates import MOMENTS, Aggregate
from analysis.stats.difference import Difference, Interval, critical_value, relative_by_mapping
from analysis.stats.eprocess import bet_size
from analysis.stats.eprocess_epochs import ExactByEpoch
from analysis.stats.errors import InsufficientData
from analysis.stats.proportions import SMALL_CELL, successes
from analysis.stats.reasons import Reason, raise_for
from analysis.stats.sequential import AlwaysValid, EveryLook, Rule, tightest_at
from analysis.stats.welch import Arms
from analysis.verdicts.compare import Comparison, Look, is_exact_sequential, of_difference
from experiments.vocabulary import SHARE_KINDS, Direction, Method, MetricKind, MetricRole

POOLED_REFUSED: Final = (
    "arms are not compared as one pool: an arm that was given more users at a good time would pass for a good arm, and an arm "
    "that was lucky would keep its luck"
)
HOW_COMPARED: Final = (
    "each stretch of time with fixed weights is compared by itself, and the stretches are added up with weights that follow the users "
    "who came (batched least squares, stabilised)"
)
ABOUT_MEANS: Final = (
    "the means of the arms count each stretch of time by all users who came in it, not by those whom the arm got; an effect is "
    "not exactly the difference of two means, because it weighs the stretches by what they can tell"
)
_TOLD: Final = frozenset({*SHARE_KINDS, MetricKind.COUNT, MetricKind.SUM, MetricKind.MEAN})
_NOT_TOLD: Final = (
    "weights have changed while it ran, and {kind} is not told by epoch; the pooled arms are not compared, because a change of the "
    "times would pass for an effect"
)


@dataclass(frozen=True, slots=True)
class _Pair:
    """The epochs of two arms in step. users: of the epoch in any arm. shares: of the pair's chance, the treatment's."""

    users: tuple[int, ...]
    control: tuple[Aggregate, ...]
    treatment: tuple[Aggregate, ...]
    chances: tuple[tuple[float, float], ...]
    everywhere: bool

    @property
    def time(self) -> int:
        """Users who came while both arms took part: what the information of this pair is counted in."""
        return sum(self.users)


def compare_by_epoch(spec: MetricSpec, control: ArmFacts, treatment: ArmFacts, *, look: Look) -> Comparison:
    """Compare one metric between two arms, by their `epochs`. Never raises for data: what cannot be told is None with a reason."""
    rule = look.rule(max(control.mature + treatment.mature, 1), 1.0, spec.key)
    try:
        if spec.kind not in _TOLD:
            raise InsufficientData(_NOT_TOLD.format(kind=f"a {spec.kind}"))
        pair = _pair(spec, control, treatment)
        rule = _rule(look, pair, spec.key)
        if spec.kind in SHARE_KINDS:
            return _of_shares(
                replace(pair, control=_plain(pair.control), treatment=_plain(pair.treatment)),
                rule,
                spec,
                look,
            )
        return of_difference(_difference(pair), "welch_by_epoch", rule, spec, look)
    except InsufficientData as cannot:
        return Comparison(rule=rule, reasons=(cannot.reason,))


def mean_over_epochs(spec: MetricSpec, arm: ArmFacts) -> float | None:
    """The arm's mean with every epoch weighted by all users who came in it, so that the times count alike in all arms.

        mean_k = sum_t N_t m_tk / sum_t N_t        (over the epochs in which the arm has users)

    None where the metric is not told by epoch.
    """
    known = [epoch for epoch in arm.epochs.get(spec.key, ()) if epoch.outcome.n]
    if spec.kind not in _TOLD or not known:
        return None
    mean = math.fsum(epoch.users * epoch.outcome.mean for epoch in known) / sum(
        epoch.users for epoch in known
    )
    return mean if math.isfinite(mean) else None


def about_the_estimates(metrics: Sequence[MetricSpec], arms: Sequence[ArmFacts], look: Look) -> list[str]:
    """What must be taken for granted, and the second estimates beside the first, for primary metrics."""
    notes = [ABOUT_MEANS]
    control = next(arm for arm in arms if arm.control)
    if any(spec.kind in SHARE_KINDS and _has_covariate(spec, control) for spec in metrics):
        notes.append("shares are not adjusted by their covariate while weights change; means are")
    for spec in metrics:
        if spec.role != MetricRole.PRIMARY or spec.kind not in _TOLD:
            continue
        for arm in arms:
            told = None if arm.control else _second(spec, control, arm, look)
            if told is not None:
                notes.append(f"{spec.key}, {arm.variant} against {control.variant}: {told}")
    return notes


def _second(spec: MetricSpec, control: ArmFacts, arm: ArmFacts, look: Look) -> str | None:
    try:
        pair = _pair(spec, control, arm)
        found = _weighted(pair)
    except InsufficientData:
        return None
    bound = critical_value(_rule(look, pair, spec.key).level(look.alpha), None)
    estimate, half = float(found.effect[1]), bound * float(found.effect_error[1])
    batched = adaptive.bols(_arms(pair.control), _arms(pair.treatment))
    # Where no outcome varies an interval would have no width, and say that all is known.
    if batched.reason or not half > 0:
        return None
    return (
        f"by AW-AIPW with the logged chances, which decides nothing, the difference is {estimate:+.4g} "
        f"[{estimate - half:.4g}, {estimate + half:.4g}]; batched least squares that count every stretch alike, which decide nothing "
        f"either, have p = {float(batched.p_value):.3g} if this were the only look"
    )


def _weighted(pair: _Pair) -> adaptive.Weighted:
    cells = [pair.control, pair.treatment]
    n, mean, variance = (
        np.array([[getattr(cell, name) for cell in arm] for arm in cells], dtype=np.float64).T
        for name in ("n", "mean", "variance")
    )
    found = adaptive.aw_aipw(
        np.array(pair.users, dtype=np.float64), n, mean, variance, np.array(pair.chances)
    )
    raise_for(found.reason[1])
    return found


def _has_covariate(spec: MetricSpec, arm: ArmFacts) -> bool:
    return any(epoch.outcome.has_covariate for epoch in arm.epochs.get(spec.key, ()))


def _pair(spec: MetricSpec, control: ArmFacts, treatment: ArmFacts) -> _Pair:
    a, b = control.epochs.get(spec.key, ()), treatment.epochs.get(spec.key, ())
    if not a or not b:
        raise InsufficientData(
            "weights have changed while it ran, and what is known of these users is not told by epoch"
        )
    steps = list(zip(a, b, strict=True))
    unknown = [one.epoch for one, other in steps if None in (one.propensity, other.propensity)]
    if unknown:
        raise InsufficientData(
            f"weights have changed while it ran, and the chances that users of epoch {unknown[0]} were drawn with are not known"
        )
    open_ = [(one, other) for one, other in steps if one.propensity and other.propensity and one.users]
    if not any(one.outcome.n and other.outcome.n for one, other in open_):
        raise_for(Reason.NO_EPOCH)
    if not all(cell.outcome.is_finite for step in open_ for cell in step):
        raise_for(Reason.NOT_FINITE)
    return _Pair(
        users=tuple(one.users for one, _ in open_),
        control=tuple(one.outcome for one, _ in open_),
        treatment=tuple(other.outcome for _, other in open_),
        chances=tuple((_chance(one), _chance(other)) for one, other in open_),
        everywhere=len(open_) == sum(1 for one, _ in steps if one.users),
    )


def _chance(epoch: EpochFacts) -> float:
    return epoch.propensity or 0.0


def _rule(look: Look, pair: _Pair, metric: str) -> Rule:
    # Information is counted in users who came, in whichever arm, not in those of the pair: their number is the bandit's doing.
    # An arm that came or went has a clock of its own, and no planned end.
    if look.has_no_end or (look.method == Method.SPENDING and not pair.everywhere):
        return AlwaysValid(n=max(pair.time, 1), rho=tightest_at(look.planned_n, look.alpha))
    return look.rule(pair.time, 1.0, metric)


def _difference(pair: _Pair) -> Difference:
    found, reason = adaptive.stabilised(
        np.array(pair.users, dtype=np.float64), _arms(pair.control), _arms(pair.treatment)
    )
    raise_for(reason)
    freedom = float(found.degrees_of_freedom)
    return Difference(
        estimate=float(found.estimate),
        standard_error=float(found.standard_error),
        degrees_of_freedom=freedom if math.isfinite(freedom) else None,
        n=int(found.n),
        control_mean=float(found.control_mean),
        control_variance=float(found.control_variance),
        covariance=float(found.covariance),
        variance_reduction=float(found.variance_reduction),
    )


def _arms(cells: Sequence[Aggregate]) -> Arms:
    # A cell without users has no moments but n; what the others have decides which parts there are.
    filled = [cell for cell in cells if cell.n] or list(cells)
    names = [name for name in MOMENTS if all(getattr(cell, name) is not None for cell in filled)]
    columns: dict[str, Any] = {
        name: np.array([getattr(cell, name) or 0.0 for cell in cells], dtype=np.float64) for name in names
    }
    return Arms(n=np.array([cell.n for cell in cells], dtype=np.float64), **columns)


def _of_shares(pair: _Pair, rule: Rule, spec: MetricSpec, look: Look) -> Comparison:
    a, b = (_together(cells) for cells in (pair.control, pair.treatment))
    x_c, x_t = ([successes(cell) for cell in cells] for cells in (pair.control, pair.treatment))
    counts = {
        "users": pair.users, "n_c": [cell.n for cell in pair.control], "x_c": x_c,
        "n_t": [cell.n for cell in pair.treatment], "x_t": x_t,
    }  # fmt: skip
    shares = Shares(**{name: np.array(values, dtype=np.float64) for name, values in counts.items()})
    if is_exact_sequential(spec, a, b, look.method) or _is_small(pair, shares):
        return _exactly(pair, x_c, x_t, spec, look)
    raise_for(shares.reason())
    reasons: list[str] = []
    lift: Callable[[float], Interval] | None = lambda level: _lift(shares, level)  # noqa: E731
    try:
        _lift(shares, rule.level(look.alpha))
    except InsufficientData as cannot:
        lift = None
        reasons.append(cannot.reason)
    return Comparison(
        rule=rule,
        test="score_by_epoch",
        p_value=rule.overall_p(float(adaptive_shares.p_values(shares))),
        interval=lambda level: _absolute(shares, level),
        lift=lift,
        posterior=_belief(pair, spec, look, reasons),
        variance_reduction=0.0,
        reasons=tuple(dict.fromkeys(reasons)),
    )


def _exactly(pair: _Pair, x_c: list[int], x_t: list[int], spec: MetricSpec, look: Look) -> Comparison:
    first = pair.chances[0]
    exact = ExactByEpoch(
        n_c=tuple(cell.n for cell in pair.control),
        x_c=tuple(x_c),
        n_t=tuple(cell.n for cell in pair.treatment),
        x_t=tuple(x_t),
        share=tuple(treatment / (control + treatment) for control, treatment in pair.chances),
        size=bet_size(look.planned(sum(first)), look.alpha),
    )
    reasons: list[str] = []
    p, lift = None, None
    try:
        p = exact.p_value()
        # The lift comes from the absolute interval, so that both say the same about 0.
        effect = _difference(pair)
        relative_by_mapping(effect, exact.interval(look.alpha))
        lift = lambda level: relative_by_mapping(effect, exact.interval(level))  # noqa: E731
    except InsufficientData as cannot:
        # Where outcomes have no p-value they have no spread, for the same reason.
        reasons.append(cannot.reason)
    return Comparison(
        rule=EveryLook(),
        test="exact_by_epoch",
        p_value=p,
        interval=exact.interval,
        lift=lift,
        posterior=None if p is None else _belief(pair, spec, look, reasons),
        variance_reduction=0.0,
        reasons=tuple(dict.fromkeys(reasons)),
    )


def _plain(cells: Sequence[Aggregate]) -> tuple[Aggregate, ...]:
    """Without covariates, for which score intervals have no place."""
    return tuple(Aggregate(n=cell.n, mean=cell.mean, variance=cell.variance) for cell in cells)


def _is_small(pair: _Pair, shares: Shares) -> bool:
    """Whether the weights leave an arm fewer than 10 expected users with the event, or without it."""
    left = adaptive.worth(np.array(pair.users, dtype=np.float64), _arms(pair.control), _arms(pair.treatment))
    rate = float((shares.x_c + shares.x_t).sum() / max((shares.n_c + shares.n_t).sum(), 1))
    return float(min(left)) * min(rate, 1 - rate) < SMALL_CELL


def _belief(pair: _Pair, spec: MetricSpec, look: Look, reasons: list[str]) -> bayes.Posterior | None:
    try:
        return bayes.normal_lift(
            _difference(pair), alpha=look.alpha, lower_is_better=spec.direction == Direction.DECREASE
        )
    except InsufficientData as cannot:
        reasons.append(f"no Bayesian view: {cannot.reason}")
        return None


def _absolute(shares: Shares, level: float) -> Interval:
    lower, upper = adaptive_shares.limits(shares, level)
    return Interval(float(shares.estimate), float(lower), float(upper))


def _lift(shares: Shares, level: float) -> Interval:
    if not float(shares.rates[0]) > 0:
        raise_for(Reason.CONTROL_ZERO)
    lower, estimate, upper = (float(each) for each in adaptive_shares.limits_of_lift(shares, level))
    if not math.isfinite(upper):
        raise_for(Reason.CONTROL_NEAR_ZERO)
    return Interval(estimate, lower, upper)


def _together(cells: Sequence[Aggregate]) -> Aggregate:
    found = Aggregate(n=0, mean=0.0, variance=0.0)
    for cell in cells:
        found = found.merge(cell)
    return found
