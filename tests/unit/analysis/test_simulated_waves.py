"""Broadcasts in waves: everybody is in one arm at the end, the rules end them as they say, and what is known is all that decides."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

import numpy as np
import pytest

from analysis.bandits.waves import next_wave
from analysis.stats.allocation import AllocationPolicy
from analysis.stats.simulated_amounts import Amounts
from analysis.stats.simulated_reports import Judged
from analysis.stats.simulated_waves import GOES_ON, End, WaveRuns, ends, horizon, simulate_waves
from analysis.stats.simulated_world import World
from experiments.design import read_design
from experiments.models import Experiment
from experiments.vocabulary import ExperimentStatus
from targeting.models import Enrolment

THOMPSON = AllocationPolicy(policy="thompson")


def world(*rates: float, waves: int = 10, users: int = 20_000, **more: Any) -> World:
    return World(
        **{
            "rates": np.array(rates),
            "delays": np.tile([0.6, 0.3, 0.1], (len(rates), 1)),
            "arrivals": np.full(waves, users // waves),
            "drift": np.ones(waves),
            **more,
        }
    )


def play(
    made: World, *, policy: AllocationPolicy = THOMPSON, method: str = "spending", runs: int = 100, control: int = 0, seed: int = 1
) -> WaveRuns:  # fmt: skip
    arms = len(made.rates)
    return simulate_waves(
        made, policy, shares=np.full(arms, 1 / arms), control=control, runs=runs, rng=np.random.default_rng(seed),
        judged=Judged(
            method=method, alpha=0.05, expected=int(made.arrivals.sum()), least_users=100, is_share=made.amounts is None,
            planned=int(made.arrivals.sum()),
        ),
    )  # fmt: skip


def test_a_clear_winner_gets_the_rest() -> None:
    runs = play(world(0.05, 0.11, 0.06))
    assert (runs.end == End.SHIPPED).all()
    assert (runs.shipped == 1).mean() > 0.97
    assert runs.users.sum(axis=1).tolist() == [20_000] * 100
    # What was not drawn went to the arm that was shipped.
    rest = runs.users - runs.drawn
    assert (rest.sum(axis=1) == 2000 * (10 - runs.waves)).all()
    assert (rest[np.arange(100), runs.shipped] == rest.sum(axis=1)).all()
    # A window of three intervals has to close before a report has anybody, so three waves were out.
    assert runs.waves.min() >= 3
    gaps = np.array([0.06, 0.0, 0.05])
    assert runs.regret == pytest.approx(runs.users @ gaps)


def test_variants_that_do_harm_leave_the_rest_to_the_control_wherever_it_stands() -> None:
    runs = play(world(0.02, 0.1, 0.03), control=1)
    assert (runs.end == End.WORSE).mean() > 0.95
    assert (runs.shipped == -1).all()
    rest = runs.users - runs.drawn
    assert (rest[:, 1] == 2000 * (10 - runs.waves)).all()
    assert rest.sum() > 0


def test_before_the_last_wave_the_control_ends_it_when_it_leads() -> None:
    runs = play(world(0.05, 0.05), runs=300)
    led = runs.end == End.NOTHING_BETTER
    # Of two equal arms one leads, and either does so half of the time.
    assert led.mean() == pytest.approx(0.5, abs=0.1)
    assert (runs.waves[led] == 9).all()
    assert ((runs.users - runs.drawn)[led, 0] == 2000).all()
    assert (runs.end == End.SHIPPED).mean() < 0.05
    assert (runs.waves[runs.end == End.ALL_OUT] == 10).all()
    assert runs.regret.max() == 0


def test_where_nobody_ever_converts_each_wave_waits_for_all_windows_and_then_goes_out() -> None:
    runs = play(world(0.0, 0.0, waves=3))
    assert (runs.end == End.ALL_OUT).all()
    # A wave goes out at the beginning of an interval, and its windows close three later.
    assert runs.slots.tolist() == [2 * 3] * 100
    assert runs.slots.max() <= horizon(3, 3)


def test_one_wave_is_everybody_at_once() -> None:
    runs = play(world(0.05, 0.07, waves=1), runs=200)
    assert (runs.end == End.ALL_OUT).all()
    assert (runs.slots == 0).all()
    assert runs.regret.mean() == pytest.approx(20_000 * 0.02 / 2, rel=0.01)


def test_with_one_look_at_the_end_nothing_is_shipped_on_the_way() -> None:
    runs = play(world(0.05, 0.2), method="fixed", runs=30)
    assert (runs.end == End.ALL_OUT).all()
    assert runs.users[:, 1].mean() > 12_000


def test_less_may_be_better_and_so_may_more_money() -> None:
    fewer = play(world(0.05, 0.02, maximise=False), policy=replace(THOMPSON, maximise=False), runs=50)
    assert (fewer.shipped == 1).mean() > 0.9
    assert (fewer.shipped != 0).all()
    money = world(0.05, 0.05, amounts=(Amounts(20.0, 10.0), Amounts(60.0, 30.0)))
    richer = play(money, runs=50)
    assert (richer.shipped == 1).mean() > 0.9
    assert richer.regret == pytest.approx(richer.users[:, 0] * 2.0)


def test_a_price_is_in_the_weights_and_not_in_the_report() -> None:
    paid = world(0.05, 0.06, price=1.0, conversion=10.0, messages=np.array([0, 1]), arriving=np.ones(2))
    assert paid.best.tolist() == [True, False]
    runs = play(paid, policy=replace(THOMPSON, message=1.0, conversion=10.0), runs=100)
    # The message costs more than it brings: traffic leaves it, and before the last wave the control leads.
    assert (runs.end == End.NOTHING_BETTER).mean() > 0.8
    assert runs.regret == pytest.approx(runs.users[:, 1] * (1.0 - 10 * 0.01))


NOW = datetime(2026, 12, 1, tzinfo=UTC)
DESIGN = read_design(
    {
        "key": "spring",
        "name": "Spring",
        "variants": [
            {"key": "silence", "control": True},
            {"key": "coupon", "message": {"template": "spring_coupon", "language": "en_US"}},
        ],
        "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Order"}],
        "allocation": {"policy": "thompson"},
    },
    library={},
)


@pytest.mark.parametrize(
    ("ships", "keeps", "waits", "last", "leads"),
    [each for each in product([False, True], repeat=5) if not (each[0] and each[1])],
)
def test_the_rules_are_those_of_a_slot(
    *, ships: bool, keeps: bool, waits: bool, last: bool, leads: bool
) -> None:
    experiment = Experiment(
        key="spring", name="Spring", status=ExperimentStatus.RUNNING, definition={}, created_at=NOW, updated_at=NOW,
        released=0.9 if last else 0.5,
    )  # fmt: skip
    assert DESIGN.bandit is not None
    action = "ship" if ships else "keep_control" if keeps else "continue"
    really = next_wave(
        experiment, DESIGN, DESIGN.bandit, Enrolment(experiment_id=1, started_at=NOW, finished_at=NOW),
        doubt=None, waits_for="too thin" if waits else None,
        decision={"action": action, "variant": "coupon" if ships else None, "because": "of it"},
        weights={"silence": 0.1, "coupon": 0.9},
        p_best={"silence": 0.6, "coupon": 0.4} if leads else {"silence": 0.3, "coupon": 0.7},
        now=NOW, upto=1.0 if last else 0.75,
    )  # fmt: skip
    assert really is not None
    flags = (np.array([each]) for each in (ships, keeps, waits, last, leads))
    [played] = ends(**dict(zip(("ships", "keeps", "waits", "last", "leads"), flags, strict=True)))
    expected = {
        int(End.SHIPPED): "shipped",
        int(End.WORSE): "ended",
        int(End.NOTHING_BETTER): "ended",
        GOES_ON: "held" if waits else "released",
    }
    assert expected[int(played)] == really.action


def test_the_same_seed_plays_the_same() -> None:
    one, two = play(world(0.05, 0.06), runs=20, seed=3), play(world(0.05, 0.06), runs=20, seed=3)
    assert one.users.tolist() == two.users.tolist()
    assert one.end.tolist() == two.end.tolist()
