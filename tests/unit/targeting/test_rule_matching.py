"""Whether a rule fires: the first thing that does not hold is the verdict."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from targeting.conditions import Scope
from targeting.rules.definitions import read_rule
from targeting.rules.matching import LiveRule, Occasion, Verdict, concerns, make_ready, verdict

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
ORDER = {"type": "event", "event": "Order Completed", "properties": {"revenue": {"$gt": 50}}}


def ready(**changes: Any) -> LiveRule:
    document = {"key": "r", "trigger": ORDER, "actions": [{"type": "add_tag", "tag": "t"}], **changes}
    definition = read_rule(document)
    return make_ready(definition, rule_id=1, version=1, condition=definition.condition)


def happened(**changes: Any) -> Occasion:
    return Occasion(**{"cause": "event:1", "user_pk": 1, "at": NOW, "name": "Order Completed", **changes})


def said(rule: LiveRule, occasion: Occasion, *, last: timedelta | None = None, **attributes: Any) -> Verdict:
    fired = None if last is None else NOW - last
    return verdict(rule, occasion, attributes=attributes, scope=Scope(now=NOW), last_fired=fired, now=NOW)


def test_steps_in_their_order() -> None:
    rule = ready(condition={"country": "NL"}, cool_down="7d")
    cheap, dear = happened(properties={"revenue": 20}), happened(properties={"revenue": 80})
    week = timedelta(days=7)
    assert said(rule, cheap, last=timedelta(0), country="DE") == Verdict.TRIGGER
    assert said(rule, dear, last=timedelta(0), country="DE") == Verdict.CONDITION
    assert said(rule, dear, last=week - timedelta(microseconds=1), country="NL") == Verdict.COOL_DOWN
    assert said(rule, dear, last=week, country="NL") == Verdict.FIRES
    assert said(rule, dear, country="NL") == Verdict.FIRES
    once = ready(condition={"country": "NL"}, cool_down="7d", once_per_user=True)
    assert said(once, dear, last=week * 50, country="NL") == Verdict.ONCE


@pytest.mark.parametrize(
    ("at", "fires"),
    [
        ("2026-11-30T23:59:59.999999Z", False),
        ("2026-12-01T00:00:00Z", True),
        ("2026-12-01T23:59:59.999999Z", True),
        ("2026-12-02T00:00:00Z", False),
    ],
)
def test_only_what_happens_in_its_time_counts(at: str, fires: bool) -> None:
    rule = ready(since="2026-12-01T00:00:00Z", until="2026-12-02T00:00:00Z")
    occasion = happened(at=datetime.fromisoformat(at), properties={"revenue": 80})
    assert said(rule, occasion) == (Verdict.FIRES if fires else Verdict.TRIGGER)


def test_what_concerns_a_rule() -> None:
    assert concerns(ready(), happened())
    assert not concerns(ready(), happened(name="Looked"))
    assert not concerns(ready(), happened(chain=(7, 1)))
    plan = ready(trigger={"type": "attribute", "attribute": "plan.name"})
    change = {"plan": {"before": None, "after": {"name": "gold"}}}
    assert concerns(plan, happened(name=None, changes=change))
    assert not concerns(plan, happened(name=None, changes={"other": {"before": 1, "after": 2}}))
    assert not concerns(plan, happened())


@pytest.mark.parametrize(
    ("trigger", "before", "after", "fires"),
    [
        ({}, None, {"name": "gold"}, True),
        ({}, {"name": "gold", "since": 1}, {"name": "gold", "since": 2}, False),
        ({"from": "free"}, {"name": "free"}, {"name": "gold"}, True),
        ({"from": "free"}, None, {"name": "gold"}, False),
        ({"from": {"$exists": False}}, None, {"name": "gold"}, True),
        ({"to": "gold"}, {"name": "free"}, {"name": "gold"}, True),
        ({"to": {"$in": ["gold", "silver"]}}, {"name": "free"}, {"name": "bronze"}, False),
        ({"to": {"$exists": False}}, {"name": "free"}, None, True),
    ],
    ids=str,
)
def test_changes(trigger: dict[str, Any], before: Any, after: Any, fires: bool) -> None:
    rule = ready(trigger={"type": "attribute", "attribute": "plan.name", **trigger})
    occasion = happened(name=None, changes={"plan": {"before": before, "after": after}})
    assert said(rule, occasion) == (Verdict.FIRES if fires else Verdict.TRIGGER)
