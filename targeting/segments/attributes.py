"""What attributes users have: discovered from a random draw of them, typed, and indexed on request."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlmodel import Session

from experiments import audit
from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Invalid
from targeting.conditions.indexes import can_be_indexed
from targeting.conditions.values import kind_of, time_micros
from targeting.models import Attribute
from targeting.segments import attribute_repository

__all__ = ["Attribute", "discover", "discover_tick", "known_names", "list_attributes", "set_indexed"]

DRAWN: Final = 10_000
CHUNK: Final = 5_000
EVERY: Final = timedelta(hours=1)
KEPT: Final = timedelta(days=30)
"""How long an attribute stays known that no draw found any more: a draw misses what is rare."""

MAX_NAMES: Final = 2_000
MAX_EXAMPLES: Final = 5
MAX_VALUES: Final = 20
"""More different values than that are no kinds of users any more, but users: none of them is shown."""
SHARED_BY: Final = 5
"""A value is shown when so many users of the draw have it, so that it tells of nobody in particular."""
MAX_SHOWN: Final = 30
_KINDS: Final = {"string": "text", "array": "list"}


def list_attributes(session: Session, *, skip: int, limit: int) -> Sequence[Attribute]:
    """What is known of attributes, by name."""
    return attribute_repository.list_attributes(session, skip=skip, limit=limit)


def known_names(session: Session) -> frozenset[str]:
    """The names of all attributes that were discovered; none before the first discovery."""
    return attribute_repository.known_names(session)


def discover(database: Database, clock: Clock, *, rng: np.random.Generator, drawn: int = DRAWN) -> int:
    """Look at up to `drawn` users, drawn at random, and store what attributes they have; returns how many names.

    Reads in one transaction and writes in another, so that no writer waits for the reading.
    """
    with database.snapshot() as session:
        seen = survey(_documents(session, _draw(session, rng, drawn)))
    now = clock.now()
    with database.transaction() as session:
        attribute_repository.save_attributes(session, seen, now=now, forget_before=now - KEPT)
    return len(seen)


def _draw(session: Session, rng: np.random.Generator, drawn: int) -> list[int]:
    ids = attribute_repository.id_range(session)
    if ids is None:
        return []
    low, high = ids
    every = np.arange(low, high + 1) if high - low < drawn else rng.integers(low, high + 1, size=drawn)
    chosen: list[int] = np.unique(every).tolist()
    return chosen


def _documents(session: Session, ids: Sequence[int]) -> Iterator[Mapping[str, Any]]:
    for start in range(0, len(ids), CHUNK):
        yield from attribute_repository.attributes_of(session, ids[start : start + CHUNK])


@dataclass(slots=True)
class _Seen:
    """One attribute while users are looked at."""

    users: int = 0
    kinds: set[str] = field(default_factory=set)
    values: Counter[Any] | None = field(default_factory=Counter)
    """How often each value occurs; None when there are too many different ones, or ones that are not shown."""

    def add(self, value: Any) -> None:
        self.users += 1
        kind = kind_of(value)
        if kind == "string" and time_micros(value) is not None:
            kind = "time"
        self.kinds.add(_KINDS.get(kind, kind))
        for one in value if isinstance(value, list) else [value]:
            self._count(one)

    def _count(self, value: Any) -> None:
        if self.values is None:
            return
        if not isinstance(value, str | int | float) or len(str(value)) > MAX_SHOWN:
            self.values = None
            return
        # Python holds True == 1.
        self.values[(type(value) is bool, value)] += 1
        if len(self.values) > MAX_VALUES:
            self.values = None

    @property
    def kind(self) -> str:
        return next(iter(self.kinds)) if len(self.kinds) == 1 else "mixed"

    @property
    def examples(self) -> list[Any]:
        common = self.values.most_common(MAX_EXAMPLES) if self.values else []
        return [value for (_, value), times in common if times >= SHARED_BY]


def survey(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What attributes these users have: name, kind, share of users, and values that many share. Pure.

    Examples hold no personal data: only values of attributes with at most twenty different ones, each shared by at least
    five of the users, are shown. What is null is not there.

    >>> survey([{"plan": "pro"}] * 5 + [{"plan": "free", "age": 7}])
    [{'name': 'age', 'kind': 'number', 'share': 0.16666666666666666, 'examples': []}, \
{'name': 'plan', 'kind': 'text', 'share': 1.0, 'examples': ['pro']}]
    """
    found: dict[str, _Seen] = {}
    users = 0
    for document in documents:
        users += 1
        for name, value in document.items():
            if value is not None and (name in found or len(found) < MAX_NAMES):
                found.setdefault(name, _Seen()).add(value)
    return [
        {"name": name, "kind": seen.kind, "share": seen.users / users, "examples": seen.examples}
        for name, seen in sorted(found.items())
    ]


def discover_tick(
    database: Database, clock: Clock, *, rng: np.random.Generator, every: timedelta = EVERY
) -> int:
    """Discover when the last time was `every` ago, or before the last import ended; returns how many names were found."""
    with database.snapshot() as session:
        last = attribute_repository.last_discovery(session)
        imported = attribute_repository.last_import(session)
    if last is not None and not _is_due(last, imported, clock.now(), every):
        return 0
    return discover(database, clock, rng=rng)


def _is_due(last: datetime, imported: datetime | None, now: datetime, every: timedelta) -> bool:
    return now - last >= every or (imported is not None and imported >= last)


def set_indexed(
    database: Database, clock: Clock, *, actor: str, name: str, indexed: bool, rng: np.random.Generator
) -> Attribute:
    """Make or drop the index on one attribute, so that conditions on it are found without reading all users.

    Opens its own transactions, because PostgreSQL makes an index outside of any, and nobody waits for it. Raises NotFound
    for an attribute that no user has, Invalid for a name that no index can spell.
    """
    if not can_be_indexed(name):
        raise Invalid(
            "a name with a quote, a backslash or a dot, or with $ in front, cannot be indexed", field="name"
        )
    with database.snapshot() as session:
        known = name in known_names(session)
    if not known:
        discover(database, clock, rng=rng)
    with database.snapshot() as session:
        before = attribute_repository.find_attribute(session, name).indexed
    if before == indexed:
        return _marked(database, clock, actor, name, before, indexed)
    if indexed:
        attribute_repository.create_indexes(database, name)
        return _marked(database, clock, actor, name, before, indexed)
    # Not asked for any more before it is gone.
    attribute = _marked(database, clock, actor, name, before, indexed)
    attribute_repository.drop_indexes(database, name)
    return attribute


def _marked(
    database: Database, clock: Clock, actor: str, name: str, before: bool, indexed: bool
) -> Attribute:
    with database.transaction() as session:
        attribute = attribute_repository.find_attribute(session, name)
        if before != indexed:
            attribute.indexed = indexed
            session.add(attribute)
            audit.record(
                session,
                clock,
                actor=actor,
                action="attribute.index",
                subject_kind="attribute",
                subject_key=name,
                before={"indexed": before},
                after={"indexed": indexed},
            )
        return attribute
