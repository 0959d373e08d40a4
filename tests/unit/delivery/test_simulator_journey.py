"""A message's steps on the simulated clock."""

from itertools import pairwise

from delivery.simulator.behaviour import read_behaviours
from delivery.simulator.config import Faults, SimulatorConfig
from delivery.simulator.emission import Step
from delivery.simulator.journey import plan
from delivery.simulator.world import Person, World

PEOPLE = [Person(f"u{number}", f"+{44_7700_900_000 + number}") for number in range(500)]
WORLD = World(
    PEOPLE,
    read_behaviours({"silence": {"visit": 0.1}, "templates": {"t": {"visit": 0.2, "opted_out": 0.3}}}),
    seed=1,
)
ACCEPTED = 1_796_119_200_000_000


def _plans(config: SimulatorConfig):
    return [
        plan(WORLD, person, "t", wamid=f"w{person}", accepted=ACCEPTED, config=config)
        for person in range(len(PEOPLE))
    ]


def test_steps_follow_the_fate_and_the_clock():
    fates = WORLD.fates["t"]
    for person, steps in enumerate(_plans(SimulatorConfig())):
        assert steps[0].step is Step.SENT
        assert steps[0].at >= ACCEPTED
        assert all(one.told <= two.told for one, two in pairwise(steps))
        assert all(step.told == step.at for step in steps)
        seen = {step.step for step in steps}
        assert (Step.FAILED in seen) == (not fates.delivered[person]) == (Step.DELIVERED not in seen)
        assert (Step.READ in seen) == bool(fates.read[person])
        assert (Step.CLICK in seen) == bool(fates.clicked[person])
        assert bool(seen & {Step.STOP_TEXT, Step.STOP_MENU}) == bool(fates.opted_out[person])


def test_late_and_doubled_news_keeps_its_time():
    calm = _plans(SimulatorConfig())
    wild = _plans(SimulatorConfig(faults=Faults(late=0.4, duplicate=0.4)))
    assert wild == _plans(SimulatorConfig(faults=Faults(late=0.4, duplicate=0.4)))
    for quiet, loud in zip(calm, wild, strict=True):
        assert {(step.step, step.at) for step in loud} == {(step.step, step.at) for step in quiet}
        assert sum(step.step is Step.CLICK for step in loud) <= 1
    assert sum(map(len, wild)) > sum(map(len, calm))
    assert any(steps[0].step is not Step.SENT for steps in wild)


def test_a_stranger_receives_and_reads():
    steps = plan(WORLD, None, "t", wamid="w", accepted=ACCEPTED, config=SimulatorConfig())
    assert [step.step for step in steps] == [Step.SENT, Step.DELIVERED, Step.READ]
    assert steps[0].at == ACCEPTED + 2_000_000
