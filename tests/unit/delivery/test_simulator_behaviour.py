"""What must be true of each person for the configured rates to come out, and what cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.simulator.behaviour import Silence, Treatment, read_behaviours, respond
from experiments.errors import Invalid

shares = st.floats(0, 1)
likely = st.floats(0.01, 1)


def test_the_rate_among_the_reached_makes_up_for_those_who_are_not():
    response = respond(Silence(visit=0.1), Treatment(delivered=0.8, visit=0.18), reach=1, where="t")
    assert response.visit == pytest.approx(0.2)
    assert response.caused == pytest.approx(0.1)
    halved = respond(Silence(visit=0.1), Treatment(delivered=0.8, visit=0.18), reach=0.5, where="t")
    assert halved.visit == pytest.approx(0.3)


@given(shares, shares, likely, likely, likely, likely)
def test_the_parts_sum_to_what_was_configured(own, lift, delivered, read, clicked, reach):
    reached = delivered * reach
    wanted = own + reached * lift * min(read * clicked, 1 - own)
    treatment = Treatment(delivered=delivered, read=read, clicked=clicked, visit=wanted)
    response = respond(Silence(visit=own), treatment, reach=reach, where="t")
    assert (1 - reached) * own + reached * response.visit == pytest.approx(wanted, abs=1e-9)
    caused = response.caused
    assert caused == pytest.approx(max(0.0, response.visit - own), abs=1e-9)
    assert caused + (1 - caused) * response.read == pytest.approx(read, abs=1e-9)
    click = caused + (1 - caused) * response.read * response.clicked
    assert click == pytest.approx(read * clicked, abs=1e-9)


@pytest.mark.parametrize(
    ("treatment", "field"),
    [
        (Treatment(delivered=0.5, visit=0.8), "t.visit"),  # 1.3 of the reached
        (Treatment(delivered=0.5, visit=0.1), "t.visit"),  # -0.1 of the reached
        (Treatment(delivered=0.0, visit=0.4), "t.visit"),
        (Treatment(delivered=1.0, read=0.5, clicked=0.3, visit=0.5), "t.clicked"),  # 0.2 caused, 0.15 click
    ],
)
def test_what_no_people_can_do_is_refused(treatment, field):
    with pytest.raises(Invalid) as caught:
        respond(Silence(visit=0.3), treatment, reach=1, where="t")
    assert caught.value.problems[0].field == field


def test_behaviour_is_read_and_groups_say_only_what_differs():
    groups = read_behaviours(
        {
            "silence": {"visit": 0.1},
            "templates": {"a": {"visit": 0.2, "read": 0.9}, "b": {}},
            "groups": {"loyal": {"silence": {"visit": 0.3}, "templates": {"a": {"visit": 0.5}}}},
        }
    )
    assert groups["loyal"].silence.visit == 0.3
    assert groups["loyal"].templates["a"] == Treatment(read=0.9, visit=0.5)
    assert groups["loyal"].templates["b"] == groups[""].templates["b"] == Treatment()


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "behaviour"),
        ({"templats": {}}, "behaviour.templats"),
        ({"silence": {"visit": "0.1"}}, "behaviour.silence.visit"),
        ({"silence": {"visit": True}}, "behaviour.silence.visit"),
        ({"silence": {"visit": float("nan")}}, "behaviour.silence.visit"),
        ({"silence": {"revenue": -1}}, "behaviour.silence.revenue"),
        ({"templates": {"a": {"read": 1.1}}}, "behaviour.templates.a.read"),
        ({"templates": {"a": {"parameters": 1.5}}}, "behaviour.templates.a.parameters"),
        ({"templates": {"a": {"language": 3}}}, "behaviour.templates.a.language"),
        ({"templates": {"a": {"opens": 1}}}, "behaviour.templates.a.opens"),
        ({"groups": {"x": {"templates": {"new": {}}}}}, "behaviour.groups.x.templates.new"),
    ],
)
def test_what_is_wrong_is_named(document, field):
    with pytest.raises(Invalid) as caught:
        read_behaviours(document)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_who_errs_reads_what_may_be_written():
    with pytest.raises(Invalid) as caught:
        read_behaviours({"spring_reminder": {}, "groups": {"loyal": {"templates": {"b": {}}, "visit": 1}}})
    assert [(problem.field, problem.message) for problem in caught.value.problems] == [
        ("behaviour.spring_reminder", "is not known; write templates, groups, silence"),
        ("behaviour.groups.loyal.visit", "is not known; write templates, silence"),
        ("behaviour.groups.loyal.templates.b", "is not in behaviour.templates (none is there)"),
    ]
