"""Learned hours over many users: drawn as often as is logged, honest to weigh by, and better than one hour for all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from delivery.planning.best_hour import CLICK_WEIGHT, Hours, choose, draws, learn, population_of
from delivery.planning.best_hour_repository import QUARTER, Heard
from experiments.send_times import BestHour

UTC_ZONE = ZoneInfo("UTC")
DAY = timedelta(days=1) // QUARTER
HOUR = timedelta(hours=1) // QUARTER
RULE = BestHour.model_validate({"fallback": "18:00", "explore": 0.2, "min_evidence": 3})
WEEKS = 30


@dataclass
class World:
    """Users with a chance to read soon (and then, a third of them, to click) at each hour of sending: (users, 24).

    Each week everybody gets one message at an hour drawn for them; what came of it is known the week after.
    """

    chances: np.ndarray
    rng: np.random.Generator
    experiment_id: int = 1
    heard: list[Heard] = field(default_factory=list)

    def run(self, rule: BestHour, *, weeks: int = WEEKS) -> list[list[tuple[dict[str, Any], float]]]:
        """For each week, the choice for each user and the reward that came of it."""
        users = range(len(self.chances))
        zones = dict.fromkeys(users, UTC_ZONE)
        draw_of = [draws(experiment_id=self.experiment_id, user_pk=user) for user in users]
        story = []
        for week in range(weeks):
            population = population_of([(UTC_ZONE, each) for each in self.heard])
            learned = learn(self.heard, zones=zones, population=population)
            story.append([self._send(rule, user, learned.get(user), draw_of[user], week) for user in users])
        return story

    def _send(
        self, rule: BestHour, user: int, learned: Hours | None, draw: Callable[[int], float], week: int
    ) -> tuple[dict[str, Any], float]:
        (choice,) = choose(rule, learned=learned, draws=[draw(week)])
        read = int(self.rng.random() < self.chances[user, choice["hour"]])
        click = int(read and self.rng.random() < 1 / 3)
        quarter = 7 * DAY * (week + 1) + HOUR * choice["hour"]
        self.heard.append(Heard(user, quarter, 1, read, click, read, click))
        return choice, read + CLICK_WEIGHT * click


def own_hours(rng: np.random.Generator, users: int) -> np.ndarray:
    """Each user reads 80 % within the hour at an hour of their own (8 to 21), less and less around it, 20 % far from it."""
    peaks = rng.integers(8, 22, size=users)
    away = np.abs(np.arange(24) - peaks[:, None])
    return 0.2 + 0.6 * np.exp(-((np.minimum(away, 24 - away) / 2) ** 2))


def mean_reward(weeks: Sequence[list[tuple[dict[str, Any], float]]]) -> float:
    return float(np.mean([reward for week in weeks for _, reward in week]))


@given(
    scores=st.lists(st.floats(0, 3), min_size=24, max_size=24).map(tuple),
    evidence=st.integers(0, 5),
    explore=st.floats(0, 1),
    first=st.integers(0, 18),
    number=st.integers(1, 23),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_propensities_of_all_hours_sum_to_one_and_a_choice_has_its_own(
    scores: tuple[float, ...], evidence: int, explore: float, first: int, number: int, draw: float
) -> None:
    last = min(first + number - 1, 23)
    rule = BestHour.model_validate(
        {"fallback": f"{first:02}:00", "hours": [first, last], "explore": explore, "min_evidence": 3}
    )
    learned = Hours(scores, evidence, evidence, 0)
    (choice,) = choose(rule, learned=learned, draws=[draw])
    count = last - first + 1
    of = {hour: explore / count + (1 - explore) * (hour == choice["best"]) for hour in range(first, last + 1)}
    assert choice["propensity"] == of[choice["hour"]] > 0
    assert sum(of.values()) == pytest.approx(1)


def test_hours_come_as_often_as_is_logged() -> None:
    # 40,000 users and steps whose best hour differs; expected counts are sums of the propensities that would be logged.
    hours = range(8, 22)
    counts, expected = np.zeros(24), np.zeros(24)
    for user in range(20_000):
        best = 8 + user * user % 14
        learned = Hours(tuple(float(hour == best) for hour in range(24)), 3, 3, 0)
        draw = draws(experiment_id=7, user_pk=user)
        for choice in choose(RULE, learned=learned, draws=[draw(0), draw(1)]):
            counts[choice["hour"]] += 1
        expected[hours.start : hours.stop] += 2 * RULE.explore / 14
        expected[best] += 2 * (1 - RULE.explore)
    inside = slice(hours.start, hours.stop)
    assert counts[inside].sum() == counts.sum() == 40_000
    assert stats.chisquare(counts[inside], expected[inside]).pvalue > 0.001


def test_draws_are_uniform_and_independent_from_step_to_step() -> None:
    pairs = np.array(
        [[draws(experiment_id=3, user_pk=user)(step) for step in (0, 1)] for user in range(20_000)]
    )
    assert stats.kstest(pairs.ravel(), "uniform").pvalue > 0.001
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / np.sqrt(len(pairs))


def test_weighing_by_the_propensity_gives_the_reward_of_any_hour_without_bias() -> None:
    # The policy learns all the while, so that plain means of what was sent at an hour are of the users who like that hour.
    biases = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        chances = own_hours(rng, 150)
        weeks = World(chances, rng, experiment_id=seed).run(RULE, weeks=24)
        sent = [item for week in weeks[8:] for item in week]
        for hour in (9, 13):
            truth = chances[:, hour].mean() * (1 + CLICK_WEIGHT / 3)
            at_hour = [(reward, choice["propensity"]) for choice, reward in sent if choice["hour"] == hour]
            weighed = sum(reward / propensity for reward, propensity in at_hour) / len(sent)
            plain = np.mean([reward for reward, _ in at_hour])
            biases.append((weighed - truth, plain - truth))
    weighed_bias, plain_bias = np.array(biases).T
    error = weighed_bias.std(ddof=1) / np.sqrt(len(weighed_bias))
    assert abs(weighed_bias.mean()) < 3 * error
    assert error < 0.05
    assert plain_bias.mean() > 0.1  # the test can tell


def test_where_users_have_hours_of_their_own_learning_beats_any_one_hour() -> None:
    rng = np.random.default_rng(20261201)
    chances = own_hours(rng, 300)
    late = World(chances, rng).run(RULE)[-10:]
    best_fixed = float(chances[:, 8:22].mean(axis=0).max()) * (1 + CLICK_WEIGHT / 3)
    assert mean_reward(late) > 1.25 * best_fixed


def test_where_all_are_alike_learning_finds_their_hour_though_the_fallback_is_another() -> None:
    rng = np.random.default_rng(20261202)
    away = np.abs(np.arange(24) - 10)
    chances = np.tile(0.2 + 0.4 * np.exp(-((away / 2) ** 2)), (200, 1))
    late = [choice for week in World(chances, rng).run(RULE, weeks=20)[-5:] for choice, _ in week]
    learned = [choice["best"] for choice in late if choice["rule"] == "learned"]
    assert len(learned) > 0.5 * len(late)
    assert np.mean([9 <= hour <= 11 for hour in learned]) > 0.6


def test_where_no_hour_is_better_nothing_is_lost() -> None:
    rng = np.random.default_rng(20261203)
    late = World(np.full((200, 24), 0.4), rng).run(RULE, weeks=12)[-6:]
    assert mean_reward(late) == pytest.approx(0.4 * (1 + CLICK_WEIGHT / 3), abs=0.1)
