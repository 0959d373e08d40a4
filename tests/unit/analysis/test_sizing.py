"""`plan size` without any data: the answer, the options that cannot be, the picture."""

import json
import math
from datetime import timedelta
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from analysis.planning.plan_text import power_picture, render_size
from analysis.planning.sizing import size
from analysis.planning.sizing_question import Question
from analysis.stats.monitoring import Monitoring, evenly
from analysis.stats.power import Outcome, Shares, sample_size
from experiments.errors import Invalid
from experiments.vocabulary import Method


def shown(sizing) -> str:
    console = Console(file=StringIO(), width=120)
    console.print(render_size(sizing))
    return console.file.getvalue()


def test_three_arms_looked_at_daily():
    made = size(Question(baseline=0.1, mde=0.1, weights=(1, 1, 1), per_day=5000))
    watched = Monitoring(method="spending", comparisons=2, fractions=evenly(14))
    third = Shares(control=1 / 3, treatment=1 / 3)
    assert made.users_needed == sample_size(Outcome.rate(0.1), watched, effect=0.1, power=0.8, shares=third)
    assert made.arms == (math.ceil(made.users_needed / 3),) * 3
    assert made.days_needed == math.ceil(made.users_needed / 5000) + 7
    assert (made.comparisons, made.level) == (2, 0.025)
    text = shown(made)
    assert f"{made.users_needed:,}" in text
    assert "each at 0.025 (Bonferroni; the report's Holm finds at least as much)" in text
    json.dumps(made.to_json(), allow_nan=False)


def test_users_there_are_say_power_and_smallest_effect():
    made = size(Question(baseline=40.0, sd=90.0, rho=0.5, users=20_000, mde=0.05, method=Method.FIXED))
    assert made.power is not None
    assert made.minimum_effect is not None
    assert (made.power > 0.8) == (made.minimum_effect < 0.05)
    only = size(Question(baseline=0.1, users=20_000))
    assert only.users_needed is None
    assert only.minimum_effect is not None
    assert only.reasons == ()


def test_a_guardrail_and_its_margin():
    made = size(Question(baseline=0.01, margin=0.002, users=50_000, weights=(1, 1, 1), method=Method.FIXED))
    assert made.comparisons == 1
    assert made.minimum_effect is None
    assert made.power is not None
    assert "harm below 0.002" in shown(made)
    # All of alpha is on the side of harm: that is the error of the comparison.
    assert made.level == 0.05


def test_a_margin_of_a_mean_is_planned_on_one_side_at_any_alpha():
    made = size(Question(baseline=10.0, sd=5.0, margin=0.5, looks=5))
    once = size(Question(baseline=10.0, sd=5.0, margin=0.5, looks=1))
    assert made.inflation == pytest.approx(made.users_needed / once.users_needed, abs=1e-3)
    # 2 (z_0.05 + z_0.8)^2 sd^2 / margin^2 in each arm; statsmodels' one-sided NormalIndPower says the same.
    assert once.users_needed == pytest.approx(2 * 2 * (1.644854 + 0.841621) ** 2 * 100, rel=0.005)
    wide = size(Question(baseline=10.0, sd=5.0, margin=0.5, alpha=0.3, power=0.4))
    assert wide.users_needed is not None
    assert wide.inflation >= 1


def test_a_slow_effect_and_those_who_are_not_reached_dilute_it():
    made = size(Question(baseline=0.1, mde=0.2, reach=0.8, half_life=timedelta(days=7), method=Method.FIXED))
    assert made.seen == pytest.approx(0.4)
    plain = size(Question(baseline=0.1, mde=0.08, method=Method.FIXED))
    assert made.users_needed == plain.users_needed


def test_a_simulation_stands_beside_the_formula():
    question = Question(baseline=0.1, mde=0.15, weights=(2, 1, 1), per_day=4000, looks=5)
    made = size(question, runs=400, rng=np.random.default_rng(3))
    assert made.simulation is not None
    assert len(made.simulation.found) == 2
    # Bonferroni's size, Holm's power: as much as planned, or more.
    assert min(made.simulation.found) > 0.8 - 3 * max(made.simulation.standard_errors)
    assert "simulated, variant 2" in shown(made)
    without = size(Question(baseline=0.1, users=100), runs=10, rng=np.random.default_rng(3))
    assert without.simulation is None
    assert without.reasons == ("no simulation: it needs --mde",)


def test_what_cannot_be_told_has_a_reason():
    made = size(Question(baseline=0.6, mde=0.9, users=1000))
    assert made.users_needed is None
    assert "it would leave 0 to 1" in made.reasons[0]
    assert "Cannot tell" in shown(made)


def test_power_by_the_effect_meets_the_plan_at_the_planned_effect():
    made = size(Question(baseline=0.1, mde=-0.1, method=Method.FIXED))
    asked = {round(point.effect, 6): point.power for point in made.effects}
    assert asked[-0.1] == pytest.approx(0.8, abs=0.001)
    powers = [asked[effect] for effect in sorted(asked, reverse=True)]
    assert powers == sorted(powers)
    there = size(Question(baseline=0.1, users=29_497, method=Method.FIXED))
    assert there.minimum_effect == pytest.approx(0.1, abs=1e-4)
    assert {round(p.effect, 3): p.power for p in there.effects}[0.1] == pytest.approx(0.8, abs=0.001)
    # What would push a rate above 1 is not drawn, and a margin is no effect.
    high = size(Question(baseline=0.7, mde=0.3))
    assert max(point.effect for point in high.effects) == pytest.approx(0.42)
    assert size(Question(baseline=0.01, margin=0.002, method=Method.FIXED)).effects == ()


def test_what_looks_cost_is_what_the_plan_with_so_many_looks_needs():
    made = size(Question(baseline=0.1, mde=0.1, looks=7, weights=(1, 1, 1)))
    priced = {(each.method, each.looks): each for each in made.looking}
    assert priced["spending", 7].users_needed == made.users_needed
    assert priced["spending", 7].times == pytest.approx(made.inflation, abs=1e-3)
    assert priced["fixed", 1].times == 1
    assert priced["always_valid", 7].times > priced["spending", 7].times > 1
    assert size(Question(baseline=0.1, users=1000)).looking == ()


def test_messages_and_their_cost():
    made = size(Question(baseline=0.1, mde=0.1, weights=(1, 1, 1), reach=0.8, message_price=0.05))
    assert made.messages == math.ceil(made.users_needed * 2 / 3)
    assert made.cost == pytest.approx(made.messages * 0.8 * 0.05)
    assert f"{made.cost:,.2f}" in shown(made)
    all_of = size(Question(baseline=0.1, users=1000, control_sends=True))
    assert (all_of.messages, all_of.cost) == (1000, None)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"baseline": 0.0, "mde": 0.1}, "--baseline"),
        ({"baseline": 1.5, "mde": 0.1}, "--baseline"),
        ({"baseline": 0.1}, "--mde"),
        ({"baseline": 0.1, "mde": 0.0}, "--mde"),
        ({"baseline": 0.1, "mde": 0.1, "margin": 0.1}, "--margin"),
        ({"baseline": 0.1, "margin": 0.0}, "--margin"),
        ({"baseline": 0.1, "margin": 2.0}, "--margin"),
        ({"baseline": 0.3, "margin": 0.7}, "--margin"),
        ({"baseline": 5.0, "sd": 0.0, "mde": 0.1}, "--sd"),
        ({"baseline": 0.1, "mde": 0.1, "rho": 1.0}, "--rho"),
        ({"baseline": 0.1, "mde": 0.1, "reach": 1.1}, "--reach"),
        ({"baseline": 0.1, "mde": 0.1, "weights": (1.0,)}, "--weights"),
        ({"baseline": 0.1, "mde": 0.1, "weights": (1.0, -1.0)}, "--weights"),
        ({"baseline": 0.1, "mde": 0.1, "looks": 0}, "--looks"),
        ({"baseline": 0.1, "mde": 0.1, "alpha": 0.6, "power": 0.9}, "--alpha"),
        ({"baseline": 0.1, "mde": 0.1, "users": 10**10}, "--users"),
        ({"baseline": 0.1, "mde": 0.1, "power": 0.01}, "--power"),
        ({"baseline": 0.1, "mde": 0.1, "users": 1}, "--users"),
        ({"baseline": 0.1, "mde": 0.1, "per_day": 0.0}, "--per-day"),
        ({"baseline": 0.1, "mde": 0.1, "message_price": -0.1}, "--message-price"),
        ({"baseline": 0.1, "mde": math.nan}, "--mde"),
        ({"baseline": 10.0, "sd": 3.0, "mde": 0.1, "method": Method.EXACT}, "--method"),
        ({"baseline": math.nan, "mde": 0.1}, "--baseline"),
    ],
)
def test_options_that_cannot_be_are_named(options, field):
    with pytest.raises(Invalid) as refused:
        size(Question(**options))
    assert field in [problem.field for problem in refused.value.problems]


def test_the_picture_rises_from_the_left_to_the_right():
    points = [(1000 * step, min(1.0, step / 20)) for step in range(1, 31)]
    picture = power_picture(points, target=0.8, there=12_000, width=40, height=11)
    lines = picture.split("\n")
    assert lines[0].startswith(" 100% ┤")
    assert lines[2].startswith("  80% ┤")
    assert "30,000 users" in picture
    assert "│ users there are" in picture
    columns = [[row[column] for row in (line[7:].ljust(40) for line in lines[:11])] for column in range(40)]
    heights = [10 - column.index("●") for column in columns]
    assert heights == sorted(heights)
    assert heights[0] == 0
    assert heights[-1] == 10
    assert "users there are" not in power_picture(points, target=0.8, there=90_000)
