"""`touchstone certify`: does the comparison keep its promise on *these* data? A/A by drawing the same users again.

The null: nobody's outcome depends on the variant. All users of all arms are pooled, labels are drawn anew with the
design's weights, and each run is compared as the report compares it; whatever is found in a run is found by mistake.
Nothing is subtracted for the effects that the arms may really have: labels drawn anew carry none.
See docs/decisions/0025-certify-by-drawing-again.md.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from analysis.certification.calibration import FEWEST_RUNS, Calibration, Share, Verdict, calibrate, share_of
from analysis.certification.certify_facts import Drawn
from analysis.certification.certify_pairs import Runs, compare_runs
from analysis.certification.redraw_quantiles import redraw_quantiles
from analysis.certification.rerandomise import Pool, rerandomise
from analysis.stats import srm
from analysis.stats.errors import InsufficientData
from experiments.errors import Invalid
from experiments.vocabulary import SHARE_KINDS, MetricKind

RUNS: Final = 10_000
SEED: Final = 20_261_201
MOST_RUNS: Final = 100_000
WORK: Final = 2_000_000_000
"""Units that are dealt one by one, over all runs, arms and metrics: about ten seconds. Beyond it, each metric is a sample."""
A_USER_OF_NOTE: Final = 0.1
A_TAIL_OF_NOTE: Final = 0.5
CLUSTERED: Final = 1.05

Advance = Callable[[int, int], None]
"""Is told how many runs were done just now, and how many there are in all metrics together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricData:
    """A metric to certify: its pooled outcomes, or why there are none. level: of a quantile, which needs users who were drawn one by one."""

    key: str
    kind: MetricKind
    drawn: Drawn
    reason: str = ""
    level: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """One variant against the control on one metric. because: the verdict in words. largest_share: of the total that the
    largest unit holds (None for a proportion, and where all are 0). sample: share of the users that the runs were made from.
    """

    metric: str
    kind: MetricKind
    variant: str
    verdict: Verdict
    because: str
    calibration: Calibration | None
    users: int
    largest_share: float | None
    sample: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioAlarms:
    """How often the sample-ratio checks raise an alarm over sizes that the weights themselves drew; None: too few users."""

    runs: int
    assigned: int
    chi_square: Share | None
    e_value: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What `certify` found. weights: variant -> share of the traffic. drawn_by: what users who were drawn together share."""

    source: str
    control: str
    weights: Mapping[str, float]
    drawn_by: str | None
    runs: int
    seed: int
    metrics: tuple[Certified, ...]
    ratio: RatioAlarms
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        document = asdict(self)
        document["alarm_levels"] = {"chi_square_p": srm.ALARM_P, "e_value": srm.ALARM_E}
        return document


def check_runs(runs: int) -> None:
    """Raises Invalid unless so many runs can be made and say something."""
    if not FEWEST_RUNS <= runs <= MOST_RUNS:
        raise Invalid(f"must lie between {FEWEST_RUNS} and {MOST_RUNS:,}", field="--runs")


def certify(
    metrics: Sequence[MetricData],
    *,
    source: str,
    control: str,
    weights: Mapping[str, float],
    assigned: int,
    drawn_by: str | None,
    runs: int,
    seed: int,
    warnings: Sequence[str] = (),
    advance: Advance = lambda _done, _of: None,
) -> Certificate:
    """Draw the arms anew `runs` times and say how often each comparison errs. Pure; the same seed gives the same numbers.

    weights: variant -> weight > 0, two or more, the control among them. assigned: users whose sizes the ratio check sees.
    """
    control_first = {control: weights[control], **weights}
    total = sum(control_first.values())
    shares = {variant: weight / total for variant, weight in control_first.items()}
    said = list(warnings)
    budget = WORK / runs / (len(shares) - 1)
    work = sum(
        metric.drawn.pool.work()
        for metric in metrics
        if metric.drawn.pool is not None and metric.level is None
    )
    thin = min(1.0, budget / work) if work else 1.0
    found: list[Certified] = []
    for number, metric in enumerate(metrics):
        rng = np.random.default_rng([seed, number])
        found += _certified(
            metric, shares, drawn_by, runs, thin, rng, lambda done: advance(done, runs * len(metrics))
        )
    return Certificate(
        source=source,
        control=control,
        weights=shares,
        drawn_by=drawn_by,
        runs=runs,
        seed=seed,
        metrics=tuple(found),
        ratio=_ratio_alarms(
            list(shares.values()), assigned, runs, np.random.default_rng([seed, len(metrics)])
        ),
        warnings=tuple(said),
    )


def _certified(
    metric: MetricData,
    shares: Mapping[str, float],
    drawn_by: str | None,
    runs: int,
    thin: float,
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> list[Certified]:
    _, *others = shares
    pool = metric.drawn.pool
    if pool is None:
        advance(runs)
        reason = metric.reason or "no user's window has closed yet"
        return [
            Certified(
                metric=metric.key, kind=metric.kind, variant=variant, verdict=Verdict.CANNOT_TELL, because=f"cannot tell: {reason}",
                calibration=None, users=0, largest_share=None, sample=metric.drawn.share,
            )
            for variant in others
        ]  # fmt: skip
    by_rank = metric.level is not None
    largest, tail = (None, None) if metric.kind in SHARE_KINDS or by_rank else concentration(pool)
    thin = 1.0 if by_rank else thin
    used = pool if thin >= 1 else pool.thinned(thin, rng)
    found = []
    for variant, compared in zip(others, _runs(metric, used, shares, runs, rng, advance), strict=True):
        calibration = calibrate(
            p=compared.p,
            covers=compared.covers,
            lift_covers=compared.lift_covers,
            estimate=compared.estimate,
            error=compared.error,
        )
        smallest = used.users * min(next(iter(shares.values())), shares[variant])
        found.append(
            Certified(
                metric=metric.key,
                kind=metric.kind,
                variant=variant,
                verdict=calibration.verdict if calibration else Verdict.CANNOT_TELL,
                because=_because(calibration, compared, largest, tail, drawn_by, smallest, metric.level),
                calibration=calibration,
                users=used.users,
                largest_share=largest,
                sample=metric.drawn.share * thin,
            )
        )
    return found


def _runs(
    metric: MetricData,
    pool: Pool,
    shares: Mapping[str, float],
    runs: int,
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> list[Runs]:
    """Each arm but the first against the first."""
    weights = list(shares.values())
    if metric.level is not None:
        return redraw_quantiles(pool, weights, level=metric.level, runs=runs, rng=rng, advance=advance)
    control, *others = rerandomise(pool, weights, runs=runs, rng=rng, advance=advance)
    return [compare_runs(control, other, kind=metric.kind) for other in others]


def concentration(pool: Pool) -> tuple[float | None, float | None]:
    """The shares of the total that the largest unit, and the largest hundredth of the units, hold, each by its size
    whatever its sign; None when all are 0.

    >>> from analysis.certification.rerandomise import pool_of_users
    >>> concentration(pool_of_users([299, 1], y=[1.0, 101.0]))
    (0.2525, 0.2575)
    """
    sizes = np.abs(pool.totals)
    sizes[sizes < 1e-9 * sizes.max(initial=0.0)] = 0.0
    whole = float((sizes * pool.times).sum())
    if not whole > 0:
        return None, None
    order = np.argsort(-sizes)
    values, times = sizes[order], pool.times[order]
    before = np.concatenate([[0], np.cumsum(times)[:-1]])
    taken = np.clip(math.ceil(pool.units / 100) - before, 0, times)
    return round(float(values[0]) / whole, 6), round(float((values * taken).sum()) / whole, 6)


def _because(
    calibration: Calibration | None,
    compared: Runs,
    largest: float | None,
    tail: float | None,
    drawn_by: str | None,
    smallest_arm: float,
    level: float | None,
) -> str:
    if calibration is None:
        return f"cannot tell: {compared.why or 'too few runs had a result'}"
    covers = f"{calibration.covers.share:.1%} of {calibration.runs:,}"
    one = f"one user holds {largest:.0%} of the total" if largest and largest >= A_USER_OF_NOTE else ""
    if drawn_by:
        one = one.replace("one user", f"one {drawn_by}")
    if calibration.verdict == Verdict.HOLDS:
        return f"intervals hold: {covers} contain 0" + (f"; but {one}" if one else "")
    if calibration.scatter > CLUSTERED and drawn_by:
        cause = (
            f"users who share a {drawn_by} were drawn together and are alike, so effects scatter {calibration.scatter:.2f} times "
            f"as much as their standard errors say; sum the outcomes up per {drawn_by} first"
        )
    elif level is not None:
        cause = (
            f"too few users, or too many with the same number, near the {level:g} quantile, {smallest_arm:,.0f} in the smaller arm; "
            "wait for more, or take another level"
        )
    elif one:
        cause = f"heavy tail, {one}; use a cap"
    elif compared.exact:
        cause = "so few conversions that only exact tests hold, and those are cautious; wait for more"
    elif tail and tail >= A_TAIL_OF_NOTE:
        cause = f"heavy tail, a hundredth of the users holds {tail:.0%} of the total; use a cap"
    else:
        cause = (
            f"too few users for so uneven an outcome, {smallest_arm:,.0f} in the smaller arm; wait for more"
        )
    if calibration.verdict == Verdict.TOO_NARROW:
        return f"too narrow: {covers} contain 0, not 95 %: {cause}"
    return f"too wide: {covers} contain 0, so that real effects are missed: {cause}"


def _ratio_alarms(weights: list[float], assigned: int, runs: int, rng: np.random.Generator) -> RatioAlarms:
    sizes = rng.multinomial(assigned, weights, size=runs)
    try:
        chi_square = share_of(np.ma.array(srm.chi_squares(sizes, weights) < srm.ALARM_P))
    except InsufficientData:
        chi_square = None
    e_value = share_of(np.ma.array(srm.log_e_values(sizes, weights) >= math.log(srm.ALARM_E)))
    return RatioAlarms(runs=runs, assigned=assigned, chi_square=chi_square, e_value=e_value)
