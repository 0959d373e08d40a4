"""What travels over HTTP about simulated campaigns."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from analysis.planning.bandit_inputs import FEWEST, Assumed
from analysis.planning.bandit_plan import POLICIES, BanditSimulation
from experiments.vocabulary import Direction

MOST_RUNS = 10_000
Policy = Literal["fixed", "thompson", "top_two"]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class SimulationRequest(BaseModel):
    """`world`: what is true in it, by variant. `runs`: campaigns under each policy; absent: as many as take a few seconds, at most 1,000.
    `seed`: of the random numbers; the same one gives the same answer. `policies`: which of them; one by one they are the same as all at once, but for
    `notes` about all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    campaign: dict[str, Any] = Field(description="A campaign: the document that `POST /v1/experiments` takes")
    world: Assumed = Assumed()
    runs: int | None = Field(None, ge=FEWEST, le=MOST_RUNS, strict=True)
    seed: int = Field(1, ge=0, lt=2**63, strict=True)
    policies: frozenset[Policy] = Field(frozenset(POLICIES), min_length=1)


class SimulatedPolicy(_Answer):
    """Means over the runs. `regret`: what is lost against the best arm for everybody, with its Monte-Carlo error; `sends`: users by arm;
    `best_share`: of the traffic to the best arms. What reports decide first, as shares of the runs: `report_ships` a variant, `report_ships_wrong` one that is not the best or no better than the
    control, `report_keeps` the control. `decided`: an arm was ahead of every other one, `wrong_winner`: a wrong one;
    `wrong_favourite`: the most likely arm at the end is not the best. Medians, null where it never happened: `intervals_to_report`, `intervals_to_decision`, and `moved`,
    the interval from which traffic moved.
    """

    policy: Policy
    regret: float
    regret_error: float
    sends: dict[str, float]
    best_share: float
    decided: float
    wrong_winner: float
    wrong_favourite: float
    intervals_to_decision: float | None
    report_ships: float
    report_ships_wrong: float
    report_keeps: float
    intervals_to_report: float | None
    moved: float | None


class SimulatedBroadcast(_Answer):
    """One audience met at one moment; `policy` fixed is everybody at once (expected values), the others go out in waves. Means over the runs: `users` by arm, the rest of the audience
    included, `got_best` share of them who got a best arm, `messaged` users in arms that send, `regret` with its Monte-Carlo error. Shares of the runs: `shipped`, the rest got a winner
    (`wrong_shipped` that is not the best, `shipped_no_better` that is no better than the control); `ended`, the rest got the control (`ended_by_report`, `ended_before_last` wave;
    `wrongly_ended` although a variant is better); `all_out`, every wave went out. `intervals`: median, until the decision or the last wave.
    """

    policy: Policy
    regret: float
    regret_error: float
    users: dict[str, float]
    got_best: float
    messaged: float
    shipped: float
    wrong_shipped: float
    shipped_no_better: float
    ended: float
    ended_by_report: float
    ended_before_last: float
    wrongly_ended: float
    all_out: float
    intervals: float


class SimulatedWaves(_Answer):
    """`waves`: how many there are, of `users` in all."""

    waves: int
    users: int
    outcomes: list[SimulatedBroadcast]


class SimulationAnswer(_Answer):
    """`planned` is the policy of the campaign, `interval` the time between two reallocations, `window_intervals` how many of them a window takes. `unit` is what is
    lost: conversions, the metric, or money. What was simulated, by arm, what does not arrive included: `rates`, users with a number (a conversion) per assigned user; `values`, the
    mean number of those, null for proportions; `worth` of an assigned user in `unit`, before any drift. `best`: the best arms. `notes`: what to read in it.
    """

    experiment: str
    metric: str
    direction: Direction
    interval: str
    intervals: int
    users: int
    window_intervals: int
    runs: int
    unit: str
    rates: dict[str, float]
    values: dict[str, float] | None
    worth: dict[str, float]
    best: list[str]
    planned: Policy
    outcomes: list[SimulatedPolicy]
    waves: SimulatedWaves | None
    notes: list[str]

    @classmethod
    def of(cls, made: BanditSimulation) -> Self:
        return cls.model_validate(made.to_json())
