"""What somebody says about the made-up world of a simulation, and how a mistake in it is named where it was written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from experiments.errors import Problem
from experiments.metrics import PositiveDuration

MOST_INTERVALS: Final = 365
MOST_USERS: Final = 10_000_000
MOST_ARMS: Final = 100
MOST_DRIFT: Final = 100
FEWEST: Final = 20
"""Runs below which no share of them says anything."""
_Number = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False, strict=True)]
_ByArm = Annotated[dict[str, _Number], Field(max_length=MOST_ARMS)]


class Assumed(BaseModel):
    """What is true in the made-up world. Dictionaries are by the key of a variant; what is absent is said at each field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rates: _ByArm = Field(
        {}, description="Share of users whom the message reaches who convert within the window of the metric"
    )
    lift: _ByArm = Field({}, description="Relative to the rate of the control, instead of a rate")
    values: _ByArm = Field(
        {},
        description="Of a count, sum or mean: mean number (orders, money) of users who have one; absent: that of the control",
    )
    value_lift: _ByArm = Field({}, description="Relative to the value of the control, instead of a value")
    sd: _ByArm = Field(
        {},
        description="Standard deviation of that number between users who have one; absent: in proportion as the control's, or as large as the mean "
        "(of a count: that of 1 + Poisson)",
    )
    delay: Annotated[dict[str, PositiveDuration], Field(max_length=MOST_ARMS)] = Field(
        {},
        description="Mean time until a conversion, exponential within the window; absent: in the first interval",
    )
    non_delivery: _ByArm = Field(
        {},
        description="Share of messages that do not arrive; such a user does what the silent control would (nothing, where no control is silent)",
    )
    users_per_interval: int = Field(
        1000, ge=1, le=MOST_USERS, strict=True, description="Users who join in each interval"
    )
    intervals: int = Field(
        30, ge=1, le=MOST_INTERVALS, strict=True, description="For how many intervals users join"
    )
    drift: float = Field(
        1.0,
        ge=1 / MOST_DRIFT,
        le=MOST_DRIFT,
        allow_inf_nan=False,
        strict=True,
        description="What all rates have been multiplied with by the last interval: 2 doubles them",
    )


@dataclass(frozen=True, slots=True)
class Written:
    """How what was assumed was written: as options (`prefix` is --), or as a document whose paths begin with `prefix`."""

    prefix: str

    def name(self, field: str, arm: str | None = None) -> str:
        """Where a field of `Assumed`, or the entry of an arm in it, was written."""
        if self.prefix == "--":
            return f"--{field.replace('_', '-')}"
        return f"{self.prefix}{field}" if arm is None else f"{self.prefix}{field}.{arm}"

    def problem(self, field: str, arm: str | None, words: str) -> Problem:
        """What is wrong with the entry of an arm, or with a field as a whole. An option holds many entries, so its words name the arm."""
        says = f"{arm}: {words}" if self.prefix == "--" and arm is not None else words
        return Problem(self.name(field, arm), says)

    def by_arm(self, field: str, values: Mapping[str, float]) -> str:
        """An example of how to write it."""
        if self.prefix == "--":
            return f"{self.name(field)} {','.join(f'{arm}={value:g}' for arm, value in values.items())}"
        return f'"{field}": {{{", ".join(f"{chr(34)}{arm}{chr(34)}: {value:g}" for arm, value in values.items())}}}'
