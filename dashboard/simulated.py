"""A campaign in a made-up world: the form of the page Simulation as the API's question, and its answer as values. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from dashboard import formats, values
from dashboard.reading import Unreadable
from dashboard.sizes import share

POLICIES: Final = ("fixed", "thompson", "top_two")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What is true of an arm in the made-up world: rates, lifts and non-delivery as percent, the delay in hours; None where nothing was said."""

    key: str
    rate: float | None = None
    lift: float | None = None
    value: float | None = None
    delay: float | None = None
    non_delivery: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The whole world. runs None: as many as take a few seconds."""

    arms: Sequence[Arm]
    users_per_interval: int = 1000
    intervals: int = 30
    drift: float = 1.0
    sd: float | None = None
    runs: int | None = None
    seed: int = 1


def question(document: Mapping[str, Any], world: World) -> dict[str, Any]:
    """The body of `POST /v1/simulate`, for all policies. What nobody said is left out."""
    by_arm = {
        "rates": {arm.key: share(arm.rate) for arm in world.arms if arm.rate is not None},
        "lift": {arm.key: share(arm.lift) for arm in world.arms if arm.lift is not None},
        "values": {arm.key: arm.value for arm in world.arms if arm.value is not None},
        "sd": {} if world.sd is None else {arm.key: world.sd for arm in world.arms},
        "delay": {arm.key: f"{round(arm.delay * 60)}m" for arm in world.arms if arm.delay},
        "non_delivery": {arm.key: share(arm.non_delivery) for arm in world.arms if arm.non_delivery},
    }
    return {
        "campaign": dict(document),
        "world": {
            **{name: said for name, said in by_arm.items() if said},
            "users_per_interval": world.users_per_interval,
            "intervals": world.intervals,
            "drift": world.drift,
        },
        **({} if world.runs is None else {"runs": world.runs}),
        "seed": world.seed,
    }


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy over all runs; times in intervals.

    `report_*`: what the campaign's own reports decide first; `decided` and `wrong_winner`: an arm ahead of all the others.
    """

    policy: str
    regret: float
    regret_error: float
    sends: Mapping[str, float]
    best_share: float
    report_ships: float
    report_ships_wrong: float
    report_keeps: float
    intervals_to_report: float | None
    decided: float
    wrong_winner: float
    wrong_favourite: float
    intervals_to_decision: float | None
    moved: float | None


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One policy of a broadcast in waves; `shares` are those of the runs, by the API's names. intervals None: not said."""

    policy: str
    regret: float
    regret_error: float
    users: Mapping[str, float]
    got_best: float
    messaged: float
    shares: Mapping[str, float]
    intervals: float | None


@dataclass(frozen=True, slots=True)
class Simulated:
    """The answer. `worth`: of an assigned user by arm; `best`: the best arms; `broadcast` is empty unless the campaign begins once."""

    metric: str
    interval: str
    intervals: int
    users: int
    runs: int
    unit: str
    worth: Mapping[str, float]
    best: tuple[str, ...]
    planned: str
    outcomes: tuple[Outcome, ...]
    waves: int
    broadcast: tuple[Broadcast, ...]
    notes: tuple[str, ...]

    @property
    def all_alike(self) -> bool:
        return len(self.best) == len(self.worth)

    @property
    def nothing_moved(self) -> bool:
        """Whether no bandit ever moved traffic."""
        bandits = [row for row in self.outcomes if row.policy != "fixed"]
        return bool(bandits) and all(row.moved is None for row in bandits)


SHARES_OF_WAVES: Final = (
    "shipped",
    "wrong_shipped",
    "shipped_no_better",
    "ended",
    "wrongly_ended",
    "all_out",
)


def read_simulated(document: Any) -> Simulated:
    """Raises Unreadable for what is no answer."""
    found = values.mapping(document)
    outcomes = tuple(_outcome(each) for each in values.mappings(found.get("outcomes")))
    runs = values.whole(found.get("runs"))
    if not outcomes or not runs:
        raise Unreadable("not a simulation")
    waves = values.mapping(found.get("waves"))
    return Simulated(
        metric=values.text(found.get("metric")),
        interval=values.text(found.get("interval")),
        intervals=values.whole(found.get("intervals")) or 0,
        users=values.whole(found.get("users")) or 0,
        runs=runs,
        unit=values.text(found.get("unit")),
        worth=values.numbers(found.get("worth")),
        best=values.texts(found.get("best")),
        planned=values.text(found.get("planned")),
        outcomes=outcomes,
        waves=values.whole(waves.get("waves")) or 0,
        broadcast=tuple(_broadcast(each) for each in values.mappings(waves.get("outcomes"))),
        notes=values.texts(found.get("notes")),
    )


def together(parts: Sequence[Simulated]) -> Simulated:
    """Answers about some policies each, to the same question, as one answer."""
    first = parts[0]
    broadcast = {row.policy: row for part in parts for row in part.broadcast}
    return replace(
        first,
        outcomes=tuple(row for part in parts for row in part.outcomes),
        broadcast=tuple(broadcast.values()),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _outcome(document: Mapping[str, Any]) -> Outcome:
    return Outcome(
        policy=values.text(document.get("policy")),
        regret=_needed(document, "regret"),
        regret_error=_needed(document, "regret_error"),
        sends=values.numbers(document.get("sends")),
        best_share=_needed(document, "best_share"),
        report_ships=_needed(document, "report_ships"),
        report_ships_wrong=_needed(document, "report_ships_wrong"),
        report_keeps=_needed(document, "report_keeps"),
        intervals_to_report=values.number(document.get("intervals_to_report")),
        decided=_needed(document, "decided"),
        wrong_winner=_needed(document, "wrong_winner"),
        wrong_favourite=_needed(document, "wrong_favourite"),
        intervals_to_decision=values.number(document.get("intervals_to_decision")),
        moved=values.number(document.get("moved")),
    )


def _broadcast(document: Mapping[str, Any]) -> Broadcast:
    return Broadcast(
        policy=values.text(document.get("policy")),
        regret=_needed(document, "regret"),
        regret_error=_needed(document, "regret_error"),
        users=values.numbers(document.get("users")),
        got_best=_needed(document, "got_best"),
        messaged=_needed(document, "messaged"),
        shares={name: _needed(document, name) for name in SHARES_OF_WAVES},
        intervals=values.number(document.get("intervals")),
    )


def _needed(document: Mapping[str, Any], name: str) -> float:
    found = values.number(document.get(name))
    if found is None:
        raise Unreadable(name)
    return found


def share_with_error(value: float, runs: int) -> str:
    r"""A share of the runs with its Monte-Carlo error, sqrt(p (1 - p) / R); of none or all of them a bound at 95 % (3/R, the rule of three).

    >>> share_with_error(0.25, 300), share_with_error(0, 300), share_with_error(1, 300)
    ('25.0% ±\xa02.5', '<\xa01.0%', '>\xa099.0%')
    """
    if value <= 0:
        return f"<\u00a0{300 / runs:.1f}%"
    if value >= 1:
        return f">\u00a0{100 - 300 / runs:.1f}%"
    return f"{formats.percent(value)} ±\u00a0{100 * math.sqrt(value * (1 - value) / runs):.1f}"


def amount_with_error(value: float, error: float) -> str:
    r"""A mean over the runs with its Monte-Carlo error, as exact as that; an expected value has none.

    >>> amount_with_error(123.456, 2.34), amount_with_error(1500, 0)
    ('123.5 ±\xa02.3', '1,500')
    """
    if error <= 0:
        return formats.number(value, 0 if value >= 100 or value == 0 else 2)
    decimals = formats.decimals_for(error)
    return f"{formats.number(value, decimals)} ±\u00a0{formats.number(error, decimals)}"
