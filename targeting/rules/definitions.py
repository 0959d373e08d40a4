"""A rule as a validated value: when it looks at a user, whom it means, and what it does.

    key: win-back-quiet-buyers
    trigger: {type: inactivity, after: 30d, event: Order Completed}
    condition: {country: {$in: [NL, BR]}}
    actions:
      - {type: enrol, experiment: win-back}
      - {type: add_tag, tag: quiet}
    cool_down: 90d

Whether the experiments and segments that it names exist is for `rules` to ask.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from experiments.errors import Invalid, Problem
from experiments.metrics import KEY_PATTERN, PositiveDuration
from experiments.mistakes import problems_of, untagged
from experiments.triggers import Moment, Schedule
from targeting.conditions import validate_condition
from targeting.conditions.needs import needs_of
from targeting.conditions.text import parse_text
from targeting.profile import check_document, check_text

MAX_ACTIONS: Final = 10
TAGS: Final = "tags"
"""The attribute that holds a user's tags, a list of text."""
_RESERVED: Final = frozenset({TAGS, "user_id"})


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _from_text(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_text(value)
    except Invalid as error:
        raise ValueError(error.message) from error


Condition = Annotated[
    dict[str, Any], BeforeValidator(_from_text, json_schema_input_type=dict[str, Any] | str)
]
"""A condition, as JSON or as people write it; kept as JSON."""


class EventTrigger(_Value):
    """Whenever a user does something. `properties` is a condition over the event's properties."""

    type: Literal["event"]
    event: str = Field(min_length=1, max_length=200)
    properties: Condition | None = None

    @property
    def waits_for(self) -> str:
        return f"event:{self.event}"


class AttributeTrigger(_Value):
    """Whenever an attribute changes. `from` and `to` are what it has to be before and after: a value, or operators.

    `attribute` may be a path such as `address.city`. To say that it was unknown, write `from: {$exists: false}`.
    """

    type: Literal["attribute"]
    attribute: str = Field(min_length=1, max_length=200)
    from_: Any = Field(None, alias="from", description="What it was; absent or null: anything")
    to: Any = Field(None, description="What it became; absent or null: anything")

    @property
    def name(self) -> str:
        """The attribute itself, of which a path is a part."""
        return self.attribute.split(".")[0]

    @property
    def waits_for(self) -> str:
        return f"attribute:{self.name}"


class InactivityTrigger(_Value):
    """When a user has not been seen for a time or, with `event`, has not done that again. Users are looked at every hour.

    Who was never seen, or never did it, has not gone quiet: a schedule reaches them.
    """

    type: Literal["inactivity"]
    after: PositiveDuration = Field(description="30d; or write `days: 30`")
    event: str | None = Field(None, min_length=1, max_length=200)

    @model_validator(mode="before")
    @classmethod
    def _in_days(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "days" not in value:
            return value
        days = value["days"]
        if "after" in value:
            raise ValueError("give `after` or `days`, not both")
        if not isinstance(days, int) or isinstance(days, bool) or days < 1:
            raise ValueError("`days` is a whole number of days, such as 30")
        return {**{name: item for name, item in value.items() if name != "days"}, "after": f"{days}d"}

    @property
    def waits_for(self) -> None:
        return None


class ScheduleTrigger(Schedule):
    """At fixed times, for everybody at once: `0 9 * * 1` is Monday at nine."""

    type: Literal["schedule"]

    @property
    def waits_for(self) -> None:
        return None


Trigger = Annotated[
    EventTrigger | AttributeTrigger | InactivityTrigger | ScheduleTrigger, Field(discriminator="type")
]


class Enrol(_Value):
    """Put the user into an experiment, if it runs and the user may take part."""

    type: Literal["enrol"]
    experiment: str = Field(pattern=KEY_PATTERN)


Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class AddTag(_Value):
    type: Literal["add_tag"]
    tag: Tag


class RemoveTag(_Value):
    type: Literal["remove_tag"]
    tag: Tag


class SetAttribute(_Value):
    """Give an attribute a value; null removes it."""

    type: Literal["set_attribute"]
    name: str = Field(min_length=1, max_length=200)
    value: Any


Action = Annotated[Enrol | AddTag | RemoveTag | SetAttribute, Field(discriminator="type")]


class RuleDefinition(_Value):
    """Trigger + condition -> actions. `cool_down`: how long a user is left alone after the rule has fired for them.

    Only what happens from `since` on and before `until` counts, by the time at which it happened: what arrives late is as old
    as it is.
    """

    key: str = Field(pattern=KEY_PATTERN)
    name: str = Field(min_length=1, max_length=200)
    trigger: Trigger
    condition: Condition = Field(default_factory=dict)
    actions: tuple[Action, ...] = Field(min_length=1, max_length=MAX_ACTIONS)
    cool_down: PositiveDuration | None = None
    once_per_user: bool = False
    since: Moment | None = None
    until: Moment | None = None

    @field_validator("until")
    @classmethod
    def _no_time_backwards(cls, until: datetime | None, info: ValidationInfo) -> datetime | None:
        since = info.data.get("since")
        if until is not None and since is not None and until <= since:
            raise ValueError("is not after `since`, so it would never fire")
        return until

    @model_validator(mode="after")
    def _no_action_twice(self) -> Self:
        seen = [action.model_dump_json() for action in self.actions]
        if len(set(seen)) < len(seen):
            raise ValueError("the same action stands there twice")
        return self

    def covers(self, moment: datetime) -> bool:
        """Whether what happened at this moment counts."""
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)

    def to_json(self) -> dict[str, Any]:
        """As it is stored and shown; `read_rule` reads it back."""
        return self.model_dump(mode="json", by_alias=True)


def read_rule(document: Mapping[str, Any], *, key: str | None = None) -> RuleDefinition:
    """A rule from a JSON or YAML document; raises Invalid with every problem and the path of its field.

    `key` is where the document was sent to; a document without a key gets that one. The name is the key unless given.
    """
    given = dict(document)
    if key is not None and given.setdefault("key", key) != key:
        raise Invalid(f"is {given['key']!r}, but the document was sent to {key!r}", field="key")
    if isinstance(given.get("key"), str):
        given.setdefault("name", given["key"])
    rule = stored_rule(given)
    problems = validate_condition(rule.condition, field="condition")
    problems += _trigger_problems(rule.trigger)
    for index, action in enumerate(rule.actions):
        problems += _action_problems(action, f"actions[{index}]")
    if problems:
        raise Invalid.of(problems)
    return rule


def stored_rule(document: Mapping[str, Any]) -> RuleDefinition:
    """A rule whose conditions were checked when it was stored; raises Invalid when it cannot be read."""
    try:
        return RuleDefinition.model_validate(document)
    except ValidationError as error:
        raise Invalid.of(
            problems_of([untagged(item, {"trigger": 1, "actions": 2}) for item in error.errors()])
        ) from error


def _trigger_problems(trigger: Trigger) -> list[Problem]:
    if isinstance(trigger, EventTrigger) and trigger.properties is not None:
        return property_problems(trigger.properties, field="trigger.properties")
    if not isinstance(trigger, AttributeTrigger):
        return []
    path = trigger.attribute
    if path.startswith("$") or not all(path.split(".")):
        return [Problem("trigger.attribute", f"{path!r} is no attribute; write plan or address.city")]
    return [
        # The attribute's own step in the path is ours, not the sender's.
        Problem(problem.field.replace(f".{path}", "", 1), problem.message)
        for side, wanted in (("from", trigger.from_), ("to", trigger.to))
        if wanted is not None
        for problem in validate_condition({path: wanted}, field=f"trigger.{side}")
    ]


def property_problems(properties: dict[str, Any], *, field: str) -> list[Problem]:
    """What is wrong with a condition over the properties of one event."""
    needs = needs_of(properties)
    if needs.events or needs.segments:
        return [Problem(field, "is about one event; put $event and $inSegment into the rule's condition")]
    return validate_condition(properties, field=field)


def _action_problems(action: Action, field: str) -> list[Problem]:
    try:
        if isinstance(action, AddTag | RemoveTag):
            check_text(action.tag, field=f"{field}.tag")
        elif isinstance(action, SetAttribute):
            check_text(action.name, field=f"{field}.name")
            if action.name in _RESERVED or action.name.startswith("$") or "." in action.name:
                advice = "; use add_tag and remove_tag" if action.name == TAGS else ""
                raise Invalid(f"{action.name!r} cannot be set by a rule{advice}", field=f"{field}.name")
            check_document({"value": action.value}, field=field)
    except Invalid as error:
        return list(error.problems)
    return []
