"""What travels over HTTP about rules, beside a rule itself."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from experiments.errors import Invalid
from targeting.conditions import describe
from targeting.models import Rule, RuleFiring, RuleVersion
from targeting.rules.definitions import stored_rule
from targeting.rules.ownership import owner_of
from targeting.rules.service import Fired, Put, state_of
from targeting.rules.words import say_action, say_limits, say_trigger


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class RuleWords(_Answer):
    """A rule in plain English, part by part. `condition` is null where everybody is meant."""

    trigger: str
    condition: str | None
    actions: list[str]
    limits: list[str]

    @classmethod
    def of(cls, definition: Mapping[str, Any]) -> Self | None:
        """None for a definition that this version cannot read any more."""
        try:
            rule = stored_rule(definition)
        except Invalid:
            return None
        return cls(
            trigger=say_trigger(rule.trigger),
            condition=describe(rule.condition) if rule.condition else None,
            actions=[say_action(action) for action in rule.actions],
            limits=say_limits(rule),
        )


class RuleAnswer(_Answer):
    """`state` is off, on or parked; `error` says why a parked rule failed. `version` counts what it has said.

    `experiment`: whose rule it is, and who alone switches it; null for a rule of its own right. `fired` counts firings up to
    1,000, and `last_fired_at` is the latest of them: told where rules are read, null in the answers to changes.
    """

    key: str
    name: str
    experiment: str | None
    state: str
    version: int
    definition: dict[str, Any]
    error: str | None
    parked_at: datetime | None
    created_at: datetime
    updated_at: datetime
    words: RuleWords | None
    fired: int | None = None
    last_fired_at: datetime | None = None

    @classmethod
    def of(cls, rule: Rule) -> Self:
        worked_out = {"state", "experiment", "words", "fired", "last_fired_at"}
        return cls(
            state=state_of(rule),
            experiment=owner_of(rule.key),
            words=RuleWords.of(rule.definition),
            **{name: getattr(rule, name) for name in cls.model_fields.keys() - worked_out},
        )

    @classmethod
    def read(cls, rules: Sequence[Rule], fired: Mapping[str, Fired]) -> list[Self]:
        """Rules with what `fired` says of them."""
        return [
            cls.of(rule).model_copy(
                update={"fired": known.times, "last_fired_at": known.last_at}
                if (known := fired.get(rule.key))
                else {"fired": 0}
            )
            for rule in rules
        ]


class PutRuleAnswer(_Answer):
    """`outcome` is created, changed or unchanged; `warnings` are about attributes in its condition that nobody has."""

    outcome: str
    rule: RuleAnswer
    warnings: list[str]

    @classmethod
    def of(cls, put: Put) -> Self:
        return cls(outcome=put.outcome, rule=RuleAnswer.of(put.rule), warnings=list(put.warnings))


class RuleVersionAnswer(_Answer):
    version: int
    definition: dict[str, Any]
    actor: str
    at: datetime

    @classmethod
    def of(cls, row: RuleVersion) -> Self:
        return cls(version=row.version, definition=row.definition, actor=row.actor, at=row.at)


class FiringAnswer(_Answer):
    """`cause` names the occasion; `actions` are what the rule did, in order, each with what came of it."""

    id: int
    user_id: str
    version: int
    cause: str
    at: datetime
    actions: list[dict[str, Any]]

    @classmethod
    def of(cls, found: tuple[RuleFiring, str]) -> Self:
        firing, user_id = found
        return cls(
            id=firing.id or 0,
            user_id=user_id,
            version=firing.version,
            cause=firing.cause,
            at=firing.at,
            actions=firing.outcome["actions"],
        )


class DryFiringAnswer(_Answer):
    user_id: str
    cause: str
    at: datetime
    because: str = Field(description="Trigger and condition in plain English")
    actions: list[str]


class DryRunAnswer(_Answer):
    """What a rule would have done. `seen` occasions = `fires` + the four counts of why not."""

    rule: str
    trigger: str = Field(
        description="Its type; of events the past was met again, of others it says who is reached now"
    )
    says: str = Field(description="The whole rule in plain English")
    since: datetime
    until: datetime
    seen: int
    fires: int
    users: int
    trigger_failed: int
    condition_failed: int
    cool_down: int
    once_per_user: int
    truncated: bool = Field(description="More happened than was looked at; `until` says how far it came")
    firings: list[DryFiringAnswer]
    notes: list[str]
