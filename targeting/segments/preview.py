"""How many users a condition means, and who for instance: in well under a second, however many users there are.

Two steps, each with its bound. First everybody is counted, for as long as there is time. Then internal ids are drawn at
random between the lowest and the highest, and looked at: that gives some users to show and, when the count did not come
to its end, an estimate, with an interval that says how good it is.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from sqlmodel import Session

from experiments.clock import Clock
from experiments.vocabulary import Category
from targeting.conditions.text import condition_of
from targeting.segments import preview_repository
from targeting.segments.attribute_repository import id_range
from targeting.segments.audience_repository import Audience, audience_of
from targeting.segments.condition_reading import warnings_about
from targeting.segments.preview_repository import CHUNK, Found, OutOfTimeError
from targeting.user_repository import may_be_messaged

__all__ = ["DRAWN", "Count", "Found", "Preview", "draw", "estimated", "preview", "wilson"]

DRAWN: Final = 20_000
COUNT_SECONDS: Final = 0.3
DRAW_SECONDS: Final = 0.3
Z: Final = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Count:
    """A number of users. `lower` and `upper` are the ends of a 95 % interval; all three are the same when it is exact."""

    value: int
    exact: bool
    lower: int
    upper: int


@dataclass(frozen=True, slots=True)
class Preview:
    """Whom a condition means: how many, and some of them; and what may be wrong with it.

    `messageable`: how many of them have a phone number and have agreed to the category that was asked about.
    """

    count: Count
    messageable: Count
    sample: tuple[Found, ...] = ()
    warnings: tuple[str, ...] = ()


def preview(
    session: Session,
    clock: Clock,
    *,
    condition: dict[str, Any] | str,
    rng: np.random.Generator,
    sample: int = 10,
    category: str = Category.MARKETING,
    drawn: int = DRAWN,
    seconds: float = COUNT_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
    field: str = "condition",
) -> Preview:
    """Count the users of a condition (JSON, or text as people write it) and show up to `sample` of them.

    `drawn` ids are looked at for the estimate, `seconds` is how long an exact count may take. The estimate is of the share
    of all ids between the lowest and the highest that belong to a user of the condition, so that gaps do no harm.
    Those who may be sent messages of `category` are counted in the time that is left, else estimated in the same way.
    Raises Invalid with every problem of the condition, or when it names a segment that does not exist.
    """
    wanted = condition_of(condition, field=field)
    audience = audience_of(session, wanted, now=clock.now(), field=field)
    ids = id_range(session)
    if ids is None:
        return Preview(_NOBODY, _NOBODY)
    low, high = ids
    order, size = draw(low, high, drawn, rng)
    # A closure sees some ten thousand users a second: of a large table it leaves most of the time to the draw.
    time_to_count = seconds if audience.residual is None else seconds / 2
    began = monotonic()
    count = _counted(session, audience, time_to_count, monotonic)
    reached = None
    if count is not None:
        left = time_to_count - (monotonic() - began)
        reached = _counted(session, audience.among(may_be_messaged(category)), left, monotonic)
    # For the users to show, a few draws will do.
    looked_at, found = _look(session, audience, order if reached is None else order[:CHUNK], monotonic)
    if reached is None:
        hits = preview_repository.count_messageable(session, found, category=category)
        reached = _within(estimated(hits, looked_at, size), count)
    if count is None:
        count = estimated(len(found), looked_at, size)
    users = preview_repository.shown(session, found[:sample])
    if len(users) < min(sample, count.value) and count.exact:
        users = _first(session, audience, sample, monotonic) or users
    return Preview(count, reached, tuple(users), warnings_about(session, condition=wanted))


_NOBODY: Final = Count(0, True, 0, 0)


def _within(part: Count, whole: Count | None) -> Count:
    """An estimate of some of the users of an exact count: they are not more than all of them."""
    if whole is None:
        return part
    return replace(
        part, **{name: min(getattr(part, name), whole.value) for name in ("value", "lower", "upper")}
    )


def draw(low: int, high: int, drawn: int, rng: np.random.Generator) -> tuple["np.ndarray[Any, Any]", int]:
    """Internal ids from `low` to `high` in a random order: `drawn` of them, or all where there are no more; and how many there are."""
    size = high - low + 1
    if size <= drawn:
        return rng.permutation(np.arange(low, high + 1)), size
    return rng.permutation(np.unique(rng.integers(low, high + 1, size=drawn))), size


def estimated(found: int, looked_at: int, size: int) -> Count:
    """Of `size` ids how many are of a kind, when `found` of `looked_at` drawn ones are."""
    if looked_at == size:
        return Count(found, True, found, found)
    lower, upper = wilson(found, looked_at)
    return Count(
        value=round(found / looked_at * size),
        exact=False,
        lower=max(found, math.floor(lower * size)),
        upper=math.ceil(upper * size),
    )


def _look(
    session: Session, audience: Audience, order: "np.ndarray[Any, Any]", monotonic: Callable[[], float]
) -> tuple[int, list[int]]:
    """Look at drawn ids, in this order, until the time is over: how many were looked at, and those of the audience."""
    deadline = monotonic() + DRAW_SECONDS
    looked_at, found = 0, list[int]()
    while looked_at < len(order):
        some = order[looked_at : looked_at + CHUNK].tolist()
        seen, these = preview_repository.among(
            session, audience, some, deadline=deadline, monotonic=monotonic
        )
        looked_at += seen
        found += these
        if monotonic() > deadline:
            break
    return looked_at, found


def _counted(
    session: Session, audience: Audience, seconds: float, monotonic: Callable[[], float]
) -> Count | None:
    try:
        count = preview_repository.count_of(session, audience, seconds=seconds, monotonic=monotonic)
    except OutOfTimeError:
        return None
    return Count(count, True, count, count)


def _first(session: Session, audience: Audience, sample: int, monotonic: Callable[[], float]) -> list[Found]:
    try:
        return preview_repository.first_of(
            session, audience, limit=sample, seconds=DRAW_SECONDS, monotonic=monotonic
        )
    except OutOfTimeError:
        return []


def wilson(hits: int, draws: int) -> tuple[float, float]:
    """A 95 % interval for a share, from `hits` among `draws` independent draws.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), with p = hits / n: Wilson (1927), Probable inference, the law
    of succession, and statistical inference, JASA 22, p. 209. Drawing without replacement makes it a little too wide.

    >>> [round(end, 4) for end in wilson(0, 1000)]
    [0.0, 0.0038]
    """
    share, spread = hits / draws, Z * Z / draws
    middle = share + spread / 2
    half = Z * math.sqrt(share * (1 - share) / draws + spread / (4 * draws))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))
