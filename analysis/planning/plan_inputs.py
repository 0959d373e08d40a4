"""What somebody who plans may say beside the campaign itself: what the database does not know, or knows worse."""

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from analysis.stats.monitoring import MOST_LOOKS
from experiments.errors import Invalid, Problem
from experiments.metrics import PositiveDuration

MOST_USERS: Final = 10**9
MOST_DAYS: Final = 365
MOST_RUNS: Final = 5_000
"""Simulated experiments in one request."""

LEAST_REACH: Final = 0.001
_Mean = Annotated[float, Field(ge=1e-9, le=1e12, allow_inf_nan=False, strict=True)]
_Spread = Annotated[float, Field(ge=1e-9, le=1e12, allow_inf_nan=False, strict=True)]
_Correlation = Annotated[float, Field(ge=-0.999, le=0.999, allow_inf_nan=False, strict=True)]


class Assumptions(BaseModel):
    """Each replaces what would be measured. `baseline`, `sd` and `rho` are by the key of a metric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: dict[str, _Mean] = Field(
        {}, max_length=50, description="Mean of a user of the control in one window; a share for a proportion"
    )
    sd: dict[str, _Spread] = Field(
        {}, max_length=50, description="Standard deviation between users; not for proportions"
    )
    rho: dict[str, _Correlation] = Field(
        {}, max_length=50, description="Correlation with the covariate of CUPED"
    )
    reach: float | None = Field(
        None,
        ge=LEAST_REACH,
        le=1,
        strict=True,
        allow_inf_nan=False,
        description="Share of the messaged arms that messages get to",
    )
    users: int | None = Field(
        None,
        ge=1,
        le=MOST_USERS,
        strict=True,
        description="Users who take part at the start, all arms together",
    )
    per_day: float | None = Field(
        None,
        ge=0,
        le=MOST_USERS,
        strict=True,
        allow_inf_nan=False,
        description="Users who join on each day after that",
    )
    days: int | None = Field(
        None, ge=1, le=MOST_DAYS, strict=True, description="For how many days users join"
    )
    looks: int | None = Field(
        None,
        ge=1,
        le=MOST_LOOKS,
        strict=True,
        description="How often new results are looked at until the end",
    )
    half_life: PositiveDuration | None = Field(
        None,
        description="Until half of the effect of a message has come in, such as 2d; absent: all of it within the window",
    )

    def check_keys(self, known: Iterable[str], *, field: str) -> None:
        """Raises Invalid when a metric is named that the campaign does not have."""
        keys = list(known)
        problems = [
            Problem(f"{field}{part}.{key}", f"the campaign has no metric {key!r}; it has {', '.join(keys)}")
            for part in ("baseline", "sd", "rho")
            for key in getattr(self, part)
            if key not in keys
        ]
        if problems:
            raise Invalid.of(problems)
