"""A rule document is read whole or refused with the path of everything that is wrong."""

import re
from pathlib import Path

import pytest
import yaml

from experiments.design import read_design
from experiments.errors import Invalid
from targeting.rules.definitions import MAX_ACTIONS, InactivityTrigger, RuleDefinition, read_rule
from targeting.rules.words import say_rule

TAG = {"type": "add_tag", "tag": "buyer"}
ORDER = {"type": "event", "event": "Order Completed"}
TRIGGERS = {
    "event": {**ORDER, "properties": {"revenue": {"$gt": 50}}},
    "attribute": {"type": "attribute", "attribute": "plan", "from": "free", "to": {"$in": ["paid"]}},
    "inactivity": {"type": "inactivity", "after": "30d", "event": "Order Completed"},
    "schedule": {"type": "schedule", "cron": "0 9 * * 1", "time_zone": "Europe/Amsterdam"},
}
SAID = {
    "event": "When Order Completed happens of which revenue is more than 50",
    "attribute": "When plan changes (before: plan is free; after: plan is paid)",
    "inactivity": "When a user has not done Order Completed again for 30d",
    "schedule": "At 0 9 * * 1 (Europe/Amsterdam)",
}


def document(**changes: object) -> dict[str, object]:
    return {"key": "buyers", "trigger": ORDER, "actions": [TAG], **changes}


@pytest.mark.parametrize("kind", TRIGGERS)
def test_what_is_stored_is_read_back(kind: str) -> None:
    actions = [
        TAG,
        {"type": "enrol", "experiment": "x"},
        {"type": "set_attribute", "name": "n", "value": None},
    ]
    rule = read_rule(
        document(trigger=TRIGGERS[kind], condition={"a": None}, actions=actions, cool_down="36h")
    )
    assert read_rule(rule.to_json()) == rule == RuleDefinition.model_validate(rule.to_json())
    assert say_rule(rule) == (
        f"{SAID[kind]}: if a is unknown, add the tag buyer and enrol in x and remove n; at most once in 36h"
    )


def test_the_example_of_the_page_is_a_rule() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/rules.md").read_text()
    experiment = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    assert read_design(experiment, library={}).key == "thank-you"
    example = read_rule(yaml.safe_load(page.split("```yaml")[1].split("```")[0]))
    assert f"{say_rule(example)}\n" in page


def test_days_are_a_way_to_write_after() -> None:
    trigger = read_rule(document(trigger={"type": "inactivity", "days": 30})).trigger
    assert isinstance(trigger, InactivityTrigger)
    assert trigger.after.days == 30


def test_conditions_may_be_text() -> None:
    rule = read_rule(
        document(condition='country in ("NL", "BR")', trigger={**ORDER, "properties": "revenue > 50"})
    )
    assert rule.condition == {"country": {"$in": ["NL", "BR"]}}
    assert rule.to_json()["trigger"]["properties"] == {"revenue": {"$gt": 50}}
    with pytest.raises(Invalid, match=r"condition: line 1, column \d+"):
        read_rule(document(condition="country in"))


def test_a_rule_may_have_a_beginning_and_an_end() -> None:
    rule = read_rule(document(since="2026-12-01T11:00:00+01:00", until="2026-12-02T10:00:00Z"))
    assert read_rule(rule.to_json()) == rule
    assert say_rule(rule).endswith("from 2026-12-01T10:00:00Z; until 2026-12-02T10:00:00Z")


def test_the_key_may_come_from_the_address() -> None:
    nameless = {"trigger": ORDER, "actions": [TAG]}
    assert read_rule(nameless, key="k").name == "k"
    with pytest.raises(Invalid, match="sent to 'other'"):
        read_rule(document(), key="other")
    with pytest.raises(Invalid, match="key: is required"):
        read_rule(nameless)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"trigger": {"type": "event"}}, {"trigger.event"}),
        ({"trigger": {"type": "event", "event": "x", "evnt": 1}}, {"trigger.evnt"}),
        ({"trigger": {}}, {"trigger.type"}),
        (
            {"trigger": {"type": "x"}, "actions": [{"type": "y"}, TAG, {"type": "enrol"}]},
            {"trigger.type", "actions[0].type", "actions[2].experiment"},
        ),
        ({"trigger": {**ORDER, "properties": {"$event": {"name": "x"}}}}, {"trigger.properties"}),
        (
            {"trigger": {**ORDER, "properties": {"a": {"$x": 1}}}, "condition": {"b": {"$y": 1}}},
            {"trigger.properties.a.$x", "condition.b.$y"},
        ),
        ({"trigger": {"type": "attribute", "attribute": "a..b"}}, {"trigger.attribute"}),
        ({"trigger": {"type": "attribute", "attribute": "$a"}}, {"trigger.attribute"}),
        (
            {"trigger": {"type": "attribute", "attribute": "a.b", "from": {"$x": 1}, "to": {"$in": 5}}},
            {"trigger.from.$x", "trigger.to.$in"},
        ),
        ({"trigger": {"type": "inactivity"}}, {"trigger.after"}),
        ({"trigger": {"type": "inactivity", "after": "0d"}}, {"trigger.after"}),
        ({"trigger": {"type": "inactivity", "after": "3d", "days": 3}}, {"trigger"}),
        ({"trigger": {"type": "inactivity", "days": True}}, {"trigger"}),
        ({"trigger": {"type": "schedule", "cron": "0 9 * *"}}, {"trigger.cron"}),
        ({"trigger": {"type": "schedule", "cron": "0 9 * * *", "time_zone": "CEST"}}, {"trigger.time_zone"}),
        ({"actions": []}, {"actions"}),
        ({"actions": [{**TAG, "tag": f"t{n}"} for n in range(MAX_ACTIONS + 1)]}, {"actions"}),
        ({"actions": [TAG, TAG]}, {""}),
        ({"actions": [{"type": "set_attribute", "name": "tags", "value": []}]}, {"actions[0].name"}),
        ({"actions": [{"type": "set_attribute", "name": "user_id", "value": 1}]}, {"actions[0].name"}),
        ({"actions": [{"type": "set_attribute", "name": "x"}]}, {"actions[0].value"}),
        ({"actions": [{"type": "set_attribute", "name": "x", "value": "\x00"}]}, {"actions[0].value"}),
        ({"actions": [{"type": "set_attribute", "name": "x", "value": "y" * 40_000}]}, {"actions[0]"}),
        ({"cool_down": "0s"}, {"cool_down"}),
        ({"once_per_user": "perhaps"}, {"once_per_user"}),
        ({"since": "2026-12-01"}, {"since"}),
        ({"since": 1_700_000_000}, {"since"}),
        ({"since": "2026-12-01T10:00:00Z", "until": "2026-12-01T11:00:00+01:00"}, {"until"}),
        ({"key": "no spaces"}, {"key"}),
        ({"key": 5}, {"key", "name"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:60],
)
def test_everything_wrong_is_named(changes: dict[str, object], fields: set[str]) -> None:
    with pytest.raises(Invalid) as caught:
        read_rule(document(**changes))
    assert {problem.field for problem in caught.value.problems} == fields
