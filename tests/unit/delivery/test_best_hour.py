"""The estimator on numbers worked out by hand, and the choice that is made of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from delivery.planning.best_hour import Hours, choose, draws, learn, population_of
from delivery.planning.best_hour_repository import QUARTER, Heard
from experiments.clock import EPOCH
from experiments.send_times import BestHour

AMSTERDAM, KOLKATA = ZoneInfo("Europe/Amsterdam"), ZoneInfo("Asia/Kolkata")
FLAT = np.full(24, 0.5)


def rule(**changes: Any) -> BestHour:
    return BestHour.model_validate({"fallback": "18:30", **changes})


def heard(moment: datetime, *, user_pk: int = 1, messages: int = 1, soon: int = 0, clicked: int = 0) -> Heard:
    return Heard(user_pk, (moment - EPOCH) // QUARTER, messages, soon, clicked, soon, clicked)


def hours(best: int, **changes: Any) -> Hours:
    scores = tuple(1.0 if hour == best else 0.5 for hour in range(24))
    return Hours(**{"scores": scores, "messages": 9, "reads": 5, "clicks": 0} | changes)


def at(hour: int, day: int = 1) -> datetime:
    return datetime(2026, 12, day, hour, 45, tzinfo=UTC)


def test_an_hour_is_that_of_sending_on_the_users_own_clock() -> None:
    learned = learn(
        [heard(at(12), user_pk=1, soon=1), heard(at(12), user_pk=2, soon=1)],
        zones={1: AMSTERDAM, 2: KOLKATA},
        population=FLAT,
    )
    # 12:45 UTC is 13:45 in Amsterdam and 18:15 in Kolkata.
    assert [int(np.argmax(learned[user].scores)) for user in (1, 2)] == [13, 18]


def test_scores_are_those_of_the_formula() -> None:
    # Two messages at nine, both read soon; one at twelve, neither read nor clicked.
    learned = learn(
        [heard(at(9), messages=2, soon=2), heard(at(12))], zones={1: ZoneInfo("UTC")}, population=FLAT
    )[1]
    level = (2 + 1) / (3 * 0.5 + 1)
    assert learned.scores[9] == pytest.approx((2 + 4 * level * 0.5) / (2 + 4))
    assert learned.scores[10] == pytest.approx((1 + 4 * level * 0.5) / (1 + 4))
    assert learned.scores[12] == pytest.approx((0 + 4 * level * 0.5) / (1 + 4))
    assert learned.scores[18] == pytest.approx(level * 0.5)
    assert (learned.messages, learned.reads, learned.clicks) == (3, 2, 0)


def test_a_click_weighs_two_reads_and_midnight_has_two_neighbours() -> None:
    clicked = learn([heard(at(0), clicked=1)], zones={1: ZoneInfo("UTC")}, population=FLAT)[1].scores
    read = learn([heard(at(0), soon=2, messages=1)], zones={1: ZoneInfo("UTC")}, population=FLAT)[1].scores
    assert clicked == read
    assert clicked[23] == clicked[1] > clicked[2]


def test_whoever_reads_everything_is_not_tied_to_the_hour_that_was_tried() -> None:
    # The panel answers better at nine; this user answered all that came at eighteen. Nine is expected to be better still.
    curve = np.full(24, 0.3)
    curve[9] = 0.6
    sent = [heard(at(18, day), soon=1) for day in range(1, 9)]
    learned = learn(sent, zones={1: ZoneInfo("UTC")}, population=curve)[1]
    assert learned.scores[9] > learned.scores[18] > learned.scores[12]


def test_the_panel_is_read_by_local_hour_and_without_messages_it_says_nothing() -> None:
    panel = [
        (AMSTERDAM, heard(at(8), messages=100, soon=80)),
        (KOLKATA, heard(datetime(2026, 12, 1, 4, 0, tzinfo=UTC), messages=100, soon=80)),
        (AMSTERDAM, heard(at(18), messages=200, soon=40)),
    ]
    curve = population_of(panel)
    assert int(np.argmax(curve)) == 9  # nine o'clock in both
    assert curve[9] == pytest.approx((160 + 20 * 0.5) / (200 + 20))
    assert curve[3] == pytest.approx(0.5)
    assert population_of([]).tolist() == [0.0] * 24


def test_without_evidence_it_is_the_fallback_and_says_so() -> None:
    for known in (None, hours(9, reads=1, clicks=1)):
        (choice,) = choose(rule(), learned=known, draws=[0.5])
        assert (choice["rule"], choice["hour"], choice["best"]) == ("fallback", 18, 18)
        assert choice["propensity"] == pytest.approx(0.9 + 0.1 / 14)


def test_reads_and_clicks_together_are_evidence() -> None:
    (choice,) = choose(rule(), learned=hours(9, reads=2, clicks=1), draws=[0.1])
    assert (choice["by"], choice["rule"], choice["hour"]) == ("best_hour", "learned", 9)
    assert choice["evidence"] == {"messages": 9, "reads": 2, "clicks": 1}


def test_an_explored_hour_has_its_own_propensity_also_when_it_is_the_best_one() -> None:
    edges = [0.1 * (n + 0.5) / 14 for n in range(14)]
    choices = choose(rule(), learned=hours(9), draws=edges)
    assert [choice["hour"] for choice in choices] == list(range(8, 22))
    assert {choice["rule"] for choice in choices} == {"explored"}
    assert [choice["propensity"] for choice in choices] == [
        pytest.approx(0.1 / 14 + 0.9 * (hour == 9)) for hour in range(8, 22)
    ]


def test_only_permitted_hours_are_chosen_and_equal_ones_stay_near_the_fallback() -> None:
    assert choose(rule(explore=0), learned=hours(3), draws=[0.0])[0]["hour"] == 18
    assert choose(rule(explore=0, hours=[0, 23]), learned=hours(3), draws=[0.0])[0]["hour"] == 3
    tied = Hours((0.5,) * 9 + (0.7,) + (0.5,) * 3 + (0.7 + 1e-15,) + (0.5,) * 10, 9, 9, 0)
    assert choose(rule(), learned=tied, draws=[0.9])[0]["hour"] == 13
    assert choose(rule(fallback="10:00"), learned=tied, draws=[0.9])[0]["hour"] == 9


def test_the_extremes_of_exploring() -> None:
    always = choose(rule(explore=1), learned=hours(9), draws=[0.0, 1 - 2**-53])
    assert [choice["hour"] for choice in always] == [8, 21]
    assert {choice["propensity"] for choice in always} == {1 / 14}
    assert choose(rule(explore=0), learned=hours(9), draws=[0.0])[0]["propensity"] == 1.0


def test_draws_are_the_same_whenever_they_are_made_and_differ_by_experiment_user_and_step() -> None:
    def first(of: Callable[[int], float]) -> list[float]:
        return [of(step) for step in range(5)]

    here = draws(experiment_id=1, user_pk=2)
    assert first(here) == first(draws(experiment_id=1, user_pk=2))
    later = draws(experiment_id=1, user_pk=2, first_step=3)
    assert [later(0), later(1)] == [here(3), here(4)]
    others = [first(draws(experiment_id=1, user_pk=3)), first(draws(experiment_id=2, user_pk=2)), first(here)]
    assert len({number for each in others for number in each}) == 15


def test_a_day_that_changes_the_clock_is_read_as_the_clock_showed() -> None:
    before, after = datetime(2026, 3, 28, 17, tzinfo=UTC), datetime(2026, 3, 29, 17, tzinfo=UTC)
    learned = learn([heard(before, soon=1)], zones={1: AMSTERDAM}, population=FLAT)
    assert int(np.argmax(learned[1].scores)) == 18
    learned = learn([heard(after, soon=1)], zones={1: AMSTERDAM}, population=FLAT)
    assert int(np.argmax(learned[1].scores)) == 19
    assert after - before == timedelta(days=1)


def test_an_hour_that_never_failed_is_not_left_for_one_that_was_never_tried() -> None:
    sent = [heard(at(19, day), soon=1) for day in range(1, 9)]
    learned = learn(sent, zones={1: ZoneInfo("UTC")}, population=population_of([(ZoneInfo("UTC"), sent[0])]))
    assert choose(rule(explore=0), learned=learned[1], draws=[0.5])[0]["hour"] == 19
