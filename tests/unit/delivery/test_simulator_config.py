"""A simulator calls this machine only, and says what is wrong with its configuration."""

from datetime import UTC, datetime

import pytest

from delivery.simulator.config import Delays, Faults, SimulatorConfig
from experiments.clock import ScaledClock, SystemClock
from experiments.errors import Invalid, Refused


@pytest.mark.parametrize("name", ["webhook_url", "public_url", "tracking_url"])
@pytest.mark.parametrize(
    "url", ["https://example.com/hook", "http://10.0.0.1", "http://127.0.0.1.example.com", "nonsense"]
)
def test_addresses_elsewhere_are_refused(name, url):
    with pytest.raises(Refused, match=name):
        SimulatorConfig(**{name: url})
    assert SimulatorConfig(**{name: "http://127.0.0.1:8000/x"})


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: Faults(drop=1.5), "faults.drop"),
        (lambda: Faults(drop=0.6, slow=0.6), "faults"),
        (lambda: Faults(marketing_cap=0.6, undeliverable=0.6), "faults"),
        (lambda: Delays(read=-1), "delays.read"),
        (lambda: Delays(read=float("nan")), "delays.read"),
        (lambda: SimulatorConfig(throughput=0), "throughput"),
        (lambda: SimulatorConfig(batch=0), "batch"),
    ],
)
def test_wrong_values_are_named(build, field):
    with pytest.raises(Invalid) as caught:
        build()
    assert caught.value.problems[0].field == field


def test_the_clock_is_shared_by_its_three_numbers():
    start = datetime(2026, 12, 1, tzinfo=UTC)
    one = SimulatorConfig(clock_start=start, clock_factor=100, clock_origin=5.0).clock()
    assert one == ScaledClock(start, 100, 5.0)
    assert isinstance(SimulatorConfig().clock(), SystemClock)
    assert isinstance(SimulatorConfig(clock_start=start).clock(), ScaledClock)


def test_secrets_stay_out_of_the_repr():
    text = repr(SimulatorConfig(token="t0ken", app_secret="s3cret", write_key="wr1te"))
    assert not any(secret in text for secret in ("t0ken", "s3cret", "wr1te"))


def test_hurried_people_take_a_part_of_the_time():
    assert Delays(read=3600, visit=0).hurried(60).read == 60
    assert Delays(visit=0).hurried(60).visit == 0
    assert Delays().hurried(1) == Delays()


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_a_hurry_is_a_number_above_0(factor):
    with pytest.raises(Invalid, match="hurry"):
        Delays().hurried(factor)
