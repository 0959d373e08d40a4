"""What a report by slice says, as frozen values and in words. None means "cannot tell", with a reason beside it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from analysis.findings import Effect, plain_json
from experiments.clock import format_moment
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole

FOR_QUESTIONS: Final = (
    "effects in slices are for finding questions, not for deciding: what looks different in one slice is to be tested in an "
    "experiment of its own"
)
NO_SLICE_DIFFERS: Final = "no slice differs: the effects vary between slices no more than chance makes them, so read the effect over all users"
ATTRIBUTES_OF_NOW: Final = "attributes are those that users have now: slices by one that the campaign can change compare users who are not alike"
HOW_TOLD: Final = "whether slices differ is tested on differences, not on lifts: where the level differs, an equal lift is another difference"
ABOUT_LOOKS: Final = (
    "whether slices differ is Cochran's test, whose p is of one look (p_value_of_this_look); the rule of this look levels it "
    "(p_value), exactly for two slices and nearly for more"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceEffect:
    """One variant against the control in one slice. n, n_control: mature users. `reasons` says why what is null is null."""

    slice: str
    n_control: int
    n: int
    effect: Effect
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceHeterogeneity:
    """Whether one variant's effect differs between slices: Cochran's Q over `slices` of them.

    p_value: valid for the method, as an effect's. adjusted_p_value: over the variants of the metric. differs: adjusted_p_value
    below alpha; None where it cannot be told. says: the same in words.
    """

    variant: str
    says: str
    slices: int = 0
    q: float | None = None
    degrees_of_freedom: int | None = None
    p_value_of_this_look: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    differs: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSlices:
    metric: str
    kind: MetricKind
    role: MetricRole
    direction: Direction
    slices: tuple[SliceEffect, ...]
    heterogeneity: tuple[SliceHeterogeneity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReport:
    """A report by slice. report: the id of the kept report whose moment and rule these are (None: it was not kept).

    slices: the largest first, days in their order; an empty name is of users without the attribute.
    """

    experiment: str
    by: str
    report: int | None
    as_of: datetime
    method: Method
    alpha: float
    information: float | None
    control: str
    slices: tuple[str, ...]
    metrics: tuple[MetricSlices, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; never NaN or infinite."""
        plain: dict[str, Any] = plain_json(self)
        return {**plain, "as_of": format_moment(self.as_of)}
