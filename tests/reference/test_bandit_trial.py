"""The plan of a bandit: where its floors leave it nothing to move it finds what fixed weights find; where not, it is seeded, bounded and says what it cannot do."""

from typing import Any

import numpy as np
import pytest

from analysis.planning.bandit_trial import SECONDS, BanditTrial
from analysis.planning.bandit_world import seconds_of_a_run
from analysis.stats.errors import InsufficientData
from analysis.stats.monitoring import Monitoring, evenly
from analysis.stats.simulated_power import SimulatedPower, Trial, simulate
from experiments.design import ExperimentDesign, read_design

BOUGHT = {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "2d"}
SPENT = {**BOUGHT, "key": "spent", "kind": "mean", "value": "revenue"}


def design(*, arms: int = 2, metric: dict[str, Any] = BOUGHT, trigger: str = "event", **allocation: Any) -> ExperimentDesign:  # fmt: skip
    message = {"template": "spring_coupon", "language": "en_US"}
    return read_design(
        {
            "key": "spring", "name": "Spring",
            "trigger": {"type": trigger} | ({"event": "Signed Up"} if trigger == "event" else {}),
            "variants": [{"key": "silence", "control": True}, *({"key": f"v{k}", "message": message} for k in range(1, arms))],
            "metrics": [metric],
            "allocation": {"policy": "thompson", **allocation},
        },
        library={},
    )  # fmt: skip


def run(
    of: ExperimentDesign, trial: Trial, method: str, *, runs: int = 600, seed: int = 1, tuned_to: int | None = 5000
) -> SimulatedPower:  # fmt: skip
    [use] = of.metrics
    definition = of.metric_definitions()[use.key]
    return BanditTrial(design=of, metric=use.key, definition=definition, reach=1.0)(
        trial, allocation=of.allocation, runs=runs, rng=np.random.default_rng(seed), progress=None,
        monitoring=Monitoring(method=method, alpha=0.05, fractions=evenly(14), tuned_to=tuned_to),
    )  # fmt: skip


RATES = Trial(shares=(0.5, 0.5), means=(0.1, 0.125), arrivals=(400.0,) * 14, looks=tuple(float(day) for day in range(3, 17)), window=2.0)  # fmt: skip
THREE = Trial(shares=(1 / 3,) * 3, means=(0.1, 0.125, 0.125), arrivals=(600.0,) * 14, looks=RATES.looks, window=2.0)  # fmt: skip
MONEY = Trial(shares=(0.5, 0.5), means=(4.0, 4.9), sds=(12.0, 13.0), arrivals=RATES.arrivals, looks=RATES.looks, window=2.0)  # fmt: skip


@pytest.mark.parametrize(
    ("trial", "metric", "method"),
    [(RATES, BOUGHT, "always_valid"), (RATES, BOUGHT, "fixed"), (THREE, BOUGHT, "always_valid"), (MONEY, SPENT, "always_valid"), (MONEY, SPENT, "fixed")],
)  # fmt: skip
def test_a_bandit_that_may_move_nothing_finds_what_fixed_weights_find(
    trial: Trial, metric: dict[str, Any], method: str
) -> None:
    arms = len(trial.shares)
    bound = design(arms=arms, metric=metric, floor=1 / arms)
    watched = Monitoring(method=method, alpha=0.05, fractions=evenly(14), tuned_to=5000)
    runs = 600
    expected = simulate(trial, monitoring=watched, runs=6000, rng=np.random.default_rng(2))
    found = run(bound, trial, method, runs=runs)
    assert found.runs == runs
    for share, other in zip(found.each, expected.each, strict=True):
        assert share == pytest.approx(other, abs=4 * found.standard_error(other))
    assert 0.2 < found.any_found < 1
    assert found.mean_days == pytest.approx(expected.mean_days, abs=0.5)
    assert found.by_look[-1] == found.any_found


def test_moved_traffic_costs_power_and_alpha_holds() -> None:
    even, moved = (
        run(design(floor=floor), RATES, "always_valid", runs=600).any_found for floor in (0.5, 0.02)
    )
    assert moved < even - 0.05
    nothing = Trial(shares=(0.5, 0.5), means=(0.1, 0.1), arrivals=RATES.arrivals, looks=RATES.looks, window=2.0)  # fmt: skip
    assert run(design(), nothing, "always_valid", runs=400).any_found < 0.05


def test_a_broadcast_is_drawn_in_its_waves() -> None:
    once = Trial(shares=(0.5, 0.5), means=(0.1, 0.12), arrivals=(6000.0,), looks=(3.0,), window=2.0)
    found = run(design(trigger="once", floor=0.5), once, "spending", runs=1000, tuned_to=None)
    # Ten waves, a day apart, and two days for the last to count; the first of these looks is at the first wave.
    assert found.look_days == tuple(float(day) for day in range(3, 13))
    power = simulate(once, monitoring=Monitoring(method="spending"), runs=6000, rng=np.random.default_rng(3)).any_found  # fmt: skip
    # Ten looks by spending cost a little of the power of one.
    assert power - 0.06 < found.any_found < power + 0.03


def test_the_same_seed_the_same_answer_and_as_many_runs_as_fit() -> None:
    short = Trial(shares=(0.5, 0.5), means=(0.1, 0.15), arrivals=(500.0,) * 3, looks=(3.0, 5.0), window=2.0)
    one, two = (run(design(), short, "always_valid", runs=0) for _ in range(2))
    assert one == two
    assert one.runs == 1000
    assert run(design(), RATES, "always_valid", runs=120).runs == 120
    many = design(arms=12)
    trial = Trial(shares=(1 / 12,) * 12, means=(0.1,) * 12, arrivals=(500.0,) * 90, looks=(92.0,), window=2.0)
    world = BanditTrial(design=many, metric="bought", definition=many.metric_definitions()["bought"], reach=1.0)._world(trial, 1.0, None)  # fmt: skip
    assert seconds_of_a_run(world) * 100 > SECONDS
    with pytest.raises(InsufficientData, match="too long to simulate"):
        run(many, trial, "always_valid", runs=0)


def test_what_cannot_be_simulated_is_said() -> None:
    crossed = Trial(shares=(0.5, 0.5), means=(0.1, 0.1), arrivals=(100.0,), looks=(3.0,), window=2.0, contrasts=((-1.0, 1.0),))  # fmt: skip
    with pytest.raises(InsufficientData, match="crossed factors"):
        run(design(), crossed, "always_valid")
    hourly = Trial(shares=(0.5, 0.5), means=(0.1, 0.1), arrivals=(100.0,) * 30, looks=(32.0,), window=60.0)
    with pytest.raises(InsufficientData, match="too much to simulate"):
        run(design(interval="1h"), hourly, "always_valid")
    other = design()
    trial = BanditTrial(design=other, metric="read", definition=other.metric_definitions()["bought"], reach=1.0)  # fmt: skip
    with pytest.raises(InsufficientData, match="traffic follows bought"):
        trial(RATES, allocation=other.allocation, monitoring=Monitoring(), runs=10, rng=np.random.default_rng(1), progress=None)  # fmt: skip
