"""A world is causal, consistent, true to its configuration and the same for every order of messages."""

from math import sqrt

import numpy as np
import pytest

from delivery.simulator.behaviour import read_behaviours
from delivery.simulator.config import Faults
from delivery.simulator.world import Person, World
from experiments.errors import Invalid

COUNT = 40_000
BEHAVIOUR = read_behaviours(
    {
        "silence": {"visit": 0.106, "buy": 0.3, "revenue": 50},
        "templates": {
            "mens": {"visit": 0.183, "delivered": 0.9, "opted_out": 0.02, "buy": 0.4, "revenue": 70},
            "womens": {"visit": 0.151},
            "nuisance": {"visit": 0.06},
            "nothing": {},
        },
    }
)


def _people(count: int) -> list[Person]:
    return [Person(f"u{number}", f"+{44_7700_900_000 + number}") for number in range(count)]


@pytest.fixture(scope="module")
def world() -> World:
    return World(_people(COUNT), BEHAVIOUR, seed=11)


def _close(observed: np.ndarray, expected: float) -> bool:
    return abs(observed.mean() - expected) < 4.5 * sqrt(expected * (1 - expected) / len(observed))


def _visits(world: World, template: str) -> np.ndarray:
    fates = world.fates[template]
    return (world.own.visits & ~fates.prevented) | fates.caused


@pytest.mark.parametrize("template", ["mens", "womens", "nuisance", "nothing"])
def test_people_do_what_the_truth_says(world, template):
    truth = world.truth()
    expected, fates = truth["treatments"][template], world.fates[template]
    assert _close(world.own.visits, truth["silence"]["visit"])
    assert _close(_visits(world, template), expected["visit"])
    assert _close(fates.delivered, expected["delivered"])
    assert _close(fates.read, expected["read"])
    assert _close(fates.clicked, expected["clicked"])
    buys = (world.own.visits & ~fates.prevented & world.own.buys) | fates.buys
    assert _close(buys, expected["buy"])
    spent = np.where(world.own.visits & ~fates.prevented & world.own.buys, world.own.amount, 0.0)
    spent += np.where(fates.buys, fates.amount, 0.0)
    assert abs(spent.mean() - expected["revenue"]) < 4.5 * spent.std() / sqrt(COUNT)


def test_the_truth_is_the_configuration(world):
    truth = world.truth()
    assert truth["people"] == COUNT
    assert truth["silence"] == pytest.approx({"visit": 0.106, "buy": 0.0318, "revenue": 1.59})
    mens = truth["treatments"]["mens"]
    assert mens["visit"] == pytest.approx(0.183)
    assert mens["difference"]["visit"] == pytest.approx(0.077)
    assert mens["buy"] == pytest.approx(0.0318 + 0.077 * 0.4)
    assert mens["revenue"] == pytest.approx(1.59 + 0.077 * 0.4 * 70)
    assert mens["opted_out"] == pytest.approx(0.9 * 0.7 * 0.02)
    assert truth["treatments"]["nothing"]["difference"]["visit"] == 0
    assert truth["treatments"]["nuisance"]["difference"]["visit"] == pytest.approx(-0.046)


def test_whoever_comes_because_of_a_message_got_it_read_it_and_clicked(world):
    for fates in world.fates.values():
        assert not np.any(fates.caused & ~fates.clicked)
        assert not np.any(fates.clicked & ~fates.read)
        assert not np.any(fates.read & ~fates.delivered)
        assert not np.any(fates.caused & world.own.visits)
        assert not np.any(fates.prevented & ~world.own.visits)
        assert not np.any(fates.buys & ~fates.caused)
        assert not np.any(fates.opted_out & ~fates.read)


def test_a_better_message_brings_everybody_whom_a_worse_one_would():
    people = _people(5000)
    rates = {"weak": {"visit": 0.2, "delivered": 1}, "strong": {"visit": 0.3, "delivered": 1}}
    world = World(people, read_behaviours({"silence": {"visit": 0.1}, "templates": rates}), seed=1)
    assert not np.any(world.own.visits & ~_visits(world, "weak"))
    assert not np.any(_visits(world, "weak") & ~_visits(world, "strong"))


def test_fates_belong_to_people_and_not_to_their_order():
    people = _people(300)
    one, other = World(people, BEHAVIOUR, seed=5), World(people[::-1], BEHAVIOUR, seed=5)
    for name in ("delivered", "caused", "amount", "read_delay"):
        assert np.array_equal(getattr(one.fates["mens"], name), getattr(other.fates["mens"], name)[::-1])
    assert not np.array_equal(one.own.moment, World(people, BEHAVIOUR, seed=6).own.moment)


def test_faults_of_the_network_leave_the_truth_as_configured():
    faults = Faults(marketing_cap=0.1, meta_holdout=0.01, undeliverable=0.05)
    world = World(_people(COUNT), BEHAVIOUR, seed=2, faults=faults)
    assert world.truth()["treatments"]["mens"]["visit"] == pytest.approx(0.183)
    assert _close(_visits(world, "mens"), 0.183)
    assert _close(world.fault_codes == 131049, 0.1)
    assert _close(world.fault_codes == 130472, 0.01)
    assert _close(world.fault_codes == 131026, 0.05)
    assert not np.any(world.fates["mens"].delivered[world.fault_codes != 0])
    hopeless = Faults(undeliverable=1.0)
    with pytest.raises(Invalid, match="nobody is reached"):
        World(_people(10), BEHAVIOUR, seed=2, faults=hopeless)


def test_groups_differ_and_the_truth_is_their_mean():
    behaviours = read_behaviours(
        {
            "silence": {"visit": 0.1},
            "templates": {"t": {"visit": 0.1}},
            "groups": {"loyal": {"silence": {"visit": 0.3}, "templates": {"t": {"visit": 0.5}}}},
        }
    )
    people = [
        Person(person.user_id, person.phone, "loyal" if number % 4 == 0 else "")
        for number, person in enumerate(_people(20_000))
    ]
    world = World(people, behaviours, seed=3)
    assert world.truth()["silence"]["visit"] == pytest.approx(0.15)
    assert world.truth()["treatments"]["t"]["visit"] == pytest.approx(0.2)
    assert _close(_visits(world, "t")[::4], 0.5)
    others = np.arange(20_000) % 4 != 0
    assert _close(_visits(world, "t")[others], 0.1)


@pytest.mark.parametrize(
    ("people", "field"),
    [
        ([Person("u", "+1"), Person("u", "+2")], "people[1].user_id"),
        ([Person("u", "+1"), Person("v", "1")], "people[1].phone"),
        ([Person("u", "home")], "people[0].phone"),
        ([Person("", "+1")], "people[0].user_id"),
        ([Person("u", "+1", "strangers")], "people[0].group"),
    ],
)
def test_people_who_cannot_be_are_refused(people, field):
    with pytest.raises(Invalid) as caught:
        World(people, BEHAVIOUR, seed=1)
    assert caught.value.problems[0].field == field


def test_a_world_without_people_still_knows_its_truth():
    assert World((), BEHAVIOUR, seed=1).truth()["treatments"]["mens"]["visit"] == pytest.approx(0.183)
