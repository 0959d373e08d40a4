"""The rules of a plan: what is refused, and with which field."""

import pytest

from experiments.design import read_design
from experiments.errors import Invalid
from experiments.plan import DecisionRules
from tests.unit.experiments.test_design import CAMPAIGN


def read(plan, **changes):
    return read_design({**CAMPAIGN, "plan": plan, **changes}, library={}).plan


def test_a_campaign_that_says_nothing_has_the_safe_rules():
    rules = read({"method": "spending"}).rules
    assert rules == DecisionRules()
    assert (rules.min_weeks, rules.min_users, rules.stop_at_power, rules.futility) == (0, 100, False, None)
    assert rules.stops_for("opted_out")


def test_each_guardrail_has_its_own_answer():
    rules = read({"rules": {"stop_for_harm": {"opted_out": False}}}).rules
    assert not rules.stops_for("opted_out")
    assert rules.stops_for("blocked")
    assert not DecisionRules(stop_for_harm=False).stops_for("blocked")


@pytest.mark.parametrize(
    ("plan", "field", "words"),
    [
        ({"rules": {"min_weeks": 1.5}}, "plan.rules.min_weeks", "integer"),
        ({"rules": {"min_weeks": -1}}, "plan.rules.min_weeks", "greater"),
        ({"rules": {"min_users": 1}}, "plan.rules.min_users", "greater"),
        ({"rules": {"min_user": 5}}, "plan.rules.min_user", "spelling"),
        ({"rules": {"stop_at_power": "yes"}, "mde": 0.1}, "plan.rules.stop_at_power", "boolean"),
        ({"rules": {"stop_at_power": True}}, "plan.rules.stop_at_power", "plan.mde"),
        ({"rules": {"stop_at_power": True}, "mde": 0.1, "method": "fixed"}, "plan.rules.stop_at_power", "fixed"),
        ({"rules": {"futility": 0.1}}, "plan.rules.futility", "plan.mde"),
        ({"rules": {"futility": 0.6}, "mde": 0.1}, "plan.rules.futility", "0.5"),
        ({"rules": {"futility": float("nan")}, "mde": 0.1}, "plan.rules.futility", "finite"),
        ({"rules": {"futility": 0.1}, "mde": 0.1, "method": "always_valid"}, "plan.rules.futility", "no planned end"),
        ({"rules": {"futility": 0.1}, "mde": 0.1, "method": "fixed"}, "plan.rules.futility", "one look"),
        ({"rules": {"stop_for_harm": "no"}}, "plan.rules.stop_for_harm", "true, false"),
        ({"rules": {"stop_for_harm": {"opted_out": 0}}}, "plan.rules.stop_for_harm", "true, false"),
        ({"rules": {"stop_for_harm": {"bought": False}}}, "plan.rules.stop_for_harm.bought", "not a guardrail"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_judged_is_refused_with_its_field(plan, field, words):
    with pytest.raises(Invalid) as refused:
        read(plan)
    assert [problem.field for problem in refused.value.problems] == [field]
    assert words in refused.value.problems[0].message


def test_futility_needs_to_know_how_many_will_come():
    with pytest.raises(Invalid, match="trigger once"):
        read({"rules": {"futility": 0.1}, "mde": 0.1}, trigger={"type": "rule"})
