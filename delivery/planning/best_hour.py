"""The hour at which a user is likeliest to read and click soon, learned from what became of earlier messages.

A user's reads follow our sends, so a histogram of read times mostly shows when we wrote. Asked instead is what a message
brings that is *sent* at an hour: the mean reward of the messages delivered to the user, by the hour of sending on the user's
clock. The reward of a message is 1 for a read within an hour of sending, and 2 more for a click within a day.

A user has few messages, so three things are borrowed, each from something near:

    m(h)  = (K*S(h) + 20 mean) / (K*N(h) + 20)             the panel's reward at hour h (K: an hour and half of each neighbour)
    level = (own rewards + 1) / (sum of m(hour sent) + 1)   how this user answers compared with the panel, at the hours tried
    score = (K*s(h) + 4 level m(h)) / (K*n(h) + 4)          the user's own mean at hour h, with four messages' worth of the panel

S, N and s, n are rewards and messages of the panel and of the user by hour. The level keeps an hour from looking best only
because somebody who reads everything was written to at that hour. The panel is a fixed sample of all users. What is biased
all the same, and by how much: docs/decisions/0014-best-hour.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from delivery.planning import best_hour_repository as repository
from delivery.planning.best_hour_repository import QUARTER, Heard, Window
from experiments.send_times import BestHour

LOOK_BACK: Final = timedelta(days=90)
READ_SOON: Final = timedelta(hours=1)
CLICK_SOON: Final = timedelta(days=1)
"""Also how old a message must be to count: before, what becomes of it is not known."""
CLICK_WEIGHT: Final = 2.0
PANEL_WEIGHT: Final = 4.0
LEVEL_WEIGHT: Final = 1.0
MEAN_WEIGHT: Final = 20.0
PANEL_SIZE: Final = 2000

FALLBACK: Final = "fallback"
LEARNED: Final = "learned"
EXPLORED: Final = "explored"

_HOURS: Final = 24
_DISTANCE: Final = np.abs(np.subtract.outer(np.arange(_HOURS), np.arange(_HOURS)))
_KERNEL: Final = np.select([_DISTANCE == 0, np.isin(_DISTANCE, (1, _HOURS - 1))], [1.0, 0.5], 0.0)
_MANTISSA: Final = 53
_ROUNDING: Final = 1e-9
_TRIED: Final = 1e-7


@dataclass(frozen=True, slots=True)
class Hours:
    """What is known of a user: the expected reward of a message sent at each hour 0..23 of their clock, and on what it rests.

    `messages` were delivered in the time looked at; `reads` and `clicks` of them came at any time.
    """

    scores: tuple[float, ...]
    messages: int
    reads: int
    clicks: int


def choose(rule: BestHour, *, learned: Hours | None, draws: Sequence[float]) -> list[dict[str, Any]]:
    """The hour of each step, with the rule it came from and its exact propensity given what was known.

    A draw is uniform on [0, 1). Below `explore` it names one of the hours, each alike; else the best hour is taken: that of the
    fallback until there is evidence enough, then the one with the highest score (of equal ones what was tried more, then the
    nearest to the fallback). The propensity of an hour is explore / number of hours, and 1 - explore more for the best one.
    """
    first, last = rule.hours
    hours = range(first, last + 1)
    best, exploited = rule.fallback.hour, FALLBACK
    if learned is not None and learned.reads + learned.clicks >= rule.min_evidence:
        best, exploited = _best(rule, learned), LEARNED
    evidence = {
        "messages": learned.messages if learned else 0,
        "reads": learned.reads if learned else 0,
        "clicks": learned.clicks if learned else 0,
    }
    choices = []
    for draw in draws:
        explores = draw < rule.explore
        hour = hours[min(int(draw / rule.explore * len(hours)), len(hours) - 1)] if explores else best
        choices.append(
            {
                "by": "best_hour",
                "hour": hour,
                "rule": EXPLORED if explores else exploited,
                "best": best,
                "propensity": rule.explore / len(hours) + (1 - rule.explore) * (hour == best),
                "evidence": evidence,
            }
        )
    return choices


def draws(*, experiment_id: int, user_pk: int, first_step: int = 0) -> Callable[[int], float]:
    """The number of each step in [0, 1), from a hash of experiment, user and step: planning again draws the same.

    `first_step`: that of the occasion; steps are counted from it.
    """

    def draw(step: int) -> float:
        key = f"best_hour:{experiment_id}:{user_pk}:{first_step + step}".encode()
        return (int.from_bytes(blake2b(key, digest_size=8).digest()) >> (64 - _MANTISSA)) * 2.0**-_MANTISSA

    return draw


def learned_hours(
    session: Session, user_pks: Sequence[int], *, zones: Mapping[int, tzinfo], now: datetime
) -> dict[int, Hours]:
    """What is known of the hours of these users, each in the zone of `zones`; users without a delivered message are absent.

    Reads the messages of these users and of the panel, through the index of a user's ledger, and nothing else.
    """
    window = Window(since=now - LOOK_BACK, until=now - CLICK_SOON, read=READ_SOON, click=CLICK_SOON)
    own = repository.heard_of(session, user_pks, window=window)
    if not own:
        return {}
    panel = repository.heard_by_zone(session, repository.panel(session, size=PANEL_SIZE), window=window)
    return learn(own, zones=zones, population=population_of(panel))


def population_of(panel: Sequence[tuple[tzinfo, Heard]]) -> NDArray[np.float64]:
    """m(h), the reward of a message by hour of sending on its receiver's clock, float64 of shape (24,); flat without messages."""
    sent, reward = np.zeros(_HOURS), np.zeros(_HOURS)
    for zone, heard in panel:
        hour = _local_hour(zone, heard.quarter)
        sent[hour] += heard.messages
        reward[hour] += _reward(heard)
    mean = reward.sum() / sent.sum() if sent.sum() else 0.0
    rates: NDArray[np.float64] = (_KERNEL @ reward + MEAN_WEIGHT * mean) / (_KERNEL @ sent + MEAN_WEIGHT)
    return rates


def learn(
    own: Sequence[Heard], *, zones: Mapping[int, tzinfo], population: NDArray[np.float64]
) -> dict[int, Hours]:
    """The hours of every user of `own`; `population` is m(h), float64 of shape (24,)."""
    rows = {user_pk: row for row, user_pk in enumerate(dict.fromkeys(heard.user_pk for heard in own))}
    places = [
        rows[heard.user_pk] * _HOURS + _local_hour(zones[heard.user_pk], heard.quarter) for heard in own
    ]

    def by_hour(numbers: Iterable[float]) -> NDArray[np.float64]:
        summed = np.bincount(places, weights=list(numbers), minlength=len(rows) * _HOURS)
        return summed.reshape(len(rows), _HOURS).astype(np.float64)

    sent, reward = by_hour(heard.messages for heard in own), by_hour(map(_reward, own))
    reads, clicks = by_hour(heard.reads for heard in own), by_hour(heard.clicks for heard in own)
    counts = np.stack([each.sum(axis=1) for each in (sent, reads, clicks)], axis=1).astype(int)
    level = (reward.sum(axis=1) + LEVEL_WEIGHT) / (sent @ population + LEVEL_WEIGHT)
    prior = PANEL_WEIGHT * level[:, None] * population
    near = sent @ _KERNEL
    # Of hours that promise the same, the one that has been tried promises it more surely.
    scores = (reward @ _KERNEL + prior + _TRIED * near) / (near + PANEL_WEIGHT)
    return {
        user_pk: Hours(tuple(score), *count)
        for user_pk, score, count in zip(rows, scores.tolist(), counts.tolist(), strict=True)
    }


def _best(rule: BestHour, learned: Hours) -> int:
    first, last = rule.hours
    # Of equal scores the nearest to the fallback, the earlier of two; a rounding error makes no hour better.
    near = sorted(range(first, last + 1), key=lambda hour: abs(hour - rule.fallback.hour))
    highest = max(learned.scores[hour] for hour in near) - _ROUNDING
    return next(hour for hour in near if learned.scores[hour] >= highest)


def _reward(heard: Heard) -> float:
    return heard.read_soon + CLICK_WEIGHT * heard.clicked_soon


@lru_cache(maxsize=65_536)
def _local_hour(zone: tzinfo, quarter: int) -> int:
    return datetime.fromtimestamp(quarter * QUARTER.total_seconds(), zone).hour
