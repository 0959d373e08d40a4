"""How several segments overlap at once: for every combination, how many users are in just these segments.

One pass over all users for as long as there is time, else an estimate from users drawn at random, as in `preview`.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from sqlmodel import Session

from experiments.clock import Clock
from experiments.errors import Invalid
from targeting.segments import preview_repository
from targeting.segments import repository as segment_repository
from targeting.segments.attribute_repository import id_range
from targeting.segments.membership import compared
from targeting.segments.preview import DRAWN, Count, draw, estimated
from targeting.segments.preview_repository import CHUNK, OutOfTimeError

MOST: Final = 6
SECONDS: Final = 0.5

Marks = tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Combinations:
    """Segments side by side. `users`: how many are in just these segments, and in none of the others.

    `as_of` says of when the membership is that was compared; None: the condition was evaluated now.
    """

    as_of: tuple[tuple[str, datetime | None], ...]
    sizes: dict[str, Count]
    users: dict[tuple[str, ...], Count]


def combinations(
    session: Session,
    clock: Clock,
    *,
    keys: Sequence[str],
    rng: np.random.Generator,
    drawn: int = DRAWN,
    seconds: float = SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
) -> Combinations:
    """How two to six segments overlap. `seconds` is how long an exact count may take, `drawn` ids make an estimate.

    Raises NotFound, Conflict when a segment that SQL cannot say was never refreshed, and Invalid for fewer or more
    segments, or for one that is named twice.
    """
    if not 2 <= len(keys) <= MOST:
        raise Invalid(f"name 2 to {MOST} segments", field="key")
    if len(set(keys)) < len(keys):
        raise Invalid("names a segment twice", field="key")
    found = [compared(session, clock, key, "key") for key in keys]
    conditions = [where for where, _ in found]
    looked_at: int | None = None
    size = 0
    try:
        with preview_repository.within(session, seconds, monotonic):
            marked = Counter(segment_repository.count_combinations(session, conditions))
    except OutOfTimeError:
        low, high = id_range(session) or (1, 0)
        ids, size = draw(low, high, drawn, rng)
        looked_at, marked = len(ids), Counter[Marks]()
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK].tolist()
            marked.update(segment_repository.count_combinations(session, conditions, among=some))

    def count(hits: int) -> Count:
        if looked_at is None:
            return Count(hits, True, hits, hits)
        return estimated(hits, looked_at, size)

    return Combinations(
        as_of=tuple((key, as_of) for key, (_, as_of) in zip(keys, found, strict=True)),
        sizes={
            key: count(sum(users for marks, users in marked.items() if marks[at]))
            for at, key in enumerate(keys)
        },
        users={
            tuple(key for key, inside in zip(keys, marks, strict=True) if inside): count(users)
            for marks, users in marked.items()
            if any(marks)
        },
    )
