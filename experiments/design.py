"""A campaign as a validated value: what `touchstone apply` reads and `POST /v1/experiments` takes.

Everything that can be known to be wrong before anybody is messaged is refused here, with the path of the field as
the author wrote it. A design that passes can be started once its audience is not empty.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from experiments import content
from experiments.allocation import (
    Allocation,
    BanditAllocation,
    FixedAllocation,
    allocation_problems,
    fixed_unless_said,
    settled,
)
from experiments.errors import Invalid, Problem
from experiments.factors import MAX_FACTORS, MAX_VARIANTS, Factor, as_written, crossed
from experiments.metrics import GUARDED, KEY_PATTERN, MetricDefinition, MetricUse, PositiveDuration
from experiments.mistakes import path_of, place_of, problems_of, untagged, words_of
from experiments.plan import Plan, end_problems, rule_problems
from experiments.timing import last_send_offset, series_problems
from experiments.treatments import Treatment, Variant
from experiments.triggers import Moment, OnceTrigger, RecurringTrigger, Trigger
from experiments.vocabulary import Category, MetricRole

SHARES_TOLERANCE: Final = 1e-6
USER_ID: Final = "user_id"
"""The attribute that every user has: the outside world's id."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Share = Annotated[float, Field(ge=0, le=1, strict=True, allow_inf_nan=False)]


class Layer(_Value):
    """A stretch of a layer, of its users' hash: experiments on disjoint stretches never share a user."""

    key: str = Field(pattern=KEY_PATTERN)
    range: tuple[Share, Share] | None = Field(
        None,
        description="From (included) and to (excluded); absent: whoever no other experiment of the layer has",
    )

    @field_validator("range")
    @classmethod
    def _goes_up(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError(f"ends at {value[1]:g}, which is not after its start {value[0]:g}")
        return value

    def overlaps(self, other: "Layer") -> bool:
        """Whether both are ranges of one layer that share a stretch."""
        if self.key != other.key or self.range is None or other.range is None:
            return False
        return self.range[0] < other.range[1] and other.range[0] < self.range[1]


class Prerequisite(_Value):
    """Only users whose variant in another experiment is one of `variants` take part."""

    experiment: str = Field(pattern=KEY_PATTERN)
    variants: tuple[str, ...] = Field(min_length=1, max_length=50)


class Audience(_Value):
    """Who takes part. `coverage` is the share of the audience that is enrolled; `holdout` is kept out on top of it.

    Users are drawn by the hash of `hash_attribute` (or of `fallback_attribute` where that is missing): all users who
    share a value share a variant. `forced` gives test users a variant by hand; they are messaged and never analysed.
    """

    condition: dict[str, Any] = Field(default_factory=dict)
    coverage: float = Field(1.0, gt=0, le=1, strict=True, allow_inf_nan=False)
    holdout: float = Field(0.0, ge=0, lt=1, strict=True, allow_inf_nan=False)
    layer: Layer | None = Field(None, description="Experiments of one layer never share a user")
    hash_attribute: str = Field(USER_ID, min_length=1, max_length=200)
    fallback_attribute: str | None = Field(None, min_length=1, max_length=200)
    prerequisites: tuple[Prerequisite, ...] = Field((), max_length=20)
    forced: dict[str, str] = Field(default_factory=dict, max_length=1000, description="User id -> variant")

    @field_validator("layer", mode="before")
    @classmethod
    def _layer_by_name(cls, value: object) -> object:
        return {"key": value} if isinstance(value, str) else value


class Expiry(_Value):
    """When a message that has not gone out is given up: `after` so long from its first due time, and `at` a moment."""

    after: PositiveDuration | None = Field(None, description="Absent: TOUCHSTONE_MESSAGE_TTL")
    at: Moment | None = None

    def of(self, due: datetime, *, ttl: timedelta) -> datetime:
        """From when on a message that was first due at `due` no longer goes out; `ttl` where nothing is said."""
        last = due + (self.after or ttl)
        return last if self.at is None else min(last, self.at)


class ExperimentDesign(_Value):
    """One campaign, one experiment."""

    key: str = Field(pattern=KEY_PATTERN)
    name: str = Field(min_length=1, max_length=200)
    hypothesis: str = Field("", max_length=2000)
    category: Category = Category.MARKETING
    priority: int = Field(0, ge=-1000, le=1000, strict=True)
    audience: Audience = Audience()
    trigger: Trigger = OnceTrigger()
    expires: Expiry = Expiry()
    treatment: Treatment = Field(Treatment(), description="What all variants made from `factors` share")
    factors: tuple[Factor, ...] = Field((), max_length=MAX_FACTORS)
    variants: tuple[Variant, ...] = Field(min_length=2, max_length=MAX_VARIANTS)
    metrics: tuple[MetricUse, ...] = Field(min_length=1, max_length=50)
    plan: Plan = Plan()
    allocation: Allocation = FixedAllocation()

    @field_validator("trigger", mode="before")
    @classmethod
    def _once_unless_said(cls, value: object) -> object:
        return {"type": "once", **value} if isinstance(value, Mapping) and "type" not in value else value

    @field_validator("allocation", mode="before")
    @classmethod
    def _fixed_unless_said(cls, value: object) -> object:
        return fixed_unless_said(value)

    def variant(self, key: str) -> Variant:
        """The variant with this key; KeyError when there is none."""
        for variant in self.variants:
            if variant.key == key:
                return variant
        raise KeyError(key)

    @property
    def control(self) -> Variant:
        return next(variant for variant in self.variants if variant.control)

    @property
    def shares(self) -> dict[str, float]:
        """Weights as shares of traffic; they sum to 1."""
        total = sum(variant.weight for variant in self.variants)
        return {variant.key: variant.weight / total for variant in self.variants}

    @property
    def bandit(self) -> BanditAllocation | None:
        """How a bandit moves traffic; None where the weights are fixed."""
        return self.allocation if isinstance(self.allocation, BanditAllocation) else None

    def metric_definitions(self) -> dict[str, MetricDefinition]:
        """The definition of every metric of a resolved design, by key."""
        return {use.key: use.resolve({}) for use in self.metrics}


def read_design(
    document: Mapping[str, Any],
    *,
    library: Mapping[str, MetricDefinition],
    without_users: Collection[str] = (),
) -> ExperimentDesign:
    """A design from a JSON or YAML document; raises Invalid with every problem and the path of its field.

    Metrics that are named only by key are filled in from `library`, so that a later change of the library does not
    change an experiment that already runs. without_users: keys of variants that get nobody new, of one that runs.
    """
    whole, problems = crossed(document)
    try:
        return _read_whole(whole, problems, library=library, without_users=without_users)
    except Invalid as error:
        raise Invalid.of(as_written(error.problems, document=document, whole=whole)) from error


def _read_whole(
    document: Mapping[str, Any],
    problems: list[Problem],
    *,
    library: Mapping[str, MetricDefinition],
    without_users: Collection[str],
) -> ExperimentDesign:
    """A design from a document in which every variant stands; `problems` are those of its factors."""
    try:
        design = ExperimentDesign.model_validate(document)
    except ValidationError as error:
        items = [
            untagged(item, {"trigger": 1, "allocation": 1})
            for item in error.errors()
            # Factors that could not be crossed are what is wrong, not the variants that they did not make.
            if not (
                document.get("factors")
                and item["loc"] == ("variants",)
                and item["type"] in {"missing", "too_short"}
            )
        ]
        raise Invalid.of([*problems, *problems_of(items)]) from error
    if problems:
        raise Invalid.of(problems)
    problems += [
        *_variant_problems(design),
        *_audience_problems(design),
        *_content_problems(design),
        *_rule_problems(design),
    ]
    resolved, metric_problems = _resolve_metrics(design, dict(library))
    problems += metric_problems
    resolved, allocated = _settle_allocation(
        resolved,
        named=[use.key for use in design.metrics],
        arms=sum(variant.key not in without_users for variant in design.variants),
    )
    problems += allocated
    if not problems:
        problems += series_problems(resolved.variants) or _window_problems(resolved)
        problems += _end_problems(resolved)
    if problems:
        raise Invalid.of(problems)
    return resolved


def _variant_problems(design: ExperimentDesign) -> list[Problem]:
    problems = []
    keys = [variant.key for variant in design.variants]
    problems += [
        Problem(f"variants[{i}].key", f"{key!r} is used twice")
        for i, key in enumerate(keys)
        if key in keys[:i]
    ]
    controls = [i for i, variant in enumerate(design.variants) if variant.control]
    if not controls:
        problems.append(Problem("variants", "no variant is the control; mark one with control: true"))
    problems += [
        Problem(f"variants[{i}].control", "only one variant can be the control") for i in controls[1:]
    ]
    problems += [
        Problem(f"variants[{i}].levels", "names levels of factors, and there are no `factors`")
        for i, variant in enumerate(design.variants)
        if variant.levels and not design.factors
    ]
    if not any(variant.message for variant in design.variants):
        problems.append(Problem("variants", "no variant has a message, so nothing would ever be sent"))
    return problems + weight_problems([variant.weight for variant in design.variants], field="variants")


def weight_problems(weights: Sequence[float], *, field: str) -> list[Problem]:
    """What is wrong with the weights of all variants together."""
    # Whole numbers are a ratio (1 : 1 : 2); anything else is meant as shares, and shares that do not sum to 1 are a slip.
    if all(float(weight).is_integer() for weight in weights):
        return []
    total = sum(weights)
    if abs(total - 1) <= SHARES_TOLERANCE:
        return []
    return [
        Problem(
            field,
            f"the weights sum to {total:g}; write shares that sum to 1, or a ratio of whole numbers such as 1, 1, 2",
        )
    ]


def _audience_problems(design: ExperimentDesign) -> list[Problem]:
    keys = [variant.key for variant in design.variants]
    problems = [
        Problem(
            path_of(("audience", "forced", user_id)),
            f"there is no variant {key!r}; there are {', '.join(keys)}",
        )
        for user_id, key in design.audience.forced.items()
        if key not in keys
    ]
    problems += [
        Problem(f"audience.prerequisites[{i}].experiment", "is this experiment itself")
        for i, each in enumerate(design.audience.prerequisites)
        if each.experiment == design.key
    ]
    return problems


def _content_problems(design: ExperimentDesign) -> list[Problem]:
    return [
        problem
        for i, variant in enumerate(design.variants)
        if variant.message
        for path, source in variant.message.sources().items()
        for problem in content.problems_in(source, field=f"variants[{i}].message.{path}")
    ]


def _rule_problems(design: ExperimentDesign) -> list[Problem]:
    return rule_problems(
        design.plan,
        guardrails=list(
            dict.fromkeys(
                [*(use.key for use in design.metrics if use.role == MetricRole.GUARDRAIL), *GUARDED]
            )
        ),
        planned_end=isinstance(design.trigger, OnceTrigger),
    )


def _resolve_metrics(
    design: ExperimentDesign, library: dict[str, MetricDefinition]
) -> tuple[ExperimentDesign, list[Problem]]:
    problems: list[Problem] = []
    uses: list[MetricUse] = []
    keys = [use.key for use in design.metrics]
    for i, use in enumerate(design.metrics):
        if use.key in keys[:i]:
            problems.append(Problem(f"metrics[{i}].key", f"{use.key!r} is used twice"))
        try:
            definition = use.resolve(library)
        except ValidationError as error:
            problems += [
                Problem(place_of({**item, "loc": ("metrics", i, *item["loc"])}), words_of(item))
                for item in error.errors()
            ]
        except ValueError as error:
            problems.append(Problem(f"metrics[{i}].key", str(error)))
        else:
            uses.append(use.model_copy(update=dict(definition)))
    if not any(use.role == MetricRole.PRIMARY for use in design.metrics):
        problems.append(Problem("metrics", "no metric is primary; the decision needs one with role: primary"))
    return design.model_copy(update={"metrics": tuple(uses)}), problems


def _end_problems(design: ExperimentDesign) -> list[Problem]:
    # Once, everybody is there at the start; at the last occasions of a recurring trigger people join who count after its end.
    if isinstance(design.trigger, OnceTrigger | RecurringTrigger):
        return []
    longest = max(metric.window for metric in design.metric_definitions().values())
    return end_problems(design.plan, longest_window=longest)


def _settle_allocation(
    design: ExperimentDesign, *, named: Sequence[str], arms: int
) -> tuple[ExperimentDesign, list[Problem]]:
    """A design of resolved metrics with its allocation whole. named: the keys of all its metrics, wrong ones included. arms:
    how many of its variants get users.
    """
    bandit = design.bandit
    if bandit is None:
        return design, []
    primary = next((use.key for use in design.metrics if use.role == MetricRole.PRIMARY), None)
    at_once = isinstance(design.trigger, OnceTrigger)
    problems = allocation_problems(
        bandit,
        arms=arms,
        metrics=design.metric_definitions(),
        named=named,
        primary=primary,
        at_once=at_once,
        on_a_day=isinstance(design.trigger, OnceTrigger) and design.trigger.local_moment is not None,
    )
    if primary is None or problems:
        return design, problems
    return design.model_copy(update={"allocation": settled(bandit, primary=primary, at_once=at_once)}), []


def _window_problems(design: ExperimentDesign) -> list[Problem]:
    last = max(last_send_offset(variant, design.trigger) for variant in design.variants)
    return [
        Problem(
            f"metrics[{i}].window",
            f"ends {use.window} after assignment, before the last planned send ({last} after it); make it longer",
        )
        for i, use in enumerate(design.metrics)
        if use.window is not None and use.window <= last
    ]
