"""Which guards an experiment has: those of everybody, its own, and those that it switches off."""

import pytest

from experiments.design import read_design
from experiments.errors import Invalid
from experiments.guards import MARGINS, MARGINS_OVER_SILENCE, guarded_arms, guards_of

MESSAGE = {"template": "spring", "language": "en_US"}
PRIMARY = {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order"}
PLAIN = {"key": "plain", "control": True, "message": MESSAGE}
SILENCE = {"key": "silence", "control": True}
COUPON = {"key": "coupon", "message": MESSAGE}


def design(*metrics, variants=(PLAIN, COUPON), **plan):
    document = {
        "key": "spring",
        "name": "Spring",
        "variants": list(variants),
        "metrics": [PRIMARY, *metrics],
        "plan": plan,
    }
    return read_design(document, library={})


def margins(*metrics, **said):
    return {guard.key: guard.margin for guard in guards_of(design(*metrics, **said))}


def test_every_experiment_is_guarded_by_default():
    assert margins() == MARGINS
    assert margins(variants=(SILENCE, COUPON)) == MARGINS_OVER_SILENCE


def test_a_guardrail_of_the_design_replaces_the_default_margin():
    found = margins(
        {"key": "opted_out", "role": "guardrail", "margin": 0.03}, {"key": "blocked", "role": "guardrail"}
    )
    assert found == {"opted_out": 0.03, "blocked": 0.0, "failed": MARGINS["failed"]}
    # To look at a metric is not to set its margin.
    assert margins({"key": "opted_out", "role": "secondary"}) == MARGINS


def test_shares_that_should_be_small_act_and_other_guardrails_do_not():
    complained = {
        "key": "complained",
        "role": "guardrail",
        "kind": "proportion",
        "event": "Complaint",
        "direction": "decrease",
        "margin": 0.01,
    }
    others = [
        {"key": "read", "role": "guardrail", "margin": 0.1},
        {"key": "returns", "role": "guardrail", "kind": "count", "event": "Return", "direction": "decrease"},
        {"key": "seen", "role": "guardrail", "kind": "proportion", "message": "read", "direction": "decrease"},
    ]  # fmt: skip
    assert margins(complained, *others) == {"complained": 0.01, **MARGINS}


def test_rules_switch_guards_off_also_those_that_are_not_named():
    assert margins(rules={"stop_for_harm": False}) == {}
    assert margins(rules={"stop_for_harm": {"failed": False}}).keys() == {"opted_out", "blocked"}
    with pytest.raises(
        Invalid, match=r"stop_for_harm.cost: is not a guardrail.*there are opted_out, blocked, failed"
    ):
        design(rules={"stop_for_harm": {"cost": False}})


def test_the_control_and_silent_arms_are_never_stopped():
    quiet = {"key": "quiet"}
    assert guarded_arms(design(variants=(PLAIN, COUPON, quiet))) == ("coupon",)
    assert guarded_arms(design(variants=({**PLAIN}, quiet))) == ()
