"""`touchstone plan size` and `POST /v1/plan/size`: how many users a comparison needs, from a few numbers and without any data. Pure."""

import math
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final, Literal

import numpy as np

from analysis.planning.bandit_inputs import Written
from analysis.planning.plan_findings import EffectPoint, Looking, Point
from analysis.planning.plan_pictures import power_by_effect, price_of_looking
from analysis.planning.plan_ways import Guardrail, Way, for_picture, found_by, way_for
from analysis.planning.sizing_question import Question
from analysis.stats.errors import InsufficientData
from analysis.stats.exact_power import ExactPower
from analysis.stats.monitoring import Monitoring, evenly
from analysis.stats.power import Outcome, Shares
from analysis.stats.simulated_power import Progress, Trial, simulate
from experiments.vocabulary import Method

POINTS: Final = 30
MOST_ENTRY_DAYS: Final = 3650
_DAY: Final = timedelta(days=1)
Part = Literal["figures", "pictures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSize:
    """found: of each variant against the control, after Holm; with its Monte-Carlo standard error."""

    runs: int
    found: tuple[float, ...]
    standard_errors: tuple[float, ...]
    any_found: float
    all_found: float
    mean_days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """The answer. users_needed: of all arms, arms: of each; days_needed: at `per_day`, the last window included. level: the error of one
    comparison. inflation: times the users of one fixed look at that level, where there is a formula; power and minimum_effect: with the `users` there are.
    messages: to the users needed, else to those there are; cost: of those that arrive. curve: power by users; effects: by the effect, with the users there are, else those needed; looking: what
    looks cost. What is null has its reason in `reasons`.
    """

    method: str
    looks: int
    comparisons: int
    level: float
    inflation: float | None
    effect: float | None
    margin: float | None
    seen: float
    users_needed: int | None
    arms: tuple[int, ...]
    days_needed: int | None
    users: int | None
    power: float | None
    minimum_effect: float | None
    planned_power: float
    messages: int | None
    cost: float | None
    curve: tuple[Point, ...]
    effects: tuple[EffectPoint, ...]
    looking: tuple[Looking, ...]
    simulation: SimulatedSize | None
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def size(
    question: Question,
    *,
    runs: int = 0,
    rng: np.random.Generator | None = None,
    progress: Progress | None = None,
    only: Part | None = None,
    fields: str = "--",
) -> Sizing:
    """Answer a question; raises Invalid for what cannot be. What cannot be told is None with a reason.

    runs: experiments to simulate beside the formulas, with `rng`. only: figures without `curve` and `effects`, or these without what the users there are find (power, smallest
    effect), since under `exact` each half takes seconds. fields: what stands before the names of fields in errors. The smallest variant is planned for; the others find as much or more.
    """
    question.check(Written(fields))
    reasons: list[str] = []
    keeps = question.margin is not None
    comparisons = 1 if keeps else len(question.weights) - 1
    watched = Monitoring(
        method=str(Method.ALWAYS_VALID if question.method == Method.EXACT else question.method),
        alpha=question.alpha,
        comparisons=comparisons,
        fractions=evenly(1 if question.method == Method.FIXED else question.looks),
    )
    watched = watched.one_sided() if keeps else watched
    way = way_for(watched, method=question.method, is_share=question.sd is None, guards=keeps)
    needed = _needed(question, way, reasons)
    # Where no effect is named, the pictures are drawn around the smallest one.
    is_asked = only != "pictures" or question.mde is None
    found, smallest = _with_users(question, way, reasons) if is_asked else (None, None)
    messages = _messages(question, needed or question.users)
    asked = [float(n) for n in (needed, question.users) if n]
    reasons += [
        words
        for n in asked
        if (words := found_by(way, _outcome(question), n=n, shares=_pair(question), keeps=keeps)) is not None
    ]
    return Sizing(
        method=str(question.method),
        looks=len(watched.looks),
        comparisons=comparisons,
        # All of alpha is on the side of harm, which the two-sided bounds of `one_sided` know as twice as much.
        level=question.alpha if keeps else watched.level,
        inflation=None
        if isinstance(way, ExactPower | Guardrail)
        else watched.inflation(question.power, one_sided=keeps),
        effect=question.mde,
        margin=question.margin,
        seen=question.seen,
        users_needed=needed,
        arms=() if needed is None else tuple(math.ceil(share * needed) for share in question.shares),
        days_needed=_days(question, needed),
        users=question.users,
        power=found,
        minimum_effect=smallest,
        planned_power=question.power,
        messages=messages,
        cost=None
        if messages is None or question.message_price is None
        else messages * question.reach * question.message_price,
        curve=() if only == "figures" else _curve(question, for_picture(way), needed),
        effects=()
        if only == "figures"
        else _effects(question, for_picture(way), question.users or needed, smallest),
        looking=_looking(question, watched),
        simulation=_simulation(question, watched, needed, runs, rng, progress, reasons),
        reasons=tuple(dict.fromkeys(reasons)),
    )


def _outcome(question: Question) -> Outcome:
    if question.sd is None:
        return Outcome.rate(question.baseline, rho=question.rho, reach=question.seen)
    return Outcome(mean=question.baseline, sd=question.sd, rho=question.rho, reach=question.seen)


def _pair(question: Question) -> Shares:
    return Shares(control=question.shares[0], treatment=min(question.shares[1:]))


def _needed(question: Question, way: Way, reasons: list[str]) -> int | None:
    outcome, shares = _outcome(question), _pair(question)
    try:
        if question.margin is not None:
            return way.non_inferiority_size(
                outcome, margin=question.margin, power=question.power, shares=shares
            )
        if question.mde is not None:
            return way.sample_size(outcome, effect=question.mde, power=question.power, shares=shares)
    except InsufficientData as cannot:
        reasons.append(cannot.reason)
    return None


def _with_users(question: Question, way: Way, reasons: list[str]) -> tuple[float | None, float | None]:
    """Power and the smallest effect with the users there are."""
    outcome, shares, users = _outcome(question), _pair(question), question.users
    if users is None:
        return None, None
    found: float | None = None
    try:
        if question.margin is not None:
            return way.non_inferiority_power(outcome, margin=question.margin, n=users, shares=shares), None
        if question.mde is not None:
            found = way.power(outcome, effect=question.mde, n=users, shares=shares)
        falls = (question.mde or 0) < 0
        return found, way.minimum_detectable_effect(
            outcome, n=users, power=question.power, shares=shares, falls=falls
        )
    except InsufficientData as cannot:
        reasons.append(cannot.reason)
        return found, None


def _days(question: Question, needed: int | None) -> int | None:
    if needed is None or question.per_day is None:
        return None
    return math.ceil(needed / question.per_day) + math.ceil(question.window / _DAY)


def _messages(question: Question, users: int | None) -> int | None:
    """One to everybody in an arm that sends."""
    if users is None:
        return None
    return math.ceil(users * (1.0 if question.control_sends else 1 - question.shares[0]))


def _effects(
    question: Question, way: Way, users: int | None, smallest: float | None
) -> tuple[EffectPoint, ...]:
    around = question.mde or smallest
    if question.margin is not None or users is None or around is None:
        return ()
    return power_by_effect(way, _outcome(question), effect=around, n=users, shares=_pair(question))


def _looking(question: Question, watched: Monitoring) -> tuple[Looking, ...]:
    if question.mde is None:
        return ()
    return price_of_looking(
        _outcome(question),
        effect=question.mde,
        power=question.power,
        shares=_pair(question),
        alpha=question.alpha,
        comparisons=watched.comparisons,
        looks=question.looks,
    )


def _curve(question: Question, way: Way, needed: int | None) -> tuple[Point, ...]:
    effect = question.mde
    if effect is None or needed is None:
        return ()
    last = max(needed * 1.6, min(question.users or 0, needed * 3) * 1.1)
    counts = sorted({max(round(last * step / POINTS), 2) for step in range(1, POINTS + 1)})
    outcome, shares = _outcome(question), _pair(question)
    return tuple(Point(users=n, power=way.power(outcome, effect=effect, n=n, shares=shares)) for n in counts)


def _simulation(
    question: Question,
    watched: Monitoring,
    needed: int | None,
    runs: int,
    rng: np.random.Generator | None,
    progress: Progress | None,
    reasons: list[str],
) -> SimulatedSize | None:
    """The users there are (else those that are needed) enter evenly, as many on each day as there are looks, or `per_day`."""
    n = question.users or needed
    if not runs or rng is None:
        return None
    if question.mde is None or n is None:
        reasons.append("no simulation: it needs --mde")
        return None
    entering = question.looks if question.per_day is None else max(math.ceil(n / question.per_day), 1)
    if entering > MOST_ENTRY_DAYS:
        reasons.append(f"no simulation: at so few a day, it would take {entering:,} days")
        return None
    window = question.window / _DAY
    outcome, base = _outcome(question), question.baseline
    delta = base * question.mde * question.reach
    spread = tuple(math.sqrt(variance) for variance in outcome.variances(delta))
    others, by_e_process = len(question.weights) - 1, question.method == Method.EXACT
    last = entering + math.ceil(window)
    looks = np.unique(np.linspace(last, math.ceil(window) + 1, min(question.looks, entering)).round())
    try:
        made = simulate(
            Trial(
                shares=question.shares,
                means=(base, *(base + delta,) * others),
                sds=None
                if question.sd is None and (question.rho == 0 or by_e_process)
                else (spread[0], *(spread[1],) * others),
                arrivals=(n / entering,) * entering,
                looks=tuple(looks.tolist()),
                window=window,
                half_life=None if question.half_life is None else question.half_life / _DAY,
                by_e_process=by_e_process,
            ),
            monitoring=watched,
            runs=runs,
            rng=rng,
            progress=progress,
        )
    except InsufficientData as cannot:
        reasons.append(f"no simulation: {cannot.reason}")
        return None
    return SimulatedSize(
        runs=runs,
        found=made.each,
        standard_errors=tuple(made.standard_error(share) for share in made.each),
        any_found=made.any_found,
        all_found=made.all_found,
        mean_days=made.mean_days,
    )
