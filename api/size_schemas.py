"""What travels over HTTP about plans without a campaign."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from analysis.planning.sizing import Part, Sizing
from analysis.planning.sizing_question import MOST_ARMS, Question
from api.plan_schemas import PlanEffectPoint, PlanLooking, PlanPoint
from experiments.metrics import PositiveDuration
from experiments.vocabulary import Method

MOST_LOOKS = 90
"""Daily for three months; what is drawn look by look would take too long beyond that."""
_Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class SizeRequest(BaseModel):
    """`baseline`: mean of the control, a share unless `sd` is given. One of `mde` (relative, on those who are reached) and `margin` (the harm that a guardrail may have), or
    `users` alone. `weights`: of the arms, the control first. `message_price`: of one that arrives.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: _Number
    mde: _Number | None = None
    margin: _Number | None = None
    users: int | None = Field(None, strict=True, description="Of all arms: says power and smallest effect")
    sd: _Number | None = None
    rho: _Number = Field(0.0, description="Correlation with a covariate (CUPED)")
    reach: _Number = Field(1.0, description="Share of users whom the message gets to")
    weights: list[_Number] = Field([1.0, 1.0], max_length=MOST_ARMS)
    method: Method = Method.SPENDING
    looks: int = Field(14, ge=1, le=MOST_LOOKS, strict=True)
    alpha: _Number = 0.05
    power: _Number = 0.8
    per_day: _Number | None = Field(None, description="Users who join each day: says how many days it takes")
    window: PositiveDuration = timedelta(days=7)
    half_life: PositiveDuration | None = None
    message_price: _Number | None = None
    control_sends: bool = Field(False, strict=True, description="The control gets a message too")
    only: Part | None = Field(
        None,
        description="Half of the answer: `figures` without `curve` and `effects`, or `pictures` without `power` and `minimum_effect`",
    )

    def question(self) -> Question:
        said = {name: getattr(self, name) for name in type(self).model_fields if name != "only"}
        return Question(**{**said, "weights": tuple(self.weights)})


class SizeAnswer(BaseModel):
    """`users_needed` of all arms, `arms` of each, the control first; `days_needed` at `per_day`, the last window included. `level`: error of one comparison; `seen`: the share of an effect that is seen in
    the whole arm. `power` and `minimum_effect`: with the `users` there are. `messages` and `cost`: of the users needed, else of those there are. `curve`: power by users; `effects`: by the effect, with the
    users there are, else those needed; `looking`: what looks cost. What is null has its reason in `reasons`.
    """

    model_config = ConfigDict(frozen=True)

    method: Method
    looks: int
    comparisons: int
    level: float
    inflation: float | None
    effect: float | None
    margin: float | None
    seen: float
    users_needed: int | None
    arms: list[int]
    days_needed: int | None
    users: int | None
    power: float | None
    minimum_effect: float | None
    planned_power: float
    messages: int | None
    cost: float | None
    curve: list[PlanPoint]
    effects: list[PlanEffectPoint]
    looking: list[PlanLooking]
    reasons: list[str]

    @classmethod
    def of(cls, sizing: Sizing) -> Self:
        return cls.model_validate(sizing.to_json())
